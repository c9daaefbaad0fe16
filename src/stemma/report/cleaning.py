"""The cleaning section: what went in, what came out, and for every reason how much and what it looked like.

Reads `cleaning.json` (stemma.corpus.summary.CleaningSummary) and, where the decisions were held against labels,
`label_check.json`: {what: {"found", "planted", "rate"}}.
"""

from pathlib import Path

from stemma.report.blocks import Block, Cell, Columns, Facts, Fold, Headline, Quote, Section, Table, Text, num
from stemma.report.formats import count, duration, percent, plain, size
from stemma.report.record import Record, read_record

_MAX_SAMPLES, _MAX_PARTS = 5, 24


def cleaning(folder: Path) -> Section | None:
    """The section of a folder with `cleaning.json`, or None."""
    summary = read_record(folder / "cleaning.json")
    if not summary:
        return None
    labels = read_record(folder / "label_check.json")
    total, by_rule = summary.record("total"), dict(summary.record("by_rule").numbers())
    documents = total.number("documents_in") or 0
    duplicates = sum(
        value for rule, value in by_rule.items() if rule in ("exact_duplicate", "near_duplicate")
    )
    blocks: list[Block] = [Text(_sentence(summary, documents))]
    if by_rule:
        blocks.append(_reasons(by_rule, total))
        blocks += _samples(summary.record("samples"), by_rule)
    if labels:
        blocks.append(_label_check(labels))
    parts: list[Block] = [t for t in (_parts(summary, "by_language"), _parts(summary, "by_source")) if t]
    blocks += [Columns(parts)] * bool(parts)
    redacted = summary.record("redacted").numbers()
    if redacted:
        blocks.append(
            Fold("Personal information replaced", [Facts([(plain(k), count(v)) for k, v in redacted])])
        )
    blocks += _rest(summary)
    protocol = ("Cleaning counts", _protocol(summary.record("settings")))
    share = percent(duplicates / documents) if documents else ""
    headline = Headline(count(duplicates), "duplicates found", f"{share} of {count(documents)} documents")
    return Section("cleaning", "Cleaning", blocks, [headline] if documents else [], [protocol])


def _sentence(summary: Record, documents: float) -> str:
    total = summary.record("total")
    kept, before, after = (total.number(k) for k in ("documents_kept", "characters_in", "characters_out"))
    text = f"{count(documents)} documents went in and {count(kept)} came out"
    if before and after is not None:
        text += f"; of {count(before)} characters {percent(after / before)} stayed"
    edited, bad = (
        summary.number("documents_edited"),
        sum(v for _, v in summary.record("bad_records").numbers()),
    )
    if edited:
        text += f". {count(edited)} kept documents had personal information replaced"
    if bad:
        text += f". {count(bad)} records could not be read as documents and were passed over"
    seconds = summary.number("seconds")
    return text + (f". It took {duration(seconds)}." if seconds else ".")


def _protocol(settings: Record) -> str:
    text = "Each dropped document is counted once, under the first rule it breaks; a duplicate is the later of two."
    jaccard, size = settings.number("jaccard"), settings.number("shingle_size")
    if jaccard and size:
        text += f" Near duplicates have a Jaccard similarity of their sets of {size:g} tokens of {jaccard:g} or more."
    return text


def _reasons(by_rule: dict[str, float], total: Record) -> Table:
    documents, kept = total.number("documents_in") or 0, total.number("documents_kept")
    most = max(by_rule.values()) or 1
    rows = []
    for rule, dropped in sorted(by_rule.items(), key=lambda item: (-item[1], item[0])):
        row = [
            Cell(plain(rule)),
            num(count(dropped)),
            num(percent(dropped / documents, 2) if documents else ""),
            Cell("", share=dropped / most),
        ]
        rows.append(row)
    if documents and kept is not None:
        share = num(percent(kept / documents, 2))
        rows.append([Cell("kept", tone="good"), num(count(kept)), share, Cell("", share=0.0)])
    return Table(
        ["reason", "documents", "share of input", ""],
        rows,
        "Why documents were dropped",
        "A document leaves at the first rule it breaks.",
    )


def _label_check(labels: Record) -> Table:
    rows = [
        [
            Cell(what),
            num(count(found.number("found"))),
            num(count(found.number("planted"))),
            num(percent(found.number("rate") or 0.0, 2)),
        ]
        for what, found in labels.named()
    ]
    note = "The dirt in this corpus was planted with labels. Documents lost and look-alikes touched are mistakes."
    return Table(["what", "found", "planted", "rate"], rows, "Against the labels", note)


def _samples(samples: Record, by_rule: dict[str, float]) -> list[Block]:
    folds: list[Block] = []
    for rule in sorted(samples, key=lambda name: (-by_rule.get(name, 0), name)):
        quotes: list[Block] = [Quote(str(text)) for text in samples.values(rule)[:_MAX_SAMPLES]]
        if quotes:
            folds.append(Fold(f"{plain(rule)}: what was dropped", quotes))
    return folds


def _parts(summary: Record, field: str) -> Table | None:
    rows = []
    parts = sorted(summary.record(field).named(), key=lambda pair: -(pair[1].number("documents_in") or 0))
    for name, part in parts[:_MAX_PARTS]:
        before, kept = part.number("documents_in"), part.number("documents_kept")
        rows.append(
            [
                Cell(name or "not stated"),
                num(count(before)),
                num(count(kept)),
                num(percent(kept / before) if before and kept is not None else "\u2013"),
                num(count(part.number("characters_out"))),
            ]
        )
    if not rows:
        return None
    noun = field.removeprefix("by_")
    caption = f"The largest {_MAX_PARTS} of {count(len(parts))}." if len(parts) > _MAX_PARTS else ""
    return Table([noun, "in", "kept", "share", "characters out"], rows, f"Documents by {noun}", caption)


def _rest(summary: Record) -> list[Block]:
    folds: list[Block] = []
    clusters = summary.records("largest_clusters")
    if clusters:
        rows = [[Cell(one.text("id"), code=True), num(count(one.number("documents")))] for one in clusters]
        folds.append(
            Fold("Largest groups of copies", [Table(["kept document", "documents in the group"], rows)])
        )
    inputs = summary.records("inputs")
    if inputs:
        rows = [
            [
                Cell(i.text("name"), code=True),
                num(size(i.number("num_bytes"))),
                Cell(i.text("sha256"), code=True),
            ]
            for i in inputs
        ]
        folds.append(Fold("Input files and their digests", [Table(["file", "size", "sha256"], rows)]))
    bad = summary.values("bad_examples")
    if bad:
        folds.append(Fold("Records passed over", [Quote(str(text)) for text in bad[:_MAX_SAMPLES]]))
    return folds
