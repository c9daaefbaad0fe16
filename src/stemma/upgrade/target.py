"""What `--to` may name: a checkpoint folder, a Spec file, a family, transformers, or a change such as num_kv_heads=2.

A family asks for the nearest Spec it can hold, among those that exact operations alone reach; transformers for the first
family with a class in a stock transformers that holds one of them. Changes apply on top of
what else is named, wherever in the Spec their field stands. A path that exists is never taken for a family's name.
Reading a target never touches weights.
"""

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

from stemma.checkpoint import describe
from stemma.config import load_json, load_toml, parse, plain, suggest
from stemma.errors import StemmaError
from stemma.families.family import Family
from stemma.families.presets import preset_names, preset_spec
from stemma.families.registry import families, family_for_spec, family_of_config
from stemma.model.spec import PositionSpec, RopeScaling, Spec
from stemma.upgrade.path import exactly_reachable, refusal

STOCK = "transformers"
"""the target that means: whatever a stock transformers opens"""

_FIELDS_OF_KIND: dict[Any, set[str]] = {
    kind: {field.name for field in dataclasses.fields(cls)}
    for cls in (*get_args(PositionSpec), *get_args(RopeScaling))
    for kind in get_args(get_type_hints(cls)["kind"])
}


@dataclass(frozen=True)
class Start:
    """An architecture to start from: its Spec, its layout, and how the user named it."""

    spec: Spec
    family: Family
    name: str


@dataclass(frozen=True)
class Target:
    """An architecture to reach and the layout to write it in; `hint` ends the sentence of a refusal."""

    spec: Spec
    family: Family
    hint: str = ""


def open_start(place: Path) -> Start:
    """The Spec and layout of a checkpoint folder or a Spec file. Raises StemmaError."""
    spec, family = _read(place)
    return Start(spec, family, str(place))


def resolve_target(start: Start, to: Sequence[str]) -> Target:
    """What `to` asks for, beginning at `start`. Raises StemmaError in one sentence when it cannot be understood or held."""
    changes = [text for text in to if "=" in text and not Path(text).exists()]
    places = [text for text in to if text not in changes]
    if len(places) > 1 or not to:
        named = " and ".join(f"--to {text}" for text in places) or "nothing"
        raise StemmaError(
            f"{named}: name one folder, Spec file or family, and any number of changes like num_kv_heads=2"
        )
    if not places:
        spec = apply_changes(start.spec, changes)
        return Target(spec, start.family if not start.family.losses(spec) else family_for_spec(spec))
    if places[0] == STOCK and not Path(places[0]).exists():
        return _in_stock_class(start, changes)
    named_family = next((family for family in families() if family.name == places[0]), None)
    if named_family is not None and not Path(places[0]).exists():
        return _in_family(start, named_family, changes)
    place = Path(places[0])
    if not place.exists() and str(place) not in preset_names():
        known = [STOCK, *(family.name for family in families())]
        raise StemmaError(f"--to {place}: is no path and no family{suggest(places[0], known)}")
    spec, family = _read(place)
    if changes:
        spec = apply_changes(spec, changes)
        family = family if not family.losses(spec) else family_for_spec(spec)
    return Target(spec, family, _hint(start, start.spec))


def apply_changes(spec: Spec, changes: Sequence[str]) -> Spec:
    """`spec` with each `field=value` set wherever the field stands; a dotted field narrows the places down.

    Values are written as in TOML, `none` removes an optional one. Raises StemmaError for an unknown field or a value
    of the wrong kind.
    """
    data = _complete(spec)
    for change in changes:
        key, _, text = change.partition("=")
        parts = key.strip().replace("-", "_").split(".")
        if not _set_everywhere(data, parts, _value(text.strip())):
            raise StemmaError(
                f"--to {change}: a Spec has no field '{key}'{suggest(parts[-1], _fields(data))}"
            )
    return parse(Spec, data, f"--to {' --to '.join(changes)}")


def _in_family(start: Start, family: Family, changes: Sequence[str]) -> Target:
    wanted = apply_changes(start.spec, changes) if changes else start.spec
    for spec in exactly_reachable(wanted):
        if not family.losses(spec):
            return Target(spec, family)
    raise StemmaError(
        f"{start.name} cannot become '{family.name}': {refusal(family.losses(wanted)[0])}{_hint(start, wanted)}"
    )


def _in_stock_class(start: Start, changes: Sequence[str]) -> Target:
    """The layout of a class that a stock transformers has, the start's own if it is one."""
    wanted = apply_changes(start.spec, changes) if changes else start.spec
    native = [family for family in families() if family.native]
    native.sort(key=lambda family: family is not start.family)
    for spec in exactly_reachable(wanted):
        for family in native:
            if not family.losses(spec):
                return Target(spec, family)
    compared = [(family, family.losses(wanted)) for family in native]
    alike = [
        (family, losses) for family, losses in compared if "." in losses[0].path
    ]  # the same kind of model
    nearest, losses = min(alike or compared, key=lambda pair: len(pair[1]))
    more = f" (and {len(losses) - 1} more differences)" if len(losses) > 1 else ""
    raise StemmaError(
        f"{start.name}: no class of a stock transformers holds this model; the nearest is '{nearest.name}' "
        f"({nearest.native}), but {refusal(losses[0])}{more}; its own layout '{start.family.name}' keeps it"
    )


def _hint(start: Start, spec: Spec) -> str:
    """The end of a refusal: the first other layout that holds `spec` as it is."""
    others = [f.name for f in families() if f is not start.family and not f.losses(spec)]
    return f"; the nearest target that holds it is --to {others[0]}" if others else "; keep its layout"


def _read(place: Path) -> tuple[Spec, Family]:
    if place.is_dir():
        found = describe(place)
        return found.spec, found.family
    if not place.exists():
        if str(place) in preset_names():
            family, spec = preset_spec(str(place))
            return spec, family
        raise StemmaError(
            f"{place}: does not exist; name a checkpoint folder, a Spec file or a published model"
        )
    data = load_json(place) if place.suffix == ".json" else load_toml(place)
    if "model_type" in data:
        family = family_of_config(data, str(place))
        return family.spec_of(data, str(place)), family
    spec = parse(Spec, data, str(place))
    return spec, family_for_spec(spec)


def _value(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _complete(value: Any) -> Any:
    """Like `plain`, with the fields that are None kept, so that they can be found and set."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _complete(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_complete(item) for item in cast("tuple[Any, ...]", value)]
    return plain(value)


def _children(node: Any) -> list[Any]:
    """What a table or a list holds; nothing for a value."""
    if isinstance(node, dict):
        return list(cast("dict[str, Any]", node).values())
    return cast("list[Any]", node) if isinstance(node, list) else []


def _set_everywhere(node: Any, parts: list[str], value: Any) -> int:
    """Set the dotted field wherever it begins, and count the places."""
    count = _set_here(cast("dict[str, Any]", node), parts, value) if isinstance(node, dict) else 0
    return count + sum(_set_everywhere(child, parts, value) for child in _children(node))


def _set_here(node: dict[str, Any], parts: list[str], value: Any) -> int:
    """Set the dotted field that begins in this very table; 0 when there is none."""
    if parts[0] not in node:
        return 0
    if len(parts) == 1:
        node[parts[0]] = value
        if parts[0] == "kind" and value in _FIELDS_OF_KIND:
            for name in set(node) - _FIELDS_OF_KIND[value]:
                del node[name]  # what only the former kind had
        return 1
    child = node[parts[0]]
    inner = _children(child) if isinstance(child, list) else [child]
    return sum(
        _set_here(cast("dict[str, Any]", one), parts[1:], value) for one in inner if isinstance(one, dict)
    )


def _fields(node: Any) -> list[str]:
    own = list(cast("dict[str, Any]", node)) if isinstance(node, dict) else []
    return own + [name for child in _children(node) for name in _fields(child)]
