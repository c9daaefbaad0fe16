"""The measures of a batch, against a plain reading of the same text."""

import re
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.annotated import to_batch
from stemma.corpus.lexicon import hash_word
from stemma.corpus.measures import DEFINITIONS, MEASURES, measure_batch
from stemma.corpus.repetition import (
    LONGEST,
    MOST_FREQUENT,
    MOST_TOKENS,
    REPEATED,
    REPETITIONS,
    count_repetitions,
)
from stemma.corpus.scan import Scanned, scan, scan_texts

PROSE = "The quiet harbour woke before the sun, and the men who mended nets were at work.\n"
ENGLISH = "the of and to in is a that for it with as on be are this was not"
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


def scanned(*texts: str) -> Scanned:
    return scan_texts(texts)


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


_CLASSES = {"L": "letter", "M": "letter", "N": "digit", "P": "symbol", "S": "symbol"}


def plain_class(character: str) -> str:
    if re.fullmatch("[\u4e00-\u9fff\U00020000-\U0003ffff]", character):
        return "han"
    if re.fullmatch("[\u3040-\u30ff]", character):
        return "kana"
    if character.isspace():
        return "space"
    return "damaged" if character == "\ufffd" else _CLASSES[unicodedata.category(character)[0]]


def plain_items(text: str) -> list[str]:
    """Words, single Han and kana characters, and marks, folded."""
    items, in_word = list[str](), False
    for character in text:
        kind, folded = plain_class(character), unicodedata.normalize("NFKC", character).lower()
        if in_word and kind in ("letter", "digit"):
            items[-1] += folded
        elif kind != "space":
            items.append(folded)
        in_word = kind in ("letter", "digit")
    return items


def plain_share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def plain_measures(text: str) -> dict[str, float]:
    """Some of the definitions, word for word."""
    counts, visible = Counter(map(plain_class, text)), len("".join(text.split()))
    tokens = [item for item in plain_items(text) if plain_class(item[0]) not in ("symbol", "damaged")]
    numbers = [sorted(set(tokens)).index(token) for token in tokens]
    letters = counts["letter"] + counts["han"] + counts["kana"]
    english = sum(token in ENGLISH.split() for token in tokens[:1000])
    repeated = {n: plain_repeated(numbers, [1] * len(tokens), n)[0] for n in (5, 10, 13)}
    lines = [line for line in text.split("\n") if line.strip()]
    seen, duplicate = set[tuple[str, ...]](), 0
    for line in lines:
        items = tuple(plain_items(line))
        duplicate += len("".join(line.split())) if items in seen else 0
        seen.add(items)
    pieces = re.findall(r"[⺀-鿿ァ-ヺ𠀀]|[^\s⺀-鿿ァ-ヺ𠀀。，！]+", re.sub("[。，！]+", " ", text))
    words = [piece for piece in pieces if re.search(r"[^\W_]", piece)]
    return {
        "characters": visible,
        "num_tokens": len(tokens),
        "han_share": plain_share(counts["han"], letters),
        "kana_share": plain_share(counts["kana"], letters),
        "english_share": plain_share(english, min(len(tokens), 1000)),
        "letter_share": plain_share(letters, visible),
        "digit_share": plain_share(counts["digit"], visible),
        "symbol_share": plain_share(counts["symbol"], visible),
        "damaged_share": plain_share(counts["damaged"], visible),
        "links_per_100": 100 * plain_share(text.count("://"), visible),
        "run_share": plain_share(sum(len(run[0]) for run in re.finditer(r"(\S)\1{15,}", text)), visible),
        "duplicate_line_share": plain_share(duplicate, visible),
        **{f"repeated_{n}gram_share": plain_share(count, len(tokens)) for n, count in repeated.items()},
        "top_3gram_share": plain_share(plain_top(numbers, [1] * len(tokens), 3)[0], len(tokens)),
        "short_repeated_share": plain_share(repeated[5], len(tokens)) if len(tokens) < 500 else 0,
        "num_words": len(words),
        "num_lines": len(lines),
        "newlines_per_word": plain_share(text.count("\n"), len(words)),
        "num_braces": text.count("{"),
        "lorem_ipsum": text.lower().count("lorem ipsum"),
        "short_line_share": plain_share(sum(len(line) <= 30 for line in lines), len(lines)),
        "bullet_line_share": plain_share(sum(line.strip()[0] in "-•" for line in lines), len(lines)),
    }


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from([p for p in _PIECES if "lorem" not in p]), max_size=40).map("".join),
    st.integers(1, 3),
)
def test_measures_are_what_their_definitions_say(text: str, times: int) -> None:
    text *= times
    found, wanted = measure(text), plain_measures(text)
    # Marks of full width stick to the words around them; the plain reading divides at them.
    for name in wanted.keys() - (
        {"num_words", "newlines_per_word"} if re.search("[。，！]", text) else set[str]()
    ):
        assert found[name] == pytest.approx(wanted[name]), (name, text)


@settings(deadline=None)
@given(st.lists(texts, max_size=6))
def test_a_document_has_the_same_numbers_in_any_batch(documents: list[str]) -> None:
    together = scanned(*documents)
    measures = measure_batch(together)
    assert measures.values.shape == (len(documents), len(MEASURES))
    for i, text in enumerate(documents):
        alone = scanned(text)
        assert np.array_equal(alone.keys[0], together.keys[i])
        assert np.array_equal(measure_batch(alone).values[0], measures.values[i])
        assert np.array_equal(
            alone.tokens, together.tokens[together.token_offsets[i] : together.token_offsets[i + 1]]
        )


def test_a_batch_may_begin_anywhere_in_its_data() -> None:
    data, offsets = to_batch([PROSE, HAN_PROSE, PROSE])
    assert np.array_equal(
        measure_batch(scan(data, offsets[1:])).values, measure_batch(scanned(HAN_PROSE, PROSE)).values
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
        ("placeholder", "and so it went on, over the hills and far away until ...", 1),
        ("placeholder", "and so it went on, over the hills and far away until...", 0),
        ("placeholder", "and so it went on ...", 0),  # a sentence that trails off
        ("placeholder", "Find the next one of the numbers in this sequence: 4, 7, 10, ...", 0),
        ("placeholder", "and so ... it went on, over the hills and far away until ...", 0),
        ("placeholder", f"{'这就是为什么他们还在' * 5}坚持...", 1),
        ("placeholder", f"{'这就是为什么他们还在' * 5}坚持……", 1),
        ("placeholder", "编辑这句话使其更简洁：“这就是为什么我想坚持......”\n\n这就是为什么我坚持认为...", 0),
        ("placeholder", f"{'这就是为什么他们还在' * 5}坚持……这就是……", 0),
        ("placeholder", "她说她小时候读的书太少，现在 she wants to read more", 0),
        ("placeholder", "知道《未完成》这张专辑吗？", 0),
        ("placeholder", "众人都说（未完，点击展开）", 1),
        ("placeholder", "中" * 250 + "(more)", 0),
        ("placeholder", "Lorem ipsum dolor sit amet, consectetur", 20 / 34),
        ("placeholder", f"Lorem ipsum dolor sit amet {'x' * 378}", 20 / 400),
        ("misread_share", "ÊÇ£¬ÈË¡£ÄÜ´ò", 1),  # GBK as Latin-1
        ("misread_share", "Ïðèâåò, ìèð", 0.9),  # Windows-1251 as Latin-1
        ("misread_share", "Ïðè, and then much more of it", 0),  # too few
        ("misread_share", "naïve façade, Ångström, déjà vu", 0),
        ("misread_share", "9°C × 5 ÷ 3 ± £1 ¥2 · § ² ³ µ", 0),
        ("misread_share", "聚醚醚酮 (jú è èr jīn, zhǔnquè xìng)", 0),
        ("misread_share", "懷疑這把鑰匙可能可以打開房間門，試著用這把鑰匙和那把鑰匙", 0),
        ("misread_share", "静女其姝，俟我于城隅。", 0),
        ("misread_share", "锛銆鐨涓中国", 4 / 6),
        ("simplified_share", "国國中", 1 / 3),
        ("traditional_share", "国國中", 1 / 3),
    ],
)
def test_a_measure_has_its_value(name: str, text: str, value: float) -> None:
    assert measure(text)[name] == pytest.approx(value)


def test_every_measure_is_defined() -> None:
    assert all(DEFINITIONS.values())


def test_words_are_hashed_as_in_the_pass() -> None:
    assert [hash_word("cookies"), hash_word("the")] == scanned("Cookies the").tokens.tolist()
