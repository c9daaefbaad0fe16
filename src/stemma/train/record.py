"""The run folder: what was asked (config.toml), how it stands (run.json), what was measured (metrics.jsonl).

The same command on the same folder goes on. A recipe that differs from the recorded one is refused, except in keys on
which no weight depends; metrics are cut back to the step that is continued from, so no step appears twice.
"""

import contextlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from stemma import __version__
from stemma.config import load_json, load_toml, parse, plain
from stemma.errors import StemmaError
from stemma.storage import atomic_file, write_json
from stemma.train.board import Board, open_board

T = TypeVar("T")


class RunRecord:
    """The files of one run folder. With `writes` False (ranks other than the first) nothing is written."""

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        self.folder, self.writes = folder, writes
        self._metrics: IO[str] | None = None
        self._board: Board | None = None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def model_folder(self) -> Path:
        return self.folder / "model"

    def claim(self, settings: Any, command: str, free_keys: Sequence[str]) -> None:
        """Make the folder this recipe's, or check that it is. Raises StemmaError naming the keys that differ."""
        path = self.folder / "config.toml"
        if path.exists():
            before = _flat(plain(parse(type(settings), load_toml(path), str(path))))
            after = _flat(plain(settings))
            changed = [
                k for k in sorted(before | after) if before.get(k) != after.get(k) and k not in free_keys
            ]
            if changed:
                what = ", ".join(f"{k} ({before.get(k)} -> {after.get(k)})" for k in changed)
                raise StemmaError(
                    f"{self.folder}: was begun with another recipe; changed: {what}; choose another --out or undo it"
                )
        elif self._foreign():
            raise StemmaError(f"{self.folder}: holds files that are no run; choose another --out")
        if self.writes:
            _write_toml(path, plain(settings))
            if not (self.folder / "run.json").exists():
                self.update(command=command, versions=_versions(), status="running")

    def release(self) -> None:
        """Give up a claim under which no step was taken. Token files stay for the recipe that comes next."""
        begun = (self.folder / "metrics.jsonl").exists() or self.checkpoints.exists()
        if self.writes and not begun:
            (self.folder / "run.json").unlink(missing_ok=True)
            (self.folder / "config.toml").unlink(missing_ok=True)
            for folder in (self.folder / "tokens", self.folder):
                with contextlib.suppress(OSError):  # absent or not empty
                    folder.rmdir()

    def _foreign(self) -> bool:
        """Whether the folder holds anything that is seen and no token files, which `release` leaves."""
        seen = [path for path in self.folder.glob("[!.]*") if path.name != "tokens"]
        tokens = (self.folder / "tokens").glob("[!.]*")
        return bool(seen) or any(not (path / "index.json").is_file() for path in tokens)

    def facts(self) -> dict[str, Any]:
        """The content of run.json, empty before the run began."""
        path = self.folder / "run.json"
        return load_json(path) if path.exists() else {}

    def update(self, **facts: Any) -> None:
        """Put facts into run.json."""
        if self.writes:
            write_json(self.folder / "run.json", self.facts() | facts)

    def cut_metrics(self, step: int) -> None:
        """Drop metrics of later steps, and a last line that a kill left incomplete; then append."""
        if not self.writes:
            return
        path = self.folder / "metrics.jsonl"
        if path.exists():
            with path.open("rb") as old, atomic_file(path) as new:
                new.writelines(line for line in old if _step_of(line) <= step)
        self._metrics = path.open("a", encoding="utf-8")
        self._board = open_board(self.folder, step)

    def measure(self, **line: Any) -> None:
        """Append one line to metrics.jsonl and hand it to the system."""
        if self._metrics is not None:
            self._metrics.write(json.dumps(line, allow_nan=False) + "\n")
            self._metrics.flush()
        if self._board is not None:
            self._board.measure(line)

    def close(self) -> None:
        """Close metrics.jsonl and the board."""
        if self._board is not None:
            self._board.close()
            self._board = None
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None


def _step_of(line: bytes) -> float:
    if not line.endswith(b"\n"):
        return float("inf")
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(data, dict):
        return {prefix: data}
    result: dict[str, Any] = {}
    for key, value in data.items():
        result |= _flat(value, f"{prefix}.{key}".lstrip("."))
    return result


def _versions() -> dict[str, str]:
    import numpy
    import torch

    return {
        "stemma": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def _write_toml(path: Path, data: dict[str, Any]) -> None:
    import tomli_w

    with atomic_file(path) as file:
        tomli_w.dump(data, file)
