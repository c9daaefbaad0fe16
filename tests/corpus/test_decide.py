"""Verdicts that follow from numbers alone: bad texts go for their reason, good ones stay, limits can be moved."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from stemma.corpus import read_documents
from stemma.corpus.columns import MEASURES
from stemma.corpus.decide import LIMITS, Limit, decide_batch, limits_of
from stemma.corpus.measures import GROUPS, Measures, measure_batch
from stemma.corpus.rule_sets import RULE_SETS
from stemma.corpus.scan import scan_texts
from stemma.errors import StemmaError

PROSE = (
    "The quiet harbour woke before the sun, and the men who mended nets were already at work. "
    "Nobody spoke of the storm; it was enough that every boat had come home by the evening. "
)
LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna "
    "aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat."
)
JAPANESE = "港の朝は静かで、漁師たちはもう網を直していた。嵐の話は誰もしなかった。"
HAN_PROSE = "清晨的港口还没有醒来，补网的人已经开始干活。谁也没有提起那场风暴，船都回来了就好。"


def numbers(measures: Measures) -> npt.NDArray[np.float32]:
    """All columns; of those that the text alone does not give nothing is known, which breaks no limit."""
    values = np.full((len(measures.values), len(MEASURES)), np.nan, np.float32)
    values[:, : measures.values.shape[1]] = measures.values
    return values


def rules(*texts: str) -> list[str | None]:
    """The rule for which each text goes."""
    measures, limits = measure_batch(scan_texts(texts)), limits_of()
    verdicts = decide_batch(numbers(measures), measures.groups, limits)
    return [limits[verdict].rule if verdict >= 0 else None for verdict in verdicts.tolist()]


@pytest.mark.parametrize(
    ("text", "group"), [(PROSE, "en"), (HAN_PROSE, "zh"), (JAPANESE, "neutral"), ("Привет, мир", "neutral")]
)
def test_the_table_is_chosen_by_the_text(text: str, group: str) -> None:
    assert GROUPS[measure_batch(scan_texts([text])).groups[0]] == group
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
    HAN_PROSE.encode("gbk").decode("latin-1"): "mojibake",
    "Привет, мир, как твои дела сегодня".encode("cp1251").decode("latin-1"): "mojibake",
    HAN_PROSE.encode().decode("gbk", "ignore").replace("\ue15f", ""): "mojibake",
    f"Home\n{LOREM}\nContact us": "placeholder",
}


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_bad_text_goes_for_its_reason(text: str) -> None:
    assert rules(text) == [BAD_TEXTS[text]]


GOOD_TEXTS = [
    PROSE,
    HAN_PROSE,
    "静夜思\n李白\n床前明月光，疑是地上霜。\n举头望明月，低头思故乡。",
    "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\nLife is but a dream.",
    "def area(width, height):\n    '''Area of a box.'''\n    return width * height\n\n\nprint(area(2, 3))\n",
    "# Title\n\n| name | value |\n| ---- | ----- |\n| one  | 1     |\n\n- [link](https://example.org/a/long/path)\n",
    "若 $x^2 + y^2 = 1$，则 $\\sin^2 t + \\cos^2 t = 1$ 对所有 $t$ 成立。",
    "Heading\n" + "=" * 40 + "\n" + PROSE,
    "本周天气预报：周一最高15°C，最低8°C；周二最高17°C，最低9°C；周三最高20°C，最低11°C；周四最高18°C，最低10°C。",
    "添加两个乘法方程。\n\n2×3 = 6\n5×4 = 20",
    "7×1 = 7\n7×2 = 14\n7×3 = 21\n7×4 = 28\n7×5 = 35\n7×6 = 42",
    "伦敦目前多云，气温为 18°C（64°F）。",
    "门票为 £12，也可以付 ¥105 或 €14，误差 ±1；见 §3 和 §4。",
    "你算是说对了，Pathé Cinéma用了5500000欧元发行的",
    "编辑这句话使其更简洁：“这就是为什么我想坚持......”\n\n这就是为什么我坚持认为...",
    f"{PROSE}\n\n    print('Lorem ipsum dolor sit amet')\n",
    f"{PROSE * 3}\n\n    text = '{LOREM}'\n",
    "Find the number of words in the given string, and say why.\nLorem ipsum dolor sit amet, consectetur adipiscing elit.",
]


def test_good_texts_stay() -> None:
    assert rules(*GOOD_TEXTS) == [None] * len(GOOD_TEXTS)


def test_long_documents_that_quote_filler_stay(shared: Path) -> None:
    peps = {d.id: d.text for d in read_documents(shared / "corpora" / "pretrain" / "en_peps.jsonl.zst")}
    assert rules(peps["pep-000262"], peps["pep-000649"]) == [None, None]


def test_every_limit_has_its_measure() -> None:
    sets = [*LIMITS.values(), *RULE_SETS.values()]
    assert {limit.measure for limits in sets for limit in limits} <= set(MEASURES)


def judged(measures: Measures, limits: tuple[Limit, ...]) -> list[str | None]:
    verdicts = decide_batch(numbers(measures), measures.groups, limits)
    return [limits[verdict].measure if verdict >= 0 else None for verdict in verdicts.tolist()]


def test_the_first_broken_limit_of_the_group_decides() -> None:
    measures = measure_batch(scan_texts([PROSE, "Not found", "=" * 200, HAN_PROSE, ""]))
    limits = limits_of()
    assert [GROUPS[group] for group in measures.groups][:4:3] == ["en", "zh"]
    assert judged(measures, limits) == [None, "characters", "symbol_share", None, "characters"]
    verdicts = decide_batch(numbers(measures), measures.groups, limits)
    reason = limits[verdicts[2]].reason(numbers(measures)[2])
    assert (reason.rule, reason.value, reason.threshold) == ("invalid_symbols", 1.0, 0.60)
    assert limits[verdicts[4]].rule == "empty"


def test_every_limit_is_one_border_with_a_name_of_its_own() -> None:
    limits = limits_of([*RULE_SETS])
    assert all((limit.least is None) != (limit.most is None) for limit in limits)
    assert len({limit.name for limit in limits}) == len(limits)
    names = {limit.name: limit.border for limit in limits}
    assert names["en.gopher.num_words.least"] == 50
    assert names["en.gopher.num_words.most"] == 100_000
    with pytest.raises(StemmaError, match="give a least or a most"):
        Limit("run", "run_share", least=0.1, most=0.2)


def test_a_value_at_the_border_stays() -> None:
    values, groups = np.zeros((1, len(MEASURES)), np.float32), np.zeros(1, np.uint8)
    values[0, MEASURES.index("run_share")] = 0.1
    for limit in (
        Limit("run", "run_share", most=0.1, group="zh"),
        Limit("run", "run_share", least=0.1, group="zh"),
    ):
        assert decide_batch(values, groups, [limit]).tolist() == [-1]


def test_published_sets_judge_their_own_language() -> None:
    measures = measure_batch(scan_texts([PROSE, HAN_PROSE]))
    assert judged(measures, limits_of(["gopher"])) == ["num_words", None]
    assert judged(measures, limits_of(["chinesewebtext"])) == [None, "characters"]
    assert judged(measures, limits_of(["fineweb", "fineweb2-zh"])) == [None, "num_words"]
    assert set(RULE_SETS) == {"gopher", "c4", "fineweb", "fineweb2-zh", "refinedweb", "chinesewebtext"}


def test_a_limit_is_moved_by_its_key() -> None:
    measures = measure_batch(scan_texts([PROSE, HAN_PROSE]))
    assert judged(measures, limits_of(moved={"too_short": 1000})) == ["characters", "characters"]
    assert judged(measures, limits_of(moved={"en.too_short": 1000})) == ["characters", None]
    assert judged(measures, limits_of(["gopher"], {"gopher.num_words.least": 5})) == [None, None]
    ngrams = limits_of(moved={"en.repetition_ngrams.top_3gram_share": -1})
    assert judged(measures, ngrams) == ["top_3gram_share", None]
    off = limits_of(["gopher"], {"gopher.num_words.least": float("-inf")})
    assert judged(measures, off) == [None, None]


@pytest.mark.parametrize(
    ("sets", "moved", "said"),
    [
        (["gofer"], {}, "did you mean 'gopher'"),
        ([], {"en.templates": 0.5}, "did you mean 'en.template'"),
        ([], {"de.template": 0.5}, "no limit 'de.template'"),
        ([], {"gopher.num_words.least": 5}, "no limit"),
        ([], {"en.repetition_ngrams": 0.5}, "name one: en.repetition_ngrams.repeated_10gram_share.most"),
        ([], {"en.template": float("nan")}, "give a number"),
        ([], {"en.template": True}, "give a number"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(
    sets: list[str], moved: dict[str, float], said: str
) -> None:
    with pytest.raises(StemmaError, match=re.escape(said)):
        limits_of(sets, moved)


def test_a_short_page_of_another_language_is_not_stuffed_by_its_function_words() -> None:
    groups = {limit.group for limit in limits_of() if limit.measure == "stuffed_words" and limit.is_in_use}
    assert groups == {"zh", "en"}


def test_a_limit_that_is_like_none_is_answered_with_the_rules_alone() -> None:
    with pytest.raises(
        StemmaError, match=r"there is no limit 'xyz'; known: empty, invalid_damaged, "
    ) as caught:
        limits_of((), {"xyz": 1.0})
    assert len(str(caught.value)) < 500
