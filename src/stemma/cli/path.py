"""The operations that lead from one architecture to another, how exact each is, and what training heals it.

A is a checkpoint folder or a Spec file; B is a checkpoint folder, a Spec file, a family name such as llama,
transformers (whatever a stock transformers opens), or a change such as num_kv_heads=2. Only configs are read, no weights.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="A")]
    """checkpoint folder or Spec file to start from"""
    to: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="B")]
    """checkpoint folder, Spec file, family name, transformers, or changes such as num_kv_heads=2"""
    json: bool = False
    """print JSON"""


def run(args: Args) -> int | None:
    from stemma.progress import say
    from stemma.upgrade.path import path
    from stemma.upgrade.table import print_steps, step_rows
    from stemma.upgrade.target import open_start, resolve_target

    start = open_start(Path(args.source))
    target = resolve_target(start, args.to)
    steps = path(start.spec, target.spec, hint=target.hint)
    rows = step_rows(steps)
    if args.json:
        print(json.dumps({"family": target.family.name, "operations": rows}, indent=2, ensure_ascii=False))
    else:
        print_steps(rows, target.family.name)
    if Path(args.source).is_dir():
        say(f"next: stemma upgrade {args.source} {' '.join(f'--to {t}' for t in args.to)} --out OUT")
    return 0
