"""The one pass over UTF-8 bytes that finds where a personal value may stand.

Eight bytes are judged at once: a word of them without digit, "@", hyphen or full-width form, and that is no piece of a
long Latin word, costs a few operations. Elsewhere it is looked for: an "@" between two words; a cluster of digits
(spaces, hyphens, dots and parentheses between them) long or grouped enough to be a number of the kinds looked for; four
numbers with dots; hexadecimal groups of a global IPv6 address; the head of an IBAN; a long word that begins like an
access key. Full-width forms count as ASCII, and a Han character is never part of a word. The proofs, which read the
few places found here, are in the other files of this room.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.personal.cluster import heads_groups, read_cluster, read_iban
from stemma.corpus.personal.forms import ascii_at, ascii_before, is_digit, is_upper, is_word

AT, NUMBER, QUAD, GROUPS, IBAN, KEY, ARMOUR = range(7)
KEY_HEADS = (
    *("AKI", "ASI", "ghp", "gho", "ghu", "ghs", "ghr", "git", "glp", "xox", "sk-", "sk_", "rk_", "AIz"),
    *("hf_", "npm", "pyp", "eyJ", "LTA", "dop", "shp"),
)
"""The first three letters of the words that `secret` knows."""
LONG_WORD = 16  # the shortest key

_WORD = np.zeros(256, np.bool_)
_WORD[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-")] = True
_HEADS = np.array(sorted({int.from_bytes(head.encode(), "big") for head in KEY_HEADS}), np.int64)


def find_triggers(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(hits, 4): document, kind, first and last byte + 1 of each place, by document.

    Document i is data[offsets[i] : offsets[i + 1]]; the offsets rise from 0 to the length of the data."""
    if data.flags.writeable:
        data = data.view()
        data.flags.writeable = False  # one type to compile for
    octets = data[: len(data) & ~7].view(np.uint64)
    if not octets.flags.aligned:
        octets = octets.copy()
        octets.flags.writeable = False
    return _find(data, octets, offsets)


@njit(cache=True, nogil=True)
def _key(data, first, stop, start):  # type: ignore[no-untyped-def]
    """Where a key may begin in the long word data[first:stop], -1 if nowhere."""
    while first < stop and data[first] in (45, 95):
        first += 1
    if stop - first < LONG_WORD:
        return -1
    head = np.int64(data[first]) << 16 | np.int64(data[first + 1]) << 8 | np.int64(data[first + 2])
    for known in _HEADS:
        if head == known:
            return first
    if first - start >= 3 and data[first - 1] == 46:
        if data[first - 3] == 83 and data[first - 2] == 71:
            return first - 3  # SG.
        if data[first - 3] == 50 and data[first - 2] == 57 and first - start >= 5:
            return first - 5  # ya29.
    return -1


@njit(cache=True, nogil=True)
def _is_armour(data, i, end):  # type: ignore[no-untyped-def]
    """Whether -----BEGIN stands at byte i."""
    if i + 10 > end or data[i + 5] != 66 or data[i + 6] != 69 or data[i + 9] != 78:
        return False
    return data[i] == data[i + 1] == data[i + 2] == data[i + 3] == data[i + 4] == 45


_HIGH, _LOW = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
_ZEROS, _PAST_NINES = np.uint64(0x3030303030303030), np.uint64(0x3A3A3A3A3A3A3A3A)
_TENS, _PAST_TENS = np.uint64(0x1010101010101010), np.uint64(0x1A1A1A1A1A1A1A1A)
_TWENTIES, _PAST_TWENTIES = np.uint64(0x2020202020202020), np.uint64(0x2121212121212121)
_ATS, _HYPHENS, _WIDES = (np.uint64(byte * 0x0101010101010101) for byte in (0x40, 0x2D, 0xEF))


@njit(cache=True, nogil=True, inline="always")
def _holds(octet: Any, byte: Any) -> Any:
    """Non-zero if one of the eight bytes is the one repeated in `byte`."""
    difference = octet ^ byte
    return (difference - _LOW) & ~difference & _HIGH


@njit(cache=True, nogil=True, inline="always")
def _is_busy(octet: Any) -> Any:
    """Non-zero if one of the eight bytes is a digit or an "@", wide or not, or two are hyphens."""
    raised = octet | _HIGH  # no borrow leaves a byte
    digits = (raised - _ZEROS) & ~(raised - _PAST_NINES) & ~octet & _HIGH
    wide = _holds(octet, _WIDES)
    if wide:  # EF BC 90 to EF BC 99 are digits, EF BC A0 the "@"; where the third byte is not among the eight, it may be
        low = octet | _HIGH
        third = ((low - _TENS) & ~(low - _PAST_TENS)) | ((low - _TWENTIES) & ~(low - _PAST_TWENTIES))
        wide = (wide >> np.uint64(48)) | ((wide << np.uint64(16)) & third & octet)
    hyphens = _holds(octet, _HYPHENS)
    return digits | _holds(octet, _ATS) | (hyphens & (hyphens << np.uint64(8))) | wide


@njit(cache=True, nogil=True, inline="always")
def _may_be_word(octet: Any) -> Any:
    """Whether all eight bytes are ASCII and none is below the hyphen."""
    return (octet & _HIGH) == 0 and ((octet | _HIGH) - _HYPHENS) & _HIGH == _HIGH


@njit(cache=True, nogil=True)
def _busy(data, i, stop, start, end, hits, count, document, cluster_end):  # type: ignore[no-untyped-def]
    """Look at the bytes [i, stop) of a document. Returns the hits so far and where the last cluster ends."""
    begin = i
    while i < stop:
        byte = data[i]
        if byte < 0x80:
            code, width = np.int64(byte), 1
        elif byte == 0xEF:
            found = ascii_at(data, i, end)
            code, width = found >> 3, found & 7
        else:
            i += 1
            continue
        if 48 <= code <= 57:
            if i >= cluster_end:
                cluster_end, number, quad = read_cluster(data, i, start, end)
                if number:
                    hits[count] = document, NUMBER, i, cluster_end
                    count += 1
                if quad:
                    hits[count] = document, QUAD, i, cluster_end
                    count += 1
            before = ascii_before(data, i, start) >> 3
            if is_digit(before):
                i += width
                continue
            if is_upper(before):
                first, last = read_iban(data, i, start, end)
                if last > 0:
                    hits[count] = document, IBAN, first, last
                    count += 1
            elif code in (50, 51) and not is_word(before) and heads_groups(data, i, end):
                hits[count] = document, GROUPS, i, i + width
                count += 1
        elif code == 64:
            if i > start and i + width < end and is_word(ascii_at(data, i + width, end) >> 3):
                before = ascii_before(data, i, start) >> 3
                if is_word(before) or before in (95, 43, 45, 37):
                    hits[count] = document, AT, i, i + width
                    count += 1
        elif code == 45 and width == 1:
            # the hyphens may begin in the eight bytes before, which one of them does not make busy
            earliest = max(start, i - 4) if i == begin else i
            for first in range(earliest, i + 1):
                if _is_armour(data, first, end):
                    hits[count] = document, ARMOUR, first, first + 10
                    count += 1
        i += width
    return count, cluster_end


@njit(cache=True, nogil=True)
def _find(data, octets, offsets):  # type: ignore[no-untyped-def]
    hits = np.empty((64, 4), np.int64)
    count, document, cluster_end, word_end = 0, 0, 0, 0
    start, end = 0, 0
    for place in range(len(octets) + 1):
        last = place == len(octets)
        octet = np.uint64(0) if last else octets[place]
        busy = last or _is_busy(octet) != 0
        wordy = not last and _may_be_word(octet)
        if not (busy or wordy):
            continue
        i = place * 8
        stop = len(data) if last else i + 8
        if count + 24 > len(hits):
            larger = np.empty((2 * len(hits), 4), np.int64)
            larger[:count] = hits[:count]
            hits = larger
        while i < stop:
            while i >= end:
                start, end = offsets[document], offsets[document + 1]
                document += 1
            inside = min(stop, end)
            if busy:
                count, cluster_end = _busy(
                    data, i, inside, start, end, hits, count, document - 1, cluster_end
                )
            if wordy and inside - i == 8 and i >= word_end:
                word_end = i
                while word_end < end and _WORD[data[word_end]]:
                    word_end += 1
                if word_end >= inside:
                    first = i
                    while first > start and _WORD[data[first - 1]]:
                        first -= 1
                    key = _key(data, first, word_end, start)
                    if key >= 0:
                        hits[count] = document - 1, KEY, key, word_end
                        count += 1
            i = inside
    return hits[:count]
