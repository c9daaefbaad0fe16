"""Near duplicates: candidates by band key, proved by true Jaccard, decided in input order.

A document goes when an earlier *kept* document is similar enough. Chains cannot form: A ~ B ~ C does not remove C unless
C itself is close to a document that stays, so no false giant cluster can take a whole source with it, and the first
copy in input order always survives.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stemma.corpus.minhash import jaccard

Shingles = npt.NDArray[np.uint64]

MAX_COMPARISONS = 64  # kept documents of one bucket that a newcomer is compared with


@dataclass
class NearDuplicates:
    """`twins` maps the index of each dropped document to (index of the kept one, their Jaccard similarity)."""

    twins: dict[int, tuple[int, float]] = field(default_factory=dict)
    num_comparisons: int = 0
    num_full_buckets: int = 0
    """Times a newcomer met a bucket with more than MAX_COMPARISONS kept documents and skipped the rest of it."""


def find_near_duplicates(
    band_keys: npt.NDArray[np.uint64],
    load: Callable[[int], Shingles],
    threshold: float,
    cache_bytes: int = 1 << 28,
) -> NearDuplicates:
    """Find the documents to drop.

    `band_keys` is (num_documents, num_bands); `load(i)` gives the sorted distinct shingle hashes of document i and is
    called only for documents that share a bucket. Memory: 16 bytes per document and band while sorting one band, plus
    the buckets that more than one document falls into, plus `cache_bytes` of shingles.
    """
    result = NearDuplicates()
    cache = _ShingleCache(load, cache_bytes)
    kept_in: dict[int, list[int]] = {}
    for document, buckets in _shared_buckets(band_keys):
        candidates: set[int] = set()
        for bucket in buckets:
            kept = kept_in.get(bucket, ())
            result.num_full_buckets += len(kept) > MAX_COMPARISONS
            candidates.update(kept[:MAX_COMPARISONS])
        twin = _first_similar(document, sorted(candidates), cache, threshold, result)
        if twin is not None:
            result.twins[document] = twin
            continue
        for bucket in buckets:
            kept_in.setdefault(bucket, []).append(document)
    return result


def _first_similar(
    document: int, candidates: list[int], cache: "_ShingleCache", threshold: float, result: NearDuplicates
) -> tuple[int, float] | None:
    for other in candidates:
        result.num_comparisons += 1
        left, right = cache.get(document), cache.get(other)
        small, large = sorted((len(left), len(right)))
        if small < threshold * large:
            continue  # the sizes alone bound the similarity
        similarity = jaccard(left, right)
        if similarity >= threshold:
            return other, similarity
    return None


def _shared_buckets(band_keys: npt.NDArray[np.uint64]) -> Iterator[tuple[int, list[int]]]:
    """(document, its buckets that another document shares), in order of documents."""
    documents: list[npt.NDArray[np.int64]] = []
    buckets: list[npt.NDArray[np.int64]] = []
    num_buckets = 0
    for band in range(band_keys.shape[1]):
        keys = band_keys[:, band]
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        same = ordered[1:] == ordered[:-1]
        shared = np.zeros(len(keys), bool)
        shared[1:] |= same
        shared[:-1] |= same
        starts = shared & np.concatenate([[True], ~same])[: len(keys)]
        bucket_of = np.cumsum(starts) - 1 + num_buckets
        documents.append(order[shared])
        buckets.append(bucket_of[shared])
        num_buckets += int(starts.sum())
    if not documents:
        return
    all_documents, all_buckets = np.concatenate(documents), np.concatenate(buckets)
    order = np.argsort(all_documents, kind="stable")
    all_documents, all_buckets = all_documents[order], all_buckets[order]
    borders = np.flatnonzero(np.diff(all_documents)) + 1
    starts = np.concatenate([[0], borders, [len(all_documents)]])
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        if last > first:
            yield int(all_documents[first]), all_buckets[first:last].tolist()


class _ShingleCache:
    """The most recently used shingle sets, up to a number of bytes."""

    def __init__(self, load: Callable[[int], Shingles], max_bytes: int) -> None:
        self._load, self._left = load, max_bytes
        self._items: OrderedDict[int, Shingles] = OrderedDict()

    def get(self, document: int) -> Shingles:
        item = self._items.get(document)
        if item is not None:
            self._items.move_to_end(document)
            return item
        item = self._load(document)
        self._items[document] = item
        self._left -= item.nbytes
        while self._left < 0 and len(self._items) > 2:
            self._left += self._items.popitem(last=False)[1].nbytes
        return item
