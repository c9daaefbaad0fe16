"""Carry out a path on a checkpoint and measure it: claims before anything is written, the rest on what was written.

Every run of steps that claims to be exact is measured by itself in float32, so that an approximate neighbour hides
nothing. Then the weights are written, read back, and what stands there is measured against the original. The caller
gives a temporary folder and keeps it only when nothing was raised. Nothing here holds a whole model.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

from stemma.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from stemma.families.source import TensorSource
from stemma.model.spec import difference
from stemma.progress import say
from stemma.upgrade.certificate import (
    Certificate,
    certified_steps,
    check_claim,
    observed_tensors,
    side,
    tolerance,
    versions,
)
from stemma.upgrade.measure import Measurement, Observed, compare, observe
from stemma.upgrade.operation import Step
from stemma.upgrade.target import Target
from stemma.upgrade.view import StoredSource, Trace
from stemma.upgrade.windows import Windows


@dataclass(frozen=True)
class _Claim:
    """A step, whether it claims to be exact on the weights it was given, and the weights it yields."""

    step: Step
    exact: bool
    weights: TensorSource


def carry_out(
    checkpoint: Checkpoint, target: Target, steps: list[Step], windows: Windows, folder: Path, command: str
) -> Certificate:
    """Write the upgraded checkpoint to the empty `folder` and return its certificate, which is not yet written.

    Raises CheckFailed when a claim of exact does not hold, a weight is not finite, or a tensor is invented in silence.
    """
    trace = Trace()
    original = checkpoint.tensors
    ids, num_bytes = windows.token_ids, windows.facts.bytes
    say(f"measuring {checkpoint.folder}")
    before = observe(checkpoint.spec, original, ids)
    claims = _claims(steps, trace.inner(original))
    stored = StoredSource(claims[-1].weights if claims else trace.inner(original), original)
    unrounded = _check_claims(claims, before, windows, whole=stored.rounds)
    say(f"writing the layout {target.family.name}")
    write_checkpoint(
        folder,
        target.spec,
        trace.outer(stored),
        family=target.family,
        special_ids=checkpoint.special_ids,
        copy_from=checkpoint.folder,
    )
    tensors = observed_tensors(steps, trace, original.names())
    written = open_checkpoint(folder)
    assert not difference(written.spec, target.spec), "the layout promised to hold this Spec"
    say("measuring what was written")
    measured = compare(before, observe(written.spec, written.tensors, ids), ids, num_bytes)
    exact_here = [claim.exact for claim in claims]
    if all(exact_here) and not stored.rounds:
        check_claim(steps, measured)
    return Certificate(
        claim="exact" if all(exact_here) else "approximate",
        command=command,
        versions=versions(),
        input=side(checkpoint, str(checkpoint.folder)),
        output=side(written),
        operations=certified_steps(steps, exact_here),
        tensors=tensors,
        text=windows.facts,
        tolerance=tolerance(measured),
        measured=measured,
        before_rounding=unrounded,
    )


def _claims(steps: list[Step], source: TensorSource) -> list[_Claim]:
    claims: list[_Claim] = []
    for step in steps:
        exact = step.exact_on(source)
        source = step.convert(source)
        claims.append(_Claim(step, exact, source))
    return claims


def _check_claims(
    claims: list[_Claim], before: Observed, windows: Windows, *, whole: bool
) -> Measurement | None:
    """Hold every run of exact steps to its claim; with `whole`, also measure the entire path before rounding."""
    ids = windows.token_ids
    groups = [list(group) for _, group in itertools.groupby(claims, key=lambda claim: claim.exact)]
    last_exact = max((i for i, group in enumerate(groups) if group[0].exact), default=-1)
    last = before
    for group in groups if whole else groups[: last_exact + 1]:
        here = observe(group[-1].step.after, group[-1].weights, ids)
        if group[0].exact:
            check_claim([claim.step for claim in group], compare(last, here, ids, None))
        last = here
    return compare(before, last, ids, windows.facts.bytes) if whole else None
