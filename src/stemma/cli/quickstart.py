"""The whole chain on the built-in playground corpus: clean, tokenizer, pretrain, SFT, evaluate, upgrade, report.

Takes minutes on a laptop without a GPU and needs no network. The same command continues where it stopped.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Args:
    out: Path = Path("runs/quickstart")
    """folder for everything the chain makes"""
    json: bool = False
    """print the result as JSON"""


def run(args: Args, overrides: list[str]) -> int | None:
    """Run the recipe that ships in the package; --dotted.key VALUE changes a key of it."""
    from importlib.resources import as_file, files

    from stemma.cli.run import carry_out

    with as_file(files("stemma.chain") / "quickstart.toml") as recipe:
        return carry_out(recipe, args.out, overrides, args.json)
