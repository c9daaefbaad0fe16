"""Equal documents and equal ids, found by keys: which documents have the key of an earlier one, and of which.

Keys of all parts are read column by column; a slice of the key space is worked at a time, so that memory stays below
KEYS_IN_MEMORY keys whatever the corpus. The first document of a key, in input order, is the one that counts.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
KEYS_IN_MEMORY = 1 << 26  # 24 bytes each, and as much again while they are sorted


class Copies(NamedTuple):
    """Documents that have the key of an earlier one, ascending, and the first document of that key."""

    documents: Numbers
    firsts: Numbers

    def between(self, start: int, stop: int) -> "Copies":
        """Those with numbers in [start, stop)."""
        first, last = np.searchsorted(self.documents, (start, stop))
        return Copies(self.documents[first:last], self.firsts[first:last])

    def first_of(self, documents: Numbers) -> Numbers:
        """The first document of each one's key: itself where it is no copy."""
        if not len(self.documents):
            return documents
        place = np.minimum(np.searchsorted(self.documents, documents), len(self.documents) - 1)
        return np.where(self.documents[place] == documents, self.firsts[place], documents)


def num_slices(num_keys: int) -> int:
    """Slices of the key space that keep each one's keys below KEYS_IN_MEMORY."""
    return -(-num_keys // KEYS_IN_MEMORY) or 1


def in_slice(keys: npt.NDArray[np.uint64], index: int, count: int) -> npt.NDArray[np.bool_]:
    """Which keys belong to slice `index` of `count`, by their high bits: keys are hashes."""
    return (keys >> np.uint64(40)) % np.uint64(count) == np.uint64(index)


def find_copies(parts: Sequence[tuple[npt.NDArray[Any], ...]], num_columns: int) -> Copies:
    """Equal keys among documents given part by part: `num_columns` of uint64, and last the document numbers.

    Memory: 8 bytes for each document and column, and for its number, twice.
    """
    if not parts:
        return Copies(np.empty(0, np.int64), np.empty(0, np.int64))
    *keys, numbers = (np.concatenate([part[i] for part in parts]) for i in range(num_columns + 1))
    order = np.lexsort((numbers, *keys))
    is_first = np.zeros(len(order), bool)
    is_first[:1] = True
    for key in keys:
        ordered = key[order]
        is_first[1:] |= ordered[1:] != ordered[:-1]
    place = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    copies, firsts = numbers[order[~is_first]], numbers[order[place[~is_first]]]
    by_number = np.argsort(copies)
    return Copies(copies[by_number], firsts[by_number])
