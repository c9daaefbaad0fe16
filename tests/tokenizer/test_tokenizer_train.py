"""Training: full coverage, clean cuts, single digits, the same bytes every time."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.errors import StemmaError
from stemma.tokenizer import StreamDecoder, TrainSettings, load_tokenizer, template_of, train_tokenizer

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
MIXED = st.text(st.sampled_from("你好世界，。！aB z'\t\n\r 0９½-é́🙂<|_>▁\u3007\u00a0\ufffd\x00"), max_size=40)


@settings(max_examples=200, deadline=None)
@given(text=UNICODE | MIXED)
def test_every_text_comes_back_exactly(trained, text: str) -> None:
    ids = trained.encode(text)
    assert trained.decode(ids) == text
    assert b"".join(map(trained.token_bytes, ids)) == text.encode()
    assert trained.encode_batch([text]) == [ids]
    decoder = StreamDecoder(trained)
    assert "".join(map(decoder.push, ids)) + decoder.finish() == text


def test_every_assigned_code_point_comes_back_exactly(trained) -> None:
    planes = [
        *range(0, 0x40000, 0x1000),
        *range(0xE0000, 0x110000, 0x8000),
    ]  # assigned planes whole, the rest sampled
    texts = [
        "".join(chr(code) for code in range(start, start + 0x1000) if not 0xD800 <= code < 0xE000)
        for start in planes
    ]
    for text, ids in zip(texts, trained.encode_batch(texts), strict=True):
        assert trained.decode(ids) == text


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(0, 699), max_size=30), skip=st.booleans())
def test_streamed_text_is_the_decoded_text_for_any_ids(trained, ids: list[int], skip: bool) -> None:
    ids = [token % trained.vocab_size for token in ids]
    decoder = StreamDecoder(trained, skip_special=skip)
    assert "".join(map(decoder.push, ids)) + decoder.finish() == trained.decode(ids, skip)


def test_a_stream_never_shows_half_a_character(trained) -> None:
    decoder = StreamDecoder(trained)
    shown = [decoder.push(token) for token in trained.encode("𠮷野家🙂")]
    assert "\ufffd" not in "".join(shown)
    assert "".join(shown) == "𠮷野家🙂"
    assert "" in shown


def test_digits_are_single_tokens_however_often_a_number_is_seen() -> None:
    tokenizer = train_tokenizer(["12345 and 12345 " * 50], TrainSettings(vocab_size=300))
    assert [tokenizer.token_bytes(token) for token in tokenizer.encode("12345")] == [
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
    ]


def test_a_typed_special_token_is_spelled_like_any_text() -> None:
    tokenizer = train_tokenizer(["<|x|> " * 50], TrainSettings(vocab_size=300))
    assert tokenizer.token_bytes(tokenizer.encode("<|im_end|>")[0]) == b"<|"


def test_without_digit_splitting_numbers_merge() -> None:
    texts = ["in 2024 and 2024 and 2024 " * 5]
    together = train_tokenizer(texts, TrainSettings(vocab_size=300, split_digits=False))
    assert len(together.encode("2024")) < 4


def test_han_text_is_not_glued_to_latin_digits_or_punctuation() -> None:
    texts = ["使用Python语言，版本3。 使用Python语言，版本3。"] * 50
    tokenizer = train_tokenizer(texts, TrainSettings(vocab_size=1000))
    for token in range(260, tokenizer.vocab_size):
        piece = tokenizer.token_bytes(token).decode(errors="ignore")
        kinds = {
            "han" if "\u4e00" <= letter <= "\u9fff" else "latin" if letter.isalpha() else "other"
            for letter in piece
        }
        assert "han" not in kinds or kinds == {"han"}, piece


def test_the_same_documents_give_the_same_bytes_in_another_process(
    trained, texts: list[str], tmp_path
) -> None:
    trained.save(tmp_path / "here")
    code = (
        "import json, sys; from pathlib import Path; from stemma.tokenizer import TrainSettings, train_tokenizer;"
        "tokenizer = train_tokenizer(json.load(sys.stdin), TrainSettings(vocab_size=700));"
        "tokenizer.save(Path(sys.argv[1]))"
    )
    given = json.dumps(texts)
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], input=given, text=True, check=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_other_documents_give_another_fingerprint(trained, texts: list[str]) -> None:
    again = train_tokenizer(iter(texts), TrainSettings(vocab_size=700))
    other = train_tokenizer(iter(texts[:1]), TrainSettings(vocab_size=700))
    assert trained.fingerprint == again.fingerprint != other.fingerprint


def test_no_token_covers_a_longer_run_than_asked() -> None:
    texts = ["abcdefghij" * 20, "你好世界" * 20, "-" * 200, " " * 200] * 5
    for max_run in (1, 4, 7):
        tokenizer = train_tokenizer(texts, TrainSettings(vocab_size=500, max_run=max_run))
        pieces = [
            tokenizer.token_bytes(token).decode(errors="ignore") for token in range(260, tokenizer.vocab_size)
        ]
        assert max(map(len, pieces)) == max_run
        for text in texts:
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_have_the_first_ids_and_text_never_becomes_one(trained) -> None:
    assert trained.special_ids == {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "<|pad|>": 3}
    assert (trained.bos_id, trained.eos_id, trained.pad_id, trained.unk_id) == (None, 0, 3, None)
    text = "a<|im_end|>b<|endoftext|>"
    assert not set(trained.encode(text)) & {0, 1, 2, 3}
    assert trained.decode(trained.encode(text)) == text
    assert trained.encode_with_specials(text).count(2) == 1
    assert trained.decode(trained.encode_with_specials(text)) == "ab"
    assert trained.decode(trained.encode_with_specials(text), skip_special=False) == text


def test_a_saved_tokenizer_is_the_same_tokenizer(trained, texts: list[str], tmp_path) -> None:
    trained.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.fingerprint == trained.fingerprint
    assert loaded.vocab_size == trained.vocab_size
    assert loaded.encode(texts[1]) == trained.encode(texts[1])
    assert (loaded.eos_id, loaded.pad_id) == (0, 3)
    assert template_of(loaded) == template_of(trained)
    assert template_of(loaded).stop_tokens == ("<|im_end|>",)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"vocab_size": 100}, "256 bytes and 4 special tokens need 260"),
        ({"vocab_size": 999, "pad_token": "<|im_end|>"}, "must be distinct"),
        ({"vocab_size": 999, "chat_template": "nope"}, "is none of chatml"),
        ({"vocab_size": 999, "min_count": 0}, "at least 1"),
    ],
)
def test_impossible_settings_are_refused(options: dict, part: str) -> None:
    with pytest.raises(StemmaError, match=part):
        TrainSettings(**options)


def test_training_without_text_is_refused() -> None:
    with pytest.raises(StemmaError, match="no text"):
        train_tokenizer([], TrainSettings(vocab_size=300))


def test_half_a_surrogate_pair_is_refused(trained) -> None:
    with pytest.raises(StemmaError, match=r"U\+D800 at character 1"):
        trained.encode("a\ud800")
