"""A rendered dialogue cut at its marks, and its ids: what is data, what is a target, where a text is encoded apart."""

from collections.abc import Iterator
from dataclasses import dataclass

from stemma.errors import StemmaError
from stemma.tokenizer.content import DATA_CLOSE, DATA_OPEN
from stemma.tokenizer.messages import MARKS
from stemma.tokenizer.sandbox import SPAN_CLOSE, SPAN_OPEN, TEXT_START
from stemma.tokenizer.tokenizer import After, Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of rendered text."""

    text: str
    is_data: bool
    """said by a message; else written by the template, where special tokens count"""
    is_target: bool
    """inside an assistant span"""
    starts_text: bool = False
    """encoded apart from what stands before it, as if it stood first"""


@dataclass(frozen=True, slots=True)
class ChatTokens:
    """A dialogue as ids; `target_mask[i]` says that ids[i] is to be learned."""

    ids: list[int]
    target_mask: list[bool]


@dataclass(frozen=True, slots=True)
class Span:
    """What an assistant says: ids[start:end], and the text of it."""

    start: int
    end: int
    text: str


def cut_pieces(text: str) -> Iterator[Piece]:
    """Cut a rendering at its marks; refuse marks that do not pair."""
    is_data = is_target = starts_text = False
    start = 0
    for at, letter in enumerate(text):
        if letter not in MARKS:
            continue
        if at > start:
            yield Piece(text[start:at], is_data, is_target, starts_text)
            starts_text = False
        start = at + 1
        if letter == TEXT_START and not is_data:
            starts_text = True
            continue
        opens = letter in (DATA_OPEN, SPAN_OPEN)
        state = is_data if letter in (DATA_OPEN, DATA_CLOSE) else is_target
        if state == opens or (is_data and letter in (SPAN_OPEN, SPAN_CLOSE, TEXT_START)):
            raise StemmaError(
                "chat template: takes message content or generation blocks apart; repair the template"
            )
        if letter in (DATA_OPEN, DATA_CLOSE):
            is_data = opens
        else:
            is_target = opens
    if is_data or is_target:
        raise StemmaError(
            "chat template: cuts message content or leaves a generation block open; repair the template"
        )
    if start < len(text):
        yield Piece(text[start:], is_data, is_target, starts_text)


class Encoder:
    """Collects the ids of rendered pieces.

    Text between two special tokens is encoded as a whole, data and template text together, as models trained
    elsewhere saw it; only special tokens, span borders and starts of text cut it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokens = ChatTokens([], [])
        self.spans: list[Span] = []
        self._tokenizer = tokenizer
        self._run: list[str] = []
        self._after: After = "start"
        self._start: int | None = None
        self._said: list[str] = []

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        if piece.is_target != (self._start is not None):
            self.cut(starts_target=piece.is_target)
        if piece.starts_text:
            self._flush()
            self._after = "start"
        self._said.append(piece.text)
        for part, special in (
            [(piece.text, None)] if piece.is_data else self._tokenizer.split_specials(piece.text)
        ):
            if special is None:
                self._run.append(part)
            else:
                self._flush()
                self._append([special])
                self._after = "special"

    def cut(self, *, starts_target: bool = False) -> None:
        """End the text so far, and the target span if one is open."""
        self._flush()
        if self._start is not None:
            self.spans.append(Span(self._start, len(self.tokens.ids), "".join(self._said)))
        self._start = len(self.tokens.ids) if starts_target else None
        self._said = []

    def _flush(self) -> None:
        if self._run:
            self._append(self._tokenizer.encode("".join(self._run), after=self._after))
            self._run, self._after = [], "text"

    def _append(self, ids: list[int]) -> None:
        self.tokens.ids.extend(ids)
        self.tokens.target_mask.extend([self._start is not None] * len(ids))
