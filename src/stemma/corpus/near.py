"""Near duplicates: candidates by band key, proved by true Jaccard, decided in input order.

A document goes when an earlier *kept* document is similar enough. Chains cannot form: A ~ B ~ C does not remove C unless
C itself is close to a document that stays, so no false giant cluster can take a whole source with it, and the first
copy in input order always survives. Three steps, each over all documents' numbers but never over all texts:

    candidates   per band: documents with equal keys, each with the first MAX_PARTNERS of its bucket
    verify       per part: the pairs whose later document lies in it, by true Jaccard similarity
    resolve      over the proved pairs, in order: who stays
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.minhash import jaccard

Numbers = npt.NDArray[np.int64]
Shingles = npt.NDArray[np.uint64]

MAX_PARTNERS = 16  # documents of a bucket that a later one of it is compared with: the first ones
_NOBODY = np.int64(-1)


class Candidates(NamedTuple):
    """Pairs of documents that share a bucket, sorted by the later one; `num_skipped` members met a crowded bucket."""

    later: Numbers
    earlier: Numbers
    num_skipped: int


class Edges(NamedTuple):
    """Proved pairs, sorted by the later document, then by the earlier one."""

    later: Numbers
    earlier: Numbers
    jaccard: npt.NDArray[np.float32]


def candidates(keys: npt.NDArray[np.uint64], documents: Numbers) -> Candidates:
    """The candidates of one band: `keys` (n,) of the `documents` (n,), which ascend.

    Memory: 16 bytes per document while sorting, and 16 for each pair.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    place = np.arange(len(keys))
    first = np.maximum.accumulate(np.where(is_first, place, 0))
    rank = place - first  # of a document in its bucket
    later, earlier = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for partner in range(MAX_PARTNERS):
        members = np.flatnonzero(rank > partner)
        if not len(members):
            break
        later.append(documents[order[members]])
        earlier.append(documents[order[first[members] + partner]])
    all_later, all_earlier = np.concatenate(later), np.concatenate(earlier)
    by_later = np.lexsort((all_earlier, all_later))
    return Candidates(all_later[by_later], all_earlier[by_later], int((rank > MAX_PARTNERS).sum()))


def union(found: Iterable[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """The distinct pairs (later, earlier) of several lists, sorted by the earlier document: the order of reading."""
    lists = list(found)
    later = np.concatenate([np.empty(0, np.int64), *(pair[0] for pair in lists)])
    earlier = np.concatenate([np.empty(0, np.int64), *(pair[1] for pair in lists)])
    order = np.lexsort((later, earlier))
    later, earlier = later[order], earlier[order]
    is_new = np.ones(len(later), bool)
    is_new[1:] = (later[1:] != later[:-1]) | (earlier[1:] != earlier[:-1])
    return later[is_new], earlier[is_new]


def verify(
    later: Numbers,
    earlier: Numbers,
    load: Callable[[Numbers], list[Shingles]],
    threshold: float,
    block: int = 512,
) -> Edges:
    """The pairs with a Jaccard similarity of `threshold` or more.

    The pairs are sorted by `earlier`; `load` gives the sorted distinct shingles of documents and is called for the
    later ones once and for the earlier ones in order, `block` at a time, so that memory holds one part and one block.
    """
    mine = np.unique(later)
    own = dict(zip(mine.tolist(), load(mine), strict=True))
    kept: list[tuple[int, int, float]] = []
    others = np.unique(earlier)
    for start in range(0, len(others), block):
        numbers = others[start : start + block]
        shingles = dict(zip(numbers.tolist(), load(numbers), strict=True))
        first, last = np.searchsorted(earlier, (numbers[0], numbers[-1] + 1))
        for a, b in zip(later[first:last].tolist(), earlier[first:last].tolist(), strict=True):
            left, right = own[a], shingles[b]
            small, large = sorted((len(left), len(right)))
            if small < threshold * large:
                continue  # the sizes alone bound the similarity
            similarity = jaccard(left, right)
            if similarity >= threshold:
                kept.append((a, b, similarity))
    kept.sort()
    return Edges(
        np.array([edge[0] for edge in kept], np.int64),
        np.array([edge[1] for edge in kept], np.int64),
        np.array([edge[2] for edge in kept], np.float32),
    )


class Resolver:
    """Decides over the edges in order; one byte per document."""

    def __init__(self, num_documents: int) -> None:
        self._gone = np.zeros(num_documents, np.bool_)

    def add(self, edges: Edges) -> Edges:
        """The next edges, all of a later document together: for each document that goes, the edge to its twin.

        The twin is the first of the similar ones that stays.
        """
        chosen = _resolve(edges.later, edges.earlier, self._gone)
        return Edges(edges.later[chosen], edges.earlier[chosen], edges.jaccard[chosen])


@njit(cache=True, nogil=True)
def _resolve(later: Any, earlier: Any, gone: Any) -> Any:
    chosen = np.empty(len(later), np.int64)
    count, decided = 0, _NOBODY
    for i in range(len(later)):
        if later[i] != decided and not gone[earlier[i]]:
            gone[later[i]] = True
            chosen[count], decided = i, later[i]
            count += 1
    return chosen[:count]
