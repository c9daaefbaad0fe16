"""The pass over a batch: character classes, folding, tokens. Its counts are tested where they become `measures`."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.characters import DAMAGED, HAN, LETTER, SPACE, SYMBOL, kind_tables
from stemma.corpus.scan import scan_texts, tokens_of


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=3))
def test_every_character_is_counted_once(texts: list[str]) -> None:
    assert scan_texts(texts).histograms.sum(1).tolist() == list(map(len, texts))


def test_classes_follow_unicode() -> None:
    histogram, features = scan_texts(["ab é中𠀀 \ufffd\x01→😀"]).histograms[0], kind_tables().features
    counts = [int(histogram @ features[kind]) for kind in (LETTER, HAN, SPACE, DAMAGED, SYMBOL)]
    assert counts == [3, 2, 2, 2, 2]


@settings(deadline=None)  # the first call compiles
@given(st.text("abcDEF 你好，。１２Ａ,.\n\t", max_size=60))
def test_folding_ignores_case_width_and_the_amount_of_white_space(text: str) -> None:
    changed = unicodedata.normalize("NFKC", text).upper().replace(" ", "  \n")
    assert len(np.unique(scan_texts([text, changed + " "]).keys, axis=0)) == 1


@pytest.mark.parametrize(
    ("left", "right"), [(" a b", "a b"), ("你 们", "你们"), ("a , b", "a,b"), ("用 a 表示", "用a表示")]
)
def test_white_space_that_divides_no_words_is_folded_away(left: str, right: str) -> None:
    assert len(np.unique(scan_texts([left, right]).keys, axis=0)) == 1


def test_folding_tells_different_texts_apart() -> None:
    texts = ["a b", "ab", "a, b", "b a", "你好", "你 们", "1", "2", "1 2", "12", ""]
    keys = scan_texts(texts).keys
    assert all(len(np.unique(half)) == len(texts) for half in keys.T)


def test_tokens_are_words_and_single_han_characters() -> None:
    assert len(tokens_of("Hello, wörld_2 中文abc")) == 6
    assert np.array_equal(tokens_of("HELLO world"), tokens_of("hello --- World!"))


def test_the_tokens_of_a_batch_are_those_of_its_texts() -> None:
    texts = ["Hello, world", "", "中文abc"]
    scanned = scan_texts(texts)
    runs = np.split(scanned.tokens, scanned.token_offsets[1:-1])
    assert all(np.array_equal(run, tokens_of(text)) for run, text in zip(runs, texts, strict=True))
