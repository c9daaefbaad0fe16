"""tokenizer_config.json as transformers writes it: the roles of special tokens and the chat template.

Keys read: bos_token, eos_token, pad_token, unk_token (a string or {"content": ...}), chat_template (a string, or a list
of named ones of which "default" counts; a file chat_template.jinja beside it wins), added_tokens_decoder. Ours:
stop_tokens, the tokens that end an assistant turn (default: eos_token). Other keys are kept and written back, except
those that name code to run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemma.errors import StemmaError
from stemma.storage import write_json

FILE_NAME = "tokenizer_config.json"
TEMPLATE_FILE_NAME = "chat_template.jinja"
ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")
_READ_KEYS = {*ROLES, "chat_template", "stop_tokens", "auto_map"}


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """What a tokenizer's vocabulary file does not say."""

    bos_token: str | None = None
    eos_token: str | None = None
    pad_token: str | None = None
    unk_token: str | None = None
    chat_template: str | None = None
    stop_tokens: tuple[str, ...] = ()
    """tokens that end an assistant turn; empty = (eos_token,)"""
    added_tokens: Mapping[str, int] = field(default_factory=dict)
    """tokens the folder adds to the vocabulary file, by name"""
    other: Mapping[str, Any] = field(default_factory=dict)
    """keys of the file that mean nothing here, written back as they were"""


def read_config(folder: Path) -> TokenizerConfig:
    """Read the folder's tokenizer_config.json (absent: all empty). Raises StemmaError when it cannot be read."""
    path = folder / FILE_NAME
    if not path.is_file():
        return TokenizerConfig(chat_template=_template_file(folder))
    data = _read_object(path)
    roles = {role: _token(path, role, data.get(role)) for role in ROLES}
    stop = data.get("stop_tokens", [])
    if not isinstance(stop, list) or not all(isinstance(token, str) for token in stop):
        raise StemmaError(f"{path}: stop_tokens must be a list of token names")
    return TokenizerConfig(
        **roles,
        chat_template=_template_file(folder) or _template(path, data.get("chat_template")),
        stop_tokens=tuple(stop),
        added_tokens=_added_tokens(path, data.get("added_tokens_decoder", {})),
        other={key: value for key, value in data.items() if key not in _READ_KEYS},
    )


def write_config(folder: Path, config: TokenizerConfig, tokenizer_class: str) -> None:
    """Write tokenizer_config.json; `tokenizer_class` is the class by which transformers opens the folder."""
    data: dict[str, Any] = {"tokenizer_class": tokenizer_class, "clean_up_tokenization_spaces": False}
    data |= config.other
    data |= {role: getattr(config, role) for role in ROLES if getattr(config, role) is not None}
    if config.chat_template is not None:
        data["chat_template"] = config.chat_template
    if config.stop_tokens:
        data["stop_tokens"] = list(config.stop_tokens)
    write_json(folder / FILE_NAME, data)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StemmaError(f"{path}: not JSON ({error}); download or write it again") from None
    if not isinstance(data, dict):
        raise StemmaError(f"{path}: holds no JSON object; it is no tokenizer configuration")
    return data


def _token(path: Path, role: str, value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    if value is not None and not isinstance(value, str):
        raise StemmaError(f"{path}: {role} must be a token's name or null")
    return value or None


def _template(path: Path, value: Any) -> str | None:
    if isinstance(value, list):
        named = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
        value = named.get("default")
        if value is None:
            raise StemmaError(f"{path}: chat_template is a list without one named 'default'; name one so")
    if value is not None and not isinstance(value, str):
        raise StemmaError(f"{path}: chat_template must be a string")
    return value


def _template_file(folder: Path) -> str | None:
    path = folder / TEMPLATE_FILE_NAME
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StemmaError(f"{path}: not UTF-8 text; write the template again") from None


def _added_tokens(path: Path, value: Any) -> dict[str, int]:
    try:
        return {entry["content"]: int(token) for token, entry in value.items() if entry.get("special", True)}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StemmaError(f"{path}: added_tokens_decoder must map ids to entries with a content") from None
