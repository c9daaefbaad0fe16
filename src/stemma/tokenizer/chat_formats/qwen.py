"""Qwen 2, 2.5 and 3: ChatML with tools as JSON lines in the system turn and calls as JSON between <tool_call> marks.

Those marks are tokens but steer nothing, so text that spells them is the same as a call: the one ambiguity ids do not
settle. The same holds for a question that looks like a tool's result. Qwen 3 writes what the assistant thought only
after the last question, so its answers look different later on.
"""

import json
import re
from collections.abc import Sequence

from stemma.errors import StemmaError
from stemma.tokenizer.chat_formats.chatml import DEFAULT_SYSTEM, END, START, ends_as_prompt, turns
from stemma.tokenizer.chat_formats.format import BuiltinTemplate, Reader
from stemma.tokenizer.messages import Dialogue, Message, Tool, ToolCall, normal_tools, tool_call

_QWEN_2_5_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."

_TOOLS_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_FOOT = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within"
    ' <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)

_WITH_TOOLS = """\
{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else 'DEFAULT_SYSTEM' -%}
{%- if tools or system or messages[0]['role'] == 'system' -%}
{{- '<|im_start|>system\\n' + system -}}
{%- if tools -%}
{%- if system or messages[0]['role'] == 'system' -%}{{- '\\n\\n' -}}{%- endif -%}
{{- 'TOOLS_HEAD' -}}
{%- for tool in tools -%}{{- '\\n' -}}{{- tool | tojson -}}{%- endfor -%}
{{- 'TOOLS_FOOT' -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
PREPARE
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{- '<|im_start|>user\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- elif message['role'] == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
ANSWER
{{- '\\n' -}}
{%- elif message['role'] == 'tool' -%}
{%- if messages[loop.index0 - 1]['role'] != 'tool' -%}{{- '<|im_start|>user' -}}{%- endif -%}
{{- '\\n<tool_response>\\n' + message['content'] + '\\n</tool_response>' -}}
{%- if loop.last or messages[loop.index0 + 1]['role'] != 'tool' -%}{{- '<|im_end|>\\n' -}}{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

_SAYS = """\
{{- content -}}
{%- for call in message['tool_calls'] -%}
{%- if content or not loop.first -%}{{- '\\n' -}}{%- endif -%}
{{- '<tool_call>\\n{"name": "' + call['function']['name'] + '", "arguments": ' -}}
{{- call['function']['arguments'] | tojson -}}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>' -}}
"""
_ANSWER = "{%- set content = message['content'] -%}\n{%- generation -%}\n" + _SAYS + "{%- endgeneration -%}\n"

# What looks like a tool's result in a user turn asks nothing.
_LAST_QUESTION = """\
{%- set last = namespace(question=messages | length - 1, found=false) -%}
{%- for message in messages | reverse -%}
{%- set text = message['content'] -%}
{%- if not last.found and message['role'] == 'user'
    and not (text.startswith('<tool_response>') and text.endswith('</tool_response>')) -%}
{%- set last.found = true -%}
{%- set last.question = loop.revindex0 -%}
{%- endif -%}
{%- endfor -%}
"""
_THINKS = """\
{%- set content = message['content'] -%}
{%- set thought = message['reasoning_content'] or '' -%}
{%- if message['reasoning_content'] is not string and '</think>' in content -%}
{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{%- set thinks = loop.index0 > last.question and (loop.last or thought) -%}
{%- if thinks -%}{%- set content = content.lstrip('\\n') -%}{%- endif -%}
"""
_THOUGHT = "{%- if thinks -%}{{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' -}}{%- endif -%}\n"
_THINKING_ANSWER = (
    _THINKS
    + "{%- if loop.last and not add_generation_prompt -%}\n{%- generation -%}\n"
    + _THOUGHT
    + _SAYS
    + "{%- endgeneration -%}\n{%- else -%}\n"
    + _THOUGHT
    + _SAYS
    + "{%- endif -%}\n"
)

_RESPONSE, _RESPONSE_END = "<tool_response>\n", "\n</tool_response>"
_CALL = re.compile(r"(?:^|\n)<tool_call>\n(.*?)(?:\n</tool_call>|\Z)", re.DOTALL)
_THINK = re.compile(r"<think>\n(.*?)\n</think>\n\n", re.DOTALL)


def _read_with_tools(reader: Reader, default_system: str | None, *, thinks: bool = False) -> Dialogue:
    closed, open_turn = turns(reader)
    messages: list[Message] = []
    tools: list[Tool] = []
    for role, text in closed:
        if role == "system":
            text, tools = _split_tools(text, reader)
            if text is not None and text != default_system:
                messages.append({"role": "system", "content": text})
        elif role == "assistant":
            messages.append(_answer(text, thinks=thinks))
        elif text.startswith(_RESPONSE) and text.endswith(_RESPONSE_END):
            results = text[len(_RESPONSE) : -len(_RESPONSE_END)].split(f"{_RESPONSE_END}\n{_RESPONSE}")
            messages.extend({"role": "tool", "content": result} for result in results)
        else:
            messages.append({"role": "user", "content": text})
    return Dialogue(messages=messages, tools=tools, add_generation_prompt=ends_as_prompt(reader, open_turn))


def _split_tools(text: str, reader: Reader) -> tuple[str | None, list[Tool]]:
    """The system message, None where there is none, and the tools after it."""
    head, found, rest = text.rpartition(_TOOLS_HEAD)
    if not found or not rest.endswith(_TOOLS_FOOT):
        return text, []
    try:
        tools = [json.loads(line) for line in rest[: -len(_TOOLS_FOOT)].split("\n")[1:]]
    except (ValueError, RecursionError):
        raise reader.error("its tools are no lines of JSON") from None
    return (head.removesuffix("\n\n") if head else None), list(normal_tools(tools))


def _answer(text: str, *, thinks: bool = False, calls: bool = True) -> Message:
    message: Message = {"role": "assistant", "content": text}
    if thinks and (thought := _THINK.match(text)):
        message["content"] = text[thought.end() :]
        if thought[1].strip("\n"):
            message["reasoning_content"] = thought[1].strip("\n")
    if calls:
        message["content"], found = _split_calls(message["content"])
        if found:
            message["tool_calls"] = found
    return message


def _split_calls(text: str) -> tuple[str, list[ToolCall]]:
    calls: list[ToolCall] = []
    content, end = text, 0
    for number, found in enumerate(_CALL.finditer(text), 1):
        if not calls:
            content = text[: found.start()]
        elif found.start() != end:
            raise _malformed(number, "has other text before it")
        calls.append(_call(found[1], number))
        end = found.end()
    if calls and text[end:].strip():
        raise _malformed(len(calls), "has other text after it")
    return content, calls


def _call(text: str, number: int) -> ToolCall:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or set(found) != {"name", "arguments"}:
        raise _malformed(number, "is no JSON object with a name and arguments")
    return tool_call(found["name"], found["arguments"], f"answer, tool call {number}")


def _malformed(number: int, why: str) -> StemmaError:
    return StemmaError(f"answer, tool call {number}: {why}; ask the model again")


def _answer_with_tools(text: str, tools: Sequence[Tool]) -> Message:
    return _answer(text, calls=bool(tools))


def _thinking_answer(text: str, tools: Sequence[Tool]) -> Message:
    return _answer(text, thinks=True, calls=bool(tools))


def _with_tools(system: str, answer: str = _ANSWER, prepare: str = "") -> str:
    source = _WITH_TOOLS.replace("TOOLS_HEAD", _quoted(_TOOLS_HEAD)).replace(
        "TOOLS_FOOT", _quoted(_TOOLS_FOOT)
    )
    return source.replace("DEFAULT_SYSTEM", system).replace("ANSWER\n", answer).replace("PREPARE\n", prepare)


def _quoted(text: str) -> str:
    return text.replace("\n", "\\n")


def _qwen2(system: str, used_by: str) -> BuiltinTemplate:
    return BuiltinTemplate(
        source=_with_tools(system),
        stop_tokens=(END, "<|endoftext|>"),
        special_tokens=(START, END, "<|endoftext|>"),
        has_tools=True,
        read=lambda reader: _read_with_tools(reader, system),
        answer=_answer_with_tools,
        used_by=used_by,
    )


QWEN2 = _qwen2(
    DEFAULT_SYSTEM, "Qwen2-Instruct; tools are written as Qwen2.5 writes them, Qwen2 publishes none"
)
QWEN2_5 = _qwen2(_QWEN_2_5_SYSTEM, "Qwen2.5-Instruct")
QWEN3 = BuiltinTemplate(
    source=_with_tools("", _THINKING_ANSWER, _LAST_QUESTION),
    stop_tokens=(END, "<|endoftext|>"),
    special_tokens=(START, END, "<|endoftext|>"),
    one_answer=True,
    has_tools=True,
    read=lambda reader: _read_with_tools(reader, None, thinks=True),
    answer=_thinking_answer,
    used_by="Qwen3",
)
