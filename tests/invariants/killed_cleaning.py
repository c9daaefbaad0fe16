"""Clean a corpus once whole, and once killed (SIGKILL) twenty times at random instants; print what came out.

A program of its own: its children are forks, which share one import of everything.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from cleaning_corpus import SETTINGS, contents, write_corpus

from stemma.corpus.clean import clean, unfinished_folder

KILLS = 20


def child(inputs: list[Path], out: Path) -> int:
    process = os.fork()
    if process == 0:
        code = 1
        try:
            clean(inputs, out, SETTINGS)
            code = 0
        finally:
            os._exit(code)
    return process


def num_files(folder: Path) -> int:
    try:
        return sum(path.is_file() for path in folder.rglob("*"))
    except FileNotFoundError:  # it is not there yet, or goes at this moment
        return 0


def let_run(out: Path, process: int, num_more: int) -> None:
    """Wait until the child has written so many files more, or has ended. A slow machine only takes longer."""
    folder = unfinished_folder(out)
    goal = num_files(folder) + num_more
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while num_files(folder) < goal and os.waitid(os.P_PID, process, ended) is None:
        time.sleep(0.001)


def main(folder: Path) -> None:
    inputs = write_corpus(folder / "in")
    draw = random.Random(4)
    started = time.monotonic()
    clean(inputs, folder / "whole", SETTINGS)  # in this process: the forks then have everything loaded
    seconds = time.monotonic() - started
    runs, kills, places = 1, 0, []
    while kills < KILLS:  # a run that gets through is followed by another one
        out = folder / f"killed-{runs}"
        process = child(inputs, out)
        let_run(out, process, draw.randrange(12))
        time.sleep(draw.uniform(0.0, seconds / 20))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        kills += os.WIFSIGNALED(status)
        runs += not os.WIFSIGNALED(status)
        places.append(num_files(unfinished_folder(out)))
    clean(inputs, folder / f"killed-{runs}", SETTINGS)
    whole = contents(folder / "whole")
    equal = [contents(folder / f"killed-{run}") == whole for run in range(1, runs + 1)]
    left = [path.name for path in folder.iterdir() if path.name.endswith(".unfinished")]
    print(json.dumps({"kills": kills, "files_seen": places, "same_bytes": equal, "left": left}))


main(Path(sys.argv[1]))
