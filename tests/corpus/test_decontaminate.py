"""Decontamination: leaked items are found wherever they stand, whole, edited or in part; other text is left alone."""

import csv
import gzip
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.corpus import read_documents, read_records
from stemma.corpus.benchmark_texts import Item, load_items
from stemma.corpus.clean import clean
from stemma.corpus.decontaminate import MAX_SHARING, Decontaminator, Leak
from stemma.corpus.scan import tokens_of
from stemma.errors import StemmaError

QUESTION = (
    "Natalia sold clips to forty of her friends in April and half as many clips in May. "
    "How many clips did Natalia sell altogether in both months, and what did they bring her?"
)
HAN_QUESTION = (
    "珍妮特的鸭子每天下十六颗蛋，她早餐吃三颗，又用四颗为朋友做松饼，剩下的拿去市场卖，她每天赚多少钱？"
)


def item(text: str, name: str = "one") -> Item:
    return Item("set.jsonl", name, "question", tokens_of(text))


def check(items: list[Item], text: str) -> list[Leak]:
    return Decontaminator(items).check(tokens_of(text))


def words(generator: np.random.Generator, count: int, prefix: str = "w") -> list[str]:
    return [f"{prefix}{value}" for value in generator.zipf(1.3, size=count) % 5000]


def characters(generator: np.random.Generator, count: int) -> list[str]:
    return [chr(0x4E00 + value) for value in generator.zipf(1.3, size=count) % 3000]


WRITERS = {"words": (words, " "), "Han": (characters, "")}


def edited(tokens: list[str], generator: np.random.Generator, rate: float) -> list[str]:
    """Each token is changed, removed or followed by another one at `rate`."""
    result: list[str] = []
    for token in tokens:
        action = generator.integers(3) if generator.random() < rate else None
        result += {None: [token], 0: ["另"], 1: [], 2: [token, "另"]}[action]
    return result


@pytest.mark.parametrize("question", [QUESTION, HAN_QUESTION])
def test_case_width_space_and_punctuation_do_not_hide_an_item(question: str) -> None:
    changed = question.upper().replace(" ", "  \n").replace("，", ", ").replace(".", "!")
    (leak,) = check([item(question)], f"Something before. {changed} And something after.")
    assert leak == Leak("set.jsonl", "one", "question", 1.0, "verbatim")


@pytest.mark.parametrize("kind", WRITERS)
@given(seed=st.integers(0, 1 << 32), length=st.integers(13, 700), before=st.integers(0, 300))
def test_an_item_standing_in_a_document_is_found(kind: str, seed: int, length: int, before: int) -> None:
    generator = np.random.default_rng(seed)
    write, space = WRITERS[kind]
    own, around = write(generator, length), write(generator, 300)
    (leak,) = check([item(space.join(own))], space.join(around[:before] + own + around[before:]))
    assert (leak.kind, leak.coverage) == ("verbatim", pytest.approx(1.0))


@given(seed=st.integers(0, 1 << 32), place=st.integers(0, 40))
def test_an_item_of_nothing_but_shared_runs_is_found_whole(seed: int, place: int) -> None:
    generator = np.random.default_rng(seed)
    pool = [" ".join(words(generator, 6)) for _ in range(2)]
    texts = [" ".join(pool[number >> bit & 1] for bit in range(5)) for number in range(32)]
    chosen, around = texts[int(generator.integers(32))], words(generator, 40, "a")
    items = [item(text, text) for text in dict.fromkeys(texts)]
    found = check(items, " ".join([*around[:place], chosen, *around[place:]]))
    assert chosen in {leak.item_id for leak in found if leak.kind == "verbatim"}


@pytest.mark.parametrize("length", [20, 45, 400])
@pytest.mark.parametrize("kind", WRITERS)
def test_lightly_edited_items_are_found(kind: str, length: int) -> None:
    found, trials = 0, 150
    write, space = WRITERS[kind]
    for seed in range(trials):
        generator = np.random.default_rng(seed)
        own, around = write(generator, length), write(generator, 200)
        text = space.join(around[:100] + edited(own, generator, 0.08) + around[100:])
        found += bool(check([item(space.join(own))], text))
    assert found / trials >= 0.9


def test_half_of_an_item_is_a_partial_leak() -> None:
    own = words(np.random.default_rng(0), 80)
    (leak,) = check([item(" ".join(own))], " ".join(own[40:]) + " and then something else entirely")
    assert leak.kind == "partial"
    assert 0.4 < leak.coverage < 0.6
    assert not check([item(" ".join(own))], " ".join(own[40:50]))


@pytest.mark.parametrize("kind", WRITERS)
@given(seed=st.integers(0, 1 << 32))
def test_unrelated_text_is_left_alone(kind: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    write, space = WRITERS[kind]
    items = [item(space.join(write(generator, 40)), str(n)) for n in range(20)]
    assert not check(items, space.join(write(generator, 2000)))


def test_runs_that_many_items_share_are_no_evidence() -> None:
    generator = np.random.default_rng(1)
    instruction = (
        "Read the passage below with care and choose the one answer that follows from it and nothing else"
    )

    def items(count: int) -> list[Item]:
        return [item(f"{instruction} {' '.join(words(generator, 9, 'x'))}", str(n)) for n in range(count)]

    assert not check(items(MAX_SHARING + 1), f"{instruction} as the teacher says")
    assert check(items(MAX_SHARING), f"{instruction} as the teacher says")


def test_the_same_items_and_document_give_the_same_leaks_in_order() -> None:
    items = [item(QUESTION, "b"), item(HAN_QUESTION, "a")]
    text = HAN_QUESTION + QUESTION
    assert [leak.item_id for leak in check(items, text)] == ["b", "a"]
    assert check(items, text) == check(items, text)
    assert not check([], text)
    assert not check(items, "")


RECORDS = [
    {"id": "arith-1", "question": QUESTION, "answer": "72", "url": "https://a.example/b/c/d/e/f/g/h/i/j/k"},
    {"id": 7, "question": "Which is it?", "choices": ["a red lamp in a room", "a green boat on a lake"]},
    {"id": 8, "question": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26", "A": "27"},
]


def write_sets(folder: Path) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    (folder / "a.jsonl").write_text(lines)
    (folder / "b.json.gz").write_bytes(gzip.compress(json.dumps({"data": RECORDS}).encode()))
    (folder / "c.json").write_text(lines)
    with (folder / "d.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["question", "A", "B"], ["What is it?", *RECORDS[1]["choices"]], [QUESTION]]
        )  # type: ignore[misc]
    with (folder / "e.tsv").open("w", newline="") as stream:
        csv.writer(stream, delimiter="\t").writerow([QUESTION, "a yellow lamp in a long room", "C"])
    table = {"question": [r["question"] for r in RECORDS], "choices": [r.get("choices") for r in RECORDS]}
    pyarrow.parquet.write_table(pyarrow.table(table), folder / "f.parquet")
    (folder / "notes.txt").write_text(QUESTION)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", [("arith-1", "question"), ("line 2", "question+choices")]),
        ("b.json.gz", [("arith-1", "question"), ("data, record 2", "question+choices")]),
        ("c.json", [("arith-1", "question"), ("record 2", "question+choices")]),
        ("d.csv", [("row 2", "question+A+B"), ("row 3", "question")]),
        ("e.tsv", [("row 1", "text")]),
        ("f.parquet", [("row 1", "question"), ("row 2", "question+choices")]),
    ],
)
def test_every_format_yields_its_texts(tmp_path: Path, name: str, expected: list[tuple[str, str]]) -> None:
    write_sets(tmp_path)
    items = load_items(tmp_path / name).items
    assert [(each.id, each.field) for each in items] == expected
    assert {each.file for each in items} == {name}


def test_a_folder_is_read_whole_and_other_files_are_named(tmp_path: Path) -> None:
    write_sets(tmp_path)
    items = load_items([tmp_path])
    assert items.ignored_files == ("notes.txt",)
    assert (items.num_files, items.num_records, items.num_uninformative) == (6, 15, 4)
    assert (len(items.items), items.num_repeated) == (3, 8)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder, question in (("ev1", QUESTION), ("ev2", HAN_QUESTION)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test.jsonl").write_text(json.dumps({"question": question}) + "\n")
    names = ["ev1/test.jsonl", "ev2/test.jsonl"]
    folders = [tmp_path / "ev1", tmp_path / "ev2"]
    assert [item.file for item in load_items(folders).items] == names
    assert [item.file for item in load_items([each / "test.jsonl" for each in folders]).items] == names
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": "a", "text": QUESTION}) + "\n", "utf-8")
    summary = clean([tmp_path / "in.jsonl"], tmp_path / "out", evaluation_sets=folders)
    assert dict(summary.leaked) == {"ev1/test.jsonl": 1}
    assert [record.name for record in summary.evaluation_sets] == names


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b'{"q": "x"}\n{"q": \n', r"a\.jsonl, line 2: is not valid JSON"),
        ("a.json", b"{", r"a\.json: is not valid JSON"),
        ("a.json", b'"x\ny\xff"', r"a\.json, line 2: is not UTF-8"),
        ("a.json.gz", gzip.compress(b"[" * 999)[:-9], r"truncated or damaged"),
        ("a.json", b"[" * 200_000, r"nested too deeply"),
        ("a.parquet", b"PAR1", r"cannot be read as Parquet"),
        ("a.txt", b"text", r"is not a kind of evaluation set"),
        ("a.csv", b"question,A\nWho?,me\n", r"no text in the evaluation sets is long enough"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(StemmaError, match=message):
        load_items(tmp_path / name)


def test_paths_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    for paths, message in (
        ([], "no evaluation set"),
        ([tmp_path], "holds no"),
        ([tmp_path / "x"], "not exist"),
    ):
        with pytest.raises(StemmaError, match=message):
            load_items(paths)


def test_planted_items_are_found_and_clean_documents_stay(shared: Path) -> None:
    folder = shared / "corpora" / "dirty"
    checker = Decontaminator(load_items(folder / "eval_sets.jsonl.zst"))
    labels = {label["id"]: label for _, label in read_records(folder / "labels.jsonl.zst")}
    found: dict[str, list[bool]] = defaultdict(list)
    for document in read_documents(folder / "docs.jsonl.zst"):
        label, leaks = labels[document.id], checker.check(tokens_of(document.text))
        if label["kind"] == "leakage":
            found[label["variant"]].append(any(leak.item_id == label["bench_id"] for leak in leaks))
        else:
            found["clean"].append(bool(leaks))
    share = {name: sum(hits) / len(hits) for name, hits in found.items()}
    assert (
        share["verbatim_qa"] == share["question_only"] == share["embedded"] == share["whitespace_case"] == 1
    )
    assert share["light_edit"] >= 0.9
    assert share["half_question"] >= 0.7
    assert share["clean"] <= 0.005
