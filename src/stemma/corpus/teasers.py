"""Texts that break off with dots or a call to read on: what a page shows of an article that costs money."""

import functools

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.characters import BLANK, FOLD_BITS, KIND_BITS
from stemma.corpus.utf8 import decode

TEASER_CHARACTERS = 250
"""visible characters from which on a text is no teaser, whatever it ends with"""
_TAIL = 40
_TEASERS = {
    **dict.fromkeys(("(more)", "read more", "read more]", "continue reading", "continue reading]"), 0),
    **dict.fromkeys(("[...]", "[\u2026]", " ...", " \u2026", "\0...", "\0\u2026"), 0),
    "subscribe to read": 31,
    "\u767b\u5f55\u540e": 8,  # after logging in
    "\u672a\u5b8c": 10,  # not finished
    "\u4ed8\u8d39\u9605\u8bfb": 4,  # pay to read
    **dict.fromkeys(("\u9605\u8bfb\u5168\u6587", "\u67e5\u770b\u5168\u6587", "\u5c55\u5f00\u5168\u6587"), 4),
}
"""What a text that breaks off ends with, \\0 for a Han character, and how many characters may follow."""


@functools.cache
def teasers() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The phrases as rows of code points, filled up with -1, and how many characters may follow each."""
    rows = np.full((len(_TEASERS), max(map(len, _TEASERS))), -1, np.int64)
    for row, phrase in zip(rows, _TEASERS, strict=True):
        row[: len(phrase)] = list(map(ord, phrase))
    return rows, np.array(list(_TEASERS.values()), np.int64)


@njit(cache=True, nogil=True)
def ends_as_teaser(data, entries, phrases, most_after):  # type: ignore[no-untyped-def]
    """Whether a text's last _TAIL characters end with one of the phrases, white space and case aside.

    `entries` are those of `kind_tables`, the last two what `teasers` gives.
    """
    position, size = len(data), 0
    while position > 0 and size < _TAIL:
        position -= 1
        size += np.int64(data[position] & 0xC0 != 0x80)
    tail = np.empty(_TAIL, np.int64)
    last, size = 0, 0
    while position < len(data):
        code, position = decode(data, position)
        entry = np.int64(entries[code]) if code < 0x10000 else code
        if code == 0x2026 and size > 0 and tail[size - 1] == 0x2026:
            continue
        tail[size] = code if code == 10 or code >= 0x10000 else entry & 0xFFFF
        size += 1
        if code >= 0x10000 or (entry >> (FOLD_BITS + KIND_BITS)) & BLANK == 0:
            last = size
    for row in range(len(phrases)):
        phrase, length = phrases[row], 0
        while length < len(phrase) and phrase[length] >= 0:
            length += 1
        for start in range(max(0, last - length - most_after[row]), last - length + 1):
            i = 0
            while i < length and (
                phrase[i] == tail[start + i] or (phrase[i] == 0 and 0x4E00 <= tail[start + i] <= 0x9FFF)
            ):
                i += 1
            after = start + length
            while i == length and after < last and tail[after] != 10:
                after += 1
            if i == length and after == last:
                return True
    return False
