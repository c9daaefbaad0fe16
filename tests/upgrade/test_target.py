"""What `--to` may name, and what is refused."""

from pathlib import Path

import pytest

from stemma.errors import StemmaError
from stemma.upgrade.target import Start, apply_changes, open_start, resolve_target
from stemma.upgrade.upgrade import UpgradeSettings, upgrade

QUICK = UpgradeSettings(num_windows=2, window_length=32)


@pytest.mark.parametrize(
    ("to", "hint"), [("llama", "--to stemma"), ("position.kind=rope", "choose a target that keeps it")]
)
def test_alibi_to_rope_is_refused_with_the_reason_and_the_nearest_target(
    golden: Path, tmp_path: Path, to: str, hint: str
) -> None:
    with pytest.raises(StemmaError, match=rf"position\.kind: alibi -> rope: no exact map.*{hint}") as error:
        upgrade(golden / "baichuan-13b", [to], tmp_path / "out", QUICK)
    assert error.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_targets_are_folders_files_families_and_changes(golden: Path, tmp_path: Path) -> None:
    start = open_start(golden / "llama1-mha")
    assert resolve_target(start, [str(golden / "llama1-mha")]).spec == start.spec
    changed = resolve_target(start, ["num_kv_heads=2", "max_seq_len=256"])
    assert changed.spec.blocks[0].attention.num_kv_heads == 2
    assert (changed.spec.max_seq_len, changed.family.name) == (256, "llama")
    assert (
        resolve_target(start, ["llama", "attention.num_kv_heads=1"]).spec.blocks[0].attention.num_kv_heads
        == 1
    )
    assert resolve_target(open_start(golden / "baichuan-7b"), ["num_kv_heads=2"]).family.name == "llama"
    file = tmp_path / "spec.toml"
    block = (
        "[[blocks]]\n[blocks.attention]\nnum_heads=4\nnum_kv_heads=2\nhead_dim=12\nposition={kind='rope'}\n"
    )
    head = "vocab_size=256\nhidden_size=48\nnum_layers=2\nmax_seq_len=128\n"
    file.write_text(f"{head}{block}[blocks.feed_forward]\nintermediate_size=80\n")
    assert resolve_target(start, [str(file)]).spec.blocks[0].attention.num_kv_heads == 2


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ((), "name one folder"),
        (("llama", "baichuan"), "name one folder"),
        (("lama",), "did you mean 'llama'"),
        (("num_kv_head=2",), "did you mean 'num_kv_heads'"),
        (("num_kv_heads=3",), "not a multiple"),
        (("num_kv_heads=two",), "expected int"),
    ],
)
def test_a_target_that_means_nothing_is_refused(golden: Path, to: tuple[str, ...], message: str) -> None:
    with pytest.raises(StemmaError, match=message):
        resolve_target(open_start(golden / "llama1-mha"), to)


def test_none_takes_an_optional_field_away(golden: Path) -> None:
    start: Start = open_start(golden / "llama-rope-linear")
    position = apply_changes(start.spec, ["scaling=none"]).blocks[0].attention.position
    assert position.kind == "rope"
    assert position.scaling is None
