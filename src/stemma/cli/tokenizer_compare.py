"""Tokens per character and per byte of tokenizers on the same text, Chinese and English apart.

Characters are Unicode characters in both languages; every line is encoded by itself, without special tokens. The rate
of unknown tokens stands beside: text that became unknown is lost, not compressed.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    """Which tokenizers, on which text."""

    tokenizers: tyro.conf.Positional[tuple[Path, ...]]
    """tokenizer folders or files"""
    text: tuple[Path, ...]
    """files or folders of documents to measure on"""
    json: bool = False
    """print one JSON list instead of the table"""


def run(args: Args) -> int:
    """Measure and print one row per tokenizer and language."""
    import json

    from stemma.corpus.read import read_documents
    from stemma.errors import StemmaError
    from stemma.progress import say
    from stemma.tokenizer.compression import compression_rows
    from stemma.tokenizer.load import load_tokenizer

    if not args.tokenizers:
        raise StemmaError("give at least one tokenizer folder or file to compare")
    named = [(str(path), load_tokenizer(path)) for path in args.tokenizers]
    rows = compression_rows(named, read_documents(args.text))
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    width = max(len(str(row["tokenizer"])) for row in rows)
    print(f"{'tokenizer':<{width}}  vocab   lang  tokens/char  tokens/byte  unknown")
    for row in rows:
        print(
            f"{row['tokenizer']:<{width}}  {row['vocab_size']:<6}  {row['language']:<4}"
            f"  {row['tokens_per_character']:<11.3f}  {row['tokens_per_byte']:<11.3f}  {row['unknown_rate']:.2%}"
        )
    if any(row["unknown_rate"] > 0.001 for row in rows):
        say("a tokenizer with unknown tokens loses text: its tokens per character are not comparable")
    say("next: stemma tokenizer train INPUT... --vocab-size N --out FOLDER")
    return 0
