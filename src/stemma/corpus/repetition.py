"""How much of each document of a batch repeats itself: runs of 2 to LONGEST tokens, lines and paragraphs.

All run lengths come from one walk. A run of n + 1 tokens can stand twice only if its first n do, so a table
holds the runs of two tokens, and longer ones only below a run that was met again: a trie that grows where the
text repeats. The walk from a token stops at the first run that is new; most stop at once. Each node keeps how
often its run stood.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import extend, find_slot
from stemma.corpus.scan import Scanned

MOST_FREQUENT = (2, 3, 4)
"""lengths of the runs whose most frequent one is looked for"""
REPEATED = (5, 6, 7, 8, 9, 10, 13)
"""lengths of the runs that are looked for earlier in the text"""
LONGEST = max(REPEATED)
MOST_TOKENS = 1 << 20
"""tokens at the start of a document among which runs are counted: it bounds the memory"""
_SHORTEST, _REPEATED_FROM = min(MOST_FREQUENT), min(REPEATED)

REPETITIONS = (
    *("sampled_tokens", "sampled_characters"),
    *(f"top_{n}gram_{unit}" for unit in ("tokens", "characters") for n in MOST_FREQUENT),
    *(f"repeated_{n}gram_{unit}" for unit in ("tokens", "characters") for n in REPEATED),
    *(f"duplicate_{part}{unit}" for part in ("line", "paragraph") for unit in ("s", "_characters")),
)
"""Columns of `count_repetitions`: the first MOST_TOKENS tokens and their characters; of these the tokens, or
characters of tokens, inside the most frequent run (0 if none stands twice; of equally frequent ones the
longest in characters) and inside a run that stood earlier; lines, paragraphs and their visible characters
that stood earlier."""
_TOKENS_TOP, _CHARACTERS_TOP = 2, 2 + len(MOST_FREQUENT)
_TOKENS_REPEATED = 2 + 2 * len(MOST_FREQUENT)
_CHARACTERS_REPEATED = _TOKENS_REPEATED + len(REPEATED)
_LINES = _CHARACTERS_REPEATED + len(REPEATED)
_PLACES = np.array([REPEATED.index(n) if n in REPEATED else -1 for n in range(LONGEST + 1)])


def count_repetitions(scanned: Scanned) -> npt.NDArray[np.int64]:
    """(n, len(REPETITIONS)) for each document of a batch.

    Memory: a table for one document at a time, 64 to 128 bytes per token, at most 64 MB; four times as much
    for a text that repeats nearly all of itself with changes.
    """
    found = np.zeros((len(scanned.token_offsets) - 1, len(REPETITIONS)), np.int64)
    _count_runs(scanned.tokens, scanned.token_lengths, scanned.token_offsets, found)
    lines = (scanned.line_hashes, scanned.line_lengths, scanned.line_offsets)
    paragraphs = (scanned.paragraph_hashes, scanned.paragraph_lengths, scanned.paragraph_offsets)
    _count_duplicates(*lines, found[:, _LINES : _LINES + 2])
    _count_duplicates(*paragraphs, found[:, _LINES + 2 :])
    return found


@njit(cache=True, nogil=True)
def _size_for(count: int) -> int:
    size = 16
    while size < 4 * count:
        size *= 2
    return size


@njit(cache=True, nogil=True)
def _grown(table):  # type: ignore[no-untyped-def]
    """The same nodes in a table of twice the size."""
    grown = np.zeros((2 * len(table), 2), np.uint64)
    for i in range(len(table)):
        if table[i, 0]:
            slot = _node(grown, table[i, 0])
            grown[slot, 0], grown[slot, 1] = table[i, 0], table[i, 1]
    return grown


@njit(cache=True, nogil=True, inline="always")
def _node(table: Any, key: Any) -> Any:
    mask = np.uint64(len(table) - 1)
    slot = key & mask
    while table[slot, 0] != 0 and table[slot, 0] != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@njit(cache=True, nogil=True)
def _count_runs(tokens, lengths, offsets, found):  # type: ignore[no-untyped-def]
    # A node: the key of its run, and place << 32 | count. The place is that of the first such run, plus 1, until
    # that run is put among those one token longer.
    buffer = np.zeros((1024, 2), np.uint64)
    until, best = np.zeros(LONGEST + 1, np.int64), np.zeros(LONGEST + 1, np.int64)
    best_characters = np.zeros(LONGEST + 1, np.int64)
    one, low = np.uint64(1), np.uint64(0xFFFFFFFF)
    for document in range(len(offsets) - 1):
        begin = offsets[document]
        end = min(offsets[document + 1], begin + MOST_TOKENS)
        found[document, 0] = end - begin
        for i in range(begin, end):
            found[document, 1] += lengths[i]
        size = _size_for(end - begin)
        if size > len(buffer):
            buffer = np.zeros((size, 2), np.uint64)
        table = buffer[:size]
        table[:] = 0
        until[:] = begin
        best[:] = 1
        best_characters[:] = 0
        used = 0
        for i in range(begin, end - 1):
            key = extend(tokens[i], tokens[i + 1])
            n = _SHORTEST
            while True:
                slot = _node(table, key)
                if table[slot, 0] == 0:
                    table[slot, 0], table[slot, 1] = key, np.uint64(i - begin + 1) << np.uint64(32) | one
                    used += 1
                    break
                node = table[slot, 1] + one
                first = np.int64(node >> np.uint64(32))
                table[slot, 1] = node & low
                if n < _REPEATED_FROM:
                    count = np.int64(node & low)
                    if count >= best[n]:
                        characters = 0
                        for k in range(i, i + n):
                            characters += lengths[k]
                        if count > best[n] or characters > best_characters[n]:
                            best[n], best_characters[n] = count, characters
                else:
                    place = _PLACES[n]
                    if place >= 0:
                        start = max(i, until[n])
                        until[n] = i + n
                        found[document, _TOKENS_REPEATED + place] += i + n - start
                        for k in range(start, i + n):
                            found[document, _CHARACTERS_REPEATED + place] += lengths[k]
                if n == LONGEST:
                    break
                if first > 0 and begin + first - 1 + n < end:
                    below = extend(key, tokens[begin + first - 1 + n])
                    slot = _node(table, below)
                    table[slot, 0], table[slot, 1] = below, np.uint64(first) << np.uint64(32) | one
                    used += 1
                if i + n >= end:
                    break
                key = extend(key, tokens[i + n])
                n += 1
                if 4 * used > 3 * len(table):
                    table = _grown(table)
            if 4 * used > 3 * len(table):
                table = _grown(table)
        for column in range(len(MOST_FREQUENT)):
            n = MOST_FREQUENT[column]
            if best[n] > 1:
                found[document, _TOKENS_TOP + column] = min(best[n] * n, end - begin)
                found[document, _CHARACTERS_TOP + column] = best[n] * best_characters[n]
        if len(table) > len(buffer):
            buffer = table


@njit(cache=True, nogil=True)
def _count_duplicates(hashes, lengths, offsets, found):  # type: ignore[no-untyped-def]
    buffer = np.zeros(1024, np.uint64)
    for document in range(len(offsets) - 1):
        begin, end = offsets[document], offsets[document + 1]
        size = _size_for(end - begin)
        if size > len(buffer):
            buffer = np.zeros(size, np.uint64)
        table = buffer[:size]
        table[:] = 0
        for i in range(begin, end):
            key = hashes[i] | np.uint64(1)
            slot = find_slot(table, key)
            if table[slot] == 0:
                table[slot] = key
            else:
                found[document, 0] += 1
                found[document, 1] += lengths[i]
