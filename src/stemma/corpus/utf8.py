"""Reading UTF-8 in compiled loops: the code points, and the class of those that no table holds."""

from typing import Any

import numpy as np
from numba import njit

from stemma.corpus.characters import HAN, LETTER, OTHER, SYMBOL


@njit(cache=True, nogil=True, inline="always")
def decode(data: Any, i: Any) -> Any:
    """(code point, where the next character begins) of valid UTF-8."""
    first = np.int64(data[i])
    if first < 0x80:
        return first, i + 1
    if first < 0xE0:
        return ((first & 0x1F) << 6) | (data[i + 1] & 0x3F), i + 2
    if first < 0xF0:
        return ((first & 0x0F) << 12) | ((data[i + 1] & 0x3F) << 6) | (data[i + 2] & 0x3F), i + 3
    code = ((first & 0x07) << 18) | ((data[i + 1] & 0x3F) << 12)
    return code | ((data[i + 2] & 0x3F) << 6) | (data[i + 3] & 0x3F), i + 4


@njit(cache=True, nogil=True)
def class_above(code: Any) -> Any:
    """The class of a code point above the basic plane, which the tables of `characters` cover."""
    if 0x20000 <= code <= 0x3FFFF:
        return HAN
    if 0x1F000 <= code <= 0x1FAFF:
        return SYMBOL
    if 0xE0000 <= code <= 0xE0FFF:
        return OTHER
    return LETTER if code < 0x20000 else OTHER
