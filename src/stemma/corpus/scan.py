"""One compiled pass over a text's UTF-8 bytes, from which every rule reads.

The pass yields character counts, the folded text (lower case, narrow width, white space collapsed), a 64-bit
hash per token (a token is a run of letters and digits, or one Han or kana character) and a hash and length
per line.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.batch_scan import ScannedBatch, scan_batch
from stemma.corpus.characters import (
    DIGIT,
    HAN,
    KANA,
    LETTER,
    NUM_CLASSES,
    OTHER,
    SPACE,
    SYMBOL,
    CharacterTables,
    character_tables,
)
from stemma.corpus.hashing import mix

__all__ = ["Scan", "ScannedBatch", "mix", "scan", "scan_batch"]

LONG_RUN = 16  # the same visible character this many times in a row counts as a run
_RUN_CHARACTERS, _LONGEST_RUN, _NUM_FOLDED, _NUM_TOKENS, _NUM_LINES = range(NUM_CLASSES, NUM_CLASSES + 5)
_NUM_COUNTS = NUM_CLASSES + 5


class Scan(NamedTuple):
    """What one pass found. Arrays are views cut to length."""

    class_counts: npt.NDArray[np.int64]
    """(NUM_CLASSES,) characters of each class of `characters`."""
    run_characters: int
    """Characters inside runs of LONG_RUN or more of the same visible character."""
    longest_run: int
    folded: npt.NDArray[np.uint32]
    """The folded text as code points; equal for copies that differ in case, width or white space."""
    tokens: npt.NDArray[np.uint64]
    line_hashes: npt.NDArray[np.uint64]
    """One per line that has a visible character."""
    line_lengths: npt.NDArray[np.int64]
    """Visible characters of these lines."""


def scan(text: str, tables: CharacterTables | None = None) -> Scan:
    """Scan one text. Scratch memory is about 30 bytes per byte of it."""
    classes, folds = tables or character_tables()
    data = np.frombuffer(text.encode("utf-8"), np.uint8)
    counts = np.zeros(_NUM_COUNTS, np.int64)
    folded = np.empty(len(data), np.uint32)
    tokens = np.empty(len(data), np.uint64)
    num_lines = text.count("\n") + 1
    line_hashes, line_lengths = np.empty(num_lines, np.uint64), np.empty(num_lines, np.int64)
    _scan(data, classes, folds, counts, folded, tokens, line_hashes, line_lengths)
    return Scan(
        counts[:NUM_CLASSES],
        int(counts[_RUN_CHARACTERS]),
        int(counts[_LONGEST_RUN]),
        folded[: counts[_NUM_FOLDED]],
        tokens[: counts[_NUM_TOKENS]],
        line_hashes[: counts[_NUM_LINES]],
        line_lengths[: counts[_NUM_LINES]],
    )


@njit(cache=True, nogil=True)
def _upper_plane_class(code: Any) -> Any:
    if 0x20000 <= code <= 0x3FFFF:
        return HAN
    if 0x1F000 <= code <= 0x1FAFF:
        return SYMBOL
    if 0xE0000 <= code <= 0xE0FFF:
        return OTHER
    return LETTER if code < 0x20000 else OTHER


@njit(cache=True, nogil=True)
def _scan(data, classes, folds, counts, folded, tokens, line_hashes, line_lengths):  # type: ignore[no-untyped-def]
    position, size = 0, len(data)
    num_folded, num_tokens, num_lines = 0, 0, 0
    word, in_word = np.uint64(0), False
    line, line_length = np.uint64(0), 0
    previous, run = 0, 0
    space_pending, previous_is_word = False, False
    while position <= size:
        at_end = position == size
        if at_end:
            code, kind = 10, SPACE
            position += 1
        else:
            first = np.int64(data[position])
            if first < 0x80:
                code = first
                position += 1
            elif first < 0xE0:
                code = ((first & 0x1F) << 6) | (data[position + 1] & 0x3F)
                position += 2
            elif first < 0xF0:
                code = (
                    ((first & 0x0F) << 12) | ((data[position + 1] & 0x3F) << 6) | (data[position + 2] & 0x3F)
                )
                position += 3
            else:
                code = ((first & 0x07) << 18) | ((data[position + 1] & 0x3F) << 12)
                code |= ((data[position + 2] & 0x3F) << 6) | (data[position + 3] & 0x3F)
                position += 4
            kind = np.int64(classes[code]) if code < 0x10000 else _upper_plane_class(code)
            counts[kind] += 1

        if code == previous and kind != SPACE:
            run += 1
        else:
            if run >= LONG_RUN:
                counts[_RUN_CHARACTERS] += run
            counts[_LONGEST_RUN] = max(counts[_LONGEST_RUN], run)
            run = 0 if kind == SPACE else 1
            previous = code

        is_word = kind in (LETTER, DIGIT)
        if in_word and not is_word:
            tokens[num_tokens] = mix(word)
            num_tokens += 1
            word, in_word = np.uint64(0), False

        if kind == SPACE:
            space_pending = True
            if code == 10 and line_length > 0:
                line_hashes[num_lines] = mix(line)
                line_lengths[num_lines] = line_length
                num_lines += 1
                line, line_length = np.uint64(0), 0
            continue

        fold = np.int64(folds[code]) if code < 0x10000 else code
        if space_pending and is_word and previous_is_word:
            folded[num_folded] = 32  # white space counts only where it divides two words
            num_folded += 1
            if line_length > 0:
                line = (line ^ np.uint64(32)) * np.uint64(0x100000001B3) + np.uint64(1)
        space_pending, previous_is_word = False, is_word
        folded[num_folded] = fold
        num_folded += 1
        line = (line ^ np.uint64(fold)) * np.uint64(0x100000001B3) + np.uint64(1)
        line_length += 1
        if is_word:
            word = (word ^ np.uint64(fold)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
            in_word = True
        elif kind in (HAN, KANA):
            tokens[num_tokens] = mix(np.uint64(fold) + np.uint64(0x5851F42D4C957F2D))
            num_tokens += 1
    counts[_NUM_FOLDED], counts[_NUM_TOKENS], counts[_NUM_LINES] = num_folded, num_tokens, num_lines
