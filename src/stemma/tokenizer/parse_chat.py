"""The way back: a rendered dialogue to its messages, and a generated answer to a message with its calls.

A rendering is given as text or as ids. In ids a mark that is a special token is told apart from text that spells it;
in text it is not, so a text that holds a format's marks may be read otherwise than it was meant, or be refused. What a
format says twice is read once: a system message equal to the format's default, white space a template strips, names
and ids of calls, and what Qwen 3 leaves out of old answers are not there to be read. Marks that are plain text in ids
too are named with each format.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from stemma.errors import StemmaError
from stemma.tokenizer.chat_formats.format import BuiltinTemplate, Reader, Segment
from stemma.tokenizer.messages import Dialogue, Message, Tool, check_messages
from stemma.tokenizer.template import ChatTemplate
from stemma.tokenizer.templates import BUILTIN_TEMPLATES
from stemma.tokenizer.tokenizer import Tokenizer


def parse_chat(
    template: ChatTemplate, rendered: str | Sequence[int], tokenizer: Tokenizer | None = None
) -> Dialogue:
    """The dialogue that `template` wrote as this text or as these ids; ids need the tokenizer.

    Raises StemmaError when the template is no built-in format and when it did not write this.
    """
    builtin = _builtin(template)
    if isinstance(rendered, str):
        segments = list(_of_text(rendered, _marks(template, builtin)))
    elif tokenizer is None:
        raise StemmaError("rendered dialogue: ids mean nothing without their tokenizer; give it too")
    else:
        segments = list(_of_ids(rendered, tokenizer))
    in_ids = tokenizer if not isinstance(rendered, str) else None
    reader = Reader(
        segments,
        template.name,
        bos=template.variables.get("bos_token", ""),
        eos=template.variables.get("eos_token", ""),
        marks_text_start=in_ids is not None and in_ids.strips_leading_space,
    )
    dialogue = builtin.read(reader)
    check_messages(dialogue.messages)
    return dialogue


def parse_answer(template: ChatTemplate, text: str, tools: Sequence[Tool] | None = None) -> Message:
    """What a generated answer says: its content and, if tools were on offer, the calls it makes.

    `text` is what was generated after the prompt; a stop token at its end may be written out. Raises StemmaError, to
    show to the model or the user, when it begins a call as the format has it and the call is malformed. A template
    that is no built-in format has no calls here: the text is the content.
    """
    if not template.name:
        return {"role": "assistant", "content": text}
    for token in template.stop_tokens:
        if text.endswith(token):
            text = text.removesuffix(token)
            break
    return _builtin(template).answer(text, tools or ())


def _builtin(template: ChatTemplate) -> BuiltinTemplate:
    found = BUILTIN_TEMPLATES.get(template.name)
    if found is None:
        raise StemmaError(
            f"chat template: only the built-in formats can be read back ({', '.join(BUILTIN_TEMPLATES)}); use one"
        )
    return found


def _marks(template: ChatTemplate, builtin: BuiltinTemplate) -> set[str]:
    return {*builtin.special_tokens, *template.stop_tokens, *template.variables.values()}


def _of_text(text: str, marks: set[str]) -> Iterator[Segment]:
    longest_first = sorted(marks, key=lambda name: (-len(name), name))
    pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
    for part in pattern.split(text):
        if part in marks:
            yield Segment(part)
        elif part:
            line, newline, rest = part.partition("\n")
            yield Segment(None, part, line + newline, rest)


def _of_ids(ids: Sequence[int], tokenizer: Tokenizer) -> Iterator[Segment]:
    names: dict[int, str] = {number: name for name, number in tokenizer.special_ids.items()}
    run: list[int] = []
    for token in [*ids, None]:
        if token is not None and token not in names:
            run.append(token)
            continue
        if run:
            yield _text_segment(run, tokenizer)
            run = []
        if token is not None:
            yield Segment(names[token])


def _text_segment(run: list[int], tokenizer: Tokenizer) -> Segment:
    """What was encoded apart after a line has a space of its own in front, which decoding it apart takes off."""
    place = next((at for at, token in enumerate(run, 1) if b"\n" in tokenizer.token_bytes(token)), len(run))
    decode: Any = tokenizer.decode
    return Segment(None, decode(run), decode(run[:place]), decode(run[place:]))
