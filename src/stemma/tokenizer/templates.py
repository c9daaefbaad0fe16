"""Built-in chat templates, as data: Jinja text, the tokens that end an assistant turn, and who publishes the format.

Each marks what the assistant says, its stop token included, with {% generation %} ... {% endgeneration %}: that text
and nothing else is trained on. `bos_token` and `eos_token` are the tokenizer's own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BuiltinTemplate:
    """A template's Jinja source and its stop tokens (none = the tokenizer's eos token)."""

    source: str
    stop_tokens: tuple[str, ...] = ()


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
{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}
{%- elif message['role'] == 'system' -%}
SYSTEM
{%- else -%}
{{- raise_exception('the Baichuan chat format has no role ' + message['role']) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'ASSISTANT' -}}{%- endif -%}
"""


def _baichuan(user: str, assistant: str, system: str) -> BuiltinTemplate:
    source = _BAICHUAN.replace("SYSTEM", system).replace("USER", user).replace("ASSISTANT", assistant)
    return BuiltinTemplate(source=source)


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

BUILTIN_TEMPLATES = {
    "chatml": BuiltinTemplate(source=_CHATML, stop_tokens=("<|im_end|>",)),
    "llama2": BuiltinTemplate(source=_LLAMA2),
    "baichuan": _baichuan(
        "<reserved_102>",
        "<reserved_103>",
        "{{- raise_exception('the Baichuan-13B chat format has no system role; put it into the first user turn') -}}",
    ),
    "baichuan2": _baichuan("<reserved_106>", "<reserved_107>", "{{- message['content'] -}}"),
    "plain": BuiltinTemplate(source=_PLAIN),
}
