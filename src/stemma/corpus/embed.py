"""Dense vectors of documents: what semantic deduplication and mixing by topic work on.

An embedder gives every document of a batch one vector of unit length (all zeros where nothing is known of
it). The default is made from the corpus itself, without a model from elsewhere:

    terms        tokens, and pairs of neighbouring tokens that are words or phrases (Mikolov et al. 2013)
    own vector   of every term, sparse and random, drawn from its hash (random indexing; Kanerva et al. 2000)
    learned one  of the frequent terms, when asked for: positive pointwise mutual information with the most
                 frequent tokens in a window, truncated singular value decomposition (Levy, Goldberg and
                 Dagan 2015: context smoothing 0.75, singular values to the power 0.5)
    document     sum over its distinct terms of (1 + log tf) * rarity * vector, less the first principal
                 component of a sample (the removal of Arora et al. 2017)

With learned vectors all documents about one thing look alike, whatever they say of it: good for topics, bad
for duplicates, where own vectors alone were measured to find more at equal precision
(`benchmarks/semantic.py`). All sums are our own loops in a fixed order, so the vectors are the same bits
whatever the BLAS, the number of threads and the cut into batches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.ngrams import find_slot
from stemma.corpus.scan import mix
from stemma.errors import StemmaError
from stemma.storage import atomic_file

Bytes = npt.NDArray[np.uint8]
Tokens = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

_FORMAT = "stemma static embedder 1"
_TENSORS = ("keys", "rarity", "learned", "common")
_FULL = 0.7  # of a table of counts, before the rarest terms leave it
_NUM_SIGNS = 8  # places of a term's own vector that are not zero
_LEAST_RARITY = 0.05  # weight of the most frequent term; a rare one has 1
_OVERSAMPLING, _NUM_ITERATIONS = 16, 3  # of the subspace iteration (Halko, Martinsson and Tropp 2011)
_COMMON_SAMPLE = 20_000  # documents whose first principal component is taken away
_SEED = 20250101


class Embedder(Protocol):
    """Vectors of documents."""

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    def embed(self, data: Bytes, offsets: Offsets, tokens: Tokens, token_offsets: Offsets) -> Vectors:
        """(n, dimension) vectors of unit length, or of zeros; text i is data[offsets[i] : offsets[i + 1]].

        `tokens` are the token hashes of the same documents, document i in tokens[token_offsets[i] :
        token_offsets[i + 1]]; an embedder reads the texts or the tokens.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class StaticSettings:
    """How static embeddings are made.

    Memory of training beside the sample: 28 bytes for each of `max_counted`, and, with learned vectors, 4 for
    each of vocabulary_size * num_contexts.
    """

    dimension: int = 256
    vocabulary_size: int = 1 << 15
    """Terms whose frequency is known, the most frequent ones."""
    min_count: int = 5
    """Rarer terms are not learned."""
    phrase_lift: float = 8.0
    """A pair of tokens is a term when it is this many times as frequent as chance would have it."""
    learned: float = 0.0
    """Length of a term's learned vector beside its own one of length 1; 0 learns none, 1 suits topics."""
    num_contexts: int = 1 << 11
    """The most frequent tokens, by whose company terms are described."""
    window: int = 5
    """Tokens on either side that are company."""
    max_counted: int = 1 << 23
    """Places of the table in which terms are counted; when it is nearly full, the rarest leave it."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("dimension", 8, 4096),
            ("vocabulary_size", 16, 1 << 22),
            ("min_count", 1, 1 << 30),
            ("phrase_lift", 0, 1 << 30),
            ("learned", 0, 1000),
            ("num_contexts", 8, 1 << 16),
            ("window", 1, 100),
            ("max_counted", 1 << 10, 1 << 30),
        ):
            if not least <= getattr(self, name) <= most:
                raise StemmaError(f"{name} is {getattr(self, name)}; give a number from {least} to {most}")


class StaticEmbedder:
    """Static embeddings. `keys` (V,) uint64 of the terms, ascending; `rarity` (V,) their weights; `learned`
    (V, d) their learned vectors, weighted, or (V, 0); `common` (d,) what is taken away of every document.
    """

    def __init__(self, keys: Tokens, rarity: Vectors, learned: Vectors, common: Vectors) -> None:
        self._keys, self._rarity, self._learned, self._common = keys, rarity, learned, common
        self._index = _index(keys)

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return len(self._common)

    def embed(self, data: Bytes, offsets: Offsets, tokens: Tokens, token_offsets: Offsets) -> Vectors:
        """The vectors of a batch, from its tokens."""
        del data, offsets
        return self.embed_tokens(tokens, token_offsets)

    def embed_tokens(self, tokens: Tokens, offsets: Offsets) -> Vectors:
        """(n, d) vectors of the documents tokens[offsets[i] : offsets[i + 1]]; zeros for one without
        tokens."""
        result = np.zeros((len(offsets) - 1, self.dimension), np.float32)
        _embed(tokens, offsets, *self._index, self._rarity, self._learned, self._common, result)
        return result

    @classmethod
    def train(
        cls, sample: Iterable[tuple[Tokens, Offsets]], settings: StaticSettings | None = None
    ) -> "StaticEmbedder":
        """Make an embedder from batches of (tokens, offsets), which are held: 8 bytes per token.

        Raises StemmaError when the sample has no term that occurs `min_count` times.
        """
        settings = settings or StaticSettings()
        batches = list(sample)
        terms = _Terms(settings.max_counted)
        for tokens, offsets in batches:
            terms.add(tokens, offsets)
        keys, counts, contexts = terms.vocabulary(settings)
        if not len(contexts):
            raise StemmaError(
                f"the sample has no token that occurs {settings.min_count} times; "
                "give a larger sample or lower min_count"
            )
        top = max(2.0, counts.max())
        rarity = np.maximum(_LEAST_RARITY, np.log(top / counts) / np.log(top)).astype(np.float32)
        vectors = np.zeros((len(keys), 0), np.float32)
        if settings.learned:
            columns = np.full(len(keys) + 1, -1, np.int32)  # the last row stands for unknown tokens
            columns[contexts] = np.arange(len(contexts), dtype=np.int32)
            matrix = np.zeros((len(keys), len(contexts)), np.float32)
            for tokens, offsets in batches:
                _count_company(tokens, offsets, *_index(keys), columns, settings.window, matrix)
            _positive_information(matrix)
            learned = _decompose(matrix, min(settings.dimension, len(contexts)))
            _scale(learned, rarity, np.float32(settings.learned))
            vectors = np.zeros((len(keys), settings.dimension), np.float32)
            vectors[:, : learned.shape[1]] = learned
        plain = cls(keys, rarity, vectors, np.zeros(settings.dimension, np.float32))
        return cls(keys, rarity, vectors, _common(plain, batches))

    def save(self, path: Path) -> None:
        """Write a safetensors file, atomically."""
        from safetensors.numpy import save

        tensors: dict[str, npt.NDArray[Any]] = dict(
            zip(_TENSORS, (self._keys, self._rarity, self._learned, self._common), strict=True)
        )
        with atomic_file(path) as file:
            file.write(save(tensors, metadata={"format": _FORMAT}))

    @classmethod
    def load(cls, path: Path) -> "StaticEmbedder":
        """Read what `save` wrote. Raises StemmaError when it is something else or damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise StemmaError(f"{path}: cannot be read as an embedder ({error}); train it again") from None
        if metadata.get("format") != _FORMAT or set(tensors) != set(_TENSORS):
            raise StemmaError(f"{path}: is not a file of static embeddings; train it again")
        keys, rarity, learned, common = (tensors[name] for name in _TENSORS)
        if rarity.shape != keys.shape or learned.shape not in ((len(keys), 0), (len(keys), len(common))):
            raise StemmaError(f"{path}: holds tensors that do not fit together; train it again")
        return cls(keys, rarity, learned, common)


class SentenceTransformerEmbedder:
    """A local folder of a sentence-transformers model.

    The last bits of its vectors can depend on the batch and the device, as with any such model. Raises
    StemmaError when the folder is not there or the package, which is no dependency, is not installed.
    """

    def __init__(self, folder: Path, batch_size: int = 32) -> None:
        if not folder.is_dir():
            raise StemmaError(f"{folder}: is not a folder; give a local sentence-transformers model")
        try:
            from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
        except ModuleNotFoundError as error:
            raise StemmaError(
                f"{folder}: needs the package {error.name}; "
                "install sentence-transformers, or use static embeddings"
            ) from None
        self._model: Any = SentenceTransformer(str(folder), local_files_only=True, trust_remote_code=False)
        self._batch_size = batch_size

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return int(self._model.get_sentence_embedding_dimension())

    def embed(self, data: Bytes, offsets: Offsets, tokens: Tokens, token_offsets: Offsets) -> Vectors:
        """The vectors of a batch, from its texts."""
        del tokens, token_offsets
        raw, bounds = data.tobytes(), offsets.tolist()
        texts = [raw[a:b].decode("utf-8", "replace") for a, b in pairwise(bounds)]
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        found = self._model.encode(
            texts, batch_size=self._batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        vectors = np.array(found, np.float32)
        for row in vectors:
            _unit(row)
        return vectors


class _Terms:
    """Counts of tokens and pairs of neighbours, in a table of fixed size."""

    def __init__(self, size: int) -> None:
        self._columns: Any = (*(np.zeros(size, np.uint64) for _ in range(3)), np.zeros(size, np.uint32))
        self._used = np.zeros(1, np.int64)
        self._limit = int(_FULL * size)

    def add(self, tokens: Tokens, offsets: Offsets) -> None:
        """Count a batch."""
        for begin, end in pairwise(offsets.tolist()):
            at = begin
            while (at := _count_terms(tokens, at, begin, end, self._used, self._limit, *self._columns)) < end:
                self._cut()

    def _cut(self) -> None:
        counts, floor = self._columns[3], 1
        while np.count_nonzero(counts > floor) > self._limit // 2:
            floor += 1
        old, chosen = self._columns, np.flatnonzero(counts > floor)
        self._columns = tuple(np.zeros_like(column) for column in old)
        _move(chosen, *old, *self._columns)
        self._used[0] = len(chosen)

    def vocabulary(
        self, settings: StaticSettings
    ) -> tuple[Tokens, npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Keys of the chosen terms, ascending, their counts, and which of them are contexts."""
        keys, counts = self._columns[0], self._columns[3]
        total = int(counts[_is_token(keys)].sum(dtype=np.int64))
        frequent = np.flatnonzero(counts >= settings.min_count)
        lift = _lift(frequent, total, *self._columns)
        chosen = frequent[_is_token(keys[frequent]) | (lift >= settings.phrase_lift)]
        order = np.lexsort((keys[chosen], -counts[chosen].astype(np.int64)))[: settings.vocabulary_size]
        keys, counts = keys[chosen][order], counts[chosen][order].astype(np.float64)
        contexts = np.sort(keys[_is_token(keys)][: settings.num_contexts])
        ascending = np.argsort(keys)
        return keys[ascending], counts[ascending], np.searchsorted(keys[ascending], contexts)


def _is_token(keys: Tokens) -> npt.NDArray[np.bool_]:
    return (keys & np.uint64(1)) == 0


@njit(cache=True, nogil=True, inline="always")
def _token_key(token: Any) -> Any:
    """The key of a token is even and not 0, that of a pair odd."""
    return max(token & np.uint64(0xFFFFFFFFFFFFFFFE), np.uint64(2))


@njit(cache=True, nogil=True, inline="always")
def _pair_key(left: Any, right: Any) -> Any:
    return mix(left * np.uint64(0x9E3779B97F4A7C15) + right) | np.uint64(1)


@njit(cache=True, nogil=True)
def _count_terms(tokens, at, begin, end, used, limit, keys, left, right, counts):  # type: ignore
    """Count one document's terms from token `at` on; returns where it stopped, at the end or a full table."""
    for i in range(at, end):
        if used[0] + 2 > limit:
            return i
        slot = find_slot(keys, _token_key(tokens[i]))
        used[0] += keys[slot] == 0
        keys[slot] = _token_key(tokens[i])
        counts[slot] += np.uint32(1)
        if i > begin:
            key = _pair_key(tokens[i - 1], tokens[i])
            slot = find_slot(keys, key)
            used[0] += keys[slot] == 0
            keys[slot], left[slot], right[slot] = key, tokens[i - 1], tokens[i]
            counts[slot] += np.uint32(1)
    return end


@njit(cache=True, nogil=True)
def _move(chosen, keys, left, right, counts, new_keys, new_left, new_right, new_counts):  # type: ignore
    for i in chosen:
        slot = find_slot(new_keys, keys[i])
        new_keys[slot], new_left[slot], new_right[slot] = keys[i], left[i], right[i]
        new_counts[slot] = counts[i]


@njit(cache=True, nogil=True)
def _lift(chosen: Any, total: int, keys: Any, left: Any, right: Any, counts: Any) -> Any:
    """How many times as frequent as chance would have it the pairs are; 0 for tokens."""
    lift = np.zeros(len(chosen))
    for n in range(len(chosen)):
        i = chosen[n]
        if keys[i] & np.uint64(1):
            first = np.float64(counts[find_slot(keys, _token_key(left[i]))])
            second = np.float64(counts[find_slot(keys, _token_key(right[i]))])
            lift[n] = np.float64(counts[i]) * total / max(1.0, first * second)
    return lift


def _index(keys: Tokens) -> tuple[Tokens, npt.NDArray[np.int32]]:
    """A table of the keys, and the row that each place stands for (-1: none)."""
    size = 1 << (4 * len(keys)).bit_length()
    table, rows = np.zeros(size, np.uint64), np.full(size, -1, np.int32)
    _fill_index(keys, table, rows)
    return table, rows


@njit(cache=True, nogil=True)
def _fill_index(keys: Any, table: Any, rows: Any) -> None:
    for i in range(len(keys)):
        slot = find_slot(table, keys[i])
        table[slot], rows[slot] = keys[i], i


@njit(cache=True, nogil=True)
def _count_company(tokens, offsets, table, rows, columns, window, matrix):  # type: ignore[no-untyped-def]
    """matrix[term, context] += 1 for each context within `window` tokens of the term, in the same
    document."""
    for d in range(len(offsets) - 1):
        begin, end = offsets[d], offsets[d + 1]
        own = np.empty(end - begin, np.int32)
        for i in range(begin, end):
            own[i - begin] = rows[find_slot(table, _token_key(tokens[i]))]
        for i in range(len(own)):
            for length in range(1, 3):
                row = own[i]
                if length == 2:
                    row = -1
                    if i + 1 < len(own):
                        key = _pair_key(tokens[begin + i], tokens[begin + i + 1])
                        row = rows[find_slot(table, key)]
                if row < 0:
                    continue
                for j in range(max(0, i - window), min(len(own), i + length + window)):
                    column = columns[own[j]]
                    if column >= 0 and not i <= j < i + length:
                        matrix[row, column] += np.float32(1)


@njit(cache=True, nogil=True)
def _positive_information(matrix: Any) -> None:
    """Counts become max(0, log P(context | term) / P(context)), P(context) smoothed by the power 0.75."""
    row_sums, column_sums = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[1])
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            row_sums[i] += matrix[i, j]
            column_sums[j] += matrix[i, j]
    total = 0.0
    for j in range(len(column_sums)):
        column_sums[j] = column_sums[j] ** 0.75
        total += column_sums[j]
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            if matrix[i, j] > 0:
                ratio = matrix[i, j] * total / (row_sums[i] * column_sums[j])
                matrix[i, j] = max(0.0, np.log(ratio))


def _decompose(matrix: Vectors, dimension: int) -> Vectors:
    """U S^0.5 (n, dimension) of the truncated decomposition, by subspace iteration from seeded signs."""
    width = min(matrix.shape[1], dimension + _OVERSAMPLING)
    signs = np.random.Generator(np.random.PCG64(_SEED)).integers(2, size=(width, matrix.shape[1]))
    basis = (2.0 * signs - 1.0).astype(np.float64)
    for _ in range(_NUM_ITERATIONS):
        _orthonormalise(basis)
        columns = np.ascontiguousarray(basis.T, np.float32)
        basis = np.ascontiguousarray(_transposed_times(matrix, _times(matrix, columns)).T, np.float64)
    _orthonormalise(basis)
    product = _times(matrix, np.ascontiguousarray(basis.T, np.float32))
    values, vectors = _eigen(_gram(product))
    order = np.argsort(-values, kind="stable")[:dimension]
    order = order[values[order] > 1e-9 * max(values.max(), 1e-300)]
    turned = vectors[:, order]
    largest = np.abs(turned).argmax(axis=0)
    turned = turned * np.sign(turned[largest, np.arange(turned.shape[1])])  # of two signs, one is chosen
    return _times(product, np.ascontiguousarray(turned / values[order] ** 0.25, np.float32))


@njit(cache=True, nogil=True)
def _times(matrix: Any, columns: Any) -> Any:
    result = np.zeros((matrix.shape[0], columns.shape[1]), np.float32)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            factor = matrix[i, j]
            if factor != 0:
                for k in range(columns.shape[1]):
                    result[i, k] += factor * columns[j, k]
    return result


@njit(cache=True, nogil=True)
def _transposed_times(matrix: Any, columns: Any) -> Any:
    result = np.zeros((matrix.shape[1], columns.shape[1]), np.float32)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            factor = matrix[i, j]
            if factor != 0:
                for k in range(columns.shape[1]):
                    result[j, k] += factor * columns[i, k]
    return result


@njit(cache=True, nogil=True)
def _gram(columns: Any) -> Any:
    result = np.zeros((columns.shape[1], columns.shape[1]))
    for i in range(columns.shape[0]):
        for j in range(columns.shape[1]):
            factor = np.float64(columns[i, j])
            for k in range(columns.shape[1]):
                result[j, k] += factor * columns[i, k]
    return result


@njit(cache=True, nogil=True)
def _orthonormalise(rows: Any) -> None:
    """Gram and Schmidt, twice over for the rounding; rows that depend on earlier ones become zeros."""
    for i in range(len(rows)):
        before = np.sqrt(_product(rows[i], rows[i]))
        for _ in range(2):
            for j in range(i):
                along = _product(rows[i], rows[j])
                for k in range(rows.shape[1]):
                    rows[i, k] -= along * rows[j, k]
        length = np.sqrt(_product(rows[i], rows[i]))
        for k in range(rows.shape[1]):
            rows[i, k] = rows[i, k] / length if length > 1e-6 * before else 0.0


@njit(cache=True, nogil=True)
def _product(left: Any, right: Any) -> float:
    total = 0.0
    for k in range(len(left)):
        total += np.float64(left[k]) * right[k]
    return total


@njit(cache=True, nogil=True)
def _eigen(symmetric: Any) -> Any:
    """Eigenvalues, and eigenvectors as columns, by cyclic rotations (Jacobi 1846)."""
    a, size = symmetric.copy(), len(symmetric)
    rows = np.eye(size)  # the eigenvectors, a row each while they are turned
    for _ in range(30):
        off, on = 0.0, 0.0
        for p in range(size):
            on += a[p, p] * a[p, p]
            for q in range(p):
                off += a[p, q] * a[p, q]
        if off <= 1e-24 * on:
            break
        for p in range(size - 1):
            for q in range(p + 1, size):
                if a[p, q] * a[p, q] <= 1e-32 * abs(a[p, p] * a[q, q]):
                    continue
                theta = (a[q, q] - a[p, p]) / (2 * a[p, q])
                t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + np.sqrt(theta * theta + 1))
                c = 1 / np.sqrt(t * t + 1)
                s = t * c
                for k in range(size):
                    a[p, k], a[q, k] = c * a[p, k] - s * a[q, k], s * a[p, k] + c * a[q, k]
                    rows[p, k], rows[q, k] = c * rows[p, k] - s * rows[q, k], s * rows[p, k] + c * rows[q, k]
                for k in range(size):
                    a[k, p], a[k, q] = c * a[k, p] - s * a[k, q], s * a[k, p] + c * a[k, q]
    return np.diag(a).copy(), rows.T.copy()


@njit(cache=True, nogil=True)
def _add_own(key: Any, factor: Any, vector: Any) -> None:
    """Add `factor` times a term's own vector, of length 1: a few signs in places drawn from its key."""
    step, width, drawn = factor * np.float32(1 / np.sqrt(_NUM_SIGNS)), np.uint64(len(vector)), key
    for i in range(_NUM_SIGNS):
        if i % 4 == 0:
            drawn = key = mix(key + np.uint64(0x9E3779B97F4A7C15))
        place = np.int64(((drawn & np.uint64(0x7FFF)) * width) >> np.uint64(15))
        vector[place] += step if drawn & np.uint64(0x8000) else -step
        drawn >>= np.uint64(16)


@njit(cache=True, nogil=True)
def _unit(vector: Any) -> None:
    square = _product(vector, vector)
    if square > 0:
        factor = np.float32(1 / np.sqrt(square))
        for k in range(len(vector)):
            vector[k] *= factor


@njit(cache=True, nogil=True)
def _scale(vectors: Any, rarity: Any, length: Any) -> None:
    for i in range(len(vectors)):
        _unit(vectors[i])
        for k in range(vectors.shape[1]):
            vectors[i, k] *= length * rarity[i]


@njit(cache=True, nogil=True)
def _count_key(table: Any, counts: Any, key: Any) -> None:
    slot = find_slot(table, key)
    table[slot] = key
    counts[slot] += 1


@njit(cache=True, nogil=True)
def _embed(tokens, offsets, table, rows, rarity, learned, common, result):  # type: ignore[no-untyped-def]
    for d in range(len(offsets) - 1):
        begin, end, vector = offsets[d], offsets[d + 1], result[d]
        size = 4
        while size < 3 * (end - begin):
            size *= 2
        seen, counts = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        for i in range(begin, end):
            _count_key(seen, counts, _token_key(tokens[i]))
            if i + 1 < end:
                key = _pair_key(tokens[i], tokens[i + 1])
                if rows[find_slot(table, key)] >= 0:
                    _count_key(seen, counts, key)
        for slot in range(size):
            if counts[slot] == 0:
                continue
            factor = np.float32(1 + np.log(counts[slot]))
            row = rows[find_slot(table, seen[slot])]
            _add_own(seen[slot], factor * (rarity[row] if row >= 0 else np.float32(1)), vector)
            if row >= 0:
                for k in range(learned.shape[1]):
                    vector[k] += factor * learned[row, k]
        _unit(vector)
        along = np.float32(_product(vector, common))
        for k in range(len(vector)):
            vector[k] -= along * common[k]
        _unit(vector)


def _common(plain: StaticEmbedder, batches: list[tuple[Tokens, Offsets]]) -> Vectors:
    """The first principal component of up to _COMMON_SAMPLE documents, taken evenly."""
    step = max(1, -(-sum(len(offsets) - 1 for _, offsets in batches) // _COMMON_SAMPLE))
    pieces, at = [np.zeros((0, plain.dimension), np.float32)], 0
    for tokens, offsets in batches:
        for i in range(-at % step, len(offsets) - 1, step):
            pieces.append(plain.embed_tokens(tokens, offsets[i : i + 2]))
        at += len(offsets) - 1
    return _principal(np.concatenate(pieces))


@njit(cache=True, nogil=True)
def _principal(vectors: Any) -> Any:
    """Power iteration from the sum of the vectors; zeros when there is none."""
    direction = np.zeros(vectors.shape[1])
    for i in range(len(vectors)):
        for k in range(len(direction)):
            direction[k] += vectors[i, k]
    _unit(direction)
    for _ in range(20):
        turned = np.zeros(len(direction))
        for i in range(len(vectors)):
            along = _product(vectors[i], direction)
            for k in range(len(direction)):
                turned[k] += along * vectors[i, k]
        _unit(turned)
        direction = turned
    return direction.astype(np.float32)
