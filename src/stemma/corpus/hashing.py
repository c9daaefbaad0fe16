"""64-bit hashes that compiled loops share: mixing, runs of tokens, open-addressing tables.

A run's hash is made in one of two ways. `extend` takes a run from one length to the next. `ngram_hashes`
gives all runs of one length, as differences of polynomial prefix hashes, H(i) = H(i-1) * BASE + t(i) mod
2^64, mixed at the end, so it costs the same for every length.
"""

from typing import Any

import numpy as np
from numba import njit

BASE = np.uint64(0xD1342543DE82EF95)


@njit(cache=True, nogil=True, inline="always")
def mix(value: Any) -> Any:
    """Spread the bits of a 64-bit value (the finaliser of splitmix64)."""
    value = np.uint64(value)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def add_character(word: Any, fold: Any) -> Any:
    """The state of a word's hash (0 at its start) after one more folded character; `mix` ends it."""
    return (word ^ fold) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)


@njit(cache=True, nogil=True, inline="always")
def extend(run: Any, token: Any) -> Any:
    """The hash of a run of tokens with one token more, from the hash of the run; never 0, which is the empty
    run."""
    value = (run * np.uint64(0x9E3779B97F4A7C15) + token) * np.uint64(0xD6E8FEB86659FD93)
    return (value ^ (value >> np.uint64(32))) | np.uint64(1)


@njit(cache=True, nogil=True)
def power(n: Any) -> Any:
    """BASE to the power n."""
    result = np.uint64(1)
    for _ in range(n):
        result *= BASE
    return result


@njit(cache=True, nogil=True)
def ngram_hashes(tokens: Any, n: Any) -> Any:
    """(num_tokens - n + 1,) hashes of the runs of `n` tokens; of the whole text, once, when it is shorter."""
    n = max(min(n, len(tokens)), 1)
    result = np.empty(len(tokens) - n + 1, np.uint64)
    rolling, first = np.uint64(0), power(n)
    for i in range(len(tokens)):
        rolling = rolling * BASE + tokens[i]
        if i >= n:
            rolling -= tokens[i - n] * first
        if i >= n - 1:
            result[i - n + 1] = mix(rolling)
    return result


@njit(cache=True, nogil=True)
def find_slot(table: Any, key: Any) -> Any:
    """Where `key` (never 0) is, or the free slot where it belongs, in an open-addressing table."""
    mask = np.uint64(len(table) - 1)
    slot = key & mask
    while table[slot] != 0 and table[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)
