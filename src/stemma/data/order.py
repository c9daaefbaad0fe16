"""Which item comes when, as a pure function of (seed, step): resuming needs no state and nothing is materialised.

A permutation of n items by index: a four-round Feistel network over the next even power of two (Luby and Rackoff 1988)
with cycle walking, i.e. applied again while the result is n or more. Every epoch has a permutation of its own.
"""

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 4


def permute(index: NDArray[np.int64], num_items: int, seed: int, epoch: int = 0) -> NDArray[np.int64]:
    """The items at the places `index` (each 0 .. num_items - 1) of the permutation of this seed and epoch."""
    half_bits = max(1, ((num_items - 1).bit_length() + 1) // 2)
    keys = _mix(np.arange(_ROUNDS, dtype=np.uint64) + _mix(_mix(np.uint64(seed)) + np.uint64(epoch)))
    result = _feistel(index.astype(np.uint64), keys, half_bits)
    while (outside := result >= num_items).any():
        result[outside] = _feistel(result[outside], keys, half_bits)
    return result.astype(np.int64)


def batch_items(
    step: int, batch_size: int, num_items: int, seed: int, limit: int | None = None
) -> NDArray[np.int64]:
    """The items of optimiser step `step`, counted from 0; the last batch ends at `limit` items drawn in all.

    Epochs follow each other without a gap, so a batch may hold the end of one and the beginning of the next.
    """
    end = (step + 1) * batch_size if limit is None else min(limit, (step + 1) * batch_size)
    places = np.arange(step * batch_size, end, dtype=np.int64)
    epochs = places // num_items
    result = np.empty_like(places)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        result[chosen] = permute(places[chosen] % num_items, num_items, seed, int(epoch))
    return result


def _feistel(value: NDArray[np.uint64], keys: NDArray[np.uint64], half_bits: int) -> NDArray[np.uint64]:
    bits, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = value >> bits, value & mask
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << bits) | right


def _mix(value: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """splitmix64's finaliser (Steele, Lea, Flood 2014): every input bit reaches every output bit."""
    x = np.atleast_1d(np.asarray(value, np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
