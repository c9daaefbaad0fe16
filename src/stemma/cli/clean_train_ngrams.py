"""Train the n-gram model that cleaning takes perplexities from, on text as it should be."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of `stemma clean train-ngrams`."""

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders of documents, for example the result of a cleaning."""
    out: Path
    """File to write."""
    order: int = 4
    """Tokens (words, Han characters) in the longest n-gram, 2 to 5."""
    entries: int = 1 << 23
    """The most n-grams the model keeps, at 6 to 12 bytes each in memory."""
    on_error: Literal["refuse", "skip"] = "refuse"
    """A record that cannot be read stops the run, or is passed over and counted."""
    force: bool = False
    """Replace the file."""


def run(args: Args) -> int:
    """Train and say where the model lies."""
    from stemma.corpus.annotated import to_batch
    from stemma.corpus.annotating import BATCH_CHARACTERS
    from stemma.corpus.ngram_model import Batch, NgramModel, NgramSettings
    from stemma.corpus.read import BadRecords, batches, read_documents
    from stemma.corpus.scan import scan
    from stemma.errors import StemmaError
    from stemma.progress import Progress, say

    if args.out.is_dir():
        raise StemmaError(f"{args.out}: is a folder; give the name of a file, such as ngrams.npz")
    if args.out.exists() and not args.force:
        raise StemmaError(f"{args.out}: already exists; choose another output or use --force")
    settings = NgramSettings(order=args.order, entries=args.entries)
    skipped, tokens = BadRecords(), 0
    with Progress("documents", None) as progress:

        def tokenised() -> Iterator[Batch]:
            nonlocal tokens
            for documents in batches(read_documents(args.inputs, args.on_error, skipped), BATCH_CHARACTERS):
                texts = to_batch([document.text for document in documents])
                scanned = scan(texts.data, texts.offsets)
                tokens += len(scanned.tokens)
                progress.advance(len(documents), f"{tokens:,} tokens")
                yield scanned.tokens, scanned.token_offsets

        model = NgramModel.train(tokenised(), settings)
    model.save(args.out)
    if skipped.count:
        say(f"passed over: {skipped.count} records that cannot be read")
    say(f"{model.num_entries:,} n-grams of {tokens:,} tokens, {model.num_bytes:,} bytes in memory")
    say(f"model: {args.out}")
    say(f"next: stemma clean INPUT --out FOLDER --perplexity-model {args.out}")
    return 0
