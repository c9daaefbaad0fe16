"""What a section is made of: a handful of plain blocks, filled by the stage modules and drawn by the templates.

Texts are kept raw here and escaped once, by the template engine; only `Figure.svg` is markup.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from markupsafe import Markup

Tone = Literal["", "good", "warn", "bad", "muted"]


@dataclass(frozen=True)
class Cell:
    """A table cell: `share` (0 to 1) draws a bar behind it, `code` sets it in monospace."""

    text: str
    number: bool = False
    share: float | None = None
    tone: Tone = ""
    code: bool = False


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str
    muted: bool = False


@dataclass(frozen=True)
class Figure:
    """A plot with its numbered caption: the first sentence in bold, then how to read it."""

    kind: ClassVar[str] = "figure"
    svg: Markup
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under column names; `names` keeps the first column on one line."""

    kind: ClassVar[str] = "table"
    columns: list[str]
    rows: list[list[Cell]]
    title: str = ""
    caption: str = ""
    names: bool = True


@dataclass(frozen=True)
class Facts:
    """Name and value pairs in a compact grid."""

    kind: ClassVar[str] = "facts"
    pairs: list[tuple[str, str]]


@dataclass(frozen=True)
class Quote:
    """A piece of somebody's text, shown verbatim."""

    kind: ClassVar[str] = "quote"
    text: str
    label: str = ""


@dataclass(frozen=True)
class Dialogue:
    """Turns of (role, text); `tone` marks whether the answer was right."""

    kind: ClassVar[str] = "dialogue"
    turns: list[tuple[str, str]]
    label: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Code:
    """Verbatim file text or a command."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Columns:
    """Blocks side by side where there is room."""

    kind: ClassVar[str] = "columns"
    blocks: "list[Block]"
    narrow: bool = False


@dataclass(frozen=True)
class Stack:
    """Blocks one below the other, as one of the `Columns`."""

    kind: ClassVar[str] = "stack"
    blocks: "list[Block]"


@dataclass(frozen=True)
class Fold:
    """Blocks behind a line that opens them."""

    kind: ClassVar[str] = "fold"
    summary: str
    blocks: "list[Block]"


Block = Text | Figure | Table | Facts | Quote | Dialogue | Code | Columns | Stack | Fold


@dataclass(frozen=True)
class Headline:
    """One number of the strip on top: large value, what it is, and the line that keeps it honest."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A numbered section of the page, with its share of the headline strip and of the protocol table."""

    anchor: str
    title: str
    blocks: list[Block]
    headlines: list[Headline] = field(default_factory=list)
    protocol: list[tuple[str, str]] = field(default_factory=list)


def num(text: str, tone: Tone = "", share: float | None = None) -> Cell:
    """A right-aligned number."""
    return Cell(text, number=True, tone=tone, share=share)
