"""One page from one folder: a chain (`clean/ tokenizer/ pretrain/ sft/ evaluate/ upgrade/ commands.json`), a single
run, or an upgrade. Every part is optional; the page shows what is there, in the order the text travelled.
"""

import itertools
from pathlib import Path

import jinja2

from stemma import __version__
from stemma.errors import StemmaError
from stemma.report.answers import answers
from stemma.report.blocks import Block, Cell, Code, Fold, Headline, Section, Table, num
from stemma.report.chats import chats
from stemma.report.cleaning import cleaning
from stemma.report.domains import domains
from stemma.report.evaluated import read_evaluations
from stemma.report.formats import duration, percent, plain, scalar
from stemma.report.record import Record, read_list, read_record, read_text
from stemma.report.tokens import tokenizer
from stemma.report.training import training
from stemma.report.upgrades import upgrades
from stemma.storage import write_text

_RUNS = (("pretrain", "Pretraining"), ("sft", "Chat training"))
_ORDER = (
    "answers right",
    "bits per byte, held out",
    "time, all stages",
    "parameters",
    "duplicates found",
    "largest logit difference",
    "perplexity, upgraded",
    "validation bits per byte",
    "training time",
)
_MAX_HEADLINES = 6


def render_report(folder: Path) -> Path:
    """Write `report.html` into a chain, run or upgrade folder, atomically, and return its path.

    The same files give the same bytes. Raises StemmaError when the folder is missing or holds nothing to report, and
    when a file is damaged, naming the file and the line.
    """
    if not folder.is_dir():
        raise StemmaError(f"{folder}: is not a folder; give the folder of a run")
    sections = collect(folder)
    if not sections:
        raise StemmaError(
            f"{folder}: holds nothing to report; give the folder of a run, with metrics.jsonl, cleaning.json, "
            "evaluation.json, certificate.json or stages that hold them"
        )
    path = folder / "report.html"
    write_text(path, _render(folder, sections))
    return path


def collect(folder: Path) -> list[Section]:
    """The sections of a folder, in the order of the page; the protocol and the settings close it."""
    evaluated = read_evaluations(folder)
    found = [
        _commands(folder),
        cleaning(folder / "clean") or cleaning(folder),
        tokenizer(folder / "tokenizer"),
        *_runs(folder),
        domains(evaluated),
        answers(evaluated),
        chats(folder),
        *upgrades(folder),
    ]
    sections = [section for section in found if section is not None]
    closing = [_protocol(sections), _settings(folder)]
    return sections + [section for section in closing if section is not None]


def _runs(folder: Path) -> list[Section | None]:
    inner = [training(folder / name, name, title) for name, title in _RUNS]
    if any(inner):
        return list(inner)
    kind = "sft" if "sft" in folder.name else "pretrain"
    return [training(folder, kind, dict(_RUNS)[kind])]


def _commands(folder: Path) -> Section | None:
    commands = read_list(folder / "commands.json")
    if not commands:
        return None
    seconds = [one.number("seconds") for one in commands]
    total = sum(s for s in seconds if s)
    rows = [
        [
            Cell(plain(one.text("stage"))),
            Cell(one.text("command"), code=True),
            num(duration(spent)),
            num(percent(spent / total, 0) if spent and total else ""),
            Cell("", share=spent / max(s for s in seconds if s) if spent else 0.0),
        ]
        for one, spent in zip(commands, seconds, strict=True)
    ]
    table = Table(
        ["stage", "command", "time", "share", ""],
        rows,
        "What was run",
        "The exact commands, in order; each continues where it stopped when it is given again.",
    )
    headline = (
        Headline(duration(total), "time, all stages", f"{len(commands)} commands, wall clock")
        if total
        else None
    )
    clock = ("Time", "Wall-clock seconds of each command, start of the process to its end.")
    return Section(
        "commands", "What was run", [table], [headline] if headline else [], [clock] if total else []
    )


def _protocol(sections: list[Section]) -> Section | None:
    rules = dict(pair for section in sections for pair in section.protocol)
    if not rules:
        return None
    rows = [[Cell(name), Cell(text)] for name, text in rules.items()]
    table = Table(
        ["number", "how it was measured"], rows, "Protocol of every number on this page", names=False
    )
    return Section("protocol", "Protocol", [table])


def _settings(folder: Path) -> Section | None:
    blocks: list[Block] = []
    versions: dict[str, str] = {}
    for place in (folder, *(folder / name for name, _ in _RUNS)):
        versions |= _versions(read_record(place / "run.json"))
    if versions:
        rows = [[Cell(name), Cell(value)] for name, value in versions.items()]
        blocks.append(Fold("Versions and machine", [Table(["what", "value"], rows)]))
    for place in (folder, *(folder / name for name in ("clean", "tokenizer", "pretrain", "sft", "upgrade"))):
        text = read_text(place / "config.toml")
        if text:
            blocks.append(Fold(f"{(place / 'config.toml').relative_to(folder)}", [Code(text.rstrip())]))
    return Section("settings", "Versions and settings", blocks) if blocks else None


def _versions(run: Record) -> dict[str, str]:
    found = {plain(name): scalar(run.record("versions").data[name]) for name in run.record("versions")}
    machine = {plain(name): scalar(run.record("machine").data[name]) for name in run.record("machine")}
    return found | machine


def _render(folder: Path, sections: list[Section]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    figures, tables = itertools.count(1), itertools.count(1)
    found = {one.name: one for section in reversed(sections) for one in section.headlines}
    headlines = {name: found[name] for name in _ORDER if name in found}
    title = read_record(folder / "chain.json").text("title") or folder.resolve().name
    return environment.get_template("page.html.jinja").render(
        version=__version__,
        title=title,
        kicker=_kicker(sections),
        abstract=_abstract(sections, headlines),
        headlines=list(headlines.values())[:_MAX_HEADLINES],
        sections=sections,
        next_figure=lambda: next(figures),
        next_table=lambda: next(tables),
    )


def _kicker(sections: list[Section]) -> str:
    stages = [
        s.title.lower()
        for s in sections
        if s.anchor in ("cleaning", "tokenizer", "pretrain", "sft", "upgrade")
    ]
    return " \u00b7 ".join(["stemma report", *([" \u2192 ".join(stages)] if stages else [])])


def _abstract(sections: list[Section], headlines: dict[str, Headline]) -> str:
    """One or two sentences made of the headline numbers, for readers who stop there."""
    trained = [s.anchor for s in sections if s.anchor in ("pretrain", "sft")]
    parts = []
    if "parameters" in headlines:
        goal = {2: "from raw text to chat", 1: "as a base model" if "pretrain" in trained else "for chat"}
        parts.append(
            f"A model of {headlines['parameters'].value} parameters, trained {goal.get(len(trained), '')}".rstrip()
        )
        if "time, all stages" in headlines:
            parts[-1] += f" in {headlines['time, all stages'].value}"
    if "answers right" in headlines:
        one = headlines["answers right"]
        parts.append(
            f"It answers {one.value} of the held-out questions right" + (f" ({one.note})" if one.note else "")
        )
    if "largest logit difference" in headlines:
        one = headlines["largest logit difference"]
        parts.append(
            f"Its architecture was then changed; the certificate shows {one.value} as the {one.name}"
        )
    rest = "Every number below says how it was measured"
    return ". ".join([*parts, rest]) + "."
