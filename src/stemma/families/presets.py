"""Presets: the architectures of published models, without their weights, by the names people write.

One TOML per layout under presets/. A table [models.NAME] holds the published config keys in which the model differs from
the file's [defaults], or from the model it is `like`; the result reads as that model's config.json would. Beside the keys
stand `model`, the name as its authors spell it, `source`, where the numbers are from ("from memory" where nothing was at
hand), and `license`, in short and from memory: the licence beside the weights decides.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from stemma.config import load_toml, parse, suggest
from stemma.errors import StemmaError
from stemma.families.family import Family
from stemma.families.registry import family_of_config
from stemma.model.spec import Spec

FOLDER = Path(__file__).parent / "presets"
_ABOUT = ("model", "source", "license")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published model: its config and where it is from."""

    name: str
    model: str
    source: str
    license: str = ""
    config: dict[str, Any]


def preset_names() -> list[str]:
    """Every name, in alphabetical order."""
    return sorted(_presets())


def preset(name: str) -> Preset:
    """The preset of this name, in any case. Raises StemmaError with a suggestion."""
    found = _presets().get(name.lower())
    if found is None:
        hint = suggest(name.lower(), preset_names())
        hint = hint if "did you mean" in hint else "; `stemma show --list` names those known"
        raise StemmaError(f"'{name}' is no model known by name{hint}")
    return found


def preset_config(name: str) -> dict[str, Any]:
    """A config.json for the model of this name. Raises StemmaError with a suggestion."""
    return dict(preset(name).config)


def preset_spec(name: str) -> tuple[Family, Spec]:
    """The layout and the Spec of the model of this name. Raises StemmaError with a suggestion."""
    config, where = preset(name).config, f"preset {name.lower()}"
    family = family_of_config(config, where)
    return family, family.spec_of(config, where)


@functools.cache
def _presets() -> dict[str, Preset]:
    found: dict[str, Preset] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        data = load_toml(path)
        defaults = cast("dict[str, Any]", data["defaults"])
        models = cast("dict[str, dict[str, Any]]", data["models"])
        for name in models:
            assert name not in found, f"{path}: {name} is in two files"
            found[name] = _preset(name, defaults | _merged(name, models), str(path))
    return found


def _merged(name: str, models: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A model's own keys on top of those of the model it is like."""
    own = dict(models[name])
    like = own.pop("like", None)
    return own if like is None else _merged(like, models) | own


def _preset(name: str, values: dict[str, Any], where: str) -> Preset:
    about = {key: values[key] for key in _ABOUT if key in values}
    config = {key: value for key, value in values.items() if key not in _ABOUT}
    return parse(Preset, {"name": name, **about, "config": config}, f"{where}: {name}")
