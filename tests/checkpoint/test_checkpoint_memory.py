"""Peak memory, measured in a process of its own: loading holds the model and one tensor, copying much less than that.

The kernel's VmHWM is read, not ru_maxrss, which a child process inherits from the process that started it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stemma.checkpoint import write_checkpoint
from stemma.families import SpecialIds
from stemma.families.mapping import parameter_shapes
from stemma.families.source import TensorInfo
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, RopeSpec, Spec

MEGABYTE = 2**20
SHARD = 20 * MEGABYTE

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs /proc to read the memory in use"
)

MEASURE = """
import sys, json
from pathlib import Path
import torch
torch.set_num_threads(1)
import stemma.checkpoint.verify
from stemma.checkpoint import load_model, open_checkpoint, write_checkpoint
def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024
(torch.ones(64, 64) @ torch.ones(64, 64)).to(torch.bfloat16)
before = memory("VmRSS")
opened = open_checkpoint(Path(sys.argv[2]))
if sys.argv[1] == "load":
    model = load_model(opened, dtype=torch.float32)
if sys.argv[1] == "copy":
    write_checkpoint(Path(sys.argv[3]), opened.spec, opened.tensors, special_ids=opened.special_ids,
                     max_shard_bytes=int(sys.argv[4]))
print(json.dumps(memory("VmHWM") - before))
"""


class Random:
    """Random tensors made one at a time."""

    where = "random"

    def __init__(self, spec: Spec) -> None:
        self.shapes = parameter_shapes(spec)

    def names(self) -> list[str]:
        return list(self.shapes)

    def info(self, name: str) -> TensorInfo:
        return TensorInfo(self.shapes[name], torch.float32)

    def read(self, name: str) -> torch.Tensor:
        return torch.empty(self.shapes[name]).normal_(generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A checkpoint of about 240 MB in shards of 20 MB, and its bytes."""
    attention = AttentionSpec(num_heads=8, num_kv_heads=8, head_dim=64, position=RopeSpec())
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=2048))
    spec = Spec(vocab_size=4096, hidden_size=512, num_layers=13, max_seq_len=64, blocks=(block,))
    folder = tmp_path_factory.mktemp("large") / "model"
    written = write_checkpoint(folder, spec, Random(spec), special_ids=SpecialIds(), max_shard_bytes=SHARD)
    assert len(written.files) > 10
    return folder, written.num_bytes


def growth(*arguments: object) -> int:
    command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout))


def test_loading_peaks_near_the_model_itself(large: tuple[Path, int]) -> None:
    folder, size = large
    peak = growth("load", folder)
    assert size <= peak < size + 40 * MEGABYTE


def test_copying_a_checkpoint_takes_far_less_than_its_size(large: tuple[Path, int], tmp_path: Path) -> None:
    folder, size = large
    peak = growth("copy", folder, tmp_path / "copy", SHARD)
    assert peak < 3 * SHARD < size / 3
    names = sorted(path.name for path in folder.iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / "copy" / name).read_bytes() for name in names)
