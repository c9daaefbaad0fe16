"""Chat templates: from messages to the ids that are trained on and served, by one function.

What a message says is data: it is wrapped in noncharacter marks before rendering and encoded without special tokens
afterwards, so "<|im_end|>" typed by a user is seven letters and signs and never ends a turn. What the assistant says
stands inside {% generation %} ... {% endgeneration %}, stop token included, and is the target of training. Ids are cut
where a target begins and ends, so the prompt served is a prefix of the sequence trained on, id by id.
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jinja2
import jinja2.meta

from stemma.errors import CheckFailed, StemmaError
from stemma.tokenizer.chat_formats.format import BuiltinTemplate
from stemma.tokenizer.chat_pieces import ChatTokens, Encoder, Piece, Span, cut_pieces
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.content import marked
from stemma.tokenizer.messages import (
    MARKS,
    Message,
    Tool,
    check_messages,
    normal_messages,
    normal_tools,
    texts,
)
from stemma.tokenizer.sandbox import Sandbox, budget_for
from stemma.tokenizer.templates import BUILTIN_TEMPLATES, builtin_of
from stemma.tokenizer.tokenizer import Tokenizer

__all__ = [
    "ChatTemplate",
    "ChatTokens",
    "Message",
    "Piece",
    "builtin_template",
    "check_messages",
    "check_prompts",
    "encode_answers",
    "encode_chat",
    "sample_messages",
    "template_of",
]

_MAX_SOURCE = 200_000


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja chat template and the tokens that end an assistant turn."""

    source: str
    stop_tokens: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    """further names the template may use: bos_token, eos_token"""
    name: str = ""
    """the built-in format it is, empty for any other template; only built-in formats are parsed"""
    stop_texts: tuple[str, ...] = ()
    """texts that end an answer where no token does"""
    one_answer: bool = False
    """an answer is written otherwise once the dialogue goes on: a training sample learns the last answer only"""

    def render(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = False,
        tools: Sequence[Tool] | None = None,
    ) -> list[Piece]:
        """The dialogue as text, in pieces; raises StemmaError for dialogues and templates that cannot be rendered.

        `tools` are those the assistant may call. A template that writes no tools or no calls is refused with them.
        """
        told, offered = normal_messages(messages), normal_tools(tools)
        length = sum(map(len, texts(told))) + len(json.dumps(offered, ensure_ascii=False))
        with _one_sentence():
            self._check_ability(told, offered)
        values: dict[str, Any] = dict(self.variables) | {
            "messages": [_marked_message(message) for message in told],
            "tools": marked(offered) or None,
            "add_generation_prompt": add_generation_prompt,
        }
        with budget_for(length) as budget, _one_sentence():
            text = _bounded(_compiled(self.source).generate(values), budget.longest)
        return list(cut_pieces(text))

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

    def _check_ability(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> None:
        calls = any("tool_calls" in message for message in messages)
        if (tools and "tools" not in _names_read(self.source)) or (calls and "tool_calls" not in self.source):
            named = f" {self.name!r}" if self.name else ""
            able = ", ".join(name for name, found in BUILTIN_TEMPLATES.items() if found.has_tools)
            raise StemmaError(
                f"chat template{named}: writes no tools or calls; use one that does, built in are {able}"
            )


def builtin_template(name: str, config: TokenizerConfig) -> ChatTemplate:
    """A built-in template for a tokenizer with these roles; raises StemmaError for an unknown name."""
    if name not in BUILTIN_TEMPLATES:
        raise StemmaError(f"chat template {name!r} is none of the built-in {', '.join(BUILTIN_TEMPLATES)}")
    found = BUILTIN_TEMPLATES[name]
    return _with_variables(found.source, found.stop_tokens, config, (name, found))


def template_of(tokenizer: Tokenizer) -> ChatTemplate:
    """The template stored with a tokenizer; raises StemmaError when there is none."""
    config = tokenizer.config
    if config.chat_template is None:
        raise StemmaError(
            f"this tokenizer has no chat template; choose one of {', '.join(BUILTIN_TEMPLATES)}"
        )
    found = builtin_of(config.chat_template)
    return _with_variables(config.chat_template, config.stop_tokens, config, found)


def encode_chat(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    add_generation_prompt: bool = False,
    tools: Sequence[Tool] | None = None,
    answers: Literal["all", "last"] = "all",
) -> ChatTokens:
    """Ids of a dialogue and which of them are targets; the same function trains and serves.

    Without a generation prompt the dialogue is a training sample, and every assistant message must be one span that
    ends with a stop token, or with `answers` "last" at least the last one, which then alone is a target: raises
    CheckFailed when the template does not do that. With a format that writes old answers otherwise (`one_answer`) a
    dialogue of several answers is several samples, see `encode_answers`.
    """
    stop_ids = template.stop_ids(tokenizer)
    encoder = _encode(tokenizer, template, messages, add_generation_prompt, tools)
    if add_generation_prompt:
        return encoder.tokens
    number = _num_answers(messages)
    if template.one_answer and number > 1 and answers == "all":
        raise CheckFailed(
            f"chat template {template.name!r}: writes an answer otherwise once the dialogue goes on, so a dialogue of "
            f"{number} answers is {number} training samples; make them with encode_answers"
        )
    spans = _checked_spans(encoder, template, stop_ids, 1 if template.one_answer else number)
    if answers == "last":
        encoder.tokens.target_mask[: spans[-1].start] = [False] * spans[-1].start
    return encoder.tokens


def encode_answers(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    tools: Sequence[Tool] | None = None,
) -> list[ChatTokens]:
    """The training samples of a dialogue: one, or one per answer where the format writes old answers otherwise."""
    answers = "last" if template.one_answer else "all"
    samples = sample_messages(template, messages)
    return [encode_chat(tokenizer, template, sample, tools=tools, answers=answers) for sample in samples]


def sample_messages(template: ChatTemplate, messages: Sequence[Message]) -> list[Sequence[Message]]:
    """The dialogue of each training sample: the whole, or up to each answer where old answers are written otherwise."""
    if not template.one_answer:
        return [messages]
    ends = [number for number, message in enumerate(messages, 1) if message["role"] == "assistant"]
    return [messages[:end] for end in ends]


def check_prompts(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    tools: Sequence[Tool] | None = None,
) -> None:
    """Check that what is served before each answer is what was trained on before it, id by id.

    Costs one rendering per answer: run it on a few dialogues before training with a template from elsewhere. Raises
    CheckFailed when the template writes earlier turns differently later on, unless it is known to and every answer is
    a sample of its own.
    """
    stop_ids = template.stop_ids(tokenizer)
    answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    if template.one_answer:
        samples = [_encode(tokenizer, template, messages[: number + 1], False, tools) for number in answers]
        trained = [(sample, _checked_spans(sample, template, stop_ids, 1)[0]) for sample in samples]
    else:
        whole = _encode(tokenizer, template, messages, False, tools)
        trained = [(whole, span) for span in _checked_spans(whole, template, stop_ids, len(answers))]
    for number, (sample, span) in zip(answers, trained, strict=True):
        served = _encode(tokenizer, template, messages[:number], True, tools).tokens.ids
        if served != sample.tokens.ids[: span.start]:
            raise CheckFailed(
                f"chat template: the prompt before message {number + 1} is served differently from how it is trained "
                "on; use a template that writes every turn the same way wherever it stands"
            )


def _num_answers(messages: Sequence[Message]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def _with_variables(
    source: str,
    stop_tokens: tuple[str, ...],
    config: TokenizerConfig,
    builtin: tuple[str, BuiltinTemplate] | None,
) -> ChatTemplate:
    roles = {"bos_token": config.bos_token, "eos_token": config.eos_token}
    name, format = builtin or ("", None)
    stop = stop_tokens or (format.stop_tokens if format else ())
    return ChatTemplate(
        source,
        stop or ((config.eos_token,) if config.eos_token else ()),
        {role: token for role, token in roles.items() if token is not None},
        name=name,
        stop_texts=format.stop_texts if format else (),
        one_answer=format.one_answer if format else False,
    )


def _marked_message(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if key == "role" else marked(value) for key, value in message.items()}


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
    if len(source) > _MAX_SOURCE or any(mark in source for mark in MARKS):
        raise StemmaError(
            f"chat template: over {_MAX_SOURCE} characters or holding noncharacters; repair the template"
        )
    return Sandbox().from_string(source)


@functools.lru_cache(maxsize=32)
def _names_read(source: str) -> frozenset[str]:
    """The names a template takes from outside."""
    _compiled(source)
    return frozenset(jinja2.meta.find_undeclared_variables(Sandbox().parse(source)))


def _bounded(parts: Iterable[str], longest: int) -> str:
    kept: list[str] = []
    length = 0
    for part in parts:
        length += len(part)
        if length > longest:
            raise StemmaError(f"chat template: renders over {longest} characters; simplify it")
        kept.append(part)
    return "".join(kept)


def _encode(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    add_generation_prompt: bool,
    tools: Sequence[Tool] | None,
) -> Encoder:
    encoder = Encoder(tokenizer)
    for piece in template.render(messages, add_generation_prompt, tools):
        encoder.add(piece)
    encoder.cut()
    return encoder


def _checked_spans(
    encoder: Encoder, template: ChatTemplate, stop_ids: frozenset[int], num_answers: int
) -> list[Span]:
    if len(encoder.spans) != num_answers:
        raise CheckFailed(
            f"chat template: marks {len(encoder.spans)} assistant spans in a dialogue with {num_answers} assistant "
            "messages; put what the assistant says inside {% generation %} ... {% endgeneration %}"
        )
    for span in encoder.spans:
        stopped = span.start < span.end and encoder.tokens.ids[span.end - 1] in stop_ids
        if not stopped and not (template.stop_texts and span.text.endswith(template.stop_texts)):
            raise CheckFailed(
                "chat template: an assistant span does not end with a stop token, so the model would never learn to"
                " stop; move the stop token inside {% generation %} ... {% endgeneration %}"
            )
    return encoder.spans
