"""Write a tokenizer as a tokenizer.json that gives the same ids, or refuse.

SentencePiece BPE models, tiktoken rank files, GGUF vocabularies, vocab.json with merges, vocab.txt. What is built is
compared with the original on hard texts, on every piece's own text and on the lines of --check-text; one difference
refuses the conversion (exit status 1) and nothing is written.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    """Which tokenizer, and where to."""

    path: tyro.conf.Positional[Path]
    """tokenizer folder or file"""
    to: Literal["tokenizer.json"]
    """format to write"""
    out: Path
    """folder to write; must not exist yet"""
    check_text: tuple[Path, ...] = ()
    """text files whose lines are compared too"""
    json: bool = False
    """print the figures as JSON"""


def run(args: Args) -> int:
    """Convert, compare, and only then write."""
    import json

    from stemma.errors import StemmaError
    from stemma.progress import say
    from stemma.storage import atomic_folder
    from stemma.tokenizer.convert import to_tokenizer_json
    from stemma.tokenizer.load import load_tokenizer

    def lines():
        for path in args.check_text:
            try:
                yield from path.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:
                raise StemmaError(f"{path}: not UTF-8 text; give text files to --check-text") from None

    tokenizer = load_tokenizer(args.path)
    with atomic_folder(args.out) as folder:
        say(f"comparing with {args.path} on built-in texts and every piece")
        converted = to_tokenizer_json(tokenizer, lines(), source=str(args.path))
        converted.tokenizer.save(folder)
    figures = {
        "folder": str(args.out),
        "from": tokenizer.format,
        "num_pieces": tokenizer.num_pieces,
        "vocab_size": converted.tokenizer.vocab_size,
        "texts_compared": converted.num_texts,
        "texts_different": 0,
    }
    if args.json:
        print(json.dumps(figures))
    else:
        print(f"{figures['num_pieces']} pieces, {figures['vocab_size']} ids, from {tokenizer.format}")
        print(f"{converted.num_texts} texts compared, 0 different")
    say(f"tokenizer: {args.out}")
    say(f"next: stemma tokenizer compare {args.path} {args.out} --text FILE")
    return 0
