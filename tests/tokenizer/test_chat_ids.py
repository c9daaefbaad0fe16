"""Chat formats in ids: real tokenizers, ids other projects wrote down, and the published Qwen2.5 template itself."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chat_formats import CALL, SAID_AND_CALLED, TOOL, TWO_TURNS, WITH_CALL, all_tokens
from test_chat_parse import dialogues

from stemma.tokenizer import ChatTemplate, builtin_template, encode_chat, load_tokenizer
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.messages import normal_messages, normal_tools
from stemma.tokenizer.parse_chat import parse_chat
from stemma.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from stemma.tokenizer.template import encode_answers
from stemma.tokenizer.templates import BUILTIN_TEMPLATES

GREETING = "你好👋！我是人工智能助手 ChatGLM3-6B，很高兴见到你，欢迎问我任何问题。"
SLEEPLESS = "晚上睡不着应该怎么办"
SECOND = {"[gMASK]": 64790, "sop": 64792}
THIRD = SECOND | {"<|system|>": 64794, "<|user|>": 64795, "<|assistant|>": 64796, "<|observation|>": 64797}


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def sentencepiece(shared: Path, file: str, added: dict[str, int] | None = None) -> SentencePieceTokenizer:
    config = TokenizerConfig(bos_token="<s>", eos_token="</s>", added_tokens=added or {})
    return SentencePieceTokenizer.read(shared / "tokenizers" / file, config)


def prompt(tokenizer, name: str, *said: str) -> list[int]:
    roles = ("user", "assistant")
    messages: list = [{"role": roles[at % 2], "content": content} for at, content in enumerate(said)]
    return encode_chat(tokenizer, builtin_template(name, tokenizer.config), messages, True).ids


# Ids below: li-plus/chatglm.cpp, chatglm_test.cpp, made with the published tokenizers.


def test_chatglm2_prompts_have_the_ids_of_the_published_code(shared: Path) -> None:
    tokenizer = sentencepiece(shared, "chatglm2/tokenizer.model", SECOND)
    assert prompt(tokenizer, "chatglm2", "你好") == numbers(
        "64790 64792 790 30951 517 30910 30939 30996 13 13 54761 31211 39701 13 13 55437 31211"
    )
    answer = "你好👋！我是人工智能助手 ChatGLM2-6B，很高兴见到你，欢迎问我任何问题。"
    assert prompt(tokenizer, "chatglm2", "你好", answer, SLEEPLESS) == numbers(
        "64790 64792 790 30951 517 30910 30939 30996 13 13 54761 31211 39701 13 13 55437 31211 39701 243 "
        "162 148 142 31404 33030 34797 42481 22011 10461 30944 30943 30941 30978 30949 31123 48895 35214 "
        "54622 31123 32616 39905 31901 31639 31155 13 13 30995 30951 517 30910 30943 30996 13 13 54761 "
        "31211 32820 54266 31876 35153 13 13 55437 31211"
    )


def test_chatglm2_learns_answers_encoded_apart_and_the_end(shared: Path) -> None:
    tokenizer = sentencepiece(shared, "chatglm2/tokenizer.model", SECOND)
    last = encode_answers(tokenizer, builtin_template("chatglm2", tokenizer.config), TWO_TURNS)[-1]
    learned = [token for token, target in zip(last.ids, last.target_mask, strict=True) if target]
    assert learned == [*tokenizer.encode("2"), 2]
    assert 2 not in last.ids[:-1]


def test_chatglm3_prompts_have_the_ids_of_the_published_code(shared: Path) -> None:
    tokenizer = sentencepiece(shared, "chatglm2/tokenizer.model", THIRD)
    assert prompt(tokenizer, "chatglm3", "你好") == [64790, 64792, 64795, 30910, 13, 36474, 54591, 64796]
    assert prompt(tokenizer, "chatglm3", "你好", GREETING, SLEEPLESS) == numbers(
        "64790 64792 64795 30910 13 36474 54591 64796 30910 13 36474 54591 243 162 148 142 31404 33030 "
        "34797 42481 22011 10461 30944 30966 30941 30978 30949 31123 48895 35214 54622 31123 32616 39905 "
        "31901 31639 31155 64795 30910 13 30910 32820 54266 31876 35153 64796"
    )


def test_chatglm3_stops_where_the_next_role_begins(shared: Path) -> None:
    tokenizer = sentencepiece(shared, "chatglm2/tokenizer.model", THIRD)
    template = builtin_template("chatglm3", tokenizer.config)
    assert template.stop_ids(tokenizer) == {2, 64795, 64797}
    messages: list = [
        *TWO_TURNS,
        {"role": "user", "content": "天气？"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "晴"},
        {"role": "assistant", "content": "晴。"},
    ]
    tokens = encode_chat(tokenizer, template, messages, tools=[TOOL])
    ends = [
        tokens.ids[at]
        for at, target in enumerate(tokens.target_mask)
        if target and not [*tokens.target_mask, False][at + 1]
    ]
    assert ends == [64795, 64795, 64797, 2]
    # a text is encoded apart from its line of metadata, as the published code does it
    call = [tokenizer.encode(t) for t in ("get_weather\n", "```python\ntool_call(city='北京', days=2)\n```")]
    at = tokens.ids.index(64797)
    whole = [64796, *call[0], *call[1], 64797]
    assert tokens.ids[at - len(whole) + 1 : at + 1] == whole


def test_baichuan2_prompts_have_the_ids_of_the_published_code(shared: Path) -> None:
    tokenizer = sentencepiece(shared, "baichuan2/tokenizer.model")
    assert prompt(
        tokenizer,
        "baichuan2",
        "你好呀",
        "你好！很高兴和你交流。请问有什么问题我可以帮助你解决吗？",
        "你叫什么名字？",
    ) == numbers(
        "195 16829 94278 196 16829 67 52160 10329 3341 66 23216 5817 1754 92392 21777 92430 2740 93122 68 "
        "195 92430 93410 1747 6642 68 196"
    )


def test_baichuan_prompts_have_the_ids_of_the_published_code_and_close_old_answers(shared: Path) -> None:
    tokenizer = sentencepiece(shared, "baichuan/tokenizer.model")
    found = prompt(
        tokenizer,
        "baichuan",
        "你好呀",
        "你好！很高兴和你交流。请问有什么我可以帮助你的吗？",
        "你叫什么名字？",
    )
    assert [token for token in found if token != 2] == numbers(
        "195 9875 31213 32889 196 9875 31213 74 17318 31906 14822 5536 73 20389 7713 31182 1231 4090 2689 "
        "31763 75 195 9875 32177 1534 10240 75 196"
    )
    assert found[found.index(75) + 1] == 2


def test_internlm_prompts_have_the_ids_of_the_published_tokenizer(shared: Path) -> None:
    tokenizer = sentencepiece(shared, "internlm/tokenizer.model")
    expected = numbers(
        "1 333 352 1621 352 27232 76379 103027 364 333 352 23845 352 27232 76379 98899 68408 73159 67566 "
        "67513 61056 99050 103028 364 333 352 1621 352 27232 67891 76046 67551 68573 103027 364 333 352 "
        "23845 352 27232"
    )
    said = ("你好", "你好，有什么我可以帮助你的吗？", SLEEPLESS)
    assert prompt(tokenizer, "internlm_20b", *said) == expected
    assert prompt(tokenizer, "internlm", *said) == expected
    assert builtin_template("internlm", tokenizer.config).stop_ids(tokenizer) == {103028}


def test_chatglm_marks_the_end_of_the_prompt(shared: Path) -> None:
    tokenizer = sentencepiece(shared, "chatglm-6b/ice_text.model")
    assert prompt(tokenizer, "chatglm", "你好") == [5, 74874, 130001, 130004]
    template = builtin_template("chatglm", tokenizer.config)
    last = encode_answers(tokenizer, template, TWO_TURNS)[-1]
    learned = [token for token, target in zip(last.ids, last.target_mask, strict=True) if target]
    assert last.ids[-len(learned) - 2 :] == [130001, 130004, *learned]
    assert learned == [*tokenizer.encode("2"), 130005]


def test_yi_prompts_are_marks_lines_and_contents(shared: Path) -> None:
    path = shared / "tokenizers" / "yi" / "tokenizer.model"
    tokenizer = SentencePieceTokenizer.read(path, TokenizerConfig())
    expected = [
        6,
        *tokenizer.encode("user\n你好"),
        7,
        *tokenizer.encode("\n"),
        6,
        *tokenizer.encode("assistant\n"),
    ]
    assert prompt(tokenizer, "yi", "你好") == expected
    assert builtin_template("yi", tokenizer.config).stop_ids(tokenizer) == {7}


def test_chatglm_prompts_have_the_ids_of_the_published_code(shared: Path) -> None:
    tokenizer = load_tokenizer(shared / "tokenizers" / "chatglm-6b")
    answer = "你好👋！我是人工智能助手 ChatGLM-6B，很高兴见到你，欢迎问我任何问题。"
    assert prompt(tokenizer, "chatglm", "你好", answer, SLEEPLESS) == numbers(
        "53 6945 5 8 42 4 64286 12 74874 4 67342 12 74874 130328 130247 130233 130227 35 65806 68241 75890 "
        "14132 5388 340 11 21 222 6 76693 66877 63852 6 66430 68747 102501 63823 4 52 6945 5 9 42 4 64286 12 "
        "65450 83400 64213 66846 4 67342 12 130001 130004"
    )


def test_qwen_prompts_have_its_ids(shared: Path) -> None:
    tokenizer = load_tokenizer(shared / "tokenizers" / "qwen")
    assert prompt(tokenizer, "qwen", "你好") == numbers(
        "151644 8948 198 2610 525 264 10950 17847 13 151645 198 151644 872 198 108386 151645 198 151644 77091 198"
    )
    assert builtin_template("qwen", tokenizer.config).stop_ids(tokenizer) == {151644, 151645}


def test_qwen_encodes_a_content_apart_from_its_role_and_qwen2_with_it() -> None:
    tokenizer = all_tokens()
    start, end = tokenizer.id_of("<|im_start|>"), tokenizer.id_of("<|im_end|>")
    messages: list = [{"role": "system", "content": "\n\nx"}, {"role": "user", "content": "y"}]
    tail = [end, *tokenizer.encode("\n"), start]
    apart = [start, *tokenizer.encode("system\n"), *tokenizer.encode("\n\nx"), *tail]
    whole = [start, *tokenizer.encode("system\n\n\nx"), *tail]
    assert apart != whole
    for name, expected in (("qwen", apart), ("qwen2", whole)):
        ids = encode_chat(tokenizer, builtin_template(name, tokenizer.config), messages, True).ids
        assert ids[: len(expected)] == expected


@settings(max_examples=60, deadline=None)
@given(dialogue=dialogues(tools=True), prompt=st.booleans())
def test_qwen2_5_writes_what_its_published_template_writes(shared: Path, dialogue, prompt: bool) -> None:
    file = shared / "tokenizers" / "qwen2" / "tokenizer_config.json"
    published = ChatTemplate(json.loads(file.read_text(encoding="utf-8"))["chat_template"], ("<|im_end|>",))
    ours = builtin_template("qwen2.5", TokenizerConfig())
    messages, tools = dialogue
    texts = ["".join(p.text for p in t.render(messages, prompt, tools)) for t in (published, ours)]
    assert texts[0] == texts[1]


REAL = {
    "chatglm": "chatglm-6b",
    "chatglm2": "chatglm2",
    "qwen": "qwen",
    "qwen_react": "qwen",
    "qwen2.5": "qwen2",
    "qwen3": "qwen2",
    "yi": "yi",
    "internlm": "internlm",
    "internlm_20b": "internlm",
    "baichuan": "baichuan",
    "baichuan2": "baichuan2",
    "llama2": "llama",
}
SAID: list = [
    {"role": "user", "content": "你好\n第二行 <|im_end|> [Round 1] <|assistant|>"},
    {"role": "assistant", "content": "Hello,  world\n\n  indented"},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2"},
]


@pytest.mark.parametrize("name", [*REAL, "chatglm3"])
def test_ids_of_the_real_tokenizer_come_back_as_the_dialogue(shared: Path, name: str) -> None:
    if name == "chatglm3":
        tokenizer = sentencepiece(shared, "chatglm2/tokenizer.model", THIRD)
    else:
        tokenizer = load_tokenizer(shared / "tokenizers" / REAL[name])
    template = builtin_template(name, tokenizer.config)
    cases: list = [(SAID, False, None), (SAID[:3], True, None)]
    if BUILTIN_TEMPLATES[name].has_tools:
        cases.append(([WITH_CALL[0], SAID_AND_CALLED, *WITH_CALL[2:], *SAID], False, [TOOL]))
    for messages, prompt, tools in cases:
        ids = encode_chat(tokenizer, template, messages, prompt, tools, answers="last").ids
        found = parse_chat(template, ids, tokenizer)
        assert found.messages == normal_messages(messages)
        assert found.tools == normal_tools(tools)
        assert found.add_generation_prompt is prompt
