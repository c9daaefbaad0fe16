"""Tokens per character as published and as counted elsewhere, and the two verbs."""

import json
from pathlib import Path

import pytest

from stemma.cli import main
from stemma.corpus.document import Document
from stemma.errors import StemmaError
from stemma.tokenizer import load_tokenizer
from stemma.tokenizer.compression import language_of, measure


def _document(text: str, lang: str | None = None) -> Document:
    return Document("1", text, "test", lang, None)


def test_a_line_is_counted_alone_and_line_ends_are_not_counted(trained) -> None:
    [counts] = measure([trained], [_document("ab\r\ncd\n\n你好", lang="en")])
    assert counts["en"].num_characters == 6
    assert counts["en"].num_bytes == 10
    assert counts["en"].num_tokens == sum(len(trained.encode(line)) for line in ("ab", "cd", "你好"))
    assert counts["zh"].num_characters == 0


def test_the_language_is_the_documents_own_or_what_its_letters_say() -> None:
    assert language_of(_document("hello", lang="zh-CN")) == "zh"
    assert language_of(_document("使用 Python 语言编写的程序")) == "zh"
    assert language_of(_document("The word 你好 means hello")) == "en"
    assert language_of(_document("")) == "en"


def test_measuring_nothing_is_refused(trained) -> None:
    with pytest.raises(StemmaError, match="texts are empty"):
        measure([trained], [])


@pytest.mark.slow
def test_counts_equal_the_recorded_ones_and_the_published_order_holds(shared: Path) -> None:
    folder = shared / "tokenizers"
    recorded = json.loads((folder / "compression" / "counts.json").read_text())["tokens"]
    texts = {lang: (folder / "compression" / f"vue_docs_{lang}.txt").read_text() for lang in ("zh", "en")}
    families = ["llama", "chinese-llama", "chatglm2", "baichuan", "baichuan2"]
    tokenizers = [load_tokenizer(folder / family / "tokenizer.model") for family in families]
    found = measure(tokenizers, [_document(text) for text in texts.values()])
    for family, counts in zip(families, found, strict=True):
        for lang in texts:
            assert counts[lang].num_tokens == recorded[family][f"vue_docs_{lang}.txt"], (family, lang)
            assert counts[lang].unknown_rate < 0.001
    rates = [counts["zh"].tokens_per_character for counts in found]
    assert rates[0] > rates[1] > rates[2]
    assert rates[3] > rates[4]


def test_the_verbs_train_and_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zh.txt").write_text("人工智能是计算机科学的一个分支。\n" * 20, encoding="utf-8")
    (tmp_path / "en.txt").write_text("The quick brown fox jumps over the lazy dog.\n" * 20, encoding="utf-8")
    inputs = [str(tmp_path / "zh.txt"), str(tmp_path / "en.txt")]
    out = str(tmp_path / "tokenizer")
    assert main(["tokenizer", "train", *inputs, "--vocab-size", "320", "--out", out]) == 0
    said = capsys.readouterr()
    assert "zh" in said.out
    assert "tokens per character" in said.out
    assert f"tokenizer: {out}" in said.err
    assert "next: stemma tokenizer compare" in said.err
    assert main(["tokenizer", "train", *inputs, "--vocab-size", "320", "--out", out]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["tokenizer", "compare", out, out, "--text", *inputs, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["language"] for row in rows] == ["zh", "en", "zh", "en"]
    assert rows[0]["unknown_rate"] == 0
    assert main(["tokenizer", "compare", out, "--text", *inputs]) == 0
    assert "tokens/char" in capsys.readouterr().out
    assert main(["tokenizer", "compare", str(tmp_path / "no"), "--text", *inputs]) == 2
    assert "does not exist" in capsys.readouterr().err
