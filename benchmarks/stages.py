"""What each stage of a cleaning costs on one core: MB of text for a CPU second, and MB on disk for each MB of text.

    python benchmarks/stages.py INPUT ... [--hours-for 10] [--cores 64]

INPUT are files or folders that `stemma clean` reads. With the defaults of `stemma clean`; a first run over the first file
compiles and loads, and is not counted. The last lines say what these rates make of a corpus of so many TB on so many cores.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from stemma.corpus import clean as clean_module
from stemma.corpus.clean import clean, unfinished_folder
from stemma.corpus.files import find_files
from stemma.corpus.read import read_documents


class Timed:
    """A crew of this process alone that keeps the CPU seconds of each kind of task, and what lies on disk at the end."""

    def __init__(self, folder: Path) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.disk: dict[str, int] = {}
        self._folder = folder

    def run(self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        start = time.process_time()
        for task in tasks:  # reading and cutting the input is in here
            yield function(*task)
        self.seconds[function.__name__] += time.process_time() - start
        for path in self._folder.iterdir():
            files = [path] if path.is_file() else path.rglob("*")
            self.disk[path.name] = sum(file.stat().st_size for file in files if file.is_file())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--hours-for", type=float, default=10, metavar="TB")
    parser.add_argument("--cores", type=int, default=64)
    args = parser.parse_args()
    files = [file.path for file in find_files(args.inputs)[0]]
    megabytes, documents = 0.0, 0
    for document in read_documents(files):
        megabytes += len(document.text.encode()) / 1e6
        documents += 1
    with tempfile.TemporaryDirectory() as work:
        clean(files[:1], Path(work) / "first")
        out = Path(work) / "out"
        timed = Timed(unfinished_folder(out))
        clean_module.crew = lambda *_: timed  # type: ignore[assignment]
        start = time.process_time()
        clean(files, out)
        total = time.process_time() - start
        result = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
    print(f"{megabytes:.1f} MB of text, {documents} documents, {1000 * megabytes / documents:.1f} kB each")
    print(f"\n{'stage':<22} {'seconds':>8} {'MB/s':>8}")
    for stage, seconds in timed.seconds.items():
        print(f"{stage:<22} {seconds:>8.2f} {megabytes / max(seconds, 1e-9):>8.0f}")
    print(f"{'whole':<22} {total:>8.2f} {megabytes / total:>8.1f}")
    print(f"\n{'on disk':<22} {'MB':>8} {'of text':>8}")
    for name, size in sorted(timed.disk.items(), key=lambda item: -item[1])[:6]:
        print(f"{name:<22} {size / 1e6:>8.1f} {size / 1e6 / megabytes:>8.1%}")
    print(f"{'the result':<22} {result:>8.1f} {result / megabytes:>8.1%}")
    once = sum(timed.seconds[name] for name in ("copies_stage", "resolve_stage"))
    hours = args.hours_for * 1e6 * (total - once) / megabytes / args.cores / 3600
    print(f"\n{args.hours_for:g} TB on {args.cores} cores: {hours:.1f} hours of tasks that are shared")
    print(f"and {args.hours_for * 1e6 * once / megabytes / 3600:.2f} hours of those that one process does")
    return 0


if __name__ == "__main__":
    sys.exit(main())
