"""The cleaning section, made from the files of a real cleaning."""

import json

import pytest

from stemma.corpus.clean import clean
from stemma.report.blocks import Block, Columns, Figure, Fold, Section, Table
from stemma.report.cleaning import cleaning

STORIES = [
    "The quiet harbour woke before the sun, and men who mended nets were already at work.",
    "An old dog slept beside the lamp that the keeper had forgotten to put out again last night. " * 2,
    "Nobody spoke of the storm; it was enough that every boat had come home by evening. Women and men stood on "
    + "the wall, counted the sails and went to their houses, where soup was on the table.",
    "They say that women are stupid, that women are lazy; the asshole who says so never mended one net.",
    "The end.",
    "Too short.",
]


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Section:
    folder = tmp_path_factory.mktemp("cleaning")
    lines = [json.dumps({"id": str(i), "text": text, "lang": "en"}) for i, text in enumerate(STORIES)]
    (folder / "in.jsonl").write_text("\n".join(lines), "utf-8")
    clean([folder / "in.jsonl"], folder / "out")
    found = cleaning(folder / "out")
    assert found is not None
    return found


def flat(blocks: list[Block]) -> list[Block]:
    """All blocks, those inside others too."""
    result = list[Block]()
    for block in blocks:
        result.append(block)
        if isinstance(block, Columns | Fold):
            result += flat(block.blocks)
    return result


def table(section: Section, title: str) -> list[list[str]]:
    (found,) = (b for b in flat(section.blocks) if isinstance(b, Table) and b.title == title)
    return [[cell.text for cell in row] for row in found.rows]


def test_every_border_in_use_shows_what_it_costs_and_what_moving_it_would(section: Section) -> None:
    rows = {tuple(row[:2]): row[2:] for row in table(section, "What each border costs")}
    assert rows["too short", "characters, en"] == ["\u2265 20.0", "1", "\u2248 1", "\u2248 1"]


def test_lengths_are_drawn_before_and_after(section: Section) -> None:
    figures = {b.title: b for b in flat(section.blocks) if isinstance(b, Figure)}
    lengths = figures["Length of documents, en"]
    assert "before" in lengths.svg
    assert "after" in lengths.svg
    assert figures["too short, en"].caption == "Mark: the border, 20.0."


def test_toxic_words_and_groups_near_blame_are_counted_and_stay(section: Section) -> None:
    assert table(section, "Toxic words") == [["asshole", "insult", "1", "16.67\u202f%"]]
    groups = {row[0]: row[1:3] for row in table(section, "Mentions of groups")}
    assert groups == {"women": ["3", "66.7\u202f%"], "men": ["2", "0.0\u202f%"]}
    assert table(section, "Why documents were dropped")[-1][:2] == ["kept", "3"]
