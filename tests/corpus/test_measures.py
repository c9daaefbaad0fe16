"""The measures of a batch, against a plain reading of the same text, and the verdicts that follow from
numbers alone."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.annotate import annotate
from stemma.corpus.batch_scan import COUNTS, ScannedBatch, Scratch, scan_batch
from stemma.corpus.decide import LIMITS, Limit, decide, decide_batch, limits_of
from stemma.corpus.language import identify_batch, is_wanted
from stemma.corpus.lexicon import hash_word
from stemma.corpus.measures import DEFINITIONS, GROUPS, MEASURES, Measures, measure_batch
from stemma.corpus.repetition import (
    LONGEST,
    MOST_FREQUENT,
    MOST_TOKENS,
    REPEATED,
    REPETITIONS,
    count_repetitions,
)
from stemma.corpus.rule_sets import RULE_SETS
from stemma.errors import StemmaError

PROSE = "The quiet harbour woke before the sun, and the men who mended nets were at work.\n"
HAN_PROSE = "清晨的港口还没有醒来，补网的人已经开始干活。谁也没有提起那场风暴，船都回来了就好。\n"

_PIECES = [
    "a",
    "b",
    "the",
    "The",
    "of",
    "12",
    "x9",
    "中",
    "的",
    "國",
    "国",
    "カ",
    "한",
    "é",
    "Ａ",
    "。",
    "！",
    ".",
    "...",
]
_PIECES += [
    "，",
    ",",
    "#",
    "{",
    "-",
    "•",
    '"',
    "”",
    "…",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "://",
    "�",
    "𠀀",
    "😀",
    "=" * 17,
]
_PIECES += ["3 likes\n", "privacy policy", "lorem ipsum dolor sit amet", "(more)", "登录后查看全文", "AB"]
texts = st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)


def batch(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    encoded = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(data) for data in encoded])]).astype(np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def scanned(*texts: str) -> ScannedBatch:
    return scan_batch(*batch(list(texts)))


def measure(text: str) -> dict[str, float]:
    return dict(zip(MEASURES, measure_batch(scanned(text)).values[0].tolist(), strict=True))


def repetitions(tokens: list[int], lengths: list[int] | None = None) -> dict[str, int]:
    found = scanned("")._replace(
        tokens=np.array([hash_word(str(token)) for token in tokens], np.uint64),
        token_lengths=np.array(lengths or [1] * len(tokens), np.int32),
        token_offsets=np.array([0, len(tokens)]),
    )
    return dict(zip(REPETITIONS, count_repetitions(found)[0].tolist(), strict=True))


def plain_repeated(tokens: list[int], lengths: list[int], n: int) -> tuple[int, int]:
    inside, seen = set[int](), set[tuple[int, ...]]()
    for i in range(len(tokens) - n + 1):
        run = tuple(tokens[i : i + n])
        if run in seen:
            inside |= set(range(i, i + n))
        seen.add(run)
    return len(inside), sum(lengths[i] for i in inside)


def plain_top(tokens: list[int], lengths: list[int], n: int) -> tuple[int, int]:
    runs = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    size = {tuple(tokens[i : i + n]): sum(lengths[i : i + n]) for i in range(len(tokens) - n + 1)}
    count, characters = max(((count, size[run]) for run, count in runs.items()), default=(0, 0))
    return (min(count * n, len(tokens)), count * characters) if count > 1 else (0, 0)


@settings(deadline=None, max_examples=150)  # the first call compiles
@given(
    st.lists(st.integers(0, 2), max_size=60) | st.lists(st.integers(0, 30), max_size=200), st.integers(1, 4)
)
def test_repeated_runs_are_those_that_a_plain_search_finds(tokens: list[int], times: int) -> None:
    tokens = tokens * times
    lengths = [1 + token % 5 for token in tokens]
    found = repetitions(tokens, lengths)
    for n in REPEATED:
        assert (found[f"repeated_{n}gram_tokens"], found[f"repeated_{n}gram_characters"]) == plain_repeated(
            tokens, lengths, n
        )
    for n in MOST_FREQUENT:
        assert (found[f"top_{n}gram_tokens"], found[f"top_{n}gram_characters"]) == plain_top(
            tokens, lengths, n
        )


def test_a_long_loop_outgrows_the_table_and_is_still_counted() -> None:
    tokens = list(range(3000)) + [token for token in range(3000) for _ in range(2)] + list(range(3000))
    found = repetitions(tokens)
    assert (
        found[f"repeated_{LONGEST}gram_tokens"]
        == plain_repeated(tokens, [1] * len(tokens), LONGEST)[0]
        == 3000
    )


def test_runs_beyond_the_first_million_tokens_are_not_looked_at() -> None:
    tokens = np.arange(MOST_TOKENS + 500, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    tokens[MOST_TOKENS - 20 :] = tokens[:520]
    offsets = np.array([0, len(tokens)])
    found = scanned("")._replace(
        tokens=tokens, token_lengths=np.full(len(tokens), 3, np.int32), token_offsets=offsets
    )
    values = dict(zip(REPETITIONS, count_repetitions(found)[0].tolist(), strict=True))
    assert values["repeated_10gram_tokens"] == 20
    assert (values["sampled_tokens"], values["sampled_characters"]) == (MOST_TOKENS, 3 * MOST_TOKENS)


def plain_measures(text: str) -> dict[str, float]:
    """Some of the definitions, word for word."""
    lines = [line for line in text.split("\n") if line.strip()]
    pieces = re.findall(r"[⺀-鿿ァ-ヺ𠀀]|[^\s⺀-鿿ァ-ヺ𠀀。，！]+", re.sub("[。，！]+", " ", text))
    words = [piece for piece in pieces if re.search(r"[^\W_]", piece)]
    return {
        "num_words": len(words),
        "num_lines": len(lines),
        "newlines_per_word": text.count("\n") / len(words) if words else 0,
        "links_per_100": 100 * text.count("://") / max(len("".join(text.split())), 1),
        "num_braces": text.count("{"),
        "lorem_ipsum": text.lower().count("lorem ipsum"),
        "short_line_share": sum(len(line) <= 30 for line in lines) / max(len(lines), 1),
        "bullet_line_share": sum(line.strip()[0] in "-•" for line in lines) / max(len(lines), 1),
        "characters": len("".join(text.split())),
    }


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from([p for p in _PIECES if "lorem" not in p]), max_size=40).map("".join))
def test_measures_are_what_their_definitions_say(text: str) -> None:
    found, wanted = measure(text), plain_measures(text)
    # Marks of full width stick to the words around them; the plain reading divides at them.
    for name in wanted.keys() - (
        {"num_words", "newlines_per_word"} if re.search("[。，！]", text) else set[str]()
    ):
        assert found[name] == pytest.approx(wanted[name]), (name, text)


@settings(deadline=None)
@given(st.lists(texts, max_size=6))
def test_a_document_has_the_same_numbers_in_any_batch(documents: list[str]) -> None:
    together, scratch = scanned(*documents), Scratch()
    measures = measure_batch(together)
    assert measures.values.shape == (len(documents), len(MEASURES))
    for i, text in enumerate(documents):
        alone = scan_batch(*batch([text]), scratch)
        assert np.array_equal(alone.keys[0], together.keys[i])
        assert np.array_equal(measure_batch(alone).values[0], measures.values[i])
        assert np.array_equal(
            alone.tokens, together.tokens[together.token_offsets[i] : together.token_offsets[i + 1]]
        )


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(st.sampled_from(_PIECES[:-5] + _PIECES[-3:]), max_size=40).map("".join), max_size=4))
def test_numbers_and_verdicts_are_those_of_single_texts(documents: list[str]) -> None:
    found, limits = measure_batch(scanned(*documents)), limits_of()
    verdicts = decide_batch(found.values, found.groups, limits)
    for i, text in enumerate(documents):
        wanted = annotate(text)
        for name in wanted.__slots__:
            assert found.column(name)[i] == np.float32(getattr(wanted, name)), (name, text)
        reason = decide(wanted)
        assert (None if reason is None else (reason.rule, reason.threshold)) == (
            None
            if verdicts[i] < 0
            else (limits[verdicts[i]].rule, limits[verdicts[i]].reason(found.values[i]).threshold)
        )


def test_a_batch_may_begin_anywhere_in_its_data() -> None:
    data, offsets = batch([PROSE, HAN_PROSE, PROSE])
    assert np.array_equal(
        measure_batch(scan_batch(data, offsets[1:])).values, measure_batch(scanned(HAN_PROSE, PROSE)).values
    )


def test_an_empty_batch_and_empty_documents_have_no_numbers() -> None:
    assert measure_batch(scanned()).values.shape == (0, len(MEASURES))
    assert not measure_batch(scanned("", " \n")).values.any()


@settings(deadline=None)
@given(texts, texts)
def test_keys_are_equal_where_the_folded_text_is(left: str, right: str) -> None:
    def folded(text: str) -> str:
        text = text.translate({ord("Ａ"): "a", ord("！"): "!", ord("，"): ","}).lower()
        return re.sub(r"(?<![a-z0-9é한])\s+|\s+(?![a-z0-9é한])", "", text.strip())

    keys = scanned(left, right, right.upper().replace(" ", " \n"), right + " ").keys
    assert np.array_equal(keys[0], keys[1]) == (folded(left) == folded(right))
    assert np.array_equal(keys[1], keys[2])
    assert np.array_equal(keys[1], keys[3])


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num_sentences", 'It rains. "Is it 3.14?" 他说：“好。”他走了。', 4),
        (
            "kept_sentences",
            "Menu\nIt rains again today. Or not.\nWe use cookies on this page.\nIt is so...\n",
            2,
        ),
        ("terminal_line_share", "It rains.\n他说：“好。”\nHome\nMore", 0.5),
        ("ellipsis_line_share", "It rains...\nso …\nIt rains.\nA..", 0.5),
        ("policy_line_share", "Please enable JavaScript\nthe privacy\npolicy is good\nTerms of use", 0.5),
        ("upper_line_share", "BUY NOW\nand then six more words\n", 2 / 7),
        ("digit_line_share", "1234\none two three", 0.25),
        ("counter_line_share", "3 likes\n1.2k views\nthree likes\n12 monkeys", 0.5),
        ("single_word_line_share", "Home\nabout us\n中", 0.5),
        ("noise_line_share", "HOME\n3 likes\nand then six more words", 3 / 8),
        ("duplicate_line_count_share", "ab\nab\ncd\nab", 0.5),
        ("duplicate_paragraph_share", "ab\ncd\n\nab\ncd\n\nef\n\nab", 1 / 3),
        ("duplicate_paragraph_count_share", "ab\ncd\n\nab\ncd\n\nef\n\nab", 0.25),
        ("hash_ratio", "# one two three", 0.25),
        ("ellipsis_ratio", "one... two…… three four", 0.75),
        ("letter_word_share", "one 2 -- three", 0.5),
        ("mean_word_length", "ab, abcd 中文 --", 9 / 4),
        ("distinct_stop_words", "The THE of them", 2),
        ("num_stop_words", "The THE of them", 3),
        ("distinct_zh_stop_characters", "这是這的", 3),
        ("mean_line_length", "ab cd\n\nef", 3),
        ("placeholder", "the rest of it (More) \n", 1),
        ("placeholder", "众人都说剩余80%内容需付费阅读", 1),
        ("placeholder", "and so it went on ...", 1),
        ("placeholder", "and so it went on...", 0),
        ("placeholder", "中" * 250 + "(more)", 0),
        ("placeholder", "Lorem ipsum dolor sit amet, consectetur", 1),
        ("simplified_share", "国國中", 1 / 3),
        ("traditional_share", "国國中", 1 / 3),
    ],
)
def test_a_measure_has_its_value(name: str, text: str, value: float) -> None:
    assert measure(text)[name] == pytest.approx(value)


def test_every_measure_is_defined_and_every_limit_has_one() -> None:
    assert all(DEFINITIONS.values())
    sets = [*LIMITS.values(), *RULE_SETS.values()]
    assert {limit.measure for limits in sets for limit in limits} <= set(MEASURES)
    assert len(set(COUNTS)) == len(COUNTS)


def judged(measures: Measures, limits: tuple[Limit, ...]) -> list[str | None]:
    verdicts = decide_batch(measures.values, measures.groups, limits)
    return [limits[verdict].measure if verdict >= 0 else None for verdict in verdicts.tolist()]


def test_the_first_broken_limit_of_the_group_decides() -> None:
    measures = measure_batch(scanned(PROSE, "Not found", "=" * 200, HAN_PROSE, ""))
    limits = limits_of()
    assert [GROUPS[group] for group in measures.groups][:4:3] == ["en", "zh"]
    assert judged(measures, limits) == [None, "characters", "symbol_share", None, "characters"]
    verdicts = decide_batch(measures.values, measures.groups, limits)
    reason = limits[verdicts[2]].reason(measures.values[2])
    assert (reason.rule, reason.value, reason.threshold) == ("invalid_symbols", 1.0, 0.60)
    assert limits[verdicts[4]].rule == "empty"


def test_a_value_at_the_border_stays() -> None:
    values, groups = np.zeros((1, len(MEASURES)), np.float32), np.zeros(1, np.uint8)
    values[0, MEASURES.index("run_share")] = 0.1
    for limit in (
        Limit("run", "run_share", most=0.1, group="zh"),
        Limit("run", "run_share", least=0.1, group="zh"),
    ):
        assert decide_batch(values, groups, [limit]).tolist() == [-1]


def test_published_sets_judge_their_own_language() -> None:
    measures = measure_batch(scanned(PROSE, HAN_PROSE))
    assert judged(measures, limits_of(["gopher"])) == ["num_words", None]
    assert judged(measures, limits_of(["chinesewebtext"])) == [None, "characters"]
    assert judged(measures, limits_of(["fineweb", "fineweb2-zh"])) == [None, "num_words"]
    assert set(RULE_SETS) == {"gopher", "c4", "fineweb", "fineweb2-zh", "refinedweb", "chinesewebtext"}


def test_a_limit_is_moved_by_its_key() -> None:
    measures = measure_batch(scanned(PROSE, HAN_PROSE))
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


def test_chinese_is_told_apart_by_what_only_one_writing_has() -> None:
    documents = [
        HAN_PROSE * 2,
        "會議在下午舉行，大家同意把今年的報告念給所有人聽。" * 3,
        "上山下水大人小女" * 8,
        PROSE * 2,
    ]
    data, offsets = batch(documents)
    found = scan_batch(data, offsets)
    languages = identify_batch(data, offsets, found, measure_batch(found))
    assert languages.codes == ["zh", "zh", "zh", "en"]
    assert languages.scripts == ["Hans", "Hant", "", ""]


@pytest.mark.parametrize(
    ("code", "script", "languages", "stays"),
    [
        ("zh", "Hans", ("zh",), True),
        ("zh", "Hant", ("zh",), True),
        ("zh", "Hans", ("zh-Hans",), True),
        ("zh", "", ("zh-Hans", "en"), True),
        ("zh", "Hant", ("zh-Hans", "en"), False),
        ("und", "", ("en",), True),
        ("de", "", ("zh", "en"), False),
        ("de", "", (), True),
    ],
)
def test_languages_wanted_may_name_a_script(
    code: str, script: str, languages: tuple[str, ...], stays: bool
) -> None:
    assert is_wanted(code, script, languages) is stays


def test_words_are_hashed_as_in_the_pass() -> None:
    assert [hash_word("cookies"), hash_word("the")] == scanned("Cookies the").tokens.tolist()
