"""Semantic duplicates: documents that say the same in other words (SemDeDup; Abbas et al. 2023, 2303.09540).

    centroids   spherical mini-batch k-means on a seeded sample (Sculley 2010; seeds by k-means++)
    assign      each document's nearest centroid: a pure function of its vector and the centroids
    duplicates  inside a cluster, in order: a document goes when its cosine with one that stays is >= 1 - eps

Unlike in the paper a document goes only for one that *stays*, as in `near`: chains cannot empty a cluster.
Vectors lie in .npy files, one a part, and are never all in memory. With N documents in k clusters assigning
costs N * k and comparing N * N / k products of vectors; `default_clusters` takes k near the root of N, and
`max_cluster` bounds what one cluster costs.
All sums are in a fixed order: the same bits for any number of workers and any `block`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.embed import dot
from stemma.corpus.hashing import mix
from stemma.errors import StemmaError

Numbers = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

_TILE = 128  # partners compared at once
_CHUNK = 64  # dimensions between two looks at whether it is worth going on
_SLACK = 1e-4  # more than float32 sums can err


@dataclass(frozen=True, kw_only=True)
class SemanticSettings:
    """What counts as a semantic duplicate, and how the search is cut."""

    eps: float = 0.1
    """A document goes when its cosine with one that stays is at least 1 - eps. It belongs to the embedder:
    0.1 to random indexing, 0.01 is the usual value of contextual embeddings."""
    block: int = 4096
    """Documents of a cluster compared at once. It does not change the result."""
    max_cluster: int = 1 << 17
    """A larger cluster is cut into runs of like distance to the centroid; pairs between runs are not
    compared. A run is held in memory: 4 * dimension bytes for each document."""

    def __post_init__(self) -> None:
        if not 0 <= self.eps < 1:
            raise StemmaError(f"eps is {self.eps}; give a distance from 0 to below 1")
        for name, least in (("block", 1), ("max_cluster", 2)):
            if getattr(self, name) < least:
                raise StemmaError(f"{name} is {getattr(self, name)}; give a whole number from {least}")


class Assignment(NamedTuple):
    """`cluster` (n,) int32, -1 for a vector of zeros; `cosine` (n,) float32 with its centroid."""

    cluster: npt.NDArray[np.int32]
    cosine: npt.NDArray[np.float32]


class Duplicates(NamedTuple):
    """Documents that go, ascending; for each the one that stays instead, and their cosine."""

    document: Numbers
    twin: Numbers
    cosine: npt.NDArray[np.float32]


class VectorFiles:
    """The vectors of a corpus in .npy files of float32 or float16 (n_i, d), memory-mapped where they are
    looked into; rows count on from file to file.

    Raises StemmaError when a file is not such an array, or the files differ in d.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        shapes = [_open(path).shape for path in paths]
        for path, shape in zip(paths, shapes, strict=True):
            if shape[1] != shapes[0][1]:
                raise StemmaError(
                    f"{path}: vectors have {shape[1]} numbers, those of {paths[0]} {shapes[0][1]}; "
                    "embed all parts with one model"
                )
        self.dimension = shapes[0][1] if shapes else 0
        self.starts = np.cumsum([0, *(shape[0] for shape in shapes)], dtype=np.int64)
        self._part = lru_cache(maxsize=64)(lambda i: _open(paths[i]))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, documents: Numbers) -> Vectors:
        """(m, d) float32 vectors of documents, in the order given; made unit length again, which half
        precision is not quite."""
        result = np.empty((len(documents), self.dimension), np.float32)
        part_of = np.searchsorted(self.starts, documents, side="right") - 1
        for part in np.unique(part_of).tolist():
            rows = np.flatnonzero(part_of == part)
            result[rows] = self._part(part)[documents[rows] - self.starts[part]]
        return _unit_rows(result)


def _open(path: Path) -> npt.NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise StemmaError(
            f"{path}: cannot be read as a NumPy array ({error}); embed this part again"
        ) from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype not in (np.float32, np.float16):
        raise StemmaError(f"{path}: is not an array (n, d) of float32 or float16; embed this part again")
    return array


def default_clusters(num_documents: int) -> int:
    """The root of the number of documents, at least 1."""
    return max(1, round(num_documents**0.5))


def sample_size(num_clusters: int) -> int:
    """Documents on which centroids are trained."""
    return max(10_000, 64 * num_clusters)


def seeded_sample(documents: Numbers, size: int, seed: int) -> Numbers:
    """`size` of the documents in random order; which ones depends on their numbers and the seed alone.

    A sample of several samples as large is that of all their documents. Memory: 24 bytes per document.
    """
    if size >= len(documents):
        chosen = documents
    else:
        chosen = documents[np.argpartition(_ranks(documents, seed), size)[:size]]
    return chosen[np.argsort(_ranks(chosen, seed))]


@njit(cache=True, nogil=True)
def _ranks(documents: Any, seed: int) -> Any:
    ranks = np.empty(len(documents), np.uint64)
    start = mix(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
    for i in range(len(documents)):
        ranks[i] = mix(np.uint64(documents[i]) ^ start)
    return ranks


def train_centroids(
    vectors: VectorFiles,
    documents: Numbers,
    num_clusters: int,
    *,
    seed: int = 0,
    num_epochs: int = 5,
    batch: int = 4096,
) -> Vectors:
    """(k, d) unit centroids of spherical k-means; k is at most `num_clusters` and the documents with a
    vector.

    Trained on a sample of `sample_size` documents, read in batches. Memory: 4 * d bytes for
    each of 16 * num_clusters documents, from which the first centroids are drawn.
    """
    sample = seeded_sample(documents, sample_size(num_clusters), seed)
    first = vectors.take(sample[: max(2048, 16 * num_clusters)])
    first = first[np.abs(first).max(axis=1, initial=0) > 0]
    draws = np.random.Generator(np.random.PCG64(seed)).random(num_clusters)
    means = _plus_plus(first, draws).astype(np.float64)
    counts = np.zeros(len(means), np.int64)
    centroids = _unit_rows(means)
    for _ in range(num_epochs if len(means) > 1 else 0):
        for start in range(0, len(sample), batch):
            block = vectors.take(sample[start : start + batch])
            _update(block, assign(block, centroids).cluster, counts, means)
            centroids = _unit_rows(means)
    return centroids


@njit(cache=True, nogil=True)
def _plus_plus(points: Any, draws: Any) -> Any:
    """Each further centroid is a point drawn in proportion to its distance to the nearest one so far."""
    distance = np.full(len(points), 1.0)
    chosen = np.empty((len(draws), points.shape[1]), np.float32)
    for c in range(len(draws)):
        total = 0.0
        for i in range(len(points)):
            total += distance[i]
        if total <= 1e-6 * len(points):
            return chosen[:c]  # fewer distinct points than clusters
        left, at = draws[c] * total, len(points) - 1
        for i in range(len(points)):
            left -= distance[i]
            if left < 0:
                at = i
                break
        chosen[c] = points[at]
        for i in range(len(points)):
            away = max(0.0, 1.0 - dot(points[i], chosen[c]))
            distance[i] = min(distance[i], away)
    return chosen


@njit(cache=True, nogil=True)
def _update(block: Any, nearest: Any, counts: Any, means: Any) -> None:
    for i in range(len(block)):
        c = nearest[i]
        if c >= 0:
            counts[c] += 1
            for k in range(block.shape[1]):
                means[c, k] += (block[i, k] - means[c, k]) / counts[c]


@njit(cache=True, nogil=True)
def _unit_rows(means: Any) -> Any:
    rows = np.zeros(means.shape, np.float32)
    for i in range(len(means)):
        square = 0.0
        for k in range(means.shape[1]):
            square += means[i, k] * means[i, k]
        if square > 0:
            for k in range(means.shape[1]):
                rows[i, k] = means[i, k] / np.sqrt(square)
    return rows


def assign(vectors: Vectors, centroids: Vectors) -> Assignment:
    """The nearest centroid of each vector, the first of equals."""
    cluster = np.full(len(vectors), -1, np.int32)
    cosine = np.zeros(len(vectors), np.float32)
    _assign(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(centroids.T), cluster, cosine)
    return Assignment(cluster, cosine)


@njit(cache=True, nogil=True)
def _assign(vectors: Any, columns: Any, cluster: Any, cosine: Any) -> None:
    products = np.empty(columns.shape[1], np.float32)
    for i in range(len(vectors)):
        products[:] = 0
        length = np.float32(0)
        for k in range(vectors.shape[1]):
            factor = vectors[i, k]
            length += factor * factor
            for c in range(len(products)):
                products[c] += factor * columns[k, c]
        if length > 0:
            best = np.float32(-2)
            for c in range(len(products)):
                if products[c] > best:
                    best, cluster[i], cosine[i] = products[c], c, products[c]


def duplicates_of(
    vectors: VectorFiles, members: Numbers, cosine: npt.NDArray[np.float32], settings: SemanticSettings
) -> Duplicates:
    """The duplicates among the `members` (m,) of one cluster, ascending, with their `cosine` to the
    centroid."""
    runs = [np.arange(len(members))]
    if len(members) > settings.max_cluster:
        runs = np.array_split(np.lexsort((members, cosine)), -(-len(members) // settings.max_cluster))
    return merge(_duplicates_of_run(vectors, np.sort(members[run]), settings) for run in runs)


def merge(found: Iterable[Duplicates]) -> Duplicates:
    """One list of several, by document."""
    empty = Duplicates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    columns = [np.concatenate(parts) for parts in zip(empty, *found, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Duplicates(*(column[order] for column in columns))


def _duplicates_of_run(vectors: VectorFiles, members: Numbers, settings: SemanticSettings) -> Duplicates:
    held, kept = vectors.take(members), np.empty(0, np.int64)
    found = list[Duplicates]()
    threshold = 1 - settings.eps
    for start in range(0, len(members), settings.block):
        numbers = members[start : start + settings.block]
        block = held[start : start + settings.block]
        twin, cosine = np.full(len(numbers), -1, np.int64), np.zeros(len(numbers), np.float32)
        for first in range(0, len(kept), settings.block):
            others = kept[first : first + settings.block]
            _compare(block, twin, cosine, held[others], members[others], False, threshold)
        _compare(block, twin, cosine, block, numbers, True, threshold)
        gone = twin >= 0
        found.append(Duplicates(numbers[gone], twin[gone], cosine[gone]))
        kept = np.concatenate([kept, start + np.flatnonzero(~gone)])
    return merge(found)


@njit(cache=True, nogil=True)
def _tails(vectors: Any) -> Any:
    """(n, chunks) lengths of the part of each vector behind each chunk of dimensions."""
    width = vectors.shape[1]
    tails = np.zeros((len(vectors), (width + _CHUNK - 1) // _CHUNK), np.float32)
    for i in range(len(vectors)):
        square = np.float32(0)
        for k in range(width - 1, -1, -1):
            if (k + 1) % _CHUNK == 0 or k == width - 1:
                tails[i, k // _CHUNK] = np.sqrt(square)
            square += vectors[i, k] * vectors[i, k]
    return tails


@njit(cache=True, nogil=True)
def _compare(block, twin, cosine, others, numbers, same, threshold):  # type: ignore[no-untyped-def]
    """Give each document of `block` without a twin the first of `others` that is close; within `same`, an
    earlier one."""
    columns = np.ascontiguousarray(others.T)
    tails, other_tails = _tails(block), _tails(others)
    products = np.empty(_TILE, np.float32)
    width, floor = block.shape[1], np.float32(threshold - _SLACK)
    for i in range(len(block)):
        most = i if same else len(others)
        for start in range(0, most, _TILE):
            if twin[i] >= 0:
                break
            count = min(_TILE, most - start)
            products[:] = 0
            promising = True
            for chunk in range(tails.shape[1]):
                for k in range(chunk * _CHUNK, min(width, (chunk + 1) * _CHUNK)):
                    factor = block[i, k]
                    for j in range(count):
                        products[j] += factor * columns[k, start + j]
                # Cauchy and Schwarz: the dimensions to come add at most the product of the lengths left.
                tail, highest = tails[i, chunk], np.float32(-2)
                for j in range(count):
                    highest = max(highest, products[j] + tail * other_tails[start + j, chunk])
                if highest < floor:
                    promising = False
                    break
            if not promising:
                continue
            for j in range(start, start + count):
                if products[j - start] < floor or (same and twin[j] >= 0):
                    continue
                exact = dot(block[i], others[j])
                if exact >= threshold:
                    twin[i], cosine[i] = numbers[j], exact
                    break


def members_of(cluster: npt.NDArray[np.int32], num_clusters: int) -> Iterator[Numbers]:
    """The documents of each cluster, ascending. Each cluster is a task of its own: its result needs no
    other."""
    order = np.argsort(cluster, kind="stable")
    bounds = np.searchsorted(cluster[order], np.arange(num_clusters + 1))
    for c in range(num_clusters):
        yield order[bounds[c] : bounds[c + 1]]
