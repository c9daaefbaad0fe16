"""Packing: samples of unequal lengths into rows of one length, best fit, without a token of one seeing another.

Longest first, each into the fullest row that still has room (best-fit decreasing, at most 11/9 of the optimum; Johnson
1973). Rows with a common free space wait in one list, so n samples cost n * log(capacity) + n moves.
"""

import bisect
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stemma.data.chat import Normalise, session_sample
from stemma.data.sample import Sample, concatenate, pad
from stemma.data.shards import TokenShards
from stemma.errors import StemmaError


def pack(lengths: Sequence[int] | NDArray[np.int64], capacity: int) -> list[list[int]]:
    """Rows as lists of sample numbers, none longer than `capacity`; the same input gives the same rows."""
    sizes = np.asarray(lengths, np.int64)
    if len(sizes) and (sizes.max() > capacity or sizes.min() < 1):
        raise StemmaError(f"packing: a sample of {sizes.max()} tokens does not fit rows of {capacity}")
    rows: list[list[int]] = []
    free: list[int] = []  # distinct amounts of free space, ascending
    waiting: dict[int, list[int]] = {}  # amount of free space -> rows, newest last
    for number in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[number])
        place = bisect.bisect_left(free, size)
        if place == len(free):
            row, room = len(rows), capacity
            rows.append([])
        else:
            room = free[place]
            row = waiting[room].pop()
            if not waiting[room]:
                del waiting[room], free[place]
        rows[row].append(number)
        left = room - size
        if left:
            if left not in waiting:
                waiting[left] = []
                bisect.insort(free, left)
            waiting[left].append(row)
    return rows


class PackedRows:
    """Rows of `sequence_length` tokens, each some whole sessions of a tokenized dialogue file."""

    def __init__(
        self,
        shards: TokenShards,
        sequence_length: int,
        *,
        normalise: Normalise = "token",
        leak: bool = False,
    ) -> None:
        """`leak` joins the sessions of a row into one segment; it exists so that a test can see the leak it looks for."""
        self.shards, self.sequence_length = shards, sequence_length
        self.normalise: Normalise = normalise
        self._leak = leak
        self._rows = pack(shards.lengths() - 1, sequence_length)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def bytes_per_target(self) -> float:
        """Bytes of answer text one target stands for, on average."""
        return self.shards.bytes_per_target

    def digest(self) -> str:
        """What the rows were made from."""
        return self.shards.digest()

    def sample(self, row: int) -> Sample:
        """Row `row` as a Sample of `sequence_length` tokens."""
        joined = concatenate([self.session(number) for number in self._rows[row]])
        if self._leak:
            joined = replace(joined, segment_ids=np.ones_like(joined.segment_ids))
        return pad(joined, self.sequence_length)

    def session(self, number: int) -> Sample:
        """One session as a Sample of its own."""
        ids, mask = self.shards.document(number)
        assert mask is not None
        return session_sample(ids, mask, self.normalise)
