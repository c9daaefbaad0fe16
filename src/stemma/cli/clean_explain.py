"""Why a cleaning kept, edited or dropped a document: the rule or the twin, and every number beside its border."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from stemma.corpus.explain import Explanation


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of `stemma clean explain`."""

    folder: tyro.conf.Positional[Path]
    """The result of a cleaning."""
    ids: tyro.conf.Positional[tuple[str, ...]]
    """Ids of documents of its input."""
    json: bool = False
    """Print JSON, with all measures."""


def run(args: Args) -> int:
    """Print one paragraph per document."""
    from stemma.config import plain
    from stemma.corpus.explain import explain
    from stemma.errors import StemmaError

    if not args.ids:
        raise StemmaError(
            "no id was given; name documents by their ids, as in the column id of decisions.parquet"
        )
    explained = explain(args.folder, args.ids)
    if args.json:
        json.dump([plain(each) for each in explained], sys.stdout, ensure_ascii=False, indent=2)
        print()
        return 0
    for each in explained:
        _show(each)
    return 0


def _show(explained: "Explanation") -> None:
    row = explained.decision
    print(f"{row['id']}  (source {row['source']}, language {row['lang']}, table {explained.group})")
    if explained.language:
        wanted = " or ".join(explained.languages)
        print(f"  dropped by language: the text is in {explained.language}, not in {wanted}")
    elif row["action"] == "drop":
        print(
            f"  dropped by {row['rule']}: {row['measure']} is {row['value']:.4g}, the border {row['threshold']:.4g}"
        )
    else:
        weight = f", and stands for {row['weight']} documents" if row["weight"] > 1 else ""
        print(f"  kept{weight}")
    if row["twin"]:
        print(f"  twin: {row['twin']}" + (f" ({explained.twin_action})" if explained.twin_action else ""))
    if row["edits"]:
        print(f"  repaired: {', '.join(row['edits'])}")
    if row["spans"]:
        spans = ", ".join(f"{span['type']} at {span['start']}-{span['end']}" for span in row["spans"])
        print(f"  hidden: {spans}")
    for compared in explained.compared:
        limit = compared.limit
        border = f"{limit.side} {limit.border:g}"
        mark = "  <-- broken" if compared.is_broken else ""
        print(f"    {limit.rule:<24} {limit.measure:<32} {compared.value:>12.4g}   {border}{mark}")
