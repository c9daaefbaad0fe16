"""Built-in chat templates by name, as data: Jinja text, stop tokens, tool ability, the way back, and who speaks them.

Each marks what the assistant says, its stop token included, with {% generation %} ... {% endgeneration %}: that text
and nothing else is trained on. `bos_token` and `eos_token` are the tokenizer's own.
"""

from stemma.tokenizer.chat_formats import chatml, glm, glm_roles, qwen, qwen_react, turns
from stemma.tokenizer.chat_formats.format import BuiltinTemplate

BUILTIN_TEMPLATES: dict[str, BuiltinTemplate] = {
    "chatml": chatml.CHATML,
    "llama2": turns.LLAMA2,
    "baichuan": turns.BAICHUAN,
    "baichuan2": turns.BAICHUAN2,
    "chatglm": glm.CHATGLM,
    "chatglm2": glm.CHATGLM2,
    "chatglm3": glm_roles.CHATGLM3,
    "glm4": glm_roles.GLM4,
    "qwen": chatml.QWEN,
    "qwen_react": qwen_react.QWEN_REACT,
    "qwen2": qwen.QWEN2,
    "qwen2.5": qwen.QWEN2_5,
    "qwen3": qwen.QWEN3,
    "yi": chatml.YI,
    "internlm": turns.INTERNLM,
    "internlm_20b": turns.INTERNLM_20B,
    "skywork": turns.SKYWORK,
    "bloomz": turns.BLOOMZ,
    "plain": turns.PLAIN,
}


def builtin_of(source: str) -> tuple[str, BuiltinTemplate] | None:
    """The built-in template with this very source and its name, if there is one."""
    return next(((name, found) for name, found in BUILTIN_TEMPLATES.items() if found.source == source), None)
