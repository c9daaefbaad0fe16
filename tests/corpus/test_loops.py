"""Loops lose their copies and nothing else; what repeats for a reason stays."""

import functools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus import read_documents, read_records
from stemma.corpus.loops import find_loops, strip_loops

SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "par", "set", "tor", "vil", "wen")
HAN = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"


@functools.cache
def prose(seed: int, count: int, chinese: bool = False) -> str:
    """`count` sentences, one a line, no two alike."""
    draw = random.Random(seed)
    if chinese:
        return "\n".join("".join(draw.choices(HAN, k=30)) + "。" for _ in range(count))
    return "\n".join(
        " ".join("".join(draw.choices(SYLLABLES, k=3)) for _ in range(12)) + "." for _ in range(count)
    )


@given(
    st.integers(0, 999),
    st.booleans(),
    st.integers(3, 30),
    st.sampled_from(["", " ", "\n", "\n\n"]),
    st.booleans(),
)
def test_a_tail_that_says_one_sentence_again_and_again_says_it_once(
    seed: int, chinese: bool, times: int, between: str, twice_before: bool
) -> None:
    text, phrase = prose(seed, 8, chinese), prose(seed + 1000, 1, chinese)
    start = f"{text}\n{phrase}\n" if twice_before else f"{text}\n"
    assert strip_loops(start + between.join([phrase] * (times + 1))) == f"{text}\n{phrase}"


@given(
    st.integers(0, 999), st.booleans(), st.sampled_from(["", " ", "\n", "\n\n"]), st.sampled_from(["", "\n"])
)
def test_a_text_that_stands_twice_stands_once(seed: int, chinese: bool, between: str, end: str) -> None:
    for text in (prose(seed, 6, chinese), prose(seed, 6, chinese).replace("\n", " ")):
        assert strip_loops(f"{text}{between}{text}{end}") == text + end


@given(st.integers(0, 999), st.booleans(), st.integers(2, 4), st.sampled_from(["\n", "\n\n"]))
def test_a_block_of_lines_that_stands_more_than_once_stands_once(
    seed: int, chinese: bool, times: int, between: str
) -> None:
    before, block, after = (
        prose(seed, 6, chinese),
        prose(seed + 1000, 5, chinese),
        prose(seed + 2000, 6, chinese),
    )
    looped = between.join([before, *[block] * times, after])
    assert strip_loops(looped) == between.join([before, block, after])


def test_characters_that_share_bytes_around_a_cut_stay_whole() -> None:
    block = prose(1, 5, chinese=True)
    text = f"{prose(2, 3, True)}\n{block}\n{block}\n" + chr(ord(block[0]) + 1) + "，后来的话。"
    assert strip_loops(text) == text.replace(f"{block}\n{block}", block)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([" ", "\n", "\n\n"])), max_size=12))
def test_no_word_is_lost_and_no_new_one_made(pieces: list[tuple[int, str]]) -> None:
    text = "".join(prose(seed, 1 + 4 * (seed % 2), seed > 1) + end for seed, end in pieces)
    stripped = strip_loops(text)
    assert set(stripped.split()) == set(text.split())
    assert len(stripped) <= len(text)


@given(st.lists(st.integers(0, 5), max_size=6))
def test_a_batch_has_the_loops_of_its_texts(kinds: list[int]) -> None:
    text, block = prose(1, 6), prose(2, 5, True)
    kind_of = [
        text,
        f"{text}\n{text}",
        f"{text} " + "and so it goes on and on " * 12,
        "",
        f"{text}\n{block}\n{block}",
        block,
    ]
    parts = [kind_of[kind].encode() for kind in kinds]
    offsets = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    single = [
        (i, first + int(offsets[i]), last + int(offsets[i]))
        for i, part in enumerate(parts)
        for _, first, last in find_loops(np.frombuffer(part, np.uint8), np.array([0, len(part)]))
    ]
    assert find_loops(np.frombuffer(b"".join(parts), np.uint8), offsets) == single
    assert len(single) == sum(kind in (1, 2, 4) for kind in kinds)


TABLE = "| 0.00 | 0.00 | 0.00 | 0.00 |\n"
SECTION = (
    "### index_{}join_cost\n\nThis setting is for use inside the planner and should not be changed by hand. It may be read "
    "by any session, and it may be set for one query by a hint. Its kind is a number and its least value is nothing at "
    "all, while the most is as much as a number holds; when it is not set it is one, as it was in all earlier "
    "editions.\n\n"
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        prose(1, 20),
        prose(1, 6) + "\nLet it be, let it be, let it be.",
        prose(1, 6) + "\n" + "Row, row, row your boat,\n" * 3,
        prose(1, 4)
        + "\n"
        + prose(2, 1)
        + "\n"
        + prose(3, 4)
        + "\n"
        + prose(2, 1)
        + "\n"
        + prose(4, 4)
        + "\n"
        + prose(2, 1),
        prose(1, 8) + "\n" + TABLE * 40,
        prose(1, 8) + "\n" + "=" * 400,
        prose(1, 8) + "\n" + "- [ ] 0\n" * 60,
        "int table[] = {\n" + "    0, 0, 0, 0, 0, 0, 0, 0,\n" * 60 + "};\n",
        prose(1, 8) + "\n" + "".join(SECTION.format(name) for name in ("", "hash_", "loop_")),
        (prose(2, 1) + "\n") * 50,
        "\n".join(random.Random(5).choices([prose(i, 1) for i in range(4)], k=60)) + ("\n" + prose(2, 1)) * 4,
    ],
)
def test_refrains_tables_code_and_texts_that_are_nothing_but_a_loop_are_left_alone(text: str) -> None:
    assert strip_loops(text) is text


def test_long_texts_made_to_keep_the_search_busy_are_finished() -> None:
    for piece in ("a", "ab", "a\n", "a" * 30 + "\n", "the same line of words again\n", "a" * 2000 + "b\n"):
        assert strip_loops(piece * (600_000 // len(piece)))


def test_labelled_loops_go_and_texts_that_should_be_dropped_or_kept_are_not_touched(shared: Path) -> None:
    folder = shared / "corpora" / "dirty"
    texts = {document.id: document.text for document in read_documents(folder / "docs.jsonl.zst")}
    touched = [0, 0]
    for _, label in read_records(folder / "labels.jsonl.zst"):
        text = texts[label["id"]]
        stripped = strip_loops(text)
        if label["action"] != "strip" or label["kind"] != "repetition":
            assert stripped is text, label["id"]
        elif label["variant"] == "paragraph_twice":
            assert text == f"{stripped}\n\n{stripped}"
            touched[0] += 1
        else:
            assert text.startswith(stripped)
            assert stripped.count(text[-16:]) == 1
            touched[1] += 1
    assert touched == [20, 20]


@pytest.mark.parametrize("name", ["zh_poetry", "en_gutenberg", "code", "zh_pingcap_docs"])
def test_no_loop_is_found_in_books_verse_code_and_manuals(shared: Path, name: str) -> None:
    parts = [d.text.encode() for d in read_documents(shared / "corpora" / "pretrain" / f"{name}.jsonl.zst")]
    offsets = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    assert find_loops(np.frombuffer(b"".join(parts), np.uint8), offsets) == []
