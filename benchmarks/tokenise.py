"""Documents to token shards against the bare library on the same texts: MB of UTF-8 text a second, and the
ratio.

The library gets the texts as a list in memory and gives lists of ids: `encode_batch_fast` of tokenizers,
`encode` of sentencepiece, `encode_ordinary_batch` of tiktoken. stemma reads the files, decompresses, checks,
frames, counts the shares and writes shards to disk with their digests; the library's own time is part of it.
Each figure is the median over the rounds of a process of its own, what takes turns being library and stemma
with one and with two workers (the library: threads). One worker is judged by CPU seconds on one core, two by
wall clock seconds on two. From stemma's time that of the same command on one document is taken off: opening
the tokenizer and starting processes.

Usage: python benchmarks/tokenise.py INPUT ... --tokenizers FOLDER ... [--rounds 3] [--megabytes 16]

INPUT are files or folders of documents, FOLDER tokenizers with an end-of-text token.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CORES = sorted(os.sched_getaffinity(0))
NUM_WORKERS = tuple(n for n in (1, 2) if n <= len(CORES))
WHO = ("library", "stemma")


def library(tokenizer: Any, num_threads: int) -> Callable[[list[str]], Any]:
    """What a caller of the library alone would write."""
    raw = getattr(tokenizer, "_data", None) or tokenizer._library
    name = type(raw).__module__.split(".")[0]
    if name == "tiktoken":
        return lambda texts: raw.encode_ordinary_batch(texts, num_threads=num_threads)
    if name == "sentencepiece":
        return lambda texts: raw.encode(texts, num_threads=num_threads)
    return lambda texts: [one.ids for one in raw.encode_batch_fast(texts, add_special_tokens=False)]


def measure(who: str, inputs: Path, folder: Path, num_workers: int) -> dict[str, float]:
    """CPU and wall clock seconds of this process and its children for `inputs`, and the bytes of text."""
    from stemma.corpus.read import read_documents
    from stemma.tokenizer.load import load_tokenizer

    tokenizer = load_tokenizer(folder)
    texts = [document.text for document in read_documents(inputs)] if who == "library" else []
    tokenizer.encode("x")
    cpu, wall = seconds(), time.perf_counter()
    if who == "library":
        library(tokenizer, num_workers)(texts)
    else:
        from stemma.data.causal import tokenize_documents

        with tempfile.TemporaryDirectory() as place:
            tokenize_documents(Path(place) / "t", [inputs], tokenizer, num_workers=num_workers)
    return {"cpu": seconds() - cpu, "wall": time.perf_counter() - wall}


def seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def child(who: str, inputs: Path, folder: Path, num_workers: int) -> dict[str, float]:
    """`measure` in a process of its own with so many cores."""
    threads = {
        "RAYON_NUM_THREADS": str(num_workers),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    cores = ",".join(map(str, CORES[-num_workers:]))
    words = [sys.executable, __file__, "--child", who, str(inputs), str(folder), str(num_workers)]
    done = subprocess.run(
        ["taskset", "-c", cores, *words],
        env=os.environ | threads,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def sample(inputs: list[Path], megabytes: float, place: Path) -> tuple[Path, Path, float]:
    """The first documents of every input as one file, one document as another, and the MB of text of the first."""
    from stemma.corpus.read import read_documents

    records: list[str] = []
    total = 0
    for path in inputs:
        size = 0
        for document in read_documents(path):
            size += len(document.text.encode())
            record = {
                "id": document.id,
                "text": document.text,
                "source": document.source,
                "lang": document.lang,
            }
            records.append(json.dumps(record, ensure_ascii=False) + "\n")
            if size >= megabytes * 1e6 / len(inputs):
                break
        total += size
    many, one = place / "many.jsonl", place / "one.jsonl"
    many.write_text("".join(records), encoding="utf-8")
    one.write_text(records[0], encoding="utf-8")
    return many, one, total / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--tokenizers", nargs="+", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=float, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        many, one, megabytes = sample(arguments.inputs, arguments.megabytes, Path(place))
        print(f"{megabytes:.1f} MB of text, {arguments.rounds} rounds")
        print(f"{'tokenizer':<16} {'workers':>7} {'library':>9} {'stemma':>9} {'ratio':>6}   MB/s")
        for folder in arguments.tokenizers:
            found: dict[tuple[str, int], list[float]] = {}
            for _ in range(arguments.rounds):
                for num_workers in NUM_WORKERS:
                    unit = "cpu" if num_workers == 1 else "wall"
                    for who in WHO:
                        took = child(who, many, folder, num_workers)[unit]
                        if who == "stemma":
                            took -= child(who, one, folder, num_workers)[unit]
                        found.setdefault((who, num_workers), []).append(megabytes / took)
            for num_workers in NUM_WORKERS:
                alone, ours = (statistics.median(found[who, num_workers]) for who in WHO)
                name = folder.name if folder.is_dir() else "/".join(folder.parts[-2:])
                print(
                    f"{name:<16} {num_workers:>7} {alone:>9.2f} {ours:>9.2f} {ours / alone:>6.2f}", flush=True
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))))
    else:
        main()
