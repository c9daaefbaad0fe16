"""Compiled search for known pieces of text inside a document, by runs of tokens (seeds) they have in common.

Seed and extend: each run of SEED tokens of the document is looked up in a table of the pieces' runs; matches of one
piece that lie on nearly the same diagonal (place in the document - place in the piece) are a candidate, and the candidate
is aligned: the heaviest common subsequence of the piece and that part of the document, in a band around the diagonals.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import BASE, find_slot, mix, power

SEED = 5  # tokens; of a text with 8 % of its tokens changed, 87 % still lie in unchanged runs of 5
PARTIAL, EDITED, VERBATIM = range(3)

MIN_COVERAGE = 0.75  # of the piece, aligned, for an edited copy
MIN_SEEDED = 0.25  # of the piece in unchanged runs, before an alignment is tried
PARTIAL_COVERAGE = 0.40  # of the piece in unchanged runs, for a part of it
PARTIAL_INFORMATION = 12.0  # in unchanged runs: 12 words, 19 Han characters
MIN_RARE = 8.0  # information that not every other item has too, for anything but a verbatim copy
SHORT_SLACK = 0.375  # of the information above MIN_RARE, that an edited copy of a short piece may lack


class Index(NamedTuple):
    """The pieces, and where each seed occurs in them: about 55 bytes a token, 2.8 GB for a million items of 50."""

    tokens: npt.NDArray[np.uint64]
    """All pieces' tokens in a row."""
    rare: npt.NDArray[np.float32]
    """Per token, its information where a seed that few pieces share covers it, else 0."""
    begins: npt.NDArray[np.int64]
    """(num_pieces + 1,) where each piece starts in `tokens`."""
    totals: npt.NDArray[np.float32]
    """(num_pieces,) sums of `rare`."""
    num_seeds: npt.NDArray[np.int32]
    """(num_pieces,) seeds of each piece that are in the table."""
    bitmap: npt.NDArray[np.uint64]
    """Three bits of one word per seed (a blocked Bloom filter); most of a document's runs end here."""
    keys: npt.NDArray[np.uint64]
    """Open-addressing table of seed hashes; 0 is free."""
    firsts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int32]
    """Per slot, which of the postings are its."""
    pieces: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    """Postings: piece and place in it."""


class Matches(NamedTuple):
    """Pieces found in one document, in the order of the pieces."""

    pieces: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.int8]
    matched: npt.NDArray[np.float32]
    """Share of the piece's rare information that was found."""


def find_pieces(tokens: npt.NDArray[np.uint64], index: Index) -> Matches:
    """Which pieces stand in a document, whole, edited or in part."""
    places, slots = _seed_hits(tokens, index.bitmap, index.keys)
    if not len(places):
        return Matches(np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0, np.float32))
    return Matches(*_matches(tokens, places, slots, index))


@njit(cache=True, nogil=True)
def bits_of(key: Any, bitmap: Any) -> Any:
    """(word, mask) of a seed's three bits; from the high bits of the hash, the table goes by the low ones."""
    word = (key >> np.uint64(18)) & np.uint64(len(bitmap) - 1)
    mask = np.uint64(0)
    for shift in (np.uint64(46), np.uint64(52), np.uint64(58)):
        mask |= np.uint64(1) << ((key >> shift) & np.uint64(63))
    return np.int64(word), mask


@njit(cache=True, nogil=True)
def _seed_hits(tokens: Any, bitmap: Any, keys: Any) -> Any:
    """(places, slots) of the document's runs that are seeds."""
    places, hits = np.empty(len(tokens) + 1, np.int32), np.empty(len(tokens) + 1, np.uint64)
    rolling, first, passed = np.uint64(0), power(SEED - 1), 0
    for i in range(min(SEED - 1, len(tokens))):
        rolling = rolling * BASE + tokens[i]
    for i in range(SEED - 1, len(tokens)):
        rolling = rolling * BASE + tokens[i]
        key = mix(rolling) | np.uint64(1)
        word, mask = bits_of(key, bitmap)
        # Without a branch the loads of many runs are under way at once.
        places[passed], hits[passed] = i - SEED + 1, key
        passed += np.int64((bitmap[word] & mask) == mask)
        rolling -= tokens[i - SEED + 1] * first
    slots, found = np.empty(passed, np.int64), 0
    for i in range(passed):
        slot = find_slot(keys, hits[i])
        if keys[slot] != 0:
            places[found], slots[found] = places[i], slot
            found += 1
    return places[:found], slots[:found]


@njit(cache=True, nogil=True)
def _matches(tokens: Any, places: Any, slots: Any, index: Any) -> Any:
    total = 0
    for slot in slots:
        total += index.counts[slot]
    order_keys, offsets = np.empty(total, np.int64), np.empty(total, np.int32)
    n = 0
    for i in range(len(places)):
        first = index.firsts[slots[i]]
        for posting in range(first, first + index.counts[slots[i]]):
            offset = index.offsets[posting]
            # Sorted by piece, then diagonal; a diagonal is above -2^20 because a piece is short.
            diagonal = np.int64(places[i]) - offset + (1 << 20)
            order_keys[n] = (np.int64(index.pieces[posting]) << 32) | diagonal
            offsets[n] = offset
            n += 1
    order = np.argsort(order_keys, kind="mergesort")
    found, kinds, matched = np.empty(total, np.int32), np.empty(total, np.int8), np.empty(total, np.float32)
    num_found, first = 0, 0
    while first < total:
        piece = order_keys[order[first]] >> 32
        last = first
        while last < total and order_keys[order[last]] >> 32 == piece:
            last += 1
        diagonals = (order_keys[order[first:last]] & 0xFFFFFFFF) - (1 << 20)
        kind, share = _judge(tokens, piece, diagonals, offsets[order[first:last]], index)
        if kind >= 0:
            found[num_found], kinds[num_found], matched[num_found] = piece, kind, share
            num_found += 1
        first = last
    return found[:num_found], kinds[:num_found], matched[:num_found]


@njit(cache=True, nogil=True)
def _judge(tokens: Any, piece: Any, diagonals: Any, offsets: Any, index: Any) -> Any:
    """(kind or -1, share of the rare information) of one piece, given its seed matches by diagonal."""
    begin, end = index.begins[piece], index.begins[piece + 1]
    own, rare, total = index.tokens[begin:end], index.rare[begin:end], index.totals[piece]
    if _is_verbatim(tokens, own, diagonals, index.num_seeds[piece]):
        return VERBATIM, np.float32(1)
    if total < MIN_RARE:
        return -1, np.float32(0)
    first, last = _densest(diagonals, max(4, len(own) // 5))
    seeded = _seeded(offsets[first:last], rare)
    if seeded < MIN_SEEDED * total:
        return -1, np.float32(0)
    aligned = _aligned(tokens, own, rare, diagonals[first], diagonals[last - 1])
    if total - aligned <= min((1 - MIN_COVERAGE) * total, SHORT_SLACK * (total - MIN_RARE)):
        return EDITED, np.float32(aligned / total)
    if seeded >= PARTIAL_COVERAGE * total and seeded >= PARTIAL_INFORMATION:
        return PARTIAL, np.float32(seeded / total)
    return -1, np.float32(0)


@njit(cache=True, nogil=True)
def _is_verbatim(tokens: Any, own: Any, diagonals: Any, num_seeds: Any) -> bool:
    first = 0
    while first < len(diagonals):
        last, start = first, diagonals[first]
        while last < len(diagonals) and diagonals[last] == start:
            last += 1
        if last - first >= num_seeds and start >= 0 and start + len(own) <= len(tokens):
            same = 0
            while same < len(own) and tokens[start + same] == own[same]:
                same += 1
            if same == len(own):
                return True
        first = last
    return False


@njit(cache=True, nogil=True)
def _densest(diagonals: Any, width: Any) -> Any:
    """[first, last) of the most seed matches whose diagonals differ by at most `width`."""
    best_first, best_last, first = 0, 0, 0
    for last in range(len(diagonals)):
        while diagonals[last] - diagonals[first] > width:
            first += 1
        if last + 1 - first > best_last - best_first:
            best_first, best_last = first, last + 1
    return best_first, best_last


@njit(cache=True, nogil=True)
def _seeded(offsets: Any, rare: Any) -> Any:
    """Rare information that the seed matches cover."""
    covered = np.zeros(len(rare), np.bool_)
    for offset in offsets:
        covered[offset : offset + SEED] = True
    total = np.float32(0)
    for i in range(len(rare)):
        if covered[i]:
            total += rare[i]
    return total


@njit(cache=True, nogil=True)
def _aligned(tokens: Any, own: Any, rare: Any, low: Any, high: Any) -> Any:
    """Rare information of the heaviest common subsequence, on diagonals from `low` to `high` and a little beyond."""
    slack = 3 + len(own) // 10
    low, width = low - slack, high - low + 2 * slack + 1
    # best[k]: the best so far of the piece's first i tokens and the document up to place i + low + k.
    best = np.zeros(width + 1, np.float32)
    for i in range(len(own)):
        left = np.float32(0)
        for k in range(width):
            place = i + low + k
            value = max(left, best[k + 1])
            if 0 <= place < len(tokens) and tokens[place] == own[i]:
                value = max(value, best[k] + rare[i])
            best[k] = left = value
    return best[:width].max()
