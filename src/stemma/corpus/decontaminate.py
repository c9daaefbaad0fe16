"""Decontamination: does a document hold an item of an evaluation set, whole, edited or in part?

Items are cut into pieces of at most 256 tokens and looked for by runs of 5 tokens (words, single Han characters; case,
width, white space and punctuation do not count). A piece counts as
    verbatim   all its tokens stand in a row,
    edited     3/4 of its information can be aligned in order (more of pieces of under 24 words, all of 8 words),
    partial    2/5 of its information, and 12 words or 19 Han characters, lie in unchanged runs.
Runs that more than MAX_SHARING items have in common (instructions, templates) are no evidence for the last two.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.benchmark_texts import Item, Items, token_information
from stemma.corpus.hashing import find_slot, ngram_hashes
from stemma.corpus.overlap import EDITED, SEED, VERBATIM, Index, bits_of, find_pieces

MAX_SHARING = 8  # items that may have a run in common before it counts as boilerplate
_MAX_PIECE = 256  # tokens

Kind = Literal["verbatim", "edited", "partial"]


@dataclass(frozen=True, slots=True)
class Leak:
    """An item found in a document."""

    item_file: str
    item_id: str
    field: str
    coverage: float
    """Share of the item's information that was found: 1 for a verbatim copy."""
    kind: Kind


class Decontaminator:
    """Looks for the items of evaluation sets in documents. Building takes 1 to 2 s per million tokens."""

    def __init__(self, items: Items | Iterable[Item]) -> None:
        self.items = tuple(items.items if isinstance(items, Items) else items)
        pieces = [(number, piece) for number, item in enumerate(self.items) for piece in _pieces(item.tokens)]
        self._owners = np.array([number for number, _ in pieces], np.int64)
        self._index = _build([piece for _, piece in pieces], self._owners)
        # A piece weighs in its item by its tokens: rare information may be 0 for each.
        self._shares = np.diff(self._index.begins) / np.maximum(
            np.bincount(self._owners, np.diff(self._index.begins), len(self.items))[self._owners], 1
        )

    @property
    def num_bytes(self) -> int:
        """Memory of the index."""
        return sum(array.nbytes for array in self._index)

    def check(self, tokens: npt.NDArray[np.uint64]) -> list[Leak]:
        """The items that a document, given as its tokens, holds, in the order of the evaluation sets."""
        found = find_pieces(tokens, self._index)
        by_item: dict[int, list[int]] = {}
        for match, piece in enumerate(found.pieces.tolist()):
            by_item.setdefault(int(self._owners[piece]), []).append(match)
        leaks: list[Leak] = []
        for number, matches in by_item.items():
            shares = self._shares[found.pieces[matches]]
            item, kinds = self.items[number], found.kinds[matches]
            coverage = min(1.0, float((shares * found.matched[matches]).sum()))
            kind = _kind(int(kinds.min()), bool(shares.sum() > 0.999))
            leaks.append(Leak(item.file, item.id, item.field, coverage, kind))
        return leaks


def _kind(weakest: int, is_whole: bool) -> Kind:
    if not is_whole or weakest < EDITED:
        return "partial"
    return "verbatim" if weakest == VERBATIM else "edited"


def _pieces(tokens: npt.NDArray[np.uint64]) -> list[npt.NDArray[np.uint64]]:
    return np.array_split(tokens, -(-len(tokens) // _MAX_PIECE)) if len(tokens) >= SEED else []


def _build(pieces: list[npt.NDArray[np.uint64]], owners: npt.NDArray[np.int64]) -> Index:
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    begins = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    tokens = np.concatenate([np.empty(0, np.uint64), *pieces])
    seeds = np.concatenate([np.empty(0, np.uint64), *(ngram_hashes(piece, SEED) for piece in pieces)])
    seeds |= np.uint64(1)
    counts = lengths - SEED + 1
    of_piece = np.repeat(np.arange(len(pieces)), counts)
    offset = np.arange(len(seeds)) - np.repeat(np.cumsum(counts) - counts, counts)

    distinct, which = np.unique(seeds, return_inverse=True)
    sharing = _sharing(which, owners[of_piece], len(distinct))[which]
    is_rare = sharing <= MAX_SHARING
    posted = is_rare.copy()
    posted[_rarest(sharing, counts)] = True  # so that each piece can be found, be it boilerplate throughout

    rare = np.zeros(len(tokens), np.float32)
    for shift in range(SEED):
        rare[(begins[of_piece] + offset)[is_rare] + shift] = 1
    rare *= token_information(tokens)
    keys, firsts, num_postings, order, bitmap = _table(seeds[posted])
    return Index(
        tokens=tokens,
        rare=rare,
        begins=begins,
        totals=_sums(rare, begins),
        num_seeds=np.bincount(of_piece[posted], minlength=len(pieces)).astype(np.int32),
        bitmap=bitmap,
        keys=keys,
        firsts=firsts,
        counts=num_postings,
        pieces=of_piece[posted][order].astype(np.int32),
        offsets=offset[posted][order].astype(np.int32),
    )


def _sharing(
    which: npt.NDArray[np.int64], owner: npt.NDArray[np.int64], num_distinct: int
) -> npt.NDArray[np.int64]:
    """(num_distinct,) how many items have each seed."""
    order = np.lexsort((owner, which))
    which, owner = which[order], owner[order]
    is_new = np.ones(len(which), np.bool_)
    is_new[1:] = (which[1:] != which[:-1]) | (owner[1:] != owner[:-1])
    return np.bincount(which[is_new], minlength=num_distinct)


def _rarest(sharing: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each piece, the first of its seeds that the fewest items share."""
    if not len(counts):
        return np.empty(0, np.int64)
    starts = np.cumsum(counts) - counts
    least = np.repeat(np.minimum.reduceat(sharing, starts), counts)
    hits = np.flatnonzero(sharing == least)
    return hits[np.searchsorted(hits, starts)]


def _sums(values: npt.NDArray[np.float32], begins: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    running = np.concatenate([np.zeros(1), np.cumsum(values, dtype=np.float64)])
    return np.diff(running[begins]).astype(np.float32)


def _table(seeds: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[Any], ...]:
    """(keys, firsts, counts, order, bitmap): the seeds in an open-addressing table, postings sorted by seed."""
    order = np.argsort(seeds, kind="stable")
    distinct, first, count = np.unique(seeds[order], return_index=True, return_counts=True)
    size = 1 << max(4, (3 * len(distinct) // 2).bit_length())
    keys, firsts = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    counts, bitmap = np.zeros(size, np.int32), np.zeros(max(1024, size // 16), np.uint64)
    _fill(keys, firsts, counts, bitmap, distinct, first, count)
    return keys, firsts, counts, order, bitmap


@njit(cache=True, nogil=True)
def _fill(keys, firsts, counts, bitmap, distinct, first, count):  # type: ignore[no-untyped-def]
    for i in range(len(distinct)):
        slot = find_slot(keys, distinct[i])
        keys[slot], firsts[slot], counts[slot] = distinct[i], first[i], count[i]
        word, mask = bits_of(distinct[i], bitmap)
        bitmap[word] |= mask
