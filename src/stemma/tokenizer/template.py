"""Chat templates: from messages to the ids that are trained on and served, by one function.

What a message says is data: it is wrapped in noncharacter marks before rendering and encoded without special tokens
afterwards, so "<|im_end|>" typed by a user is seven letters and signs and never ends a turn. What the assistant says
stands inside {% generation %} ... {% endgeneration %}, stop token included, and is the target of training. Ids are cut
where a target begins and ends, so the prompt served is a prefix of the sequence trained on, id by id.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

import jinja2

from stemma.errors import CheckFailed, StemmaError
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.content import DATA_CLOSE, DATA_OPEN, Content
from stemma.tokenizer.sandbox import SPAN_CLOSE, SPAN_OPEN, Sandbox, budget_for
from stemma.tokenizer.templates import BUILTIN_TEMPLATES
from stemma.tokenizer.tokenizer import After, Tokenizer

Role = Literal["system", "user", "assistant", "tool"]
_MARKS = DATA_OPEN + DATA_CLOSE + SPAN_OPEN + SPAN_CLOSE
_MAY_FOLLOW: dict[str | None, tuple[str, ...]] = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant", "user"),
}
_MAX_SOURCE = 200_000


class Message(TypedDict):
    """One message of a dialogue, as in the OpenAI and transformers formats."""

    role: Role
    content: str
    name: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of rendered text."""

    text: str
    is_data: bool
    """said by a message; else written by the template, where special tokens count"""
    is_target: bool
    """inside an assistant span"""


@dataclass(frozen=True, slots=True)
class ChatTokens:
    """A dialogue as ids; `target_mask[i]` says that ids[i] is to be learned."""

    ids: list[int]
    target_mask: list[bool]


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja chat template and the tokens that end an assistant turn."""

    source: str
    stop_tokens: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    """further names the template may use: bos_token, eos_token"""

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> list[Piece]:
        """The dialogue as text, in pieces; raises StemmaError for dialogues and templates that cannot be rendered."""
        check_messages(messages)
        length = sum(len(text) for message in messages for text in _texts(message))
        wrapped = [_wrap(message) for message in messages]
        values = dict(self.variables) | {"messages": wrapped, "add_generation_prompt": add_generation_prompt}
        with budget_for(length) as budget, _one_sentence():
            text = _bounded(_compiled(self.source).generate(values), budget.longest)
        return list(_pieces(text))

    def stop_ids(self, tokenizer: Tokenizer) -> frozenset[int]:
        """Ids of the stop tokens; raises StemmaError when one is no special token of the tokenizer."""
        if not self.stop_tokens:
            raise StemmaError(
                "chat template: has no stop token; give the tokenizer an eos_token in its configuration"
            )
        for token in self.stop_tokens:
            if token not in tokenizer.special_ids:
                raise StemmaError(
                    f"chat template: stop token {token!r} is no special token of this tokenizer; "
                    "add it to the tokenizer or choose another template"
                )
        return frozenset(tokenizer.special_ids[token] for token in self.stop_tokens)


def builtin_template(name: str, config: TokenizerConfig) -> ChatTemplate:
    """A built-in template for a tokenizer with these roles; raises StemmaError for an unknown name."""
    if name not in BUILTIN_TEMPLATES:
        raise StemmaError(f"chat template {name!r} is none of the built-in {', '.join(BUILTIN_TEMPLATES)}")
    found = BUILTIN_TEMPLATES[name]
    return _with_variables(found.source, found.stop_tokens, config)


def template_of(tokenizer: Tokenizer) -> ChatTemplate:
    """The template stored with a tokenizer; raises StemmaError when there is none."""
    config = tokenizer.config
    if config.chat_template is None:
        raise StemmaError(
            f"this tokenizer has no chat template; choose one of {', '.join(BUILTIN_TEMPLATES)}"
        )
    return _with_variables(config.chat_template, config.stop_tokens, config)


def encode_chat(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    add_generation_prompt: bool = False,
) -> ChatTokens:
    """Ids of a dialogue and which of them are targets; the same function trains and serves.

    Without a generation prompt the dialogue is a training sample, and every assistant message must be one span that
    ends with a stop token: raises CheckFailed when the template does not do that.
    """
    stop_ids = template.stop_ids(tokenizer)
    encoder = _encode(tokenizer, template, messages, add_generation_prompt)
    if not add_generation_prompt:
        _check_spans(encoder, stop_ids, sum(message["role"] == "assistant" for message in messages))
    return encoder.tokens


def check_prompts(tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message]) -> None:
    """Check that what is served before each answer is what was trained on before it, id by id.

    Costs one rendering per answer: run it on a few dialogues before training with a template from elsewhere. Raises
    CheckFailed when the template writes earlier turns differently later on.
    """
    encoder = _encode(tokenizer, template, messages, add_generation_prompt=False)
    _check_spans(
        encoder, template.stop_ids(tokenizer), sum(message["role"] == "assistant" for message in messages)
    )
    answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    for number, (start, _) in zip(answers, encoder.spans, strict=True):
        served = _encode(tokenizer, template, messages[:number], add_generation_prompt=True).tokens.ids
        if served != encoder.tokens.ids[:start]:
            raise CheckFailed(
                f"chat template: the prompt before message {number + 1} is served differently from how it is trained "
                "on; use a template that writes every turn the same way wherever it stands"
            )


def check_messages(messages: Sequence[Message]) -> None:
    """Refuse dialogues no template can be trusted with, naming the message."""
    if not messages:
        raise StemmaError("dialogue: has no messages; give at least one from the user")
    before: str | None = None
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise StemmaError(f"dialogue, message {number}: needs a 'role' and a 'content' that is text")
        role = message.get("role")
        if not isinstance(role, str) or role not in _MAY_FOLLOW:
            known = ", ".join(name for name in _MAY_FOLLOW if name)
            raise StemmaError(f"dialogue, message {number}: role {role!r} is unknown; use {known}")
        if role not in _MAY_FOLLOW[before]:
            place = f"cannot follow {before}" if before else "cannot come first"
            expected = " or ".join(_MAY_FOLLOW[before])
            raise StemmaError(f"dialogue, message {number}: role {role} {place}; expected {expected}")
        for text in _texts(message):
            if any(mark in text for mark in _MARKS):
                raise StemmaError(
                    f"dialogue, message {number}: holds a noncharacter U+FDD0 to U+FDD3; remove it"
                )
        before = role


def _with_variables(source: str, stop_tokens: tuple[str, ...], config: TokenizerConfig) -> ChatTemplate:
    roles = {"bos_token": config.bos_token, "eos_token": config.eos_token}
    stop = stop_tokens or ((config.eos_token,) if config.eos_token else ())
    return ChatTemplate(source, stop, {name: token for name, token in roles.items() if token is not None})


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    return (value for key, value in message.items() if key != "role" and isinstance(value, str))


def _wrap(message: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: value if key == "role" else Content(value)
        for key, value in message.items()
        if isinstance(value, str)
    }


class _one_sentence:  # noqa: N801 - reads as a phrase in a with statement
    """Turns whatever a template can raise into one sentence."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StemmaError) or not isinstance(error, Exception):
            return
        line = f", line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        if isinstance(error, RecursionError | MemoryError):
            reason = "it is nested too deeply or too large"
        raise StemmaError(
            f"chat template{line}: cannot be rendered ({reason}); repair the template"
        ) from error


@functools.lru_cache(maxsize=32)
def _compiled(source: str) -> jinja2.Template:
    if len(source) > _MAX_SOURCE or any(mark in source for mark in _MARKS):
        raise StemmaError(
            f"chat template: over {_MAX_SOURCE} characters or holding noncharacters; repair the template"
        )
    return Sandbox().from_string(source)


def _bounded(parts: Iterable[str], longest: int) -> str:
    kept: list[str] = []
    length = 0
    for part in parts:
        length += len(part)
        if length > longest:
            raise StemmaError(f"chat template: renders over {longest} characters; simplify it")
        kept.append(part)
    return "".join(kept)


def _pieces(text: str) -> Iterator[Piece]:
    """Cut a rendering at its marks; refuse marks that do not pair."""
    is_data = is_target = False
    start = 0
    for at, letter in enumerate(text):
        if letter not in _MARKS:
            continue
        if at > start:
            yield Piece(text[start:at], is_data, is_target)
        start = at + 1
        opens = letter in (DATA_OPEN, SPAN_OPEN)
        state = is_data if letter in (DATA_OPEN, DATA_CLOSE) else is_target
        if state == opens or (is_data and letter in (SPAN_OPEN, SPAN_CLOSE)):
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
        yield Piece(text[start:], is_data, is_target)


class _Encoder:
    """Collects the ids of rendered pieces.

    Text between two special tokens is encoded as a whole, data and template text together, as models trained
    elsewhere saw it; only special tokens and span borders cut it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokens = ChatTokens([], [])
        self.spans: list[tuple[int, int]] = []
        """first and past-the-last place of every target span"""
        self._tokenizer = tokenizer
        self._run: list[str] = []
        self._after: After = "start"
        self._start: int | None = None

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        if piece.is_target != (self._start is not None):
            self.cut(starts_target=piece.is_target)
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
            self.spans.append((self._start, len(self.tokens.ids)))
        self._start = len(self.tokens.ids) if starts_target else None

    def _flush(self) -> None:
        if self._run:
            self._append(self._tokenizer.encode("".join(self._run), after=self._after))
            self._run, self._after = [], "text"

    def _append(self, ids: list[int]) -> None:
        self.tokens.ids.extend(ids)
        self.tokens.target_mask.extend([self._start is not None] * len(ids))


def _encode(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message], add_generation_prompt: bool
) -> _Encoder:
    encoder = _Encoder(tokenizer)
    for piece in template.render(messages, add_generation_prompt):
        encoder.add(piece)
    encoder.cut()
    return encoder


def _check_spans(encoder: _Encoder, stop_ids: frozenset[int], num_answers: int) -> None:
    if len(encoder.spans) != num_answers:
        raise CheckFailed(
            f"chat template: marks {len(encoder.spans)} assistant spans in a dialogue with {num_answers} assistant "
            "messages; put what the assistant says inside {% generation %} ... {% endgeneration %}"
        )
    for start, end in encoder.spans:
        if start == end or encoder.tokens.ids[end - 1] not in stop_ids:
            raise CheckFailed(
                "chat template: an assistant span does not end with a stop token, so the model would never learn to"
                " stop; move the stop token inside {% generation %} ... {% endgeneration %}"
            )
