"""Score a cleaner on a labelled corpus of noise: recall and precision per class, from the decisions it left.

    python benchmarks/dirty.py FOLDER                  cleans FOLDER/docs.jsonl.zst with `stemma clean` and scores it
    python benchmarks/dirty.py FOLDER --result CLEAN   scores what lies in CLEAN: decisions.parquet, documents/

FOLDER holds docs, labels and eval_sets as .jsonl.zst: a label has an action (keep, drop, drop_one_of, redact, strip, fix),
a kind, a variant, a language and spans. decisions.parquet has id, action and rule of every document; a span counts as
redacted or stripped when its text is gone from the kept document.
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet

from stemma.corpus import read_documents, read_records
from stemma.corpus.clean import DECISIONS_FILE, clean
from stemma.corpus.summary import CleanSettings

Row = dict[str, Any]
DROPPED = ("repetition", "invalid", "machine_generated", "wrong_language")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--result", type=Path, help="a finished cleaning of the folder's documents")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--show", metavar="CLASS", help="list the documents of a class that were judged wrongly"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        result = args.result
        if result is None:
            result = Path(work) / "clean"
            clean(
                [args.folder / "docs.jsonl.zst"],
                result,
                CleanSettings(languages=("zh", "en")),
                evaluation_sets=[args.folder / "eval_sets.jsonl.zst"],
            )
        rows = joined(args.folder, result)
    table = list(score(rows))
    if args.json:
        print(json.dumps([{"class": name, "right": r, "of": n, "share": r / n} for name, r, n, _ in table]))
        return 0
    for name, right, count, wrong in table:
        print(f"{name:<44} {right:>5} of {count:<5} {right / count:7.2%}")
        if args.show and args.show in name:
            for row in wrong[:20]:
                label = row["label"]
                rule = f"{row['action']} {row['rule'] or ''}"
                print(f"    {label['id']} {label['variant']} {label['lang']} {rule}: {row['text'][:90]!r}")
    return 0


def joined(folder: Path, result: Path) -> list[Row]:
    """Label, text, decision and kept text of every document."""
    kept = {document.id: document.text for document in read_documents(result / "documents")}
    decisions = {row["id"]: row for row in pyarrow.parquet.read_table(result / DECISIONS_FILE).to_pylist()}
    texts = {record["id"]: record["text"] for _, record in read_records(folder / "docs.jsonl.zst")}
    rows: list[Row] = []
    for _, label in read_records(folder / "labels.jsonl.zst"):
        decision = decisions.pop(label["id"], None)
        if decision is None:
            sys.exit(f"{result}: no decision about document {label['id']}; a document was lost")
        out = kept.get(label["id"])
        if (out is None) != (decision["action"] == "drop"):
            sys.exit(f"{result}: document {label['id']} is {decision['action']} and not where that says")
        rows.append(
            {
                "label": label,
                "text": texts[label["id"]],
                "out": out,
                "action": decision["action"],
                "rule": decision["rule"],
            }
        )
    if decisions:
        sys.exit(f"{result}: decisions about {len(decisions)} documents that were not in the input")
    return rows


def score(rows: list[Row]) -> Iterator[tuple[str, int, int, list[Row]]]:
    """(class, judged rightly, of how many, the others)."""

    def share(name: str, chosen: list[Row], right: Callable[[Row], bool]) -> tuple[str, int, int, list[Row]]:
        wrong = [row for row in chosen if not right(row)]
        return name, len(chosen) - len(wrong), len(chosen), wrong

    def of(kind: str, action: str | None = None, lang: str | None = None) -> list[Row]:
        return [
            row
            for row in rows
            if row["label"]["kind"] == kind
            and action in (None, row["label"]["action"])
            and lang in (None, row["label"]["lang"])
        ]

    def gone(row: Row) -> bool:
        return row["out"] is None

    for lang in ("en", "zh"):
        yield share(f"clean documents kept, {lang}", of("clean", "keep", lang), lambda row: not gone(row))
    yield share("look-alikes kept and untouched", of("pii_negative"), lambda row: row["out"] == row["text"])
    for kind in DROPPED:
        for lang in sorted({row["label"]["lang"] for row in of(kind, "drop")} & {"en", "zh"}) or (None,):
            yield share(f"{kind} dropped{f', {lang}' if lang else ''}", of(kind, "drop", lang), gone)
    yield share("boilerplate pages dropped", of("boilerplate", "drop"), gone)
    yield share("mojibake beyond repair dropped", of("mojibake", "drop"), gone)
    yield share("mojibake repaired", of("mojibake", "fix"), _repaired)
    yield share("mojibake repaired or dropped", of("mojibake", "fix"), lambda r: gone(r) or _repaired(r))
    yield share(
        "HTML residue repaired or dropped", of("html_residue", "fix"), lambda r: gone(r) or _repaired(r)
    )
    yield share("teasers dropped", of("truncated", "drop"), gone)
    yield from _pairs(rows)
    yield from _personal(rows)
    yield from _lines(rows)
    yield from _leaks(rows)


def _repaired(row: Row) -> bool:
    wanted = row["label"].get("of_text")
    return row["out"] is not None and wanted is not None and _bare(row["out"]) == _bare(wanted)


def _bare(text: str) -> str:
    """Without white space, quotation marks straight: the labels' texts were made from straight ones."""
    return "".join(text.translate(_STRAIGHT).split())


_STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})


def _pairs(rows: list[Row]) -> Iterator[tuple[str, int, int, list[Row]]]:
    left = {row["label"]["id"] for row in rows if row["out"] is not None}

    def found(kind: str, least: float, most: float, name: str) -> tuple[str, int, int, list[Row]] | None:
        pairs = [
            row
            for row in rows
            if row["label"]["kind"] == kind
            and row["label"].get("of")
            and least <= (row["label"].get("jaccard_w5") or 1.0) < most
        ]
        wrong = [row for row in pairs if row["label"]["id"] in left and row["label"]["of"] in left]
        return (name, len(pairs) - len(wrong), len(pairs), wrong) if pairs else None

    for entry in (
        found("exact_dup", 0, 2, "exact copies found"),
        found("norm_dup", 0, 2, "normalised copies found"),
        found("near_dup", 0.8, 2, "near copies found, Jaccard 0.8 and above"),
        found("near_dup", 0.7, 0.8, "near copies found, Jaccard 0.7 to 0.8"),
    ):
        if entry is not None:
            yield entry
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["label"]["action"] == "drop_one_of":
            groups[row["label"].get("of") or row["label"]["id"]].append(row)
    lost = [group[0] for group in groups.values() if all(row["out"] is None for row in group)]
    yield "groups of copies with one left", len(groups) - len(lost), len(groups), lost
    apart = [row for row in rows if row["label"]["kind"] == "near_dup" and row["label"]["action"] == "keep"]
    unlike = [row for row in rows if row["label"]["action"] == "keep"]
    merged = [row for row in unlike if row["out"] is None and "duplicate" in (row["rule"] or "")]
    assert len(apart) <= len(unlike)
    yield "documents of their own not merged", len(unlike) - len(merged), len(unlike), merged


def _personal(rows: list[Row]) -> Iterator[tuple[str, int, int, list[Row]]]:
    found: dict[str, list[tuple[bool, Row]]] = defaultdict(list)
    for row in rows:
        if row["out"] is None or row["label"]["kind"] not in ("pii", "pii_negative"):
            continue
        for span in row["label"]["spans"]:
            hidden = span["value"] not in row["out"]
            key = f"personal: {span['type']}" if span["redact"] else "personal: look-alikes untouched"
            found[key].append((hidden == span["redact"], row))
    for name, outcomes in sorted(found.items()):
        wrong = [row for right, row in outcomes if not right]
        yield name, len(outcomes) - len(wrong), len(outcomes), wrong


def _lines(rows: list[Row]) -> Iterator[tuple[str, int, int, list[Row]]]:
    """Spans to strip that are gone, and the other lines that stayed, of kept documents."""
    for kind in ("boilerplate", "shared_passage", "repetition"):
        chosen = [r for r in rows if r["label"]["kind"] == kind and r["label"]["action"] == "strip"]
        stripped = kept = total = lines = 0
        wrong: list[Row] = []
        for row in chosen:
            text, spans = row["text"], row["label"].get("spans") or []
            out = row["out"] if row["out"] is not None else ""
            gone = [span for span in spans if text[span["start"] : span["end"]].strip() not in out]
            total, stripped = total + len(spans), stripped + len(gone)
            good = text
            for span in sorted(spans, key=lambda span: -span["start"]):
                good = good[: span["start"]] + "\n" + good[span["end"] :]
            mine = [line.strip() for line in good.split("\n") if line.strip()]
            stayed = sum(line in out for line in mine)
            lines, kept = lines + len(mine), kept + stayed
            if len(gone) < len(spans) or stayed < len(mine):
                wrong.append(row)
        if total:
            yield f"{kind} spans stripped", stripped, total, wrong
            yield f"{kind}: good lines kept", kept, lines, wrong


def _leaks(rows: list[Row]) -> Iterator[tuple[str, int, int, list[Row]]]:
    variants: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["label"]["kind"] == "leakage":
            variants[row["label"]["variant"]].append(row)
    for variant, chosen in sorted(variants.items()):
        wrong = [row for row in chosen if row["out"] is not None]
        yield f"leaks dropped: {variant}", len(chosen) - len(wrong), len(chosen), wrong
    clean_rows = [row for row in rows if row["label"]["kind"] == "clean"]
    alarms = [row for row in clean_rows if "leak" in (row["rule"] or "") or "contamin" in (row["rule"] or "")]
    yield (
        "clean documents without a false alarm of leakage",
        len(clean_rows) - len(alarms),
        len(clean_rows),
        alarms,
    )


if __name__ == "__main__":
    sys.exit(main())
