"""Three plots for every page: curves over steps, horizontal bars with reference marks, dots with intervals.

Each returns inline SVG. Colours are CSS variables of the page (light, dark and print from one drawing), text stays text
in the reader's own fonts (Chinese included), and the bytes depend on the numbers only.
"""

import io
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from stemma.report.formats import short, width

NUM_COLORS = 7
_INKS = ("ink", "muted", "grid", "paper", *(f"series-{n}" for n in range(NUM_COLORS)))
_HEX = {
    name: f"#0a0b{16 + n:02x}" for n, name in enumerate(_INKS)
}  # stands for the variable until the SVG is text
_FONT = 10.0
_WIDTH, _HEIGHT = 480, 250  # pixels: two figures side by side on a desk, one on a phone
_SMALL = 320, 190  # three side by side
_MOST_TICKS = 10


@dataclass(frozen=True)
class Curve:
    """One line: x and y of equal length; `low`/`high` draw a band, `faint` a thin line behind the others."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    color: int = 0
    faint: bool = False
    points: bool = False


@dataclass(frozen=True)
class Series:
    """Values by row name; a row the series lacks is left empty. `intervals` are (low, high) pairs for dots."""

    name: str
    values: dict[str, float]
    color: int = 0
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


def curves(
    lines: Sequence[Curve],
    title: str,
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    small: bool = False,
) -> Markup:
    """Lines over steps or tokens, each named at its right end; a log axis is ticked at the given x, or at powers of ten
    where there are many; a small plot starts at zero."""
    with _style() as figure:
        wide, high = _SMALL if small else (_WIDTH, _HEIGHT)
        figure.set_size_inches(wide / 72, high / 72)
        named = [line for line in lines if line.name and len(line.x)]
        margin = 8 + _FONT * max((width(line.name) for line in named), default=0)
        box = (44 / wide, 40 / high, 1 - (44 + margin) / wide, 1 - 66 / high)
        axes = figure.add_axes(box)
        for line in lines:
            _draw_curve(axes, line)
        if log_x:
            axes.set_xscale("log")
            given = sorted({x for line in lines for x in line.x})
            decades = [10.0**power for power in range(-9, 12) if given[0] <= 10.0**power <= given[-1]]
            axes.set_xticks(given if len(given) <= _MOST_TICKS else decades, minor=False)
            axes.set_xticks([], minor=True)
        first, last = min(line.x[0] for line in lines), max(line.x[-1] for line in lines)
        axes.set_xlim(first, last if last > first else first + 1)
        axes.margins(y=0.06)
        if small:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(x_label)
        _y_title(axes, y_label)
        axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
        axes.yaxis.set_major_formatter(lambda value, _: _tick(value))
        axes.grid(axis="y")
        _name_ends(axes, named)
        return _svg(figure, title)


def bars(
    rows: Mapping[str, str], series: Sequence[Series], marks: Sequence[Series], title: str, label: str
) -> Markup:
    """Horizontal bars; `rows` gives each row's label. `marks` are upright ticks on the same row: references to beat."""
    thick = 13 if len(series) == 1 else 9
    step = thick * len(series) + 12
    with _style() as figure:
        axes = _row_axes(figure, rows, step, _legend_rows([*series, *marks]), label)
        right = max((v for s in (*series, *marks) for v in s.values.values()), default=1) or 1
        axes.set_xlim(0, right * 1.02)
        for index, one in enumerate(series):
            offset = (index - (len(series) - 1) / 2) * thick
            for row, name in enumerate(rows):
                if name in one.values:
                    _draw_bar(axes, row * step + offset, one.values[name], thick - 1.5, one.color)
        reach = (step - 8) / 2
        for one in marks:
            for row, name in enumerate(rows):
                if name in one.values:
                    x, middle = one.values[name], row * step
                    axes.plot([x, x], [middle - reach, middle + reach], color=_ink(one.color), linewidth=2)
        _legend(axes, series, "s", marks)
        return _svg(figure, title)


def dots(rows: Mapping[str, str], series: Sequence[Series], title: str, label: str) -> Markup:
    """Dots with intervals on a 0 to 1 scale shown as percent; rows no series has a value for are headings."""
    step = max(17, 6 * len(series) + 6)
    with _style() as figure:
        axes = _row_axes(figure, rows, step, _legend_rows(series), label)
        axes.set_xlim(-0.01, 1.01)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        for row, name in enumerate(rows):
            if any(name in one.values for one in series):
                axes.axhline(row * step, color=_HEX["grid"], linewidth=0.8, zorder=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}\u202f%")
        for index, one in enumerate(series):
            offset = (index - (len(series) - 1) / 2) * 4
            for row, name in enumerate(rows):
                if name in one.values:
                    y = row * step + offset
                    low, high = one.intervals.get(name, (one.values[name],) * 2)
                    axes.plot([low, high], [y, y], color=_ink(one.color), linewidth=1.4, alpha=0.55)
                    axes.plot([one.values[name]], [y], "o", color=_ink(one.color), markersize=5)
        _legend(axes, series, "o")
        return _svg(figure, title)


def _draw_curve(axes: Any, line: Curve) -> None:
    color = _ink(line.color)
    if len(line.low):
        axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.16, linewidth=0)
    if line.faint:
        axes.plot(line.x, line.y, color=color, linewidth=0.8, alpha=0.4)
    else:
        dotted = {"marker": "o", "markersize": 3.2, "clip_on": False} if line.points else {}
        axes.plot(line.x, line.y, color=color, linewidth=1.7, **dotted)


def _draw_bar(axes: Any, y: float, value: float, thick: float, color: int) -> None:
    axes.barh(y, value, height=thick, color=_ink(color), linewidth=0)
    text = axes.text(
        value, y, f" {_tick(value)}", va="center", ha="left", fontsize=_FONT - 1.2, color=_HEX["ink"]
    )
    text.set_bbox({"facecolor": _HEX["paper"], "edgecolor": "none", "pad": 0.6, "alpha": 0.75})
    text.set_zorder(5)


def _name_ends(axes: Any, lines: Sequence[Curve]) -> None:
    """Write each curve's name at its last point, pushed apart so that names never overlap."""
    to_pixels, to_axes = axes.transData, axes.transAxes.inverted()
    wanted = sorted((float(to_pixels.transform((0, line.y[-1]))[1]), n) for n, line in enumerate(lines))
    gap, placed = _FONT * 1.2, []
    for y, _ in wanted:
        placed.append(max(y, placed[-1] + gap) if placed else y)
    overshoot = max(0.0, (placed[-1] if placed else 0) - float(axes.transAxes.transform((0, 1))[1]))
    for (_, n), y in zip(wanted, placed, strict=True):
        place = float(to_axes.transform((0, y - overshoot))[1])
        axes.text(
            1.012, place, lines[n].name, transform=axes.transAxes, color=_ink(lines[n].color), va="center"
        )


def _row_axes(figure: Any, rows: Mapping[str, str], step: int, num_legend_rows: int, label: str) -> Any:
    top, bottom = 8 + 16 * num_legend_rows, 34
    height = top + bottom + step * len(rows)
    left = 12 + _FONT * max((width(name) for name in rows.values()), default=0)
    figure.set_size_inches(_WIDTH / 72, height / 72)
    axes = figure.add_axes(
        (left / _WIDTH, bottom / height, 0.94 - left / _WIDTH, (height - top - bottom) / height)
    )
    axes.set_ylim(step * (len(rows) - 0.5), -step / 2)
    axes.set_yticks([])
    for row, name in enumerate(rows.values()):
        axes.annotate(
            name, (0, row * step), (2 - left, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center", color=_HEX["ink"],
        )  # fmt: skip
    axes.set_xlabel(label)
    axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
    axes.grid(axis="x")
    axes.spines["bottom"].set_visible(False)
    return axes


def _place_legend(names: Sequence[str]) -> list[tuple[float, int]]:
    """Left edge and row of each name: from the left edge of the figure, in as many rows as they need."""
    places, x, row = [], 4.0, 0
    for name in names:
        wide = 20 + _FONT * width(name)
        if x > 4 and x + wide > _WIDTH:
            x, row = 4.0, row + 1
        places.append((x, row))
        x += wide
    return places


def _legend(axes: Any, series: Sequence[Series], mark: str, marks: Sequence[Series] = ()) -> None:
    """Names above the rows, each after its own mark."""
    box = axes.get_window_extent()
    entries = [(one, mark) for one in series] + [(one, "|") for one in marks]
    places = _place_legend([one.name for one, _ in entries])
    for (one, shape), (x, row) in zip(entries, places, strict=True):
        y = box.y1 + 14 + 16 * (places[-1][1] - row)
        size, edge = {"|": (9, 2), "s": (6.5, 0), "o": (5.5, 0)}[shape]
        style = {"markersize": size, "markeredgewidth": edge, "transform": None, "clip_on": False}
        axes.plot([x + 3], [y], shape, color=_ink(one.color), **style)
        axes.text(x + 10, y, one.name, va="center", fontsize=_FONT, color=_HEX["ink"], transform=None)


def _legend_rows(series: Sequence[Series]) -> int:
    return 1 + max((row for _, row in _place_legend([one.name for one in series])), default=0)


def _y_title(axes: Any, text: str) -> None:
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(text, (0, 1), (-42, 10), color=_HEX["muted"], **place)


def _tick(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return short(value)
    return f"{value:.4g}".replace("e-0", "e-").replace("-", "\u2212")


def _ink(color: int) -> str:
    return _HEX["muted" if color < 0 else f"series-{color % NUM_COLORS}"]


class _style:  # noqa: N801 - reads as a verb at the call
    """A fresh figure under our settings; missing-glyph warnings are off, the reader's browser has the glyphs."""

    def __enter__(self) -> Any:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self._settings = matplotlib.rc_context(_SETTINGS)
        self._warnings = warnings.catch_warnings()
        self._settings.__enter__()
        self._warnings.__enter__()
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        figure = Figure(dpi=72)
        FigureCanvasSVG(figure)
        return figure

    def __exit__(self, *_: object) -> None:
        self._warnings.__exit__(None, None, None)
        self._settings.__exit__(None, None, None)


_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "stemma",
    "text.parse_math": False,
    "font.size": _FONT,
    "font.family": ["DejaVu Sans"],
    "text.color": _HEX["ink"],
    "axes.labelcolor": _HEX["muted"],
    "axes.edgecolor": _HEX["muted"],
    "axes.linewidth": 0.7,
    "axes.labelsize": _FONT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": _HEX["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": _HEX["muted"],
    "ytick.color": _HEX["muted"],
    "xtick.labelcolor": _HEX["ink"],
    "ytick.labelcolor": _HEX["ink"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "butt",
    "path.simplify": True,
}
_DROP = (
    re.compile(
        r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL
    ),
    re.compile(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"'),
    re.compile(r'(?<=<g) id="[^"]*"'),
)


def _svg(figure: Any, title: str) -> Markup:
    """The figure as inline SVG: no prolog, no metadata, ids of its own, CSS variables for colours and fonts."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = buffer.getvalue()
    for pattern in _DROP:
        text = pattern.sub("", text)
    text = text.replace("xlink:href=", "href=")
    for name, code in _HEX.items():
        text = text.replace(code, f"var(--{name})")
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", text)
    size = rf'<svg role="img" aria-label="{escape(title)}" '
    text = re.sub(
        r'<svg (?:width|height)="[^"]*" (.*?)(?:width|height)="[^"]*"', lambda m: size + m[1], text, count=1
    )
    return Markup(re.sub(r"\n\s*", "\n", text).strip())
