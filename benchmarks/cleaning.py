"""How fast a corpus is cleaned on one core: stemma beside datatrove, the same documents, taking turns in one run.

    filter chain    documents in memory: scan, measures, decision          | FineWeb's filters, FineWeb-2's for Chinese
    MinHash         documents in memory: signatures, buckets, verified pairs | signatures, buckets, clusters, filter
    whole           stemma clean as it is by default, from .jsonl.zst       | the recipe's stages from JsonlReader to
                    to files on disk                                        | ParquetWriter, personal information included

Each figure is the median over the rounds of the CPU seconds of a process of its own, pinned to one core. In memory a
first run (all documents for stemma, ten for datatrove) loads tokenizers and compiled code and is not counted; from the
whole pipelines the time of the same command on nine documents is taken off, and both times are shown. Every tenth document
of the sample has a near copy at the end. stemma's signatures are 32 x 8, datatrove's 14 x 8.

Then stemma alone: MB/s at 1 and 10 times the corpus, and with one and two workers where `stemma clean` has --workers. The
larger corpus is made of copies in which every fourth word or Han character is another one, so that none is a duplicate.

Usage: python benchmarks/cleaning.py INPUT ... [--peer-python PYTHON-WITH-DATATROVE] [--language-model lid.176.ftz]
           [--only filters minhash whole scale] [--rounds 3] [--megabytes 1] [--scale-megabytes 10]

INPUT are files or folders that `stemma clean` reads, records with a `lang`. Without --peer-python stemma is measured alone;
datatrove identifies languages only with --language-model.
"""

import argparse
import functools
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy

    from stemma.corpus.annotated import Batch
    from stemma.corpus.scores import Models, Scorer

LANGUAGES = ("en", "zh")
PEER = Path(__file__).resolve().parent / "peers" / "datatrove_speed.py"
CLEAN = (sys.executable, "-m", "stemma", "clean")
TITLES = {"filters": "filter chain", "minhash": "MinHash", "whole": "whole"}
BATCH_CHARACTERS = 4 << 20
LEAST_SECONDS = 1.0  # of one in-memory measurement; short ones are repeated
NUM_FILES = 10
PART_MEGABYTES = 4  # for `stemma clean`: a small corpus, and yet enough parts for two workers
COPY_EVERY, SUBSTITUTE_EVERY = 10, 4
START = (  # neither English nor Chinese by its characters: the language model is loaded too
    "Der alte Leuchtturm stand seit hundert Jahren auf der Klippe. Niemand wusste, wer ihn gebaut hatte, und niemand fragte "
    "danach. Am Abend kamen die Fischer zurück, und am Morgen fuhren sie wieder hinaus."
)
_TOKEN = re.compile(r"[A-Za-z]{2,}|[\u4e00-\u9fa5]")


# What is measured of stemma in memory. Both return how many documents stay.


def batches(texts: Sequence[str]) -> Iterator["Batch"]:
    """The texts as bytes and offsets, in batches of the size that a cleaning works on."""
    from stemma.corpus.annotated import to_batch

    held, characters = list[str](), 0
    for text in texts:
        held.append(text)
        characters += len(text)
        if characters >= BATCH_CHARACTERS:
            yield to_batch(held)
            held, characters = [], 0
    if held:
        yield to_batch(held)


@functools.cache
def _scorer(models: "Models") -> "Scorer":
    from stemma.corpus.scores import Scorer

    return Scorer(models)


def run_filters(texts: Sequence[str]) -> int:
    """Scan, all numbers (measures, signs of machine text, word lists), decisions by our own limits and by those of every
    published set of rules."""
    import numpy

    from stemma.corpus.decide import decide_batch, limits_of
    from stemma.corpus.measures import measure_batch
    from stemma.corpus.rule_sets import RULE_SETS
    from stemma.corpus.scan import scan
    from stemma.corpus.scores import Models

    limits, scorer, kept = limits_of(tuple(RULE_SETS)), _scorer(Models()), 0
    for batch in batches(texts):
        scanned = scan(*batch)
        measures = measure_batch(scanned)
        scores, _ = scorer.score(*batch, scanned)
        values = numpy.concatenate([measures.values, scores], 1)
        kept += int((decide_batch(values, measures.groups, limits) < 0).sum())
    return kept


def run_minhash(texts: Sequence[str]) -> int:
    """Scan, signatures, buckets, and for candidates their true similarity from a second scan."""
    import numpy

    from stemma.corpus.minhash import MinHash, shingles
    from stemma.corpus.near import Resolver, candidates, union, verify
    from stemma.corpus.scan import scan
    from stemma.corpus.summary import CleanSettings

    settings = CleanSettings()
    minhash = MinHash(settings.num_bands, settings.num_rows, settings.shingle_size)
    parts = []
    for batch in batches(texts):
        scanned = scan(*batch)
        parts.append(minhash.band_keys(scanned.tokens, scanned.token_offsets))
    keys, numbers = numpy.concatenate(parts), numpy.arange(len(texts))
    found = [candidates(keys[:, band], numbers) for band in range(settings.num_bands)]

    def load(documents: "numpy.typing.NDArray[numpy.int64]") -> list["numpy.typing.NDArray[numpy.uint64]"]:
        result = []
        for batch in batches([texts[int(number)] for number in documents]):
            scanned = scan(*batch)
            tokens = numpy.split(scanned.tokens, scanned.token_offsets[1:-1])
            result += [shingles(each, settings.shingle_size) for each in tokens]
        return result

    pairs = union((each.later, each.earlier) for each in found)
    twins = Resolver(len(texts)).add(verify(*pairs, load, settings.jaccard))
    return len(texts) - len(twins.later)


MEASURED: dict[str, Callable[[Sequence[str]], int]] = {"filters": run_filters, "minhash": run_minhash}


def child(what: str, path: Path) -> None:
    """Print [CPU seconds, wall seconds, documents kept] of one pass over the texts."""
    texts = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    run = MEASURED[what]
    kept, passes = run(texts), 0
    cpu, wall = time.process_time(), time.perf_counter()
    while not passes or time.process_time() - cpu < LEAST_SECONDS:
        run(texts)
        passes += 1
    spent = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps([spent[0] / passes, spent[1] / passes, kept]))


# Samples.


def sample(texts: Sequence[str], megabytes: float) -> list[str]:
    """About so many MB of the texts, spread over all of them; every tenth once more without its last tenth."""
    step = max(1.0, size(texts) / megabytes)
    chosen = [texts[int(place * step)] for place in range(int(len(texts) / step))]
    return chosen + [text[: len(text) - len(text) // 10] for text in chosen[::COPY_EVERY]]


def size(texts: Iterable[str]) -> float:
    """MB of UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6


def another(text: str, number: int) -> str:
    """A text of the same length and kind that shares no 5-gram with it: every fourth token is another one."""
    count = 0

    def substitute(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        token = match.group()
        if count % SUBSTITUTE_EVERY:
            return token
        if token.isascii():
            return token[:-2] + "qxzjkvwyhb"[number % 10] + token[-1]
        return chr(0x4E00 + (ord(token) - 0x4E00 + 101 * number) % (0x9FA6 - 0x4E00))

    return _TOKEN.sub(substitute, text) if number else text


def write_corpus(folder: Path, texts: Iterable[str], num_files: int = 1) -> Path:
    """The texts as `num_files` files .jsonl.zst, dealt out in turn."""
    import zstandard

    folder.mkdir(parents=True)
    files = [(folder / f"{number:02}.jsonl.zst").open("wb") for number in range(num_files)]
    writers = [zstandard.ZstdCompressor(level=3).stream_writer(file) for file in files]
    for number, text in enumerate(texts):
        line = json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n"
        writers[number % num_files].write(line.encode())
    for writer in writers:
        writer.close()
    return folder


# Measuring.


class Spent(NamedTuple):
    """Seconds of one run, and documents kept where the run says so."""

    cpu: float
    wall: float
    kept: int | None = None


def run_process(command: Sequence[str | Path], cores: set[int]) -> tuple[Spent, str]:
    """A process on `cores`: what it and its own processes took, and its stdout."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        sys.exit(f"{' '.join(map(str, command[:4]))} failed: {last}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Spent(cpu, wall), done.stdout


@functools.cache
def help_of_clean() -> str:
    return run_process([*CLEAN, "--help"], os.sched_getaffinity(0))[1]


def run_child(command: Sequence[str | Path], cores: set[int]) -> Spent:
    """A process that measures itself."""
    cpu, wall, kept = json.loads(run_process(command, cores)[1].strip().splitlines()[-1])
    return Spent(cpu, wall, kept)


def median(runs: Sequence[Spent]) -> Spent:
    return Spent(
        statistics.median(run.cpu for run in runs),
        statistics.median(run.wall for run in runs),
        runs[-1].kept,
    )


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How to measure, and where to write."""

    work: Path
    core: int
    rounds: int
    peer_python: str | None
    language_model: Path | None

    def in_turns(self, sides: dict[str, Callable[[], Spent]]) -> dict[str, Spent]:
        """The median of each side, the sides taking turns."""
        runs: dict[str, list[Spent]] = {side: [] for side in sides}
        for _ in range(self.rounds):
            for side, run in sides.items():
                runs[side].append(run())
        return {side: median(spent) for side, spent in runs.items()}

    def in_memory(self, what: str, lang: str, texts: Sequence[str]) -> dict[str, Spent]:
        path = self.work / f"{what}-{lang}.jsonl"
        path.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
        core = {self.core}
        sides = {"stemma": lambda: run_child([sys.executable, __file__, path, "--child", what], core)}
        if python := self.peer_python:
            sides["datatrove"] = lambda: run_child([python, PEER, what, lang, path], core)
        return self.in_turns(sides)

    def clean(self, source: Path, num_workers: int = 1) -> Spent:
        """`stemma clean` in a folder of its own, with as many cores as workers."""
        wanted = {"--workers": str(num_workers), "--part-megabytes": str(PART_MEGABYTES)}
        options = [word for pair in wanted.items() if pair[0] in help_of_clean() for word in pair]
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            command = [*CLEAN, source, "--out", Path(folder) / "out", *options]
            return run_process(command, set(self.cores(num_workers)))[0]

    def cores(self, count: int) -> list[int]:
        """The core of the measurements first, and others that this process may use."""
        return [self.core, *sorted(os.sched_getaffinity(0) - {self.core})][:count]

    def peer_clean(self, python: str, lang: str, source: Path) -> Spent:
        model = ["--language-model", self.language_model] if self.language_model else []
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            command = [python, PEER, "pipeline", lang, source, Path(folder) / "out", *model]
            return run_process(command, {self.core})[0]

    def whole(self, what: str, lang: str, texts: Sequence[str]) -> dict[str, Spent]:
        """Both pipelines on the texts, and as "... start" on nine documents. A run before the others fills caches."""
        folder = self.work / f"{what}-{lang}"
        full = write_corpus(folder / "full", texts)
        one = write_corpus(folder / "one", [START, *sorted(texts, key=len)[len(texts) // 2 :][:8]])
        sides = {"stemma": lambda: self.clean(full), "stemma start": lambda: self.clean(one)}
        if python := self.peer_python:
            sides["datatrove"] = lambda: self.peer_clean(python, lang, full)
            sides["datatrove start"] = lambda: self.peer_clean(python, lang, one)
            self.peer_clean(python, lang, one)
        self.clean(full)
        return self.in_turns(sides)

    def scale(self, texts: Sequence[str]) -> Iterator[str]:
        """Lines about 1 and 10 times the corpus, and about two workers."""
        folder, megabytes = self.work / "scale", size(texts)
        one = write_corpus(folder / "1", texts, NUM_FILES)
        copies = (another(text, number) for number in range(10) for text in texts)
        ten = write_corpus(folder / "10", copies, NUM_FILES)
        start = write_corpus(folder / "start", [START])
        sides = {
            "start": lambda: self.clean(start),
            "1": lambda: self.clean(one),
            "10": lambda: self.clean(ten),
        }
        if "--workers" in help_of_clean() and len(self.cores(2)) == 2:
            sides["two workers"] = lambda: self.clean(ten, 2)
        self.clean(one)
        spent = self.in_turns(sides)
        yield f"start: {spent['start'].cpu:.2f} s CPU, taken off below"
        rates = {}
        for name, times in (("1", 1), ("10", 10)):
            seconds = spent[name].cpu - spent["start"].cpu
            rates[name] = times * megabytes / seconds
            yield f"{times:>3} x {megabytes:.1f} MB: {seconds:8.2f} s CPU {rates[name]:8.1f} MB/s"
        yield f"10 x against 1 x: {rates['10'] / rates['1']:.3f}"
        if "two workers" not in spent:
            yield "two workers: not measured; `stemma clean` has no --workers, or there is one core"
            return
        alone, together = spent["10"], spent["two workers"]
        for name, run in (("one worker", alone), ("two workers", together)):
            rate = 10 * megabytes / run.wall
            yield f"{name}: {run.wall:.2f} s wall {rate:8.1f} MB/s, {run.cpu:.2f} s CPU"
        gain, cost = alone.wall / together.wall, together.cpu / alone.cpu
        yield f"two workers against one: {gain:.2f} x as fast by the wall clock, {cost:.2f} x the CPU time"


# The report.


def compare(title: str, lang: str, megabytes: float, spent: dict[str, Spent]) -> str:
    """One line: MB/s by CPU time of each side, and the ratio."""
    parts, net = [f"{title:<13}{lang}"], {}
    for side in ("stemma", "datatrove"):
        if side not in spent:
            continue
        start = spent.get(f"{side} start", Spent(0.0, 0.0))
        net[side] = max(spent[side].cpu - start.cpu, 1e-3)
        seconds = f"{spent[side].cpu:.3f} s" + (f" - {start.cpu:.2f} s" if start.cpu else "")
        kept = "" if spent[side].kept is None else f", {spent[side].kept} kept"
        parts.append(f"{side} {megabytes / net[side]:.2f} MB/s ({seconds}{kept})")
    if len(net) == 2:
        parts.append(f"{net['datatrove'] / net['stemma']:.0f} x")
        if "stemma start" in spent:
            parts.append(f"{spent['datatrove'].cpu / spent['stemma'].cpu:.1f} x with start")
    return "  ".join(parts)


def read_texts(inputs: Sequence[Path]) -> dict[str, list[str]]:
    """language -> texts."""
    from stemma.corpus import read_documents

    texts: dict[str, list[str]] = {}
    for document in read_documents(inputs):
        texts.setdefault(document.lang or "", []).append(document.text)
    return texts


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--peer-python", help="interpreter of an environment with datatrove[processing]")
    parser.add_argument("--language-model", type=Path, help="fastText file for datatrove's language filter")
    parser.add_argument("--only", nargs="+", choices=(*TITLES, "scale"), default=(*TITLES, "scale"))
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=float, default=1.0, help="of each language, for both sides")
    parser.add_argument("--scale-megabytes", type=float, default=10.0, help="the corpus taken 1 and 10 times")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--child", choices=MEASURED, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.inputs[0])
        return
    texts = read_texts(args.inputs)
    print(f"{processor()}, core {args.core}; median CPU seconds of {args.rounds} rounds", flush=True)
    with tempfile.TemporaryDirectory(prefix="cleaning-") as work:
        bench = Bench(
            work=Path(work),
            core=args.core,
            rounds=args.rounds,
            peer_python=args.peer_python,
            language_model=args.language_model,
        )
        for lang in args.languages:
            chosen = sample(texts.get(lang, []), args.megabytes)
            if not chosen:
                sys.exit(f"no documents with lang {lang} in {', '.join(map(str, args.inputs))}")
            print(f"{lang}: {len(chosen)} documents, {size(chosen):.2f} MB", flush=True)
            for what in (what for what in TITLES if what in args.only):
                spent = (bench.whole if what == "whole" else bench.in_memory)(what, lang, chosen)
                print(compare(TITLES[what], lang, size(chosen), spent), flush=True)
        if "scale" in args.only:
            every = [text for lang in LANGUAGES for text in texts.get(lang, [])]
            step = max(1.0, size(every) / args.scale_megabytes)
            base = [every[int(place * step)] for place in range(int(len(every) / step))]
            for line in bench.scale(base):
                print(f"scale  {line}", flush=True)


if __name__ == "__main__":
    main()
