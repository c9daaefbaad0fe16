"""Formats of question and answer between special tokens or plain marks: LLaMA 2, Baichuan, InternLM, Skywork, BLOOMZ.

LLaMA 2 writes [INST], <<SYS>> and [/INST] as plain text: a question that holds them is cut there when it is read back.
The plain format marks every line with a role and has the same limit. In the others the marks are tokens, so ids are
read back whatever the texts say.
"""

import re

from stemma.tokenizer.chat_formats.format import BuiltinTemplate, Reader
from stemma.tokenizer.messages import Dialogue, Message

# Touvron et al. 2023, arXiv 2307.09288, and the chat completion code published with it.
_LLAMA2 = """\
{%- set head = namespace(text='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- set head.text = '<<SYS>>\\n' + message['content'] + '\\n<</SYS>>\\n\\n' -%}
{%- elif message['role'] == 'user' -%}
{{- bos_token + '[INST] ' + head.text + message['content'].strip() + ' [/INST]' -}}
{%- set head.text = '' -%}
{%- elif message['role'] == 'assistant' -%}
{%- generation -%}{{- ' ' + message['content'].strip() + ' ' + eos_token -}}{%- endgeneration -%}
{%- else -%}
{{- raise_exception('the llama2 chat format has no role ' + message['role']) -}}
{%- endif -%}
{%- endfor -%}
"""

_BAICHUAN = """\
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{- 'USER' + message['content'] -}}
{%- elif message['role'] == 'assistant' -%}
{{- 'ASSISTANT' -}}
ANSWER
{%- elif message['role'] == 'system' -%}
SYSTEM
{%- else -%}
{{- raise_exception('the Baichuan chat format has no role ' + message['role']) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'ASSISTANT' -}}{%- endif -%}
"""
_CLOSED = "{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}\n"
# The second generation writes no end after old answers.
_OPEN_BUT_LAST = (
    "{%- if loop.last and not add_generation_prompt -%}\n"
    + _CLOSED
    + "{%- else -%}{{- message['content'] -}}{%- endif -%}\n"
)

# The 7B code puts <s> before every old question, and before the one asked only when there is no old one.
_INTERNLM = """\
{%- set turn = namespace(questions=0, asked=0) -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{%- set turn.questions = turn.questions + 1 -%}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{%- set turn.asked = turn.asked + 1 -%}
{%- if turn.questions == 1 or turn.asked < turn.questions -%}{{- '<s>' -}}{%- endif -%}
{{- '<|User|>:' + message['content'] + '<eoh>\\n<|Bot|>:' -}}
{%- elif message['role'] == 'assistant' -%}
{%- if loop.last and not add_generation_prompt -%}
{%- generation -%}{{- message['content'] + '<eoa>' -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '<eoa>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- else -%}
{{- raise_exception('the InternLM chat format has no role ' + message['role'] + '; put it into the first question') -}}
{%- endif -%}
{%- endfor -%}
"""
# The 20B code puts none; its tokenizer puts one before everything.
_INTERNLM_20B = """\
{{- '<s>' -}}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{- '<|User|>:' + message['content'] + '<eoh>\\n<|Bot|>:' -}}
{%- elif message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<eoa>' -}}{%- endgeneration -%}
{{- '\\n' -}}
{%- else -%}
{{- raise_exception('the InternLM chat format has no role ' + message['role'] + '; put it into the first question') -}}
{%- endif -%}
{%- endfor -%}
"""

_ONE_TURN = """\
{%- for message in messages -%}
{%- if message['role'] not in ['user', 'assistant'] or loop.index0 > 1 -%}
{{- raise_exception('the NAME chat format is one question and its answer') -}}
{%- elif message['role'] == 'user' -%}
{{- QUESTION -}}
{%- else -%}
{%- generation -%}{{- message['content'] + '</s>' -}}{%- endgeneration -%}
{%- endif -%}
{%- endfor -%}
"""

_PLAIN = """\
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{- 'Assistant:' -}}
{%- generation -%}{{- ' ' + message['content'] + eos_token -}}{%- endgeneration -%}
{{- '\\n' -}}
{%- else -%}
{{- message['role'].capitalize() + ': ' + message['content'] + '\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}
"""

_SYS = re.compile(r"<<SYS>>\n(.*?)\n<</SYS>>\n\n", re.DOTALL)
_PLAIN_ROLE = re.compile(r"(?:^|\n)(System|User|Tool|Assistant):")


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _read_llama2(reader: Reader) -> Dialogue:
    messages: list[Message] = []
    while not reader.done:
        reader.expect(reader.bos)
        text = reader.text()
        question, found, answer = text.removeprefix("[INST] ").partition(" [/INST]")
        if not found or not text.startswith("[INST] "):
            raise reader.error("a turn is not between [INST] and [/INST]")
        if not messages and (system := _SYS.match(question)):
            messages.append({"role": "system", "content": system[1]})
            question = question[system.end() :]
        messages.append(_user(question))
        if reader.done and not answer:
            return Dialogue(messages=messages, add_generation_prompt=True)
        messages.append(_assistant(answer[1:-1]))
        reader.expect(reader.eos)
    return Dialogue(messages=messages)


def _read_baichuan(reader: Reader, user: str, assistant: str) -> Dialogue:
    system = reader.text()
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    while not reader.done:
        reader.expect(user)
        messages.append(_user(reader.text()))
        if reader.done:
            break
        reader.expect(assistant)
        if reader.done:
            return Dialogue(messages=messages, add_generation_prompt=True)
        messages.append(_assistant(reader.text()))
        reader.take(reader.eos)
    return Dialogue(messages=messages)


def _read_internlm(reader: Reader) -> Dialogue:
    messages: list[Message] = []
    while not reader.done:
        question = reader.text().removeprefix("\n" if messages else "")
        if not question and reader.take("<s>"):
            question = reader.text()
        if not question:
            break
        if not question.startswith("<|User|>:"):
            raise reader.error("a question does not begin with <|User|>:")
        messages.append(_user(question.removeprefix("<|User|>:")))
        reader.expect("<eoh>")
        answer = reader.text()
        if not answer.startswith("\n<|Bot|>:"):
            raise reader.error("an answer does not begin with <|Bot|>:")
        if reader.done:
            return Dialogue(messages=messages, add_generation_prompt=True)
        messages.append(_assistant(answer.removeprefix("\n<|Bot|>:")))
        reader.expect("<eoa>")
    reader.end()
    return Dialogue(messages=messages)


def _read_skywork(reader: Reader) -> Dialogue:
    for mark in ("</s>", "<s>", "[USER]"):
        reader.expect(mark)
    messages = [_user(reader.text())]
    reader.expect("[SEP]")
    reader.expect("[BOT]")
    return _one_answer(reader, messages, reader.text())


def _read_bloomz(reader: Reader) -> Dialogue:
    text = reader.text()
    if not reader.done:
        raise reader.error("it has no mark between question and answer, so they cannot be told apart")
    return Dialogue(messages=[_user(text)], add_generation_prompt=True)


def _one_answer(reader: Reader, messages: list[Message], answer: str) -> Dialogue:
    if reader.done and not answer:
        return Dialogue(messages=messages, add_generation_prompt=True)
    reader.expect("</s>")
    reader.end()
    return Dialogue(messages=[*messages, _assistant(answer)])


def _read_plain(reader: Reader) -> Dialogue:
    messages: list[Message] = []
    while not reader.done:
        text = reader.text()
        before, *parts = _PLAIN_ROLE.split(text.removesuffix("\n") if reader.done else text)
        if before or (messages and not parts and not reader.done):
            raise reader.error("a line does not begin with a role")
        for role, text in zip(parts[::2], parts[1::2], strict=True):
            messages.append({"role": role.lower(), "content": text.removeprefix(" ")})  # type: ignore[typeddict-item]
        if reader.done and parts[-2:] == ["Assistant", ""]:
            return Dialogue(messages=messages[:-1], add_generation_prompt=True)
        if not reader.done:
            reader.expect(reader.eos)
    return Dialogue(messages=messages)


def _baichuan(user: str, assistant: str, used_by: str, system: str, *, one_answer: bool) -> BuiltinTemplate:
    source = _BAICHUAN.replace("ANSWER\n", _OPEN_BUT_LAST if one_answer else _CLOSED)
    source = source.replace("SYSTEM", system).replace("USER", user).replace("ASSISTANT", assistant)
    return BuiltinTemplate(
        source=source,
        special_tokens=(user, assistant),
        one_answer=one_answer,
        read=lambda reader: _read_baichuan(reader, user, assistant),
        used_by=used_by,
    )


def _one_turn(name: str, question: str) -> str:
    return _ONE_TURN.replace("NAME", name).replace("QUESTION", question)


LLAMA2 = BuiltinTemplate(source=_LLAMA2, read=_read_llama2, used_by="LLaMA 2 chat")
BAICHUAN = _baichuan(
    "<reserved_102>",
    "<reserved_103>",
    "Baichuan-13B-Chat",
    "{{- raise_exception('the Baichuan-13B chat format has no system role; put it into the first user turn') -}}",
    one_answer=False,
)
BAICHUAN2 = _baichuan(
    "<reserved_106>", "<reserved_107>", "Baichuan2-Chat", "{{- message['content'] -}}", one_answer=True
)
INTERNLM = BuiltinTemplate(
    source=_INTERNLM,
    stop_tokens=("<eoa>",),
    special_tokens=("<s>", "<eoh>", "<eoa>"),
    one_answer=True,
    read=_read_internlm,
    used_by="InternLM-Chat-7B",
)
INTERNLM_20B = BuiltinTemplate(
    source=_INTERNLM_20B,
    stop_tokens=("<eoa>",),
    special_tokens=("<s>", "<eoh>", "<eoa>"),
    read=_read_internlm,
    used_by="InternLM-Chat-20B",
)
SKYWORK = BuiltinTemplate(
    source=_one_turn(
        "Skywork", "'</s><s>[USER]' + message['content'].strip().replace('\\r', '') + '[SEP][BOT]'"
    ),
    stop_tokens=("</s>",),
    special_tokens=("<s>", "</s>", "[USER]", "[SEP]", "[BOT]"),
    read=_read_skywork,
    used_by="Skywork-13B-Chat",
)
BLOOMZ = BuiltinTemplate(
    source=_one_turn("BLOOMZ", "message['content']"),
    stop_tokens=("</s>",),
    special_tokens=("</s>",),
    read=_read_bloomz,
    used_by="BLOOMZ",
)
PLAIN = BuiltinTemplate(source=_PLAIN, read=_read_plain, used_by="base models made to chat")
