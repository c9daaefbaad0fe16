"""How a question is put to a model. A score without its protocol means nothing, so each has a name and a description.

chat    the model's own chat template, no examples; an answer ends with the template's stop token
plain   text for a base model: examples and question as lines, the answer is the next line; examples are the questions
        that follow in the file, of the same kind and language, the last leading on to the first
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from stemma.errors import CheckFailed, StemmaError
from stemma.evaluate.questions import Question
from stemma.evaluate.scoring import Scored
from stemma.generate.language_model import LanguageModel
from stemma.tokenizer.template import Message, encode_chat

ProtocolName = Literal["chat", "plain"]


class AnsweringProtocol(Protocol):
    """What scoring needs of a protocol."""

    name: ProtocolName
    description: str
    stop_ids: tuple[int, ...]
    stop_strings: tuple[str, ...]

    def prompt(self, question: Question) -> list[int]:
        """Ids after which the model answers."""
        ...

    def candidate(self, question: Question, answer: str) -> Scored:
        """Prompt and answer, the answer and its end scored."""
        ...


class ChatProtocol:
    """The chat template, zero-shot.

    A choice is encoded as it would be trained on. A published template may not mark what the assistant says; then a
    choice is encoded as what follows the prompt, and the description says so.
    """

    name: ProtocolName = "chat"

    def __init__(self, language_model: LanguageModel) -> None:
        self._language_model = language_model
        self.stop_ids, self.stop_strings = language_model.chat_stop_ids, ()
        self._marked = _marks_assistant(language_model)
        note = (
            ""
            if self._marked
            else "; the template marks no assistant spans, so choices are encoded after the prompt"
        )
        self.description = f"chat template, 0 examples{note}"

    def prompt(self, question: Question) -> list[int]:
        """The dialogue up to the assistant's turn."""
        return self._language_model.chat_prompt(question.messages)

    def candidate(self, question: Question, answer: str) -> Scored:
        """The dialogue with `answer` as the assistant's; the answer and its stop token are scored."""
        prompt = self.prompt(question)
        return self._trained(question, answer, prompt) if self._marked else self._following(answer, prompt)

    def _trained(self, question: Question, answer: str, prompt: list[int]) -> Scored:
        language_model = self._language_model
        reply: Message = {"role": "assistant", "content": answer}
        tokens = encode_chat(
            language_model.tokenizer,
            language_model.chat_template,
            [*question.messages, reply],
            answers="last",
        )
        if tokens.ids[: len(prompt)] != prompt:
            raise StemmaError(
                "the chat template encodes a prompt otherwise than the training dialogue; repair it"
            )
        end = 1 + max(place for place, learned in enumerate(tokens.target_mask) if learned)
        return Scored(tokens.ids[:end], len(prompt))

    def _following(self, answer: str, prompt: list[int]) -> Scored:
        tokenizer, template = self._language_model.tokenizer, self._language_model.chat_template
        after = "special" if prompt[-1] in tokenizer.special_ids.values() else "text"
        stop = tokenizer.special_ids[template.stop_tokens[0]]
        return Scored([*prompt, *tokenizer.encode(answer, after=after), stop], len(prompt))


class PlainProtocol:
    """Lines of text: examples, a blank line between them, the question, then its answer.

    An example that would not fit into the context is left out, the last one first.
    """

    name: ProtocolName = "plain"

    def __init__(
        self,
        language_model: LanguageModel,
        questions: Sequence[Question],
        num_shots: int,
        max_new_tokens: int,
    ) -> None:
        self.description = f"plain text, question and answer on lines of their own, {num_shots} examples"
        self.stop_ids, self.stop_strings = language_model.eos_ids, ("\n",)
        self._language_model, self._num_shots, self._max_new_tokens = (
            language_model,
            num_shots,
            max_new_tokens,
        )
        self._groups: dict[tuple[str, str], list[Question]] = {}
        self._places: dict[str, int] = {}
        for question in questions:
            group = self._groups.setdefault((question.kind, question.lang), [])
            self._places[question.id] = len(group)
            group.append(question)

    def prompt(self, question: Question) -> list[int]:
        """The examples that fit, then the question."""
        shots = self._shots(question)
        room = self._language_model.model.spec.max_seq_len - self._max_new_tokens
        while len(ids := self._encode(self._text(shots, question))) > room and shots:
            shots.pop()
        return ids

    def candidate(self, question: Question, answer: str) -> Scored:
        """The prompt, then the answer and the end of its line, encoded as what follows the prompt."""
        prompt = self.prompt(question)
        tokenizer = self._language_model.tokenizer
        return Scored([*prompt, *tokenizer.encode(answer + "\n", after="text")], len(prompt))

    def _encode(self, text: str) -> list[int]:
        return [*self._language_model.document_start, *self._language_model.tokenizer.encode(text)]

    def _shots(self, question: Question) -> list[Question]:
        group, place = self._groups[question.kind, question.lang], self._places[question.id]
        others = [q for q in group[place + 1 :] + group[:place] if q.messages != question.messages]
        return others[: self._num_shots]

    @staticmethod
    def _text(shots: Sequence[Question], question: Question) -> str:
        examples = [f"{_lines(shot)}{shot.answer}\n\n" for shot in shots]
        return "".join(examples) + _lines(question)


def build_protocol(
    name: ProtocolName,
    language_model: LanguageModel,
    questions: Sequence[Question],
    num_shots: int,
    max_new_tokens: int,
) -> AnsweringProtocol:
    """The protocol of that name. Raises StemmaError when chat is asked of a model without a template."""
    if name == "chat":
        return ChatProtocol(language_model)
    return PlainProtocol(language_model, questions, num_shots, max_new_tokens)


def _lines(question: Question) -> str:
    return "".join(f"{message['content']}\n" for message in question.messages)


def _marks_assistant(language_model: LanguageModel) -> bool:
    """Whether the template can encode a dialogue for training."""
    dialogue: list[Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        encode_chat(language_model.tokenizer, language_model.chat_template, dialogue)
    except CheckFailed:
        return False
    return True
