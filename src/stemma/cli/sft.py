"""Train a chat model on dialogues from a recipe; the same command resumes. --dotted.key VALUE changes a key."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    recipe: tyro.conf.Positional[Path]
    """TOML file with the settings of the run."""
    out: Path
    """Run folder: settings, metrics, checkpoints, and the model at the end."""
    json: bool = False
    """Print the result as JSON."""


def run(args: Args, overrides: list[str]) -> int | None:
    """Carry the run to its end, print where the model lies, say what to do next."""
    import json
    import shlex
    import sys

    from stemma.config import load_toml, override, parse, plain
    from stemma.progress import say
    from stemma.train.sft import SftSettings, sft

    settings = parse(SftSettings, override(load_toml(args.recipe), overrides), str(args.recipe))
    result = sft(settings, args.out, shlex.join(["stemma", *sys.argv[1:]]))
    if args.json:
        print(json.dumps(plain(result)))
    else:
        print(result.model_folder)
        say(f"{result.steps} steps, {result.tokens} tokens, last loss {result.final_loss:.4f} nats per token")
    say(f"next: stemma chat {result.model_folder}")
    return None
