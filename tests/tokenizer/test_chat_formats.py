"""Every published chat format against its text, written out."""

import dataclasses
import functools

import pytest

from stemma.errors import CheckFailed, StemmaError
from stemma.tokenizer import TrainSettings, builtin_template, check_prompts, encode_chat, train_tokenizer
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.fast import FastTokenizer
from stemma.tokenizer.template import ChatTemplate, encode_answers, template_of
from stemma.tokenizer.templates import BUILTIN_TEMPLATES, builtin_of

TEXTS = ["Weather in 北京: user and assistant. 你好，世界！\n\n\n1 + 1 = 2\n\n", "a\n\n\nb\n\nc"] * 20
CONFIG = TokenizerConfig(bos_token="<s>", eos_token="</s>")
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "查询天气",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {"function": {"name": "get_weather", "arguments": '{"city": "北京", "days": 2}'}}
TWO_TURNS: list = [
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "你好！"},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2"},
]
WITH_CALL: list = [
    {"role": "user", "content": "天气？"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "晴"},
    {"role": "assistant", "content": "北京晴。"},
]
SAID_AND_CALLED = {"role": "assistant", "content": "我查查", "tool_calls": [CALL]}
SYSTEM = {"role": "system", "content": "Be brief."}


@functools.cache
def all_tokens() -> FastTokenizer:
    """A lossless tokenizer with the special tokens of all built-in formats."""
    names = {name for found in BUILTIN_TEMPLATES.values() for name in found.special_tokens} | {"<s>"}
    chat_tokens = tuple(sorted(names - {"</s>"}))
    settings = TrainSettings(vocab_size=900, document_token="</s>", chat_tokens=chat_tokens)
    tokenizer = train_tokenizer(iter(TEXTS), settings)
    tokenizer.config = dataclasses.replace(tokenizer.config, bos_token="<s>")
    return tokenizer


@pytest.fixture(scope="module")
def everything() -> FastTokenizer:
    return all_tokens()


def text(name: str, messages: list, *, prompt: bool = False, tools: list | None = None) -> str:
    pieces = builtin_template(name, CONFIG).render(messages, prompt, tools)
    return "".join(piece.text for piece in pieces)


FIRST_PROMPT = {
    "chatml": "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n",
    "yi": "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n",
    "qwen": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n"
    ),
    "qwen_react": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n"
    ),
    "qwen2": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n"
    ),
    "qwen2.5": (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n"
    ),
    "qwen3": "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "<s>[INST] 你好 [/INST]",
    "baichuan": "<reserved_102>你好<reserved_103>",
    "baichuan2": "<reserved_106>你好<reserved_107>",
    "chatglm": "你好[gMASK]<sop>",
    "chatglm2": "[gMASK]sop[Round 1]\n\n问：你好\n\n答：",
    "chatglm3": "[gMASK]sop<|user|>\n你好<|assistant|>",
    "glm4": "[gMASK]<sop><|user|>\n你好<|assistant|>",
    "internlm": "<s><|User|>:你好<eoh>\n<|Bot|>:",
    "internlm_20b": "<s><|User|>:你好<eoh>\n<|Bot|>:",
    "skywork": "</s><s>[USER]你好[SEP][BOT]",
    "bloomz": "你好",
    "plain": "User: 你好\nAssistant:",
}
TRAINED = {
    "chatml": (
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n你好！<|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
    ),
    "yi": (
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n你好！<|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
    ),
    "qwen": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n你好！<|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
    ),
    "qwen_react": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n你好！<|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>"
    ),
    "qwen2": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n你好！<|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
    ),
    "qwen2.5": (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n你好！<|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
    ),
    "qwen3": (
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n你好！<|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n2<|im_end|>\n"
    ),
    "llama2": "<s>[INST] 你好 [/INST] 你好！ </s><s>[INST] 1+1? [/INST] 2 </s>",
    "baichuan": "<reserved_102>你好<reserved_103>你好！</s><reserved_102>1+1?<reserved_103>2</s>",
    "baichuan2": "<reserved_106>你好<reserved_107>你好！<reserved_106>1+1?<reserved_107>2</s>",
    "chatglm": "[Round 0]\n问：你好\n答：你好！\n[Round 1]\n问：1+1?\n答：[gMASK]<sop>2<eop>",
    "chatglm2": "[gMASK]sop[Round 1]\n\n问：你好\n\n答：你好！\n\n[Round 2]\n\n问：1+1?\n\n答：2</s>",
    "chatglm3": "[gMASK]sop<|user|>\n你好<|assistant|>\n你好！<|user|>\n1+1?<|assistant|>\n2</s>",
    "glm4": "[gMASK]<sop><|user|>\n你好<|assistant|>\n你好！<|user|>\n1+1?<|assistant|>\n2<|endoftext|>",
    "internlm": "<s><|User|>:你好<eoh>\n<|Bot|>:你好！<eoa>\n<|User|>:1+1?<eoh>\n<|Bot|>:2<eoa>\n",
    "internlm_20b": "<s><|User|>:你好<eoh>\n<|Bot|>:你好！<eoa>\n<|User|>:1+1?<eoh>\n<|Bot|>:2<eoa>\n",
    "plain": "User: 你好\nAssistant: 你好！</s>\nUser: 1+1?\nAssistant: 2</s>\n",
}
ONE_TURN = {"skywork": "</s><s>[USER]你好[SEP][BOT]你好！</s>", "bloomz": "你好你好！</s>"}
SYSTEM_TURN = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
    "yi": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
    "qwen": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
    "qwen_react": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
    "qwen2": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
    "qwen2.5": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
    "qwen3": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
    "llama2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n",
    "baichuan2": "Be brief.<reserved_106>",
    "chatglm3": "[gMASK]sop<|system|>\nBe brief.<|user|>\n",
    "glm4": "[gMASK]<sop><|system|>\nBe brief.<|user|>\n",
    "plain": "System: Be brief.\nUser: ",
}
STOPS = {
    "chatml": ("<|im_end|>",),
    "yi": ("<|im_end|>",),
    "qwen": ("<|im_end|>", "<|im_start|>"),
    "qwen_react": ("<|im_end|>", "<|im_start|>"),
    "qwen2": ("<|im_end|>", "<|endoftext|>"),
    "qwen2.5": ("<|im_end|>", "<|endoftext|>"),
    "qwen3": ("<|im_end|>", "<|endoftext|>"),
    "llama2": ("</s>",),
    "baichuan": ("</s>",),
    "baichuan2": ("</s>",),
    "chatglm": ("<eop>",),
    "chatglm2": ("</s>",),
    "chatglm3": ("</s>", "<|user|>", "<|observation|>"),
    "glm4": ("<|endoftext|>", "<|user|>", "<|observation|>"),
    "internlm": ("<eoa>",),
    "internlm_20b": ("<eoa>",),
    "skywork": ("</s>",),
    "bloomz": ("</s>",),
    "plain": ("</s>",),
}
TOOLS_2_5 = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    '{"type": "function", "function": {"name": "get_weather", "description": "查询天气", "parameters": '
    '{"type": "object", "properties": {"city": {"type": "string"}}}}}\n'
    "</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call><|im_end|>\n"
)
CALLED_2_5 = (
    "<|im_start|>user\n天气？<|im_end|>\n<|im_start|>assistant\n"
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "北京", "days": 2}}\n</tool_call><|im_end|>\n'
    "<|im_start|>user\n<tool_response>\n晴\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
)
REACT_TOOLS = """\
Answer the following questions as best you can. You have access to the following APIs:

get_weather: Call this tool to interact with the get_weather API. What is the get_weather API useful for? 查询天气 \
Parameters: {"type": "object", "properties": {"city": {"type": "string"}}}

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of [get_weather]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!

Question: """
WITH_TOOLS = {
    "chatglm3": """\
[gMASK]sop<|system|>
Answer the following questions as best as you can. You have access to the following tools:
[
    {
        "name": "get_weather",
        "description": "查询天气",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {
                    "type": "string"
                }
            }
        }
    }
]<|user|>
天气？<|assistant|>get_weather
```python
tool_call(city='北京', days=2)
```<|observation|>
晴<|assistant|>
北京晴。</s>""",
    "glm4": """\
[gMASK]<sop><|system|>
你是一个名为 ChatGLM 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。

# 可用工具

## get_weather

{
    "name": "get_weather",
    "description": "查询天气",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {
                "type": "string"
            }
        }
    }
}
在调用上述函数时，请使用 Json 格式表示调用的参数。<|user|>
天气？<|assistant|>get_weather
{"city": "北京", "days": 2}<|observation|>
晴<|assistant|>
北京晴。<|endoftext|>""",
    "qwen_react": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        + REACT_TOOLS
        + "天气？<|im_end|>\n<|im_start|>assistant\nThought: \nAction: get_weather\n"
        'Action Input: {"city": "北京", "days": 2}\nObservation: 晴\n'
        "Thought: I now know the final answer.\nFinal Answer: 北京晴。<|im_end|>"
    ),
    "qwen2": (
        "<|im_start|>system\nYou are a helpful assistant.\n\n"
        + TOOLS_2_5
        + CALLED_2_5
        + "北京晴。<|im_end|>\n"
    ),
    "qwen2.5": (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.\n\n"
        + TOOLS_2_5
        + CALLED_2_5
        + "北京晴。<|im_end|>\n"
    ),
    "qwen3": (
        "<|im_start|>system\n" + TOOLS_2_5 + CALLED_2_5 + "<think>\n\n</think>\n\n北京晴。<|im_end|>\n"
    ),
}
SAYS_BEFORE_CALLING = {
    "chatglm3": "<|assistant|>\n我查查<|assistant|>get_weather\n```python\ntool_call(city='北京', days=2)\n```<|observation|>",
    "glm4": '<|assistant|>\n我查查<|assistant|>get_weather\n{"city": "北京", "days": 2}<|observation|>',
    "qwen_react": '\nThought: 我查查\nAction: get_weather\nAction Input: {"city": "北京", "days": 2}\nObservation:',
    "qwen2": '\n我查查\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "北京", "days": 2}}\n</tool_call><|im_end|>\n',
    "qwen2.5": '\n我查查\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "北京", "days": 2}}\n</tool_call><|im_end|>\n',
    "qwen3": '\n我查查\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "北京", "days": 2}}\n</tool_call><|im_end|>\n',
}


def test_every_format_has_its_texts_here() -> None:
    names = set(BUILTIN_TEMPLATES)
    assert set(FIRST_PROMPT) == set(STOPS) == set(TRAINED) | set(ONE_TURN) == names
    assert set(WITH_TOOLS) == set(SAYS_BEFORE_CALLING) == {n for n in names if BUILTIN_TEMPLATES[n].has_tools}
    assert all(BUILTIN_TEMPLATES[name].used_by for name in names)


@pytest.mark.parametrize("name", FIRST_PROMPT)
def test_the_first_prompt_is_the_published_one(name: str) -> None:
    assert text(name, TWO_TURNS[:1], prompt=True) == FIRST_PROMPT[name]


@pytest.mark.parametrize("name", TRAINED)
def test_two_turns_are_the_published_text(name: str) -> None:
    assert text(name, TWO_TURNS) == TRAINED[name]


@pytest.mark.parametrize("name", ONE_TURN)
def test_formats_of_one_turn_write_it_and_refuse_a_second(name: str) -> None:
    assert text(name, TWO_TURNS[:2]) == ONE_TURN[name]
    with pytest.raises(StemmaError, match="one question and its answer"):
        text(name, TWO_TURNS[:3], prompt=True)


@pytest.mark.parametrize("name", BUILTIN_TEMPLATES)
def test_a_system_message_is_written_or_refused(name: str) -> None:
    messages = [SYSTEM, *TWO_TURNS[:1]]
    if name in SYSTEM_TURN:
        assert text(name, messages, prompt=True).startswith(SYSTEM_TURN[name] + "你好")
    else:
        with pytest.raises(StemmaError, match=r"no role system|no system role|one question and its answer"):
            text(name, messages, prompt=True)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_tools_a_call_and_its_result_are_the_published_text(name: str) -> None:
    assert text(name, WITH_CALL, tools=[TOOL]) == WITH_TOOLS[name]
    said = text(name, [WITH_CALL[0], SAID_AND_CALLED], tools=[TOOL])
    assert said.endswith(SAYS_BEFORE_CALLING[name])


@pytest.mark.parametrize("name", [name for name in BUILTIN_TEMPLATES if name not in WITH_TOOLS])
def test_formats_without_tools_refuse_tools_calls_and_results(name: str) -> None:
    with pytest.raises(
        StemmaError, match="writes no tools or calls; use one that does, built in are chatglm3"
    ):
        text(name, TWO_TURNS[:1], tools=[TOOL], prompt=True)
    with pytest.raises(StemmaError, match="writes no tools or calls"):
        text(name, WITH_CALL)
    if name not in ("chatml", "yi", "plain"):  # they write any role
        with pytest.raises(StemmaError, match=r"no role|one question and its answer"):
            text(name, [*TWO_TURNS[:2], {"role": "tool", "content": "r"}], prompt=True)


@pytest.mark.parametrize("name", STOPS)
def test_stop_tokens_are_known(name: str, everything) -> None:
    template = builtin_template(name, CONFIG)
    assert template.stop_tokens == STOPS[name]
    assert template.stop_ids(everything) == {everything.id_of(token) for token in STOPS[name]}


@pytest.mark.parametrize("name", BUILTIN_TEMPLATES)
def test_only_answers_are_learned_and_each_ends_with_a_stop(name: str, everything) -> None:
    template = builtin_template(name, everything.config)
    for length in (2,) if name in ONE_TURN else (2, 4):
        for number, tokens in enumerate(encode_answers(everything, template, TWO_TURNS[:length]), 1):
            learned = [t for t, target in zip(tokens.ids, tokens.target_mask, strict=True) if target]
            said = everything.decode(learned, skip_special=True)
            expected = (
                TWO_TURNS[2 * number - 1 : 2 * number] if template.one_answer else TWO_TURNS[1:length:2]
            )
            kept = said.replace("<think>\n\n</think>", "").replace("\n", "").replace(" ", "")
            assert kept == "".join(message["content"] for message in expected)
            assert learned[-1] in template.stop_ids(everything)


@pytest.mark.parametrize("name", BUILTIN_TEMPLATES)
def test_the_prompt_served_is_the_prefix_trained_on(name: str, everything) -> None:
    template = builtin_template(name, everything.config)
    check_prompts(everything, template, TWO_TURNS[:2] if name in ONE_TURN else TWO_TURNS * 2)
    if name in WITH_TOOLS:
        turn = [WITH_CALL[0], SAID_AND_CALLED, *WITH_CALL[2:]]
        check_prompts(everything, template, TWO_TURNS + turn + WITH_CALL, [TOOL])


@pytest.mark.parametrize("name", [n for n, found in BUILTIN_TEMPLATES.items() if found.one_answer])
def test_a_dialogue_whose_answers_change_later_on_is_one_sample_per_answer(name: str, everything) -> None:
    template = builtin_template(name, everything.config)
    with pytest.raises(CheckFailed, match="2 training samples; make them with encode_answers"):
        encode_chat(everything, template, TWO_TURNS)
    first, second = encode_answers(everything, template, TWO_TURNS)
    assert first == encode_chat(everything, template, TWO_TURNS[:2])
    assert second == encode_chat(everything, template, TWO_TURNS, answers="last")
    if name == "chatglm":
        assert (
            second.ids[: first.ids.index(everything.id_of("<sop>"))]
            != first.ids[: first.ids.index(everything.id_of("<sop>"))]
        )


def test_the_last_answer_alone_can_be_learned_with_any_format(everything) -> None:
    template = builtin_template("chatml", everything.config)
    tokens = encode_chat(everything, template, TWO_TURNS, answers="last")
    assert tokens.ids == encode_chat(everything, template, TWO_TURNS).ids
    learned = [t for t, target in zip(tokens.ids, tokens.target_mask, strict=True) if target]
    assert everything.decode(learned, skip_special=False) == "2<|im_end|>"


def test_internlm_7b_marks_old_questions_and_a_first_one() -> None:
    three = [*TWO_TURNS, {"role": "user", "content": "再见"}]
    assert text("internlm", three, prompt=True) == (
        "<s><|User|>:你好<eoh>\n<|Bot|>:你好！<eoa>\n<s><|User|>:1+1?<eoh>\n<|Bot|>:2<eoa>\n<|User|>:再见<eoh>\n<|Bot|>:"
    )
    assert text("internlm_20b", three, prompt=True).count("<s>") == 1


def test_chatglm_numbers_rounds_from_0_and_chatglm2_from_1() -> None:
    assert text("chatglm", TWO_TURNS[:3], prompt=True) == (
        "[Round 0]\n问：你好\n答：你好！\n[Round 1]\n问：1+1?\n答：[gMASK]<sop>"
    )
    assert text("chatglm2", TWO_TURNS[:3], prompt=True) == (
        "[gMASK]sop[Round 1]\n\n问：你好\n\n答：你好！\n\n[Round 2]\n\n问：1+1?\n\n答："
    )


def test_react_puts_the_tools_before_the_question_of_the_last_exchange_that_is_over() -> None:
    def carriers(messages: list) -> list[str]:
        turns = text("qwen_react", messages, prompt=True, tools=[TOOL]).split("<|im_start|>user\n")[1:]
        return [turn.split("<|im_end|>")[0].removeprefix(REACT_TOOLS) for turn in turns if "Begin!" in turn]

    assert carriers(TWO_TURNS[:1]) == ["你好"]
    assert carriers(TWO_TURNS[:3]) == ["你好"]
    assert carriers([*TWO_TURNS, WITH_CALL[0]]) == ["1+1?"]
    assert carriers([*TWO_TURNS, *WITH_CALL[:3]]) == ["天气？"]


def test_react_ends_a_call_with_a_text_and_goes_on_with_a_thought(everything) -> None:
    template = builtin_template("qwen_react", everything.config)
    assert template.stop_texts == ("Observation:",)
    assert text("qwen_react", WITH_CALL[:3], prompt=True, tools=[TOOL]).endswith("Observation: 晴\nThought:")
    called, answered = encode_answers(everything, template, WITH_CALL, [TOOL])
    learned = [
        everything.decode([t for t, m in zip(s.ids, s.target_mask, strict=True) if m], skip_special=False)
        for s in (called, answered)
    ]
    assert learned == [
        'Thought: \nAction: get_weather\nAction Input: {"city": "北京", "days": 2}\nObservation:',
        " I now know the final answer.\nFinal Answer: 北京晴。<|im_end|>",
    ]


def test_react_strips_contents_and_does_not_double_a_thought() -> None:
    thought = {"role": "assistant", "content": "\n Thought: 查 \n", "tool_calls": [CALL]}
    thought["content"] = "\nThought: 查 \n"
    written = text("qwen_react", [{"role": "user", "content": "\n\n天气 \n"}, thought], tools=[TOOL])
    assert "Question: 天气<|im_end|>" in written
    assert written.count("Thought: 查\nAction: get_weather\n") == 1


def test_qwen3_writes_thoughts_after_the_last_question_only() -> None:
    thinks = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "\nold\n"},
        {"role": "user", "content": "天气？"},
        {"role": "assistant", "content": "", "tool_calls": [CALL], "reasoning_content": "ask"},
        {"role": "tool", "content": "晴"},
    ]
    written = text("qwen3", thinks, prompt=True, tools=[TOOL])
    assert "old" not in written
    assert "<|im_start|>assistant\n<think>\nask\n</think>\n\n<tool_call>\n" in written
    last = text(
        "qwen3", [*thinks, {"role": "assistant", "content": "<think>\nx\n</think>\n\n晴。"}], tools=[TOOL]
    )
    assert last.endswith("<|im_start|>assistant\n<think>\nx\n</think>\n\n晴。<|im_end|>\n")


@pytest.mark.parametrize("name", ["chatglm3", "glm4", "qwen_react"])
def test_formats_of_one_call_at_a_time_refuse_two(name: str) -> None:
    twice = [WITH_CALL[0], {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}]
    with pytest.raises(StemmaError, match="one call at a time"):
        text(name, twice, tools=[TOOL])


def test_a_stored_builtin_template_is_known_again_by_its_source(everything) -> None:
    for name, builtin in BUILTIN_TEMPLATES.items():
        found = builtin_of(builtin.source)
        assert found is not None
        assert found[0] == ("chatml" if name == "yi" else name)
    assert template_of(everything).name == "chatml"
    assert builtin_of("x") is None


def test_a_template_from_elsewhere_sees_tools_as_transformers_gives_them() -> None:
    source = (
        "{% if tools is not none %}{% for tool in tools %}{{ tool.function.name }}:"
        "{{ tool.function.parameters | tojson }};{% endfor %}{% endif %}{% for m in messages %}{{ m.content }}"
        "{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments.city }}{{ c.id }}{% endfor %}{% endfor %}"
    )
    template = ChatTemplate(source, ("</s>",))
    messages = [WITH_CALL[0], {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    pieces = template.render(messages, tools=[TOOL["function"]])
    assert "".join(piece.text for piece in pieces) == (
        'get_weather:{"type": "object", "properties": {"city": {"type": "string"}}};天气？get_weather北京'
    )
    assert "".join(piece.text for piece in template.render(TWO_TURNS[:1])) == "你好"
