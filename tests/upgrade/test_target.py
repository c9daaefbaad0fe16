"""What `--to` may name, and what is refused."""

from pathlib import Path

import pytest

from stemma.checkpoint import describe
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


@pytest.mark.parametrize(("name", "kind"), [("bert", "fills masks"), ("t5-v1.0", "has an encoder")])
def test_a_model_that_predicts_no_next_token_is_refused_in_one_sentence(
    golden: Path, tmp_path: Path, name: str, kind: str
) -> None:
    with pytest.raises(StemmaError, match=f"this model {kind}, and measuring an upgrade"):
        upgrade(golden / name, ["stemma"], tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("internlm-7b", "llama"),
        ("baichuan-7b", "llama"),
        ("yi", "llama"),
        ("chatglm2-6b-32k", "glm"),
        ("chatglm3-6b-32k", "glm"),
        ("falcon-rw", "falcon"),
    ],
)
def test_the_target_transformers_is_a_layout_with_a_class_of_its_own(
    golden: Path, tmp_path: Path, name: str, layout: str
) -> None:
    result = upgrade(golden / name, ["transformers"], tmp_path / "out", QUICK)
    assert result.certificate.claim == "exact"
    assert describe(tmp_path / "out").family.name == layout


def test_what_no_class_of_transformers_holds_is_refused_with_the_nearest_and_its_own_layout(
    golden: Path, tmp_path: Path
) -> None:
    for name, own in (("chatglm-6b-small", "chatglm"), ("glm-10b", "glm-10b"), ("baichuan-13b", "baichuan")):
        with pytest.raises(
            StemmaError,
            match=rf"no class of a stock transformers .* the nearest is .* its own layout '{own}'",
        ):
            upgrade(golden / name, ["transformers"], tmp_path / "out", QUICK)


def test_the_devices_of_qwen_for_long_text_can_be_dropped_which_is_exact_within_the_trained_length(
    golden: Path, tmp_path: Path
) -> None:
    with pytest.raises(StemmaError, match="scaling"):
        upgrade(golden / "qwen-7b", ["qwen2"], tmp_path / "out", QUICK)
    result = upgrade(golden / "qwen-7b", ["qwen2", "scaling=none", "logn=none"], tmp_path / "out", QUICK)
    assert result.certificate.claim == "exact"
    assert result.certificate.measured.max_logit_difference < 1e-5
    assert describe(tmp_path / "out").family.name == "qwen2"
