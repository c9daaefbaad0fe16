"""Check tokenizers against recorded vectors: ids and texts equal to what their own libraries gave.

The folder holds a folder for each family with its native file. Exit status 0 when every line is right, 1 when one is
wrong, 2 when a file cannot be used.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Args:
    """Which tokenizers, against which vectors."""

    root: Path
    """folder with the tokenizer files, a folder for each family"""
    vectors: Path
    """JSONL file: family, text, ids, and where recorded decoded, decoded_prefixes, ids_with_special"""
    json: bool = False
    """print one JSON object instead of the table"""


def run(args: Args) -> int:
    """Check and print one row per family and file."""
    import dataclasses
    import json

    from stemma.progress import say
    from stemma.tokenizer.verify import CHECKS, LAYOUT, read_vectors, verify

    families = read_vectors(args.vectors)
    lines = sum(map(len, families.values()))
    layout = "{:<18} {:<36} {:>7} {:>7} {:>6} {:>6} {:>5} {:>8} {:>9} {:>13}"
    if not args.json:
        print(
            layout.format(
                "family", "file", "pieces", "ids", "lines", "wrong", *(f"{name}" for name in CHECKS)
            )
        )
    outcomes = []
    for outcome in verify(args.root, families):
        outcomes.append(outcome)
        if not args.json:
            counts = [outcome.lines, len(outcome.wrong_lines), *outcome.wrong.values()]
            sizes = [outcome.num_pieces, outcome.vocab_size]
            print(layout.format(outcome.family, outcome.path, *sizes, *counts), flush=True)
    wrong = sum(bool(outcome.wrong_lines) for outcome in outcomes)
    if args.json:
        rows = [dataclasses.asdict(outcome) for outcome in outcomes]
        print(
            json.dumps(
                {"vectors": str(args.vectors), "lines": lines, "rows": rows}, indent=2, ensure_ascii=False
            )
        )
    absent = [family for family in LAYOUT if family not in families]
    say(f"{lines} lines of {len(families)} families, {len(outcomes)} files; {wrong} files with a wrong line")
    if absent:
        say(f"no line is about {', '.join(absent)}")
    for outcome in outcomes:
        if outcome.wrong_lines:
            shown = ", ".join(map(str, outcome.wrong_lines[:5]))
            say(f"{outcome.path}: {len(outcome.wrong_lines)} wrong; lines {shown} of {args.vectors}")
    return 1 if wrong else 0
