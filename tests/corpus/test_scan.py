"""The shared pass: character classes, folding, tokens, repetition measures, decisions."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.annotate import annotate
from stemma.corpus.characters import DAMAGED, HAN, LETTER, SPACE, SYMBOL
from stemma.corpus.decide import LIMITS, decide, language_group
from stemma.corpus.ngrams import ngram_hashes, repeated_share, top_share
from stemma.corpus.scan import scan

PROSE = (
    "The quiet harbour woke before the sun, and the men who mended nets were already at work. "
    "Nobody spoke of the storm; it was enough that every boat had come home by the evening. "
)
JAPANESE = "港の朝は静かで、漁師たちはもう網を直していた。嵐の話は誰もしなかった。"
HAN_PROSE = "清晨的港口还没有醒来，补网的人已经开始干活。谁也没有提起那场风暴，船都回来了就好。"


@settings(deadline=None)  # the first call compiles
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_every_character_is_counted_once(text: str) -> None:
    assert scan(text).class_counts.sum() == len(text)


def test_classes_follow_unicode() -> None:
    counts = scan("ab é中𠀀 \ufffd\x01→😀").class_counts
    assert (counts[LETTER], counts[HAN], counts[SPACE], counts[DAMAGED], counts[SYMBOL]) == (3, 2, 2, 2, 2)


@settings(deadline=None)  # the first call compiles
@given(st.text("abcDEF 你好，。１２Ａ,.\n\t", max_size=60))
def test_folding_ignores_case_width_and_the_amount_of_white_space(text: str) -> None:
    changed = unicodedata.normalize("NFKC", text).upper().replace(" ", "  \n")
    assert np.array_equal(scan(text).folded, scan(changed + " ").folded)


@pytest.mark.parametrize(
    ("left", "right"), [(" a b", "a b"), ("你 们", "你们"), ("a , b", "a,b"), ("用 a 表示", "用a表示")]
)
def test_white_space_that_divides_no_words_is_folded_away(left: str, right: str) -> None:
    assert np.array_equal(scan(left).folded, scan(right).folded)


def test_folding_tells_different_texts_apart() -> None:
    texts = ["a b", "ab", "a, b", "b a", "你好", "你 们", "1", "2", "1 2", "12", ""]
    assert len({scan(text).folded.tobytes() for text in texts}) == len(texts)


def test_tokens_are_words_and_single_han_characters() -> None:
    assert len(scan("Hello, wörld_2 中文abc").tokens) == 6
    assert np.array_equal(scan("HELLO world").tokens, scan("hello --- World!").tokens)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 6))
def test_equal_runs_of_tokens_have_equal_hashes_and_others_do_not(values: list[int], n: int) -> None:
    hashes = ngram_hashes(np.array(values, np.uint64) + np.uint64(17), n)
    if len(values) >= n:
        runs = [tuple(values[i : i + n]) for i in range(len(values) - n + 1)]
        assert len(set(hashes.tolist())) == len(set(runs))
        assert all((hashes[i] == hashes[0]) == (runs[i] == runs[0]) for i in range(len(runs)))


def test_repetition_measures_have_their_exact_values() -> None:
    loop = scan("a b c d " * 10).tokens
    assert repeated_share(loop, 4) == pytest.approx(36 / 40)
    assert top_share(loop, 4) == pytest.approx(1.0)
    assert repeated_share(scan(PROSE).tokens, 5) == 0.0
    assert repeated_share(scan(PROSE * 2).tokens, 5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "group"), [(PROSE, "en"), (HAN_PROSE, "zh"), (JAPANESE, "neutral"), ("Привет, мир", "neutral")]
)
def test_the_table_is_chosen_by_the_text(text: str, group: str) -> None:
    assert language_group(annotate(text)) == group
    assert group in LIMITS


BAD_TEXTS = {
    " \n\t": "empty",
    "页面不存在": "too_short",
    "Not found": "too_short",
    "!|+■★^☆#&#■^□|→|-※=^%*=■^★_●@_□#&|□_#-=★-※★●■|": "invalid_symbols",
    "24003\t54946\t82576\n33953\t95923\t68639\t74026": "invalid_numbers",
    "des\ufffdred fin\ufffdlly the most p\ufffdpular": "invalid_damaged",
    "ab\x00cd " * 10: "invalid_damaged",
    "http://a.example/1.html\nhttp://b.example/2.html\n": "invalid_links",
    PROSE + "哈" * 400: "repetition_characters",
    "\n".join([PROSE, HAN_PROSE, *["Click here to load more of the same."] * 30]): "repetition_lines",
    PROSE + "and on and on " * 60: "repetition_ngrams",
}


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_bad_text_goes_for_its_reason(text: str) -> None:
    reason = decide(annotate(text))
    assert reason is not None
    assert reason.rule == BAD_TEXTS[text]


GOOD_TEXTS = [
    PROSE,
    HAN_PROSE,
    "静夜思\n李白\n床前明月光，疑是地上霜。\n举头望明月，低头思故乡。",
    "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\nLife is but a dream.",
    "def area(width, height):\n    '''Area of a box.'''\n    return width * height\n\n\nprint(area(2, 3))\n",
    "# Title\n\n| name | value |\n| ---- | ----- |\n| one  | 1     |\n\n- [link](https://example.org/a/long/path)\n",
    "若 $x^2 + y^2 = 1$，则 $\\sin^2 t + \\cos^2 t = 1$ 对所有 $t$ 成立。",
    "Heading\n" + "=" * 40 + "\n" + PROSE,
]


@pytest.mark.parametrize("text", GOOD_TEXTS)
def test_a_good_text_stays(text: str) -> None:
    assert decide(annotate(text)) is None
