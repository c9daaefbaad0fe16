"""Tools and calls as they come in: what is taken, what is refused, and that all of it is data."""

import json

import pytest
from test_chat_formats import CALL, TOOL, WITH_CALL, all_tokens

from stemma.errors import StemmaError
from stemma.tokenizer import ChatTemplate, builtin_template, check_messages, encode_chat
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.messages import normal_messages, normal_tools
from stemma.tokenizer.template import Message

CONFIG = TokenizerConfig(bos_token="<s>", eos_token="</s>")
QUESTION: Message = {"role": "user", "content": "天气？"}


def calling(**call) -> list:
    return [QUESTION, {"role": "assistant", "content": "", "tool_calls": [{"function": call}]}]


def test_calls_are_taken_in_the_forms_of_the_openai_and_transformers_interfaces() -> None:
    arguments = {"city": "北京", "n": 1.5, "deep": [None, True, {"a": "b"}]}
    expected = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    for call in (
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps(arguments)}},
        {"function": {"name": "f", "arguments": arguments}},
        {"name": "f", "arguments": arguments},
    ):
        messages: list = [QUESTION, {"role": "assistant", "content": None, "tool_calls": [call]}]
        assert normal_messages(messages)[1] == {"role": "assistant", "content": "", "tool_calls": [expected]}
    assert normal_messages(calling(name="f"))[1]["tool_calls"][0]["function"]["arguments"] == {}
    assert normal_messages(calling(name="f", arguments=""))[1]["tool_calls"][0]["function"]["arguments"] == {}


def test_tools_are_taken_wrapped_and_bare() -> None:
    assert normal_tools([TOOL]) == normal_tools([TOOL["function"]]) == [TOOL]
    assert normal_tools(None) == normal_tools([]) == []


@pytest.mark.parametrize(
    ("messages", "part"),
    [
        (calling(name="f", arguments="{"), "message 2: the arguments of f are no JSON object"),
        (calling(name="f", arguments="[1]"), "the arguments of f are no JSON object"),
        (calling(name="f", arguments=3), "the arguments of f are no JSON object"),
        (calling(name="f", arguments={"a": object()}), "message 2, f: cannot be written as JSON"),
        (calling(name="f", arguments={"a": float("nan")}), "cannot be written as JSON"),
        (calling(name="f", arguments={"a": b"x"}), "cannot be written as JSON"),
        (calling(name="f", arguments={"a": "x\ufdd0"}), "noncharacter"),
        (calling(name="two\nlines"), "a tool's name is one line of text without quotes"),
        (calling(name=""), "a tool's name is one line"),
        (calling(name='f", "x": "'), "a tool's name is one line"),
        (calling(arguments={}), "a tool's name is one line"),
        ([QUESTION, {"role": "assistant", "content": "", "tool_calls": ["f"]}], "a call is"),
        ([QUESTION, {"role": "assistant", "content": "", "tool_calls": "f"}], "tool_calls must be a list"),
        ([{"role": "user", "content": "a", "tool_calls": [CALL]}], "only an assistant calls tools"),
        (
            [*WITH_CALL[:2], {"role": "user", "content": "b"}],
            "role user cannot follow an assistant that calls",
        ),
        ([QUESTION, {"role": "assistant", "content": None}], "needs a 'role' and a 'content'"),
        (
            [QUESTION, {"role": "assistant", "content": None, "tool_calls": []}],
            "needs a 'role' and a 'content'",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_impossible_calls_are_refused_and_placed(messages: list, part: str) -> None:
    with pytest.raises(StemmaError, match=part) as raised:
        check_messages(messages)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("tool", "part"),
    [
        ({"name": "f", "parameters": {"default": object()}}, "tool 2: cannot be written as JSON"),
        ({"name": "f", "parameters": {"default": float("inf")}}, "tool 2: cannot be written as JSON"),
        ({"name": "f", "parameters": {("a", "b"): 1}}, "tool 2: cannot be written as JSON"),
        ({"name": "f", "description": "\ufdd4"}, "tool 2: holds a noncharacter"),
        ({"name": "f\ng"}, "tool 2: a tool's name is one line"),
        ({"type": "python"}, "tool 2: must be"),
        ({"type": "function", "function": "f"}, "tool 2: must be"),
        ("f", "tool 2: must be an object"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["chatglm3", "qwen2", "qwen_react"])
def test_impossible_tools_are_refused_and_placed(name: str, tool, part: str) -> None:
    with pytest.raises(StemmaError, match=part):
        builtin_template(name, CONFIG).render([QUESTION], True, [TOOL, tool])


@pytest.mark.parametrize("key", ["not a name", "1x", "class", ""])
def test_chatglm3_refuses_arguments_it_cannot_pass_by_name(key: str) -> None:
    with pytest.raises(StemmaError, match="passes arguments by name, and this is no name"):
        builtin_template("chatglm3", CONFIG).render(calling(name="f", arguments={key: 1}), tools=[TOOL])


def test_a_cyclic_or_very_deep_argument_is_refused() -> None:
    cyclic: dict = {}
    cyclic["a"] = cyclic
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (cyclic, {"a": deep}):
        with pytest.raises(StemmaError, match="cannot be written as JSON"):
            check_messages(calling(name="f", arguments=value))


def test_a_list_or_object_written_as_text_keeps_what_it_holds_as_data() -> None:
    tokenizer = all_tokens()
    messages: list = [{"role": "user", "content": "<|im_end|>"}]
    tool = {"name": "t", "description": "<|im_end|>", "parameters": {"<|im_end|>": "<|im_end|>"}}
    for source in (
        "{{ messages }}",
        "{{ messages | string }}",
        "{{ messages ~ tools }}",
        "{{ [messages[0].content] }}",
        "{{ tools | tojson }}",
        "{% for k, v in tools[0].function.parameters.items() %}{{ k + v }}{% endfor %}",
    ):
        template = ChatTemplate(source + "{% if tools %}{% endif %}", ("</s>",))
        ids = encode_chat(tokenizer, template, messages, True, [tool]).ids
        assert tokenizer.id_of("<|im_end|>") not in ids
        assert "<|im_end|>" in tokenizer.decode(ids)


def test_a_start_of_text_inside_what_is_said_is_refused() -> None:
    template = ChatTemplate("{{ messages[0].content | replace('a', text_start) }}", ("</s>",))
    with pytest.raises(StemmaError, match="takes message content or generation blocks apart"):
        template.render([{"role": "user", "content": "bab"}])
