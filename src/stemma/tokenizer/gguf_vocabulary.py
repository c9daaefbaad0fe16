"""The vocabulary inside a GGUF file, opened as the tokenizer it was made from.

tokenizer.ggml.model names the kind: "llama" holds a SentencePiece BPE model's pieces, scores and types, "gpt2" a
byte-level BPE's pieces and merges (tokenizer.ggml.pre names the expression that cuts a text), "bert" an uncased
WordPiece's pieces with U+2581 before those that begin a word. Keys: github.com/ggml-org/ggml docs/gguf.md.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stemma.errors import StemmaError
from stemma.tokenizer import sentencepiece_model as proto
from stemma.tokenizer.byte_bpe import CLASSES, ByteClass, byte_bpe_json
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.fast import FastTokenizer
from stemma.tokenizer.gguf_metadata import Value, read_metadata
from stemma.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from stemma.tokenizer.tokenizer import Tokenizer
from stemma.tokenizer.tokenizer_json import added_entry
from stemma.tokenizer.wordpiece import wordpiece

_SPACE = "\u2581"
_BRACKETED = re.compile(r"\[.+\]", re.DOTALL)
_ROLES = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
}
PRE_TOKENIZERS: dict[str, ByteClass] = {
    "gpt-2": CLASSES["GPT2Tokenizer"],
    "qwen2": CLASSES["Qwen2Tokenizer"],
}
"""by tokenizer.ggml.pre"""


class _Vocabulary:
    """The keys of one file, each checked for its type when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values = read_metadata(path)
        self.tokens = self.strings("tokenizer.ggml.tokens")
        if not self.tokens:
            raise StemmaError(
                f"{path}: holds no tokenizer.ggml.tokens, so no vocabulary; open the tokenizer's own file"
            )
        if len(set(self.tokens)) != len(self.tokens):
            raise StemmaError(f"{path}: names one token twice in its vocabulary; the file is damaged")

    def strings(self, key: str) -> list[str]:
        return self._list(key, str)

    def numbers(self, key: str) -> list[float]:
        return self._list(key, (int, float))

    def text(self, key: str) -> str:
        value = self._values.get(key, "")
        if not isinstance(value, str):
            raise StemmaError(f"{self.path}: {key} is no string; the file is damaged")
        return value

    def flag(self, key: str, absent: bool) -> bool:
        return bool(self._values.get(key, absent))

    def number(self, key: str) -> int | None:
        """An id of the vocabulary; None where the file names none."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or not 0 <= value < len(self.tokens):
            raise StemmaError(
                f"{self.path}: {key} is {str(value)[:40]}, no id of its {len(self.tokens)} tokens"
            )
        return value

    def types(self) -> list[int]:
        """Types of the tokens, numbered as SentencePiece does."""
        types = [int(number) for number in self.numbers("tokenizer.ggml.token_type")]
        if len(types) != len(self.tokens) or not all(proto.NORMAL <= kind <= proto.BYTE for kind in types):
            raise StemmaError(
                f"{self.path}: tokenizer.ggml.token_type does not give each token a type; the file is damaged"
            )
        return types

    def config(self, config: TokenizerConfig) -> TokenizerConfig:
        """The configuration with the roles that the file names."""
        found: dict[str, Any] = {
            role: self.tokens[number]
            for role, key in _ROLES.items()
            if getattr(config, role) is None and (number := self.number(key)) is not None
        }
        return replace(config, **found)

    def _list(self, key: str, kinds: Any) -> list[Any]:
        value: Value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, kinds) for item in value):
            raise StemmaError(f"{self.path}: {key} is no list of the right kind; the file is damaged")
        return value


def read_gguf(path: Path, config: TokenizerConfig) -> Tokenizer:
    """Open the vocabulary of a GGUF file. Raises StemmaError when it is damaged or of a kind not known here."""
    vocabulary = _Vocabulary(path)
    kind = vocabulary.text("tokenizer.ggml.model")
    if kind not in _KINDS:
        raise StemmaError(
            f"{path}: a vocabulary of kind {kind!r} is not known here; known are {', '.join(_KINDS)}"
        )
    return _KINDS[kind](vocabulary, vocabulary.config(config))


def _sentencepiece(vocabulary: _Vocabulary, config: TokenizerConfig) -> Tokenizer:
    scores = vocabulary.numbers("tokenizer.ggml.scores")
    if len(scores) != len(vocabulary.tokens):
        raise StemmaError(
            f"{vocabulary.path}: tokenizer.ggml.scores does not give each token a score; the file is damaged"
        )
    types = vocabulary.types()
    if types.count(proto.UNKNOWN) != 1:
        raise StemmaError(
            f"{vocabulary.path}: has {types.count(proto.UNKNOWN)} unknown tokens instead of one"
        )
    pieces = tuple(map(proto.Piece, vocabulary.tokens, types, map(float, scores)))
    model = proto.Model(
        pieces,
        vocabulary.flag("tokenizer.ggml.add_space_prefix", True),
        vocabulary.flag("tokenizer.ggml.remove_extra_whitespaces", False),
        proto.BPE,
        byte_fallback=types.count(proto.BYTE) == 256,
    )
    raw = proto.write_model(
        model,
        unknown=types.index(proto.UNKNOWN),
        begin=_control(vocabulary, types, "tokenizer.ggml.bos_token_id"),
        end=_control(vocabulary, types, "tokenizer.ggml.eos_token_id"),
        pad=_control(vocabulary, types, "tokenizer.ggml.padding_token_id"),
    )
    return SentencePieceTokenizer(raw, config, str(vocabulary.path), vocabulary.path.parent)


def _control(vocabulary: _Vocabulary, types: list[int], key: str) -> int | None:
    """The id where SentencePiece would accept it: roles in a .model are control pieces."""
    number = vocabulary.number(key)
    return number if number is not None and types[number] == proto.CONTROL else None


def _byte_bpe(vocabulary: _Vocabulary, config: TokenizerConfig) -> Tokenizer:
    path = vocabulary.path
    name = vocabulary.text("tokenizer.ggml.pre")
    if name not in PRE_TOKENIZERS:
        raise StemmaError(
            f"{path}: tokenizer.ggml.pre is {name!r}, so how it cuts a text is not known here; known are"
            f" {', '.join(PRE_TOKENIZERS)}; open the tokenizer's own file"
        )
    entry = PRE_TOKENIZERS[name]
    if vocabulary.text("general.architecture") == "qwen":
        entry = replace(entry, normalizer=None)  # Qwen 1 cuts as Qwen2 does and normalizes nothing
    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    pairs = [_pair(path, merge, ids) for merge in vocabulary.strings("tokenizer.ggml.merges")]
    added = [
        added_entry(vocabulary.tokens[number], number, {"special": kind == proto.CONTROL})
        for number, kind in enumerate(vocabulary.types())
        if kind in (proto.CONTROL, proto.USER_DEFINED)
    ]
    names = {token["content"] for token in added}
    unused = {number for number, kind in enumerate(vocabulary.types()) if kind == proto.UNUSED}
    pieces = {token: number for token, number in ids.items() if token not in names and number not in unused}
    return FastTokenizer(byte_bpe_json(pieces, pairs, entry, added), config, str(path))


def _pair(path: Path, merge: str, ids: dict[str, int]) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    if not all(piece in ids for piece in (left, right, left + right)):
        raise StemmaError(
            f"{path}: the merge {merge[:80]!r} names a piece that is no token; the file is damaged"
        )
    return left, right


def _wordpiece(vocabulary: _Vocabulary, config: TokenizerConfig) -> Tokenizer:
    special = {
        number for number, kind in enumerate(vocabulary.types()) if kind in (proto.CONTROL, proto.UNKNOWN)
    }
    pieces = {
        _piece(
            token,
            special=number in special or _BRACKETED.fullmatch(token) is not None,
        ): number
        for number, token in enumerate(vocabulary.tokens)
    }
    if len(pieces) != len(vocabulary.tokens):
        raise StemmaError(f"{vocabulary.path}: names one token twice in its vocabulary; the file is damaged")
    if any(piece.isascii() and piece != piece.lower() and not piece.startswith("[") for piece in pieces):
        raise StemmaError(
            f"{vocabulary.path}: holds a cased WordPiece vocabulary, and GGUF does not say what is done to the case of a"
            " text; open its vocab.txt"
        )
    return wordpiece(pieces, True, config, str(vocabulary.path))


def _piece(token: str, special: bool) -> str:
    if special:
        return token
    return token[1:] if token.startswith(_SPACE) else f"##{token}"


_KINDS: dict[str, Callable[[_Vocabulary, TokenizerConfig], Tokenizer]] = {
    "llama": _sentencepiece,
    "gpt2": _byte_bpe,
    "bert": _wordpiece,
}
