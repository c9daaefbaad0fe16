"""Texts that break off with dots or a call to read on: what a page shows of an article that costs money.

Dots also end a list, a pause and a sentence to be finished. They break a text off where they follow a word, are
the only ones, and something went before.
"""

import functools

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.characters import BLANK, FOLD_BITS, IDEOGRAPH, KIND_BITS, WORD
from stemma.corpus.utf8 import decode

TEASER_CHARACTERS = 250
"""visible characters from which on a text is no teaser, whatever it ends with"""
FEWEST_BEFORE_DOTS = 40
"""visible characters, with the dots, below which a text that ends in dots is a sentence that trails off"""
_TAIL = 40
_IN_WORD = WORD | IDEOGRAPH
_TEASERS = {
    **dict.fromkeys(("(more)", "[read more]", "(read more)", ".read more", ". read more", "\nread more"), 0),
    **dict.fromkeys(("\u2026read more", "\u2026 read more", "continue reading", "continue reading]"), 0),
    **dict.fromkeys(("[...]", "[\u2026]", " ...", " \u2026", "\0...", "\0\u2026"), 0),
    "subscribe to read": 31,
    # after logging in: see, read, go on
    **dict.fromkeys(("\u767b\u5f55\u540e\u67e5\u770b", "\u767b\u5f55\u540e\u9605\u8bfb"), 6),
    "\u767b\u5f55\u540e\u7ee7\u7eed": 6,
    **dict.fromkeys(("(\u672a\u5b8c", "[\u672a\u5b8c"), 10),  # not finished
    "\u672a\u5b8c\u5f85\u7eed": 2,  # to be continued
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
            if i < length:
                continue
            after = start + length
            while after < last and tail[after] != 10:
                after += 1
            if after < last:
                continue
            are_dots = phrase[length - 1] in (46, 0x2026) or phrase[length - 2] in (46, 0x2026)
            if not are_dots or (_follow_word(tail, start, entries) and _are_only_dots(data)):
                return True
    return False


@njit(cache=True, nogil=True)
def _follow_word(tail, start, entries):  # type: ignore[no-untyped-def]
    """Whether a letter, digit or Han character stands at `start` or, white space aside, before it."""
    while start >= 0 and tail[start] in (10, 32, 91):
        start -= 1
    return start >= 0 and (
        tail[start] >= 0x10000 or (np.int64(entries[tail[start]]) >> (FOLD_BITS + KIND_BITS)) & _IN_WORD != 0
    )


@njit(cache=True, nogil=True)
def _are_only_dots(data):  # type: ignore[no-untyped-def]
    """Whether a text that ends in dots has no others and enough before them."""
    visible, num_runs, run, last_ellipsis = 0, 0, 0, -3
    for i in range(len(data)):
        byte = data[i]
        visible += np.int64(byte > 32 and byte & 0xC0 != 0x80)
        run = run + 1 if byte == 46 else 0
        num_runs += np.int64(run == 3)
        if i > 1 and byte == 0xA6 and data[i - 1] == 0x80 and data[i - 2] == 0xE2:
            num_runs += np.int64(i != last_ellipsis + 3)
            last_ellipsis = i
    return visible >= FEWEST_BEFORE_DOTS and num_runs == 1
