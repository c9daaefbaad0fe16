import math

import pytest
import torch
from torch.nn import functional

from stemma.train import loss as loss_module
from stemma.train.loss import Normaliser, language_model_loss

N, C, V = 23, 6, 17


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, N, C, dtype=torch.float64, generator=generator, requires_grad=True)
    matrix = torch.randn(V, C, dtype=torch.float64, generator=generator, requires_grad=True)
    targets = torch.randint(0, V, (1, N), generator=generator)
    weights = torch.rand(1, N, generator=generator) * (torch.rand(1, N, generator=generator) > 0.3)
    real = torch.arange(N)[None] < N - 4
    return hidden, matrix, targets, weights * real, real


def reference(hidden, matrix, targets, weights, real, normaliser, max_z_weight):
    logits = (hidden @ matrix.t())[0]
    nll = functional.cross_entropy(logits, targets[0], reduction="none")
    z = logits.max(dim=-1).values
    objective = (nll * weights[0].double()).sum() / normaliser.weight
    return objective + max_z_weight * (z.square() * real[0]).sum() / normaliser.positions


@pytest.mark.parametrize(("slab", "piece"), [(1 << 25, 512), (V * 8, 8), (V * 10, 3), (1, 1)])
@pytest.mark.parametrize("max_z_weight", [0.0, 2e-4, 1.0])
def test_loss_and_gradients_equal_the_plain_formula_however_it_is_cut(
    problem, monkeypatch, slab, piece, max_z_weight
):
    monkeypatch.setattr(loss_module, "_SLAB_ELEMENTS", slab)
    monkeypatch.setattr(loss_module, "_PIECE_TOKENS", piece)
    hidden, matrix, *rest = problem
    normaliser = Normaliser(5.5, 40.0)
    parts = language_model_loss(hidden, matrix, *rest, normaliser, max_z_weight)
    found = torch.autograd.grad(parts.objective * 3, (hidden, matrix))
    expected_loss = reference(hidden, matrix, *rest, normaliser, max_z_weight)
    expected = torch.autograd.grad(expected_loss * 3, (hidden, matrix))
    assert parts.objective.item() == pytest.approx(expected_loss.item(), rel=1e-6)
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-6  # weights are fp32


def test_max_z_has_its_closed_form_and_touches_one_logit_per_position(problem):
    """d/dlogits of w * mean_j max_v(logit_jv)^2 is 2 w max_j / J at the largest logit, 0 elsewhere; identity head."""
    logits = torch.randn(1, 5, V, dtype=torch.float64, requires_grad=True)
    real = torch.tensor([[True, True, True, False, False]])
    zero, none = torch.zeros(1, 5, dtype=torch.long), torch.zeros(1, 5)
    eye = torch.eye(V, dtype=torch.float64)
    parts = language_model_loss(logits, eye, zero, none, real, Normaliser(1.0, 3.0), 2e-4)
    parts.objective.backward()
    assert logits.grad is not None
    largest = logits.detach().max(dim=-1)
    assert parts.objective.item() == pytest.approx(
        2e-4 * float(largest.values[0, :3].square().mean()), rel=1e-6
    )
    assert (logits.grad != 0).sum(dim=-1).tolist() == [[1, 1, 1, 0, 0]]
    touched = logits.grad.gather(-1, largest.indices[..., None])[0, :3, 0]
    assert torch.allclose(touched, 2 * 2e-4 * largest.values[0, :3] / 3, rtol=1e-6)


def test_weights_are_divided_by_the_weight_of_the_whole_step(problem):
    hidden, matrix, *rest = problem
    whole = language_model_loss(hidden, matrix, *rest, Normaliser(7.0, 30.0), 0.1)
    cut = [
        language_model_loss(hidden[:, s], matrix, *(r[:, s] for r in rest), Normaliser(7.0, 30.0), 0.1)
        for s in (slice(0, 4), slice(4, 5), slice(5, N))
    ]
    assert sum(c.objective.item() for c in cut) == pytest.approx(whole.objective.item(), rel=1e-6)
    assert sum(float(c.nll) for c in cut) == pytest.approx(float(whole.nll), rel=1e-9)


def test_nll_is_the_unweighted_sum_over_targets():
    hidden, matrix = torch.zeros(1, 3, C), torch.zeros(V, C)
    weights = torch.tensor([[0.25, 0.0, 0.5]])
    real = torch.ones(1, 3, dtype=torch.bool)
    parts = language_model_loss(hidden, matrix, torch.zeros(1, 3).long(), weights, real, Normaliser(0.75, 3))
    assert float(parts.nll) == pytest.approx(2 * math.log(V))
    assert float(parts.loss) == pytest.approx(math.log(V))


def test_bf16_logits_give_gradients_as_close_as_autocast_gives(problem):
    hidden, matrix, targets, weights, real = problem
    hidden, matrix = hidden.detach().float().requires_grad_(), matrix.detach().float().requires_grad_()
    exact = torch.autograd.grad(
        language_model_loss(hidden, matrix, targets, weights, real, Normaliser(5.5, 40.0)).objective, matrix
    )[0]
    with torch.autocast("cpu", torch.bfloat16):
        rough = torch.autograd.grad(
            language_model_loss(hidden, matrix, targets, weights, real, Normaliser(5.5, 40.0)).objective,
            matrix,
        )[0]
        plain = functional.cross_entropy((hidden @ matrix.t())[0].float(), targets[0], reduction="none")
        usual = torch.autograd.grad((plain * weights[0]).sum() / 5.5, matrix)[0]
    assert rough.dtype == torch.float32
    assert float((rough - exact).norm()) < 1.5 * float((usual - exact).norm())


def test_nothing_is_computed_for_a_gradient_nobody_wants(problem):
    hidden, matrix, *rest = problem
    with torch.no_grad():
        parts = language_model_loss(hidden, matrix, *rest, Normaliser(1.0, 1.0))
    assert not parts.objective.requires_grad
