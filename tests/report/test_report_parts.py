"""The parts of the page: metrics reduced to curves, numbers as text, plots of awkward data."""

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.report import formats
from stemma.report.plots import Curve, Series, bars, curves, dots
from stemma.report.training import read_metrics, thin


def test_thinning_keeps_every_extreme_and_at_most_240_points() -> None:
    values = [float(n % 7) for n in range(100_000)]
    values[54_321] = 1e6
    x, mean, low, high = thin(range(100_000), values)
    assert len(x) == len(mean) == len(low) == len(high) <= 240
    assert max(high) == 1e6
    assert min(low) == 0.0


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=1000))
def test_thinned_means_lie_between_their_extremes(values: list[float]) -> None:
    _, mean, low, high = thin(range(len(values)), values)
    slack = 1e-6
    assert all(a - slack <= b <= c + slack for a, b, c in zip(low, mean, high, strict=True))


def test_steps_repeated_after_a_resume_replace_the_earlier_ones(tmp_path: Path) -> None:
    lines = [{"kind": "train", "step": step, "loss": 9.0} for step in (1, 2, 3)]
    lines += [{"kind": "train", "step": step, "loss": 1.0} for step in (2, 3, 4)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = read_metrics(path)
    assert metrics.steps.tolist() == [1, 2, 3, 4]
    assert metrics.train["loss"].tolist() == [9.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (formats.count(1234567), "1 234 567"),
        (formats.short(4_213_504), "4.21 M"),
        (formats.short(1_004_000), "1.00 M"),
        (formats.short(0), "0"),
        (formats.percent(0.9556), "95.6 %"),
        (formats.fixed(-0.0001, 3), "\u22121.0×10\u207b\u2074"),
        (formats.significant(3.04e-6), "3.04×10\u207b\u2076"),
        (formats.significant(0.0), "0"),
        (formats.duration(59.7), "1 min 00 s"),
        (formats.duration(3725), "1 h 02 min"),
        (formats.duration(0.25), "250 ms"),
        (formats.size(9216), "9.22 kB"),
        (formats.scalar([True, {"learning_rate": 0.001}]), "yes, learning rate 0.0010"),
        (formats.count(None), formats.NONE),
    ],
)
def test_numbers_read_as_people_write_them(text: str, wanted: str) -> None:
    assert text.replace("\u202f", " ") == wanted


def test_curve_names_at_the_same_height_are_pushed_apart() -> None:
    lines = [Curve(f"domain {n}", [0, 1], [2.0, 1.0 + n * 1e-6], color=n) for n in range(6)]
    svg = curves(lines, "t", "x", "y")
    heights = sorted(float(part.split('"')[1]) for part in svg.split("<text")[1:] if ">domain" in part
                     for part in part.split(" y=")[1:2])  # fmt: skip
    assert len(heights) == 6
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9


def test_plots_of_one_point_flat_lines_and_missing_rows_are_drawn() -> None:
    assert "<svg" in curves([Curve("a", [3], [2.0])], "t", "x", "y")
    assert "<svg" in curves([Curve("a", [0, 5], [2.0, 2.0])], "t", "x", "y", small=True)
    assert "<svg" in bars({"a": "a", "b": "b"}, [Series("s", {"a": 0.0})], [], "t", "x")
    assert "<svg" in dots(
        {"a": "a", "h": "heading"}, [Series("s", {"a": 1.0}, 0, {"a": (0.9, 1.0)})], "t", "x"
    )
