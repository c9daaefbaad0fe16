"""Keep or drop: the numbers of `measures` against small tables, one per language group.

The tables are the only place with thresholds. Those here are set to leave prose, verse, code and mark-up
alone; the values follow the Gopher and FineWeb-2 rules in kind (length, symbols, repetition) and were fitted
on clean text of each sort. Published sets, which are stricter, are added by name (`rule_sets`), and any limit
can be moved; both need only the numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from stemma.config import suggest
from stemma.corpus.columns import CATEGORIES, MEASURES
from stemma.corpus.machine_text import (
    MOST_EVEN_CUTS,
    MOST_SEAMS,
    MOST_SEAMS_OF_CHAIN,
    MOST_STUFFED_HAN,
    MOST_STUFFED_WORDS,
)
from stemma.corpus.measures import GROUPS
from stemma.errors import StemmaError

Group = Literal["zh", "en", "neutral"]  # as in GROUPS


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a document goes: the rule, the measure it looked at, what it found and where the border is."""

    rule: str
    measure: str
    value: float
    threshold: float


NEVER = 1e38
"""a border that nothing reaches: the limit is only measured and reported until it is moved"""


@dataclass(frozen=True, slots=True)
class Limit:
    """One border: a document of `group` goes when `measure` is below `least`, or when it is above `most`."""

    rule: str
    measure: str
    least: float | None = None
    most: float | None = None
    group: Group = "neutral"

    def __post_init__(self) -> None:
        if (self.least is None) == (self.most is None):
            raise StemmaError(
                f"limit {self.rule} of {self.measure}: give a least or a most, not both or none"
            )

    @property
    def side(self) -> Literal["least", "most"]:
        """Which border it is."""
        return "most" if self.least is None else "least"

    @property
    def border(self) -> float:
        """Where it is."""
        border = self.most if self.least is None else self.least
        assert border is not None
        return border

    @property
    def name(self) -> str:
        """The full key by which it is moved."""
        return f"{self.group}.{self.rule}.{self.measure}.{self.side}"

    @property
    def is_in_use(self) -> bool:
        """Whether a document can break it; one at NEVER waits to be moved."""
        return abs(self.border) < NEVER

    def is_broken(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """(n,) for the rows (n, len(MEASURES)) of documents; a value at the border stays, in single
        precision."""
        column, border = values[:, MEASURES.index(self.measure)], np.float32(self.border)
        return column > border if self.side == "most" else column < border

    def reason(self, row: npt.NDArray[np.float32]) -> Reason:
        """Why a document with this row of measures goes, given that it breaks the limit."""
        return Reason(self.rule, self.measure, float(row[MEASURES.index(self.measure)]), self.border)


_SHARED = (
    Limit("too_long", "characters", most=5_000_000),
    Limit("invalid_damaged", "damaged_share", most=0.005),
    Limit("mojibake", "misread_share", most=0.25),
    Limit("placeholder", "placeholder", most=0.5),
    Limit("invalid_symbols", "symbol_share", most=0.60),
    Limit("invalid_numbers", "digit_share", most=0.70),
    Limit("invalid_links", "links_per_100", most=2.0),
    Limit("repetition_characters", "run_share", most=0.40),
    Limit("repetition_lines", "duplicate_line_share", most=0.60),
    Limit("repetition_ngrams", "repeated_10gram_share", most=0.70),
    Limit("repetition_ngrams", "top_3gram_share", most=0.40),
    Limit("template", "short_repeated_share", most=0.60),
)

_MACHINE_TEXT = (
    Limit("machine_text", "seams", most=MOST_SEAMS),
    Limit("machine_text", "chain_seams", most=MOST_SEAMS_OF_CHAIN),
    Limit("machine_text", "even_cut_share", most=MOST_EVEN_CUTS),
    Limit("machine_text", "stuffed_words", most=MOST_STUFFED_WORDS),
    Limit("machine_text", "stuffed_han", most=MOST_STUFFED_HAN),
)
_ON_REQUEST = (
    *(Limit(f"toxic_{category}", f"toxic_{category}", most=NEVER) for category in CATEGORIES),
    Limit("toxicity", "toxicity", most=NEVER),
    Limit("low_quality", "quality", least=-NEVER),
    Limit("perplexity", "perplexity", most=NEVER),
    Limit("machine_text", "chain_1", most=NEVER),
    Limit("machine_text", "chain_2", most=NEVER),
)

_MOST_MISREAD_ZH = 0.04  # in Chinese the letters and signs of misread bytes are rare


def _table(fewest_characters: int, shared: Sequence[Limit] = _SHARED) -> tuple[Limit, ...]:
    lengths = Limit("empty", "characters", least=1), Limit("too_short", "characters", least=fewest_characters)
    return *lengths, *shared, *_MACHINE_TEXT, *_ON_REQUEST


LIMITS: dict[Group, tuple[Limit, ...]] = {
    "zh": _table(
        10,
        [replace(limit, most=_MOST_MISREAD_ZH) if limit.rule == "mojibake" else limit for limit in _SHARED],
    ),
    "en": _table(20),
    # Which words every sentence needs is known of English only.
    "neutral": tuple(
        replace(limit, most=NEVER) if limit.measure == "stuffed_words" else limit for limit in _table(12)
    ),
}

MOST_FURNITURE = 0.5
"""share of the visible characters that lines of page furniture may take before the page is nothing else"""


def is_furniture_page(edits: Sequence[str], lost: float) -> bool:
    """Whether a page whose `repair` made these edits and lost this share is nothing but furniture."""
    return "furniture" in edits and lost > MOST_FURNITURE


def limits_of(rule_sets: Sequence[str] = (), moved: Mapping[str, float] | None = None) -> tuple[Limit, ...]:
    """The limits of all groups in the order in which they are looked at: the default tables, then the sets
    named.

    `moved` gives borders other values. A key names the limit: the group (or none, for all), the rule, and
    where a rule has several borders also the measure and `least` or `most`: "en.template", "mojibake",
    "gopher.num_words.least". Of a published set the rule is the set's name. An infinite value takes a limit
    out. Raises StemmaError for a set or limit that does not exist, for a key that names several borders, and
    for a value that is no number.
    """
    from stemma.corpus.rule_sets import RULE_SETS

    for name in rule_sets:
        if name not in RULE_SETS:
            raise StemmaError(f"rule_sets: there is no set of rules '{name}'{suggest(name, list(RULE_SETS))}")
    limits = [replace(limit, group=group) for group in LIMITS for limit in LIMITS[group]]
    limits += [limit for name in dict.fromkeys(rule_sets) for limit in RULE_SETS[name]]
    for key, value in (moved or {}).items():
        _move(limits, key, value)
    return tuple(limits)


def decide_batch(
    values: npt.NDArray[np.float32], groups: npt.NDArray[np.uint8], limits: Sequence[Limit]
) -> npt.NDArray[np.int64]:
    """(n,) the place in `limits` of the first one that a document of its group breaks, or -1: from stored
    numbers alone.

    `values` (n, len(MEASURES)) and `groups` (n,) are the fields of `Measures`.
    """
    verdicts = np.full(len(values), -1, np.int64)
    for place in range(len(limits) - 1, -1, -1):
        limit = limits[place]
        verdicts[(groups == GROUPS.index(limit.group)) & limit.is_broken(values)] = place
    return verdicts


def _move(limits: list[Limit], key: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or np.isnan(value):
        raise StemmaError(f"limits: '{key}' is {value!r}; give a number")
    parts = key.split(".")
    named = [place for place, limit in enumerate(limits) if _is_part(parts, limit.name.split("."))]
    if not named:
        names = [limit.name.split(".") for limit in limits]
        known = {".".join(name[a:b]) for name in names for a in (0, 1) for b in (2, 3, 4)}
        rules = {name[1] for name in names}
        raise StemmaError(f"limits: there is no limit '{key}'{suggest(key, sorted(known), sorted(rules))}")
    if len({(limits[place].measure, limits[place].side) for place in named}) > 1:
        each = sorted({limits[place].name for place in named})
        raise StemmaError(f"limits: '{key}' names several borders; name one: {', '.join(each)}")
    for place in named:
        limits[place] = replace(limits[place], **{limits[place].side: float(value)})


def _is_part(parts: list[str], full: list[str]) -> bool:
    """Whether `parts` begins the full key, its group left out or not."""
    start = 0 if parts[0] in GROUPS else 1
    return full[start : start + len(parts)] == parts
