"""Writing so that a kill at any instant leaves either the old state or the new one, never half of one.

A file: temp in the same folder, fsync, rename. A folder: built under a temporary name beside its target, every file
fsynced, then renamed. Whatever fails on the way (a full disk, an interrupt) removes the temporary part. Beside NAME
lie, meanwhile, `.NAME.XXXXXXXX.tmp` and, while a folder is replaced, `.NAME.old`.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from stemma.errors import StemmaError


@contextlib.contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file that replaces `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_file(path, "w") as file:
        file.write(text)


def write_json(path: Path, data: Any, *, indent: int | None = 2) -> None:
    """Write JSON atomically: indented, or with None on one line, which is faster; keys in the order given."""
    write_text(path, json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `path` when the block ends without an error.

    Raises StemmaError when `path` is a file, already holds something and `replace` is False, or is the folder the
    command runs in, which no rename can replace under it. With `replace`, the old folder is moved aside before the
    rename and removed after it; one that a kill left aside is moved back first.
    """
    shown, path = path, path.resolve()
    if Path.cwd().is_relative_to(path):
        raise StemmaError(f"{shown}: is the folder this command runs in; choose another output")
    old = path.with_name(f".{path.name}.old")
    _move_back(old, path)
    if path.exists() and not (path.is_dir() and (replace or not any(path.iterdir()))):
        raise StemmaError(f"{shown}: already exists; choose another output or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield building
        replace_folder(building, path)
    except BaseException:
        _move_back(old, path)
        shutil.rmtree(building, ignore_errors=True)
        raise


def replace_folder(building: Path, path: Path) -> None:
    """Make a finished folder on the same file system take the place of `path`, every file of it on disk before."""
    old = path.with_name(f".{path.name}.old")
    os.chmod(building, 0o755)
    for file in sorted(building.rglob("*")):
        _sync(file)
    _sync(building)
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
    os.replace(building, path)
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(folder: Path, *names: str) -> None:
    """Clear up what a killed process left of writing `names` (glob patterns) inside `folder`.

    Half-written parts are deleted; a folder that was moved aside is moved back when nothing took its place. Only for
    names that no other process writes at the time.
    """
    for name in names:
        for part in sorted(folder.glob(f".{name}.????????.tmp")):
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        for old in sorted(folder.glob(f".{name}.old")):
            _move_back(old, folder / old.name[1 : -len(".old")])
            shutil.rmtree(old, ignore_errors=True)


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _move_back(old: Path, path: Path) -> None:
    if old.is_dir() and not path.exists():
        os.replace(old, path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    _sync(path)
