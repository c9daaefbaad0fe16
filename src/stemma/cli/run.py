"""A whole chain from one recipe: clean, tokenizer, pretrain, SFT, evaluate, upgrade, report.

The same command continues where it stopped; --dotted.key VALUE changes a key of the recipe.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    recipe: tyro.conf.Positional[Path]
    """TOML file of the chain; see recipes/"""
    out: Path
    """folder for everything the chain makes"""
    json: bool = False
    """print the result as JSON"""


def run(args: Args, overrides: list[str]) -> int | None:
    """Carry the chain out and show its numbers."""
    return carry_out(args.recipe, args.out, overrides, args.json)


def carry_out(recipe: Path, out: Path, overrides: list[str], as_json: bool) -> int | None:
    """Run the chain of a recipe file in `out`, print the figures, say what to do next."""
    import json

    from stemma.chain.recipe import ChainRecipe
    from stemma.chain.run import run_chain
    from stemma.config import load_toml, override, parse
    from stemma.progress import say

    settings = parse(ChainRecipe, override(load_toml(recipe), overrides), recipe.name)
    result = run_chain(settings, out)
    accuracy = {n: e.questions.accuracy for n, e in result.evaluations.items() if e.questions}
    if as_json:
        figures = {"report": str(result.report), "model": str(result.chat_model), "seconds": result.seconds}
        print(json.dumps(figures | {"answered": accuracy}))
    else:
        print(result.report)
    for name, share in accuracy.items():
        say(f"{name:<19} {share:6.1%} of the held-out questions answered")
    say(f"{'time, all stages':<19} {result.seconds / 60:5.1f} min")
    say(f"\nreport: {result.report}")
    say(f"next: stemma chat {result.chat_model}")
    return None
