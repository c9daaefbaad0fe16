"""Train a fast classifier of good and bad documents, measure it on examples it never saw, and write it.

Good examples: what the corpus should be like (reference works, instructions, hand-picked pages). Bad ones:
pages as they come. The same kind of text in both, else the classifier learns the kind.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from stemma.corpus.quality import HeldOut


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of `stemma clean train-quality`."""

    good: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders of good documents: .jsonl, .jsonl.zst, .jsonl.gz, .parquet, .txt, .html, .htm, .warc, .warc.gz,
    .warc.zst."""
    bad: tuple[Path, ...]
    """Files or folders of bad documents."""
    out: Path
    """File to write."""
    max_tokens: int = 1 << 24
    """Tokens used of each class; a fair sample is taken where there are more."""
    seed: int = 0
    """Which documents are sampled and held out."""
    on_error: Literal["refuse", "skip"] = "refuse"
    """A record that cannot be read stops the run, or is passed over and counted."""
    force: bool = False
    """Replace the file."""
    json: bool = False
    """Print the figures as JSON on stdout."""


def run(args: Args) -> int:
    """Train, show how the held-out examples did, say where the model lies."""
    import json

    from stemma.config import plain
    from stemma.corpus.quality import LinearQuality, QualitySettings
    from stemma.corpus.read import BadRecords, read_documents
    from stemma.errors import StemmaError
    from stemma.progress import Progress, say

    if not args.good or not args.bad:
        raise StemmaError("give files or folders of good documents, and after --bad of bad ones")
    if args.out.is_dir():
        raise StemmaError(f"{args.out}: is a folder; give the name of a file, such as quality.safetensors")
    if args.out.exists() and not args.force:
        raise StemmaError(f"{args.out}: already exists; choose another output or use --force")
    settings = QualitySettings(max_tokens=args.max_tokens, seed=args.seed)
    skipped = BadRecords()
    with Progress("documents", None) as progress:

        def documents(paths: tuple[Path, ...]):
            for document in read_documents(paths, args.on_error, skipped):
                progress.advance()
                yield document

        model = LinearQuality.train(documents(args.good), documents(args.bad), settings)
    model.save(args.out)
    _show(model.held_out)
    if args.json:
        json.dump({"model": str(args.out), **plain(model.held_out)}, sys.stdout, indent=2)
        print()
    if skipped.count:
        say(f"passed over: {skipped.count} records that cannot be read")
    say(f"model: {args.out}")
    say(f"next: stemma clean INPUT --out FOLDER --quality-model {args.out} --limits low_quality 0.5")
    return 0


def _show(held_out: "HeldOut") -> None:
    from rich.console import Console
    from rich.table import Table

    from stemma.progress import say

    table = Table("keep from", "good kept", "bad kept", "precision", title_justify="left")
    table.title = f"{held_out.num_measured} held-out documents, both classes weighing the same"
    for column in table.columns:
        column.justify = "right"
    for row in held_out.thresholds:
        shares = (row.recall, row.bad_kept, row.precision)
        table.add_row(f"{row.threshold}", *(f"{100 * share:.1f} %" for share in shares))
    Console(stderr=True).print(table)
    say(
        f"examples: {held_out.num_good:,} good, {held_out.num_bad:,} bad; "
        f"left out, as they are in both: {held_out.num_in_both:,}"
    )
    say(
        f"AUC {held_out.auc:.4f}, log loss {held_out.log_loss:.3f} (a coin: 0.693), "
        f"probabilities off by {held_out.calibration_error:.3f} on average"
    )
    if abs(held_out.han_good - held_out.han_bad) > 0.3:
        say(
            f"Chinese or Japanese are {held_out.han_good:.0%} of the letters of the good examples and "
            f"{held_out.han_bad:.0%} of the bad ones: the model learned the language; "
            "give both classes the same languages"
        )
