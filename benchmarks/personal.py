"""How fast personal information is found, in MB of UTF-8 a second on one core: stemma beside datatrove's PIIFormatter.

The same documents, held in memory, go through both, in processes of their own that take turns; times are CPU seconds of
the process, and each side warms up on the first documents. datatrove replaces e-mail and public IPv4 addresses; stemma
looks for all its types, once in a batch of bytes (spans) and once text by text (redacted texts).

Usage: python benchmarks/personal.py FILE.jsonl.zst ... [--python PATH-WITH-DATATROVE] [--rounds 5] [--megabytes 20]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from stemma.corpus import read_documents

READ = """
import json, sys, time
texts = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
"""
SIDES = {
    "spans": """
import numpy
from stemma.corpus.personal import find_spans
def batch(texts):
    parts = [text.encode() for text in texts]
    offsets = numpy.zeros(len(parts) + 1, numpy.int64)
    numpy.cumsum([len(part) for part in parts], out=offsets[1:])
    return b"".join(parts), offsets
whole = batch(texts)
def run():
    return len(find_spans(*whole).start)
""",
    "redact": """
from stemma.corpus.personal import redact
def run():
    return sum(len(redact(text)[1]) for text in texts)
""",
    "datatrove": """
from datatrove.data import Document
from datatrove.pipeline.formatters import PIIFormatter
formatter = PIIFormatter()
def run():
    return sum(formatter.format(text) != text for text in texts)
""",
}
MEASURE = """
run()
start = time.process_time()
count = run()
print(json.dumps([time.process_time() - start, count]))
"""


def measure(python: str, side: str, texts: Path) -> tuple[float, int]:
    """CPU seconds of one run after a first one, and what it found: spans, or changed documents for the peer."""
    program = READ + SIDES[side] + MEASURE
    done = subprocess.run([python, "-c", program, str(texts)], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        sys.exit(f"{side} under {python} failed: {last}")
    seconds, count = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, count


def has_datatrove(python: str) -> bool:
    """Whether an interpreter can import the peer."""
    code = "import importlib.util as u, sys; sys.exit(not u.find_spec('datatrove'))"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="corpus files that `stemma clean` reads")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has datatrove")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--megabytes", type=float, default=20.0, help="how much text to take, spread over the files"
    )
    args = parser.parse_args()
    texts = [document.text for file in args.files for document in read_documents(file)]
    step = max(1.0, sum(len(text.encode()) for text in texts) / (args.megabytes * 1e6))
    texts = [texts[int(place * step)] for place in range(int(len(texts) / step))]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    pythons = {"spans": sys.executable, "redact": sys.executable, "datatrove": args.python}
    if not has_datatrove(args.python):
        print(f"{args.python} has no datatrove: stemma is measured alone; give --python", file=sys.stderr)
        del pythons["datatrove"]
    times: dict[str, list[float]] = {side: [] for side in pythons}
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="personal-") as name:
        path = Path(name) / "texts.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(text) + "\n" for text in texts)
        for _ in range(args.rounds):
            for side, python in pythons.items():
                seconds, counts[side] = measure(python, side, path)
                times[side].append(seconds)
    print(f"{len(texts)} documents, {megabytes:.1f} MB, median of {args.rounds}")
    medians = {side: statistics.median(values) for side, values in times.items()}
    for side, seconds in medians.items():
        found = f"{counts[side]} " + ("documents changed" if side == "datatrove" else "spans")
        ratio = f"{medians['datatrove'] / seconds:>8.1f} x datatrove" if "datatrove" in medians else ""
        print(f"  {side:<10}{megabytes / seconds:>9.1f} MB/s{ratio}   {found}")


if __name__ == "__main__":
    main()
