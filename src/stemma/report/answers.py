"""Questions answered: accuracy with 95 % Wilson intervals by kind, language and turns, models side by side.

The score of a model is that of its first protocol (stemma.evaluate.evaluation); the others stand in the first table.
"""

from stemma.report.blocks import (
    Block,
    Cell,
    Columns,
    Dialogue,
    Figure,
    Fold,
    Headline,
    Section,
    Stack,
    Table,
    num,
)
from stemma.report.evaluated import Evaluated, protocols
from stemma.report.formats import count, percent, plain
from stemma.report.plots import Series, dots
from stemma.report.record import Record

_MAX_EXAMPLES = 6


def answers(evaluated: list[Evaluated]) -> Section | None:
    """The section of evaluations that asked questions, or None."""
    asked = [one for one in evaluated if one.record.record("questions").number("accuracy") is not None]
    if not asked:
        return None
    best = max(asked, key=lambda one: one.record.record("questions").number("accuracy") or 0.0)
    rows = _rows(asked)
    series = [_series(one) for one in asked]
    figure = Figure(
        dots(rows, series, "Answers right by group, with 95 % intervals", "answers right"),
        "Answers right",
        "Dot: share of generated answers that are the expected one, letter for letter; line: 95 % Wilson interval.",
    )
    blocks: list[Block] = [
        Columns([figure, Stack([_summary(asked), *_pick(best)])]),
        Fold("The numbers of the figure", [_groups(rows, series, asked)]),
    ]
    for one in asked:
        blocks += _examples(one)
    score = best.record.record("questions")
    note = f"{best.name}, {count(score.number('count'))} held-out questions"
    headline = Headline(percent(score.number("accuracy")), "answers right", note)
    return Section("questions", "Questions answered", blocks, [headline], protocols(asked, questions=True))


def _parts(one: Evaluated) -> list[tuple[str, str, Record]]:
    """(key, label, score) of all questions and of every group; a heading has an empty score."""
    score = one.record.record("questions")
    parts = [("all", "all", score)]
    for group, members in score.record("by").named():
        parts.append((group, f"by {plain(group)}", Record({}, "")))
        parts += [(f"{group}/{name}", f"\u2003{plain(name)}", part) for name, part in members.named()]
    return parts


def _rows(asked: list[Evaluated]) -> dict[str, str]:
    return {key: label for one in asked for key, label, _ in _parts(one)}


def _name(one: Evaluated) -> str:
    protocol = one.record.record("questions").text("protocol")
    return f"{one.name} ({protocol})" if protocol else one.name


def _series(one: Evaluated) -> Series:
    values, intervals = {}, {}
    for key, _, part in _parts(one):
        value, low, high = (part.number(name) for name in ("accuracy", "low", "high"))
        if value is not None:
            values[key] = value
            if low is not None and high is not None:
                intervals[key] = (low, high)
    return Series(_name(one), values, one.color, intervals)


def _summary(asked: list[Evaluated]) -> Table:
    rows = []
    for one in asked:
        first = one.record.record("questions")
        scores = [(first.text("protocol"), first), *one.record.record("other_protocols").named()]
        for protocol, score in scores:
            kinds = (score, score.record("likelihood"), score.record("likelihood_per_byte"))
            rows.append([Cell(one.name), Cell(protocol), *(num(_with_interval(kind)) for kind in kinds)])
    columns = ["model", "asked as", "generated", "by likelihood", "likelihood / byte"]
    caption = "Percent right (95 % interval). Likelihood: picking among given choices, which is easier. Below: answers of the best model."
    return Table(columns, rows, "All questions", caption)


def _with_interval(score: Record) -> str:
    value, low, high = (score.number(name) for name in ("accuracy", "low", "high"))
    if value is None:
        return "\u2013"
    return f"{100 * value:.1f}" + (
        f" ({100 * low:.0f}\u2013{100 * high:.0f})" if low is not None and high else ""
    )


def _groups(rows: dict[str, str], series: list[Series], asked: list[Evaluated]) -> Table:
    counts = {key: part.number("count") for one in asked for key, _, part in _parts(one)}
    scores = [{key: part for key, _, part in _parts(one)} for one in asked]
    lines = []
    for key, label in rows.items():
        if any(key in one.values for one in series):
            cells = [num(_with_interval(parts[key]) if key in parts else "\u2013") for parts in scores]
            lines.append([Cell(label), num(count(counts.get(key))), *cells])
        else:
            lines.append([Cell(label, tone="muted"), num(""), *(num("") for _ in series)])
    return Table(
        ["group", "questions", *(one.name for one in series)], lines, "Percent right, with 95 % intervals"
    )


def _examples(one: Evaluated) -> list[Block]:
    examples = one.record.record("questions").records("examples")
    folds: list[Block] = []
    for word, chosen in (
        ("right", [example for example in examples if _is_right(example)]),
        ("wrong", [example for example in examples if not _is_right(example)]),
    ):
        if chosen:
            shown: list[Block] = [_dialogue(example) for example in chosen[:_MAX_EXAMPLES]]
            noun = "answer" if len(shown) == 1 else "answers"
            folds.append(Fold(f"{one.name}: {len(shown)} {word} {noun}", [Columns(shown, narrow=True)]))
    return folds


def _pick(one: Evaluated) -> list[Block]:
    """A right answer in each language and a wrong one, to look at without opening anything."""
    examples = one.record.record("questions").records("examples")
    picked: dict[tuple[str, bool], Block] = {}
    for example in examples:
        right = _is_right(example)
        picked.setdefault((example.text("lang") if right else "", right), _dialogue(example))
    return list(picked.values())[:3]


def _is_right(example: Record) -> bool:
    return example.text("answered") == example.text("expected").strip()


def _dialogue(example: Record) -> Dialogue:
    right = _is_right(example)
    turns = [(one.text("role"), one.text("content")) for one in example.records("messages")]
    turns = turns or [("user", example.text("question"))]
    turns.append(("assistant", example.text("answered") or "(nothing)"))
    if not right:
        turns.append(("expected", example.text("expected")))
    number = example.number("turns")
    words = [
        plain(example.text("kind")),
        example.text("lang"),
        f"turn {number:g}" if number and number > 1 else "",
    ]
    return Dialogue(
        turns,
        " \u00b7 ".join([w for w in words if w] + ["right" if right else "wrong"]),
        "good" if right else "bad",
    )
