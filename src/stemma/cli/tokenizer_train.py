"""Train a byte-level BPE tokenizer on documents, for Chinese and English.

Digits are single tokens, Han text is never glued to Latin letters or punctuation, and every Unicode text comes back
exactly. The result is a folder that transformers opens too.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to train on and how large."""

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """files or folders of documents (.jsonl, .jsonl.zst, .parquet, .txt)"""
    vocab_size: int
    """ids in all, special tokens and bytes included"""
    out: Path
    """folder to write; must not exist yet"""
    max_run: int = 32
    """longest run of letters, Han characters, symbols or white space that one token can cover"""
    split_digits: bool = True
    """make every digit a token of its own"""
    json: bool = False
    """print the figures as JSON"""


def run(args: Args) -> int:
    """Train, save, and measure on the same documents."""
    import json

    from stemma.corpus.read import read_documents
    from stemma.errors import StemmaError
    from stemma.progress import Progress, say
    from stemma.storage import atomic_folder
    from stemma.tokenizer.compression import measure
    from stemma.tokenizer.train import TrainSettings, train_tokenizer

    settings = TrainSettings(vocab_size=args.vocab_size, max_run=args.max_run, split_digits=args.split_digits)
    if not args.inputs:
        raise StemmaError("give at least one file or folder of documents to train on")
    with atomic_folder(args.out) as folder:
        with Progress("documents", None) as progress:

            def texts():
                for document in read_documents(args.inputs):
                    progress.advance()
                    yield document.text

            tokenizer = train_tokenizer(texts(), settings)
        tokenizer.save(folder)
        [counts] = measure([tokenizer], read_documents(args.inputs))
    figures = {
        "folder": str(args.out),
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
        "tokens_per_character": {
            language: round(count.tokens_per_character, 4)
            for language, count in counts.items()
            if count.num_characters
        },
    }
    if args.json:
        print(json.dumps(figures))
    else:
        print(f"vocab_size {tokenizer.vocab_size}")
        for language, rate in figures["tokens_per_character"].items():
            print(f"{language} {rate:.3f} tokens per character")
    if tokenizer.vocab_size < args.vocab_size:
        say(
            f"the documents gave only {tokenizer.vocab_size} of {args.vocab_size} tokens: too little repeated text"
        )
    say(f"tokenizer: {args.out}")
    say(f"next: stemma tokenizer compare {args.out} --text {args.inputs[0]}")
    return 0
