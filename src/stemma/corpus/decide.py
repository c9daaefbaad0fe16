"""Keep or drop: the numbers of `annotate` against small tables, one per language group.

The tables are the only place with thresholds. They are set to leave prose, verse, code and mark-up alone; the values
follow the Gopher and FineWeb-2 rules in kind (length, symbols, repetition) and were fitted on clean text of each sort.
"""

from dataclasses import dataclass
from typing import Literal

from stemma.corpus.annotate import Annotation
from stemma.corpus.repair import Repaired

Group = Literal["zh", "en", "neutral"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule: the document goes when `measure` is below `least` or above `most`."""

    rule: str
    measure: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a document goes: the rule, the measure it looked at, what it found and where the border is."""

    rule: str
    measure: str
    value: float
    threshold: float


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

_MISREAD_ZH = Limit("mojibake", "misread_share", most=0.04)

LIMITS: dict[Group, tuple[Limit, ...]] = {
    "zh": (
        Limit("empty", "characters", least=1),
        Limit("too_short", "characters", least=10),
        *_SHARED,
        _MISREAD_ZH,
    ),
    "en": (Limit("empty", "characters", least=1), Limit("too_short", "characters", least=20), *_SHARED),
    "neutral": (Limit("empty", "characters", least=1), Limit("too_short", "characters", least=12), *_SHARED),
}

RULES = tuple(
    dict.fromkeys(
        [*(limit.rule for limits in LIMITS.values() for limit in limits), "boilerplate", "language"]
    )
)
MOST_FURNITURE = 0.5
"""share of the visible characters that lines of page furniture may take before the page is nothing else"""


def language_group(numbers: Annotation) -> Group:
    """The table that applies: zh where Han characters carry the text (and kana do not), en where its small words do."""
    if numbers.han_share >= 0.3 and numbers.kana_share < 0.05:
        return "zh"
    return "en" if numbers.english_share >= 0.05 else "neutral"


def decide_edited(repaired: Repaired) -> Reason | None:
    """A page that was mostly furniture goes, whatever its other lines are."""
    if "furniture" in repaired.edits and repaired.lost > MOST_FURNITURE:
        return Reason("boilerplate", "lost", repaired.lost, MOST_FURNITURE)
    return None


def decide(numbers: Annotation, group: Group | None = None) -> Reason | None:
    """The first limit the document breaks, or None when it stays."""
    for limit in LIMITS[group or language_group(numbers)]:
        value = float(getattr(numbers, limit.measure))
        if limit.least is not None and value < limit.least:
            return Reason(limit.rule, limit.measure, value, limit.least)
        if limit.most is not None and value > limit.most:
            return Reason(limit.rule, limit.measure, value, limit.most)
    return None
