"""Settings as frozen dataclasses, read strictly from TOML or JSON.

`parse` builds a dataclass from plain data and refuses what it does not know: an unknown key, a wrong type, a missing
value, each with its dotted place and a suggestion. A union of dataclasses is told apart by the field `kind`, whose
type is a one-value `Literal`. `plain` is the inverse.
"""

import dataclasses
import datetime
import difflib
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from stemma.errors import StemmaError

T = TypeVar("T")


def parse(cls: type[T], data: object, where: str = "config") -> T:
    """Build `cls` from plain data (what TOML and JSON give), or raise StemmaError naming the key."""
    return typing.cast(T, _convert(cls, data, where))


def plain(value: Any) -> Any:
    """The JSON and TOML form of a config value: dataclasses to dicts, tuples to lists, None left out of dicts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {name: plain(v) for name, v in pairs if v is not None}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises StemmaError when it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StemmaError(
            f"{path}: cannot be read ({error.strerror}); give the path of a TOML file"
        ) from None
    except UnicodeDecodeError:
        raise StemmaError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # plain ValueError: a number of too many digits
        raise StemmaError(f"{path}: is not valid TOML: {error}") from None


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises StemmaError when it cannot be read or is not a JSON object."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StemmaError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise StemmaError(f"{path}: is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:  # plain ValueError: a number of too many digits
        raise StemmaError(f"{path}: is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise StemmaError(f"{path}: holds a JSON {type(data).__name__}, expected an object")
    return data


def override(data: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Apply `--dotted.key value` (or `--dotted.key=value`) pairs to plain data; values are read as TOML, else as text."""
    result: dict[str, Any] = plain(data)  # new dicts and lists throughout
    queue = list(arguments)
    while queue:
        flag = queue.pop(0)
        if not flag.startswith("--"):
            raise StemmaError(f"unexpected argument '{flag}'; overrides are written --dotted.key value")
        key, equals, text = flag[2:].partition("=")
        if not equals:
            if not queue:
                raise StemmaError(f"--{key} needs a value")
            text = queue.pop(0)
        target = result
        *parents, last = key.replace("-", "_").split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise StemmaError(f"--{key}: '{parent}' is a value, not a table")
        target[last] = _toml_value(text)
    return result


def suggest(name: str, known: Sequence[str], listed: Sequence[str] | None = None) -> str:
    """'; did you mean X?' for the nearest known name, else the list of what exists, or of `listed` where that is long."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(sorted(listed or known))}"


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        _refuse_unwritable(value, where)
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, where)
    if origin is Literal:
        choices = typing.get_args(hint)
        if any(value == c and type(value) is type(c) for c in choices):
            return value
        names = [str(c) for c in choices]
        raise StemmaError(f"{where}: {value!r} is not one of the choices{suggest(str(value), names)}")
    if origin is tuple:
        return _convert_tuple(typing.get_args(hint), value, where)
    if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, Any]):
        if not isinstance(value, Mapping):
            raise StemmaError(f"{where}: expected a table, found {value!r}")
        item = typing.get_args(hint)[1]
        return {str(k): _convert(item, v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return _convert_dataclass(typing.cast(type, hint), value, where)
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer beyond the range of floats
            number = math.inf
        if not math.isfinite(number):
            raise StemmaError(f"{where}: {number} is not finite; give a finite number")
        return number
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    name = getattr(hint, "__name__", str(hint))
    raise StemmaError(f"{where}: expected {name}, found {type(value).__name__} {value!r}")


def _refuse_unwritable(value: Any, where: str) -> None:
    """What TOML can say and JSON cannot: dates, and floats that are not finite."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_unwritable(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _refuse_unwritable(item, f"{where}[{index}]")
    elif isinstance(value, float):
        _convert(float, value, where)
    elif isinstance(value, (datetime.date, datetime.time)):
        raise StemmaError(f"{where}: {value} is a date or time; write it as text, in quotes")


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    rest = [o for o in options if o is not type(None)]
    if len(rest) == 1:
        return _convert(rest[0], value, where)
    kinds = {kind: o for o in rest if dataclasses.is_dataclass(o) for kind in _kinds(o)}
    if kinds and isinstance(value, Mapping):
        kind = value.get("kind", next(iter(kinds)))  # the first of a union is its default
        if kind not in kinds:
            raise StemmaError(f"{where}.kind: {kind!r} is not known{suggest(str(kind), list(kinds))}")
        return _convert_dataclass(kinds[kind], value, where)
    for option in rest:
        if not dataclasses.is_dataclass(option):
            try:
                return _convert(option, value, where)
            except StemmaError:
                continue
    raise StemmaError(f"{where}: {value!r} fits none of the allowed forms")


def _kinds(cls: Any) -> tuple[str, ...]:
    return typing.get_args(typing.get_type_hints(cls)["kind"])


def _convert_tuple(items: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise StemmaError(f"{where}: expected a list, found {value!r}")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_convert(items[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if len(items) != len(value):
        raise StemmaError(f"{where}: expected {len(items)} values, found {len(value)}")
    return tuple(_convert(t, v, f"{where}[{i}]") for i, (t, v) in enumerate(zip(items, value, strict=True)))


def _convert_dataclass(cls: Any, value: Any, where: str) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise StemmaError(f"{where}: expected a table, found {value!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in value:
        if key not in fields:
            raise StemmaError(f"{where}: unknown key '{key}'{suggest(str(key), list(fields))}")
    arguments: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _convert(hints[name], value[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise StemmaError(f"{where}: key '{name}' is missing")
    try:
        return cls(**arguments)
    except StemmaError as error:
        raise StemmaError(f"{where}: {error}") from None
