"""Conversion to tokenizer.json: the same ids, or a refusal that leaves nothing behind."""

import json
from pathlib import Path

import pytest

from stemma.cli import main
from stemma.errors import CheckFailed
from stemma.tokenizer import hard_texts, load_tokenizer
from stemma.tokenizer import sentencepiece_model as proto
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.convert import build, to_tokenizer_json
from stemma.tokenizer.sentencepiece_json import merges, num_tied, tie_texts
from stemma.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from stemma.tokenizer.verify import LAYOUT, read_vectors

EXACT = (
    "llama",
    "chatglm2",
    "mistral",
    "baichuan",
    "baichuan2",
    "yi",
    "internlm",
    "internlm2",
    "qwen",
    "cl100k",
)
REFUSED = {
    "chinese-llama": "share their scores",
    "chinese-llama-2": "share their scores",
    "chinese-sp20k": "Unigram",
    "chatglm-6b": "Unigram",
    "chatglm-6b+pre": "nmt_nfkc",
}


def _open(family: str, shared: Path, source: int = 0):
    place = LAYOUT[family][source]
    return place.open(shared / "tokenizers" / place.path)


@pytest.mark.slow
@pytest.mark.parametrize("family", EXACT)
def test_a_converted_family_has_no_wrong_id(family: str, shared: Path, tmp_path: Path) -> None:
    tokenizer = _open(family, shared)
    build(tokenizer, family).tokenizer.save(tmp_path)
    converted = load_tokenizer(tmp_path)
    vectors = read_vectors(shared / "tokenizers" / "vectors.jsonl")[family]
    assert [v.line for v in vectors if converted.encode(v.text) != list(v.ids)] == []
    assert converted.encode_batch([v.text for v in vectors]) == [list(v.ids) for v in vectors]
    assert [
        v.line for v in vectors if v.decoded not in (None, converted.decode(v.ids, skip_special=False))
    ] == []
    assert converted.special_ids == tokenizer.special_ids | _unknown(tokenizer)
    assert converted.frame == tokenizer.frame
    roles = ("bos_id", "eos_id", "pad_id", "unk_id")
    assert [getattr(converted, role) for role in roles] == [getattr(tokenizer, role) for role in roles]


def _unknown(tokenizer) -> dict[str, int]:
    """tokenizer.json lists the unknown token among its special ones."""
    return {} if tokenizer.unk_id is None else {tokenizer.config.unk_token: tokenizer.unk_id}


@pytest.mark.slow
@pytest.mark.parametrize("family", list(REFUSED))
def test_a_family_without_an_exact_form_is_refused_with_the_reason(family: str, shared: Path) -> None:
    with pytest.raises(CheckFailed, match=REFUSED[family]) as raised:
        to_tokenizer_json(_open(family, shared))
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["baichuan", "internlm", "qwen"])
def test_the_hardest_exact_families_pass_the_whole_check(family: str, shared: Path) -> None:
    """Baichuan has pieces to cut out under a dummy prefix, InternLM ties and a piece for NUL, Qwen an expression."""
    tokenizer = _open(family, shared)
    assert to_tokenizer_json(tokenizer).num_texts > 2 * tokenizer.num_pieces


@pytest.mark.slow
def test_a_gguf_vocabulary_converts_as_its_model_does(shared: Path) -> None:
    from_gguf = to_tokenizer_json(_open("llama", shared, 1)).tokenizer
    from_model = to_tokenizer_json(_open("llama", shared, 0)).tokenizer
    assert from_gguf.fingerprint == from_model.fingerprint


def _model(pieces: list[tuple[str, float]], *, prefix: bool = False, extra: list[proto.Piece] | None = None):
    first = [
        proto.Piece("<unk>", proto.UNKNOWN),
        proto.Piece("<s>", proto.CONTROL),
        proto.Piece("</s>", proto.CONTROL),
    ]
    first += [proto.Piece(f"<0x{byte:02X}>", proto.BYTE) for byte in range(256)] + (extra or [])
    normal = [proto.Piece(name, proto.NORMAL, score) for name, score in pieces]
    return proto.Model((*first, *normal), prefix, False)


def _tokenizer(model: proto.Model) -> SentencePieceTokenizer:
    raw = proto.write_model(model, unknown=0, begin=1, end=2, pad=None)
    return SentencePieceTokenizer(raw, TokenizerConfig(), "small")


LETTERS = [("a", -90.0), ("b", -91.0), ("c", -92.0), ("\u2581", -93.0)]


def test_a_written_model_is_read_back() -> None:
    model = _model([("ab", -1.0), *LETTERS], prefix=True)
    assert proto.read_model(proto.write_model(model, unknown=0, begin=1, end=None, pad=None)) == model


def test_merges_come_best_first_and_ties_leftmost_first() -> None:
    model = _model([("bc", -2.0), ("ab", -2.0), ("abc", -1.0), *LETTERS])
    assert list(merges(model)) == [("ab", "c"), ("a", "bc"), ("a", "b"), ("b", "c")]
    assert num_tied(model) == 2
    assert "abc" in tie_texts(model)


def test_a_tie_that_has_an_order_converts_and_one_that_has_none_is_refused() -> None:
    ordered = _tokenizer(_model([("bc", -2.0), ("ab", -2.0), *LETTERS]))
    converted = to_tokenizer_json(ordered).tokenizer
    assert converted.encode("abc abcb") == ordered.encode("abc abcb")
    cyclic = _tokenizer(_model([("ab", -2.0), ("ba", -2.0), *LETTERS]))
    with pytest.raises(CheckFailed, match=r"for '(bab|aba)'") as raised:
        to_tokenizer_json(cyclic)
    assert "2 of its pieces share their scores" in str(raised.value)


@pytest.mark.parametrize("prefix", [True, False])
def test_user_defined_pieces_convert_with_and_without_a_dummy_prefix(prefix: bool) -> None:
    defined = [
        proto.Piece(name, proto.USER_DEFINED) for name in (*"0123456789", "<br>", "\n", "\u2581\u2581")
    ]
    tokenizer = _tokenizer(_model([("\u2581a", -1.0), ("ab", -2.0), *LETTERS], prefix=prefix, extra=defined))
    converted = to_tokenizer_json(tokenizer).tokenizer
    for text in ("<br>", "1<s>", "<s>1</s>\n", "a<br>b 1  ab", "<br><br>a", " 1", "1<unk>1"):
        assert converted.encode(text) == tokenizer.encode(text)
        assert converted.encode(text, after="text") == tokenizer.encode(text, after="text")


def test_a_piece_for_nul_is_never_used_where_bytes_have_pieces() -> None:
    tokenizer = _tokenizer(_model([("\0", -1.0), *LETTERS]))
    converted = to_tokenizer_json(tokenizer).tokenizer
    assert converted.encode("a\0b") == tokenizer.encode("a\0b") == [260, 3, 261]


def test_the_texts_of_the_user_are_compared_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = _tokenizer(_model([("ab", -1.0), *LETTERS]))
    tokenizer.save(tmp_path / "small")
    texts = tmp_path / "texts.txt"
    texts.write_text("abc\nabab\n")
    out = tmp_path / "out"
    command = ["tokenizer", "convert", str(tmp_path / "small"), "--to", "tokenizer.json", "--out", str(out)]
    assert main([*command, "--check-text", str(texts), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["num_pieces"], figures["texts_different"]) == (264, 0)
    assert load_tokenizer(out).encode("abab") == tokenizer.encode("abab")
    assert main(command) == 2
    assert "already exists" in capsys.readouterr().err


def test_a_difference_in_the_users_text_alone_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """SentencePiece makes a piece whose letters are no pieces; a list of merges cannot."""
    monkeypatch.setattr(hard_texts, "pieces", lambda _: ())
    tokenizer = _tokenizer(_model([("\u4e00\u4e01", -1.0), *LETTERS]))
    monkeypatch.setattr(hard_texts, "characters", lambda: ())
    assert to_tokenizer_json(tokenizer, ["\u4e00 \u4e01"]).num_texts > 100
    with pytest.raises(CheckFailed, match="for 'a\u4e00\u4e01'"):
        to_tokenizer_json(tokenizer, ["fine", "a\u4e00\u4e01"])


def test_a_refused_conversion_writes_nothing_and_names_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _tokenizer(_model([("xy", -1.0), *LETTERS])).save(tmp_path / "small")
    out = tmp_path / "out"
    command = ["tokenizer", "convert", str(tmp_path / "small"), "--to", "tokenizer.json", "--out", str(out)]
    assert main(command) == 1
    assert "other ids for 'xy'" in capsys.readouterr().err
    assert not out.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "small"]
