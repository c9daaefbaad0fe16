"""show: a model by name or path on one screen, two models as a story."""

import json
from pathlib import Path

import pytest
import tomli_w

from stemma.cli import main
from stemma.config import plain
from stemma.families.presets import preset_names, preset_spec


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["show", *(str(a) for a in arguments)]) == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def lines_of(text: str) -> dict[str, str]:
    """The lines of a screen by name, unwrapped."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines()[1:]:
        name = line.split("  ", 1)[0] or name
        found[name] = f"{found.get(name, '')} {line.removeprefix(name).strip()}".strip()
    return found


def test_chatglm_has_the_figures_of_its_authors(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "chatglm-6b", "--context", 1119)
    lines = lines_of(text)
    assert text.startswith("ChatGLM-6B: 6.2 B parameters")
    assert lines["parameters"] == "6,173,286,400"
    assert "458,752 bytes a token" in lines["KV cache"]
    assert "489.6 MiB at 1,119 tokens" in lines["KV cache"]
    assert lines["norm"] == "LayerNorm, residual carries the normalised input x 7.483, eps 1e-05"
    assert lines["mask"].startswith("prefix")
    assert lines["chat"] == "chatglm"
    lines = lines_of(output(capsys, "chatglm2-6b", "--context", 8192))
    assert "28,672 bytes a token" in lines["KV cache"]
    assert "224 MiB at 8,192 tokens" in lines["KV cache"]
    assert lines["mask"] == "causal"


def test_a_seventy_b_model_needs_what_its_parameters_say(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(output(capsys, "llama-2-70b", "--json"))
    assert facts["weight_bytes"]["bfloat16"] == 2 * 68_976_648_192
    assert "fp16/bf16 138 GB" in output(capsys, "llama-2-70b")


def test_a_mixture_shows_total_and_active_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(output(capsys, "mixtral-8x7b"))
    assert lines["parameters"] == "46,702,792,704, of which a token passes 12,879,925,248"
    assert lines["feed-forward"] == "2 of 8 experts, each SwiGLU 14,336, weights renormalised"


def test_models_with_other_stacks_show_sensibly(capsys: pytest.CaptureFixture[str]) -> None:
    bert = output(capsys, "bert-base-uncased", "--context", 512)
    assert "KV cache      none: a bidirectional model" in bert
    assert json.loads(output(capsys, "bert-base-uncased", "--json"))["kv_bytes_at"] == {}
    t5 = lines_of(output(capsys, "t5-small"))
    assert t5["shape"] == "6 encoder and 6 decoder layers x 512, vocabulary 32,128"
    assert "the source adds as much" in t5["KV cache"]


def test_an_encoder_of_its_own_kind_is_told_beside_the_decoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = plain(preset_spec("bart-base")[1])
    data["encoder"]["blocks"][0]["feed_forward"]["intermediate_size"] = 1536
    (tmp_path / "spec.toml").write_text(tomli_w.dumps(data))
    text = output(capsys, tmp_path / "spec.toml")
    assert "a Spec alone" in text
    assert lines_of(text)["feed-forward"] == "GELU MLP 3,072; in the encoder GELU MLP 1,536"


def test_the_layouts_a_model_can_be_written_to_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    layouts = json.loads(output(capsys, "baichuan2-7b", "--json"))["layouts"]
    assert layouts["direct"] == ["baichuan", "stemma"]
    assert "llama" in layouts["after_exact_operations"]


@pytest.mark.parametrize("columns", [80, 120])
def test_every_model_fits_on_one_screen(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in preset_names():
        lines = output(capsys, name).splitlines()
        assert len(lines) <= 30
        assert max(map(len, lines)) <= columns


def test_two_models_are_told_as_a_story(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(output(capsys, "chatglm-6b", "chatglm2-6b").split())
    assert text.startswith("ChatGLM-6B -> ChatGLM2-6B mask: prefix")
    assert "KV cache 458,752 -> 28,672 bytes a token, 16x smaller" in text
    assert "blocks[0]" not in text
    assert output(capsys, "llama-7b", "llama-7b") == "the same architecture\n"


def test_the_story_as_json_holds_every_change(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(output(capsys, "chatglm-6b", "chatglm2-6b", "--json"))
    changes = {change["path"]: (change["before"], change["after"]) for change in data["changes"]}
    assert changes["blocks[0].attention.num_kv_heads"] == (32, 2)
    assert data["unsaid"] == []
    assert {"facet", "before", "after", "follows"} == set(data["phrases"][0])


def test_a_path_goes_before_a_name(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_bytes((golden / "yi" / "config.json").read_bytes())
    (tmp_path / "gpt2" / "LICENSE").write_text("as it is\n")
    monkeypatch.chdir(tmp_path)
    facts = json.loads(output(capsys, "gpt2", "--json"))
    assert facts["family"] == "llama"
    assert facts["license"] == "see LICENSE"
    assert set(facts["files"]) == {"config.json", "LICENSE"}
    (tmp_path / "gpt2").rename(tmp_path / "other")
    assert json.loads(output(capsys, "gpt2", "--json"))["family"] == "gpt2"


def test_a_folder_and_a_name_can_be_compared(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, golden / "chatglm2-6b", "chatglm2-6b")
    assert "chatglm2-6b -> ChatGLM2-6B" in text
    assert "hidden size:" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chatglm-6"], "did you mean 'chatglm-6b'"),
        (["nonsense"], "stemma show --list"),
        ([], "stemma show --list"),
        (["some/where"], "no such file or folder"),
        (["spec.toml"], "no such file or folder"),
        (["gpt2", "--context", "0"], "at least 1"),
        (["gpt2", "gpt2-xl", "--context", "9"], "--context is for one model"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_the_models_known_by_name_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = output(capsys, "--list").splitlines()
    assert [line.split()[0] for line in listed] == preset_names()
    assert json.loads(output(capsys, "--list", "--json")) == preset_names()
