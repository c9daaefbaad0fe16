"""Check a checkpoint folder: files, names, shapes, values, and recorded reference tensors where they lie in it.

A folder of checkpoint folders is checked one by one. Exit status 1 when a check fails.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stemma.checkpoint.verify import Check, Verification


@dataclass(frozen=True, kw_only=True)
class Args:
    folder: tyro.conf.Positional[Path]
    """A checkpoint folder, or a folder of them."""
    json: bool = False
    """Print the result as JSON."""
    markdown: bool = False
    """Print the recorded cases as a table in Markdown."""


def run(args: Args) -> int:
    import json

    from stemma.checkpoint.verify import as_json, checkpoint_folders, verify
    from stemma.progress import say

    results: list[Verification] = []
    for folder in checkpoint_folders(args.folder):
        results.append(verify(folder))
        if not (args.json or args.markdown):
            _print(results[-1])
    if args.json:
        print(json.dumps([as_json(result) for result in results], indent=2))
    if args.markdown:
        print("\n".join(_table(results)))
    failed = [str(result.folder) for result in results if not result.passed]
    say(
        f"{len(results) - len(failed)} of {len(results)} folder(s) pass"
        + (f"; failing: {', '.join(failed)}" if failed else "")
    )
    if not failed:
        say(f"next: stemma show {results[0].folder}")
    return 1 if failed else 0


def _table(results: "list[Verification]") -> "Iterator[str]":
    """One row for each recorded case, and one for a check that failed."""
    yield "| folder | layout | case | largest difference | tolerance | |"
    yield "|---|---|---|---|---|---|"
    for result in results:
        for check in result.checks:
            measured = check.difference is not None and check.tolerance is not None
            if not measured and check.passed:
                continue
            exact = check.tolerance == 0
            found = (
                check.detail
                if not measured
                else f"{check.difference:.0f} tokens"
                if exact
                else f"{check.difference:.1e}"
            )
            allowed = "" if not measured else "equal" if exact else f"{check.tolerance:.0e}"
            verdict = "pass" if check.passed else "FAIL"
            yield f"| {result.folder.name} | {result.family} | {check.name} | {found} | {allowed} | {verdict} |"


def _print(result: "Verification") -> None:
    print(result.folder)
    for check in result.checks:
        print(f"  {check.name:<24} {'ok  ' if check.passed else 'FAIL'}  {_measured(check)}".rstrip())


def _measured(check: "Check") -> str:
    if check.difference is None or check.tolerance is None:
        return check.detail
    if check.tolerance == 0:
        return "all tokens equal" if check.difference == 0 else f"{check.difference:.0f} tokens differ"
    return f"largest difference {check.difference:.2e}, tolerance {check.tolerance:.0e}"
