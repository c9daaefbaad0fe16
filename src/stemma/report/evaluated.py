"""The evaluations of a chain: one `evaluation.json` per model, under the model's short name."""

from dataclasses import dataclass
from pathlib import Path

from stemma.report.formats import plain
from stemma.report.record import Record, read_record


@dataclass(frozen=True)
class Evaluated:
    """One model's evaluation (fields of stemma.evaluate.evaluation.EvaluationResult); `color` is its own everywhere."""

    name: str
    color: int
    record: Record


def read_evaluations(folder: Path) -> list[Evaluated]:
    """`evaluate/NAME.json` and `evaluate/NAME/evaluation.json`, or the folder's own `evaluation.json`; base first."""
    files = {path.stem: path for path in folder.glob("evaluate/*.json")}
    files |= {path.parent.name: path for path in folder.glob("evaluate/*/evaluation.json")}
    if (folder / "evaluation.json").exists():
        files.setdefault("model", folder / "evaluation.json")
    order = sorted(files, key=lambda name: (not name.startswith("base"), name != "sft", name))
    return [Evaluated(plain(name), color, read_record(files[name])) for color, name in enumerate(order)]


def protocols(evaluated: list[Evaluated], *, questions: bool) -> list[tuple[str, str]]:
    """What the files say about how they measured: the protocols of questions, or those of texts."""
    found: dict[str, str] = {}
    for one in evaluated:
        asked = {one.record.record("questions").text("protocol"), *one.record.record("other_protocols")}
        stated = one.record.record("protocols")
        for name in stated:
            if (name in asked) == questions:
                label = f"questions, {name}" if questions else plain(name)
                if found.setdefault(label, stated.text(name)) != stated.text(name):
                    found[f"{label} ({one.name})"] = stated.text(name)
    return list(found.items())
