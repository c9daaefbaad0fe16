"""Which files an input means, and how their bytes are opened.

A folder stands for the readable files below it, in sorted order; a folder written by `stemma clean` stands for its
documents. Compressed files are streamed, and one that ends in mid-frame is an error, never a short file.
"""

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from stemma.errors import StemmaError

JSON_LINES = (".jsonl", ".jsonl.zst", ".jsonl.gz")
READABLE = (*JSON_LINES, ".parquet", ".txt")
_BUFFER = 1 << 20


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
    name = path.name.lower()
    try:
        if name.endswith(".gz"):
            return cast(IO[bytes], io.BufferedReader(gzip.GzipFile(path, "rb"), _BUFFER))
        if not name.endswith(".zst"):
            return path.open("rb", buffering=_BUFFER)

        import pyarrow

        # Arrow's reader, for two things: it inflates in bounded steps and it notices a frame that ends early.
        stream = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path), "rb"), "zstd")
        return cast(IO[bytes], io.BufferedReader(cast(io.RawIOBase, stream), _BUFFER))
    except OSError as error:
        raise StemmaError(f"{path}: cannot be read ({error.strerror or error})") from None


def _inside(folder: Path) -> tuple[list[InputFile], list[str]]:
    if (folder / "cleaning.json").is_file() and (folder / "documents.jsonl.zst").is_file():
        return [InputFile(folder / "documents.jsonl.zst", "documents.jsonl.zst")], []
    names = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    visible = sorted(n.as_posix() for n in names if not any(part.startswith(".") for part in n.parts))
    readable = [n for n in visible if kind_of(Path(n))]
    return [InputFile(folder / n, n) for n in readable], [n for n in visible if not kind_of(Path(n))]
