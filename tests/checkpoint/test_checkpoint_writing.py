"""What is written is read back, the same bytes each time, whole or not at all."""

import dataclasses
import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from stemma.checkpoint import (
    CastSource,
    MemorySource,
    ModuleSource,
    load_model,
    open_checkpoint,
    write_checkpoint,
)
from stemma.checkpoint import write as writing
from stemma.errors import StemmaError
from stemma.families import SpecialIds, family_named
from stemma.model.init import initialize
from stemma.model.spec import AlibiSpec, HeadSpec, LinearScaling, RopeSpec, Spec
from stemma.model.transformer import Transformer

IDS = SpecialIds(bos=1, eos=(2, 3), pad=0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def variant(spec: Spec, **attention: Any) -> Spec:
    block = spec.blocks[0]
    return dataclasses.replace(
        spec,
        blocks=(dataclasses.replace(block, attention=dataclasses.replace(block.attention, **attention)),),
    )


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.sampled_from(
        [RopeSpec(), AlibiSpec(), RopeSpec(theta=5e5, scaling=LinearScaling(factor=2.0))]
    ),
    kv_heads=st.sampled_from([1, 4]),
    window=st.sampled_from([None, 8]),
    tied=st.booleans(),
    normalized=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    shard=st.sampled_from([3000, 10**9]),
)
def test_saving_a_loaded_checkpoint_gives_the_same_bytes(
    spec: Spec,
    tmp_path_factory: pytest.TempPathFactory,
    position: Any,
    kv_heads: int,
    window: int | None,
    tied: bool,
    normalized: bool,
    dtype: torch.dtype,
    shard: int,
) -> None:
    spec = variant(spec, position=position, num_kv_heads=kv_heads, window=window)
    spec = dataclasses.replace(spec, head=HeadSpec(tie_embeddings=tied, normalized=normalized))
    model = initialize(Transformer(spec), seed=3)
    root = tmp_path_factory.mktemp("trip")
    source = CastSource(ModuleSource(model), dtype)
    write_checkpoint(root / "a", spec, source, special_ids=IDS, max_shard_bytes=shard)
    opened = open_checkpoint(root / "a")
    assert opened.spec == spec
    assert opened.special_ids == IDS
    write_checkpoint(
        root / "b", opened.spec, opened.tensors, special_ids=opened.special_ids, max_shard_bytes=shard
    )
    assert contents(root / "a") == contents(root / "b")
    loaded = load_model(opened, dtype=dtype)
    expected = model.to(dtype).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert (loaded.head.weight is loaded.embedding.weight) is tied


def test_shards_have_an_index_whose_total_size_is_right_and_any_reader_opens_them(
    folder: Path, spec: Spec
) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    assert index["metadata"]["total_size"] == 4 * spec.num_parameters()
    tensors = {name: (shard, t) for shard in shards for name, t in load_file(folder / shard).items()}
    assert {name: shard for name, (shard, _) in tensors.items()} == index["weight_map"]
    opened = open_checkpoint(folder)
    assert all(torch.equal(tensor, opened.published.read(name)) for name, (_, tensor) in tensors.items())


def test_the_format_accepts_our_header_for_every_dtype(tmp_path: Path) -> None:
    values = {
        str(d): torch.arange(7).to(d)
        for d in (
            torch.float64,
            torch.float32,
            torch.float16,
            torch.bfloat16,
            torch.int64,
            torch.int8,
            torch.bool,
        )
    }
    values["empty"], values["scalar"] = torch.empty(0, 3), torch.tensor(2.5)
    writing.write_safetensors(tmp_path / "x.safetensors", MemorySource(values), list(values))
    again = load_file(tmp_path / "x.safetensors")
    assert set(again) == set(values)
    assert all(torch.equal(again[name], values[name]) for name in values)
    assert all(again[name].shape == values[name].shape for name in values)


def test_tokenizer_and_licence_files_are_copied_and_nothing_else(
    folder: Path, spec: Spec, tmp_path: Path
) -> None:
    for name in ("tokenizer.model", "tokenizer_config.json", "LICENSE", "README.md", "modeling_x.py"):
        (folder / name).write_text(name)
    opened = open_checkpoint(folder)
    write_checkpoint(tmp_path / "b", spec, opened.tensors, special_ids=IDS, copy_from=folder)
    names = {path.name for path in (tmp_path / "b").iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.model",
        "tokenizer_config.json",
        "LICENSE",
    }


def test_a_folder_to_copy_from_that_is_not_there_is_refused(folder: Path, spec: Spec, tmp_path: Path) -> None:
    opened = open_checkpoint(folder)
    with pytest.raises(StemmaError, match="nowhere"):
        write_checkpoint(
            tmp_path / "b", spec, opened.tensors, special_ids=IDS, copy_from=tmp_path / "nowhere"
        )


def test_extra_config_is_kept_apart_and_read_back(folder: Path, spec: Spec, tmp_path: Path) -> None:
    opened = open_checkpoint(folder)
    extra = {"certificate": "sha256:1234"}
    write_checkpoint(tmp_path / "b", spec, opened.tensors, special_ids=IDS, extra_config=extra)
    assert open_checkpoint(tmp_path / "b").extra["certificate"] == "sha256:1234"


def test_an_existing_folder_is_not_overwritten_unless_asked(folder: Path, spec: Spec) -> None:
    opened = open_checkpoint(folder)
    before = contents(folder)
    with pytest.raises(StemmaError, match="already exists"):
        write_checkpoint(folder, spec, opened.tensors, special_ids=IDS)
    assert contents(folder) == before
    write_checkpoint(folder, spec, opened.tensors, special_ids=IDS, replace=True)
    assert set(contents(folder)) == {"config.json", "model.safetensors"}


def test_a_full_disk_leaves_nothing_half_written(
    folder: Path, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_checkpoint(folder)
    before = sorted(path.name for path in tmp_path.iterdir())
    original, calls = writing._data, []

    def full(tensor: torch.Tensor) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(tensor)

    monkeypatch.setattr(writing, "_data", full)
    with pytest.raises(StemmaError, match="No space left on device"):
        write_checkpoint(tmp_path / "out", spec, opened.tensors, special_ids=IDS)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    calls.clear()
    with pytest.raises(StemmaError, match="No space left"):
        write_checkpoint(folder, spec, opened.tensors, special_ids=IDS, replace=True)
    assert open_checkpoint(folder).spec == spec


def test_an_output_that_cannot_be_written_is_one_sentence(folder: Path, spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    opened = open_checkpoint(folder)
    with pytest.raises(StemmaError, match="cannot be written"):
        write_checkpoint(tmp_path / "file" / "out", spec, opened.tensors, special_ids=IDS)


def test_a_layout_that_cannot_hold_the_spec_is_refused_naming_the_place(spec: Spec, tmp_path: Path) -> None:
    windowed = variant(spec, window=8)
    model = initialize(Transformer(windowed), seed=0)
    with pytest.raises(StemmaError, match="window"):
        write_checkpoint(
            tmp_path / "x", windowed, ModuleSource(model), family=family_named("llama"), special_ids=IDS
        )
    assert not (tmp_path / "x").exists()


def test_tensors_that_do_not_fit_the_spec_are_refused_before_anything_is_written(
    spec: Spec, tmp_path: Path
) -> None:
    tensors = dict(initialize(Transformer(spec), seed=0).named_parameters())
    short = {name: value for name, value in tensors.items() if name != "final_norm.weight"}
    with pytest.raises(StemmaError, match=r"final_norm\.weight"):
        write_checkpoint(tmp_path / "x", spec, MemorySource(short), special_ids=IDS)
    with pytest.raises(StemmaError, match="surplus"):
        write_checkpoint(
            tmp_path / "x", spec, MemorySource({**tensors, "surplus": torch.ones(1)}), special_ids=IDS
        )
    assert list(tmp_path.iterdir()) == []


def test_a_changed_base_is_noticed_by_the_rope_fingerprint(spec: Spec, tmp_path: Path) -> None:
    scaled = variant(spec, position=RopeSpec(theta=1e6, scaling=LinearScaling(factor=2.0)))
    model = initialize(Transformer(scaled), seed=0)
    write_checkpoint(tmp_path / "m", scaled, ModuleSource(model), special_ids=IDS)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    for change in ({"rope_theta": 1e6 + 1000}, {"rope_scaling": None}, {"head_dim": 8}):
        (tmp_path / "m" / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(StemmaError, match="rotary settings"):
            open_checkpoint(tmp_path / "m")
    broken = config | {"stemma": {"rope_fingerprint": "?"}}
    (tmp_path / "m" / "config.json").write_text(json.dumps(broken))
    with pytest.raises(StemmaError, match="damaged"):
        open_checkpoint(tmp_path / "m")
