"""Check a checkpoint folder: files, names, shapes, values, and recorded reference tensors where they lie in it.

A folder of checkpoint folders is checked one by one. Exit status 1 when a check fails.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from stemma.checkpoint.verify import Check, Verification


@dataclass(frozen=True, kw_only=True)
class Args:
    folder: tyro.conf.Positional[Path]
    """A checkpoint folder, or a folder of them."""
    json: bool = False
    """Print the result as JSON."""


def run(args: Args) -> int:
    import json

    from stemma.checkpoint.verify import as_json, checkpoint_folders, verify
    from stemma.progress import say

    results: list[Verification] = []
    for folder in checkpoint_folders(args.folder):
        results.append(verify(folder))
        if not args.json:
            _print(results[-1])
    if args.json:
        print(json.dumps([as_json(result) for result in results], indent=2))
    failed = [str(result.folder) for result in results if not result.passed]
    say(
        f"{len(results) - len(failed)} of {len(results)} folder(s) pass"
        + (f"; failing: {', '.join(failed)}" if failed else "")
    )
    if not failed:
        say(f"next: stemma show {results[0].folder}")
    return 1 if failed else 0


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
