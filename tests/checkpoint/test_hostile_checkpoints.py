"""Damaged and hostile folders are refused in one sentence that names the file and the tensor."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from stemma.checkpoint import load_model, open_checkpoint
from stemma.checkpoint.verify import verify
from stemma.cli import main
from stemma.errors import CheckFailed, StemmaError

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "yi"
NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def yi(tmp_path: Path) -> Path:
    target = tmp_path / "yi"
    target.mkdir()
    for file in ("config.json", "model.safetensors"):
        (target / file).write_bytes((GOLDEN / file).read_bytes())
    return target


def refuse(folder: Path, *words: str) -> str:
    with pytest.raises(StemmaError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert not verify(folder).passed
    return message


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_an_absurd_number_of_layers_is_refused_at_once(yi: Path) -> None:
    change_config(yi, num_hidden_layers=2**30)
    refuse(yi, str(2**30), "layers")


def test_a_missing_tensor_is_named(yi: Path) -> None:
    change_tensors(yi, lambda t: t.pop(NAME))
    refuse(yi, NAME, "is missing", str(yi))


def test_a_renamed_tensor_is_suggested(yi: Path) -> None:
    change_tensors(yi, lambda t: t.update({NAME.replace("up_proj", "upproj"): t.pop(NAME)}))
    refuse(yi, NAME, "did you mean", "upproj")


def test_an_extra_tensor_is_named_with_its_file(yi: Path) -> None:
    change_tensors(yi, lambda t: t.update({"model.layers.2.mlp.up_proj.weight": torch.ones(2)}))
    refuse(yi, "model.layers.2.mlp.up_proj.weight", "model.safetensors")


def test_a_wrong_shape_is_named_with_both_shapes(yi: Path) -> None:
    change_tensors(yi, lambda t: t.update({NAME: t[NAME][:-1].clone()}))
    refuse(yi, NAME, "[79, 48]", "[80, 48]", "model.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_a_failed_check_naming_the_tensor(
    yi: Path, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[NAME][3, 4] = value

    change_tensors(yi, spoil)
    with pytest.raises(CheckFailed, match=r"layers\.1\.feed_forward\.up\.weight"):
        load_model(yi)
    assert main(["verify", str(yi)]) == 1
    assert "layers.1.feed_forward.up.weight" in capsys.readouterr().out


def test_weights_that_overflow_the_wanted_dtype_are_refused(yi: Path) -> None:
    change_tensors(yi, lambda t: t[NAME].fill_(1e6))
    assert load_model(yi).spec
    with pytest.raises(CheckFailed, match="float16"):
        load_model(yi, dtype=torch.float16)


def test_rotary_buffers_are_ignored_and_not_trusted(yi: Path) -> None:
    ids = torch.arange(10)[None]
    with torch.no_grad():
        before = load_model(yi)(ids)
        change_tensors(
            yi, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(6)})
        )
        assert torch.equal(load_model(yi)(ids), before)


def test_a_repeated_tied_head_is_accepted_only_when_it_is_the_same(yi: Path) -> None:
    change_config(yi, tie_word_embeddings=True)
    refuse(yi, "lm_head.weight", "tie_word_embeddings")
    change_tensors(yi, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    model = load_model(yi)
    assert model.head.weight is model.embedding.weight


@pytest.mark.parametrize("length", [0, 4, 8, 100, 5000, -1])
def test_a_truncated_file_is_refused(yi: Path, length: int) -> None:
    path = yi / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    refuse(yi, "model.safetensors", "fetch it again")


@pytest.mark.parametrize("size", [2**63, 2**40, 2**27])
def test_an_absurd_header_size_is_refused(yi: Path, size: int) -> None:
    path = yi / "model.safetensors"
    path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])
    refuse(yi, "model.safetensors")


def test_overlapping_offsets_are_refused(yi: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": entry, "b": entry}).encode()
    (yi / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    refuse(yi, "model.safetensors")


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (Path("executed"),))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    yi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (yi / "model.safetensors").unlink()
    torch.save({NAME: Evil()}, yi / "pytorch_model.bin")
    refuse(yi, "pytorch_model.bin", "could run code")
    (yi / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    refuse(yi, "pytorch_model.bin")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_bin_files_are_read_through_the_weights_only_loader(yi: Path, zipped: bool) -> None:
    ids = torch.arange(10)[None]
    with torch.no_grad():
        before = load_model(yi)(ids)
        tensors = load_file(yi / "model.safetensors")
        torch.save(tensors, yi / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        (yi / "model.safetensors").unlink()
        assert torch.equal(load_model(yi)(ids), before)


def test_sharded_bin_files_are_read_by_their_index(yi: Path) -> None:
    tensors = load_file(yi / "model.safetensors")
    (yi / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"pytorch_model-00001-of-00002.bin": names[:9], "pytorch_model-00002-of-00002.bin": names[9:]}
    for file, part in halves.items():
        torch.save({name: tensors[name] for name in part}, yi / file)
    weight_map = {name: file for file, part in halves.items() for name in part}
    (yi / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert open_checkpoint(yi).published.num_bytes() == 246720
    assert verify(yi).passed


def test_a_bin_file_that_is_no_table_of_tensors_is_refused(yi: Path) -> None:
    (yi / "model.safetensors").unlink()
    torch.save({"state": {"a": torch.ones(1)}}, yi / "pytorch_model.bin")
    refuse(yi, "pytorch_model.bin", "table of tensors")
    (yi / "pytorch_model.bin").write_bytes(b"PK\x03\x04 cut off")
    refuse(yi, "pytorch_model.bin")


@pytest.mark.parametrize(
    "target", ["../outside.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "", 7]
)
def test_an_index_cannot_lead_out_of_its_folder(yi: Path, target: Any) -> None:
    save_file({"a": torch.ones(1)}, yi.parent / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {NAME: target}}
    (yi / "model.safetensors.index.json").write_text(json.dumps(index))
    refuse(yi, "model.safetensors.index.json", NAME, "of this folder")


def test_an_index_that_disagrees_with_its_shards_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    first, second = sorted(set(index["weight_map"].values()))[:2]
    moved = next(name for name, file in index["weight_map"].items() if file == first)
    damaged = index | {"weight_map": index["weight_map"] | {moved: second}}
    path.write_text(json.dumps(damaged))
    refuse(folder, moved, second)
    path.write_text(json.dumps(index | {"metadata": {"total_size": 1}}))
    assert [c.name for c in verify(folder).checks if not c.passed] == ["tensors"]
    path.write_text(json.dumps(index))
    (folder / second).unlink()
    refuse(folder, second, "is missing")


@pytest.mark.parametrize("file", ["model.msgpack", "tf_model.h5", "rust_model.ot", "consolidated.00.pth"])
def test_other_formats_are_refused_with_what_to_do(yi: Path, file: str) -> None:
    (yi / "model.safetensors").rename(yi / file)
    assert "safetensors" in refuse(yi, file)


def test_shards_without_an_index_are_explained(yi: Path) -> None:
    (yi / "model.safetensors").rename(yi / "model-00001-of-00002.safetensors")
    refuse(yi, "model-00001-of-00002.safetensors", "no index")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"model_type": 3}', "\x00", "[" * 100000])
def test_a_config_that_is_no_config_is_refused(yi: Path, text: str) -> None:
    (yi / "config.json").write_text(text)
    refuse(yi, "config.json")


def test_special_ids_outside_the_vocabulary_are_refused(yi: Path) -> None:
    change_config(yi, eos_token_id=256)
    refuse(yi, "256", "vocabulary")


def test_generation_config_says_where_to_stop(yi: Path) -> None:
    (yi / "generation_config.json").write_text('{"eos_token_id": [7, 2], "temperature": 0.3}')
    assert open_checkpoint(yi).special_ids.eos == (7, 2)


def test_a_path_that_is_not_there_suggests_its_neighbour(yi: Path) -> None:
    with pytest.raises(StemmaError, match="did you mean 'yi'"):
        open_checkpoint(yi.parent / "y1i")


def test_weights_that_are_integers_are_refused_and_not_cast(yi: Path) -> None:
    change_tensors(yi, lambda t: t.update({NAME: t[NAME].to(torch.int8)}))
    refuse(yi, "layers.1.feed_forward.up.weight", "int8, not floating point", "model.safetensors")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_eight_bits_are_checked_for_nan(yi: Path, dtype: torch.dtype) -> None:
    change_tensors(yi, lambda t: t.update({NAME: t[NAME].to(dtype)}))
    values = {check.name: check for check in verify(yi).checks}["values"]
    assert values.passed, values.detail
    change_tensors(yi, lambda t: t.update({NAME: torch.full_like(t[NAME].float(), torch.nan).to(dtype)}))
    refuse(yi, "layers.1.feed_forward.up.weight", "NaN or infinite")
