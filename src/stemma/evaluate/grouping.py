"""Accuracy with its 95 % interval, over all questions and by what they have in common."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_Z = 1.959963984540054
"""0.975 quantile of the normal distribution"""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Share of right answers; `low` and `high` are the Wilson interval."""

    accuracy: float
    low: float
    high: float
    correct: int
    count: int


def accuracy(right: Sequence[bool]) -> Accuracy:
    """The accuracy of at least one outcome."""
    low, high = wilson(sum(right), len(right))
    return Accuracy(
        accuracy=sum(right) / len(right), low=low, high=high, correct=sum(right), count=len(right)
    )


def wilson(correct: int, count: int) -> tuple[float, float]:
    """Wilson score interval at 95 % of a share (Wilson 1927): right near 0 and 1 too, where p +- 2 sigma is not."""
    p, z2 = correct / count, _Z * _Z
    centre = (p + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * math.sqrt(p * (1 - p) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == count else centre + half)


def group_by(items: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Items by key, keys in sorted order."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return dict(sorted(groups.items()))
