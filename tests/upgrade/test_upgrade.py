"""`upgrade` whole: golden logits after a change of layout, same bytes, and what is never written."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stemma.checkpoint import load_model, open_checkpoint
from stemma.cli import main
from stemma.errors import CheckFailed, StemmaError
from stemma.upgrade.upgrade import UpgradeSettings, upgrade

QUICK = UpgradeSettings(num_windows=2, window_length=32)


def recorded(folder: Path) -> tuple[torch.Tensor, torch.Tensor, float]:
    tensors = load_file(folder / "expected.safetensors")
    facts = json.loads((folder / "facts.json").read_text())
    tolerance = facts["tolerance"]
    allowed = tolerance.get("atol_logits") or tolerance["max_abs_logit_difference"]
    return tensors["plain.input_ids"], tensors["plain.logits"], allowed


@pytest.mark.parametrize(
    ("name", "to", "operations"),
    [
        ("baichuan-7b", "llama", []),
        ("baichuan2-7b", "llama", ["fold_head", "max_z"]),
        ("baichuan-13b", "stemma", []),
        ("llama2-gqa", "baichuan", ["expand_heads"]),
    ],
)
def test_a_golden_model_in_another_layout_gives_the_recorded_logits(
    golden: Path, tmp_path: Path, name: str, to: str, operations: list[str]
) -> None:
    result = upgrade(golden / name, [to], tmp_path / "out", QUICK)
    assert result.certificate.claim == "exact"
    assert [step.name for step in result.certificate.operations] == operations
    opened = open_checkpoint(tmp_path / "out")
    assert opened.family.name == to
    ids, logits, allowed = recorded(golden / name)
    with torch.inference_mode():
        assert (load_model(opened)(ids) - logits).abs().max() <= allowed


def test_w_pack_is_split_in_the_llama_layout(golden: Path, tmp_path: Path) -> None:
    upgrade(golden / "baichuan-7b", ["llama"], tmp_path / "out", QUICK)
    packed = load_file(golden / "baichuan-7b" / "model.safetensors")["model.layers.1.self_attn.W_pack.weight"]
    split = load_file(tmp_path / "out" / "model.safetensors")
    parts = [split[f"model.layers.1.self_attn.{p}_proj.weight"] for p in "qkv"]
    assert torch.equal(torch.cat(parts), packed)


def test_two_runs_write_the_same_bytes(golden: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        upgrade(golden / "baichuan2-7b", ["llama"], tmp_path / name, QUICK)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["certificate.json", "config.json", "model.safetensors"]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_nan_weights_are_refused_by_the_name_of_the_tensor(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    def poison(weights: dict[str, torch.Tensor]) -> None:
        weights["layers.1.feed_forward.up.weight"][3, 5] = math.nan

    source = make_checkpoint("source", change=poison)
    with pytest.raises(CheckFailed, match=r"layers\.1\.feed_forward\.up\.weight' has 1 NaN"):
        upgrade(source, ["num_kv_heads=2"], tmp_path / "out", QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_an_existing_output_is_left_alone(golden: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "note.txt").write_text("mine")
    with pytest.raises(StemmaError, match="already exists"):
        upgrade(golden / "baichuan-7b", ["llama"], out, QUICK)
    assert [path.name for path in out.iterdir()] == ["note.txt"]


def test_an_output_that_cannot_be_written_is_one_sentence_on_the_command_line(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    assert main(["upgrade", str(golden / "baichuan-7b"), "--to", "llama", "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert str(tmp_path / "file") in error


def test_the_commands_print_json_on_stdout(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["path", str(golden / "baichuan2-7b"), "llama", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["family"], [o["name"] for o in told["operations"]]) == ("llama", ["fold_head", "max_z"])
    arguments = ["upgrade", str(golden / "llama1-mha"), "--to", "num_kv_heads=2", "--to", "max_seq_len=256"]
    assert main([*arguments, "--windows", "1", "--out", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["claim"] == "approximate"
    assert str(tmp_path / "out") in captured.err
    assert "next: stemma" in captured.err
