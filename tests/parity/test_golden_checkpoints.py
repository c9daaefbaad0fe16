"""Logits, tokens and losses of the original implementations, recorded once, are reproduced."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stemma.checkpoint import load_model, open_checkpoint, write_checkpoint
from stemma.checkpoint.parity import case_logits, read_cases, run_cases
from stemma.checkpoint.verify import verify
from stemma.cli import main

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FOLDERS = sorted(p.name for p in GOLDEN.iterdir() if (p / "config.json").is_file())


def recorded_cases(folder: Path) -> set[str]:
    return {name.split(".")[0] for name in load_file(folder / "expected.safetensors")}


@pytest.mark.parametrize("name", FOLDERS)
def test_every_recorded_case_is_reproduced(name: str) -> None:
    cases = run_cases(load_model(GOLDEN / name), GOLDEN / name)
    assert {case.name for case in cases} == recorded_cases(GOLDEN / name)
    assert [case for case in cases if not case.passed] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_a_golden_folder_passes_verify_whole(name: str) -> None:
    result = verify(GOLDEN / name)
    assert result.passed, [check for check in result.checks if not check.passed]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_rewritten_folder_gives_the_same_logits_bit_for_bit(name: str, tmp_path: Path) -> None:
    before = open_checkpoint(GOLDEN / name)
    write_checkpoint(
        tmp_path / "copy",
        before.spec,
        before.tensors,
        family=before.family,
        special_ids=before.special_ids,
        max_shard_bytes=60_000,
    )
    plain = read_cases(GOLDEN / name / "expected.safetensors")["plain"]
    with torch.no_grad():
        logits = [case_logits(load_model(place), plain, before)[0] for place in (before, tmp_path / "copy")]
    assert torch.equal(*logits)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_rewritten_folder_holds_the_published_tensors_name_for_name_and_byte_for_byte(
    name: str, tmp_path: Path
) -> None:
    before = open_checkpoint(GOLDEN / name)
    write_checkpoint(
        tmp_path / "copy",
        before.spec,
        before.tensors,
        family=before.family,
        special_ids=before.special_ids,
    )
    published, written = (
        load_file(folder / "model.safetensors") for folder in (GOLDEN / name, tmp_path / "copy")
    )
    assert published.keys() == written.keys()
    assert [key for key, tensor in published.items() if not torch.equal(tensor, written[key])] == []


def golden_copy(target: Path, name: str, change: dict[str, torch.Tensor]) -> Path:
    target.mkdir()
    for file in ("config.json", "model.safetensors", "facts.json"):
        (target / file).write_bytes((GOLDEN / name / file).read_bytes())
    expected = load_file(GOLDEN / name / "expected.safetensors")
    save_file(expected | change, target / "expected.safetensors")
    return target


def test_logits_off_by_twice_the_tolerance_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logits = load_file(GOLDEN / "yi" / "expected.safetensors")["plain.logits"].clone()
    logits[1, 7, 3] += 2.1e-4
    folder = golden_copy(tmp_path / "yi", "yi", {"plain.logits": logits})
    assert main(["verify", str(folder)]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_padding_is_not_compared(tmp_path: Path) -> None:
    expected = load_file(GOLDEN / "yi" / "expected.safetensors")
    logits = expected["padded.logits"].clone()
    logits[expected["padded.attention_mask"] == 0] = 99.0
    assert verify(golden_copy(tmp_path / "yi", "yi", {"padded.logits": logits})).passed


def test_a_case_nobody_knows_is_a_failure_and_not_skipped(tmp_path: Path) -> None:
    folder = golden_copy(tmp_path / "yi", "yi", {"beam.tokens": torch.zeros(1, dtype=torch.int64)})
    failing = [check for check in verify(folder).checks if not check.passed]
    assert [check.name for check in failing] == ["beam"]
    assert "not known" in failing[0].detail


def test_a_tensor_nobody_knows_and_one_that_is_missing_are_failures(tmp_path: Path) -> None:
    folder = golden_copy(tmp_path / "a", "yi", {"plain.attention_bias": torch.zeros(1)})
    assert [c.name for c in verify(folder).checks if not c.passed] == ["plain"]
    expected = load_file(GOLDEN / "yi" / "expected.safetensors")
    del expected["plain.logits"]
    save_file(expected, folder / "expected.safetensors")
    failing = [c for c in verify(folder).checks if not c.passed]
    assert "plain.logits" in failing[0].detail


def test_wrong_greedy_tokens_fail(tmp_path: Path) -> None:
    tokens = load_file(GOLDEN / "yi" / "expected.safetensors")["greedy.tokens"].clone()
    tokens[0, -1] = (tokens[0, -1] + 1) % 256
    assert not verify(golden_copy(tmp_path / "yi", "yi", {"greedy.tokens": tokens})).passed


def test_the_loss_case_needs_the_max_z_term(tmp_path: Path) -> None:
    folder = golden_copy(tmp_path / "b", "baichuan2-7b", {})
    config = (folder / "config.json").read_text().replace('"z_loss_weight": 0.002', '"z_loss_weight": 0.0')
    (folder / "config.json").write_text(config)
    assert [c.name for c in verify(folder).checks if not c.passed] == ["loss"]
