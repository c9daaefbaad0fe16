"""What published families keep in their own code instead of in their tokenizer files, as tables.

ChatGLM's special tokens after the last piece, what it puts around a text, Qwen's expression and special tokens for a
file that holds only ranks, BERT's lower-casing: each was written in Python beside the weights. An entry is chosen by
the number of entries in the file, which is the file's fingerprint here, or by what the folder's JSON files say;
a file that fits none is refused or taken as it is, never guessed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stemma.tokenizer.config_file import TokenizerConfig

QWEN_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Qwen's cut before merging: cl100k's, but every digit by itself"""
CL100K_SPLIT = QWEN_SPLIT.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published SentencePiece tokenizer whose code does more than its .model file says."""

    name: str
    num_pieces: int
    tokenizer_class: str = "ChatGLMTokenizer"
    """the only class in tokenizer_config.json that this entry may have"""
    marks: tuple[str, ...] = ()
    """this entry counts only when the folder's JSON files contain one of these strings; none = always"""
    tokens: tuple[str, ...] = ()
    """names of the tokens after the last piece, in the order of their ids"""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """tokens put before and after a text"""
    roles: Mapping[str, str] = field(default_factory=dict)
    """roles of special tokens, where tokenizer_config.json leaves them open"""

    def applied_to(self, config: TokenizerConfig, num_pieces: int) -> TokenizerConfig:
        """The configuration with these tokens and roles; what it says itself stays."""
        taken = set(config.added_tokens.values())
        named = {name: num_pieces + place for place, name in enumerate(self.tokens)}
        new = {
            name: number
            for name, number in named.items()
            if number not in taken and name not in config.added_tokens
        }
        open_roles: dict[str, Any] = {
            role: name for role, name in self.roles.items() if getattr(config, role) is None
        }
        listed = {str(number): {"content": name, "special": True} for name, number in new.items()}
        listed |= config.other.get("added_tokens_decoder", {})
        other = {**config.other, "added_tokens_decoder": listed} if listed else config.other
        return replace(config, added_tokens={**config.added_tokens, **new}, other=other, **open_roles)


_CHATGLM2_TOKENS = ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop")
_CHATGLM3_ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")

MODELS = (
    Published(
        name="ChatGLM3",
        num_pieces=64_789,
        marks=("chatglm3", "<|user|>", "<|observation|>"),
        tokens=_CHATGLM2_TOKENS + _CHATGLM3_ROLES,
        before=("[gMASK]", "sop"),
    ),
    Published(name="ChatGLM2", num_pieces=64_789, tokens=_CHATGLM2_TOKENS, before=("[gMASK]", "sop")),
    Published(
        name="ChatGLM-6B",
        num_pieces=130_344,
        after=("[gMASK]", "<sop>"),
        roles={"bos_token": "<sop>", "eos_token": "<eop>"},
    ),
)
"""first match counts; github.com/THUDM/ChatGLM-6B, ChatGLM2-6B and ChatGLM3, tokenization_chatglm.py"""


@dataclass(frozen=True, kw_only=True)
class RankFile:
    """A published tiktoken vocabulary: what its file of ranks does not hold."""

    name: str
    num_ranks: int
    split: str
    """the regular expression whose matches are cut apart before merging"""
    specials: Mapping[str, int]
    """names of special tokens and their distance from the number of ranks"""
    document_token: str
    file_name: str
    tokenizer_class: str | None = None
    """this class in tokenizer_config.json chooses the entry too, whatever the number of ranks"""


_QWEN_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{n}|>" for n in range(205)))

RANK_FILES = (
    RankFile(
        name="Qwen",
        num_ranks=151_643,
        split=QWEN_SPLIT,
        specials={name: place for place, name in enumerate(_QWEN_SPECIALS)},
        document_token="<|endoftext|>",
        file_name="qwen.tiktoken",
        tokenizer_class="QWenTokenizer",
    ),
    RankFile(
        name="cl100k",
        num_ranks=100_256,
        split=CL100K_SPLIT,
        specials={
            "<|endoftext|>": 1,
            "<|fim_prefix|>": 2,
            "<|fim_middle|>": 3,
            "<|fim_suffix|>": 4,
            "<|endofprompt|>": 20,
        },
        document_token="<|endoftext|>",
        file_name="cl100k_base.tiktoken",
    ),
)
"""github.com/QwenLM/Qwen tokenization_qwen.py; github.com/openai/tiktoken openai_public.py"""

WORDPIECE_LOWERCASE = {30_522: True, 21_128: False, 28_996: False, 119_547: False, 105_879: True}
"""by entries of vocab.txt: bert-base uncased, chinese, cased; multilingual cased, uncased"""

IMAGE_TOKENS = {150_528: 20_000, 130_528: 0}
"""by vocab_size of ChatGLM-6B's config.json: ids that the first release keeps before its text for images"""


def published_model(num_pieces: int, config: TokenizerConfig, folder: Path | None) -> Published | None:
    """The entry of MODELS that a .model file with so many pieces is, if any."""
    tokenizer_class = config.other.get("tokenizer_class")
    entries = [
        entry
        for entry in MODELS
        if entry.num_pieces == num_pieces and tokenizer_class in (None, entry.tokenizer_class)
    ]
    said = _said(config, folder) if any(entry.marks for entry in entries) else ""
    for entry in entries:
        if not entry.marks or any(mark in said for mark in entry.marks):
            return entry
    return None


def model_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json; empty when there is none that can be read, which the model's own reader refuses."""
    try:
        data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _said(config: TokenizerConfig, folder: Path | None) -> str:
    """The strings of the folder that can tell a family's releases apart."""
    model = {} if folder is None else model_config(folder)
    names = [model.get("_name_or_path"), config.other.get("name_or_path"), config.chat_template]
    return " ".join([*config.added_tokens, *(name for name in names if isinstance(name, str))])
