"""Toxic words: found as whole tokens, never inside others, counted and shown; nothing goes without a limit."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus import read_documents, read_records
from stemma.corpus.document import Document
from stemma.corpus.quality import LinearQuality, QualitySettings
from stemma.corpus.scan import scan_texts, tokens_of
from stemma.corpus.toxicity import (
    BUILT_IN,
    Phrase,
    TextScorer,
    ToxicityAudit,
    ToxicModel,
    WordLists,
    load_scorer,
    per_thousand,
    read_list,
    score_texts,
)
from stemma.errors import StemmaError

LETTERS = "abcd"


def batch(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    scanned = scan_texts(texts)
    return scanned.tokens, scanned.token_offsets


@pytest.fixture(scope="module")
def built_in() -> WordLists:
    return WordLists.read()


def names(lists: WordLists, text: str) -> list[str]:
    """The toxic names found in one text."""
    found = [lists.phrases[index] for index in lists.find(*batch([text])).phrases]
    return [phrase.name for phrase in found if phrase.category in lists.categories]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You FUCKING asshole!", ["fuck", "asshole"]),
        ("son of a bitch", ["son of a bitch"]),
        ("what a b i t c h", []),
        ("that f*ck, and ｆｕｃｋ in full width", ["fuck", "fuck"]),
        ("他骂道：傻逼！", ["傻逼"]),
        ("澳门真人荷官,六合彩", ["真人荷官", "六合彩"]),
        ("醜八怪", ["丑八怪"]),
        ("", []),
    ],
)
def test_words_are_found_in_any_case_and_width(built_in: WordLists, text: str, expected: list[str]) -> None:
    assert names(built_in, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe, Penistone, Essex, Cockburn, assassin, classic, Dickens, Shitake, analysis, cocktail",
        "在路口交汇处，进出口交易额增长，人口交流频繁，接口交互",
        "社群交流、人群交错、干群交心",
        "男性交友平台，女性交流心得，异性交往，性交易治理",
        "做爱国者，做爱心公益，叫做爱情",
        "项羽杀子婴，坑杀降卒二十余万，斩首数万级，诛其三族",
        "黄河下流，大麻烦，水乳交融，田鸡巴不得下雨",
        "他妈的病好了，他的母亲是妓院旧址的管理员",
        "本院认为被告人犯强奸罪、故意杀人罪，判处有期徒刑十年",
        "阴道炎、乳腺癌、肛门指检、性传播疾病的诊断与治疗",
        "the defendant was convicted of murder and rape; breast cancer; sexual health; killed in action",
        "pussy willow and great tits",
    ],
)
def test_words_inside_words_medicine_law_and_history_are_no_hits(built_in: WordLists, text: str) -> None:
    assert names(built_in, text) == []


def test_an_allowed_phrase_hides_only_the_hit_that_it_covers(built_in: WordLists) -> None:
    assert names(built_in, "入口交通与口交") == ["口交"]
    lists = WordLists(
        [Phrase("b c", "b c", "insult"), Phrase("a b", "a b", "allowed"), Phrase("c d", "c d", "allowed")]
    )
    assert names(lists, "a b c d") == ["b c"]
    lists = WordLists([*lists.phrases, Phrase("a b c", "a b c", "allowed")])
    assert names(lists, "a b c d") == []
    assert names(lists, "b c a b c b c") == ["b c", "b c"]


def naive(phrases: dict[str, str], tokens: str) -> list[tuple[int, str]]:
    """What `find` must give, on letters as tokens: longest first, then on behind it, unless an allowed one covers it."""
    allowed = [
        (i, i + len(p))
        for p, category in phrases.items()
        if category == "allowed"
        for i in range(len(tokens))
        if tokens.startswith(p, i)
    ]
    found, busy = [], 0
    for i in range(len(tokens)):
        fits = [p for p, c in phrases.items() if c != "allowed" and tokens.startswith(p, i)]
        if not fits or i < busy:
            continue
        longest = max(fits, key=len)
        if not any(a <= i and i + len(longest) <= b for a, b in allowed):
            found.append((i, longest))
            busy = i + len(longest)
    return found


@given(
    phrases=st.dictionaries(
        st.text(LETTERS, min_size=1, max_size=4), st.sampled_from(["x", "y", "allowed"]), max_size=8
    ),
    texts=st.lists(st.text(LETTERS, max_size=30), max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_the_compiled_search_is_the_plain_one_and_stays_inside_documents(phrases, texts) -> None:
    lists = WordLists([Phrase(" ".join(p), p, category) for p, category in phrases.items()])
    tokens, offsets = batch([" ".join(text) for text in texts])
    hits = lists.find(tokens, offsets)
    expected = [(d, int(offsets[d]) + i, p) for d, text in enumerate(texts) for i, p in naive(phrases, text)]
    assert [
        (d, i, lists.phrases[p].name) for d, i, p in zip(*(c.tolist() for c in hits), strict=True)
    ] == expected
    counts = lists.counts(hits, len(texts))
    assert counts.shape == (len(texts), len(lists.categories))
    for d in range(len(texts)):
        for column, category in enumerate(lists.categories):
            assert counts[d, column] == sum(e[0] == d and phrases[e[2]] == category for e in expected)


def test_many_hits_are_all_found(built_in: WordLists) -> None:
    hits = built_in.find(*batch(["bitch " * 5000, "fine words", "bitch"]))
    assert built_in.counts(hits, 3).sum(1).tolist() == [5000, 0, 1]


def test_hits_are_given_for_a_thousand_tokens(built_in: WordLists) -> None:
    tokens, offsets = batch(["fine " * 499 + "bitch", ""])
    rates = per_thousand(built_in.counts(built_in.find(tokens, offsets), 2), offsets)
    assert rates[:, built_in.categories.index("insult")].tolist() == [2, 0]


def test_lists_of_the_user_are_read_and_bad_lines_named(tmp_path: Path) -> None:
    path = tmp_path / "spam.txt"
    path.write_bytes("\ufeff# comment\nbuy now\n\n加微信\t微信\r\n".encode())
    assert read_list(path) == [Phrase("buy now", "buy now", "spam"), Phrase("加微信", "微信", "spam")]
    lists = WordLists.read([*BUILT_IN, path])
    assert "spam" in lists.categories
    assert names(lists, "Buy now! 请加微信") == ["buy now", "微信"]
    for content, message in {
        b"ok\n\xff\xfe\n": "line 2: is not UTF-8",
        b"ok\n\n!!!\n": "line 3: '!!!' has 0 words",
        b"a\tb\tc\n": "line 1: give a phrase",
        b"a\t\n": "line 1: give a phrase",
        b"w " * 33: "line 1: .* has 33 words",
    }.items():
        path.write_bytes(content)
        with pytest.raises(StemmaError, match=message):
            WordLists.read([path])
    path.write_text("# nothing\n")
    with pytest.raises(StemmaError, match="no phrase in"):
        WordLists.read([path])
    with pytest.raises(StemmaError, match="cannot be read"):
        WordLists.read([tmp_path / "absent.txt"])


def test_the_lists_that_ship_have_no_line_twice_and_nothing_toxic_that_is_always_allowed(
    built_in: WordLists,
) -> None:
    assert built_in.categories == ("gambling_fraud", "hate", "insult", "sexual", "violence")
    seen = [(tokens_of(p.text).tobytes(), p.category) for p in built_in.phrases if p.category != "negative"]
    assert len(set(seen)) == len(seen)
    for phrase in built_in.phrases:
        if phrase.category in built_in.categories:
            assert names(built_in, phrase.text) == [phrase.name], phrase


def test_an_audit_comes_back_from_what_json_has_of_it(built_in: WordLists) -> None:
    tokens, offsets = batch(["you bitch, bitch", "women are stupid", "fine"])
    audit = ToxicityAudit()
    audit.add(built_in, built_in.find(tokens, offsets), ["en"] * 3, ["a", "b", "a"])
    again = ToxicityAudit.parse(json.loads(json.dumps(audit.plain())))
    assert again == audit
    assert audit.rows()
    assert audit.bias_rows()
    again.merge(audit)
    assert [row.hits for row in again.rows()] == [2 * row.hits for row in audit.rows()]


TEXTS = ["bitch and bitches", "傻逼", "fine", "You bitch. " * 3, "傻逼 asshole"]
LANGUAGES, SOURCES = ["en", "zh", "en", "en", "zh"], ["a", "b", "a", "c", "b"]


def test_the_audit_counts_phrases_by_language_and_source(built_in: WordLists) -> None:
    audit = ToxicityAudit()
    audit.add(built_in, built_in.find(*batch(TEXTS)), LANGUAGES, SOURCES)
    rows = {row.phrase: row for row in audit.rows()}
    assert list(rows) == ["bitch", "傻逼", "asshole"]
    assert (rows["bitch"].category, rows["bitch"].hits, rows["bitch"].documents) == ("insult", 5, 2)
    assert rows["bitch"].share == 0.4
    assert rows["bitch"].by_language == {"en": 2 / 3}
    assert rows["bitch"].by_source == {"a": 0.5, "c": 1.0}
    assert rows["傻逼"].by_source == {"b": 1.0}


def test_the_audit_depends_on_neither_batches_nor_workers(built_in: WordLists) -> None:
    whole = ToxicityAudit()
    whole.add(built_in, built_in.find(*batch(TEXTS)), LANGUAGES, SOURCES)
    parts = []
    for cut in (slice(3, 5), slice(0, 3)):
        parts.append(ToxicityAudit())
        parts[-1].add(built_in, built_in.find(*batch(TEXTS[cut])), LANGUAGES[cut], SOURCES[cut])
    parts[0].merge(parts[1])
    assert parts[0] == whole
    assert parts[0].rows() == whole.rows()


def test_the_bias_table_counts_mentions_near_blame(built_in: WordLists) -> None:
    far = "word " * 20
    texts = [
        "Women are stupid.",
        f"Women {far} stupid",
        "women",
        "stupid",
        "lazy " + "word " * 9 + "women",
        "穆斯林都很懒惰",
    ]
    audit = ToxicityAudit()
    audit.add(built_in, built_in.find(*batch(texts)), ["en"] * 6, ["a"] * 6)
    women, muslims = audit.bias_rows()
    assert (women.group, women.mentions, women.near_blame, women.share) == ("women", 4, 2, 0.5)
    assert 0.1 < women.low < 0.5 < women.high < 0.9
    assert (muslims.group, muslims.mentions, muslims.near_blame) == ("穆斯林", 1, 1)
    assert audit.rows() == []


def test_a_scorer_is_loaded_by_name_and_its_answer_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_scorers.py").write_text(
        "import numpy\n"
        "def length(texts): return [len(t) for t in texts]\n"
        "def short(texts): return [0.0]\n"
        "def nan(texts): return [float('nan')] * len(texts)\n"
        "def words(texts): return ['a'] * len(texts)\n"
        "class Model:\n"
        "    def score(self, texts): return numpy.ones(len(texts))\n"
        "model = Model()\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_scorers", raising=False)
    assert score_texts(load_scorer("my_scorers:length"), ["a", "bcd"]).tolist() == [1, 3]
    assert score_texts(load_scorer("my_scorers:model"), ["a", "bcd"]).tolist() == [1, 1]
    assert isinstance(load_scorer("my_scorers:length"), TextScorer)
    for name, message in {"short": "for 2 texts", "nan": "finite", "words": "gave no numbers"}.items():
        with pytest.raises(StemmaError, match=message):
            score_texts(load_scorer(f"my_scorers:{name}"), ["a", "b"])
    for name in (
        "my_scorers",
        "my_scorers:absent",
        "my_scorers:number",
        "my_scorers:Model",
        "no_such_module:f",
        ":f",
    ):
        with pytest.raises(StemmaError, match="scorer"):
            load_scorer(name)


def test_a_linear_model_trained_on_examples_is_a_scorer() -> None:
    draw = np.random.default_rng(0)
    clean = [
        Document(str(i), " ".join(draw.choice(["fine", "day", "sun", "tea"], 12)), "a") for i in range(300)
    ]
    toxic = [
        Document(str(i), " ".join(draw.choice(["vile", "day", "sun", "scum"], 12)), "a") for i in range(300)
    ]
    scorer = ToxicModel(LinearQuality.train(clean, toxic, QualitySettings(bucket_bits=14)))
    low, high = score_texts(scorer, ["a fine day with tea", "vile scum"])
    assert low < 0.2
    assert high > 0.8
    assert score_texts(scorer, []).shape == (0,)


def hit_share(lists: WordLists, texts: Sequence[str]) -> float:
    """Documents with a toxic hit."""
    assert len(texts) > 200
    return float((lists.counts(lists.find(*batch(texts)), len(texts)).sum(1) > 0).mean())


def test_clean_corpora_are_hardly_hit_and_offensive_text_is(built_in: WordLists, shared: Path) -> None:
    corpora = shared / "corpora"
    most = {
        "en_peps": 0.005,
        "en_gutenberg": 0.03,
        "zh_oiwiki": 0.005,
        "zh_pingcap_docs": 0.001,
        "zh_history_modern": 0.04,
    }
    for name, limit in most.items():
        texts = [d.text for d in read_documents(corpora / "pretrain" / f"{name}.jsonl.zst")]
        assert hit_share(built_in, texts) <= limit, name
    offensive = [
        "\n".join([*(m["content"] for m in row["prompt"]), row["rejected"]])
        for _, row in read_records(corpora / "preference" / "en_hh_harmless_test.jsonl.zst")
    ]
    assert hit_share(built_in, offensive) > 0.07
