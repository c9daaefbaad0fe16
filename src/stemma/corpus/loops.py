"""Text that runs in a loop: an end that says one phrase again and again, a text or a block of lines that stands twice.

Generators and broken pages leave both. The first copy stays and the others go, whatever white space stands between.
Equal means byte for byte, and only copies that follow each other at once are cut, so that refrains, tables, lists and
code, whose repeats are short or stand apart, stay. A text that would be nothing but the phrase, or would still repeat
itself, is not touched: the rules about repetition judge it whole.
"""

from itertools import groupby

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.furniture import bare_end, bare_start
from stemma.corpus.hashing import mix
from stemma.corpus.repetition import REPETITIONS, count_repetitions
from stemma.corpus.scan import scan

MOST_PHRASE = 2048
"""bytes of the longest phrase that is looked for at the end of a text"""
LEAST_PHRASE = 24
"""bytes of the shortest"""
LEAST_TAIL = 150
"""bytes that must go for an end that says the same three times to be more than a refrain"""
LEAST_BLOCK = 300
"""bytes of the shortest block that counts as standing twice; and of the text that must stand before a loop of many"""
LEAST_LETTERS = 0.6
"""share of letters among the visible characters of what goes; numbers, rules and signs may repeat"""
MOST_REPEATED = 0.3
"""share of the tokens left that may still lie in a run of ten seen before"""
_ANCHOR = 24  # bytes of a line by which a block is found
_SLOTS = 1 << 14


def find_loops(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(document, first byte, last byte + 1) of the copies in a batch that should go, in order.

    Document i is the UTF-8 bytes data[offsets[i] : offsets[i + 1]]. Time is linear in the text, but for its end, which
    costs at most MOST_PHRASE squared."""
    found: list[tuple[int, int, int]] = []
    for document, rows in groupby(_candidates(data, offsets).tolist(), key=lambda row: row[0]):
        cuts = [
            (first, last)
            for _, first, last, period in rows
            if _is_prose(data[last - period : last].tobytes().decode("utf-8", "ignore"))
        ]
        left = _without(data, cuts, int(offsets[document]), int(offsets[document + 1]))
        if cuts and _is_settled(left):
            found += [(document, first, last) for first, last in cuts]
    return found


def strip_loops(text: str) -> str:
    """`text` without the copies; the same object where there is none."""
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    cuts = [(first, last) for _, first, last in find_loops(data, np.array([0, len(data)]))]
    return _without(data, cuts, 0, len(data)).decode("utf-8", "surrogatepass") if cuts else text


def _without(data: npt.NDArray[np.uint8], cuts: list[tuple[int, int]], start: int, end: int) -> bytes:
    """data[start:end] without the cuts, which may begin and end inside a character: copies do so at the same byte."""
    parts = list[bytes]()
    for first, last in cuts:
        parts.append(data[start:first].tobytes())
        start = last
    return b"".join([*parts, data[start:end].tobytes()])


def _is_prose(text: str) -> bool:
    return sum(map(str.isalpha, text)) >= LEAST_LETTERS * sum(map(len, text.split()))


def _is_settled(data: bytes) -> bool:
    scanned = scan(np.frombuffer(data, np.uint8), np.array([0, len(data)]))
    found = dict(zip(REPETITIONS, count_repetitions(scanned)[0].tolist(), strict=True))
    return found["repeated_10gram_tokens"] <= MOST_REPEATED * found["sampled_tokens"]


def _candidates(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(cuts, 4): document, first byte, last byte + 1, bytes of one copy."""
    found = np.empty((256, 4), np.int64)
    count = _find(data, offsets, found)
    if count > len(found):
        found = np.empty((count, 4), np.int64)
        _find(data, offsets, found)
    return found[:count]


@njit(cache=True, nogil=True)
def _copies(data, first, last, period):  # type: ignore[no-untyped-def]
    """How many copies may go where data[first:last] equals what stands `period` bytes before it.

    The white space between the first copy and the second may be lacking at the end of the last."""
    count = (last - first) // period
    gap = last - (count + 1) * period
    while gap < first and data[gap] <= 32:
        gap += 1
    return count + 1 if gap == first else count


@njit(cache=True, nogil=True)
def _equal_from(data, i, start, period):  # type: ignore[no-untyped-def]
    """From where, at or after `start`, up to byte i all is as it was `period` bytes before."""
    while i > start and data[i - 1] == data[i - 1 - period]:
        i -= 1
    return i


@njit(cache=True, nogil=True)
def _equal_to(data, i, end, period):  # type: ignore[no-untyped-def]
    while i < end and data[i] == data[i - period]:
        i += 1
    return i


@njit(cache=True, nogil=True)
def _period(data, start, end):  # type: ignore[no-untyped-def]
    """The bytes of the phrase that a text says at its end three times or more; 0 if there is none."""
    for period in range(1, min(MOST_PHRASE, (end - start) // 3 + 8, end - 1 - start) + 1):
        if data[end - 1] == data[end - 1 - period]:
            first = _equal_from(data, end, max(start + period, end - 2 * period), period)
            if _copies(data, first, end, period) >= 2:
                return period
    return 0


@njit(cache=True, nogil=True)
def _first_end(data, start, end, period):  # type: ignore[no-untyped-def]
    """Where the first copy of the phrase ends; the first copies may stand on lines of their own."""
    last = end - _copies(data, _equal_from(data, end, start + period, period), end, period) * period
    last = bare_end(data, start, last)
    size = end - bare_start(data, end - period, end)
    while True:
        before = bare_end(data, start, last - size)
        if before - size < start or _equal_from(data, last, last - size, last - before) > last - size:
            return last
        last = before


@njit(cache=True, nogil=True)
def _may_go(start, end, size, copies, period):  # type: ignore[no-untyped-def]
    """Whether the text data[start:end] can spare `size` bytes, the copies but the first of a phrase or block."""
    return (copies <= 2 and period >= LEAST_BLOCK) or end - start - size - period >= LEAST_BLOCK


@njit(cache=True, nogil=True)
def _fingerprint(data, first, last):  # type: ignore[no-untyped-def]
    word = np.uint64(last - first)
    for k in range(8):
        word = (word ^ np.uint64(data[first + k])) * np.uint64(0x100000001B3)
        word = (word ^ np.uint64(data[last - 1 - k])) * np.uint64(0x100000001B3)
    return mix(word)


@njit(cache=True, nogil=True)
def _block(data, line, start, end, period):  # type: ignore[no-untyped-def]
    """(where equality with `period` bytes before ends, copies that may go) for a line that stood there before.

    A block begins with a line: sections that differ in a name only look like copies from the name on."""
    stop = _equal_to(data, line, end, period)
    head = _equal_from(data, line, start + period, period) - period
    while head > start and data[head - 1] != 10 and head + period < stop:
        head += 1
    return stop, _copies(data, head + period, stop, period) if head + period < stop else 0


@njit(cache=True, nogil=True)
def _add(found, count, document, first, last, period):  # type: ignore[no-untyped-def]
    if count < len(found):
        found[count, 0], found[count, 1], found[count, 2], found[count, 3] = document, first, last, period
    return count + 1


@njit(cache=True, nogil=True)
def _blocks(data, start, end, seen, found, count, document):  # type: ignore[no-untyped-def]
    """Adds the blocks that stand twice. `seen` has, by fingerprint, where a line began last."""
    line, since, last_period, equal_until = start, start, 0, start
    while line < end:
        i = line
        while i < end and data[i] != 10:
            i += 1
        if i - line >= _ANCHOR:
            slot = np.int64(_fingerprint(data, line, i) & np.uint64(_SLOTS - 1))
            period = line - seen[slot] if seen[slot] >= since else 0
            seen[slot] = line
            if period >= LEAST_BLOCK and (period != last_period or line >= equal_until):
                last_period = period
                equal_until, copies = _block(data, line, since, end, period)
                size = copies * period
                if copies and _may_go(start, end, size, copies, period):
                    count = _add(found, count, document, equal_until - size, equal_until, period)
                    i = since = equal_until
        line = i + 1
    return count


@njit(cache=True, nogil=True)
def _doubled(data, start, end):  # type: ignore[no-untyped-def]
    """The bytes of a text and the white space behind it that stand twice; 0 if they do not."""
    for gap in range(5):
        period = (end - start + gap) // 2
        if 2 * period - gap != end - start or period < LEAST_BLOCK:
            continue
        same = _equal_to(data, start + period, end, period) == end
        if same and _copies(data, start + period, end, period) == 1:
            return period
    return 0


@njit(cache=True, nogil=True)
def _find(data, offsets, found):  # type: ignore[no-untyped-def]
    seen = np.full(_SLOTS, -1, np.int64)  # places in documents before this one do not count
    count = 0
    for document in range(len(offsets) - 1):
        start, end = offsets[document], bare_end(data, offsets[document], offsets[document + 1])
        start = bare_start(data, start, end)
        period = _doubled(data, start, end)
        if period:
            count = _add(found, count, document, end - period, end, period)
            continue
        period = _period(data, start, end)
        stop = end
        if period >= LEAST_PHRASE:
            last = _first_end(data, start, end, period)
            size = end - last
            if size >= LEAST_TAIL and _may_go(start, end, size, size // period, period):
                stop = last
        if stop - start >= 2 * LEAST_BLOCK:
            count = _blocks(data, start, stop, seen, found, count, document)
        if stop < end:
            count = _add(found, count, document, stop, end, period)
    return count
