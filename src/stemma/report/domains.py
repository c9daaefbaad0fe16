"""Held-out bits per byte by domain: the models beside what compressors and a unigram model make of the same text."""

from stemma.report.blocks import Cell, Columns, Figure, Headline, Section, Table, num
from stemma.report.evaluated import Evaluated, protocols
from stemma.report.formats import count, fixed
from stemma.report.plots import NUM_COLORS, Series, bars

_PRIMARY = "xz -9"  # the compressor of the headline


def domains(evaluated: list[Evaluated]) -> Section | None:
    """The section of evaluations that measured texts, or None."""
    models = [Series(one.name, values, one.color) for one in evaluated if (values := _bits(one))]
    rows = list(dict.fromkeys(row for series in models for row in series.values))
    if not rows:
        return None
    found: dict[str, dict[str, float]] = {}
    for one in evaluated:
        for row, part in one.record.record("references").named():
            for name, value in part.numbers():
                found.setdefault(name, {}).setdefault(row, value)
    # References take their colours from the far end of the palette, away from the models'.
    marks = [Series(name, values, NUM_COLORS - 1 - n) for n, (name, values) in enumerate(found.items())]
    svg = bars({row: row for row in rows}, models, marks, "Held-out bits per byte by domain", "bits per byte")
    caption = "Shorter is better. Bars: models; upright ticks: the same text compressed, or coded by token frequency."
    figure = Figure(svg, "Held-out bits per byte", caption if marks else "Shorter is better.")
    headline, rule = _headline(models, found.get(_PRIMARY, {}))
    table = _table(rows, [*models, *marks], evaluated)
    rules = [*protocols(evaluated, questions=False), rule]
    return Section("bits-per-byte", "Held-out bits per byte", [Columns([figure, table])], [headline], rules)


def _bits(one: Evaluated) -> dict[str, float]:
    parts = one.record.record("bits_per_byte").named()
    return {name: value for name, part in parts if (value := part.number("bits_per_byte")) is not None}


def _table(rows: list[str], series: list[Series], evaluated: list[Evaluated]) -> Table:
    lines = []
    for row in rows:
        values = [one.values.get(row) for one in series]
        lowest = min(value for value in values if value is not None)
        sizes = (one.record.record("bits_per_byte").record(row).number("bytes") for one in evaluated)
        cells = [num(fixed(value, 3), "good" if value == lowest else "") for value in values]
        lines.append([Cell(row), *cells, num(count(next((size for size in sizes if size), None)))])
    return Table(
        ["domain", *(one.name for one in series), "bytes"], lines, "The same numbers", "Best in green."
    )


def _headline(models: list[Series], compressed: dict[str, float]) -> tuple[Headline, tuple[str, str]]:
    """The model with the lowest mean over domains, against a compressor on the same domains."""
    means = [(sum(one.values.values()) / len(one.values), one) for one in models]
    mean, best = min(means, key=lambda pair: pair[0])
    shared = [compressed[row] for row in best.values if row in compressed]
    note = (
        f"{_PRIMARY} needs {fixed(sum(shared) / len(shared), 2)}"
        if len(shared) == len(best.values)
        else best.name
    )
    rule = f"Unweighted mean over {len(best.values)} domains of the best model here, {best.name}."
    return Headline(fixed(mean, 2), "bits per byte, held out", note), ("bits per byte in the headline", rule)
