"""When an answer is over, and which of its text may already be shown.

Stop ids end an answer and belong to neither its ids nor its text. A stop string may be spread over tokens, so text that
could be the beginning of one is held back until it is known not to be.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from stemma.errors import StemmaError
from stemma.generate.sampling import GenerationSettings
from stemma.tokenizer.tokenizer import StreamDecoder, Tokenizer

FinishReason = Literal["stop", "length", "context"]
"""a stop id or string came; max_new_tokens reached; the model's max_seq_len reached"""

DecoderFor = Callable[[Sequence[int]], StreamDecoder]
"""from a prompt's ids to the decoder of what follows"""


def answers(tokenizer: Tokenizer) -> DecoderFor:
    """Decoders of texts of their own, such as the answer that follows a chat prompt."""
    return lambda prompt: StreamDecoder(tokenizer)


def continuations(tokenizer: Tokenizer) -> DecoderFor:
    """Decoders of text that goes on where the prompt ends: a space between the two is kept."""

    def after(prompt: Sequence[int]) -> StreamDecoder:
        decoder = StreamDecoder(tokenizer)
        for token in prompt:
            decoder.push(token)
        return decoder

    return after


class StopStrings:
    """Watches a growing text. `feed` gives what is certainly before any stop string."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings, self._held, self.stopped = tuple(strings), "", False

    def feed(self, text: str) -> str:
        """Text that can be shown now; after a stop string was found, nothing more."""
        if self.stopped:
            return ""
        text = self._held + text
        ends = [at for at in (text.find(string) for string in self._strings) if at >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)]
        shown = len(text) - max((_overlap(text, string) for string in self._strings), default=0)
        self._held = text[shown:]
        return text[:shown]

    def finish(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


class Answer:
    """One answer while it grows: ids, text and, once over, `finish_reason`."""

    def __init__(
        self,
        prompt: Sequence[int],
        settings: GenerationSettings,
        max_seq_len: int,
        decoder: DecoderFor | None,
    ):
        if not prompt:
            raise StemmaError("a prompt has no tokens; give at least one, such as the BOS or EOS id")
        if len(prompt) >= max_seq_len:
            raise StemmaError(
                f"a prompt has {len(prompt)} tokens and the model holds {max_seq_len}, the answer included; shorten it"
            )
        if settings.stop_strings and decoder is None:
            raise StemmaError(
                "stop_strings are found in text; give a decoder, such as stopping.answers(tokenizer)"
            )
        self.prompt, self.ids = list(prompt), list[int]()
        self.text: str | None = None if decoder is None else ""
        self.finish_reason: FinishReason | None = None
        self._stop_ids = frozenset(settings.stop_ids)
        self._max_new_tokens, self._room = settings.max_new_tokens, max_seq_len - len(prompt)
        self._decoder = None if decoder is None else decoder(prompt)
        self._stops = StopStrings(settings.stop_strings)

    @property
    def max_length(self) -> int:
        """Tokens of the prompt and the longest possible answer."""
        return len(self.prompt) + min(self._max_new_tokens, self._room)

    @property
    def seen(self) -> list[int]:
        """Ids of the prompt and of the answer so far."""
        return self.prompt + self.ids

    def add(self, token: int) -> str:
        """Take one token and return the text that may be shown because of it; sets `finish_reason` when over."""
        if token in self._stop_ids:
            return self._finish("stop", "")
        self.ids.append(token)
        text = "" if self._decoder is None else self._stops.feed(self._decoder.push(token))
        if self._stops.stopped:
            return self._finish("stop", text)
        if len(self.ids) == self._max_new_tokens:
            return self._finish("length", text)
        if len(self.ids) == self._room:
            return self._finish("context", text)
        return self._show(text)

    def _finish(self, reason: FinishReason, text: str) -> str:
        self.finish_reason = reason
        if self._decoder is not None:
            text += self._stops.feed(self._decoder.finish()) + self._stops.finish()
        return self._show(text)

    def _show(self, text: str) -> str:
        if self.text is not None:
            self.text += text
        return text


def _overlap(text: str, string: str) -> int:
    """Length of the longest end of `text` that is a proper beginning of `string`."""
    longest = min(len(text), len(string) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(string[:n])), 0)
