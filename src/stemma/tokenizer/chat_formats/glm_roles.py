"""ChatGLM3 and GLM-4: a role token, a line of metadata, a text. The next role's token ends an answer.

A call is an assistant turn whose metadata is the tool's name: ChatGLM3 writes a code block `tool_call(key=value, ...)`,
GLM-4 the arguments as JSON. The result comes as role observation. A text is encoded apart from its metadata line.
"""

import ast
import json
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stemma.errors import StemmaError
from stemma.tokenizer.chat_formats.format import BuiltinTemplate, Reader
from stemma.tokenizer.chat_formats.glm import plain_answer
from stemma.tokenizer.messages import Dialogue, Message, Tool, ToolCall, normal_tools, tool_call

_ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
_CHATGLM3_SYSTEM = (
    "Answer the following questions as best as you can. You have access to the following tools:"
)
_GLM4_SYSTEM = (
    "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，"
    "你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具"
)
_GLM4_HINT = "\n在调用上述函数时，请使用 Json 格式表示调用的参数。"
_MAX_CALL = 100_000

_SOURCE = """\
{{- '[gMASK]SOP' -}}
PREPARE
{%- for message in messages -%}
{%- set previous = messages[loop.index0 - 1]['role'] if loop.index0 else '' -%}
{%- if message['role'] == 'system' -%}
SYSTEM
{%- elif message['role'] == 'user' -%}
{%- if previous != 'assistant' -%}{{- '<|user|>' -}}{%- endif -%}
{{- '\\n' -}}{{- text_start -}}{{- message['content'] -}}
{%- elif message['role'] == 'tool' -%}
{%- if previous != 'assistant' -%}{{- '<|observation|>' -}}{%- endif -%}
{{- '\\n' -}}{{- text_start -}}{{- message['content'] -}}
{%- else -%}
{{- '<|assistant|>' -}}
{%- generation -%}
{%- if message['content'] or not message['tool_calls'] -%}
{{- '\\n' -}}{{- text_start -}}{{- message['content'] -}}
{%- endif -%}
{%- for call in message['tool_calls'] -%}
{%- if not loop.first -%}{{- raise_exception('the NAME chat format makes one call at a time') -}}{%- endif -%}
{%- if message['content'] -%}{{- '<|assistant|>' -}}{%- endif -%}
{{- call['function']['name'] + '\\n' -}}{{- text_start -}}
CALL
{%- endfor -%}
{%- if not loop.last -%}
{{- '<|user|>' if messages[loop.index0 + 1]['role'] == 'user' else '<|observation|>' -}}
{%- else -%}
{{- '<|observation|>' if message['tool_calls'] else 'END' -}}
{%- endif -%}
{%- endgeneration -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""

_CHATGLM3_PREPARE = """\
{%- set shown = tools | map(attribute='function') | list | tojson(indent=4) if tools else '' -%}
{%- if tools and messages[0]['role'] != 'system' -%}
{{- '<|system|>\\n' -}}{{- text_start -}}
{{- 'DEFAULT\\n' + shown -}}
{%- endif -%}
"""
_CHATGLM3_SYSTEM_TURN = """\
{{- '<|system|>\\n' -}}{{- text_start -}}
{{- message['content'] -}}{%- if tools -%}{{- '\\n' + shown -}}{%- endif -%}
"""
# A value between brackets written as text and without them is its Python literal.
_CHATGLM3_CALL = """\
{{- '```python\\ntool_call(' -}}
{%- for key, value in call['function']['arguments'].items() -%}
{%- if not key.isidentifier() or key in KEYWORDS -%}
{{- raise_exception('the ChatGLM3 chat format passes arguments by name, and this is no name: ' + key) -}}
{%- endif -%}
{%- if not loop.first -%}{{- ', ' -}}{%- endif -%}
{{- key + '=' + ([value] | string)[1:-1] -}}
{%- endfor -%}
{{- ')\\n```' -}}
"""
_GLM4_PREPARE = """\
{%- if tools -%}
{{- '<|system|>\\n' -}}{{- text_start -}}{{- 'DEFAULT' -}}
{%- for tool in tools -%}
{{- '\\n\\n## ' + tool['function']['name'] + '\\n\\n' -}}{{- tool['function'] | tojson(indent=4) -}}{{- 'HINT' -}}
{%- endfor -%}
{%- endif -%}
"""
_GLM4_SYSTEM_TURN = "{{- '<|system|>\\n' -}}{{- text_start -}}{{- message['content'] -}}\n"
_GLM4_CALL = "{{- call['function']['arguments'] | tojson -}}\n"

SplitTools = Callable[[str], tuple[str | None, list[Tool]]]
ReadCall = Callable[[str, str], ToolCall]


def _read(reader: Reader, sop: str, end: str, split_tools: SplitTools, read_call: ReadCall) -> Dialogue:
    reader.expect("[gMASK]")
    reader.expect(sop)
    messages: list[Message] = []
    tools: list[Tool] = []
    after_assistant = False
    while not reader.done and not (after_assistant and reader.take(end)):
        role = reader.expect(*_ROLES)
        if reader.done and (role == "<|assistant|>" or after_assistant):
            return Dialogue(messages=messages, tools=tools, add_generation_prompt=role == "<|assistant|>")
        segment = reader.segment()
        if not segment.line.endswith("\n"):
            raise reader.error(f"the turn of {role} has no line of metadata")
        metadata, text = segment.line[:-1], segment.rest
        if role == "<|assistant|>":
            _add_said(messages, metadata, text, read_call, merges=after_assistant)
        elif role == "<|system|>":
            system, found = split_tools(text)
            tools = tools or found
            if system is not None:
                messages.append({"role": "system", "content": system})
        else:
            messages.append({"role": "user" if role == "<|user|>" else "tool", "content": text})
        after_assistant = role == "<|assistant|>"
    reader.end()
    return Dialogue(messages=messages, tools=tools)


def _add_said(
    messages: list[Message], metadata: str, text: str, read_call: ReadCall, *, merges: bool
) -> None:
    """An assistant turn; a call right after what it said belongs to the same message."""
    if not metadata:
        messages.append({"role": "assistant", "content": text})
        return
    if not merges:
        messages.append({"role": "assistant", "content": ""})
    messages[-1]["tool_calls"] = [read_call(metadata, text)]


def _split_chatglm3_tools(text: str) -> tuple[str | None, list[Tool]]:
    """The tools are the JSON list at the end of the system message, on lines of its own."""
    for found in re.finditer(r"\n\[\n    \{\n", text):
        try:
            functions = json.loads(text[found.start() :])
        except (ValueError, RecursionError):
            continue
        if not all(isinstance(function, dict) and "name" in function for function in functions):
            continue
        system = text[: found.start()]
        return (None if system == _CHATGLM3_SYSTEM else system), list(normal_tools(functions))
    return text, []


def _split_glm4_tools(text: str) -> tuple[str | None, list[Tool]]:
    if not text.startswith(_GLM4_SYSTEM + "\n\n## ") or not text.endswith("\n}" + _GLM4_HINT):
        return text, []
    parts = re.split(r"\n\n## [^\n]*\n\n(?=\{\n)", text[len(_GLM4_SYSTEM) :])[1:]
    try:
        return None, list(normal_tools([json.loads(part.removesuffix(_GLM4_HINT)) for part in parts]))
    except (ValueError, RecursionError):
        return text, []


def read_python_call(name: str, text: str) -> ToolCall:
    """A code block that holds one tool_call with named literals; nothing in it is run."""
    place = f"answer, call of {name}"
    lines = text.strip().split("\n")
    malformed = StemmaError(
        f"{place}: is no code block with one tool_call(name=value, ...); ask the model again"
    )
    if len(text) > _MAX_CALL or len(lines) < 3 or not (lines[0].startswith("```") and lines[-1] == "```"):
        raise malformed
    try:
        call = ast.parse("\n".join(lines[1:-1]).strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise malformed
        if call.func.id != "tool_call" or any(passed.arg is None for passed in call.keywords):
            raise malformed
        arguments = {passed.arg: ast.literal_eval(passed.value) for passed in call.keywords}
        if len(arguments) < len(call.keywords):
            raise malformed
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise malformed from None
    return tool_call(name, arguments, place)


def read_json_call(name: str, text: str) -> ToolCall:
    """The arguments as a JSON object."""
    place = f"answer, call of {name}"
    try:
        arguments: Any = json.loads(text)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, Mapping):
        raise StemmaError(f"{place}: its arguments are no JSON object; ask the model again")
    return tool_call(name, arguments, place)


def _answer(text: str, tools: Sequence[Tool], read_call: ReadCall) -> Message:
    """Turns of metadata and text, as the published code takes them: metadata that names a tool on offer is a call."""
    names = {tool["function"]["name"] for tool in normal_tools(tools)}
    said: list[str] = []
    calls: list[ToolCall] = []
    for turn in text.split("<|assistant|>"):
        metadata, newline, content = turn.partition("\n")
        if newline and metadata.strip() in names:
            calls.append(read_call(metadata.strip(), content))
        else:
            said.append(plain_answer(turn))
    message: Message = {"role": "assistant", "content": "\n".join(part for part in said if part)}
    if calls:
        message["tool_calls"] = calls
    return message


def _template(name: str, sop: str, end: str, prepare: str, system: str, call: str, default: str) -> str:
    source = _SOURCE.replace("PREPARE\n", prepare).replace("SYSTEM\n", system).replace("CALL\n", call)
    source = source.replace("KEYWORDS", str(keyword.kwlist))
    source = source.replace("SOP", sop).replace("END", end).replace("NAME", name)
    return source.replace("DEFAULT", _quoted(default)).replace("HINT", _quoted(_GLM4_HINT))


def _quoted(text: str) -> str:
    return text.replace("\n", "\\n")


CHATGLM3 = BuiltinTemplate(
    source=_template(
        "ChatGLM3",
        "sop",
        "</s>",
        _CHATGLM3_PREPARE,
        _CHATGLM3_SYSTEM_TURN,
        _CHATGLM3_CALL,
        _CHATGLM3_SYSTEM,
    ),
    stop_tokens=("</s>", "<|user|>", "<|observation|>"),
    special_tokens=("[gMASK]", "sop", "</s>", *_ROLES),
    has_tools=True,
    read=lambda reader: _read(reader, "sop", "</s>", _split_chatglm3_tools, read_python_call),
    answer=lambda text, tools: _answer(text, tools, read_python_call),
    used_by="ChatGLM3-6B",
)
GLM4 = BuiltinTemplate(
    source=_template(
        "GLM-4",
        "<sop>",
        "<|endoftext|>",
        _GLM4_PREPARE,
        _GLM4_SYSTEM_TURN,
        _GLM4_CALL,
        _GLM4_SYSTEM,
    ),
    stop_tokens=("<|endoftext|>", "<|user|>", "<|observation|>"),
    special_tokens=("[gMASK]", "<sop>", "<|endoftext|>", *_ROLES),
    has_tools=True,
    read=lambda reader: _read(reader, "<sop>", "<|endoftext|>", _split_glm4_tools, read_json_call),
    answer=lambda text, tools: _answer(text, tools, read_json_call),
    used_by="GLM-4-9B-Chat",
)
