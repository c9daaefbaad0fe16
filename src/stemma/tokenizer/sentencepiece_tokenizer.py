"""SentencePiece models (LLaMA, Baichuan, Yi, ChatGLM2, InternLM, Mistral), run by their own library.

The library stays the engine because conversions to tokenizer.json are not exact for most of these families (score
ties, dummy prefix, user-defined pieces). Kudo and Richardson 2018, arXiv 1808.06226.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import sentencepiece

from stemma.errors import StemmaError
from stemma.storage import atomic_file
from stemma.tokenizer import sentencepiece_model as proto
from stemma.tokenizer.config_file import TokenizerConfig, write_config
from stemma.tokenizer.published import published_model
from stemma.tokenizer.tokenizer import REPLACE_EACH_BYTE, After, Tokenizer, check_text

_SPACE = "\u2581"
sentencepiece.SetMinLogLevel(2)  # errors only: it remarks on every model with a piece for NUL
_UNKNOWN_TEXT = " \u2047 "

SPECIAL_NAMES = re.compile(
    r"(?!<\|tab\|>|<\|blank_\d+\|>)<\|.*\|>|<reserved_\d+>|<(SEP|CLS|eoh|eoa|fim_\w+)>|<TOKENS_UNUSED_\d+>|\[UNUSED_TOKEN_\d+\]"
)
"""user-defined pieces that steer a chat; other user-defined pieces (digits, HTML tags, ChatGLM-6B's white space) are ordinary text"""


class SentencePieceTokenizer(Tokenizer):
    """A .model file's bytes, plus the tokens its folder adds after the last piece."""

    format = "sentencepiece"
    file_name = "tokenizer.model"
    utf8_errors = REPLACE_EACH_BYTE

    def __init__(self, raw: bytes, config: TokenizerConfig, source: str, folder: Path | None = None) -> None:
        """`source` names the model in messages; `folder` is where its family's config.json may lie."""
        self._raw, self._source = raw, source
        model = _read_model(raw, source)
        self._published = published_model(len(model.pieces), config, folder)
        if self._published is not None:
            config = self._published.applied_to(config, len(model.pieces))
        self.model = model
        self._pieces = model.pieces
        self._specials_in_file = _special_pieces(model)
        self._library = self._processor(raw)
        self.config = _with_roles(config, self._library)
        self.special_ids = self._specials_in_file | self._added(config)
        self._name_of = {number: name for name, number in self.special_ids.items()}
        self.num_pieces = len(model.pieces)
        self.vocab_size = 1 + max(len(model.pieces) - 1, *self._name_of)
        self._prefix = model.add_dummy_prefix
        self.strips_leading_space = model.add_dummy_prefix or model.remove_extra_whitespaces
        for role in (config.bos_token, config.eos_token, config.pad_token, config.unk_token):
            self._named(role)

    @classmethod
    def read(cls, path: Path, config: TokenizerConfig) -> "SentencePieceTokenizer":
        """Read a .model file; raises StemmaError when it is damaged or something else."""
        return cls(path.read_bytes(), config, str(path), path.parent)

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        if self._published is None:
            return [], []
        before, after = self._published.before, self._published.after
        return [self.id_of(name) for name in before], [self.id_of(name) for name in after]

    def id_of(self, token: str) -> int:
        if token in self.special_ids:
            return self.special_ids[token]
        number = self._library.piece_to_id(token)
        if number == self._library.unk_id() and self._pieces[number].name != token:
            raise StemmaError(f"{self._source}: has no token {token!r}; check the special tokens' names")
        return number

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        for text in texts:
            check_text(text)
        return self._library.encode(list(texts), num_threads=1)

    def encode_as_published(self, text: str) -> list[int]:
        check_text(text)
        return self._as_published.encode(text)

    def token_bytes(self, token: int) -> bytes:
        if token in self._name_of:
            return self._name_of[token].encode()
        if not 0 <= token < len(self._pieces):
            raise StemmaError(f"{self._source}: has no token with id {token}")
        piece = self._pieces[token]
        if piece.type == proto.BYTE:
            return bytes([int(piece.name[3:5], 16)])
        if piece.type == proto.UNKNOWN:
            return _UNKNOWN_TEXT.encode()
        return piece.name.replace(_SPACE, " ").encode()

    def first_bytes(self, token: int) -> bytes:
        return self.token_bytes(token) if token == self.unk_id else super().first_bytes(token)

    def save(self, folder: Path) -> None:
        with atomic_file(folder / self.file_name) as file:
            file.write(self._raw)
        write_config(
            folder, self.config, self._published.tokenizer_class if self._published else "LlamaTokenizer"
        )

    def _encode(self, text: str, after: After) -> list[int]:
        library = self._without_prefix if after == "text" and self._prefix else self._library
        return library.encode(text)

    def _definition(self) -> bytes:
        return self._raw

    def _added(self, config: TokenizerConfig) -> dict[str, int]:
        """Tokens of the folder's configuration; those inside the file must be where the file has them."""
        for name, number in config.added_tokens.items():
            if number < len(self._pieces) and self._pieces[number].name != name:
                raise StemmaError(
                    f"{self._source}: token {number} is {self._pieces[number].name!r}, but tokenizer_config.json calls"
                    f" it {name!r}; the two files do not belong together"
                )
        return {name: number for name, number in config.added_tokens.items() if number >= len(self._pieces)}

    @functools.cached_property
    def _without_prefix(self) -> sentencepiece.SentencePieceProcessor:
        return self._processor(proto.without_dummy_prefix(self._raw))

    @functools.cached_property
    def _as_published(self) -> sentencepiece.SentencePieceProcessor:
        return self._loaded(self._raw)

    def _processor(self, raw: bytes) -> sentencepiece.SentencePieceProcessor:
        return self._loaded(proto.with_control_pieces(raw, self._specials_in_file.__contains__))

    def _loaded(self, raw: bytes) -> sentencepiece.SentencePieceProcessor:
        library = sentencepiece.SentencePieceProcessor()
        try:
            library.LoadFromSerializedProto(raw)
        except RuntimeError as error:
            raise StemmaError(
                f"{self._source}: SentencePiece cannot load it ({error}); download it again"
            ) from None
        return library


def _read_model(raw: bytes, source: str) -> proto.Model:
    try:
        return proto.read_model(raw)
    except (ValueError, KeyError) as error:
        raise StemmaError(f"{source}: no whole SentencePiece model ({error}); download it again") from None


def _special_pieces(model: proto.Model) -> dict[str, int]:
    return {
        piece.name: number
        for number, piece in enumerate(model.pieces)
        if piece.type == proto.CONTROL
        or (piece.type == proto.USER_DEFINED and SPECIAL_NAMES.fullmatch(piece.name))
    }


def _with_roles(config: TokenizerConfig, library: sentencepiece.SentencePieceProcessor) -> TokenizerConfig:
    """The configuration with the roles it leaves open taken from the file."""
    found = {
        "bos_token": library.bos_id(),
        "eos_token": library.eos_id(),
        "pad_token": library.pad_id(),
        "unk_token": library.unk_id(),
    }
    open_roles = {
        role: library.id_to_piece(number)
        for role, number in found.items()
        if number >= 0 and getattr(config, role) is None
    }
    return replace(config, **open_roles)
