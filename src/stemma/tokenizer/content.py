"""The text of a message or tool while a template works on it: it carries its own marks wherever it goes.

A template may strip, split or replace in what a message says; the result is still data, so the marks move with it.
Comparisons, lengths and tests see the text without marks.
"""

from collections.abc import Callable, Iterator
from typing import Any, Self, SupportsIndex

DATA_OPEN, DATA_CLOSE = "\ufdd0", "\ufdd1"
"""noncharacters that stand around data in a rendered text"""


def _marked(name: str) -> Callable[..., Any]:
    plain = getattr(str, name)

    def method(self: "Content", *args: Any, **kwargs: Any) -> Any:
        result = plain(self.plain, *[_plain(value) for value in args], **kwargs)
        if isinstance(result, str):
            return Content(result)
        return [Content(part) for part in result] if isinstance(result, list | tuple) else result

    return method


class Content(str):
    """A message's text between marks."""

    __slots__ = ("plain",)
    plain: str
    """the text itself"""

    def __new__(cls, plain: str) -> Self:
        """Wrap `plain`."""
        content = super().__new__(cls, DATA_OPEN + plain + DATA_CLOSE)
        content.plain = plain
        return content

    def __repr__(self) -> str:
        return (
            DATA_OPEN + repr(self.plain) + DATA_CLOSE
        )  # what a list or object that holds it becomes as text

    def __len__(self) -> int:
        return len(self.plain)

    def __bool__(self) -> bool:
        return bool(self.plain)

    def __eq__(self, other: object) -> bool:
        return self.plain == _plain(other)

    def __hash__(self) -> int:
        return hash(self.plain)

    def __contains__(self, part: object) -> bool:
        return isinstance(part, str) and _plain(part) in self.plain

    def __getitem__(self, place: SupportsIndex | slice) -> "Content":  # pyright: ignore[reportIncompatibleMethodOverride]
        return Content(self.plain[place])

    def __iter__(self) -> Iterator["Content"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (Content(letter) for letter in self.plain)


def marked(value: Any) -> Any:
    """A value of JSON with every text in it, keys too, between marks."""
    if isinstance(value, str):
        return Content(value)
    if isinstance(value, dict):
        return {Content(key): marked(part) for key, part in value.items()}
    return [marked(part) for part in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return value.plain if isinstance(value, Content) else value


for _name in [
    "capitalize",
    "casefold",
    "count",
    "endswith",
    "find",
    "index",
    "isalnum",
    "isalpha",
    "isdigit",
    "isidentifier",
    "islower",
    "isspace",
    "isupper",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
]:
    _method = _marked(_name)
    _method.__name__ = _name
    setattr(Content, _name, _method)
