"""Hashes of runs of n tokens, and how much of a text repeats itself.

A run's hash is a difference of polynomial prefix hashes, H(i) = H(i-1) * B + t(i) mod 2^64, mixed at the end,
so it costs the same for every n.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import find_slot, mix

_BASE = np.uint64(0xD1342543DE82EF95)


def ngram_hashes(tokens: npt.NDArray[np.uint64], n: int) -> npt.NDArray[np.uint64]:
    """(num_tokens - n + 1,) hashes of the runs of `n` tokens; of the whole text, once, when it is shorter."""
    return _ngram_hashes(tokens, min(n, max(len(tokens), 1))) if len(tokens) else np.empty(0, np.uint64)


def repeated_share(tokens: npt.NDArray[np.uint64], n: int) -> float:
    """Share of the tokens that lie in a run of `n` tokens already seen earlier in the text."""
    return float(_repeated_share(ngram_hashes(tokens, n), n, len(tokens))) if len(tokens) > n else 0.0


def top_share(tokens: npt.NDArray[np.uint64], n: int) -> float:
    """Tokens in the most frequent run of `n`, over all tokens (0 when it occurs once)."""
    if len(tokens) <= n:
        return 0.0
    count = int(_top_count(ngram_hashes(tokens, n)))
    return min(1.0, count * n / len(tokens)) if count > 1 else 0.0


def duplicate_share(hashes: npt.NDArray[np.uint64], lengths: npt.NDArray[np.int64]) -> float:
    """Share of the total length that lies in items whose hash came before (lines, paragraphs)."""
    return float(_duplicate_share(hashes, lengths)) if len(hashes) > 1 else 0.0


@njit(cache=True, nogil=True)
def _ngram_hashes(tokens: Any, n: int) -> Any:
    result = np.empty(len(tokens) - n + 1, np.uint64)
    power = np.uint64(1)
    for _ in range(n):
        power *= _BASE
    rolling = np.uint64(0)
    for i in range(len(tokens)):
        rolling = rolling * _BASE + tokens[i]
        if i >= n:
            rolling -= tokens[i - n] * power
        if i >= n - 1:
            result[i - n + 1] = mix(rolling)
    return result


@njit(cache=True, nogil=True)
def _table_size(count: int) -> int:
    size = 4
    while size < 2 * count:
        size *= 2
    return size


@njit(cache=True, nogil=True)
def _repeated_share(hashes: Any, n: int, num_tokens: int) -> float:
    table = np.zeros(_table_size(len(hashes)), np.uint64)
    covered, covered_until = 0, 0
    for i in range(len(hashes)):
        key = hashes[i] | np.uint64(1)
        slot = find_slot(table, key)
        if table[slot] == 0:
            table[slot] = key
        else:
            covered += i + n - max(i, covered_until)
            covered_until = i + n
    return covered / num_tokens


@njit(cache=True, nogil=True)
def _top_count(hashes: Any) -> Any:
    size = _table_size(len(hashes))
    table, counts = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    top = 0
    for i in range(len(hashes)):
        key = hashes[i] | np.uint64(1)
        slot = find_slot(table, key)
        table[slot] = key
        counts[slot] += 1
        top = max(top, counts[slot])
    return top


@njit(cache=True, nogil=True)
def _duplicate_share(hashes: Any, lengths: Any) -> float:
    table = np.zeros(_table_size(len(hashes)), np.uint64)
    total, duplicate = 0, 0
    for i in range(len(hashes)):
        key = hashes[i] | np.uint64(1)
        slot = find_slot(table, key)
        total += lengths[i]
        if table[slot] == 0:
            table[slot] = key
        else:
            duplicate += lengths[i]
    return duplicate / total if total else 0.0
