"""What `stemma clean` and its sisters say to people: help, and the lines after a run."""

import json
from pathlib import Path

import pytest

from stemma.cli import main

ANGRY = "You stupid idiot, you idiot of a fool, shut up, you moron, you stupid stupid idiot."
CALM = "The harbour woke before the sun, and the men who mended nets were at work. Nobody spoke of the storm."


def corpus(path: Path, texts: dict[str, str]) -> str:
    path.write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in texts.items()), "utf-8")
    return str(path)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def help_of(*verb: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main([*verb, "--help"])
    text = capsys.readouterr().out
    return " ".join("".join(" " if mark in "│─╭╮╰╯" else mark for mark in text).split())


def test_a_language_that_does_not_exist_stops_the_command_before_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus(tmp_path / "in.jsonl", {"a": CALM})
    assert main(["clean", path, "--out", str(tmp_path / "out"), "--languages", "english"]) == 2
    assert "there is no language 'english'; did you mean 'en'?" in said(capsys)
    assert not (tmp_path / "out").exists()
    assert main(["clean", path, "--out", str(tmp_path / "out"), "--languages", "EN"]) == 0
    assert json.loads((tmp_path / "out" / "cleaning.json").read_text())["settings"]["languages"] == ["en"]


def test_english_alone_keeps_no_short_text_in_another_script(tmp_path: Path) -> None:
    texts = {
        "zh": "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
        "ko": "안녕하세요, 저는 서울에 사는 학생이고 한국어를 공부합니다.",
        "ja": "これは日本語の文章です。東京に住んでいます。よろしく。",
        "ru": "Привет, как дела? Я живу в Москве и учусь.",
        "en": CALM,
        "und": "def f(x): return 2 * x + 1",
    }
    path = corpus(tmp_path / "in.jsonl", texts)
    assert (
        main(["clean", path, "--out", str(tmp_path / "out"), "--languages", "en", "--format", "jsonl"]) == 0
    )
    summary = json.loads((tmp_path / "out" / "cleaning.json").read_text())
    assert summary["by_rule"] == {"language": 4}
    assert set(summary["by_language"]) == {"zh", "ko", "ja", "und-Cyrl", "en", "und"}


def test_a_very_long_id_is_shortened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = corpus(tmp_path / "in.jsonl", {"a" * 50_000: CALM, "b" * 50_000: CALM})
    assert main(["clean", path, "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    text = said(capsys)
    assert "largest group of copies: 2 documents, kept as aaaa" in text
    assert "a" * 61 not in text


def test_toxic_words_that_a_limit_drops_for_are_not_said_to_be_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, idle = corpus(tmp_path / "in.jsonl", {"a": ANGRY, "b": CALM}), "nothing goes for them"
    assert main(["clean", path, "--out", str(tmp_path / "out")]) == 0
    assert idle in said(capsys)
    assert main(["clean", path, "--out", str(tmp_path / "strict"), "--limits", "toxic_insult", "5"]) == 0
    text = said(capsys)
    assert "toxic words: " in text
    assert idle not in text


@pytest.mark.parametrize("verb", [("clean",), ("clean", "train-quality")])
def test_help_names_every_kind_of_input(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.corpus.files import READABLE

    text = help_of(*verb, capsys=capsys)
    assert all(f"{kind}," in text or f"{kind}." in text for kind in READABLE)


def test_help_says_what_is_redacted_and_repaired_and_where_limits_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = help_of("clean", capsys=capsys)
    assert all(
        word in text for word in ("bank and credit cards", "credit codes", "keys.", "loops", "there twice")
    )
    assert "`stemma clean thresholds` lists their names" in text
    assert "cleaning folder" in help_of("report", capsys=capsys)
