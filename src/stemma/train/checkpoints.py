"""The states of a run: folders `step-NNNNNN` with weights, moments and counters, complete or absent.

A folder is written under a temporary name and renamed; its manifest holds the SHA-256 of every file and is checked on
loading. The newest folder that passes is used; one that does not is reported and passed over.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stemma.config import load_json
from stemma.errors import StemmaError
from stemma.progress import say
from stemma.storage import atomic_folder, sha256, write_json


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything a run needs to go on after optimiser step `step`."""

    step: int
    model: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]
    counters: dict[str, Any]


def save_state(folder: Path, state: State, keep: int, *, last: int) -> Path:
    """Write `step-NNNNNN` into `folder` and remove all but the newest `keep`.

    `last` is the step of the state saved or loaded before this one, -1 without one. What lies beyond it was passed over
    as damaged when the run was continued, and goes too. Raises StemmaError when the disk refuses; older states stay.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = folder / f"step-{state.step:06d}"
    try:
        with atomic_folder(path, replace=True) as building:
            for name, tensors in (("model", state.model), ("optimizer", state.optimizer)):
                save_file(
                    {k: t.detach().cpu().contiguous() for k, t in tensors.items()},
                    building / f"{name}.safetensors",
                )
            write_json(building / "state.json", {"step": state.step, **state.counters})
            digests = {file.name: sha256(file) for file in sorted(building.iterdir())}
            write_json(building / "manifest.json", digests)
    except (OSError, SafetensorError) as error:
        raise StemmaError(
            f"{path}: cannot be written ({error}); older states are kept: make room, then the same command continues"
        ) from None
    states = _folders(folder)
    damaged = [other for other in states if _step(other) > last and other != path]
    for other in damaged + [s for s in states if s not in damaged][:-keep]:
        shutil.rmtree(other)
    return path


def newest_state(folder: Path) -> State | None:
    """The newest complete state in `folder`, or None. Damaged ones are reported and passed over."""
    for path in reversed(_folders(folder)):
        try:
            return load_state(path)
        except (StemmaError, OSError, KeyError) as error:
            say(f"{path}: passed over, the state is not usable ({error})")
    return None


def load_state(path: Path) -> State:
    """The state in `path`. Raises StemmaError when a file is missing or differs from its manifest."""
    from safetensors.torch import load_file

    manifest = load_json(path / "manifest.json")
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        if sha256(path / name) != manifest[name]:
            raise StemmaError(f"{name} differs from its SHA-256 in manifest.json")
    counters = load_json(path / "state.json")
    return State(
        step=counters.pop("step"),
        model=load_file(path / "model.safetensors"),
        optimizer=load_file(path / "optimizer.safetensors"),
        counters=counters,
    )


def _folders(folder: Path) -> list[Path]:
    found = folder.glob("step-*") if folder.is_dir() else ()
    return sorted((p for p in found if p.name[5:].isdigit()), key=_step)


def _step(path: Path) -> int:
    return int(path.name[5:])
