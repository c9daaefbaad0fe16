"""Passages of at least `min_tokens` tokens that already stand earlier in the corpus (substring deduplication, Lee et al.
2021, arXiv 2107.06499, section 4.1), without a suffix array: found by anchors, proved token by token.

    anchors   each part    winnowing (Schleimer et al. 2003): of every `min_tokens` tokens in a row, one run of GRAM
                           tokens is chosen by its hash alone, so two copies of a passage choose the same one
    links     each slice   anchors that stand in more than one place: each later place with some earlier ones
              of hashes
    matches   each part    every link grown to the longest run of equal tokens around it, in both directions

A passage may repeat one of the same document, where the two stand apart. Anchors take 12 bytes on disk and there
are 2 / (min_tokens - GRAM + 2) for a token: at the default 1 byte for every 2 tokens, 9 % of English text and 16 % of
Chinese. Links are at most 2 * `max_links` for an anchor; matching is linear in links and tokens.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import BASE, mix, power

MIN_TOKENS = 50  # Lee et al., RefinedWeb
GRAM = 8  # tokens; shorter ones make fewer anchors
MAX_LINKS = 3  # earlier places an anchor is compared with, for each side
_LEFT, _RIGHT = np.uint64(0xFF00), np.uint64(0xFF)  # bits of a hash; 0 where there are too few tokens
Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


class Anchors(NamedTuple):
    """The anchors of a batch, in order."""

    hashes: Hashes
    """48 bits of the run, then 8 of the tokens on its left and 8 of those on its right: as many as a passage around it
    must have on one side. Places meet by the run and one side, so a common phrase alone does not link them."""
    places: npt.NDArray[np.uint32]
    """Where in the batch's tokens each run begins."""


class Links(NamedTuple):
    """Places that begin with the same GRAM tokens, by document number and token of the document.

    Ordered by document, then position; (source, source_position) is the earlier place.
    """

    documents: Numbers
    positions: Numbers
    sources: Numbers
    source_positions: Numbers

    def between(self, start: int, stop: int) -> "Links":
        """Those of the documents with numbers in [start, stop)."""
        first, last = np.searchsorted(self.documents, (start, stop))
        return Links(*(column[first:last] for column in self))


class Passages(NamedTuple):
    """Tokens [start, end) of documents that stand earlier in the corpus, ordered, none touching another."""

    documents: Numbers
    starts: Numbers
    ends: Numbers
    sources: Numbers
    """Number of the document that the first match in it was found in."""


def find_anchors(tokens: Hashes, token_offsets: Numbers, min_tokens: int = MIN_TOKENS) -> Anchors:
    """The anchors of a batch of documents; none in a document of fewer than `min_tokens` (at least GRAM) tokens.

    Of every `min_tokens` tokens in a row in a document one run is chosen: that of the smallest hash, the last of equals.
    """
    assert min_tokens >= GRAM
    return Anchors(*_find_anchors(tokens, token_offsets, min_tokens))


def locate(
    places: npt.NDArray[Any], token_offsets: Numbers, first_document: int = 0
) -> tuple[Numbers, Numbers]:
    """(document number, token of the document) of places in a batch whose first document has the number given."""
    rows = np.searchsorted(token_offsets, places, "right") - 1
    return rows + first_document, places.astype(np.int64) - token_offsets[rows]


def link_anchors(hashes: Hashes, documents: Numbers, positions: Numbers, max_links: int = MAX_LINKS) -> Links:
    """Link each place of an anchor to the first `max_links` - 1 places of the same run and side, and the last before it.

    Give all anchors of the corpus whose hashes lie in one slice, made by their high 48 bits, in any order; the links of
    all slices together are those of the corpus. Memory: 80 bytes for each anchor and 64 for each link.
    """
    pairs = [np.empty(0, np.int64)]
    for side, other in ((_LEFT, _RIGHT), (_RIGHT, _LEFT)):
        which = np.flatnonzero(hashes & side)  # the others have too few tokens on that side
        keys = hashes[which] & ~other
        order = np.lexsort((positions[which], documents[which], keys))
        later, earlier = which[order[_link(keys[order], max_links)]]
        pairs.append(later * len(hashes) + earlier)
    later, earlier = np.divmod(np.unique(np.concatenate(pairs)), max(len(hashes), 1))
    return sort_links(Links(documents[later], positions[later], documents[earlier], positions[earlier]))


def sort_links(links: Links) -> Links:
    """Links in their order, for example those of several slices of the key space one behind another."""
    order = np.lexsort((links.source_positions, links.sources, links.positions, links.documents))
    return Links(*(column[order] for column in links))


def match_links(
    links: Links,
    tokens: Hashes,
    token_offsets: Numbers,
    numbers: Numbers,
    source_tokens: Hashes,
    source_offsets: Numbers,
    source_numbers: Numbers,
    min_tokens: int = MIN_TOKENS,
) -> Passages:
    """Grow links to passages.

    `tokens`, `token_offsets` and `numbers` (ascending) are the documents of the links; the `source_` ones hold at least
    all their sources. A document's links must come in one call; which documents share a call does not matter.
    """
    rows = np.searchsorted(numbers, links.documents)
    source_rows = np.searchsorted(source_numbers, links.sources)
    found = _match(
        rows,
        links.positions,
        source_rows,
        links.source_positions,
        links.documents == links.sources,
        tokens,
        token_offsets,
        source_tokens,
        source_offsets,
        min_tokens,
    )
    return Passages(numbers[found[0]], found[1], found[2], source_numbers[found[3]])


@njit(cache=True, nogil=True)
def _byte(value: Any) -> Any:
    """1 to 255."""
    return mix(value) % np.uint64(255) + np.uint64(1)


@njit(cache=True, nogil=True)
def _find_anchors(tokens: Any, offsets: Any, min_tokens: int) -> Any:
    window, side = min_tokens - GRAM + 1, (min_tokens - GRAM + 1) // 2
    hashes, places = np.empty(len(tokens), np.uint64), np.empty(len(tokens), np.uint32)
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    prefix, values = np.zeros(longest + 1, np.uint64), np.empty(longest, np.uint64)
    of_run, of_side = power(GRAM), power(side)
    count = 0
    for document in range(len(offsets) - 1):
        start = offsets[document]
        length = offsets[document + 1] - start
        if length < min_tokens:
            continue
        for i in range(length):
            prefix[i + 1] = prefix[i] * BASE + tokens[start + i]
        for i in range(length - GRAM + 1):
            values[i] = mix(prefix[i + GRAM] - prefix[i] * of_run)
        best, last = -1, -1
        for i in range(window - 1, length - GRAM + 1):
            first = i - window + 1
            if best < first:
                best = first
                for j in range(first + 1, i + 1):
                    if values[j] <= values[best]:
                        best = j
            elif values[i] <= values[best]:
                best = i
            if best != last:
                last, after = best, best + GRAM
                value = mix(values[best]) & ~(_LEFT | _RIGHT)  # mixed: the smallest ones are chosen
                if best >= side:
                    value |= _byte(prefix[best] - prefix[best - side] * of_side) << np.uint64(8)
                if after + side <= length:
                    value |= _byte(prefix[after + side] - prefix[after] * of_side)
                hashes[count], places[count] = value, start + best
                count += 1
    return hashes[:count].copy(), places[:count].copy()


@njit(cache=True, nogil=True)
def _link(keys: Any, max_links: int) -> Any:
    """(2, num_links) indices into the sorted keys: the later place, the earlier one."""
    total, begin = 0, 0
    for i in range(len(keys)):
        if keys[i] != keys[begin]:
            begin = i
        total += min(i - begin, max_links)
    pairs = np.empty((2, total), np.int64)
    count, begin = 0, 0
    for i in range(len(keys)):
        if keys[i] != keys[begin]:
            begin = i
        for rank in range(min(i - begin, max_links)):
            pairs[0, count] = i
            pairs[1, count] = begin + rank if rank < max_links - 1 else i - 1
            count += 1
    return pairs


@njit(cache=True, nogil=True)
def _match(
    rows, positions, source_rows, source_positions, own, tokens, offsets, source_tokens, source_offsets, least
):  # type: ignore[no-untyped-def]
    """(rows, starts, ends, source rows) of the passages.

    What is already found is a stack of spans, the last of which begins at or before the link at hand. A link compares
    no more than `least` tokens inside them: a match that goes on beyond has another anchor near the border.
    """
    found = np.empty((4, len(rows)), np.int64)
    count, bottom = 0, 0
    for link in range(len(rows)):
        row, q, p = rows[link], positions[link], source_positions[link]
        if link == 0 or row != rows[link - 1]:
            bottom = count
        start, length = offsets[row], offsets[row + 1] - offsets[row]
        source = source_offsets[source_rows[link]]
        source_length = source_offsets[source_rows[link] + 1] - source
        low, high = 0, length
        if count > bottom:
            a, b = found[1, count - 1], found[2, count - 1]
            if a <= q - least and b >= q + least:
                continue
            if b >= q + least:
                high = q + least
            if b <= q:
                low = b - least
            elif a <= q - least:
                low = q - least
            elif count > bottom + 1:
                low = found[2, count - 2] - least
        if own[link] and q - p < least:
            continue  # every `least` tokens of a passage and the copy of them must stand apart
        before, most = 0, min(q - low, p)
        while before < most and tokens[start + q - before - 1] == source_tokens[source + p - before - 1]:
            before += 1
        after, most = 0, min(high - q, source_length - p)
        while after < most and tokens[start + q + after] == source_tokens[source + p + after]:
            after += 1
        if before + after < least:
            continue
        first, last, origin = q - before, q + after, source_rows[link]
        while count > bottom and found[2, count - 1] >= first:
            count -= 1
            if found[1, count] <= first:
                first, origin = found[1, count], found[3, count]
            last = max(last, found[2, count])
        found[0, count], found[1, count], found[2, count], found[3, count] = row, first, last, origin
        count += 1
    return found[:, :count].copy()
