"""Which files an input means, and how their bytes are opened.

A folder stands for the readable files below it, in sorted order; a folder written by `stemma clean` stands for its
documents. Compressed files are streamed, and one that ends in mid-frame is an error, never a short file.
"""

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stemma.errors import StemmaError

JSON_LINES = (".jsonl", ".jsonl.zst", ".jsonl.gz")
READABLE = (*JSON_LINES, ".parquet", ".txt")

_ZSTD_PIECE = 8192  # compressed bytes a step: bounds what a hostile file can inflate to at once


@dataclass(frozen=True)
class InputFile:
    """A file to read and the name its records are called by: relative to the folder that was given."""

    path: Path
    name: str


def find_files(paths: Sequence[Path]) -> tuple[list[InputFile], list[str]]:
    """The files that `paths` mean, in the order given and sorted inside folders, and the names passed over.

    Raises StemmaError for a path that does not exist, a file of an unknown kind, and a folder with nothing readable.
    """
    found: list[InputFile] = []
    ignored: list[str] = []
    for path in paths:
        if path.is_dir():
            inside, rest = _inside(path)
            if not inside:
                raise StemmaError(f"{path}: holds no file that can be read; readable: {', '.join(READABLE)}")
            found += inside
            ignored += rest
        elif not path.exists():
            raise StemmaError(f"{path}: does not exist; give a file or a folder")
        elif kind_of(path) is None:
            raise StemmaError(f"{path}: is not a kind that can be read; readable: {', '.join(READABLE)}")
        else:
            found.append(InputFile(path, path.name))
    return found, ignored


def kind_of(path: Path) -> str | None:
    """The ending of READABLE that the file name has, or None."""
    name = path.name.lower()
    return next((ending for ending in READABLE if name.endswith(ending)), None)


def open_bytes(path: Path) -> IO[bytes]:
    """Open a plain, .zst or .gz file as a buffered binary stream. Raises StemmaError when it cannot be opened."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise StemmaError(f"{path}: cannot be read ({error.strerror})") from None
    if path.name.lower().endswith(".zst"):
        return io.BufferedReader(_ZstdReader(raw), 1 << 20)
    if path.name.lower().endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), 1 << 20)
    return raw


def _inside(folder: Path) -> tuple[list[InputFile], list[str]]:
    if (folder / "cleaning.json").is_file() and (folder / "documents.jsonl.zst").is_file():
        return [InputFile(folder / "documents.jsonl.zst", "documents.jsonl.zst")], []
    names = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    visible = sorted(n.as_posix() for n in names if not any(part.startswith(".") for part in n.parts))
    readable = [n for n in visible if kind_of(Path(n))]
    return [InputFile(folder / n, n) for n in readable], [n for n in visible if not kind_of(Path(n))]


class _ZstdReader(io.RawIOBase):
    """Zstandard frames, one after another; EOFError when the last one is not complete.

    The library's own stream reader ends silently on a truncated file, so frames are followed here.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self._raw = raw
        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._inside_frame = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            piece = self._raw.read(_ZSTD_PIECE)
            if not piece:
                if self._inside_frame:
                    raise EOFError("the compressed data ends early")
                return 0
            self._ready = memoryview(self._inflate(piece))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _inflate(self, piece: bytes) -> bytes:
        parts: list[bytes] = []
        while piece:
            try:
                parts.append(self._frame.decompress(piece))
            except self._error as error:
                raise OSError(f"damaged Zstandard data: {error}") from None
            self._inside_frame = not self._frame.eof
            piece = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj()
        return b"".join(parts)

    def close(self) -> None:
        self._raw.close()
        super().close()
