"""Every border of a cleaning and how many documents are beyond it; and what others would do, without reading a text.

A border that is off is one that only `--limits` puts in use; some need a model, see `stemma clean --help`.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of `stemma clean thresholds`."""

    folder: tyro.conf.Positional[Path]
    """The result of a cleaning."""
    limits: dict[str, float] = field(default_factory=dict)
    """Borders to move, such as en.template 0.5 too_short 100."""
    rule_sets: tuple[str, ...] = ()
    """Published sets of rules to add: gopher, c4, fineweb, fineweb2-zh, refinedweb, chinesewebtext."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    """Print one line per border, then what the moved ones change."""
    from stemma.config import plain
    from stemma.corpus.explain import move_limits
    from stemma.progress import say

    moved = move_limits(args.folder, args.limits, args.rule_sets)
    if args.json:
        json.dump(plain(moved), sys.stdout, ensure_ascii=False, indent=2)
        print()
        return 0
    changes = bool(args.limits or args.rule_sets)
    print(
        f"{'border':<64} {'now':>9} {'documents':>10}"
        + (f" {'then':>9} {'documents':>10}" if changes else "")
    )
    for border in moved.borders:
        line = f"{border.name:<64} {_border(border.now):>9} {border.broken_now:>10,}"
        print(line + (f" {_border(border.then):>9} {border.broken_then:>10,}" if changes else ""))
    if changes:
        say(f"dropped by these and by no limit now: {moved.newly_dropped:,} {_some(moved.dropped_ids)}")
        say(f"dropped by a limit now and by none of these: {moved.newly_kept:,} {_some(moved.kept_ids)}")
        say("next: stemma clean with the same inputs and --limits, to write the documents")
    return 0


def _border(value: float | None) -> str:
    return "off" if value is None else f"{value:.4g}"


def _some(ids: tuple[str, ...]) -> str:
    from stemma.corpus.explain import shortened

    return f"({', '.join(map(shortened, ids))} ...)" if ids else ""
