"""Paths and certificates as tables for people: a path on stdout, because it is the answer; a certificate on stderr."""

import sys
from typing import TextIO

from rich.console import Console
from rich.table import Table

from stemma.upgrade.certificate import Certificate
from stemma.upgrade.measure import Measurement
from stemma.upgrade.operation import Step


def step_rows(steps: list[Step]) -> list[dict[str, str | list[str]]]:
    """One plain table per step, as `stemma path --json` prints them."""
    return [
        {
            "name": step.operation.name,
            "does": step.operation.does,
            "exactness": step.operation.exactness,
            "condition": step.operation.condition,
            "healing": step.operation.healing,
            "literature": step.operation.literature,
            "changes": [str(change) for change in step.changes],
        }
        for step in steps
    ]


def print_steps(rows: list[dict[str, str | list[str]]], family: str) -> None:
    """Print the operations of a path on stdout."""
    console = _console(sys.stdout)
    if not rows:
        console.print(f"no operation needed: only the layout becomes {family}, which is exact")
        return
    table = Table(title=f"path to the layout {family}")
    table.add_column("operation", no_wrap=True)
    table.add_column("class", min_width=14, max_width=24)
    table.add_column("changes", overflow="fold")
    table.add_column("healing", min_width=10)
    for row in rows:
        condition = f"exact if {row['condition']}" if row["condition"] else str(row["exactness"])
        table.add_row(str(row["name"]), condition, "\n".join(row["changes"]), str(row["healing"]))
    console.print(table)


def print_certificate(certificate: Certificate) -> None:
    """Print what a certificate says on stderr."""
    console = _console(sys.stderr)
    before, after = certificate.input, certificate.output
    table = Table("", "before", "after", title=f"certificate: {certificate.claim}")
    table.add_row("layout", before.family, after.family)
    table.add_row("parameters", f"{before.parameters:,}", f"{after.parameters:,}")
    table.add_row("weights stored as", before.dtype, after.dtype)
    table.add_row(
        "KV cache bytes per token", f"{before.kv_bytes_per_token:,}", f"{after.kv_bytes_per_token:,}"
    )
    _add_measurement(table, certificate.measured)
    if certificate.healing is not None:
        table.add_section()
        table.add_row(f"healed, {certificate.healing.settings.steps} steps", "", "")
        _add_measurement(table, certificate.healing.measured)
    console.print(table)
    for step in certificate.operations:
        kind = "exact on these weights" if step.exact_here else "approximate"
        console.print(f"{step.name}: {kind}; {step.does}", highlight=False)
        if step.healing != "none":
            console.print(f"  to heal: {step.healing}", highlight=False)
    if certificate.healing is not None and certificate.healing.trained_on_text:
        console.print("the text measured on was trained on: measure on another one", highlight=False)
    text = certificate.text
    console.print(
        f"measured on {text.kind}: {text.windows} windows of {text.window_length} tokens; a claim of exact "
        f"allows a logit to move by {certificate.tolerance.largest:.2g}",
        highlight=False,
    )


def _console(file: TextIO) -> Console:
    """A console as wide as the terminal, and wide enough for dotted names where there is none."""
    return Console(file=file, width=None if file.isatty() else 120)


def _add_measurement(table: Table, measured: Measurement) -> None:
    table.add_row("perplexity", f"{measured.perplexity_before:.4f}", f"{measured.perplexity_after:.4f}")
    for bucket in measured.by_position:
        table.add_row(
            f"  after {bucket.first} to {bucket.last} tokens",
            f"{bucket.perplexity_before:.4f}",
            f"{bucket.perplexity_after:.4f}",
        )
    if measured.bits_per_byte_before is not None and measured.bits_per_byte_after is not None:
        table.add_row(
            "bits per byte", f"{measured.bits_per_byte_before:.4f}", f"{measured.bits_per_byte_after:.4f}"
        )
    table.add_row("largest logit difference", "", f"{measured.max_logit_difference:.3g}")
    table.add_row("mean logit difference", "", f"{measured.mean_logit_difference:.3g}")
    table.add_row("KL per token, nats", "", f"{measured.kl_per_token:.3g}")
    table.add_row("same top token", "", f"{measured.same_top_token:.2%}")
