"""Carry out a chain recipe in a folder: every stage by its own function, each resumable, each with its exact command.

The same call again continues: a finished stage is recognised by what it left and not done again. `commands.json` keeps
the command of every stage and the seconds it took when it was carried out.
"""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stemma.chain.recipe import ChainRecipe
from stemma.chain.stages import Stages
from stemma.config import load_json, parse, plain
from stemma.errors import StemmaError
from stemma.evaluate.evaluation import EvaluationResult
from stemma.progress import say
from stemma.report import render_report
from stemma.storage import write_json

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ChainResult:
    """Where things lie at the end. `evaluations` by model: base, sft, sft-one-epoch-less, upgraded."""

    report: Path
    chat_model: Path
    evaluations: Mapping[str, EvaluationResult]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One line of commands.json."""

    stage: str
    command: str
    seconds: float


class Ledger:
    """commands.json: which stage was carried out how, and how long it took."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            found = json.loads(path.read_text("utf-8")) if path.exists() else []
        except ValueError as error:
            raise StemmaError(
                f"{path}: is not valid JSON ({error}); remove it, the stages are kept"
            ) from None
        records = parse(tuple[StageRecord, ...], found, str(path))
        self.stages = {record.stage: record for record in records}

    def carry_out(self, stage: str, command: list[str], work: Callable[[], T]) -> T:
        """Do `work`, and note its command and time when it is done for the first time."""
        say(f"\n== {stage}: {shlex.join(command)}")
        start = time.monotonic()
        result = work()
        seconds = round(time.monotonic() - start, 1)
        if stage not in self.stages:
            self.stages[stage] = StageRecord(stage=stage, command=shlex.join(command), seconds=seconds)
            write_json(self.path, [plain(record) for record in self.stages.values()])
        return result


def run_chain(recipe: ChainRecipe, folder: Path) -> ChainResult:
    """Bring the chain in `folder` to its end; continues where it stopped.

    Raises StemmaError when the folder belongs to another recipe, and whatever the stages raise.
    """
    stages = Stages(recipe, folder)
    stages.check()
    _claim(recipe, folder)
    ledger = Ledger(folder / "commands.json")
    for stage in stages.plan():
        ledger.carry_out(stage.name, stage.command, stage.work)
    return ChainResult(
        report=render_report(folder),
        chat_model=folder / "sft" / "model",
        evaluations=stages.evaluations,
        seconds=sum(record.seconds for record in ledger.stages.values()),
    )


def _claim(recipe: ChainRecipe, folder: Path) -> None:
    """Write the recipe into the folder, or check that the folder's is the same."""
    path = folder / "chain.json"
    if path.exists():
        if parse(ChainRecipe, load_json(path), str(path)) != recipe:
            raise StemmaError(f"{folder}: was begun with another recipe; choose another --out or remove it")
    elif folder.is_dir() and any(not inside.name.startswith(".") for inside in folder.iterdir()):
        raise StemmaError(f"{folder}: holds files that are no chain; choose another --out")
    else:
        write_json(path, plain(recipe))
