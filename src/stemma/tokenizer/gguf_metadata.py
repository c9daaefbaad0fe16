"""The key-value part of a GGUF file, read with bounds: a file may come from anywhere.

Layout (github.com/ggml-org/ggml docs/gguf.md), little-endian: "GGUF", version u32, tensor count u64, key-value count
u64, then per key: string, type u32, value. A string is its u64 length and bytes; an array its element type u32, count
u64 and elements. Every count is checked against the bytes that are left before anything is made of it.
"""

import mmap
import struct
from pathlib import Path

from stemma.errors import StemmaError

Value = int | float | bool | str | list[int] | list[float] | list[bool] | list[str]

_VERSIONS = (2, 3)
_MAX_KEYS = 4096
_MAX_STRING = 1 << 24  # bytes
_MAX_ITEMS = 1 << 24
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def read_metadata(path: Path) -> dict[str, Value]:
    """Values by key. Raises StemmaError when the file is cut, damaged or no GGUF."""
    with path.open("rb") as file:
        if path.stat().st_size < 24:
            raise StemmaError(f"{path}: {path.stat().st_size} bytes are no GGUF file; download it again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            try:
                return _Reader(raw).metadata()
            except (ValueError, struct.error) as error:
                raise StemmaError(f"{path}: no whole GGUF file ({error}); download it again") from None


class _Reader:
    """A place in the file that moves forward. Raises ValueError where the file does not make sense."""

    def __init__(self, raw: mmap.mmap) -> None:
        self._raw, self._at = raw, 0

    def metadata(self) -> dict[str, Value]:
        if self._take(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        version = self._scalar(4)
        if version not in _VERSIONS:
            raise ValueError(f"version {version}, known are {_VERSIONS[0]} and {_VERSIONS[1]}")
        self._scalar(10)  # the number of tensors
        count = int(self._scalar(10))
        if count > _MAX_KEYS:
            raise ValueError(f"{count} keys")
        found: dict[str, Value] = {}
        for _ in range(count):
            key = self._string()
            if key in found:
                raise ValueError(f"the key {key[:80]!r} twice")
            found[key] = self._value(int(self._scalar(4)))
        return found

    def _value(self, kind: int) -> Value:
        if kind == _STRING:
            return self._string()
        return self._array() if kind == _ARRAY else self._scalar(kind)

    def _array(self) -> Value:
        kind, count = int(self._scalar(4)), int(self._scalar(10))
        if kind == _STRING:
            self._check_count(count, 8)
            return [self._string() for _ in range(count)]
        letter = _letter(kind)
        size = struct.calcsize("<" + letter)
        self._check_count(count, size)
        return list(struct.unpack(f"<{count}{letter}", self._take(count * size)))

    def _check_count(self, count: int, least_bytes: int) -> None:
        if count > _MAX_ITEMS or count * least_bytes > len(self._raw) - self._at:
            raise ValueError(f"an array of {count} items where {len(self._raw) - self._at} bytes are left")

    def _scalar(self, kind: int) -> int | float | bool:
        layout = "<" + _letter(kind)
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _string(self) -> str:
        length = int(self._scalar(10))
        if length > _MAX_STRING:
            raise ValueError(f"a string of {length} bytes")
        return self._take(length).decode()

    def _take(self, size: int) -> bytes:
        if size > len(self._raw) - self._at:
            raise ValueError(f"cut short at byte {len(self._raw)}")
        part = self._raw[self._at : self._at + size]
        self._at += size
        return part


def _letter(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError(f"a value of type {kind}, which GGUF does not have here")
    return _SCALARS[kind]
