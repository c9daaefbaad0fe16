"""Messages of a dialogue, the tools it may call and the calls themselves: their form, and what is refused.

The form is that of the OpenAI and transformers interfaces: a message has a role and a content; an assistant message may
carry `tool_calls`, and messages of role tool bring the results. A call's arguments are a JSON object, given as one or
as its text. Everything here is data: nothing in it becomes a special token.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

from stemma.errors import StemmaError
from stemma.tokenizer.content import DATA_CLOSE, DATA_OPEN
from stemma.tokenizer.sandbox import SPAN_CLOSE, SPAN_OPEN, TEXT_START

Role = Literal["system", "user", "assistant", "tool"]
MARKS = DATA_OPEN + DATA_CLOSE + SPAN_OPEN + SPAN_CLOSE + TEXT_START
_MAY_FOLLOW: dict[str | None, tuple[str, ...]] = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant", "user"),
}
_NOT_IN_NAMES = frozenset('"\\\n\r\u2028\u2029')


class FunctionCall(TypedDict):
    """What a tool is called with."""

    name: str
    arguments: Mapping[str, Any] | str
    """a JSON object, or its text"""


class ToolCall(TypedDict):
    """One call of a tool."""

    function: FunctionCall
    type: NotRequired[Literal["function"]]
    id: NotRequired[str]


class Message(TypedDict):
    """One message of a dialogue, as in the OpenAI and transformers formats."""

    role: Role
    content: str
    name: NotRequired[str]
    tool_calls: NotRequired[Sequence[ToolCall]]
    """calls of an assistant; its content then may be empty"""
    tool_call_id: NotRequired[str]
    reasoning_content: NotRequired[str]
    """what an assistant thought before it answered, for formats that write it"""


Tool = Mapping[str, Any]
"""A tool on offer: {"type": "function", "function": {"name", "description", "parameters": a JSON schema}}"""


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """What a rendered dialogue says."""

    messages: list[Message]
    tools: list[Tool] = field(default_factory=list)
    add_generation_prompt: bool = False
    """whether it ends where the assistant's next answer begins"""


def check_messages(messages: Sequence[Message]) -> None:
    """Refuse dialogues no template can be trusted with, naming the message."""
    if not messages:
        raise StemmaError("dialogue: has no messages; give at least one from the user")
    before: Mapping[str, Any] | None = None
    for number, message in enumerate(messages, 1):
        place = f"dialogue, message {number}"
        if not isinstance(message, Mapping) or not isinstance(_content(message), str):
            raise StemmaError(f"{place}: needs a 'role' and a 'content' that is text")
        _check_role(message.get("role"), before, place)
        for call in _calls(message, place):
            _normal_call(call, place)
        if any(mark in text for text in texts(message) for mark in MARKS):
            raise StemmaError(f"{place}: holds a noncharacter U+FDD0 to U+FDD4; remove it")
        before = message


def normal_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages, checked, each call as {"type": "function", "function": {"name", "arguments": an object}}."""
    check_messages(messages)
    normal: list[dict[str, Any]] = []
    for number, message in enumerate(messages, 1):
        place = f"dialogue, message {number}"
        kept: dict[str, Any] = {key: value for key, value in message.items() if isinstance(value, str)}
        kept["content"] = _content(message)
        calls = [_normal_call(call, place) for call in _calls(message, place)]
        normal.append(kept | ({"tool_calls": calls} if calls else {}))
    return normal


def normal_tools(tools: Sequence[Tool] | None) -> list[dict[str, Any]]:
    """The tools, checked, each as {"type": "function", "function": {...}}; a bare function is wrapped so."""
    normal: list[dict[str, Any]] = []
    for number, tool in enumerate(tools or (), 1):
        place = f"tool {number}"
        if not isinstance(tool, Mapping):
            raise StemmaError(f"{place}: must be an object with a name, a description and parameters")
        if "function" not in tool and "name" in tool:
            tool = {"type": "function", "function": tool}
        found = _as_json(tool, place)
        function = found.get("function")
        if found.get("type", "function") != "function" or not isinstance(function, dict):
            raise StemmaError(f'{place}: must be {{"type": "function", "function": {{"name": ..., ...}}}}')
        _check_name(function.get("name"), place)
        normal.append(found)
    return normal


def tool_call(name: str, arguments: Any, place: str) -> ToolCall:
    """A call in normal form; raises StemmaError when the name or the arguments are none."""
    return _normal_call({"function": {"name": name, "arguments": arguments}}, place)


def texts(value: object) -> Iterator[str]:
    """All strings in a message or tool, except roles."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if key != "role":
                yield from texts(key)
                yield from texts(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from texts(part)


def _content(message: Mapping[str, Any]) -> Any:
    """The content; where there are calls it may be missing, as in the OpenAI form."""
    content = message.get("content")
    return "" if content is None and message.get("tool_calls") else content


def _check_role(role: object, before: Mapping[str, Any] | None, place: str) -> None:
    if not isinstance(role, str) or role not in _MAY_FOLLOW:
        known = ", ".join(name for name in _MAY_FOLLOW if name)
        raise StemmaError(f"{place}: role {role!r} is unknown; use {known}")
    last = None if before is None else before["role"]
    allowed = _MAY_FOLLOW[last]
    if before is not None and before.get("tool_calls"):
        allowed, last = ("tool",), "an assistant that calls tools"
    if role not in allowed:
        where = f"cannot follow {last}" if last else "cannot come first"
        raise StemmaError(f"{place}: role {role} {where}; expected {' or '.join(allowed)}")


def _calls(message: Mapping[str, Any], place: str) -> Sequence[Any]:
    calls = message.get("tool_calls")
    if calls is None:
        return ()
    if not isinstance(calls, list | tuple):
        raise StemmaError(f"{place}: tool_calls must be a list")
    if calls and message.get("role") != "assistant":
        raise StemmaError(f"{place}: only an assistant calls tools; give tool_calls to an assistant message")
    return calls


def _normal_call(call: object, place: str) -> ToolCall:
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(inner, Mapping):
        raise StemmaError(
            f'{place}: a call is {{"function": {{"name": ..., "arguments": {{...}}}}}}; write it so'
        )
    _check_name(inner.get("name"), place)
    arguments = inner.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, Mapping):
        raise StemmaError(f"{place}: the arguments of {inner['name']} are no JSON object; write them as one")
    return {
        "type": "function",
        "function": {"name": inner["name"], "arguments": _as_json(arguments, f"{place}, {inner['name']}")},
    }


def _check_name(name: object, place: str) -> None:
    if not isinstance(name, str) or not name or name != name.strip() or not _NOT_IN_NAMES.isdisjoint(name):
        raise StemmaError(f"{place}: a tool's name is one line of text without quotes, not {name!r}")


def _as_json(value: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A copy made of what JSON knows."""
    try:
        text = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
        copy = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise StemmaError(
            f"{place}: cannot be written as JSON; use text, numbers, true, false, null, lists and objects"
        ) from None
    if any(mark in text for mark in MARKS):
        raise StemmaError(f"{place}: holds a noncharacter U+FDD0 to U+FDD4; remove it")
    return copy
