"""Healing after an approximate upgrade."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stemma.errors import StemmaError
from stemma.storage import sha256
from stemma.upgrade.certificate import read_certificate
from stemma.upgrade.heal import HealSettings
from stemma.upgrade.upgrade import UpgradeSettings, upgrade

QUICK = UpgradeSettings(num_windows=2, window_length=32)


@pytest.mark.parametrize(("processor", "precision"), [("AVX2", "float32"), ("AVX512", "bfloat16")])
def test_healing_computes_in_what_the_machine_multiplies_in(
    processor: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert HealSettings(data=(tmp_path,), steps=1).precision == precision


def test_healing_gives_back_perplexity_and_certifies_it(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source")
    documents = tmp_path / "documents.txt"
    documents.write_text("The ferry leaves twice a day, once before the market opens. " * 60, "utf-8")
    training = HealSettings(data=(documents,), steps=6, batch_size=4, sequence_length=32, learning_rate=2e-2)
    settings = dataclasses.replace(QUICK, heal=training)
    certificate = upgrade(source, ["num_kv_heads=2"], tmp_path / "out", settings).certificate
    healing = certificate.healing
    assert healing is not None
    assert healing.settings == training
    assert healing.measured.perplexity_after < certificate.measured.perplexity_after
    assert healing.measured.perplexity_before == certificate.measured.perplexity_before
    assert healing.data_sha256 == {str(documents): sha256(documents)}
    assert not healing.trained_on_text
    assert read_certificate(tmp_path / "out") == certificate
    weights = {"model.safetensors": sha256(tmp_path / "out" / "model.safetensors")}
    assert certificate.output.weights_sha256 == weights
    (tmp_path / "out").rename(tmp_path / "first")
    upgrade(source, ["num_kv_heads=2"], tmp_path / "out", settings)
    for file in sorted((tmp_path / "first").iterdir()):
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()


def test_measuring_on_the_training_text_is_admitted(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source")
    documents = tmp_path / "documents.txt"
    documents.write_text("The ferry leaves twice a day, once before the market opens. " * 20, "utf-8")
    training = HealSettings(data=(documents,), steps=1, batch_size=2, sequence_length=32)
    settings = dataclasses.replace(QUICK, heal=training, text=documents)
    healing = upgrade(source, ["num_kv_heads=2"], tmp_path / "out", settings).certificate.healing
    assert healing is not None
    assert healing.trained_on_text


def test_a_healing_folder_of_another_upgrade_is_not_taken_over(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source")
    documents = tmp_path / "documents.txt"
    documents.write_text("text")
    upgrade(source, ["num_kv_heads=2"], tmp_path / "out.healing" / "upgraded", QUICK)
    settings = dataclasses.replace(QUICK, heal=HealSettings(data=(documents,), steps=1))
    with pytest.raises(StemmaError, match="belongs to another upgrade"):
        upgrade(source, ["num_kv_heads=1"], tmp_path / "out", settings)


def test_there_is_nothing_to_heal_in_an_exact_upgrade(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source", num_kv_heads=2)
    documents = tmp_path / "documents.txt"
    documents.write_text("text")
    settings = dataclasses.replace(QUICK, heal=HealSettings(data=(documents,), steps=1))
    with pytest.raises(StemmaError, match="nothing to heal"):
        upgrade(source, ["num_kv_heads=4"], tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()
