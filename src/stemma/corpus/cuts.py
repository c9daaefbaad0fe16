"""Cutting pieces out of texts so that what stays reads on: spans of tokens to bytes, moved to borders of sentences.

A span that begins in the middle of a sentence gives up the rest of it, or takes the few words before it; one without such
a border begins at a line, and only then between two words. The same holds for its end, so that a cut leaves whole
sentences where there are some, keeps line breaks and never joins two words.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.characters import DIGIT, HAN, KANA, LETTER, SPACE, character_tables
from stemma.corpus.utf8 import class_above, decode

REACH = 3  # tokens outside a span that may go with it, so that it ends with a sentence
MOST_CUT = 0.8
"""share of a text; one that would lose more is dropped, where too little is left to be looked for elsewhere"""
_YIELD = 3  # a third of a span may stay at each of its ends for the same reason
_LINE, _SENTENCE = 1, 2  # ranks of a gap between two tokens; 0 is inside a sentence
Data = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
_STOPS, _WIDE_STOPS = (
    ".!?",
    "\u3002\uff01\uff1f\uff61\u0964\u06d4\u061f",
)  # those of the first need white space behind them
_CLOSERS = ")]}\"'\u201d\u2019\u00bb\u300d\u300f\uff09\u3011\u300b\u3009\uff3d\uff5d"
_STOP, _WIDE_STOP, _CLOSER = 1, 2, 3
_ROLES = np.zeros(0x10000, np.uint8)
for _characters, _role in ((_STOPS, _STOP), (_WIDE_STOPS, _WIDE_STOP), (_CLOSERS, _CLOSER)):
    _ROLES[[ord(character) for character in _characters]] = _role


class Cuts(NamedTuple):
    """Bytes [start, end) of texts of a batch to take out; `rows` says of which text."""

    rows: Numbers
    starts: Numbers
    ends: Numbers


def cut_tokens(data: Data, offsets: Numbers, rows: Numbers, starts: Numbers, ends: Numbers) -> Cuts:
    """Spans of tokens [start, end) as `scan` counts them, ordered and none touching another, as bytes to cut.

    Only the texts in `rows` are read. A span may come out empty: between two words nothing but it divides.
    """
    return Cuts(*_cut_tokens(data, offsets, character_tables().classes, _ROLES, rows, starts, ends))


def settle_cuts(data: Data, offsets: Numbers, *cuts: Cuts) -> Cuts:
    """All cuts of a batch in order, overlapping and touching ones joined; one to the end of a text takes the white space
    before it too."""
    rows, starts, ends = (np.concatenate(column) for column in zip(*cuts, strict=True))
    order = np.lexsort((ends, starts, rows))
    return Cuts(*_settle(data, offsets, rows[order], starts[order], ends[order]))


def cut_shares(offsets: Numbers, cuts: Cuts) -> npt.NDArray[np.float64]:
    """(num_texts,) share of each text's bytes that settled cuts take."""
    gone = np.bincount(cuts.rows, cuts.ends - cuts.starts, len(offsets) - 1)
    return gone / np.maximum(np.diff(offsets), 1)


def apply_cuts(data: Data, offsets: Numbers, cuts: Cuts) -> tuple[Data, Numbers]:
    """The batch without its settled cuts."""
    lost = np.zeros(len(offsets), np.int64)
    lost[1:] = np.cumsum(np.bincount(cuts.rows, cuts.ends - cuts.starts, len(offsets) - 1))
    base = offsets[cuts.rows]
    return _without(data, base + cuts.starts, base + cuts.ends, lost[-1]), offsets - lost


@njit(cache=True, nogil=True)
def _read(text: Any, classes: Any, roles: Any, tokens: Any, gaps: Any) -> Any:
    """The number of tokens n. Fills tokens[:n] with (start, end, is a word) and gaps[: n + 1], each before the token of
    its number, with (rank, where to cut, first line break or -1)."""
    n, i, in_word = 0, 0, False
    stop, trailing, breaks, first_break, split = 0, True, 0, -1, 0
    while i < len(text):
        here = i
        code, i = decode(text, here)
        kind = np.int64(classes[code]) if code < 0x10000 else class_above(code)
        is_word = kind in (LETTER, DIGIT)
        if is_word and in_word:
            continue
        if in_word:
            tokens[n, 1], in_word = here, False
            n += 1
            stop, trailing, breaks, first_break, split = 0, True, 0, -1, here
        if is_word or kind in (HAN, KANA):
            rank = _SENTENCE if stop == _WIDE_STOP or breaks > 1 or n == 0 else min(breaks, _LINE)
            gaps[n, 0], gaps[n, 1], gaps[n, 2] = rank, 0 if n == 0 else split, first_break
            tokens[n, 0], tokens[n, 1], tokens[n, 2] = here, i, is_word
            in_word = is_word
            if not is_word:
                n += 1
                stop, trailing, breaks, first_break, split = 0, True, 0, -1, i
            continue
        role = roles[code] if code < 0x10000 else 0
        if kind == SPACE:
            stop = _WIDE_STOP if stop else 0
            if code == 10:
                if breaks == 0:
                    first_break = here
                breaks += 1
                split = i
            elif stop and trailing and breaks == 0:
                split = i
        elif breaks:
            trailing = False
        elif role in (_STOP, _WIDE_STOP):
            stop, trailing = max(stop, role), True
            split = i
        elif role == _CLOSER and stop and trailing and text[here - 1] > 32:
            split = i
        else:
            trailing = False
            if stop == _STOP:
                stop = 0
    if in_word:
        tokens[n, 1] = len(text)
        n += 1
    gaps[n, 0], gaps[n, 1], gaps[n, 2] = _SENTENCE, len(text), -1
    return n


@njit(cache=True, nogil=True)
def _border(gaps: Any, at: Any, outward: int, low: Any, high: Any, most: Any) -> Any:
    """The gap in which a span that ends at gap `at` had better end; `outward` is the direction that makes it longer."""
    if gaps[at, 0] > 0:
        return at
    for rank in (_SENTENCE, _LINE):
        for step in range(1, REACH + 1):
            gap = at + outward * step
            if low <= gap <= high and gaps[gap, 0] >= rank:
                return gap
        for step in range(1, most + 1):
            if gaps[at - outward * step, 0] >= rank:
                return at - outward * step
    return at


@njit(cache=True, nogil=True)
def _bytes_of(text: Any, tokens: Any, gaps: Any, n: Any, first: Any, last: Any) -> Any:
    """The bytes that go with tokens [first, last)."""
    start = gaps[first, 1] if gaps[first, 0] else tokens[first, 0]
    if last == n:
        return start, len(text)
    end = gaps[last, 1] if gaps[last, 0] else tokens[last, 0]
    if first == 0:
        return start, end
    at_line = text[start - 1] == 10
    if gaps[last, 2] >= 0 and not at_line:
        end = gaps[last, 2]  # the line break stays
    if start == tokens[first - 1, 1] and end == tokens[last, 0] and tokens[first - 1, 2] and tokens[last, 2]:
        start = tokens[first, 1]  # a Han character stays between the two words
    return start, end


@njit(cache=True, nogil=True)
def _cut_tokens(data, offsets, classes, roles, rows, starts, ends):  # type: ignore[no-untyped-def]
    cuts = np.empty((3, len(rows)), np.int64)
    longest, n, previous = 0, 0, 0
    for row in rows:
        longest = max(longest, offsets[row + 1] - offsets[row])
    tokens, gaps = np.empty((longest, 3), np.int64), np.empty((longest + 1, 3), np.int64)
    for k in range(len(rows)):
        row = rows[k]
        text = data[offsets[row] : offsets[row + 1]]
        if k == 0 or row != rows[k - 1]:
            n, previous = _read(text, classes, roles, tokens, gaps), 0
        most = (ends[k] - starts[k]) // _YIELD
        first = _border(gaps, starts[k], -1, previous, n, most)
        last = _border(gaps, ends[k], 1, 0, n, most)
        cuts[0, k] = row
        cuts[1, k], cuts[2, k] = _bytes_of(text, tokens, gaps, n, first, last)
        previous = last
    return cuts


@njit(cache=True, nogil=True)
def _settle(data, offsets, rows, starts, ends):  # type: ignore[no-untyped-def]
    cuts = np.empty((3, len(rows)), np.int64)
    count = 0
    for k in range(len(rows)):
        row, start, end = rows[k], starts[k], ends[k]
        if start >= end:
            continue
        begin = offsets[row]
        if end == offsets[row + 1] - begin:
            while start > 0 and data[begin + start - 1] <= 32:
                start -= 1
        while count and cuts[0, count - 1] == row and cuts[2, count - 1] >= start:
            count -= 1
            start, end = min(start, cuts[1, count]), max(end, cuts[2, count])
        cuts[0, count], cuts[1, count], cuts[2, count] = row, start, end
        count += 1
    return cuts[:, :count].copy()


@njit(cache=True, nogil=True)
def _without(data, starts, ends, num_lost):  # type: ignore[no-untyped-def]
    left = np.empty(len(data) - num_lost, np.uint8)
    place, position = 0, 0
    for k in range(len(starts) + 1):
        stop = starts[k] if k < len(starts) else len(data)
        left[place : place + stop - position] = data[position:stop]
        place += stop - position
        if k < len(starts):
            position = ends[k]
    return left
