"""One process for each rank of a run: a lock that ends with its process, however that ends."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from stemma.errors import StemmaError

LOCKS = "rank-*.lock"


@contextmanager
def at_work(folder: Path, rank: int) -> Iterator[None]:
    """Work as `rank` in a folder, which is made where it is missing, and taken away at the end if nothing is in it.

    Raises StemmaError when another process does. The lock is flock(2): a file system without it locks nothing, and on
    one that is shared it may hold for the processes of one machine only.
    """
    file = _locked(folder, rank)
    try:
        yield
    finally:
        if folder.is_dir() and not holds_work(folder):
            for path in folder.glob(LOCKS):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # somebody else begins
                folder.rmdir()
        file.close()


def holds_work(folder: Path) -> bool:
    """Whether there is anything but locks in a folder."""
    return any(not path.match(LOCKS) for path in folder.iterdir())


def _locked(folder: Path, rank: int) -> IO[str]:
    path = folder / f"rank-{rank:05}.lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+", encoding="utf-8")
        except FileNotFoundError:  # the folder went between the two lines
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read() or "another process"
            file.close()
            raise StemmaError(
                f"{folder}: {who} is at work here as rank {rank}; wait for it, or give every process a rank of its own"
            ) from None
        except OSError:  # no locks here
            pass
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # the file went before it was locked
    file.truncate(0)
    file.write(f"process {os.getpid()} of {socket.gethostname()}")
    file.flush()
    return file
