"""64-bit hashes that compiled loops share: mixing, runs of tokens one token at a time, open-addressing
tables."""

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, inline="always")
def mix(value: Any) -> Any:
    """Spread the bits of a 64-bit value (the finaliser of splitmix64)."""
    value = np.uint64(value)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def extend(run: Any, token: Any) -> Any:
    """The hash of a run of tokens with one token more, from the hash of the run (of one token: the token)."""
    value = (run * np.uint64(0xD1342543DE82EF95) + token) * np.uint64(0xAF251AF3B0F025B5)
    return value ^ (value >> np.uint64(32))


@njit(cache=True, nogil=True)
def find_slot(table: Any, key: Any) -> Any:
    """Where `key` (never 0) is, or the free slot where it belongs, in an open-addressing table."""
    mask = np.uint64(len(table) - 1)
    slot = key & mask
    while table[slot] != 0 and table[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)
