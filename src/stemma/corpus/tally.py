"""Counts of a part of the corpus, and their sum over the parts: what the summary and the report are made of."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stemma.corpus.personal import redact
from stemma.corpus.read import BadRecords
from stemma.corpus.summary import Cluster, Counts

if TYPE_CHECKING:
    from stemma.corpus.ledger import Fate

NUM_SAMPLES, SAMPLE_CHARACTERS = 5, 200
NUM_CLUSTERS = 10
MAX_NAMES = 10_000  # sources, or licences, counted one by one
OTHERS = "(others)"
_IN, _KEPT, _CHARACTERS_IN, _CHARACTERS_OUT = range(4)


@dataclass
class Tally:
    """Everything is a count, a list of first examples, or a list of largest clusters, so tallies can be added."""

    total: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    edited: int = 0
    languages: dict[str, list[int]] = field(default_factory=dict)
    sources: dict[str, list[int]] = field(default_factory=dict)
    licences: dict[str, list[int]] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    edits: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)
    clusters: list[list[Any]] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    duplicate_ids: int = 0
    duplicate_id_examples: list[str] = field(default_factory=list)

    def add(self, fate: "Fate", columns: dict[str, list[Any]], edits: list[str], characters: int) -> None:
        """Count one document."""
        kept = fate.reason is None
        counts = [1, int(kept), characters, len(fate.text) if kept else 0]
        language, source, licence = (columns[name][fate.row] for name in ("lang", "source", "licence"))
        self._count(language, source, licence, counts)
        if fate.reason is not None:
            rule = fate.reason.rule
            self.rules[rule] += 1
            if rule.startswith("leak_") and fate.twin is not None:
                self.leaked[fate.twin.rsplit("#", 1)[0]] += 1
            samples = self.samples.setdefault(rule, [])
            if len(samples) < NUM_SAMPLES:
                samples.append(redact(fate.text[:SAMPLE_CHARACTERS])[0])
            return
        self.edited += bool(fate.spans or edits)
        self.edits.update(edits)
        self.redacted.update(span.type for span in fate.spans)
        if fate.weight > 1:
            self.clusters = _largest([*self.clusters, [columns["id"][fate.row], fate.weight]])

    def add_duplicate_id(self, identity: str, source: str) -> None:
        """Count a document whose id an earlier one has."""
        self.duplicate_ids += 1
        if len(self.duplicate_id_examples) < NUM_SAMPLES:
            text = f"{source}: the id {identity!r} stands twice; ids must differ"
            self.duplicate_id_examples.append(text)

    def _count(self, language: str, source: str, licence: str | None, counts: list[int]) -> None:
        for own in (
            self.total,
            self.languages.setdefault(language, [0, 0, 0, 0]),
            _place(self.sources, source),
            _place(self.licences, licence or ""),
        ):
            for i, count in enumerate(counts):
                own[i] += count

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()
        }

    def extend(self, later: dict[str, Any]) -> None:
        """Add the `plain` tally of a later part."""
        for name in ("languages", "sources", "licences"):
            for key, counts in later[name].items():
                own = _place(getattr(self, name), key)
                own[:] = [a + b for a, b in zip(own, counts, strict=True)]
        self.total = [a + b for a, b in zip(self.total, later["total"], strict=True)]
        self.edited += later["edited"]
        for name in ("rules", "redacted", "edits", "leaked", "broken"):
            getattr(self, name).update(later[name])
        for name, bins in later["histograms"].items():
            own_bins = self.histograms.setdefault(name, {})
            for place, counts in bins.items():
                own_bins[place] = [a + b for a, b in zip(own_bins.get(place, [0, 0]), counts, strict=True)]
        for rule, texts in later["samples"].items():
            own_samples = self.samples.setdefault(rule, [])
            own_samples += texts[: NUM_SAMPLES - len(own_samples)]
        self.clusters = _largest([*self.clusters, *later["clusters"]])
        self.duplicate_ids += later["duplicate_ids"]
        room = NUM_SAMPLES - len(self.duplicate_id_examples)
        self.duplicate_id_examples += later["duplicate_id_examples"][:room]

    def fields(self) -> dict[str, Any]:
        """The fields of CleaningSummary that it knows."""
        return {
            "total": _counts(self.total),
            "documents_dropped": sum(self.rules.values()),
            "documents_edited": self.edited,
            "by_rule": dict(sorted(self.rules.items())),
            "by_language": {name: _counts(counts) for name, counts in sorted(self.languages.items())},
            "by_source": {name: _counts(counts) for name, counts in sorted(self.sources.items())},
            "by_licence": {name: _counts(counts) for name, counts in sorted(self.licences.items())},
            "redacted": dict(sorted(self.redacted.items())),
            "edits": dict(sorted(self.edits.items())),
            "leaked": dict(sorted(self.leaked.items())),
            "broken": dict(sorted(self.broken.items())),
            "histograms": {
                name: {place: (bins[place][0], bins[place][1]) for place in sorted(bins, key=int)}
                for name, bins in sorted(self.histograms.items())
            },
            "largest_clusters": tuple(Cluster(id=name, documents=weight) for name, weight in self.clusters),
            "samples": {rule: tuple(texts) for rule, texts in sorted(self.samples.items())},
        }

    def count_bad(self, bad: BadRecords) -> None:
        """Tell the records that were passed over about the duplicate ids."""
        if self.duplicate_ids:
            bad.reasons["duplicate id"] += self.duplicate_ids
            bad.extend(BadRecords(examples=self.duplicate_id_examples))


def _place(table: dict[str, list[int]], name: str) -> list[int]:
    """The counts of a name, or of all others where there are too many names."""
    if name not in table and len(table) >= MAX_NAMES:
        name = OTHERS
    return table.setdefault(name, [0, 0, 0, 0])


def _counts(counts: list[int]) -> Counts:
    return Counts(
        documents_in=counts[_IN],
        documents_kept=counts[_KEPT],
        characters_in=counts[_CHARACTERS_IN],
        characters_out=counts[_CHARACTERS_OUT],
    )


def _largest(clusters: list[list[Any]]) -> list[list[Any]]:
    return sorted(clusters, key=lambda cluster: -cluster[1])[:NUM_CLUSTERS]
