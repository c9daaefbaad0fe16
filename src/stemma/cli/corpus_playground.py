"""Write the built-in playground corpus: a small bilingual world as documents, dialogues, questions and preferences."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Args:
    out: Path
    """Folder to write; it must not exist or be empty."""
    seed: int = 0
    """Seed of the world and of every draw; the same seed gives the same bytes."""
    size: int = 16000
    """Number of raw documents, dirt included."""
    json: bool = False
    """Print the number of records by file as JSON."""


def run(args: Args) -> int | None:
    """Write the folder, say what it holds and what to do next."""
    import json

    from stemma.corpus.playground import write_playground
    from stemma.errors import StemmaError
    from stemma.progress import say

    if args.seed < 0 or args.size < 1:
        raise StemmaError(f"--seed {args.seed} --size {args.size}: give a seed >= 0 and a size >= 1")
    counts = write_playground(args.out, args.seed, args.size)
    if args.json:
        print(json.dumps(counts))
    else:
        for name, number in counts.items():
            print(f"{args.out / name}\t{number}")
    say(f"next: stemma clean {args.out / 'documents.jsonl'} --out {args.out}-clean")
    return None
