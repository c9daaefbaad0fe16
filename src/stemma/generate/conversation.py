"""A dialogue with a chat model: history, context limit, one answer at a time.

The whole history goes through the chat template at every turn, the way it was trained on; the session finds out how
much of it is still in the cache.
"""

import dataclasses
from collections.abc import Generator

from stemma.errors import StemmaError
from stemma.generate.language_model import LanguageModel
from stemma.generate.sampling import GenerationSettings
from stemma.generate.session import ChatSession
from stemma.generate.stopping import FinishReason, answers
from stemma.tokenizer.template import Message


class Conversation:
    """Turns of one dialogue. Raises StemmaError when the model has no chat template."""

    def __init__(
        self, language_model: LanguageModel, settings: GenerationSettings, system: str | None = None
    ) -> None:
        self.language_model = language_model
        self.settings = settings.with_limits(
            language_model.chat_stop_ids, language_model.tokenizer.vocab_size
        )
        self.max_seq_len = language_model.model.spec.max_seq_len
        self.num_turns = 0
        self._session = ChatSession(language_model.model, language_model.prompting)
        self._system: list[Message] = [] if system is None else [{"role": "system", "content": system}]
        self.history: list[Message] = []

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the last answer ended, None when it was left before its end."""
        return self._session.finish_reason

    def reset(self) -> None:
        """Forget all turns; the system message stays."""
        self.history = []

    def ask(self, text: str) -> int:
        """Add a user's turn and return how many of the oldest turns must be forgotten before it can be answered.

        Nothing is forgotten yet, see `forget`. Raises StemmaError, leaving the history as it was, when the turn alone
        does not fit.
        """
        self.history.append({"role": "user", "content": text})
        needed = 0
        try:
            for turns in range((len(self.history) + 1) // 2):
                needed = len(self.language_model.chat_prompt([*self._system, *self.history[2 * turns :]]))
                if needed <= self._prompt_room:
                    return turns
        except StemmaError:
            self.history.pop()
            raise
        self.history.pop()
        raise StemmaError(
            f"this turn needs {needed} tokens and the model has room for {self._prompt_room} beside the answer; shorten it"
        )

    def forget(self, turns: int) -> None:
        """Drop the oldest turns, each with its answer."""
        del self.history[: 2 * turns]

    def answer(self) -> Generator[str]:
        """Pieces of the answer to the last turn. However it ends, what was said so far becomes part of the history."""
        prompt = self.language_model.chat_prompt([*self._system, *self.history])
        settings = dataclasses.replace(self.settings, seed=self.settings.seed + self.num_turns)
        self.num_turns += 1
        said: list[str] = []
        try:
            for piece in self._session.stream(prompt, settings, answers(self.language_model.tokenizer)):
                said.append(piece)
                yield piece
        finally:
            self.history.append({"role": "assistant", "content": "".join(said)})

    @property
    def _prompt_room(self) -> int:
        """The answer is given max_new_tokens of the context, or a quarter of it when that is less."""
        return self.max_seq_len - min(self.settings.max_new_tokens, max(1, self.max_seq_len // 4))
