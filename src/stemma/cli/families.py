"""The published families that open, one line each: layout, models, kind, chat format, and the class a stock transformers has."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Args:
    json: bool = False
    """Print the result as JSON."""


def run(args: Args) -> int:
    import json

    from rich.console import Console
    from rich.table import Table

    from stemma.families import families

    rows = [
        {
            "layout": family.name,
            "opens": family.title,
            "kind": "any" if family.any_stack else family.stack,
            "model_type": list(family.model_types),
            "transformers": family.native or None,
            "fills_blanks": family.fills_blanks,
        }
        for family in families()
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = Table("layout", "opens", "kind", "model_type", "in a stock transformers")
    for row in rows:
        native = row["transformers"] or "no class"
        table.add_row(row["layout"], row["opens"], row["kind"], ", ".join(row["model_type"]), native)
    console = Console()
    Console(width=None if console.is_terminal else 120).print(table)
    return 0
