"""An n-gram language model over token hashes: a token is a word, or one Han or kana character (`scan`).

Interpolated absolute discounting, P(w|h) = (c(hw) - D) / c(h) + g(h) P(w|h'): h' is h without its first token, g(h)
the mass that is left, and D one of D1, D2, D3+ per order as in modified Kneser-Ney (Chen and Goodman 1999, section
4.1). Lower orders keep their own counts, not the counts of continuations: those go wrong when rare n-grams are cut out
(Chelba et al. 2010, "A Study on Interaction between Entropy Pruning and Kneser-Ney Smoothing"), which is done here.

A model is one open-addressing table of 4-byte slots: 12 bits of the n-gram's hash, its log-probability and its back-off
weight log g in 8 bits each. By calculation, it takes an n-gram it lacks for another about once in 2,000 look-ups.
"""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import extend, find_slot
from stemma.errors import StemmaError
from stemma.storage import atomic_file

MAX_ORDER = 5
_TAG_BITS = 12
_STEPS = 10  # of a quantised logarithm, per nat
_NATS = -1 / _STEPS
_NO_BACKOFF = 255
_FULL = 0.6  # share of the counting table in use before rare n-grams go
_CLIP = 4.0  # nats: no single token decides a document's gain
_MOST_SLOTS = 1 << 30
_FORMAT = 1
_BLOCK = 128  # tokens looked up together

Batch = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]
"""tokens (num_tokens,) of all documents in a row, and token_offsets (num_documents + 1,)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NgramSettings:
    """How a model is trained.

    Attributes:
        order: tokens in the longest n-gram, 2 to 5.
        counted: slots of the table of counts, a power of two, at 29 bytes each; twice that while it is thinned out.
            When it is 60 % full, the rarest n-grams go until half of that is free.
        entries: the most n-grams a model keeps, at 6 to 12 bytes each; the rarest are left out.
        least: n-grams of two tokens or more that occur less often are left out.
    """

    order: int = 4
    counted: int = 1 << 23
    entries: int = 1 << 23
    least: int = 2

    def __post_init__(self) -> None:
        if not 2 <= self.order <= MAX_ORDER:
            raise StemmaError(f"n-gram model: order {self.order} is not possible; choose 2 to {MAX_ORDER}")
        if self.counted < 64 or self.counted & (self.counted - 1):
            raise StemmaError(f"n-gram model: counted {self.counted} must be a power of two of at least 64")
        if not 1 <= self.entries <= _MOST_SLOTS // 2 or self.least < 1:
            raise StemmaError("n-gram model: entries must be 1 to 2^29 and least at least 1")


class NgramModel:
    """Scores documents; made by `train` or `load`, not changed afterwards."""

    def __init__(self, order: int, unknown: float, table: npt.NDArray[np.uint32]) -> None:
        self.order = order
        self.unknown = unknown
        """log-probability of a token the model has never seen"""
        self.table = table

    @property
    def columns(self) -> tuple[str, ...]:
        """What `score` returns: log_prob, unknown, and context_m, gain_m, known_m for m = 2 to the order."""
        each = (f"{name}_{m}" for m in range(2, self.order + 1) for name in ("context", "gain", "known"))
        return "log_prob", "unknown", *each

    @property
    def num_bytes(self) -> int:
        """Memory of the model."""
        return self.table.nbytes

    @property
    def num_entries(self) -> int:
        """n-grams of all orders in the model."""
        return int(np.count_nonzero(self.table))

    @classmethod
    def train(
        cls,
        batches: Iterable[Batch],
        settings: NgramSettings | None = None,
        asked: Batch | None = None,
    ) -> Self:
        """Count the batches in one pass and estimate; the result depends on the documents and their order alone.

        Takes about 1 s per million tokens. With `asked`, the documents that will be scored, n-grams whose context is in
        none of them are left out, which is most of them; only the discounts are then of fewer n-grams. Raises
        StemmaError when there is no token at all.
        """
        settings = settings or NgramSettings()
        wanted = np.zeros(1, np.uint64) if asked is None else _contexts(*asked, settings.order)
        counted = _counted(batches, settings, wanted)
        if not counted.total:
            raise StemmaError("n-gram model: there is no text to train on; give documents that have words")
        columns, counts, orders = counted.columns, counted.columns.counts, counted.columns.orders
        least = settings.least
        while True:
            borders = np.full(MAX_ORDER + 1, least, np.uint32)
            borders[1] = max(1, least - 1)
            used = np.flatnonzero(counts)
            kept = used[counts[used] >= borders[orders[used]]]
            if len(kept) <= settings.entries:
                break
            least += 1
        # A token's longer n-grams need their own context and suffix, which occur at least as often: both are kept.
        logs, taken = np.zeros(len(counts)), np.zeros(len(counts))
        uniform = 1 / (np.count_nonzero(orders == 1) + 1)
        left = 1.0
        for m in range(1, settings.order + 1):
            chosen = kept[orders[kept] == m]
            share = _estimate(chosen, m, counted.discounts[m], counted.total, uniform, columns, logs, taken)
            left = share if m == 1 else left
        table = np.zeros(_num_slots(len(kept)), np.uint32)
        own = taken[kept]
        backoffs = np.rint(-np.log(np.clip(1 - own, 1e-9, 1)) * _STEPS).clip(0, _NO_BACKOFF - 1)
        backoffs[own == 0] = _NO_BACKOFF
        log_probs = np.rint(-logs[kept] * _STEPS).clip(1, 255)
        _pack(table, columns.keys[kept], log_probs, backoffs)
        return cls(settings.order, float(np.log(max(left, 1e-9) * uniform)), table)

    def score(
        self, tokens: npt.NDArray[np.uint64], token_offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """(num_documents, 2 + 3 (order - 1)) numbers per document; the order of `columns`:

        log_prob    mean log P of a token, in nats; exp(-log_prob) is the perplexity. 0 for no token.
        unknown     share of the tokens the model has never seen.
        context_m   share of the tokens with a known context of m - 1 tokens.
        gain_m      mean of log P_m - log P_{m-1} over these: what the m-th token back tells. Text made by a Markov
                    chain of order m - 2 gains like any other below m, and at m it loses.
        known_m     share of these tokens that the model has seen after their context.
        """
        sums = np.zeros((len(token_offsets) - 1, len(self.columns)))
        _score(tokens, token_offsets, self.order, self.table, self.unknown, sums)
        lengths = np.maximum(np.diff(token_offsets), 1)
        contexts = sums[:, 2::3].copy()
        sums[:, 3::3] /= np.maximum(contexts, 1)
        sums[:, 4::3] /= np.maximum(contexts, 1)
        sums[:, 2::3] /= lengths[:, None]
        sums[:, :2] /= lengths[:, None]
        return sums.astype(np.float32)

    def save(self, path: Path, *, compress: bool = True) -> None:
        """Write an .npz file (compressed about 3 bytes per n-gram), atomically; equal models give equal bytes."""
        used = self.table != 0
        values = self.table[used]
        with atomic_file(path) as file:
            write = np.savez_compressed if compress else np.savez
            write(
                file,
                header=np.array([_FORMAT, self.order, len(self.table)], np.int64),
                unknown=np.array([self.unknown]),
                used=np.packbits(used),
                byte0=_byte(values, 0),
                byte1=_byte(values, 1),
                byte2=_byte(values, 2),
                byte3=_byte(values, 3),
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model. Raises StemmaError when the file is missing, damaged (every part has a checksum), larger than
        a model can be, or something else."""
        try:
            with zipfile.ZipFile(path) as archive:
                sizes = {info.filename: info.file_size for info in archive.infolist()}
            if set(sizes) != {f"{name}.npy" for name in _PARTS} or max(sizes.values()) > _MOST_SLOTS:
                raise ValueError
            with np.load(path, allow_pickle=False) as parts:
                arrays = {name: parts[name] for name in _PARTS}
            return cls(*_checked(arrays))
        except FileNotFoundError:
            raise StemmaError(f"{path}: there is no such file; give the file of an n-gram model") from None
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, KeyError, NotImplementedError) as error:
            raise StemmaError(f"{path}: not an n-gram model, or damaged; train it again") from error


_PARTS = ("header", "unknown", "used", "byte0", "byte1", "byte2", "byte3")


def _checked(parts: dict[str, npt.NDArray[Any]]) -> tuple[int, float, npt.NDArray[np.uint32]]:
    """(order, unknown, table) of a file's arrays; ValueError for what `save` does not write."""
    header, unknown, used = parts["header"], parts["unknown"], parts["used"]
    if header.shape != (3,) or header.dtype != np.int64 or header[0] != _FORMAT:
        raise ValueError
    order, size = int(header[1]), int(header[2])
    is_model = 2 <= order <= MAX_ORDER and 16 <= size <= _MOST_SLOTS and not size & (size - 1)
    if not is_model or used.shape != (size // 8,) or used.dtype != np.uint8:
        raise ValueError
    if unknown.shape != (1,) or unknown.dtype != np.float64 or not -100 < unknown[0] <= 0:
        raise ValueError
    filled = np.unpackbits(used).view(np.bool_)
    count = int(filled.sum())
    planes = [parts[f"byte{i}"] for i in range(4)]
    if count >= size or any(plane.shape != (count,) or plane.dtype != np.uint8 for plane in planes):
        raise ValueError  # a full table would have no end to a search
    table = np.zeros(size, np.uint32)
    table[filled] = sum(plane.astype(np.uint32) << np.uint32(8 * i) for i, plane in enumerate(planes))
    return order, float(unknown[0]), table


def _byte(values: npt.NDArray[np.uint32], number: int) -> npt.NDArray[np.uint8]:
    return (values >> np.uint32(8 * number)).astype(np.uint8)


def _num_slots(count: int) -> int:
    size = 16
    while size * 0.7 < count:
        size *= 2
    return size


class _Columns(NamedTuple):
    """An open-addressing table of counted n-grams."""

    keys: npt.NDArray[np.uint64]
    contexts: npt.NDArray[np.uint64]
    """Key of the n-gram without its last token."""
    suffixes: npt.NDArray[np.uint64]
    """Key of the n-gram without its first token."""
    counts: npt.NDArray[np.uint32]
    orders: npt.NDArray[np.uint8]


class _Counted(NamedTuple):
    columns: _Columns
    total: int
    """Tokens."""
    discounts: npt.NDArray[np.float64]
    """(MAX_ORDER + 1, 4): by order and count, 3 standing for more."""


def _empty(size: int) -> _Columns:
    keys, contexts, suffixes = (np.zeros(size, np.uint64) for _ in range(3))
    return _Columns(keys, contexts, suffixes, np.zeros(size, np.uint32), np.zeros(size, np.uint8))


def _contexts(
    tokens: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], order: int
) -> npt.NDArray[np.uint64]:
    """The contexts in documents as an open-addressing table of at least two slots."""
    runs = np.unique(_runs(tokens, offsets, order - 1))
    table = np.zeros(1 << max(1, (2 * len(runs)).bit_length()), np.uint64)
    _enter(table, runs)
    return table


@njit(cache=True, nogil=True)
def _runs(tokens: Any, offsets: Any, longest: int) -> Any:
    """The hashes of all runs of 1 to `longest` tokens."""
    runs, count = np.empty(len(tokens) * longest, np.uint64), 0
    for document in range(len(offsets) - 1):
        for i in range(offsets[document], offsets[document + 1]):
            run = np.uint64(0)
            for j in range(i, min(i + longest, offsets[document + 1])):
                run = extend(run, tokens[j])
                runs[count] = run
                count += 1
    return runs[:count]


@njit(cache=True, nogil=True)
def _enter(table: Any, keys: Any) -> None:
    for key in keys:
        table[find_slot(table, key)] = key


def _counted(batches: Iterable[Batch], settings: NgramSettings, wanted: npt.NDArray[np.uint64]) -> _Counted:
    columns, used, total = _empty(settings.counted), 0, 0
    most = int(settings.counted * _FULL)
    discounts = None
    for tokens, offsets in batches:
        total += int(offsets[-1] - offsets[0])
        document, position = 0, int(offsets[0])
        while document < len(offsets) - 1:
            document, position, used = _count(
                tokens, offsets, document, position, settings.order, *columns, used, most, wanted
            )
            if document < len(offsets) - 1:
                # The counts of counts must be of the whole language, before the rare ones are gone.
                discounts = _discounts(columns) if discounts is None else discounts
                columns, used = _thinned(columns, most // 2)
    return _Counted(columns, total, _discounts(columns) if discounts is None else discounts)


def _thinned(columns: _Columns, most: int) -> tuple[_Columns, int]:
    """Without the n-grams that occurred once, twice, ... until at most `most` are left."""
    often = np.bincount(np.minimum(columns.counts, 1 << 16))
    above = len(columns.counts) - np.cumsum(often)
    border = min(int(np.argmax(above <= most)), 1 << 16)
    chosen = np.flatnonzero(columns.counts > border)
    thinned = _empty(len(columns.keys))
    _move(chosen, *columns, *thinned)
    return thinned, len(chosen)


def _discounts(columns: _Columns) -> npt.NDArray[np.float64]:
    """D1, D2, D3+ of each order from the numbers n1 to n4 of n-grams that occurred 1 to 4 times."""
    result = np.zeros((MAX_ORDER + 1, 4))
    for m in range(1, MAX_ORDER + 1):
        counts = np.minimum(columns.counts[columns.orders == m], 5)
        n = np.maximum(np.bincount(counts, minlength=6), 1).astype(np.float64)
        base = n[1] / (n[1] + 2 * n[2])
        estimate = [c - (c + 1) * base * n[c + 1] / n[c] for c in (1, 2, 3)]
        result[m, 1:] = np.clip(estimate, 0.1, [0.95, 1.8, 2.7])
    return result


@njit(cache=True, nogil=True)
def _count(  # type: ignore[no-untyped-def]
    tokens, offsets, document, position, order, keys, contexts, suffixes, counts, orders, used, most, wanted
):
    """Count from a position on; returns (document, position, used) at the end or where the table was full.

    `wanted` is the table of the contexts that matter; one of a single slot means all.
    """
    previous, current = np.zeros(order + 1, np.uint64), np.zeros(order + 1, np.uint64)
    while document < len(offsets) - 1:
        start = position
        for i in range(start, offsets[document + 1]):
            if used + order > most:
                return document, i, used
            for m in range(1, min(order, i - start + 1) + 1):
                if m > 1 and len(wanted) > 1:
                    context = previous[m - 1]
                    if context == 0 or wanted[find_slot(wanted, context)] == 0:
                        current[m:] = 0  # nor does any longer context matter
                        break
                key = extend(previous[m - 1], tokens[i])
                current[m] = key
                slot = find_slot(keys, key)
                if keys[slot] == 0:
                    keys[slot], orders[slot] = key, m
                    contexts[slot], suffixes[slot] = previous[m - 1], current[m - 1]
                    used += 1
                if counts[slot] < np.uint32(0xFFFFFFFF):
                    counts[slot] += np.uint32(1)
            previous, current = current, previous
        document += 1
        if document < len(offsets) - 1:
            position = offsets[document]
    return document, position, used


@njit(cache=True, nogil=True)
def _move(chosen, keys, contexts, suffixes, counts, orders, keys2, contexts2, suffixes2, counts2, orders2):  # type: ignore[no-untyped-def]
    for i in chosen:
        slot = find_slot(keys2, keys[i])
        keys2[slot], counts2[slot], orders2[slot] = keys[i], counts[i], orders[i]
        contexts2[slot], suffixes2[slot] = contexts[i], suffixes[i]


@njit(cache=True, nogil=True)
def _estimate(chosen, m, discounts, total, uniform, columns, logs, taken):  # type: ignore[no-untyped-def]
    """log P of the chosen n-grams of order m, and the mass they take from their contexts; returns what is left of the
    empty context's."""
    keys, counts = columns.keys, columns.counts
    left = 1.0
    slots = np.empty(len(chosen), np.int64)  # of the contexts: every look-up is a miss of the cache
    for place, i in enumerate(chosen):
        kept = counts[i] - discounts[min(counts[i], 3)]
        if m == 1:
            left -= kept / total
        else:
            slot = find_slot(keys, columns.contexts[i])
            slots[place] = slot
            taken[slot] += kept / counts[slot]
    for place, i in enumerate(chosen):
        kept = counts[i] - discounts[min(counts[i], 3)]
        if m == 1:
            logs[i] = np.log(kept / total + left * uniform)
        else:
            slot = slots[place]
            lower = np.exp(logs[find_slot(keys, columns.suffixes[i])])
            logs[i] = np.log(kept / counts[slot] + max(1 - taken[slot], 1e-9) * lower)
    return left


@njit(cache=True, nogil=True, inline="always")
def _find(table, key, mask):  # type: ignore[no-untyped-def]
    """The slot of a key's entry, or the free one where it belongs."""
    tag = np.uint32(key >> np.uint64(64 - _TAG_BITS))
    slot = (key >> np.uint64(8)) & mask
    while table[slot] != 0 and (table[slot] >> np.uint32(16)) != tag:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True, nogil=True)
def _pack(table, keys, log_probs, backoffs):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        slot = _find(table, keys[i], mask)
        if table[slot] == 0:
            tag = np.uint32(keys[i] >> np.uint64(64 - _TAG_BITS))
            value = (np.uint32(log_probs[i]) << np.uint32(8)) | np.uint32(backoffs[i])
            table[slot] = (tag << np.uint32(16)) | value


@njit(cache=True, nogil=True)
def _look_up(tokens, begin, end, order, table, keys, homes):  # type: ignore[no-untyped-def]
    """The keys of the n-grams that end at tokens begin to end, and the slots' contents where their search starts. No
    load waits for another here, so that the misses of the cache overlap."""
    mask = np.uint64(len(table) - 1)
    for i in range(begin, end):
        row, before = keys[i - begin + 1], keys[i - begin]
        for m in range(order):
            key = extend(before[m - 1] if m > 0 else np.uint64(0), tokens[i])
            row[m] = key
            homes[i - begin, m] = table[(key >> np.uint64(8)) & mask]


@njit(cache=True, nogil=True)
def _score(tokens, offsets, order, table, unknown, sums):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    byte = np.uint32(255)
    keys, homes = np.zeros((_BLOCK + 1, order), np.uint64), np.zeros((_BLOCK, order), np.uint32)
    # weights[m]: log g of the context of m tokens before the present one; positive when the model lacks it
    weights = np.zeros(order + 1)
    for document in range(len(offsets) - 1):
        total = 0.0
        result = sums[document]
        weights[1:] = 1.0
        first, end = offsets[document], offsets[document + 1]
        for begin in range(first, end, _BLOCK):
            stop = min(begin + _BLOCK, end)
            keys[0] = keys[_BLOCK]
            _look_up(tokens, begin, stop, order, table, keys, homes)
            for i in range(begin, stop):
                log_p = unknown
                below = 0.0  # the weight of the shorter context, before the present token takes its place
                for m in range(1, min(order, i - first + 1) + 1):
                    weight, fresh = below, 1.0
                    below = weights[m]
                    if weight <= 0:
                        key, value = keys[i - begin + 1, m - 1], homes[i - begin, m - 1]
                        if value != 0 and (value >> np.uint32(16)) != np.uint32(
                            key >> np.uint64(64 - _TAG_BITS)
                        ):
                            value = table[_find(table, key, mask)]
                        before = log_p
                        if value != 0:
                            log_p = np.float64((value >> np.uint32(8)) & byte) * _NATS
                            if (value & byte) != _NO_BACKOFF:
                                fresh = np.float64(value & byte) * _NATS
                        elif m > 1:
                            log_p += weight
                        if m > 1:
                            result[3 * m - 4] += 1
                            result[3 * m - 3] += min(max(log_p - before, -_CLIP), _CLIP)
                            result[3 * m - 2] += value != 0
                        else:
                            result[1] += value == 0
                    weights[m] = fresh
                total += log_p
        result[0] = total
