"""The batch of bytes: the same spans as text by text, and nothing lost by the pass that looks for places."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stemma.corpus.personal import TYPES, find_personal, find_spans
from stemma.corpus.personal.address import groups, quads
from stemma.corpus.personal.card import cards
from stemma.corpus.personal.email import emails
from stemma.corpus.personal.identity import identities
from stemma.corpus.personal.phone import phones
from stemma.corpus.personal.span import Window, fold

VALUES = [
    *("手机13812345678", "zhang@qq.com", "ｚ＠ｑｑ．ｃｏｍ", "SSN 313-18-2812", "地址114.114.114.114"),
    *("2400:3200::1", "AKIAIOSFODNN7EXAMPLE", "DE89 3704 0044 0532 0130 00", "１３８１２３４５６７８"),
    *("天地玄黄", "the quick brown fox", "", "\n", "é\u3000𠀀", "10.0.0.1", "-----", "。"),
]


def batch(texts: list[str], shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The texts as bytes that begin `shift` bytes behind an aligned address, and their offsets."""
    parts = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    return np.frombuffer(b"." * shift + b"".join(parts), np.uint8)[shift:], offsets


@given(st.lists(st.lists(st.sampled_from(VALUES), max_size=6).map("".join), max_size=5), st.integers(0, 7))
def test_a_batch_has_the_spans_of_its_texts(texts: list[str], shift: int) -> None:
    spans = find_spans(*batch(texts, shift))
    rows = list(zip(*(column.tolist() for column in spans), strict=True))
    single = [(i, s.start, s.end, TYPES.index(s.type)) for i, t in enumerate(texts) for s in find_personal(t)]
    assert rows == single


@pytest.mark.parametrize("shift", range(16))
def test_keys_are_found_at_every_place(shift: int) -> None:
    armour = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----"
    for value in (
        armour,
        "AKIAIOSFODNN7EXAMPLE",
        "LTAIabcdefgh1234",
        "a@b.io",
        "ａ＠ｂ．ｉｏ",
        "１３８１２３４５６７８",
    ):
        for filler in ("." * shift, "号" * shift, "a " * shift):
            assert len(find_personal(filler + value)) == 1
            assert len(find_spans(*batch(["x" * shift, filler + value, "y"])).start) == 1


def test_a_value_does_not_go_over_the_border_of_documents() -> None:
    assert not len(find_spans(*batch(["手机1381234", "5678", "a@", "b.com"])).start)


def test_an_empty_batch_has_no_spans() -> None:
    assert not len(find_spans(b"", np.zeros(1, np.int64)).start)
    assert not len(find_spans(b"", np.zeros(3, np.int64)).start)


@settings(max_examples=400)
@given(st.text("0123456789-. ()+aX_号１８－", max_size=60), st.integers(0, 7))
@example("139-1234-5678", 0)
@example("(010)2476-0815", 3)
def test_no_number_is_lost_before_its_proof(text: str, shift: int) -> None:
    text = "-" * shift + text
    folded = fold(text)
    for match in re.finditer(r"[0-9](?:[ .()-]{0,3}[0-9])*", folded):
        window = Window(folded, match.start(), match.end())
        for proof in (identities, cards, phones, quads):
            if list(proof(window)):
                assert find_personal(text), (proof.__name__, match[0])


@settings(max_examples=300)
@given(st.text("234:af0@.号＠_-", max_size=40), st.integers(0, 7))
@example("2a01:4f8::1", 5)
def test_no_address_is_lost_before_its_proof(text: str, shift: int) -> None:
    text = "号" * (shift // 3) + "." * (shift % 3) + text
    folded = fold(text)
    for place, letter in enumerate(folded):
        window = Window(folded, place, place + 1)
        if (letter == "@" and list(emails(window))) or (letter in "23" and list(groups(window))):
            assert find_personal(text)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1",
        "1 ",
        "a@",
        "1.1.",
        "2400:",
        "-",
        "-----BEGIN ",
        "eyJhbGciOiJIUzI1NiJ9.",
        "138-",
        "DE89 ",
        "１",
        "E1234567 护照",
    ],
)
def test_text_made_to_keep_the_rules_busy_is_finished(piece: str) -> None:
    spans = find_personal(
        piece * (120_000 // len(piece))
    )  # quadratic work would run into the limit of a test
    assert all(0 <= span.start < span.end <= 120_000 for span in spans)


def test_many_values_in_one_document_are_all_found() -> None:
    text = "邮箱zhang@qq.com，手机13812345678。" * 2_000
    assert len(find_personal(text)) == 4_000
