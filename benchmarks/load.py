"""What opening a model costs, in seconds and memory: stemma beside transformers, on LLaMA shapes with random weights.

A bfloat16 checkpoint is streamed to a temporary folder, loaded in bfloat16 on the CPU by both in fresh processes that
take turns, and deleted. Peak memory is the kernel's VmHWM over what the imports left. Besides loading, the time until
every weight has been read once is measured, because either side may map files instead of reading them (stemma reads
each weight while loading, to refuse NaN and infinity; transformers does not look). Nothing empties
the page cache: a checkpoint that fits it is loaded from memory, a larger one from the disk.

Usage: python benchmarks/load.py [--size 1b 13b] [--rounds 5] [--workdir DIR] [--python PATH-WITH-TRANSFORMERS]
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from stemma.checkpoint import TensorInfo, write_checkpoint
from stemma.families import SpecialIds
from stemma.families.mapping import parameter_shapes
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, RopeSpec, Spec

# hidden size, layers, heads, kv heads, intermediate size
SHAPES = {
    "1b": (2048, 22, 32, 4, 5632),
    "7b": (4096, 32, 32, 32, 11008),
    "13b": (5120, 40, 40, 40, 13824),
}
SHARD = 5_000_000_000
FREE_MEMORY = 1_500_000_000

MEASURE = """
import gc, json, sys, time
{imports}
def memory():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak of the imports is not the peak of the load
before = memory()
start = time.perf_counter()
model = {load}
loaded = time.perf_counter() - start
peak = memory() - before
for parameter in model.parameters():
    parameter.detach().amax()
used = time.perf_counter() - start
print(json.dumps({{"load": loaded, "ready": used, "peak": peak, "peak once read": memory() - before}}))
"""
SIDES = {
    "stemma": {
        "imports": "import torch\nfrom stemma.checkpoint import load_model",
        "load": "load_model(sys.argv[1], dtype=torch.bfloat16)",
    },
    "transformers": {
        "imports": "import torch, transformers.models.llama.modeling_llama\n"
        "from transformers import AutoModelForCausalLM\n"
        "transformers.utils.logging.disable_progress_bar()",
        "load": "AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16).eval()",
    },
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """A checkpoint on disk: its folder, the bytes of its tensors and of its largest file."""

    folder: Path
    num_bytes: int
    largest_shard: int


class Random:
    """The tensors of a Spec, one at a time, from one block of random numbers."""

    where = "random weights"

    def __init__(self, spec: Spec) -> None:
        self.shapes = parameter_shapes(spec)
        self.block = (
            torch.empty(2**24).normal_(0.0, 0.02, generator=torch.Generator().manual_seed(0)).bfloat16()
        )

    def names(self) -> list[str]:
        return list(self.shapes)

    def info(self, name: str) -> TensorInfo:
        return TensorInfo(self.shapes[name], torch.bfloat16)

    def read(self, name: str) -> torch.Tensor:
        count = torch.Size(self.shapes[name]).numel()
        return self.block.repeat(-(-count // len(self.block)))[:count].reshape(self.shapes[name])


def build_spec(size: str) -> Spec:
    """The Spec of one of the shapes."""
    hidden_size, num_layers, num_heads, num_kv_heads, intermediate_size = SHAPES[size]
    attention = AttentionSpec(
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=hidden_size // num_heads,
        position=RopeSpec(),
    )
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=intermediate_size))
    head = HeadSpec(tie_embeddings=False)
    return Spec(
        vocab_size=32000,
        hidden_size=hidden_size,
        num_layers=num_layers,
        max_seq_len=2048,
        blocks=(block,),
        head=head,
    )


@contextmanager
def checkpoint(spec: Spec, workdir: Path) -> Iterator[Written]:
    """A checkpoint of random weights, deleted afterwards. Ends the program when the disk has no room for it."""
    needed, free = 2 * spec.num_parameters(), shutil.disk_usage(workdir).free
    if free < needed * 1.05:
        sys.exit(
            f"{workdir}: has {free / 1e9:.1f} GB free, the checkpoint takes {needed / 1e9:.1f} GB; give --workdir"
        )
    with tempfile.TemporaryDirectory(dir=workdir, prefix="load-") as name:
        written = write_checkpoint(
            Path(name) / "model",
            spec,
            Random(spec),
            special_ids=SpecialIds(bos=1, eos=(2,)),
            max_shard_bytes=SHARD,
        )
        sizes = [(written.folder / file).stat().st_size for file in written.files]
        yield Written(folder=written.folder, num_bytes=written.num_bytes, largest_shard=max(sizes))


def measure(python: str, side: str, folder: Path) -> dict[str, float] | None:
    """One load in a fresh process; None when the machine's memory ran out and the process was ended for it."""
    command = [python, "-c", MEASURE.format(**SIDES[side]), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while True:
            try:
                output, errors = process.communicate(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                if available_memory() < FREE_MEMORY:
                    process.kill()
                    return None
    if process.returncode:
        last = (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        sys.exit(f"{side} under {python} failed: {last}")
    return json.loads(output)


def available_memory() -> int:
    """What the kernel could still give without swapping, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024


def has_transformers(python: str) -> bool:
    """Whether an interpreter can import the peer."""
    code = "import importlib.util as u, sys; sys.exit(not (u.find_spec('transformers') and u.find_spec('torch')))"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def report(size: str, written: Written, results: dict[str, list[dict[str, float] | None]]) -> None:
    """The table of one shape."""
    limit = written.num_bytes + written.largest_shard
    print(f"{size}: {written.num_bytes / 1e9:.2f} GB, largest shard {written.largest_shard / 1e9:.2f} GB")
    print(f"  {'':<14}{'load':>9}{'all read':>10}{'peak':>10}{'peak / (model + shard)':>25}")
    medians: dict[str, dict[str, float]] = {}
    for side, rows in results.items():
        whole = [row for row in rows if row is not None]
        if len(whole) < len(rows):
            print(f"  {side:<14}ended: less than {FREE_MEMORY / 1e9:.1f} GB of memory were left")
            continue
        medians[side] = {key: statistics.median(row[key] for row in whole) for key in whole[0]}
        one = medians[side]
        peak = one["peak once read"]  # VmHWM never falls, so the peak of the load is in it
        print(
            f"  {side:<14}{one['load']:>7.2f} s{one['ready']:>8.2f} s{peak / 1e9:>7.2f} GB{peak / limit:>25.3f}"
        )
    if len(medians) == len(SIDES):
        ours, peer = medians["stemma"], medians["transformers"]
        keys = {"load": "load", "all read": "ready", "peak": "peak once read"}
        ratios = ", ".join(f"{title} {ours[key] / peer[key]:.2f}" for title, key in keys.items())
        print(f"  stemma / transformers: {ratios}")


def main() -> None:
    """Print a table per shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", choices=list(SHAPES), default=["1b"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workdir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--python", default=sys.executable, help="interpreter that has transformers")
    args = parser.parse_args()
    pythons = {"stemma": sys.executable, "transformers": args.python}
    if not has_transformers(args.python):
        print(f"{args.python} has no transformers: stemma is measured alone; give --python", file=sys.stderr)
        del pythons["transformers"]
    for size in args.size:
        results: dict[str, list[dict[str, float] | None]] = {side: [] for side in pythons}
        with checkpoint(build_spec(size), args.workdir) as written:
            for _ in range(args.rounds):
                for side, python in pythons.items():
                    results[side].append(measure(python, side, written.folder))
            report(size, written, results)


if __name__ == "__main__":
    main()
