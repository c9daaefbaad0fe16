"""The strict loader: what it accepts round-trips, what it does not know it names."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from stemma.config import load_json, load_toml, override, parse, plain
from stemma.errors import StemmaError


@dataclass(frozen=True, kw_only=True)
class Circle:
    kind: Literal["circle"] = "circle"
    radius: float


@dataclass(frozen=True, kw_only=True)
class Square:
    kind: Literal["square"] = "square"
    side: int = 1

    def __post_init__(self) -> None:
        if self.side < 0:
            raise StemmaError(f"side is {self.side}; it must not be negative")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    title: str
    shapes: tuple[Circle | Square, ...] = ()
    folder: Path | None = None
    weights: dict[str, float] | None = None
    size: tuple[int, int] = (1, 1)
    draft: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)


def test_parse_and_plain_are_inverse() -> None:
    data = {
        "title": "a",
        "shapes": [{"kind": "circle", "radius": 2.0}, {"kind": "square", "side": 3}],
        "folder": "x/y",
        "weights": {"zh": 0.5},
        "size": [2, 3],
        "draft": True,
        "notes": {"any": [1, {"thing": "x"}]},
    }
    drawing = parse(Drawing, data)
    assert drawing.shapes == (Circle(radius=2.0), Square(side=3))
    assert drawing.folder == Path("x/y")
    assert plain(drawing) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"titel": "a"}, r"unknown key 'titel'; did you mean 'title'\?"),
        ({}, "key 'title' is missing"),
        ({"title": 3}, "config.title: expected str, found int 3"),
        ({"title": "a", "draft": 1}, "config.draft: expected bool"),
        ({"title": "a", "size": [1]}, "config.size: expected 2 values"),
        ({"title": "a", "size": [1, True]}, r"config.size\[1\]: expected int"),
        ({"title": "a", "shapes": [{"kind": "circel", "radius": 1}]}, "did you mean 'circle'"),
        ({"title": "a", "shapes": [{"kind": "circle", "radius": float("nan")}]}, "nan"),
        ({"title": "a", "shapes": [{"kind": "square", "side": -1}]}, r"shapes\[0\]: side is -1"),
        ({"title": "a", "shapes": [{"kind": "circle", "radius": float("inf")}]}, "radius: inf is not finite"),
        ({"title": "a", "shapes": [{"kind": "circle", "radius": 10**400}]}, "radius: inf is not finite"),
        ({"title": datetime.date(2026, 1, 2)}, "config.title: expected str, found date"),
        ({"title": "a", "notes": {"x": [datetime.time(1)]}}, r"notes.x\[0\]: 01:00:00 is a date or time"),
        ({"title": "a", "notes": {"x": float("-inf")}}, "notes.x: -inf is not finite"),
        ({"title": "a", "shapes": 5}, "expected a list"),
    ],
)
def test_a_wrong_setting_is_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(StemmaError, match=message):
        parse(Drawing, data)


def test_overrides_replace_nested_values_and_keep_the_rest() -> None:
    data = {"train": {"steps": 5, "precision": "float32"}, "seed": 1}
    changed = override(
        data, ["--train.steps", "9", "--train.precision=bfloat16", "--new.deep.list", "[1, 2]"]
    )
    assert changed["train"] == {"steps": 9, "precision": "bfloat16"}
    assert changed["new"]["deep"]["list"] == [1, 2]
    assert data["train"]["steps"] == 5


def test_overrides_leave_dates_to_the_check_of_types() -> None:
    day = datetime.date(2026, 1, 2)
    data = override({"title": day, "notes": {"x": [1]}}, ["--draft", "true"])
    assert data["title"] == day
    with pytest.raises(StemmaError, match=r"config.title: expected str, found date"):
        parse(Drawing, data)


@pytest.mark.parametrize("arguments", [["steps", "9"], ["--steps"], ["--seed.deep", "1"]])
def test_a_malformed_override_is_refused(arguments: list[str]) -> None:
    with pytest.raises(StemmaError):
        override({"seed": 1}, arguments)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("a = [")
    (tmp_path / "bad.json").write_text("[1]")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    (tmp_path / "digits.toml").write_text(f"a = {'1' * 5000}")
    (tmp_path / "digits.json").write_text(f'{{"a": {"1" * 5000}}}')
    with pytest.raises(StemmaError, match=r"digits.json: is not valid JSON"):
        load_json(tmp_path / "digits.json")
    for name in ("bad.toml", "latin.toml", "absent.toml", "digits.toml"):
        with pytest.raises(StemmaError, match=name):
            load_toml(tmp_path / name)
    with pytest.raises(StemmaError, match=r"bad.json.*expected an object"):
        load_json(tmp_path / "bad.json")
