"""Dense vectors of documents: what semantic deduplication works on.

An embedder gives every document of a batch one vector of unit length (all zeros where nothing is known of
it). Without a model from elsewhere it is random indexing (Kanerva, Kristoferson and Holst 2000): a random
projection of the words of a document, weighted by a sample of the corpus.

    terms       tokens, and pairs of neighbouring tokens that are words or phrases (Mikolov et al. 2013)
    vector      of every term, sparse and random, drawn from its hash
    document    sum over its distinct terms of (1 + log tf) * rarity * vector, less the first principal
                component of a sample (the removal of Arora et al. 2017)

So documents are near that use the same rare words, in any order. That two words mean the same it does not
know; a sentence-transformers model does. All sums are our own loops in a fixed order: the same bits whatever
the number of threads and the cut into batches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import find_slot, mix
from stemma.errors import StemmaError
from stemma.storage import atomic_file

Bytes = npt.NDArray[np.uint8]
Tokens = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

_FORMAT = "stemma random indexing 1"
_TENSORS = {"keys", "rarity", "common"}
_FULL = 0.7  # of a table of counts, before the rarest terms leave it
_NUM_SIGNS = 8  # places of a term's vector that are not zero
_LEAST_RARITY = 0.05  # weight of the most frequent term; a rare one has 1
_COMMON_SAMPLE = 20_000  # documents whose first principal component is taken away


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
class RandomIndexingSettings:
    """How random indexing is made.

    Memory of training beside the sample: 28 bytes for each of `max_counted`, and 4 * dimension for each of 20,000
    documents.
    """

    dimension: int = 256
    vocabulary_size: int = 1 << 15
    """Terms whose frequency is known, the most frequent ones; others weigh as if they stood once."""
    min_count: int = 5
    """Rarer terms are not weighted, and rarer pairs are no terms."""
    phrase_lift: float = 8.0
    """A pair of tokens is a term when it is this many times as frequent as chance would have it."""
    max_counted: int = 1 << 23
    """Places of the table in which terms are counted; when it is nearly full, the rarest leave it."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("dimension", 8, 4096),
            ("vocabulary_size", 16, 1 << 22),
            ("min_count", 1, 1 << 30),
            ("phrase_lift", 0, 1 << 30),
            ("max_counted", 1 << 10, 1 << 30),
        ):
            if not least <= getattr(self, name) <= most:
                raise StemmaError(f"{name} is {getattr(self, name)}; give a number from {least} to {most}")


class RandomIndexing:
    """Random indexing. `keys` (V,) uint64 of the weighted terms, ascending; `rarity` (V,) their weights; `common`
    (d,) what is taken away of every document.
    """

    def __init__(self, keys: Tokens, rarity: Vectors, common: Vectors) -> None:
        self._keys, self._rarity, self._common = keys, rarity, common
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
        _embed(tokens, offsets, *self._index, self._rarity, self._common, result)
        return result

    @classmethod
    def train(
        cls, sample: Iterable[tuple[Tokens, Offsets]], settings: RandomIndexingSettings | None = None
    ) -> "RandomIndexing":
        """Weight the terms by batches of (tokens, offsets), which are held: 8 bytes per token."""
        settings = settings or RandomIndexingSettings()
        batches = list(sample)
        terms = _Terms(settings.max_counted)
        for tokens, offsets in batches:
            terms.add(tokens, offsets)
        keys, counts = terms.vocabulary(settings)
        top = counts.max(initial=2.0)
        rarity = np.maximum(_LEAST_RARITY, np.log(top / counts) / np.log(top)).astype(np.float32)
        plain = cls(keys, rarity, np.zeros(settings.dimension, np.float32))
        return cls(keys, rarity, _common(plain, batches))

    def save(self, path: Path) -> None:
        """Write a safetensors file, atomically."""
        from safetensors.numpy import save

        tensors: dict[str, npt.NDArray[Any]] = {
            "keys": self._keys,
            "rarity": self._rarity,
            "common": self._common,
        }
        with atomic_file(path) as file:
            file.write(save(tensors, metadata={"format": _FORMAT}))

    @classmethod
    def load(cls, path: Path) -> "RandomIndexing":
        """Read what `save` wrote. Raises StemmaError when it is something else or damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise StemmaError(f"{path}: cannot be read as an embedder ({error}); train it again") from None
        if metadata.get("format") != _FORMAT or set(tensors) != _TENSORS:
            raise StemmaError(f"{path}: is not a file of random indexing; train it again")
        if tensors["rarity"].shape != tensors["keys"].shape or tensors["common"].ndim != 1:
            raise StemmaError(f"{path}: holds tensors that do not fit together; train it again")
        return cls(**tensors)


class SentenceTransformerEmbedder:
    """A local folder of a sentence-transformers model, see `check_model`.

    The last bits of its vectors can depend on the batch and the device, as with any such model.
    """

    def __init__(self, folder: Path, batch_size: int = 32) -> None:
        check_model(folder)
        from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

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


def check_model(folder: Path) -> None:
    """Raises StemmaError when the folder is not there or sentence-transformers, no dependency, is not installed."""
    if not folder.is_dir():
        raise StemmaError(f"{folder}: is not a folder; give a local sentence-transformers model")
    if find_spec("sentence_transformers") is None:
        raise StemmaError(
            f"{folder}: needs the package sentence-transformers; install it, or leave the model out"
        )


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

    def vocabulary(self, settings: RandomIndexingSettings) -> tuple[Tokens, npt.NDArray[np.float64]]:
        """Keys of the chosen terms, ascending, and their counts."""
        keys, counts = self._columns[0], self._columns[3]
        total = int(counts[_is_token(keys)].sum(dtype=np.int64))
        frequent = np.flatnonzero(counts >= settings.min_count)
        lift = _lift(frequent, total, *self._columns)
        chosen = frequent[_is_token(keys[frequent]) | (lift >= settings.phrase_lift)]
        order = np.lexsort((keys[chosen], -counts[chosen].astype(np.int64)))[: settings.vocabulary_size]
        chosen = chosen[order][np.argsort(keys[chosen][order])]
        return keys[chosen], counts[chosen].astype(np.float64)


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
def dot(left: Any, right: Any) -> float:
    """Added up in double precision and in order, so that no library's threads show in the result."""
    total = 0.0
    for k in range(len(left)):
        total += np.float64(left[k]) * right[k]
    return total


@njit(cache=True, nogil=True)
def _add_term(key: Any, factor: Any, vector: Any) -> None:
    """Add `factor` times a term's vector, of length 1: a few signs in places drawn from its key."""
    step, width, drawn = factor * np.float32(1 / np.sqrt(_NUM_SIGNS)), np.uint64(len(vector)), key
    for i in range(_NUM_SIGNS):
        if i % 4 == 0:
            drawn = key = mix(key + np.uint64(0x9E3779B97F4A7C15))
        place = np.int64(((drawn & np.uint64(0x7FFF)) * width) >> np.uint64(15))
        vector[place] += step if drawn & np.uint64(0x8000) else -step
        drawn >>= np.uint64(16)


@njit(cache=True, nogil=True)
def _unit(vector: Any) -> None:
    square = dot(vector, vector)
    if square > 0:
        factor = np.float32(1 / np.sqrt(square))
        for k in range(len(vector)):
            vector[k] *= factor


@njit(cache=True, nogil=True)
def _count_key(table: Any, counts: Any, key: Any) -> None:
    slot = find_slot(table, key)
    table[slot] = key
    counts[slot] += 1


@njit(cache=True, nogil=True)
def _embed(tokens, offsets, table, rows, rarity, common, result):  # type: ignore[no-untyped-def]
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
            _add_term(seen[slot], factor * (rarity[row] if row >= 0 else np.float32(1)), vector)
        _unit(vector)
        along = np.float32(dot(vector, common))
        for k in range(len(vector)):
            vector[k] -= along * common[k]
        _unit(vector)


def _common(plain: RandomIndexing, batches: list[tuple[Tokens, Offsets]]) -> Vectors:
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
            along = dot(vectors[i], direction)
            for k in range(len(direction)):
                turned[k] += along * vectors[i, k]
        _unit(turned)
        direction = turned
    return direction.astype(np.float32)
