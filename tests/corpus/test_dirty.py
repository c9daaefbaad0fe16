"""The labelled corpus of noise: what must go goes, what must stay stays."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from stemma.corpus import read_documents, read_records
from stemma.corpus.clean import DECISIONS_FILE, clean
from stemma.corpus.summary import CleanSettings

PERSONAL = {
    "email": "EMAIL",
    "cn_mobile": "PHONE",
    "cn_landline": "PHONE",
    "us_phone": "PHONE",
    "cn_id": "ID_CARD",
    "uscc": "CREDIT_CODE",
    "ssn": "SSN",
    "bank_card": "BANK_CARD",
    "credit_card": "CREDIT_CARD",
    "ipv4": "IP",
    "ipv6": "IP",
}
Row = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def rows(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """(label, decision) of every record."""
    folder = shared / "corpora" / "dirty"
    out = tmp_path_factory.mktemp("dirty") / "out"
    settings = CleanSettings(languages=("zh", "en"))
    clean([folder / "docs.jsonl.zst"], out, settings, evaluation_sets=[folder / "eval_sets.jsonl.zst"])
    labels = [label for _, label in read_records(folder / "labels.jsonl.zst")]
    decisions = pyarrow.parquet.read_table(out / DECISIONS_FILE).to_pylist()
    assert [label["id"] for label in labels] == [decision["id"] for decision in decisions]
    return list(zip(labels, decisions, strict=True))


def dropped_share(rows: Iterator[Row] | list[Row]) -> float:
    actions = [decision["action"] == "drop" for _, decision in rows]
    assert len(actions) >= 10
    return sum(actions) / len(actions)


def pair_recall(rows: list[Row], wanted: Any) -> float:
    """Share of the labelled pairs of which at most one document is left."""
    left = {decision["id"] for _, decision in rows if decision["action"] != "drop"}
    pairs = [(label["id"], label["of"]) for label, _ in rows if wanted(label)]
    assert len(pairs) >= 50
    return sum(not (one in left and other in left) for one, other in pairs) / len(pairs)


def test_exact_and_normalised_copies_are_found(rows: list[Row]) -> None:
    assert pair_recall(rows, lambda label: label["kind"] == "exact_dup") >= 0.99
    assert pair_recall(rows, lambda label: label["kind"] == "norm_dup") >= 0.99


def test_near_copies_are_found(rows: list[Row]) -> None:
    def near(least: float, most: float) -> float:
        return pair_recall(rows, lambda x: x["kind"] == "near_dup" and least <= x["jaccard_w5"] < most)

    assert near(0.8, 1.1) >= 0.99


def test_every_group_of_copies_keeps_one(rows: list[Row]) -> None:
    groups: dict[str, list[str]] = defaultdict(list)
    for label, decision in rows:
        if label["action"] == "drop_one_of":
            groups[label["of"] or label["id"]].append(decision["action"])
    assert all(any(action != "drop" for action in actions) for actions in groups.values())


def test_clean_documents_stay(rows: list[Row]) -> None:
    keep = [row for row in rows if row[0]["action"] == "keep" and row[0]["kind"] in ("clean", "pii_negative")]
    assert dropped_share(keep) < 0.01


def test_invalid_and_repetitive_documents_go(rows: list[Row]) -> None:
    for kind, variants in (
        ("invalid", ("empty", "tiny", "symbols", "numbers", "links")),
        ("repetition", ("char_run", "line_loop", "ngram_loop", "sentence_loop")),
        ("mojibake", ("replacement_chars",)),
    ):
        for variant in variants:
            chosen = [row for row in rows if (row[0]["kind"], row[0]["variant"]) == (kind, variant)]
            assert dropped_share(chosen) >= 0.98, variant


def test_pages_of_furniture_other_languages_misread_bytes_and_templates_go(rows: list[Row]) -> None:
    for kind, variant in (
        ("boilerplate", None),
        ("wrong_language", None),
        ("mojibake", None),
        ("invalid", None),
    ):
        chosen = [row for row in rows if row[0]["kind"] == kind and row[0]["action"] == "drop"]
        assert dropped_share(chosen) >= 0.97, (kind, variant)
    spam = [row for row in rows if row[0]["variant"] == "template_spam"]
    assert dropped_share(spam) >= 0.4


def test_leaks_of_evaluation_items_go_and_name_the_item(rows: list[Row]) -> None:
    for variant, least in (
        ("verbatim_qa", 1.0),
        ("question_only", 1.0),
        ("embedded", 1.0),
        ("whitespace_case", 1.0),
        ("light_edit", 0.9),
    ):
        chosen = [row for row in rows if row[0]["variant"] == variant]
        assert dropped_share(chosen) >= least, variant
    named = [(label, d["twin"]) for label, d in rows if (d["rule"] or "").startswith("leak_")]
    assert len(named) > 200
    right = sum(label["bench_id"] in twin for label, twin in named if label.get("bench_id"))
    assert right >= 0.95 * len(named)


def test_lines_of_furniture_leave_and_the_lines_around_them_stay(rows: list[Row], shared: Path) -> None:
    edited = [d for label, d in rows if label["variant"] == "lines_in_document"]
    assert len(edited) == 120
    assert all("furniture" in d["edits"] for d in edited if d["action"] != "drop")


def test_personal_information_is_hidden_and_lookalikes_are_not(rows: list[Row], shared: Path) -> None:
    texts = {d.id: d.text for d in read_documents(shared / "corpora" / "dirty" / "docs.jsonl.zst")}
    found: dict[str, list[bool]] = defaultdict(list)
    for label, decision in rows:
        if label["kind"] not in ("pii", "pii_negative"):
            continue
        spans = {(span["start"], span["end"], span["type"]) for span in decision["spans"]}
        for span in label["spans"]:
            if span["redact"] and span["type"] in PERSONAL:
                found[span["type"]].append((span["start"], span["end"], PERSONAL[span["type"]]) in spans)
            elif not span["redact"]:
                touched = any(start < span["end"] and span["start"] < end for start, end, _ in spans)
                assert not touched, json.dumps(span)
        assert all(texts[label["id"]][start:end].strip() for start, end, _ in spans)
    for kind in PERSONAL:
        assert len(found[kind]) >= 15
        assert sum(found[kind]) / len(found[kind]) >= 0.99, kind
