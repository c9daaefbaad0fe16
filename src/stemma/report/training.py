"""The sections of a training run (pretraining, chat training): curves from `metrics.jsonl`, facts from `run.json`.

Metrics are streamed; a curve is reduced to a few hundred points, each the mean of its steps with their smallest and
largest value as a band, so that a run of a million steps draws as fast as one of a hundred and no spike is hidden.
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stemma.errors import StemmaError
from stemma.report.blocks import Block, Code, Columns, Facts, Figure, Fold, Headline, Section, Text
from stemma.report.formats import count, duration, fixed, plain, scalar, short
from stemma.report.plots import Curve, curves
from stemma.report.record import Record, read_lines, read_record

_POINTS = 240
_TRAIN_FIELDS = ("loss", "bits_per_byte", "learning_rate", "grad_norm", "tokens_per_second", "tokens")
_PROTOCOL = (
    "Cross-entropy weighted over the whole optimiser step, in nats per token. Bits per byte divide it by ln 2 and by the "
    "UTF-8 bytes of a token in that data, so tokenizers can be compared. Validation reads the "
    "same held-out documents every time."
)
_SMALL = (
    ("learning_rate", "Learning rate", "learning rate"),
    ("grad_norm", "Gradient norm", "before clipping"),
    ("tokens_per_second", "Speed", "tokens per second"),
)


@dataclass
class Metrics:
    """One run's numbers by step; fields a line lacks are NaN."""

    steps: array = field(default_factory=lambda: array("q"))
    train: dict[str, array] = field(default_factory=lambda: {name: array("d") for name in _TRAIN_FIELDS})
    validation: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    """domain -> step -> {"loss", "bits_per_byte"}"""


def read_metrics(path: Path) -> Metrics:
    """Stream a metrics file. Steps that a resumed run repeats replace the earlier ones."""
    found = Metrics()
    for line in read_lines(path):
        step = int(line.number("step") or 0)
        if line.text("kind") == "validation":
            values = {
                name: value for name in ("loss", "bits_per_byte") if (value := line.number(name)) is not None
            }
            found.validation.setdefault(line.text("domain") or "all", {})[step] = values
        elif line.text("kind") == "train":
            while found.steps and found.steps[-1] >= step:
                found.steps.pop()
                for values in found.train.values():
                    values.pop()
            found.steps.append(step)
            for name, values in found.train.items():
                value = line.number(name)
                values.append(float("nan") if value is None else value)
    return found


def training(folder: Path, anchor: str, title: str) -> Section | None:
    """The section of a run folder with `metrics.jsonl`, or None."""
    run = read_record(folder / "run.json")
    parameters = run.number("num_parameters") or _count_parameters(folder / "model")
    metrics = read_metrics(folder / "metrics.jsonl")
    if not len(metrics.steps) and not run:
        return None
    blocks: list[Block] = [Text(_sentence(run, metrics))]
    if run.text("command"):
        blocks.append(Code(run.text("command")))
    figures: list[Block] = [figure for figure in (_loss(metrics), _validation(metrics)) if figure]
    small: list[Block] = [figure for name in _SMALL if (figure := _single(metrics, *name))]
    blocks += [Columns(figures)] * bool(figures) + [Columns(small, narrow=True)] * bool(small)
    facts = _facts(run, metrics, parameters)
    if facts:
        blocks.append(Facts(facts))
    for name, counts in run.named():
        if name.endswith("_counts"):
            pairs = [(plain(key), scalar(value)) for key, value in counts.data.items()]
            blocks.append(Fold(f"{plain(name.removesuffix('_counts'))}: what was read", [Facts(pairs)]))
    protocol = ("Loss and bits per byte in training", _PROTOCOL)
    return Section(anchor, title, blocks, _headlines(run, metrics, parameters), [protocol] if figures else [])


def thin(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float], list[float], list[float]]:
    """At most `_POINTS` groups of neighbours: x, mean, smallest and largest y, NaN left out."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if not math.isnan(b)]
    size = max(1, -(-len(pairs) // _POINTS))
    groups = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    means = [sum(b for _, b in group) / len(group) for group in groups]
    lows, highs = [min(b for _, b in g) for g in groups], [max(b for _, b in g) for g in groups]
    return [group[-1][0] for group in groups], means, lows, highs


def _smooth(values: list[float]) -> list[float]:
    """Centred mean over a twentieth of the curve, narrower towards both ends."""
    reach = max(1, len(values) // 40)
    spans = (min(reach, n, len(values) - 1 - n) for n in range(len(values)))
    return [sum(values[n - span : n + span + 1]) / (2 * span + 1) for n, span in enumerate(spans)]


def _loss(metrics: Metrics) -> Figure | None:
    x, mean, low, high = thin(metrics.steps, metrics.train["loss"])
    if len(x) < 2:
        return None
    lines = [Curve("", x, mean, low, high, faint=True), Curve("train", x, _smooth(mean))]
    caption = "Thin, with its range: the steps; thick: mean over a twentieth of the run."
    steps = sorted({step for domain in metrics.validation.values() for step in domain})
    losses = [
        [d[step]["loss"] for d in metrics.validation.values() if "loss" in d.get(step, {})] for step in steps
    ]
    points = [(step, sum(values) / len(values)) for step, values in zip(steps, losses, strict=True) if values]
    if points:
        lines.append(
            Curve("validation", [p[0] for p in points], [p[1] for p in points], color=1, points=True)
        )
        caption += " With dots: validation, mean over domains."
    return Figure(curves(lines, "Loss by step", "step", "nats per token"), "Loss", caption)


def _validation(metrics: Metrics) -> Figure | None:
    lines = []
    for n, (domain, steps) in enumerate(metrics.validation.items(), 1):
        points = [(step, v["bits_per_byte"]) for step, v in sorted(steps.items()) if "bits_per_byte" in v]
        if points:
            lines.append(
                Curve(domain, [p[0] for p in points], [p[1] for p in points], color=n - 1, points=True)
            )
    if not lines:
        return None
    svg = curves(lines, "Validation bits per byte by step", "step", "bits per byte")
    return Figure(svg, "Validation by domain", "Bits per byte of the held-out text; lower is better.")


def _single(metrics: Metrics, name: str, title: str, label: str) -> Figure | None:
    x, mean, low, high = thin(metrics.steps, metrics.train[name])
    if len(x) < 2:
        return None
    svg = curves([Curve("", x, mean, low, high)], f"{title} by step", "step", label, small=True)
    return Figure(svg, title)


def _sentence(run: Record, metrics: Metrics) -> str:
    steps = run.number("steps") or (metrics.steps[-1] if metrics.steps else None)
    tokens = run.number("tokens") or _last(metrics.train["tokens"])
    text = f"{count(steps)} steps" + (f" over {count(tokens)} tokens" if tokens else "")
    seconds = run.number("seconds")
    text += f" in {duration(seconds)}." if seconds else "."
    if metrics.steps:
        first, last = thin(metrics.steps, metrics.train["loss"])[1][:1], _last(metrics.train["loss"])
        if first and last is not None:
            text += f" The training loss went from {fixed(first[0])} to {fixed(last)} nats per token."
    status, error = run.text("status"), run.text("error")
    if status and status != "finished":
        text += f" Status: {status}" + (f" ({error})." if error else ".")
    return text


def _facts(run: Record, metrics: Metrics, parameters: float | None) -> list[tuple[str, str]]:
    speeds = sorted(v for v in metrics.train["tokens_per_second"] if not math.isnan(v))
    found = [
        ("parameters", count(parameters) if parameters else ""),
        ("tokens", count(run.number("tokens")) if run.number("tokens") else ""),
        ("tokens / s, median", count(speeds[len(speeds) // 2]) if speeds else ""),
        ("seed", run.text("seed")),
        ("device", run.text("device")),
        ("dtype", run.text("dtype")),
    ]
    return [(name, value) for name, value in found if value]


def _headlines(run: Record, metrics: Metrics, parameters: float | None) -> list[Headline]:
    found = []
    tokens = run.number("tokens") or _last(metrics.train["tokens"])
    if parameters:
        found.append(
            Headline(short(parameters), "parameters", f"{short(tokens)} tokens seen" if tokens else "")
        )
    last = [
        v["bits_per_byte"]
        for steps in metrics.validation.values()
        if "bits_per_byte" in (v := steps[max(steps)])
    ]
    if last:
        note = f"mean of {len(last)} domains" if len(last) > 1 else "at the last validation"
        found.append(Headline(fixed(sum(last) / len(last), 3), "validation bits per byte", note))
    if seconds := run.number("seconds"):
        found.append(Headline(duration(seconds), "training time", "optimiser steps alone"))
    return found


def _count_parameters(model: Path) -> int | None:
    """Values in the weight files of the finished model, read from their headers."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in sorted(model.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except SafetensorError as error:
            raise StemmaError(
                f"{path}: is not a readable weight file ({error}); write the model again"
            ) from None
    return total or None


def _last(values: array) -> float | None:
    return next((value for value in reversed(values) if not math.isnan(value)), None)
