import pytest
import torch

from stemma.errors import StemmaError
from stemma.train.optimizer import build_optimizer
from stemma.train.schedule import learning_rate
from stemma.train.settings import LoopSettings, OptimizerSettings


@pytest.mark.parametrize(
    ("step", "rate"), [(1, 0.5e-3), (2, 1e-3), (7, 0.55e-3), (12, 1e-4)]
)  # warm-up 2, half way of the cosine at 7, floor at 12
def test_the_learning_rate_warms_up_and_follows_the_cosine_to_its_floor(step, rate):
    found = learning_rate(step, peak=1e-3, warmup_steps=2, steps=12, floor_ratio=0.1)
    assert found == pytest.approx(rate, rel=1e-12)


def test_without_warm_up_the_first_step_is_almost_the_peak():
    assert learning_rate(1, peak=1.0, warmup_steps=0, steps=1000, floor_ratio=0.0) == pytest.approx(
        1.0, abs=1e-5
    )
    assert learning_rate(1000, peak=1.0, warmup_steps=0, steps=1000, floor_ratio=0.0) == 0.0


def two_parameters():
    matrix = torch.nn.Parameter(torch.full((2, 3), 1.0))
    gain = torch.nn.Parameter(torch.full((3,), 1.0))
    matrix.grad, gain.grad = torch.zeros(2, 3), torch.zeros(3)
    return matrix, gain


def test_decay_falls_on_matrices_only_and_is_decoupled_from_the_gradient():
    matrix, gain = two_parameters()
    settings = OptimizerSettings(learning_rate=0.5, weight_decay=0.1)
    build_optimizer([("matrix", matrix), ("gain", gain)], settings).step()
    assert torch.allclose(matrix, torch.full((2, 3), 1 - 0.5 * 0.1))
    assert torch.equal(gain, torch.ones(3))


def test_the_update_is_the_formula_of_the_paper():
    settings = OptimizerSettings(learning_rate=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(4, 4, generator=generator))
    optimizer = build_optimizer([("p", parameter)], settings)
    expected = parameter.detach().double()
    first = second = torch.zeros(4, 4, dtype=torch.float64)
    for step in range(1, 6):
        gradient = torch.randn(4, 4, generator=generator)
        parameter.grad = gradient.clone()
        optimizer.step()
        first = 0.9 * first + 0.1 * gradient.double()
        second = 0.95 * second + 0.05 * gradient.double() ** 2
        update = (first / (1 - 0.9**step)) / ((second / (1 - 0.95**step)).sqrt() + 1e-8)
        expected = expected * (1 - 1e-2 * 0.1) - 1e-2 * update
    assert torch.allclose(parameter.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change", [{"learning_rate": 0.0}, {"betas": (0.9, 1.0)}, {"floor_ratio": 1.5}, {"clip_norm": 0.0}]
)
def test_settings_out_of_range_are_refused_by_name(change):
    with pytest.raises(StemmaError, match=next(iter(change))):
        OptimizerSettings(**({"learning_rate": 1e-3} | change))


def test_a_batch_of_none_is_refused():
    with pytest.raises(StemmaError, match="batch_size is 0"):
        LoopSettings(batch_size=0)
