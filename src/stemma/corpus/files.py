"""Which files an input means, and how their bytes are opened.

A folder stands for the readable files below it, in sorted order; a folder written by `stemma clean` stands for its
documents. Compressed files are streamed, and one that ends in mid-frame is an error, never a short file.
"""

import gzip
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn, cast

from stemma.errors import StemmaError

JSON_LINES = (".jsonl", ".jsonl.zst", ".jsonl.gz")
PAGES = (".html", ".htm")
WARC = (".warc", ".warc.gz", ".warc.zst")
READABLE = (*JSON_LINES, ".parquet", ".txt", *PAGES, *WARC)
_BUFFER = 1 << 20


@dataclass(frozen=True)
class InputFile:
    """A file to read and the name its records are called by, unique among the inputs of one call.

    The name is relative to the folder that was given; where two are equal, the folders above come in front until they
    differ.
    """

    path: Path
    name: str

    @property
    def shown(self) -> str:
        """The path, for messages."""
        return printable(str(self.path))

    @cached_property
    def domain(self) -> str:
        """What its records count as in reports when they do not say: the file's name without endings."""
        return printable(self.path.name).split(".")[0]


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
            found.append(InputFile(path, printable(path.name)))
    return with_unique_names(found), ignored


def printable(name: str) -> str:
    """A file name as text; bytes of it that are not UTF-8 are written as \\xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def kind_of(path: Path) -> str | None:
    """The ending of READABLE that the file name has, or None."""
    name = path.name.lower()
    return next((ending for ending in READABLE if name.endswith(ending)), None)


def open_bytes(path: Path, buffer: int = _BUFFER) -> io.BufferedReader:
    """Open a plain, .zst or .gz file as a buffered binary stream. Raises StemmaError when it cannot be opened."""
    name = path.name.lower()
    try:
        if name.endswith(".gz"):
            return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(path, "rb")), buffer)
        if not name.endswith(".zst"):
            return io.BufferedReader(io.FileIO(path), buffer)

        import pyarrow

        # Arrow's reader, for two things: it inflates in bounded steps and it notices a frame that ends early.
        stream = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path), "rb"), "zstd")
        return io.BufferedReader(cast(io.RawIOBase, stream), buffer)
    except OSError as error:
        raise StemmaError(f"{path}: cannot be read ({error.strerror or error})") from None


def _inside(folder: Path) -> tuple[list[InputFile], list[str]]:
    if (folder / "cleaning.json").is_file() and (folder / "documents").is_dir():
        folder /= "documents"
    names = sorted(_names_below(folder))
    readable = [n for n in names if kind_of(Path(n)) and (folder / n).is_file()]
    found = [InputFile(folder / n, printable(n)) for n in readable]
    return found, [printable(n) for n in sorted(set(names) - set(readable))]


def _names_below(folder: Path) -> Iterator[str]:
    """Every file, and every link to a folder (none is followed: they can form loops); hidden ones are left out."""
    for place, folders, files in os.walk(folder, onerror=_refuse_folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*files, *links):
            if not name.startswith("."):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _refuse_folder(error: OSError) -> NoReturn:
    raise StemmaError(
        f"{error.filename}: cannot be read ({error.strerror}); nothing below it was read"
    ) from None


def with_unique_names(files: list[InputFile]) -> list[InputFile]:
    """The same files; as long as the names of two are equal, each of them takes one more folder in front."""
    parts = [Path(os.path.abspath(file.path)).parts for file in files]
    names = [file.name for file in files]
    depths = [name.count("/") + 1 for name in names]
    while True:
        places: dict[str, set[tuple[str, ...]]] = {}
        for name, place in zip(names, parts, strict=True):
            places.setdefault(name, set()).add(place)
        alike = [i for i, name in enumerate(names) if len(places[name]) > 1]
        # None is left, or they differ in bytes that are not shown.
        if all(depths[i] > len(parts[i]) for i in alike):
            return [InputFile(file.path, name) for file, name in zip(files, names, strict=True)]
        for i in alike:
            depths[i] += 1
            names[i] = printable("/".join(parts[i][-depths[i] :]))
