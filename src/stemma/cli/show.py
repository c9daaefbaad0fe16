"""What a model is, on one screen: family, architecture, size, memory, context; with two, what changed between them.

A name is a published model such as chatglm-6b, of which no weights are needed. A path is a checkpoint folder, a run
folder (its model/ is shown), or a TOML file that holds a Spec; a path that exists is never taken for a name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from stemma.checkpoint.open import Description
    from stemma.families.compare import Architecture
    from stemma.families.presets import Preset


@dataclass(frozen=True, kw_only=True)
class Args:
    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="NAME_OR_PATH")] = None
    """a published model such as chatglm-6b, a checkpoint folder, a run folder, or a Spec as TOML"""
    other: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="NAME_OR_PATH")] = None
    """a second one: tell what changed between the two instead"""
    context: int | None = None
    """also the KV cache at this many tokens"""
    list: bool = False
    """name the published models known without their weights"""
    json: bool = False
    """print JSON"""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a name or a path stands for."""

    title: str
    architecture: "Architecture"
    found: "Description | None" = None
    preset: "Preset | None" = None


def run(args: Args) -> int:
    import json

    from stemma.cli.screen import screen, summarize
    from stemma.errors import StemmaError
    from stemma.progress import say

    if args.list:
        return _list(args.json)
    if args.name is None:
        raise StemmaError(
            "give a model's name or the path of a folder; `stemma show --list` names the models"
        )
    if args.context is not None and args.context < 1:
        raise StemmaError(f"--context is {args.context}; it counts tokens, at least 1")
    shown = open_model(args.name)
    if args.other is not None and args.context is not None:
        raise StemmaError("--context is for one model; of two, their full lengths are told")
    if args.other is not None:
        other = open_model(args.other)
        _print_story(shown, other, args.json)
        if shown.preset is None and other.preset is None:
            say(f"next: stemma path {args.name} {args.other}")
        return 0
    facts = summarize(shown, args.context)
    print(json.dumps(facts, indent=2, ensure_ascii=False) if args.json else screen(shown, facts))
    if shown.found is not None:
        say(f"next: stemma verify {shown.found.folder}")
    return 0


def open_model(name: str) -> Shown:
    """A path where it exists, else a published model of this name. Raises StemmaError with a suggestion."""
    from stemma.checkpoint.open import describe
    from stemma.config import load_toml, parse
    from stemma.errors import StemmaError
    from stemma.families.compare import Architecture
    from stemma.families.presets import preset, preset_spec
    from stemma.model.spec import Spec

    path = Path(name)
    if not path.exists():
        if path.suffix == ".toml" or path.parent != Path("."):
            raise StemmaError(f"{name}: no such file or folder, and no name of a model")
        family, spec = preset_spec(name)
        known = preset(name)
        return Shown(title=known.model, architecture=Architecture(spec, family), preset=known)
    if path.suffix == ".toml":
        return Shown(title=name, architecture=Architecture(parse(Spec, load_toml(path), name)))
    run_folder = not (path / "config.json").is_file() and (path / "model" / "config.json").is_file()
    found = describe(path / "model" if run_folder else path)
    return Shown(title=name, architecture=Architecture(found.spec, found.family), found=found)


def _print_story(before: Shown, after: Shown, as_json: bool) -> None:
    import json

    from stemma.cli.screen import wrapped
    from stemma.families.compare import story

    told = story(before.architecture, after.architecture)
    if as_json:
        phrases = [vars(phrase) for phrase in told.phrases]
        data = {
            "phrases": phrases,
            **{k: [c._asdict() for c in getattr(told, k)] for k in ("changes", "unsaid")},
        }
        print(json.dumps(data, indent=2, ensure_ascii=False))
    elif not told.phrases and not told.changes:
        print("the same architecture")
    else:
        print(f"{before.title} -> {after.title}")
        print(wrapped({p.facet: str(p).split(": ", 1)[1] for p in told.phrases}, ":"))
        for change in told.unsaid:
            print(change)


def _list(as_json: bool) -> int:
    import json

    from stemma.families.figures import count
    from stemma.families.presets import preset, preset_names, preset_spec

    names = preset_names()
    if as_json:
        print(json.dumps(names))
    else:
        for name in names:
            print(f"{name:<20} {count(preset_spec(name)[1].num_parameters()):>8}  {preset(name).model}")
    return 0
