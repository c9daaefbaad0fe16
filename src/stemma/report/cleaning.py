"""The cleaning section: what went in, what came out, and for every reason how much and what it looked like.

Reads `cleaning.json` (stemma.corpus.summary.CleaningSummary) and, where the decisions were held against labels,
`label_check.json`: {what: {"found", "planted", "rate"}}.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stemma.corpus.curves import EDGES, PER_DECADE, broken_at
from stemma.report.blocks import (
    Block,
    Cell,
    Columns,
    Facts,
    Figure,
    Fold,
    Headline,
    Quote,
    Section,
    Table,
    Text,
    num,
)
from stemma.report.formats import count, duration, percent, plain, significant, size
from stemma.report.plots import Curve, curves
from stemma.report.record import Record, read_record

_MAX_SAMPLES, _MAX_PARTS = 5, 24
_MAX_BORDERS, _MAX_CURVES = 16, 6
_MAX_WORDS = 30
_SIGN = {"least": "\u2265", "most": "\u2264"}
_COARSE = PER_DECADE // 5  # bins of a histogram drawn as one
_ONE = int(np.searchsorted(EDGES, 1.0))  # documents without a character have no place on a logarithmic axis


def cleaning(folder: Path) -> Section | None:
    """The section of a folder with `cleaning.json`, or None."""
    summary = read_record(folder / "cleaning.json")
    if not summary:
        return None
    labels = read_record(folder / "label_check.json")
    total, by_rule = summary.record("total"), dict(summary.record("by_rule").numbers())
    documents = total.number("documents_in") or 0
    duplicates = sum(
        value
        for rule, value in by_rule.items()
        if rule in ("exact_duplicate", "near_duplicate", "semantic_duplicate")
    )
    blocks: list[Block] = [Text(_sentence(summary, documents))]
    if by_rule:
        blocks.append(_reasons(by_rule, total))
        blocks += _samples(summary.record("samples"), by_rule)
    blocks += _borders(summary)
    blocks += _spreads(summary)
    if labels:
        blocks.append(_label_check(labels))
    by = ["by_language", "by_source"] + ["by_licence"] * any(summary.record("by_licence"))
    parts: list[Block] = [table for table in (_parts(summary, field) for field in by) if table]
    blocks += [Columns(parts)] * bool(parts)
    redacted = summary.record("redacted").numbers()
    if redacted:
        blocks.append(
            Fold("Personal information replaced", [Facts([(plain(k), count(v)) for k, v in redacted])])
        )
    blocks += _toxic(summary)
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


def _borders(summary: Record) -> list[Block]:
    """What each border costs, and what one a quarter stricter or looser would."""
    found = [(name, int(n)) for name, n in summary.record("broken").numbers() if n]
    found.sort(key=lambda pair: (-pair[1], pair[0]))
    rows, figures = list[list[Cell]](), list[Block]()
    limits = {name: summary.record("borders").number(name) for name, _ in found}
    for name, broken in found[:_MAX_BORDERS]:
        group, rule, measure, side = name.split(".")
        border, histogram = limits[name], _histogram(summary, f"{group}.{measure}")
        if border is None or not histogram:
            continue
        tighter, looser = (1.25, 0.75) if side == "least" else (0.75, 1.25)
        costs = [broken_at(histogram, border * factor, side) for factor in (tighter, looser)]
        rows.append(
            [
                Cell(plain(rule)),
                Cell(f"{plain(measure)}, {group}"),
                num(f"{_SIGN[side]} {significant(border)}"),
                num(count(broken)),
                *(num(f"\u2248 {count(round(cost))}") for cost in costs),
            ]
        )
        if len(figures) < _MAX_CURVES:
            figures.append(_border_curve(name, histogram, border))
    if not rows:
        return []
    columns = ["rule", "measure, table", "stays", "beyond it", "a quarter stricter", "a quarter looser"]
    table = Table(
        columns,
        rows,
        "What each border costs",
        "Documents beyond the border, whatever other rule took them. "
        "stemma clean thresholds counts any other border exactly.",
    )
    return [table, Columns(figures, narrow=True)]


def _histogram(summary: Record, name: str) -> dict[str, Sequence[int]]:
    return summary.record("histograms").record(name).data


def _border_curve(name: str, histogram: Mapping[str, Sequence[int]], border: float) -> Figure:
    group, rule, measure, side = name.split(".")
    documents = sum(before for before, _ in histogram.values())
    x = [border * factor / 20 for factor in range(2, 61)]
    y = [100 * broken_at(histogram, at, side) / documents for at in x]
    here = 100 * broken_at(histogram, border, side) / documents
    lines = [Curve("", x, y), Curve("", [border, border], [0.0, here], color=1)]
    svg = curves(
        lines, f"{plain(rule)}: share beyond the border", plain(measure), "% of documents", small=True
    )
    return Figure(svg, f"{plain(rule)}, {group}", f"Mark: the border, {significant(border)}.")


def _spreads(summary: Record) -> list[Block]:
    """How long documents are, before and after, by language group."""
    figures: list[Block] = []
    for group in ("zh", "en", "neutral"):
        histogram = _histogram(summary, f"{group}.characters")
        places = sorted(place for place in map(int, histogram) if place > _ONE)
        if len(places) < 3:
            continue
        steps = range(places[0] // _COARSE, places[-1] // _COARSE + 1)
        x = [float(EDGES[min(step * _COARSE, len(EDGES) - 1)]) for step in steps]
        lines = []
        for side, title in enumerate(("before", "after")):
            sums = dict.fromkeys(steps, 0)
            for place in places:
                sums[place // _COARSE] += histogram[str(place)][side]
            lines.append(Curve(title, x, list(sums.values()), color=side))
        svg = curves(lines, f"Length of {group} documents", "visible characters", "documents", log_x=True)
        figures.append(
            Figure(svg, f"Length of documents, {group}", "Visible characters, before and after cleaning.")
        )
    return [Columns(figures)] if figures else []


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


def _toxic(summary: Record) -> list[Block]:
    """What the word lists met, and how often groups are mentioned near blame."""
    words, groups = summary.records("toxic_words"), summary.records("mentioned_groups")
    tables = list[Block]()
    if words:
        rows = [
            [
                Cell(word.text("phrase")),
                Cell(plain(word.text("category"))),
                num(count(word.number("documents"))),
                num(percent(word.number("share") or 0.0, 2)),
            ]
            for word in words[:_MAX_WORDS]
        ]
        caption = f"The most frequent {_MAX_WORDS} of {count(len(words))}." if len(words) > _MAX_WORDS else ""
        tables.append(Table(["phrase", "list", "documents", "share"], rows, "Toxic words", caption))
    if groups:
        rows = [
            [
                Cell(group.text("group")),
                num(count(group.number("mentions"))),
                num(percent(group.number("share") or 0.0, 1)),
                num(" \u2013 ".join(percent(group.number(end) or 0.0, 1) for end in ("low", "high"))),
            ]
            for group in groups[:_MAX_WORDS]
        ]
        columns = ["group", "mentions", "near blame", "95 %"]
        tables.append(Table(columns, rows, "Mentions of groups", "With the 95 % interval of the share."))
    note = Text("Counted by word lists, in all documents read. Nothing is dropped for them without a limit.")
    return [Fold("Toxic words and mentions of groups", [note, *tables])] if tables else []


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
