"""Exact near-duplicate guard: no two texts it accepts reach a Jaccard similarity over word 5-grams.

A word is a run of letters or digits, lower-cased, or one Han character. Candidates come from an inverted index on
prefixes (Bayardo, Ma, Srikant 2007, "Scaling up all pairs similarity search"): with the grams of every text in one
fixed order, two sets with Jaccard >= t share a gram among the first |A| - ceil(t |A|) + 1 of each. Grams are numbered
as first seen and ordered newest first, which puts the rare ones into the prefix.
"""

import math
import re
from collections.abc import Set as AbstractSet

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


def words(text: str) -> list[str]:
    """Lower-cased words and single Han characters, punctuation left out."""
    return _WORD.findall(text.lower())


def shingles(text: str, size: int = 5) -> frozenset[tuple[str, ...]]:
    """The set of `size`-grams of words; a shorter text is one gram."""
    found = words(text)
    return frozenset(tuple(found[i : i + size]) for i in range(max(1, len(found) - size + 1)))


def jaccard(left: AbstractSet[object], right: AbstractSet[object]) -> float:
    """|intersection| / |union|, 1 for two empty sets."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


class NearDuplicates:
    """The texts accepted so far; `accept` refuses one that is too similar to any of them."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._numbers: dict[tuple[str, ...], int] = {}
        self._texts: list[frozenset[int]] = []
        self._index: dict[int, list[int]] = {}

    def accept(self, text: str) -> bool:
        """Add the text and return True, or return False when its Jaccard with one of them is >= the threshold."""
        grams = frozenset(self._numbers.setdefault(g, len(self._numbers)) for g in sorted(shingles(text)))
        length = len(grams) - math.ceil(self.threshold * len(grams)) + 1
        prefix = sorted(grams, reverse=True)[:length]
        candidates = {place for gram in prefix for place in self._index.get(gram, ())}
        if any(self._similar(grams, self._texts[place]) for place in candidates):
            return False
        for gram in prefix:
            self._index.setdefault(gram, []).append(len(self._texts))
        self._texts.append(grams)
        return True

    def _similar(self, left: frozenset[int], right: frozenset[int]) -> bool:
        small, large = sorted((len(left), len(right)))
        if small < self.threshold * large:
            return False
        shared = len(left & right)
        return shared >= self.threshold * (small + large - shared)
