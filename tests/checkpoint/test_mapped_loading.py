"""Weights that can be used as they lie are the file itself, mapped privately: no copy, and no way back into the file."""

import dataclasses
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stemma.checkpoint import (
    MemorySource,
    ModuleSource,
    TensorInfo,
    build_model,
    load_model,
    open_checkpoint,
    write_checkpoint,
)
from stemma.errors import CheckFailed
from stemma.families import SpecialIds, family_named
from stemma.model.init import initialize
from stemma.model.spec import Spec
from stemma.model.transformer import Transformer

needs_maps = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="needs /proc to see what is mapped"
)


def mapping_of(tensor: torch.Tensor) -> str:
    """The line of the kernel's table that a tensor's memory lies in."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if low <= tensor.data_ptr() < high:
            return line
    raise AssertionError("memory without a mapping")


def all_in_files(model: Transformer, folder: Path) -> Iterator[bool]:
    for parameter in model.parameters():
        words = mapping_of(parameter).split()
        yield words[1].endswith("p") and words[-1].startswith(str(folder.resolve()))


@needs_maps
def test_parameters_of_the_stored_dtype_are_private_mappings_of_the_files(folder: Path) -> None:
    assert all(all_in_files(load_model(folder), folder))
    assert not any(all_in_files(load_model(folder, dtype=torch.bfloat16), folder))


@needs_maps
@pytest.mark.parametrize("zipped", [True, False])
def test_bin_files_are_mapped_where_their_format_allows(folder: Path, zipped: bool) -> None:
    tensors = {name: t for shard in folder.glob("*.safetensors") for name, t in load_file(shard).items()}
    for shard in [*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"]:
        shard.unlink()
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    opened = open_checkpoint(folder)
    first, second = load_model(opened), load_model(opened)
    assert all(all_in_files(first, folder)) is zipped
    change(first)
    assert same(second, load_model(folder))


def change(model: Transformer) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)


def same(one: Transformer, other: Transformer) -> bool:
    expected = other.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in one.state_dict().items())


def test_training_in_place_changes_neither_the_file_nor_another_model(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    opened = open_checkpoint(folder)
    first, second = load_model(opened), load_model(opened)
    optimizer = torch.optim.AdamW(first.parameters(), lr=0.1)
    first(torch.arange(10)[None]).square().mean().backward()
    optimizer.step()
    assert not same(first, second)
    assert same(second, load_model(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_models_of_one_fused_layer_share_nothing(spec: Spec, tmp_path: Path) -> None:
    block = spec.blocks[0]
    attention = dataclasses.replace(block.attention, num_kv_heads=block.attention.num_heads)
    one = dataclasses.replace(spec, num_layers=1, blocks=(dataclasses.replace(block, attention=attention),))
    model = initialize(Transformer(one), seed=2)
    write_checkpoint(
        tmp_path / "m", one, ModuleSource(model), family=family_named("baichuan"), special_ids=SpecialIds()
    )
    opened = open_checkpoint(tmp_path / "m")
    first, second = load_model(opened), load_model(opened)
    change(first)
    assert same(second, model)
    assert same(load_model(opened), model)
    assert all(torch.equal(opened.tensors.read(name), p) for name, p in model.named_parameters())


def test_a_model_outlives_the_replacement_and_the_removal_of_its_files(folder: Path, spec: Spec) -> None:
    model, other = load_model(folder), initialize(Transformer(spec), seed=9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    write_checkpoint(folder, spec, ModuleSource(other), special_ids=SpecialIds(), replace=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert same(load_model(folder), other)
    write_checkpoint(folder, spec, ModuleSource(model), special_ids=SpecialIds(), replace=True)
    shutil.rmtree(folder)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_mapped_model_is_pickled_at_its_own_size(folder: Path, spec: Spec) -> None:
    buffer = io.BytesIO()
    torch.save(load_model(folder).state_dict(), buffer)
    assert len(buffer.getvalue()) < 4 * spec.num_parameters() + 40_000


def test_a_live_model_is_copied(spec: Spec) -> None:
    model = initialize(Transformer(spec), seed=1)
    copy = build_model(spec, ModuleSource(model))
    change(copy)
    assert same(model, initialize(Transformer(spec), seed=1))


def test_a_tensor_that_is_given_twice_becomes_two(spec: Spec) -> None:
    tensors = dict(initialize(Transformer(spec), seed=1).named_parameters())
    one = torch.ones(spec.hidden_size)
    both = ("layers.0.attention_norm.weight", "layers.1.attention_norm.weight")
    model = build_model(spec, MemorySource(tensors | dict.fromkeys(both, one)), private=True)
    with torch.no_grad():
        model.get_parameter(both[0]).fill_(2.0)
    assert model.get_parameter(both[1]).tolist() == [1.0] * spec.hidden_size


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_single_bad_value_in_a_mapped_file_is_found(
    spec: Spec, tmp_path: Path, dtype: torch.dtype, value: float
) -> None:
    model = initialize(Transformer(spec), seed=1).to(dtype)
    write_checkpoint(tmp_path / "m", spec, ModuleSource(model), special_ids=SpecialIds())
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    last = tensors["model.layers.1.mlp.down_proj.weight"]
    last[-1, -1] = value
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    with pytest.raises(CheckFailed, match=r"layers\.1\.feed_forward\.down\.weight' has 1 NaN or infinite"):
        load_model(tmp_path / "m", dtype=dtype)


MEASURE = """
import sys, torch
from stemma.checkpoint import load_model
def memory():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024
torch.aminmax(torch.ones(9))
before = memory()
model = load_model(sys.argv[1], dtype=torch.float32)
print(memory() - before)
"""


class Zeros:
    """Tensors of zeros, one at a time."""

    where = "zeros"

    def __init__(self, infos: dict[str, TensorInfo]) -> None:
        self.infos = infos

    def names(self) -> list[str]:
        return list(self.infos)

    def info(self, name: str) -> TensorInfo:
        return self.infos[name]

    def read(self, name: str) -> torch.Tensor:
        return torch.zeros(self.infos[name].shape, dtype=self.infos[name].dtype)


@needs_maps
def test_a_mapped_model_takes_almost_no_memory_of_its_own(spec: Spec, tmp_path: Path) -> None:
    wide = dataclasses.replace(spec, vocab_size=400_000, hidden_size=64)
    with torch.device("meta"):
        infos = {
            n: TensorInfo(tuple(p.shape), torch.float32) for n, p in Transformer(wide).named_parameters()
        }
    written = write_checkpoint(tmp_path / "m", wide, Zeros(infos), special_ids=SpecialIds())
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert written.num_bytes > 200_000_000
    assert int(done.stdout) < 20_000_000
