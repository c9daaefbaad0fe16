"""The public suite for families: ours pass it, and each way to get a family wrong fails the check that is for it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from stemma.checkpoint import check_family, open_checkpoint
from stemma.families import Family, family_named
from stemma.families.config import Config
from stemma.families.rules import rename
from stemma.model.spec import NormSpec, Spec

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FOLDERS = sorted(p.name for p in GOLDEN.iterdir() if (p / "config.json").is_file())


def failing(family: Family, name: str) -> list[str]:
    return [check.name for check in check_family(family, GOLDEN / name) if not check.passed]


@pytest.mark.parametrize("name", [n for n in FOLDERS if n != "chatglm-6b"])  # its 28 layers add only time
def test_every_family_of_ours_passes_the_suite(name: str) -> None:
    checks = check_family(open_checkpoint(GOLDEN / name).family, GOLDEN / name)
    assert [check for check in checks if not check.passed] == []
    assert {"config", "config again", "tensors", "round trip", "plain"} <= {check.name for check in checks}


def test_a_family_that_swallows_every_key_fails_config() -> None:
    llama = family_named("llama")

    def read(config: Config) -> Spec:
        config.skip(*config.values)
        assert not isinstance(llama.read, str)
        return llama.read(config)

    assert "config" in failing(dataclasses.replace(llama, read=read), "llama2-gqa")


def test_a_family_whose_write_forgets_something_fails_config_again() -> None:
    llama = family_named("llama")

    def write(spec: Spec) -> dict[str, Any]:
        return {k: v for k, v in llama.write(spec).items() if k != "rms_norm_eps"}

    assert "config again" in failing(dataclasses.replace(llama, write=write), "llama2-gqa")


def test_a_family_that_ignores_tensors_fails_tensors() -> None:
    assert "tensors" in failing(dataclasses.replace(family_named("llama"), ignored=("*",)), "llama2-gqa")


def test_a_family_with_the_wrong_epsilon_or_the_halves_of_its_gate_exchanged_fails_its_recorded_cases() -> (
    None
):
    llama = family_named("llama")

    def read(config: Config) -> Spec:
        spec = llama.read(config)
        block = dataclasses.replace(spec.blocks[0], norm=NormSpec(eps=1e-2))
        return dataclasses.replace(spec, blocks=(block,))

    assert "plain" in failing(dataclasses.replace(llama, read=read), "llama2-gqa")
    swapped = {"feed_forward.gate": "mlp.up_proj", "feed_forward.up": "mlp.gate_proj"}
    rules = tuple(
        rename(f"model.layers.{{layer}}.{theirs}", f"layers.{{layer}}.{ours}")
        for ours, theirs in swapped.items()
    )
    assert isinstance(llama.rules, tuple)
    wrong = dataclasses.replace(llama, rules=rules + llama.rules)
    assert failing(wrong, "llama2-gqa") == ["greedy", "padded", "plain"]


def test_a_folder_of_another_family_is_one_failing_check() -> None:
    checks = check_family(family_named("llama"), GOLDEN / "gpt2")
    assert [(check.name, check.passed) for check in checks] == [("config", False)]
