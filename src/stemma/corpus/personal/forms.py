"""Characters in UTF-8 bytes for compiled loops: full-width forms, spaces and dashes read as ASCII."""

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def ascii_at(data, i, end):  # type: ignore[no-untyped-def]
    """The ASCII form of the character at byte i and its width in bytes, as code << 3 | width; code 0 for any other."""
    first = np.int64(data[i])
    if first < 0x80:
        return first << 3 | 1
    if i + 2 < end:
        second, third = np.int64(data[i + 1]), np.int64(data[i + 2])
        if first == 0xEF:
            if second == 0xBC and third > 0x80:
                return (third - 0x60) << 3 | 3
            if second == 0xBD and third < 0x9F:
                return (third - 0x20) << 3 | 3
        elif first == 0xE2:
            if (second == 0x80 and 0x90 <= third <= 0x95) or (second == 0x88 and third == 0x92):
                return 0x2D << 3 | 3
            if second == 0x80 and (third <= 0x8A or third == 0xAF):
                return 0x20 << 3 | 3
        elif first == 0xE3 and second == 0x80 and third == 0x80:
            return 0x20 << 3 | 3
    if first == 0xC2 and i + 1 < end and data[i + 1] == 0xA0:
        return 0x20 << 3 | 2
    return 1


@njit(cache=True, nogil=True)
def ascii_before(data, i, start):  # type: ignore[no-untyped-def]
    """As `_ascii_at`, of the character that ends at byte i."""
    if i <= start:
        return 1
    if data[i - 1] < 0x80:
        return np.int64(data[i - 1]) << 3 | 1
    if i - 3 >= start and data[i - 3] == 0xEF:
        return ascii_at(data, i - 3, i)
    return 1


@njit(cache=True, nogil=True, inline="always")
def is_digit(code: Any) -> Any:
    return 48 <= code <= 57


@njit(cache=True, nogil=True, inline="always")
def is_upper(code: Any) -> Any:
    return 65 <= code <= 90


@njit(cache=True, nogil=True, inline="always")
def is_word(code: Any) -> Any:
    return 48 <= code <= 57 or 65 <= code <= 90 or 97 <= code <= 122


@njit(cache=True, nogil=True, inline="always")
def is_hex(code: Any) -> Any:
    return 48 <= code <= 57 or 65 <= code <= 70 or 97 <= code <= 102
