"""All checks of a checkpoint folder, each with its verdict: nothing stops at the first failure that need not.

config     every key understood, special ids inside the vocabulary; a config_legacy.json beside it says the same
tensors    no tensor missing, unused or mis-shaped; an index that agrees with its shards and their total size
values     no NaN, no infinity, floating dtypes
<case>     logits, tokens and losses equal to recorded reference tensors, where expected.safetensors lies in the folder
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from stemma.checkpoint.load import all_finite, load_model, not_finite
from stemma.checkpoint.open import Checkpoint, describe, open_checkpoint
from stemma.checkpoint.parity import has_reference, run_cases
from stemma.errors import StemmaError
from stemma.model.spec import difference


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the table. `difference` and `tolerance` are there for comparisons alone."""

    name: str
    passed: bool
    detail: str = ""
    difference: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """All checks of one folder."""

    folder: Path
    checks: tuple[Check, ...]
    family: str = ""

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def verify(folder: Path) -> Verification:
    """Run every check on one checkpoint folder. What fails is in the result, not raised."""
    checks: list[Check] = []
    family = ""
    try:
        checkpoint = open_checkpoint(folder)
        family = checkpoint.family.name
        checks.append(Check(name="config", passed=True, detail=_summary(checkpoint)))
        checks += _legacy(folder, checkpoint)
        checks.append(_tensors(checkpoint))
        checks.append(_values(checkpoint))
        if has_reference(folder):
            checks += parity_checks(checkpoint)
    except (StemmaError, SafetensorError, OSError) as error:
        checks.append(Check(name="open", passed=False, detail=str(error)))
    return Verification(folder=folder, checks=tuple(checks), family=family)


def checkpoint_folders(path: Path) -> list[Path]:
    """The folder itself when it is a checkpoint, else the checkpoints directly inside it. Raises StemmaError for none."""
    if (path / "config.json").is_file():
        return [path]
    inside = sorted(p for p in path.iterdir() if (p / "config.json").is_file()) if path.is_dir() else []
    if not inside:
        raise StemmaError(f"{path}: holds no config.json, nor does a folder in it; give a checkpoint folder")
    return inside


def as_json(result: Verification) -> dict[str, Any]:
    """The plain form of a result."""
    checks = [{k: v for k, v in vars(check).items() if v not in (None, "")} for check in result.checks]
    return {
        "folder": str(result.folder),
        "family": result.family,
        "passed": result.passed,
        "checks": checks,
    }


def _summary(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.family.name}, {checkpoint.spec.num_parameters():,} parameters"


def _legacy(folder: Path, checkpoint: Checkpoint) -> Iterator[Check]:
    if not (folder / "config_legacy.json").is_file():
        return
    changes = difference(checkpoint.spec, describe(folder, "config_legacy.json").spec)
    detail = str(changes[0]) if changes else "config_legacy.json gives the same Spec"
    yield Check(name="config (older spelling)", passed=not changes, detail=detail)


def _tensors(checkpoint: Checkpoint) -> Check:
    published = checkpoint.published
    claimed = published.claimed_bytes()
    if claimed is not None and claimed != published.num_bytes():
        detail = f"the index claims {claimed:,} bytes of tensors, the shards hold {published.num_bytes():,}"
        return Check(name="tensors", passed=False, detail=detail)
    detail = f"{len(published.names())} in {len(published.files)} file(s), {published.num_bytes():,} bytes"
    return Check(name="tensors", passed=True, detail=detail)


def _values(checkpoint: Checkpoint) -> Check:
    dtypes: dict[str, int] = {}
    for name in checkpoint.tensors.names():
        tensor = checkpoint.tensors.read(name)
        dtype = str(tensor.dtype).removeprefix("torch.")
        dtypes[dtype] = dtypes.get(dtype, 0) + 1
        if not tensor.is_floating_point():
            return Check(
                name="values", passed=False, detail=f"tensor '{name}' is {dtype}, not floating point"
            )
        if not all_finite(tensor):
            detail = not_finite(checkpoint.tensors, name, tensor, tensor.dtype)
            return Check(name="values", passed=False, detail=detail)
    counts = ", ".join(f"{count} {dtype}" for dtype, count in sorted(dtypes.items()))
    return Check(name="values", passed=True, detail=f"all finite; {counts}")


def parity_checks(checkpoint: Checkpoint) -> Iterator[Check]:
    """A check for each recorded case of the folder. Raises StemmaError for broken reference files."""
    for case in run_cases(load_model(checkpoint, torch.float32), checkpoint.folder, checkpoint):
        yield Check(
            name=case.name,
            passed=case.passed,
            detail=case.problem,
            difference=None if case.problem else case.difference,
            tolerance=None if case.problem else case.tolerance,
        )
