import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemma.errors import CheckFailed, StemmaError
from stemma.generate.sampling import (
    GenerationSettings,
    choose,
    draw,
    keep_top_k,
    keep_top_p,
    next_token_probabilities,
    penalize_repetition,
)

LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=30)


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits_of_seen_ids_once() -> None:
    logits = torch.tensor([[2.0, -2.0, 3.0, 0.5], [2.0, -2.0, 3.0, 0.5]])
    result = penalize_repetition(logits, [[0, 1, 1], [2]], 1.25)
    expected = torch.tensor([[2.0 / 1.25, -2.0 * 1.25, 3.0, 0.5], [2.0, -2.0, 3.0 / 1.25, 0.5]])
    torch.testing.assert_close(result, expected)
    assert logits[0, 0] == 2.0


@given(LOGITS, st.integers(1, 30))
def test_top_k_keeps_exactly_k_of_the_largest_and_the_lower_ids_of_ties(values: list[float], k: int) -> None:
    kept = (keep_top_k(torch.tensor([values]), k)[0] > -torch.inf).nonzero()[:, 0].tolist()
    ranked = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert kept == sorted(ranked[:k])


@given(LOGITS, st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_that_reaches_p(values: list[float], p: float) -> None:
    logits = torch.tensor([values])
    kept = (keep_top_p(logits, p)[0] > -torch.inf).nonzero()[:, 0].tolist()
    probabilities = logits.double().softmax(-1)[0]
    ranked = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert sorted(ranked[: len(kept)]) == kept
    assert float(probabilities[kept].sum()) >= p - 1e-6
    assert float(probabilities[ranked[: len(kept) - 1]].sum()) < p + 1e-6


@given(LOGITS)
def test_small_temperatures_tend_to_greedy(values: list[float]) -> None:
    gaps = sorted(values, reverse=True)
    if gaps[0] - gaps[1] < 1e-3:
        return
    logits = torch.tensor([values])
    cold = next_token_probabilities(logits, GenerationSettings(temperature=1e-5), [[]])
    greedy = next_token_probabilities(logits, GenerationSettings(temperature=0), [[]])
    torch.testing.assert_close(cold, greedy)
    assert choose(logits, GenerationSettings(), [[]], [torch.Generator()]) == [int(logits.argmax())]


def test_temperature_divides_the_logits() -> None:
    logits = torch.tensor([[1.0, 2.0, -0.5]])
    expected = torch.tensor([[1.0, 2.0, -0.5]]).div(0.7).softmax(-1)
    torch.testing.assert_close(
        next_token_probabilities(logits, GenerationSettings(temperature=0.7), [[]]), expected
    )


def test_draws_follow_the_distribution_within_five_standard_deviations() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2])
    uniforms = torch.rand(20000, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    counts = torch.bincount(draw(probabilities.expand(20000, 4), uniforms), minlength=4).tolist()
    assert counts[1] == 0
    for count, p in zip(counts, probabilities.tolist(), strict=True):
        assert abs(count - 20000 * p) <= 5 * math.sqrt(20000 * p * (1 - p))


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_a_draw_at_the_edge_never_gives_an_impossible_token(uniform: float) -> None:
    probabilities = torch.tensor([[0.0, 0.1, 0.2, 0.7 - 3e-8, 0.0]])
    expected = 1 if uniform == 0 else 3
    assert draw(probabilities, torch.tensor([uniform], dtype=torch.float64)).tolist() == [expected]


def test_ids_beyond_the_vocabulary_limit_have_no_probability() -> None:
    logits = torch.tensor([[0.0, 1.0, 50.0, 60.0]])
    settings = GenerationSettings(temperature=1.0, vocab_limit=2)
    assert next_token_probabilities(logits, settings, [[]])[0, 2:].tolist() == [0, 0]
    assert choose(logits, GenerationSettings(vocab_limit=2), [[]], [torch.Generator()]) == [1]


def test_logits_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(CheckFailed, match="not numbers"):
        choose(torch.tensor([[0.0, math.nan]]), GenerationSettings(), [[]], [torch.Generator()])


@pytest.mark.parametrize(
    "wrong", [{"top_p": 0.0}, {"temperature": -1.0}, {"max_new_tokens": 0}, {"repetition_penalty": 0.0}]
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(StemmaError, match=name):
        GenerationSettings(**wrong)  # type: ignore[arg-type]
