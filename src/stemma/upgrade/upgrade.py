"""Upgrade a checkpoint folder into another one with a certificate, or leave nothing; heal it by training when asked.

With healing, `OUT.healing/upgraded` and `OUT.healing/run` hold the upgraded checkpoint and its training run, so the
same call continues after an interrupt; `OUT` itself appears only when the healed weights are certified.
"""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stemma.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from stemma.config import load_json
from stemma.errors import StemmaError
from stemma.model.spec import Spec
from stemma.progress import say
from stemma.storage import atomic_folder, write_json
from stemma.upgrade.carry_out import carry_out
from stemma.upgrade.certificate import (
    DIGEST_KEY,
    FILE_NAME,
    Certificate,
    Healing,
    read_certificate,
    side,
    weights_sha256,
    write_certificate,
)
from stemma.upgrade.heal import HealSettings, heal
from stemma.upgrade.measure import compare, observe
from stemma.upgrade.operation import Operation
from stemma.upgrade.path import OPERATIONS, path
from stemma.upgrade.target import Start, resolve_target
from stemma.upgrade.view import StoredSource
from stemma.upgrade.windows import Windows, cut_windows, has_tokenizer


@dataclass(frozen=True, kw_only=True)
class UpgradeSettings:
    """What to measure on, and whether to train afterwards. Windows are never longer than the trained length."""

    text: Path | None = None
    num_windows: int = 8
    window_length: int = 256
    heal: HealSettings | None = None


@dataclass(frozen=True, kw_only=True)
class UpgradeResult:
    """The folder written and the certificate that lies in it."""

    folder: Path
    certificate: Certificate


def upgrade(
    source: Path,
    to: Sequence[str],
    out: Path,
    settings: UpgradeSettings | None = None,
    *,
    operations: tuple[Operation, ...] = OPERATIONS,
) -> UpgradeResult:
    """Upgrade the checkpoint in `source` to what `to` names (see `target`) and write it to `out` with a certificate.

    Raises StemmaError when no path leads there, `out` exists or cannot be written, and CheckFailed when weights are
    not finite or a claim of exact does not hold; in every such case nothing is written.
    """
    settings = settings or UpgradeSettings()
    if settings.heal is not None:
        return _upgrade_and_heal(source, to, out, settings, settings.heal, operations)
    with atomic_folder(out) as building:
        checkpoint = open_checkpoint(source)
        checkpoint.spec.check_decoder("measuring an upgrade")
        target = resolve_target(Start(checkpoint.spec, checkpoint.family, str(source)), to)
        steps = path(checkpoint.spec, target.spec, operations=operations, hint=target.hint)
        windows = _windows(checkpoint, target.spec, settings)
        certificate = carry_out(checkpoint, target, steps, windows, building, _command(source, to, settings))
        _sign(building, certificate)
    return UpgradeResult(folder=out, certificate=certificate)


def _upgrade_and_heal(
    source: Path,
    to: Sequence[str],
    out: Path,
    settings: UpgradeSettings,
    training: HealSettings,
    operations: tuple[Operation, ...],
) -> UpgradeResult:
    if out.exists():
        raise StemmaError(f"{out}: already exists; choose another output or remove it")
    if not has_tokenizer(source):
        raise StemmaError(
            f"{source}: holds no tokenizer to read the documents with; put the model's own there"
        )
    work = out.with_name(f"{out.name}.healing")
    upgraded = work / "upgraded"
    unhealed = dataclasses.replace(settings, heal=None)
    if (upgraded / FILE_NAME).exists():
        certificate = _continued(upgraded, source, _command(source, to, unhealed))
    else:
        certificate = upgrade(source, to, upgraded, unhealed, operations=operations).certificate
    if certificate.claim == "exact":
        raise StemmaError(
            f"{upgraded}: every step was exact on these weights, so there is nothing to heal; take it as it is"
        )
    healed = heal(upgraded, work / "run", training)
    with atomic_folder(out) as building:
        original, layout = open_checkpoint(source), open_checkpoint(upgraded)
        write_checkpoint(
            building,
            layout.spec,
            StoredSource(open_checkpoint(healed.folder).tensors, layout.tensors),
            family=layout.family,
            special_ids=layout.special_ids,
            copy_from=upgraded,
        )
        written = open_checkpoint(building)
        windows = _windows(original, written.spec, settings)
        before = observe(original.spec, original.tensors, windows.token_ids)
        after = observe(written.spec, written.tensors, windows.token_ids)
        certificate = dataclasses.replace(
            certificate,
            command=_command(source, to, settings),
            output=side(written),
            healing=Healing(
                settings=training,
                tokens=healed.tokens,
                data_sha256=healed.data_sha256,
                trained_on_text=windows.facts.sha256 in healed.data_sha256.values(),
                measured=compare(before, after, windows.token_ids, windows.facts.bytes),
            ),
        )
        _sign(building, certificate)
    say(f"the training that healed it is kept in {work / 'run'}")
    return UpgradeResult(folder=out, certificate=certificate)


def _continued(upgraded: Path, source: Path, command: str) -> Certificate:
    """The certificate of an earlier, interrupted call with the same settings on the same weights."""
    certificate = read_certificate(upgraded)
    digests = weights_sha256(open_checkpoint(source))
    if certificate.command != command or certificate.input.weights_sha256 != digests:
        raise StemmaError(
            f"{upgraded.parent}: belongs to another upgrade; remove it or choose another output"
        )
    return certificate


def _windows(checkpoint: Checkpoint, after: Spec, settings: UpgradeSettings) -> Windows:
    """Windows no longer than the longer of the two trained lengths."""
    longest = max(checkpoint.spec.max_seq_len, after.max_seq_len)
    return cut_windows(
        checkpoint.folder,
        checkpoint.spec,
        settings.text,
        num_windows=settings.num_windows,
        length=min(settings.window_length, longest),
    )


def _sign(folder: Path, certificate: Certificate) -> None:
    """Write the certificate into a checkpoint folder and its digest into the folder's config.json."""
    digest = write_certificate(folder, certificate)
    file = folder / "config.json"
    config = load_json(file)
    write_json(file, config | {"stemma": config.get("stemma", {}) | {DIGEST_KEY: digest}})


def _command(source: Path, to: Sequence[str], settings: UpgradeSettings) -> str:
    """The command line that gives these bytes; the place of the output is not part of them."""
    words = ["stemma", "upgrade", str(source)]
    for text in to:
        words += ["--to", text]
    if settings.text is not None:
        words += ["--text", str(settings.text)]
    words += ["--windows", str(settings.num_windows), "--window-length", str(settings.window_length)]
    if settings.heal is not None:
        for file in settings.heal.data:
            words += ["--heal-data", str(file)]
        words += ["--heal-steps", str(settings.heal.steps)]
        words += ["--heal-learning-rate", repr(settings.heal.learning_rate)]
        words += ["--heal-precision", settings.heal.precision]
    return f"{shlex.join(words)} --out OUT"
