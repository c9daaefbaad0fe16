"""ChatGLM-6B and ChatGLM2: questions and answers as plain text in rounds.

ChatGLM-6B asks its first question bare and numbers rounds from 0 once there are more, so the first turn is written
otherwise later on; [gMASK] and <sop> stand after the prompt. ChatGLM2 numbers from 1 and puts [gMASK] and sop in front.
Neither writes an end after old answers. Rounds are plain text: a question that holds the mark of its answer, or an
answer that holds the mark of the next round, is cut there when it is read back, in ids as in text. ChatGLM-6B's
tokenizer turns full-width signs into ASCII, in the marks and in what is said, so its ids bring back the ASCII signs.
"""

import re
from collections.abc import Sequence

from stemma.tokenizer.chat_formats.format import BuiltinTemplate, Reader
from stemma.tokenizer.messages import Dialogue, Message, Tool

# {text_start} before the ChatGLM2 answer: it was trained on answers encoded apart from the prompt.
_CHATGLM = """\
{%- set rounds = messages | selectattr('role', 'equalto', 'user') | list | length -%}
{%- set round = namespace(number=-1) -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{%- set round.number = round.number + 1 -%}
{%- if rounds > 1 -%}
{{- '[Round ' ~ round.number ~ ']\\n问：' + message['content'] + '\\n答：' -}}
{%- else -%}
{{- message['content'] -}}
{%- endif -%}
{%- elif message['role'] == 'assistant' -%}
{%- if loop.last and not add_generation_prompt -%}
{{- '[gMASK]<sop>' -}}
{%- generation -%}{{- message['content'] + '<eop>' -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '\\n' -}}
{%- endif -%}
{%- else -%}
{{- raise_exception('the ChatGLM-6B chat format has no role ' + message['role'] + '; put it into the first question') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '[gMASK]<sop>' -}}{%- endif -%}
"""

_CHATGLM2 = """\
{{- '[gMASK]sop' -}}
{%- set round = namespace(number=0) -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{%- set round.number = round.number + 1 -%}
{{- '[Round ' ~ round.number ~ ']\\n\\n问：' + message['content'] + '\\n\\n答：' -}}
{%- elif message['role'] == 'assistant' -%}
{%- if loop.last and not add_generation_prompt -%}
{%- generation -%}{{- text_start -}}{{- message['content'] + '</s>' -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '\\n\\n' -}}
{%- endif -%}
{%- else -%}
{{- raise_exception('the ChatGLM2 chat format has no role ' + message['role'] + '; put it into the first question') -}}
{%- endif -%}
{%- endfor -%}
"""

_ASCII_MARKS = (",", "，"), ("!", "！"), (":", "："), (";", "；"), (r"\?", "？")
_HAN = "[\u4e00-\u9fff]"


def _read_chatglm(reader: Reader) -> Dialogue:
    text = reader.text()
    reader.expect("[gMASK]")
    reader.expect("<sop>")
    bare: list[Message] = [{"role": "user", "content": text}]
    messages = _rounds(text, 0, "\n") or _rounds(text, 0, "\n", colon=":") or bare
    if reader.done:
        return Dialogue(messages=messages, add_generation_prompt=True)
    messages.append({"role": "assistant", "content": reader.text()})
    reader.expect("<eop>")
    reader.end()
    return Dialogue(messages=messages)


def _read_chatglm2(reader: Reader) -> Dialogue:
    reader.expect("[gMASK]")
    reader.expect("sop")
    text = reader.text()
    answered = reader.take("</s>") is not None
    reader.end()
    messages = _rounds(text, 1, "\n\n", answered=answered)
    if not messages:
        raise reader.error("it has no rounds that end with the mark of an answer")
    if answered and reader.marks_text_start:
        messages[-1]["content"] = messages[-1]["content"].removeprefix(" ")
    return Dialogue(messages=messages, add_generation_prompt=not answered)


def _rounds(text: str, first: int, gap: str, *, answered: bool = False, colon: str = "：") -> list[Message]:
    """The messages of the rounds, none where it is no run of rounds; the last has no answer unless `answered`."""
    opens, replies = f"]{gap}问{colon}", f"{gap}答{colon}"
    messages: list[Message] = []
    number, start = first, f"[Round {first}{opens}"
    while text.startswith(start):
        number += 1
        text, start = text[len(start) :], f"[Round {number}{opens}"
        body, following, rest = text.partition(gap + start)
        if following:
            question, found, answer = body.partition(replies)
        elif answered:
            question, found, answer = text.partition(replies)
        else:
            question, found, answer = text.removesuffix(replies), text.endswith(replies), None
        if not found:
            return []
        messages.append({"role": "user", "content": question})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        if not following:
            return messages
        text = start + rest
    return []


def _chatglm_answer(text: str, tools: Sequence[Tool]) -> Message:
    """As the published code leaves it: ASCII punctuation beside Chinese becomes Chinese."""
    text = plain_answer(text)
    for mark, chinese in _ASCII_MARKS:
        text = re.sub(f"(?<={_HAN}){mark}", chinese, text)
        text = re.sub(f"{mark}(?={_HAN})", chinese, text)
    return {"role": "assistant", "content": text}


def plain_answer(text: str) -> str:
    """What the published code of the three ChatGLMs leaves of an answer."""
    return text.strip().replace("[[训练时间]]", "2023年")


CHATGLM = BuiltinTemplate(
    source=_CHATGLM,
    stop_tokens=("<eop>",),
    special_tokens=("[gMASK]", "<sop>", "<eop>"),
    one_answer=True,
    read=_read_chatglm,
    answer=_chatglm_answer,
    used_by="ChatGLM-6B",
)
CHATGLM2 = BuiltinTemplate(
    source=_CHATGLM2,
    stop_tokens=("</s>",),
    special_tokens=("[gMASK]", "sop", "</s>"),
    one_answer=True,
    read=_read_chatglm2,
    answer=lambda text, tools: {"role": "assistant", "content": plain_answer(text)},
    used_by="ChatGLM2-6B",
)
