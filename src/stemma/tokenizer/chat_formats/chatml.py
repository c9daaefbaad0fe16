"""ChatML: <|im_start|>role, a line end, what is said, <|im_end|>. Models trained here, Yi and Qwen 1.

Qwen 1 encodes every content apart from its role line and writes a default system message.
"""

from typing import Any

from stemma.tokenizer.chat_formats.format import BuiltinTemplate, Reader
from stemma.tokenizer.messages import Dialogue

START, END = "<|im_start|>", "<|im_end|>"
DEFAULT_SYSTEM = "You are a helpful assistant."

_CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

_QWEN = """\
{%- if messages[0]['role'] != 'system' -%}
{{- '<|im_start|>system\\n' -}}{{- text_start -}}{{- 'You are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'tool' -%}
{{- raise_exception('the Qwen chat format has no role tool; the format qwen_react has') -}}
{%- endif -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- text_start -}}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- text_start -}}{{- message['content'] + '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def turns(reader: Reader) -> tuple[list[tuple[str, str]], tuple[str, str] | None]:
    """(role, text) of every closed turn, and of the open one at the end if there is one."""
    found: list[tuple[str, str]] = []
    while not reader.done:
        reader.expect(START)
        role, newline, text = reader.text().partition("\n")
        if not newline:
            raise reader.error("a turn begins without a role and a line end")
        if reader.done:
            return found, (role, text)
        reader.expect(END)
        found.append((role, text))
        if not reader.done and reader.text() != "\n":
            raise reader.error("a turn is followed by something else than a line end")
    return found, None


def ends_as_prompt(reader: Reader, open_turn: tuple[str, str] | None) -> bool:
    """Whether the open turn is the assistant's that is to come; refuses any other."""
    if open_turn is not None and open_turn != ("assistant", ""):
        raise reader.error("it ends inside a turn")
    return open_turn is not None


def _read_chatml(reader: Reader, default_system: str | None = None) -> Dialogue:
    closed, open_turn = turns(reader)
    if closed[:1] == [("system", default_system)]:
        closed = closed[1:]
    messages: list[Any] = [{"role": role, "content": text} for role, text in closed]
    return Dialogue(messages=messages, add_generation_prompt=ends_as_prompt(reader, open_turn))


def _read_qwen(reader: Reader) -> Dialogue:
    return _read_chatml(reader, DEFAULT_SYSTEM)


CHATML = BuiltinTemplate(
    source=_CHATML,
    stop_tokens=(END,),
    special_tokens=(START, END),
    read=_read_chatml,
    used_by="models trained here",
)
YI = BuiltinTemplate(
    source=_CHATML,
    stop_tokens=(END,),
    special_tokens=(START, END),
    read=_read_chatml,
    used_by="Yi-Chat",
)
QWEN = BuiltinTemplate(
    source=_QWEN,
    stop_tokens=(END, START),
    special_tokens=(START, END),
    read=_read_qwen,
    used_by="Qwen-Chat (first generation)",
)
