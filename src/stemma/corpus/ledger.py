"""The last stage of a part: what stays is redacted and written, and every document gets its row in the decisions.

What is counted on the way goes into a tally; the tallies of all parts add up to the summary (`tally`).
"""

import json
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from stemma.corpus.annotated import AnnotatedCorpus
from stemma.corpus.columns import MEASURES
from stemma.corpus.curves import count_broken, histograms
from stemma.corpus.cuts import MOST_CUT
from stemma.corpus.cutting import is_wanted, least_left, shorten
from stemma.corpus.decide import Reason
from stemma.corpus.deduplicating import load_copies
from stemma.corpus.job import (
    COSINES,
    DECISIONS,
    DOCUMENTS,
    HEADS,
    JACCARD,
    MEASURED,
    SAME_ID,
    SAME_TEXT,
    SEMANTIC,
    TALLIES,
    TWINS,
    Job,
    corpus_of,
    load_array,
    tools,
)
from stemma.corpus.judging import LEAK, load_verdicts, numbers_of, reasons
from stemma.corpus.measures import GROUPS
from stemma.corpus.personal import TYPES, Span, find_spans
from stemma.corpus.scan import tokens_of
from stemma.corpus.tally import Tally
from stemma.storage import atomic_file, sha256, write_json

_COMPRESSION = "zstd"


@dataclass(slots=True)
class Fate:
    """What becomes of one document of a part: it stays where `reason` is None."""

    row: int
    reason: Reason | None = None
    twin: str | None = None
    weight: int = 0
    text: str = ""
    spans: list[Span] = field(default_factory=list)


def write_part(job: Job, index: int) -> None:
    """Write the kept documents, the decisions, the measures and, last, the tally of part `index`."""
    corpus = corpus_of(job)
    part, name = corpus.part(index), f"{index:06}"
    tally = Tally()
    if len(part):
        fates = _fates(job, corpus, index, tally)
        edits = [list(own) for own in part.strings("edits")]
        _fill_texts(job, corpus, index, fates, edits)
        columns = {
            field: part.strings(field) for field in ("id", "source", "said", "lang", "licence", "domain")
        }
        columns["lang"] = [
            said or found for said, found in zip(columns.pop("said"), columns["lang"], strict=True)
        ]
        values = numbers_of(job, corpus, index)
        if job.settings.quality_model is not None:
            columns["quality"] = values[:, MEASURES.index("quality")].tolist()
        _write_documents(job, name, columns, fates)
        _write_table(job, DECISIONS, name, _decisions(columns, edits, fates))
        rows = [fate.row for fate in fates]
        measured = {"id": [columns["id"][row] for row in rows]}
        values = values[rows]
        groups = part.numbers("group")[rows]
        measured["group"] = [GROUPS[group] for group in groups]
        _write_table(job, MEASURED, name, measured | dict(zip(MEASURES, values.T, strict=True)))
        kept = np.array([fate.reason is None for fate in fates], bool)
        limits = [limit for limit in tools(job).limits if limit.is_in_use]
        tally.broken.update(count_broken(values, groups, limits))
        tally.histograms = histograms(values, groups, kept, limits)
        characters = part.numbers("characters").tolist()
        for fate in fates:
            tally.add(fate, columns, edits[fate.row], characters[fate.row])
    outputs = {
        f"{Path(folder).name}/{path.name}": sha256(path)
        for folder in (DOCUMENTS, MEASURED)
        for path in sorted((job.folder / folder).glob(f"{name}.*"))
    }
    write_json(
        job.folder / TALLIES / f"{name}.json", {"tally": tally.plain(), "outputs": outputs}, indent=None
    )


def _fates(job: Job, corpus: AnnotatedCorpus, index: int, tally: Tally) -> list[Fate]:
    part = corpus.part(index)
    start, stop = (int(number) for number in corpus.starts[index : index + 2])
    verdicts = load_verdicts(job, corpus.names[index])
    same_id, same_text, twins, semantic = (
        load_copies(job, name) for name in (SAME_ID, SAME_TEXT, TWINS, SEMANTIC)
    )
    heads, more = load_array(job.folder / HEADS)
    first, last = np.searchsorted(heads, (start, stop))
    weights = part.numbers("weight").copy()
    weights[heads[first:last] - start] += more[first:last]
    fates = [Fate(row, weight=weight) for row, weight in enumerate(weights.tolist())]
    for row, reason in reasons(job, corpus, index, verdicts).items():
        fates[row].reason = reason
        if verdicts[row] == LEAK:
            fates[row].twin = part.string("leak", row)
    least_cosine = 1 - (job.settings.semantic_eps or 0.0)
    ones = np.ones(len(same_text.documents), np.float32)
    for copies, values, rule, measure, threshold in (
        (same_text, ones, "exact_duplicate", "jaccard", 1.0),
        (twins, load_array(job.folder / JACCARD), "near_duplicate", "jaccard", job.settings.jaccard),
        (semantic, load_array(job.folder / COSINES), "semantic_duplicate", "cosine", least_cosine),
    ):
        first, last = np.searchsorted(copies.documents, (start, stop))
        numbers, firsts = copies.documents[first:last], copies.firsts[first:last]
        keepers = semantic.first_of(twins.first_of(firsts))
        for number, keeper, value in zip(
            numbers.tolist(), keepers.tolist(), values[first:last].tolist(), strict=True
        ):
            fate = fates[number - start]
            fate.reason = Reason(rule, measure, value, threshold)
            fate.twin = corpus.string("id", keeper)
    unusable = set((same_id.between(start, stop).documents - start).tolist())
    for row in sorted(unusable):
        tally.add_duplicate_id(part.string("id", row), part.string("source", row))
    return [fate for fate in fates if fate.row not in unusable]


def _fill_texts(
    job: Job, corpus: AnnotatedCorpus, index: int, fates: list[Fate], edits: list[list[str]]
) -> None:
    """The texts of those that stay, shortened and redacted; the beginnings of the others, for samples."""
    part = corpus.part(index)
    texts = part.strings("text")
    for fate in fates:
        fate.text = texts[fate.row]
    kept = [fate for fate in fates if fate.reason is None]
    if not kept:
        return
    if not is_wanted(job.settings):
        batch = part.texts([fate.row for fate in kept])
    else:
        shortened = shorten(job, corpus, index)
        batch = shortened.texts
        for place, fate in enumerate(kept):
            if not shortened.edits[place]:
                continue
            first, last = batch.offsets[place : place + 2].tolist()
            text, least = batch.data[first:last].tobytes().decode("utf-8"), least_left(job.settings)
            if shortened.shares[place] > MOST_CUT and (left := len(tokens_of(text))) < least:
                fate.reason = Reason("repeated_passages", "tokens_left", left, least)
                continue
            fate.text = text
            edits[fate.row] += shortened.edits[place]
    if not job.settings.redact:
        return
    found = find_spans(batch.data, batch.offsets)
    columns = zip(*(column.tolist() for column in found), strict=True)
    for document, spans in groupby(columns, key=lambda span: span[0]):
        fate = kept[document]
        if fate.reason is not None:
            continue
        fate.spans = [Span(start, end, TYPES[kind]) for _, start, end, kind in spans]
        pieces, position = list[str](), 0
        for span in fate.spans:
            pieces += [fate.text[position : span.start], f"<{span.type}>"]
            position = span.end
        fate.text = "".join([*pieces, fate.text[position:]])


def _write_documents(job: Job, name: str, columns: dict[str, list[Any]], fates: list[Fate]) -> None:
    kept = [fate for fate in fates if fate.reason is None]
    if not kept:
        return
    table: dict[str, Any] = {"id": [], "text": [fate.text for fate in kept]}
    for column in ("id", "source", "lang", "domain", "licence"):
        table[column] = [columns[column][fate.row] for fate in kept]
    table["weight"] = np.array([fate.weight for fate in kept], np.int64)
    if "quality" in columns:
        table["quality"] = np.array([columns["quality"][fate.row] for fate in kept], np.float32)
    if job.settings.format == "parquet":
        _write_table(job, DOCUMENTS, name, table)
        return
    import zstandard

    lines = (
        {key: value for key, value in zip(table, row, strict=True) if value is not None}
        for row in zip(
            *(column if isinstance(column, list) else column.tolist() for column in table.values()),
            strict=True,
        )
    )
    data = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    with atomic_file(job.folder / DOCUMENTS / f"{name}.jsonl.zst") as file:
        file.write(zstandard.ZstdCompressor(level=3, write_checksum=True).compress(data))


def _decisions(columns: dict[str, list[Any]], edits: list[list[str]], fates: list[Fate]) -> dict[str, Any]:
    """The columns of decisions.parquet."""
    spans = [[{"start": s.start, "end": s.end, "type": s.type} for s in fate.spans] for fate in fates]
    reasons = [fate.reason for fate in fates]
    return {
        **{name: [columns[name][fate.row] for fate in fates] for name in ("id", "source", "lang")},
        "action": [action(fate, edits[fate.row]) for fate in fates],
        "rule": [reason and reason.rule for reason in reasons],
        "measure": [reason and reason.measure for reason in reasons],
        "value": [reason and reason.value for reason in reasons],
        "threshold": [reason and reason.threshold for reason in reasons],
        "twin": [fate.twin for fate in fates],
        "weight": np.array([0 if fate.reason else fate.weight for fate in fates], np.int64),
        "spans": spans,
        "edits": [edits[fate.row] for fate in fates],
    }


def action(fate: Fate, edits: list[str]) -> str:
    """keep, edit (kept, something hidden or repaired) or drop."""
    if fate.reason is not None:
        return "drop"
    return "edit" if fate.spans or edits else "keep"


def _write_table(job: Job, folder: str, name: str, columns: dict[str, Any]) -> None:
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.string()
    span = pyarrow.struct([("start", pyarrow.int32()), ("end", pyarrow.int32()), ("type", text)])
    types = {
        "text": pyarrow.large_string(),
        "value": pyarrow.float64(),
        "threshold": pyarrow.float64(),
        "spans": pyarrow.list_(span),
        "edits": pyarrow.list_(text),
    }
    arrays = {
        key: pyarrow.array(column, types.get(key, text))
        if isinstance(column, list)
        else pyarrow.array(column)
        for key, column in columns.items()
    }
    with atomic_file(job.folder / folder / f"{name}.parquet") as file:
        pyarrow.parquet.write_table(pyarrow.table(arrays), file, compression=_COMPRESSION)
