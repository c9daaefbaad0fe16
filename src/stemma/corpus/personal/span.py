"""What is found: a typed span; and the text around a trigger in which it is looked for."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

Type = Literal[
    "EMAIL",
    "ID_CARD",
    "PHONE",
    "IP",
    "BANK_CARD",
    "CREDIT_CARD",
    "CREDIT_CODE",
    "PASSPORT",
    "SSN",
    "IBAN",
    "API_KEY",
    "PRIVATE_KEY",
]
TYPES: tuple[Type, ...] = Type.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Code points [start, end) of the original text."""

    start: int
    end: int
    type: Type


class Window(NamedTuple):
    """The text around a trigger, folded character by character: full-width forms, spaces and dashes as ASCII."""

    text: str
    first: int
    """Where the trigger begins in it."""
    last: int
    """Where the trigger ends in it."""


class Found(NamedTuple):
    """A value in a window."""

    start: int
    end: int
    type: Type


_WIDE = re.compile("[\\uff01-\\uff5e\\u3000\\xa0\\u2000-\\u200a\\u202f\\u2010-\\u2015\\u2212]")
_FOLDS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_FOLDS |= dict.fromkeys([0x3000, 0xA0, 0x202F, *range(0x2000, 0x200B)], 0x20)
_FOLDS |= dict.fromkeys([0x2212, *range(0x2010, 0x2016)], 0x2D)


def fold(text: str) -> str:
    """The same number of characters, with ASCII for the forms that count as such."""
    return text.translate(_FOLDS) if not text.isascii() and _WIDE.search(text) else text


def bytes_around(data: bytes, first: int, last: int, before: int, after: int) -> tuple[int, int]:
    """The bytes [first, last) with so many more on both sides, cut between characters."""
    start, end = max(0, first - before), min(len(data), last + after)
    while start < first and data[start] & 0xC0 == 0x80:
        start += 1
    while end < len(data) and end > last and data[end] & 0xC0 == 0x80:
        end -= 1
    return start, end
