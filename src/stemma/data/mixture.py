"""Mixing: how often each document is seen in a run, so that sources, languages and domains have their shares.

A share is a part of the tokens of the run, as in the tables of GPT-3 and LLaMA (Touvron et al. 2023, arXiv
2302.13971, table 1). A document's mean number of copies is

    min(max_epochs, c * own * source * lang * domain),

`own` being what its `weight` says, and the factors such that the shares are met: found by iterative
proportional fitting (Deming and Stephan 1940) over the counts of the groups, with the cap inside each step.
What a group cannot give under the cap the others give, in proportion to their shares. The factors follow from
the counts, and the copies of a document from its weight, id and seed: neither order, files nor workers
matter.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from stemma.config import suggest
from stemma.corpus.weights import Floats, draw, rescale, weigh
from stemma.errors import StemmaError
from stemma.progress import say

Label = Literal["source", "lang", "domain"]
DocumentWeight = Literal["ignore", "frequency", "quality", "given"]
LABELS: tuple[Label, ...] = ("source", "lang", "domain")
NO_LABEL, OTHERS = "(none)", "(others)"
MAX_LABELS = 1000  # names counted one by one; sources can be as many as pages
_SWEEPS, _SETTLED = 200, 1e-9
_LARGEST = 1e100  # of a mean before the cap; shares that contradict each other would raise it for ever
_MARGIN = 2.0  # standard deviations of a draw are at most half the root of the squared lengths; four of them


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The share of the run's tokens of each source, language and domain named; what is not named shares the
    rest in its own proportions, and a label without any names is left alone."""

    source: Mapping[str, float] = field(default_factory=dict)
    lang: Mapping[str, float] = field(default_factory=dict)
    domain: Mapping[str, float] = field(default_factory=dict)
    document_weight: DocumentWeight = "ignore"
    """What a document's field `weight` does. "frequency": it is the size of its group of copies, and counts
    by the steps of stemma.corpus.weights; "quality": the same, doubled for every quarter that its field `quality`
    is above a half and halved for every quarter below, as Baichuan 2 weighs; "given": the mean number of copies
    is proportional to it. Documents without have a weight of 1 and a quality of a half."""
    max_epochs: int = 4
    """No document is seen more often in the run."""
    seed: int = 0

    def __post_init__(self) -> None:
        for label in LABELS:
            shares: Mapping[str, float] = getattr(self, label)
            wrong = [name for name, share in shares.items() if not 0 <= share <= 1]
            if wrong:
                raise StemmaError(
                    f"{label}: the share of {wrong[0]!r} is {shares[wrong[0]]}; "
                    "a share of the tokens lies between 0 and 1"
                )
            total = math.fsum(shares.values())
            if total > 1 + 1e-6:
                raise StemmaError(f"{label}: the shares add up to {total:g}; they are parts of 1")
        if self.max_epochs < 1:
            raise StemmaError(f"max_epochs is {self.max_epochs}; give 1 or more")
        if not 0 <= self.seed < 1 << 63:
            raise StemmaError(f"seed is {self.seed}; give a number between 0 and 2^63 - 1")

    def asked(self, label: Label) -> Mapping[str, float]:
        """The shares of one label by name."""
        return getattr(self, label)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFacts:
    """What is known of n documents beside their tokens. A label a document does not have is None."""

    ids: list[str]
    source: list[str | None]
    lang: list[str | None]
    domain: list[str | None]
    weight: list[float | None]
    quality: list[float | None]

    def labels(self, label: Label) -> list[str | None]:
        """One label of every document."""
        return getattr(self, label)


@dataclass(frozen=True, kw_only=True)
class Share:
    """One row of the table of shares: the documents of one name, their copies and the copies' tokens."""

    label: Label
    name: str
    documents: int
    copies: int
    tokens: int
    given: float
    asked: float | None = None


class Tally:
    """Documents, copies and tokens by label. Counts MAX_LABELS names of each, first come first, and the
    others together; those of `mixture` are always counted."""

    def __init__(self, mixture: Mixture | None = None) -> None:
        self._asked = {label: dict(mixture.asked(label)) if mixture else {} for label in LABELS}
        self._counts = {
            label: {name: np.zeros(3, np.int64) for name in names} for label, names in self._asked.items()
        }

    def add(self, facts: DocumentFacts, copies: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> None:
        """Count documents of `sizes` tokens."""
        counted = np.stack([np.ones_like(sizes), copies, copies * sizes], axis=1)
        for label in LABELS:
            place: dict[str | None, int] = {}
            index = np.array([place.setdefault(name, len(place)) for name in facts.labels(label)], np.int64)
            totals = np.zeros((len(place), 3), np.int64)
            np.add.at(totals, index, counted)
            counts = self._counts[label]
            for name, total in zip(place, totals, strict=True):
                key = NO_LABEL if name is None else name
                if key not in counts and len(counts) >= MAX_LABELS + len(self._asked[label]):
                    key = OTHERS
                counts[key] = counts.get(key, 0) + total

    def shares(self) -> tuple[Share, ...]:
        """The table, by label, largest share first."""
        return tuple(row for label in LABELS for row in self._rows(label))

    def _rows(self, label: Label) -> Iterator[Share]:
        counts, asked = self._counts[label], self._asked[label]
        whole = max(1, sum(int(count[2]) for count in counts.values()))
        for name, count in sorted(counts.items(), key=lambda item: (-int(item[1][2]), item[0])):
            documents, copies, tokens = (int(number) for number in count)
            yield Share(
                label=label,
                name=name,
                documents=documents,
                copies=copies,
                tokens=tokens,
                given=tokens / whole,
                asked=asked.get(name),
            )


class _Group(NamedTuple):
    """Documents with the same mean number of copies: the names asked for that they have, their own weight."""

    source: str | None
    lang: str | None
    domain: str | None
    own: float


class Planner:
    """Collects the counts of all documents and gives them their mean numbers of copies.

    Memory: one count for each combination of names asked for and own weight met; weights are rounded to 8
    binary digits for it.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self._tokens: Counter[_Group] = Counter()
        self._squares: Counter[_Group] = Counter()
        self._seen: dict[Label, dict[str, None]] = {label: {} for label in LABELS}
        self._copies: dict[_Group, float] = {}
        self._documents = self._weighed = self._judged = 0

    def add(self, facts: DocumentFacts, sizes: npt.NDArray[np.int64]) -> None:
        """Count documents of `sizes` tokens."""
        self._documents += len(facts.ids)
        self._weighed += len(facts.ids) - facts.weight.count(None)
        self._judged += len(facts.ids) - facts.quality.count(None)
        for group, size in zip(self._groups(facts), sizes.tolist(), strict=True):
            self._tokens[group] += size
            self._squares[group] += size * size
        for label in LABELS:
            seen = self._seen[label]
            for name in facts.labels(label):
                if name is not None and (len(seen) < MAX_LABELS or name in self.mixture.asked(label)):
                    seen[name] = None

    def solve(self, num_tokens: int | None) -> None:
        """Fix the mean numbers of copies for a run of `num_tokens`, by default as many as the documents have.

        Aims a little higher, so that the tokens drawn are enough. Says so where no document has what
        `document_weight` goes by. Raises StemmaError for a name that no
        document has, for documents that no share is left for, and for a run that needs more than max_epochs
        of everything.
        """
        self._refuse_unknown_names()
        self._say_what_is_missing()
        groups = sorted(self._tokens, key=lambda group: tuple((part is not None, part) for part in group))
        sizes = np.array([self._tokens[group] for group in groups], np.int64)
        own = np.array([group.own for group in groups], np.float64)
        columns = [_column(self.mixture, label, groups) for label in LABELS if self.mixture.asked(label)]
        possible = np.ones(len(groups), bool)
        for column in columns:
            possible &= column.shares[column.name_of] > 0
        own = np.where(possible, own, 0.0)
        cap = float(self.mixture.max_epochs)
        most = float(cap * sizes[possible].sum())
        wanted = float(sizes.sum()) if num_tokens is None else float(num_tokens)
        if wanted > most:
            raise StemmaError(
                f"data.mixture: the run is {wanted:,.0f} tokens long, and {self.mixture.max_epochs} epochs of the "
                f"documents with a share give {most:,.0f}; train fewer steps, raise max_epochs or add documents"
            )
        squares = sum(self._squares[group] for group, can in zip(groups, possible, strict=True) if can)
        target = wanted if num_tokens is None else min(most, wanted + _MARGIN * math.sqrt(squares))
        self._copies = dict(zip(groups, _fit(own, sizes, columns, target, cap).tolist(), strict=True))

    def copies(self, facts: DocumentFacts) -> npt.NDArray[np.int64]:
        """(n,) how often each document is in the run, after `solve`."""
        weights = np.array([self._copies[group] for group in self._groups(facts)], np.float64)
        return draw(facts.ids, weights, seed=self.mixture.seed, epoch=0)

    def _groups(self, facts: DocumentFacts) -> list[_Group]:
        columns = [
            [name if name in asked else None for name in facts.labels(label)]
            for label in LABELS
            for asked in (self.mixture.asked(label),)
        ]
        own = _own_weights(facts, self.mixture.document_weight).tolist()
        return [_Group(*row) for row in zip(*columns, own, strict=True)]

    def _say_what_is_missing(self) -> None:
        scheme = self.mixture.document_weight
        lacking, have = ("quality", self._judged) if scheme == "quality" else ("weight", self._weighed)
        if scheme != "ignore" and self._documents and not have:
            rest = "they count by their weight alone" if self._weighed else "all count alike"
            say(
                f"data.mixture.document_weight is '{scheme}' and none of {self._documents:,} documents has a {lacking}: "
                f"{rest}"
            )

    def _refuse_unknown_names(self) -> None:
        for label in LABELS:
            for name in self.mixture.asked(label):
                if name not in self._seen[label]:
                    known = [*self._seen[label]][:20] or ["none"]
                    raise StemmaError(
                        f"data.mixture.{label}: no document of data.train has the {label} "
                        f"{name!r}{suggest(name, known)}"
                    )


class _Column(NamedTuple):
    """One label over the groups: which of its names each has, and the share of each name."""

    name_of: npt.NDArray[np.int64]
    shares: Floats


def _column(mixture: Mixture, label: Label, groups: Sequence[_Group]) -> _Column:
    """The names asked for and, where there are other documents, the rest as one more."""
    asked = mixture.asked(label)
    names: list[str | None] = [*asked]
    shares = [*asked.values()]
    rest = 1 - math.fsum(shares)
    if any(getattr(group, label) is None for group in groups):
        names.append(None)
        shares.append(rest if rest > 1e-6 else 0.0)
    elif rest > 1e-6:
        raise StemmaError(
            f"data.mixture.{label}: the shares add up to {1 - rest:g} and no document has another {label}; "
            "make them add up to 1"
        )
    place = {name: number for number, name in enumerate(names)}
    index = np.array([place[getattr(group, label)] for group in groups], np.int64)
    return _Column(index, np.array(shares, np.float64))


def _own_weights(facts: DocumentFacts, scheme: DocumentWeight) -> Floats:
    """(n,) with 8 binary digits, so that few differ."""
    if scheme == "ignore":
        return np.ones(len(facts.ids))
    given = np.array([1.0 if weight is None else weight for weight in facts.weight], np.float64)
    if scheme != "given":
        sizes = np.clip(given, 1, 2**62).astype(np.int64)
        quality = np.array(facts.quality, np.float64) if scheme == "quality" else None
        given = weigh(sizes, quality)
    mantissa, exponent = np.frexp(np.clip(given, 2.0**-60, 2.0**60))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def _fit(
    own: Floats, sizes: npt.NDArray[np.int64], columns: Sequence[_Column], target: float, cap: float
) -> Floats:
    """(groups,) mean copies, `target` tokens in all, every column's shares met as far as the cap lets them."""
    raw = own
    if not columns:
        return rescale(raw, sizes, target, cap)
    for _ in range(_SWEEPS):
        before = raw
        for column in columns:
            raw = _fit_column(raw, sizes, column, target, cap)
        moved = np.minimum(raw, cap) - np.minimum(before, cap)
        if float(np.abs(moved * sizes).sum()) <= _SETTLED * target:
            break
    return np.minimum(raw, cap)


def _fit_column(
    raw: Floats, sizes: npt.NDArray[np.int64], column: _Column, target: float, cap: float
) -> Floats:
    """`raw` times one factor for each name, so that each has its tokens once the cap is applied."""
    num_names = len(column.shares)
    most = np.asarray(cap * np.bincount(column.name_of, np.where(raw > 0, sizes, 0), num_names), np.float64)
    result = raw.copy()
    for name, tokens in enumerate(_amounts(column.shares, most, target)):
        rows = np.flatnonzero((column.name_of == name) & (raw > 0))
        wanted = min(float(tokens), float(cap * sizes[rows].sum()))
        if wanted <= 0:
            result[rows] = 0.0
            continue
        # Capped ones were raised by at least as much as they show: the largest ratio is the factor of all.
        scaled = rescale(raw[rows], sizes[rows], wanted, cap)
        result[rows] *= (scaled / raw[rows]).max()
    return np.minimum(result, _LARGEST)


def _amounts(shares: Floats, most: Floats, target: float) -> Floats:
    """Tokens of each name: its share, at most what it has; what is missing is taken from the others."""
    full = most <= 0
    while True:
        free = np.where(full, 0.0, shares)
        missing = max(0.0, target - float(most[full].sum()))
        amounts = np.where(full, most, missing * free / max(float(free.sum()), np.finfo(np.float64).tiny))
        over = ~full & (amounts > most)
        if not over.any():
            return amounts
        full |= over


def table(shares: Sequence[Share], most: int = 12) -> list[str]:
    """Lines to print: of each label with more than one name, or one asked for, the `most` largest."""
    lines: list[str] = []
    for label in LABELS:
        rows = [row for row in shares if row.label == label]
        if len(rows) < 2 and all(row.asked is None for row in rows):
            continue
        shown = [row for i, row in enumerate(rows) if i < most or row.asked is not None]
        lines.append(f"{label:<32} {'documents':>12} {'copies':>12} {'tokens':>16} {'asked':>7} {'given':>7}")
        lines += [
            f"  {row.name[:30]:<30} {row.documents:>12,} {row.copies:>12,} {row.tokens:>16,} "
            f"{'' if row.asked is None else f'{row.asked:.1%}':>7} {row.given:>7.1%}"
            for row in shown
        ]
        if len(shown) < len(rows):
            lines.append(f"  and {len(rows) - len(shown)} more in index.json")
    return lines
