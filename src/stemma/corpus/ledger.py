"""The books of a cleaning run: writes each kept document and each decision, and counts as it goes."""

import json
from collections import Counter
from pathlib import Path
from typing import IO, Any, Self

from stemma.corpus.decide import Reason
from stemma.corpus.personal import Span, redact
from stemma.corpus.spool import Entry
from stemma.corpus.summary import CleaningSummary, Cluster, Counts

NUM_SAMPLES, SAMPLE_CHARACTERS = 5, 200
NUM_CLUSTERS = 10
MAX_SOURCES = 10_000
OTHER_SOURCES = "(other sources)"
_ROWS = 16_384  # decisions in a row group


class Ledger:
    """Two files, written in input order; a context manager that closes them."""

    def __init__(self, documents: Path, decisions: Path) -> None:
        import pyarrow
        import pyarrow.parquet
        import zstandard

        span = pyarrow.struct(
            [("start", pyarrow.int32()), ("end", pyarrow.int32()), ("type", pyarrow.string())]
        )
        names = ("id", "source", "lang", "action", "rule", "measure")
        self._schema = pyarrow.schema(
            [(name, pyarrow.string()) for name in names]
            + [("value", pyarrow.float64()), ("threshold", pyarrow.float64()), ("twin", pyarrow.string())]
            + [("weight", pyarrow.int64()), ("spans", pyarrow.list_(span))]
            + [("edits", pyarrow.list_(pyarrow.string()))]
        )
        self._table = pyarrow.Table
        self._raw: IO[bytes] = documents.open("wb")
        self._documents = zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(self._raw)
        self._decisions = pyarrow.parquet.ParquetWriter(decisions, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._total, self._languages, self._sources = _Tally(), dict[str, _Tally](), dict[str, _Tally]()
        self._dropped, self._edited = 0, 0
        self._rules: Counter[str] = Counter()
        self._redacted: Counter[str] = Counter()
        self._edits: Counter[str] = Counter()
        self._samples: dict[str, list[str]] = {}
        self._clusters: list[Cluster] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
                self._documents.close()  # ends the frame
            self._decisions.close()
        finally:
            self._raw.close()

    def keep(self, entry: Entry, text: str, spans: list[Span], weight: int) -> None:
        """Write a document that stays, with its edited text."""
        document, lang = entry.document, _language(entry)
        line: dict[str, Any] = {"id": document.id, "text": text, "source": document.source, "lang": lang}
        line["domain"] = document.domain
        if document.licence is not None:
            line["licence"] = document.licence
        line["weight"] = weight
        self._documents.write(json.dumps(line, ensure_ascii=False).encode("utf-8") + b"\n")
        self._row(entry, "edit" if spans or entry.edits else "keep", None, None, spans, weight)
        self._count(entry, len(text))
        self._edited += bool(spans or entry.edits)
        self._edits.update(entry.edits)
        self._redacted.update(span.type for span in spans)
        if weight > 1:
            self._clusters.append(Cluster(id=document.id, documents=weight))
            if len(self._clusters) > 10 * NUM_CLUSTERS:
                self._clusters = _largest(self._clusters)

    def drop(self, entry: Entry, reason: Reason | None, twin: str | None) -> None:
        """Record a document that goes."""
        assert reason is not None
        self._row(entry, "drop", reason, twin, [], 0)
        self._count(entry, None)
        self._dropped += 1
        self._rules[reason.rule] += 1
        samples = self._samples.setdefault(reason.rule, [])
        if len(samples) < NUM_SAMPLES:
            samples.append(redact(entry.document.text[:SAMPLE_CHARACTERS])[0])

    def summary(self, **known: Any) -> CleaningSummary:
        """The account; `known` are the fields of CleaningSummary that the ledger did not see."""
        return CleaningSummary(
            total=self._total.counts(),
            documents_dropped=self._dropped,
            documents_edited=self._edited,
            by_rule=dict(sorted(self._rules.items())),
            by_language={name: tally.counts() for name, tally in sorted(self._languages.items())},
            by_source={name: tally.counts() for name, tally in sorted(self._sources.items())},
            redacted=dict(sorted(self._redacted.items())),
            edits=dict(sorted(self._edits.items())),
            largest_clusters=tuple(_largest(self._clusters)),
            samples={rule: tuple(texts) for rule, texts in sorted(self._samples.items())},
            **known,
        )

    def _row(
        self,
        entry: Entry,
        action: str,
        reason: Reason | None,
        twin: str | None,
        spans: list[Span],
        weight: int,
    ) -> None:
        self._rows.append(
            {
                "id": entry.document.id,
                "source": entry.document.source,
                "lang": _language(entry),
                "action": action,
                "rule": reason.rule if reason else None,
                "measure": reason.measure if reason else None,
                "value": reason.value if reason else None,
                "threshold": reason.threshold if reason else None,
                "twin": twin,
                "weight": weight,
                "spans": [{"start": s.start, "end": s.end, "type": s.type} for s in spans],
                "edits": list(entry.edits),
            }
        )
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._decisions.write_table(self._table.from_pylist(self._rows, self._schema))
            self._rows.clear()

    def _count(self, entry: Entry, characters_out: int | None) -> None:
        source = entry.document.source
        if source not in self._sources and len(self._sources) >= MAX_SOURCES:
            source = OTHER_SOURCES
        language = self._languages.setdefault(_language(entry), _Tally())
        for tally in (self._total, language, self._sources.setdefault(source, _Tally())):
            tally.add(entry.characters, characters_out)


class _Tally:
    """A running `Counts`."""

    __slots__ = ("_characters", "_documents", "_kept", "_out")

    def __init__(self) -> None:
        self._documents = self._kept = self._characters = self._out = 0

    def add(self, characters: int, characters_out: int | None) -> None:
        self._documents += 1
        self._characters += characters
        if characters_out is not None:
            self._kept += 1
            self._out += characters_out

    def counts(self) -> Counts:
        return Counts(
            documents_in=self._documents,
            documents_kept=self._kept,
            characters_in=self._characters,
            characters_out=self._out,
        )


def _language(entry: Entry) -> str:
    """What the record says, else what was recognised, und when neither says anything."""
    return entry.document.lang or entry.lang or "und"


def _largest(clusters: list[Cluster]) -> list[Cluster]:
    return sorted(clusters, key=lambda cluster: -cluster.documents)[:NUM_CLUSTERS]
