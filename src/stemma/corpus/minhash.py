"""MinHash signatures and the band keys by which near copies meet (Broder 1997; LSH: Indyk and Motwani 1998).

P[min h(A) = min h(B)] = J(A, B), the Jaccard similarity of the sets of 5-grams. A signature of b bands of r rows puts
two texts into a common bucket with probability 1 - (1 - J^r)^b: for 32 x 8, 0.26 at J 0.55, 0.85 at 0.70, 1.00 at 0.85.
Only the bands' 8-byte keys are kept.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import mix, ngram_hashes

_SEED = 20250101


class MinHash:
    """A fixed family of `num_bands * num_rows` hash functions over the runs of `shingle_size` tokens."""

    def __init__(self, num_bands: int, num_rows: int, shingle_size: int) -> None:
        generator = np.random.Generator(np.random.PCG64(_SEED))
        count = num_bands * num_rows
        self.num_bands, self.num_rows, self.shingle_size = num_bands, num_rows, shingle_size
        self._factors = generator.integers(1 << 31, size=count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        self._masks = generator.integers(1 << 32, size=count, dtype=np.uint32)

    def signature(self, tokens: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
        """(num_bands * num_rows,) smallest hash values; all ones for a text without tokens."""
        return _signature(ngram_hashes(tokens, self.shingle_size), self._factors, self._masks)

    def band_keys(
        self, tokens: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint64]:
        """(num_documents, num_bands) one key per band; document i is tokens[offsets[i] : offsets[i + 1]]."""
        shape = self.num_bands, self.num_rows
        return _all_band_keys(tokens, offsets, self.shingle_size, self._factors, self._masks, *shape)


def shingles(tokens: npt.NDArray[np.uint64], shingle_size: int) -> npt.NDArray[np.uint64]:
    """The distinct runs of `shingle_size` tokens as sorted 64-bit hashes."""
    return np.unique(ngram_hashes(tokens, shingle_size))


def jaccard(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> float:
    """|A and B| / |A or B| of two sorted arrays of distinct values."""
    if not len(left) or not len(right):
        return 0.0
    common = int(_num_common(left, right))
    return common / (len(left) + len(right) - common)


@njit(cache=True, nogil=True)
def _signature(hashes: Any, factors: Any, masks: Any) -> Any:
    smallest = np.full(len(factors), 0xFFFFFFFF, np.uint32)
    # Four values at a time: a function's numbers are loaded once for all of them.
    four = len(hashes) - len(hashes) % 4
    for i in range(0, four, 4):
        a, b = np.uint32(hashes[i] >> np.uint64(32)), np.uint32(hashes[i + 1] >> np.uint64(32))
        c, d = np.uint32(hashes[i + 2] >> np.uint64(32)), np.uint32(hashes[i + 3] >> np.uint64(32))
        for k in range(len(factors)):
            mask, factor = masks[k], factors[k]
            left = min(np.uint32((a ^ mask) * factor), np.uint32((b ^ mask) * factor))
            right = min(np.uint32((c ^ mask) * factor), np.uint32((d ^ mask) * factor))
            smallest[k] = min(smallest[k], min(left, right))
    for i in range(four, len(hashes)):
        value = np.uint32(hashes[i] >> np.uint64(32))
        for k in range(len(factors)):
            smallest[k] = min(smallest[k], np.uint32((value ^ masks[k]) * factors[k]))
    return smallest


@njit(cache=True, nogil=True)
def _band_keys(signature: Any, num_bands: int, num_rows: int) -> Any:
    keys = np.empty(num_bands, np.uint64)
    for band in range(num_bands):
        key = np.uint64(band + 1)
        for row in range(num_rows):
            key = mix(key ^ np.uint64(signature[band * num_rows + row]))
        keys[band] = key
    return keys


@njit(cache=True, nogil=True)
def _all_band_keys(tokens, offsets, n, factors, masks, num_bands, num_rows):  # type: ignore[no-untyped-def]
    keys = np.empty((len(offsets) - 1, num_bands), np.uint64)
    for i in range(len(keys)):
        own = tokens[offsets[i] : offsets[i + 1]]
        keys[i] = _band_keys(_signature(ngram_hashes(own, n), factors, masks), num_bands, num_rows)
    return keys


@njit(cache=True, nogil=True)
def _num_common(left: Any, right: Any) -> int:
    i, j, common = 0, 0, 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            common += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return common
