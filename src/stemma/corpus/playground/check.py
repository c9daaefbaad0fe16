"""How well a cleaning did on the playground: its decisions held against the labels of the planted dirt."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from stemma.corpus.read import read_records

NEAR_FROM = 0.8


def check_cleaning(corpus: Path, cleaned: Path) -> dict[str, dict[str, float]]:
    """{what: {"found": n, "planted": m, "rate": n / m}} for a playground folder and the cleaning of its documents.

    Copies count as found when they are dropped; personal data when a span of the decision covers it; `clean documents
    lost` and `look-alikes touched` are mistakes: the lower the better.
    """
    decisions = _decisions(cleaned / "decisions.parquet")
    labels = {record["id"]: record for _, record in read_records(corpus / "labels.jsonl")}
    tallies: dict[str, list[bool]] = defaultdict(list)
    for name, decision in decisions.items():
        for what, found in _verdicts(labels.get(name), decision):
            tallies[what].append(found)
    return {
        what: {"found": sum(found), "planted": len(found), "rate": sum(found) / len(found)}
        for what, found in sorted(tallies.items())
    }


def _decisions(path: Path) -> dict[str, dict[str, Any]]:
    import pyarrow.parquet

    columns = ["id", "action", "spans"]
    return {row["id"]: row for row in pyarrow.parquet.read_table(path, columns=columns).to_pylist()}


def _verdicts(label: dict[str, Any] | None, decision: dict[str, Any]) -> list[tuple[str, bool]]:
    dropped = decision["action"] == "drop"
    if label is None:
        return [("clean documents lost", dropped)]
    if label["kind"] == "exact_dup":
        return [("exact duplicates", dropped)]
    if label["kind"] == "near_dup":
        near = label["jaccard"] >= NEAR_FROM
        return [(f"near duplicates, Jaccard >= {NEAR_FROM}", dropped)] if near else []
    if label["action"] == "drop":
        return [("empty, short, garbage, repetition", dropped)]
    names = {True: "personal data", False: "look-alikes touched"}
    return [(names[bool(span["redact"])], _touched(span, decision["spans"])) for span in label["spans"]]


def _touched(span: dict[str, Any], redacted: list[dict[str, Any]]) -> bool:
    """Personal data must be covered whole; a look-alike is touched by any overlap."""
    if span["redact"]:
        return any(found["start"] <= span["start"] and span["end"] <= found["end"] for found in redacted)
    return any(found["start"] < span["end"] and span["start"] < found["end"] for found in redacted)
