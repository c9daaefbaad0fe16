"""The certificate: what an upgrade did, how exact it claims to be, and what was measured on these very weights.

It lies in the output folder as `certificate.json`, and the folder's config.json carries its digest. Nothing in it
depends on the clock, the machine's name or the place of the output, so the same upgrade gives the same bytes.
"""

import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy
import torch

from stemma import __version__
from stemma.checkpoint import Checkpoint
from stemma.config import load_json, parse, plain
from stemma.errors import CheckFailed
from stemma.storage import sha256, write_text
from stemma.upgrade.heal import HealSettings
from stemma.upgrade.measure import Measurement
from stemma.upgrade.operation import Step
from stemma.upgrade.view import Trace
from stemma.upgrade.windows import TextFacts

FILE_NAME = "certificate.json"
DIGEST_KEY = "certificate_sha256"
RELATIVE_TOLERANCE = 1e-4
_WHY = (
    "the largest logit difference in float32, in units of the logits' standard deviation: rounding through tiny models "
    "moves logits by 4e-6 of it, the mildest wrong structure known (tanh for exact GELU) by 3e-4"
)


@dataclass(frozen=True, kw_only=True)
class CertifiedStep:
    """One operation as carried out; `exact_here` is what it claims on these weights."""

    name: str
    does: str
    exactness: Literal["exact", "exact_if", "approximate"]
    condition: str | None = None
    exact_here: bool
    changes: tuple[str, ...]
    healing: str
    literature: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """A checkpoint before or after; KV bytes are per token of context at the dtype its weights are stored in.

    `certificate_sha256` names the certificate an input itself came with, so a chain of upgrades can be followed back.
    """

    folder: str | None = None
    family: str
    dtype: str
    parameters: int
    kv_bytes_per_token: int
    weights_sha256: dict[str, str]
    certificate_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What a claim of exact is held to: `largest` = `relative` times the standard deviation of the logits before."""

    relative: float = RELATIVE_TOLERANCE
    largest: float
    why: str = _WHY


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """Names of input tensors used and not used, and of output tensors made from no input tensor; as observed."""

    used: tuple[str, ...]
    unused: tuple[str, ...]
    invented: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Healing:
    """Continued training after the upgrade, and the healed model against the one before the upgrade.

    `trained_on_text` says that the text measured on is one of the training files, so the numbers flatter.
    """

    settings: HealSettings
    tokens: int
    data_sha256: dict[str, str]
    trained_on_text: bool
    measured: Measurement


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """`measured` is the model as written; `before_rounding` the one in float32 when storing rounds."""

    kind: Literal["stemma upgrade certificate"] = "stemma upgrade certificate"
    claim: Literal["exact", "approximate"]
    command: str
    versions: dict[str, str]
    input: Side
    output: Side
    operations: tuple[CertifiedStep, ...]
    tensors: Tensors
    text: TextFacts
    tolerance: Tolerance
    measured: Measurement
    before_rounding: Measurement | None = None
    healing: Healing | None = None


def certified_steps(steps: list[Step], exact_here: list[bool]) -> tuple[CertifiedStep, ...]:
    """The steps of a path as the certificate lists them."""
    return tuple(
        CertifiedStep(
            name=step.operation.name,
            does=step.operation.does,
            exactness=step.operation.exactness,
            condition=step.operation.condition or None,
            exact_here=exact,
            changes=tuple(str(change) for change in step.changes),
            healing="none" if exact else step.operation.healing,
            literature=step.operation.literature,
        )
        for step, exact in zip(steps, exact_here, strict=True)
    )


def side(checkpoint: Checkpoint, folder: str | None = None) -> Side:
    """The facts of a checkpoint; parameters are counted in its files, not derived."""
    tensors = checkpoint.tensors
    dtype = str(tensors.info("embedding.weight").dtype).removeprefix("torch.")
    return Side(
        folder=folder,
        family=checkpoint.family.name,
        dtype=dtype,
        parameters=sum(torch.Size(tensors.info(name).shape).numel() for name in tensors.names()),
        kv_bytes_per_token=checkpoint.spec.kv_bytes_per_token(dtype),
        weights_sha256=weights_sha256(checkpoint),
        certificate_sha256=checkpoint.extra.get(DIGEST_KEY),
    )


def weights_sha256(checkpoint: Checkpoint) -> dict[str, str]:
    """Digest of every weight file of a checkpoint, by file name."""
    return {file.name: sha256(file) for file in checkpoint.files}


def observed_tensors(steps: list[Step], trace: Trace, inputs: list[str]) -> Tensors:
    """Used, unused and invented names from what was read; raises CheckFailed when an operation invents in silence."""
    used = set[str]().union(*trace.made_from.values())
    invented = [name for name, sources in trace.made_from.items() if not sources]
    declared = {name for step in steps for name in step.operation.invents(step.before, step.after)}
    for name in invented:
        if name not in declared:
            raise CheckFailed(f"tensor {name} was made from no input tensor and no operation says so")
    return Tensors(
        used=tuple(name for name in inputs if name in used),
        unused=tuple(name for name in inputs if name not in used),
        invented=tuple(sorted(invented)),
    )


def tolerance(measured: Measurement) -> Tolerance:
    """What exact means for logits of this size."""
    return Tolerance(largest=RELATIVE_TOLERANCE * measured.logit_std)


def check_claim(steps: list[Step], measured: Measurement) -> None:
    """Raises CheckFailed when a path that claims to be exact moves a float32 logit by more than the tolerance."""
    allowed = tolerance(measured).largest
    if measured.max_logit_difference > allowed:
        names = ", ".join(step.operation.name for step in steps) or "the change of layout"
        raise CheckFailed(
            f"claimed to be exact and is not: {names} moves a logit by {measured.max_logit_difference:.3g} where "
            f"{allowed:.3g} is allowed; nothing was written"
        )


def versions() -> dict[str, str]:
    """What computed the numbers."""
    return {
        "stemma": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def write_certificate(folder: Path, certificate: Certificate) -> str:
    """Write certificate.json and return the sha256 of its bytes."""
    text = json.dumps(plain(certificate), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(folder / FILE_NAME, text)
    return hashlib.sha256(text.encode()).hexdigest()


def read_certificate(folder: Path) -> Certificate:
    """The certificate of an upgraded folder, its digest checked against config.json; raises StemmaError."""
    path = folder / FILE_NAME
    data = load_json(path)
    stated = load_json(folder / "config.json").get("stemma", {}).get(DIGEST_KEY)
    if stated != sha256(path):
        raise CheckFailed(
            f"{path}: is not the file whose digest config.json carries; one of them was changed"
        )
    return parse(Certificate, data, str(path))
