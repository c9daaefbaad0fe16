"""Repeated passages, paragraphs and lines: all of them are found, nothing else is, and what stays reads on."""

from collections import defaultdict
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stemma.corpus import read_records
from stemma.corpus.cuts import REACH, Cuts, apply_cuts, cut_shares, cut_tokens, settle_cuts
from stemma.corpus.lines import find_repeated, find_segments
from stemma.corpus.passages import (
    GRAM,
    Links,
    Passages,
    find_anchors,
    link_anchors,
    locate,
    match_links,
    sort_links,
)
from stemma.corpus.scan import scan_texts, tokens_of

Array = npt.NDArray[Any]
LEAST = 12
Documents = list[list[int]]

# Few distinct tokens and a few pieces used again and again: many equal hashes, long and short repetitions, loops.
_pieces = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=20), min_size=1, max_size=4)
corpora = _pieces.flatmap(
    lambda pieces: st.lists(
        st.lists(st.sampled_from(pieces), max_size=5).map(lambda chosen: list(chain.from_iterable(chosen))),
        min_size=1,
        max_size=5,
    )
)


def rows_of(documents: Documents) -> tuple[Array, Array]:
    offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])]).astype(np.int64)
    tokens = np.array(list(chain.from_iterable(documents)), np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return tokens, offsets


def find(documents: Documents, max_links: int = 1000, least: int = LEAST) -> Passages:
    tokens, offsets = rows_of(documents)
    anchors = find_anchors(tokens, offsets, least)
    links = link_anchors(anchors.hashes, *locate(anchors.places, offsets), max_links)
    numbers = np.arange(len(documents))
    return match_links(links, tokens, offsets, numbers, tokens, offsets, numbers, least)


def covered(passages: Passages) -> set[tuple[int, int]]:
    return {
        (document, position)
        for document, start, end in zip(*(column.tolist() for column in passages[:3]), strict=True)
        for position in range(start, end)
    }


def repeated(documents: Documents, least: int = LEAST) -> set[tuple[int, int]]:
    """The tokens in a window of `least` that stands earlier, found by trying."""
    places: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
    found: set[tuple[int, int]] = set()
    for number, document in enumerate(documents):
        for start in range(len(document) - least + 1):
            window = tuple(document[start : start + least])
            if any(other < number or begin + least <= start for other, begin in places[window]):
                found.update((number, position) for position in range(start, start + least))
            places[window].append((number, start))
    return found


@given(
    st.lists(st.integers(1, 4), min_size=LEAST, max_size=LEAST),
    st.lists(st.tuples(*[st.lists(st.integers(1, 4), max_size=40)] * 2), min_size=2, max_size=2),
)
def test_two_copies_of_a_passage_share_an_anchor(
    passage: list[int], around: list[tuple[list[int], list[int]]]
) -> None:
    chosen: list[set[tuple[int, int]]] = []
    for before, after in around:
        tokens, offsets = rows_of([before + passage + after])
        anchors = find_anchors(tokens, offsets, LEAST)
        inside = (anchors.places >= len(before)) & (anchors.places + GRAM <= len(before) + LEAST)
        runs = anchors.hashes[inside] >> np.uint64(16)
        chosen.append(set(zip(runs.tolist(), (anchors.places[inside] - len(before)).tolist(), strict=True)))
    assert chosen[0] & chosen[1]


@settings(max_examples=200)
@given(corpora)
@example([[1, 2, 1, 3, 3] * 3, [1, 2, 1, 3, 3] * 5])  # the last passage ends with the document
def test_every_repeated_passage_is_found_and_nothing_else(documents: Documents) -> None:
    assert covered(find(documents)) == repeated(documents)


def test_the_law_holds_at_the_default_length_in_long_documents() -> None:
    generator = np.random.default_rng(0)
    words = generator.integers(1, 5000, size=(40, 400)).tolist()
    for number in range(1, 40):  # a passage of 30 to 90 tokens of an earlier document, somewhere inside
        source, length = words[generator.integers(number)], int(generator.integers(30, 90))
        start, place = int(generator.integers(300)), int(generator.integers(300))
        words[number][place:place] = source[start : start + length]
    found = covered(find(words, least=50))
    assert found == repeated(words, 50)
    assert len(found) > 1000


def test_few_links_for_an_anchor_lose_nothing_where_texts_repeat_one_another() -> None:
    generator = np.random.default_rng(1)
    passage = generator.integers(1, 5000, size=60).tolist()
    words = [generator.integers(1, 5000, size=100).tolist() + passage for _ in range(50)]
    assert covered(find(words, max_links=2, least=50)) == repeated(words, 50)


def test_a_loop_of_one_token_costs_no_more_than_its_length_and_stays_once() -> None:
    passages = find([[7] * 20_000], max_links=3)
    assert (passages.starts.tolist(), passages.ends.tolist()) == ([LEAST], [20_000])


def test_a_common_phrase_links_no_documents() -> None:
    generator = np.random.default_rng(9)
    phrase = generator.integers(1, 5000, size=GRAM + 12).tolist()
    halves = generator.integers(1, 5000, size=(60, 2, 100)).tolist()
    tokens, offsets = rows_of([left + phrase + right for left, right in halves])
    anchors = find_anchors(tokens, offsets)
    assert len(np.unique(anchors.hashes >> np.uint64(16))) < len(anchors.hashes) - 60  # most have its run
    assert len(link_anchors(anchors.hashes, *locate(anchors.places, offsets)).documents) <= 20


@given(corpora, st.randoms())
def test_borders_of_parts_and_slices_change_nothing(documents: Documents, random: Any) -> None:
    expected = find(documents, max_links=3)
    borders = sorted(random.sample(range(1, len(documents)), random.randrange(len(documents))))
    parts = list(zip([0, *borders], [*borders, len(documents)], strict=True))
    rows: list[tuple[Array, Array, Array]] = []
    for first, last in parts:
        tokens, offsets = rows_of(documents[first:last])
        anchors = find_anchors(tokens, offsets, LEAST)
        rows.append((anchors.hashes, *locate(anchors.places, offsets, first)))
    random.shuffle(rows)
    hashes, numbers, positions = (np.concatenate(column) for column in zip(*rows, strict=True))
    slices: list[Links] = []
    for which in range(3):
        mine = (hashes >> np.uint64(40)) % np.uint64(3) == which
        slices.append(link_anchors(hashes[mine], numbers[mine], positions[mine]))
    links = sort_links(Links(*(np.concatenate(column) for column in zip(*slices, strict=True))))
    found: list[Passages] = []
    for first, last in parts:
        own = links.between(first, last)
        tokens, offsets = rows_of(documents[first:last])
        sources = np.unique(own.sources)
        source_tokens, source_offsets = rows_of([documents[source] for source in sources])
        found.append(
            match_links(
                own, tokens, offsets, np.arange(first, last), source_tokens, source_offsets, sources, LEAST
            )
        )
    for column, parts_of_it in zip(expected, zip(*found, strict=True), strict=True):
        assert np.array_equal(column, np.concatenate(parts_of_it))


def bytes_of(texts: list[str]) -> tuple[Array, Array]:
    encoded = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in encoded])]).astype(np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def texts_of(data: Array, offsets: Array) -> list[str]:
    return [data[a:b].tobytes().decode() for a, b in pairwise(offsets)]


def cut_one(text: str, start: int, end: int) -> str:
    data, offsets = bytes_of([text])
    cuts = cut_tokens(data, offsets, *(np.array([value]) for value in (0, start, end)))
    return texts_of(*apply_cuts(data, offsets, settle_cuts(data, offsets, cuts)))[0]


def place(text: str, passage: str) -> tuple[int, int]:
    """The tokens of a passage of the text."""
    before = text.index(passage)
    return len(tokens_of(text[:before])), len(tokens_of(text[: before + len(passage)]))


@settings(max_examples=200)
@given(st.text('ab1中文か。.!?\n ,“”"(-é𠀀\u0301', max_size=60), st.data())
def test_a_cut_takes_whole_tokens_near_those_named_and_joins_no_words(text: str, data: Any) -> None:
    tokens = tokens_of(text).tolist()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(tokens))] * 2)))
    if start == end:
        return
    left = tokens_of(cut_one(text, start, end)).tolist()
    most = (end - start) // 3
    possible = [
        tokens[:first] + tokens[last:]
        for first in range(max(0, start - REACH), start + most + 2)
        for last in range(end - most, min(len(tokens), end + REACH) + 1)
    ]
    assert left in possible


@pytest.mark.parametrize(
    ("text", "passage", "left"),
    [
        (  # begins and ends with sentences: taken as it is
            "He left. All of it was quiet then. She stayed.",
            "All of it was quiet then",
            "He left. She stayed.",
        ),
        (  # the sentence that was begun stays whole
            "One day he left and never came back. Nobody in the village knew the reason. She stayed.",
            "came back. Nobody in the village knew the reason",
            "One day he left and never came back. She stayed.",
        ),
        (  # a few words before the passage make a sentence with it
            "He left. But all of it was quiet then, and dark. She stayed.",
            "all of it was quiet then, and dark",
            "He left. She stayed.",
        ),
        (  # lines where there are no sentences
            "one two three four five six\nseven eight nine ten\neleven twelve thirteen fourteen fifteen",
            "six\nseven eight nine ten\neleven",
            "one two three four five six\neleven twelve thirteen fourteen fifteen",
        ),
        (  # no border at all
            "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 w17",
            "w7 w8 w9 w10",
            "w1 w2 w3 w4 w5 w6 w11 w12 w13 w14 w15 w16 w17",
        ),
        (  # to the end of the text, and the white space before
            "He left.\n\nAll of it was quiet then.\n",
            "All of it was quiet then",
            "He left.",
        ),
        ("他走了。那时一切都很安静。她留下了。", "那时一切都很安静", "他走了。她留下了。"),
        ("他说：“走吧。”那时一切都很安静。“好。”", "那时一切都很安静", "他说：“走吧。”“好。”"),
        ("pi is 3.14 and so on. It is not 22/7.", "It is not 22/7", "pi is 3.14 and so on."),
        ("The line\nHe left. It was dark.\nThe end", "It was dark", "The line\nHe left. \nThe end"),
        ("w1 w2 w3 w4 abc中def w7 w8 w9 w10", "中", "w1 w2 w3 w4 abc中def w7 w8 w9 w10"),
        ("w1 w2 w3 w4 abc中文def w7 w8 w9 w10", "中文", "w1 w2 w3 w4 abc中def w7 w8 w9 w10"),
    ],
)
def test_cuts_leave_whole_sentences_and_lines(text: str, passage: str, left: str) -> None:
    assert cut_one(text, *place(text, passage)) == left


def test_cuts_are_joined_applied_and_weighed() -> None:
    data, offsets = bytes_of(["abcdefgh", "", "ijkl mn"])
    one = Cuts(*(np.array(column) for column in ([0, 2], [1, 4], [3, 7])))
    two = Cuts(*(np.array(column) for column in ([0, 0], [2, 6], [5, 6])))
    cuts = settle_cuts(data, offsets, one, two)
    assert [column.tolist() for column in cuts] == [[0, 2], [1, 4], [5, 7]]
    assert cut_shares(offsets, cuts).tolist() == [0.5, 0.0, 3 / 7]
    assert texts_of(*apply_cuts(data, offsets, cuts)) == ["afgh", "", "ijkl"]


def segments_of(texts: list[str], unit: Any, least: int = 1) -> tuple[Any, list[str]]:
    data, offsets = bytes_of(texts)
    found = find_segments(data, offsets, unit, least)
    rows = zip(found.rows, found.starts, found.ends, strict=True)
    return found, [data[offsets[row] + a : offsets[row] + b].tobytes().decode() for row, a, b in rows]


@given(st.lists(st.text("aB Ａb1中。,\n\t", max_size=40), min_size=1, max_size=4), st.integers(1, 3))
def test_lines_are_those_of_the_text_and_equal_when_folded_equal(texts: list[str], least: int) -> None:
    found, pieces = segments_of(texts, "line", least)
    expected = [line for text in texts for line in text.split("\n") if len(tokens_of(line)) >= least]
    assert [piece.strip() for piece in pieces] == [line.strip() for line in expected]
    by_hash: dict[int, set[bytes]] = defaultdict(set)
    for value, line in zip(found.hashes.tolist(), expected, strict=True):
        by_hash[value].add(scan_texts([line]).keys.tobytes())
    assert len({next(iter(texts)) for texts in by_hash.values()}) == len(by_hash)
    assert all(len(texts) == 1 for texts in by_hash.values())


def test_paragraphs_stand_between_blank_lines_and_are_lines_where_there_are_none() -> None:
    texts = ["one two\nthree\n \n\n  Four five\n\nsix", "ONE  two\nthree\nfour five\n"]
    found, pieces = segments_of(texts, "paragraph")
    assert pieces == [
        "one two\nthree\n \n\n",
        "  Four five\n\n",
        "six",
        "ONE  two\n",
        "three\n",
        "four five\n",
    ]
    assert found.hashes[1] == found.hashes[5]
    assert len(set(found.hashes.tolist())) == 5
    assert segments_of(texts, "paragraph", 3)[1] == ["one two\nthree\n \n\n"]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=30).map(lambda rows: sorted(rows)),
    st.integers(1, 3),
)
def test_all_but_the_first_go_of_what_stands_in_enough_documents(
    rows: list[tuple[int, int]], least: int
) -> None:
    documents, hashes = (
        np.array(column, np.int64) for column in (zip(*rows, strict=True) if rows else ([], []))
    )
    gone = find_repeated(hashes.astype(np.uint64), documents, least)
    in_documents = {value: {d for d, h in rows if h == value} for _, value in rows}
    seen: set[int] = set()
    for (_, value), goes in zip(rows, gone.tolist(), strict=True):
        assert goes == (value in seen and len(in_documents[value]) >= least)
        seen.add(value)


def test_passages_of_other_documents_are_cut_and_nothing_else(shared: Path) -> None:
    folder = shared / "corpora" / "dirty"
    labels = [label for _, label in read_records(folder / "labels.jsonl.zst")]
    read = [record["text"] for _, record in read_records(folder / "docs.jsonl.zst")]
    kinds = ("clean", "shared_passage")
    chosen = [(label, text) for label, text in zip(labels, read, strict=True) if label["kind"] in kinds]
    chosen.sort(key=lambda pair: pair[0]["kind"])  # the originals come first
    scanned, numbers = scan_texts([text for _, text in chosen]), np.arange(len(chosen))
    tokens, token_offsets = scanned.tokens, scanned.token_offsets
    anchors = find_anchors(tokens, token_offsets)
    links = link_anchors(anchors.hashes, *locate(anchors.places, token_offsets))
    passages = match_links(links, tokens, token_offsets, numbers, tokens, token_offsets, numbers)
    data, offsets = bytes_of([text for _, text in chosen])
    cuts = settle_cuts(data, offsets, cut_tokens(data, offsets, *passages[:3]))
    stripped = 0
    for (label, text), left in zip(chosen, texts_of(*apply_cuts(data, offsets, cuts)), strict=True):
        if label["kind"] == "clean":
            assert left == text
            continue
        (span,) = label["spans"]
        long_enough = len(tokens_of(text[span["start"] : span["end"]])) >= 50
        assert text.startswith(left)
        expected = text[: span["start"]] if long_enough else text
        assert np.array_equal(tokens_of(left), tokens_of(expected))
        stripped += long_enough
    assert stripped == 109
