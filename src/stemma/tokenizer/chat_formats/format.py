"""What a chat format is: the text that writes it, the tokens that end an answer, and its way back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stemma.errors import StemmaError
from stemma.tokenizer.messages import Dialogue, Message, Tool


@dataclass(frozen=True, slots=True)
class Segment:
    """A special token, or the text between two."""

    special: str | None
    text: str = ""
    line: str = ""
    """the text up to its first line end, and with it"""
    rest: str = ""
    """the text after that; differs from the end of `text` where the rest was encoded apart"""


class Reader:
    """Goes through the segments of a rendered dialogue. What does not fit the format is refused."""

    def __init__(
        self,
        segments: Sequence[Segment],
        name: str,
        *,
        bos: str = "",
        eos: str = "",
        marks_text_start: bool = False,
    ) -> None:
        self.name, self.bos, self.eos = name, bos, eos
        self.marks_text_start = marks_text_start
        """whether a text that was encoded apart from what stands before it begins with one more space"""
        self._segments = segments
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._segments)

    def take(self, *specials: str) -> str | None:
        """The next segment's name, and past it, if it is one of these special tokens."""
        if self.done or self._segments[self._at].special not in specials:
            return None
        self._at += 1
        return self._segments[self._at - 1].special

    def expect(self, *specials: str) -> str:
        """The same, and an error if it is none."""
        found = self.take(*specials)
        if found is None:
            raise self.error(f"{' or '.join(map(repr, specials))} is missing before {self._next()}")
        return found

    def segment(self) -> Segment:
        """The text that comes next, and past it; empty where a special token or nothing comes next."""
        if self.done or self._segments[self._at].special is not None:
            return Segment(None)
        self._at += 1
        return self._segments[self._at - 1]

    def text(self) -> str:
        """The same as one string."""
        return self.segment().text

    def end(self) -> None:
        """Refuse what is left."""
        if not self.done:
            raise self.error(f"goes on with {self._next()}")

    def error(self, what: str) -> StemmaError:
        """To raise."""
        return StemmaError(
            f"rendered dialogue, {self.name} format: {what}; give what the template wrote, whole"
        )

    def _next(self) -> str:
        if self.done:
            return "the end"
        segment = self._segments[self._at]
        return repr(segment.special or segment.text[:40])


def content_only(text: str, tools: Sequence[Tool]) -> Message:
    """An answer of a format without calls."""
    return {"role": "assistant", "content": text}


@dataclass(frozen=True, kw_only=True)
class BuiltinTemplate:
    """A template's Jinja source and what belongs to it."""

    source: str
    stop_tokens: tuple[str, ...] = ()
    """tokens that end an answer; none = the tokenizer's eos token"""
    stop_texts: tuple[str, ...] = ()
    """texts that end an answer too, where no token does"""
    special_tokens: tuple[str, ...] = ()
    """all special tokens the format writes, besides the tokenizer's bos and eos tokens"""
    one_answer: bool = False
    """an answer is written otherwise once the dialogue goes on, so training takes one sample per answer"""
    has_tools: bool = False
    """whether it writes tools and their calls"""
    read: Callable[[Reader], Dialogue]
    """the way back"""
    answer: Callable[[str, Sequence[Tool]], Message] = content_only
    """what a generated answer says, given the tools that were on offer"""
    used_by: str
    """whose models speak it"""
