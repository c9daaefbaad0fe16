"""Sampling weights: the documented formula, and a draw whose shares are the weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.weights import FrequencyStep, WeightSettings, draw, rescale, weigh
from stemma.errors import StemmaError

WEIGHTS = st.lists(st.floats(0, 5), min_size=1, max_size=40)


def one(size: int, quality: float, chosen: WeightSettings) -> float:
    return float(weigh(np.array([size]), np.array([quality]), chosen)[0])


def test_the_formula_by_hand() -> None:
    chosen = WeightSettings(
        frequency=(FrequencyStep(1, 1.0), FrequencyStep(3, 2.0), FrequencyStep(100, 0.5)),
        max_copies=6.0,
    )
    assert one(1, 0.5, chosen) == 1
    assert [one(size, 0.5, chosen) for size in (2, 3, 99, 100, 10**9)] == [1, 2, 2, 0.5, 0.5]
    assert one(1, 0.75, chosen) == 2
    assert one(1, 0.25, chosen) == 0.5
    assert one(1, np.nan, chosen) == 1
    assert one(3, 1.0, chosen) == 6  # 8 before the cap
    assert weigh(np.array([3]), None, chosen).tolist() == [2]
    strict = WeightSettings(quality_doubling=0.0)
    assert one(1, 1.0, strict) == one(1, 0.0, strict) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"frequency": ()},
        {"frequency": (FrequencyStep(2, 1.0),)},
        {"frequency": (FrequencyStep(1, 1.0), FrequencyStep(1, 2.0))},
        {"frequency": (FrequencyStep(1, -1.0),)},
        {"quality_doubling": -1.0},
        {"max_copies": 0.0},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict) -> None:
    with pytest.raises(StemmaError):
        WeightSettings(**wrong)


def test_a_group_without_documents_is_refused() -> None:
    with pytest.raises(StemmaError, match="stands for 1 or more"):
        weigh(np.array([1, 0]), None)


@given(weights=WEIGHTS, seed=st.integers(0, 2**64 - 1), epochs=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_copies_are_the_weight_rounded_and_even_over_epochs(
    weights: list[float], seed: int, epochs: int
) -> None:
    w, ids = np.array(weights), [f"d{i}" for i in range(len(weights))]
    drawn = np.stack([draw(ids, w, seed=seed, epoch=epoch) for epoch in range(epochs)])
    assert (drawn >= np.floor(w)).all()
    assert (drawn <= np.floor(w) + 1).all()
    assert (drawn == w)[:, w == np.floor(w)].all()
    assert (np.abs(drawn.sum(0) - epochs * w) < 1 + 1e-9).all()


@given(
    weights=WEIGHTS,
    seed=st.integers(0, 1000),
    epoch=st.integers(0, 50),
    cut=st.integers(0, 40),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_draw_depends_on_neither_order_nor_shards(weights, seed, epoch, cut, data) -> None:
    w, ids = np.array(weights), [f"file.jsonl:{i}" for i in range(len(weights))]
    whole = draw(ids, w, seed=seed, epoch=epoch)
    order = data.draw(st.permutations(range(len(w))))
    moved = draw([ids[i] for i in order], w[order], seed=seed, epoch=epoch)
    assert moved.tolist() == whole[order].tolist()
    parts = [draw(ids[s], w[s], seed=seed, epoch=epoch) for s in (slice(cut), slice(cut, None))]
    assert np.concatenate(parts).tolist() == whole.tolist()


@given(seed=st.integers(0, 2**32), epoch=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_copies_drawn_match_the_weights_within_their_confidence_interval(seed: int, epoch: int) -> None:
    rng = np.random.default_rng(seed)
    n = 4000
    w = weigh(rng.geometric(0.4, n), rng.random(n))
    copies = draw([f"{seed}/{i}" for i in range(n)], w, seed=seed, epoch=epoch)
    fraction = w % 1
    # 5 standard errors: 30 draws in this test, a false alarm once in 60,000 runs
    assert abs(copies.sum() - w.sum()) <= 5 * np.sqrt((fraction * (1 - fraction)).sum())


def test_documents_are_drawn_independently_of_each_other_and_seeds_differ() -> None:
    ids, w = [f"d{i}" for i in range(20_000)], np.full(20_000, 0.5)
    a, b = draw(ids, w, seed=1, epoch=0), draw(ids, w, seed=2, epoch=0)
    assert abs((a == b).mean() - 0.5) < 0.02
    assert abs((a[1:] == a[:-1]).mean() - 0.5) < 0.02
    assert (a + draw(ids, w, seed=1, epoch=1) == 1).all()


@given(
    rows=st.lists(st.tuples(st.floats(0.01, 10), st.integers(1, 1000)), min_size=1, max_size=30),
    share=st.floats(0.01, 1),
    cap=st.floats(0.5, 8),
)
@settings(max_examples=100, deadline=None)
def test_rescaled_weights_fill_the_epoch_under_the_cap_in_proportion(rows, share: float, cap: float) -> None:
    w, sizes = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    target = share * cap * float(sizes.sum())
    scaled = rescale(w, sizes, target, cap)
    assert (scaled * sizes).sum() == pytest.approx(target, rel=1e-6)
    assert (scaled <= cap).all()
    free = scaled < cap * (1 - 1e-9)
    ratios = scaled[free] / w[free]
    assert np.allclose(ratios, ratios[:1].repeat(len(ratios)))
    if free.any() and not free.all():
        assert w[~free].min() * ratios[0] >= cap * (1 - 1e-6)


def test_an_epoch_that_cannot_be_filled_and_weights_that_are_none_are_refused() -> None:
    with pytest.raises(StemmaError, match="at most 40"):
        rescale(np.array([1.0, 0.0]), np.array([10, 99]), 41, 4.0)
    assert rescale(np.array([1.0, 0.0]), np.array([10, 99]), 40, 4.0).tolist() == [4, 0]
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(StemmaError, match="negative or not a finite"):
            draw(["a"], np.array([bad]), seed=0, epoch=0)
    with pytest.raises(StemmaError, match="one weight for each id"):
        draw(["a", "b"], np.array([1.0]), seed=0, epoch=0)
    with pytest.raises(StemmaError):
        draw(["a"], np.array([1.0]), seed=0, epoch=-1)
