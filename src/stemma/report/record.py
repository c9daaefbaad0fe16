"""Reading what the stages wrote: JSON objects that know the file and the field they came from.

A stage's file may lack a field (then the page leaves that number out), but a field of the wrong kind, damaged JSON or a
damaged line of metrics is refused in one sentence that names the file and the place.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stemma.errors import StemmaError


class Record:
    """A JSON object with its origin; every getter returns None or empty when the field is absent or null."""

    def __init__(self, data: dict[str, Any], place: str) -> None:
        self.data, self.place = data, place

    def __bool__(self) -> bool:
        return bool(self.data)

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def _get(self, key: str, kinds: tuple[type, ...], noun: str) -> Any:
        value = self.data.get(key)
        if value is None or (
            isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)
        ):
            return value
        raise StemmaError(
            f"{self.place}: '{key}' must be {noun}, found {_short(value)}; write the file again"
        )

    def number(self, key: str) -> float | None:
        """A finite number, or None when absent; a NaN or infinity that was stored as text counts as absent."""
        value = self._get(key, (int, float, str), "a number")
        if isinstance(value, str):
            if value.lower().lstrip("+-") in ("nan", "inf", "infinity"):
                return None
            raise StemmaError(
                f"{self.place}: '{key}' must be a number, found {_short(value)}; write the file again"
            )
        return value if value is not None and math.isfinite(value) else None

    def text(self, key: str) -> str:
        """A string, or '' when absent; numbers and truth values are spelled out."""
        value = self._get(key, (str, int, float, bool), "a text")
        return "" if value is None else str(value)

    def flag(self, key: str) -> bool | None:
        """True, False or None when absent."""
        return self._get(key, (bool,), "true or false")

    def record(self, key: str) -> "Record":
        """A nested object, empty when absent."""
        return Record(self._get(key, (dict,), "an object") or {}, f"{self.place}: '{key}'")

    def values(self, key: str) -> list[Any]:
        """A list, empty when absent."""
        return self._get(key, (list,), "a list") or []

    def records(self, key: str) -> "list[Record]":
        """A list of objects, empty when absent."""
        return [
            Record(
                _object(item, f"{self.place}: '{key}' entry {index}"), f"{self.place}: '{key}' entry {index}"
            )
            for index, item in enumerate(self.values(key))
        ]

    def named(self) -> "list[tuple[str, Record]]":
        """The fields that hold objects, in file order."""
        return [(key, self.record(key)) for key, value in self.data.items() if isinstance(value, dict)]

    def numbers(self) -> list[tuple[str, float]]:
        """The fields that hold finite numbers, in file order."""
        found = [(key, self.number(key)) for key, value in self.data.items() if type(value) in (int, float)]
        return [(key, value) for key, value in found if value is not None]


def read_record(path: Path) -> Record:
    """Read a JSON object; an absent file is an empty Record. Raises StemmaError naming the file and the line."""
    data = _read_json(path)
    return Record({} if data is None else _object(data, str(path)), str(path))


def read_list(path: Path) -> list[Record]:
    """Read a JSON list of objects; an absent file is an empty list."""
    data = _read_json(path)
    if data is not None and not isinstance(data, list):
        raise StemmaError(f"{path}: must hold a list, found {_short(data)}; write the file again")
    return [
        Record(_object(item, f"{path}: entry {n}"), f"{path}: entry {n}") for n, item in enumerate(data or [])
    ]


def read_lines(path: Path) -> Iterator[Record]:
    """Stream JSON lines; a last line cut short by a kill is left out, any other damaged line is an error."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n") and not _parses(line):
                return
            place = f"{path}: line {number}"
            try:
                data = json.loads(line)
            except ValueError as error:
                raise StemmaError(
                    f"{place}: is not JSON ({_reason(error)}); remove the line or run again"
                ) from None
            yield Record(_object(data, place), place)


def read_text(path: Path) -> str:
    """A UTF-8 file's text, or '' when absent."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise StemmaError(f"{path}: is not UTF-8 at byte {error.start}; write the file again") from None


def _read_json(path: Path) -> Any:
    text = read_text(path)
    if not path.exists():
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise StemmaError(
            f"{path}: line {error.lineno}: is not JSON ({error.msg}); write the file again"
        ) from None
    except RecursionError:
        raise StemmaError(
            f"{path}: is nested too deeply to be one of our files; write the file again"
        ) from None


def _parses(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _object(value: Any, place: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise StemmaError(f"{place}: must be an object, found {_short(value)}; write the file again")


def _reason(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "damaged bytes"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
