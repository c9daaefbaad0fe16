"""One interface to every tokenizer, and the streaming decoder built on it.

`encode` takes text as data: it never adds BOS or EOS and never turns a special token's name inside the text into that
token. `encode_with_specials` is for template text only. Three sizes are kept apart: `num_pieces` is what the vocabulary
file itself holds, `vocab_size` the ids in use with the tokens added to it; the rows of an embedding may be more and
belong to the model.
"""

import codecs
import functools
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from stemma.errors import StemmaError
from stemma.tokenizer.config_file import TokenizerConfig

After = Literal["start", "special", "text"]
"""What stands before a text: nothing, a special token, or other text. Only tokenizers that put a space before a text
(SentencePiece's dummy prefix) care; after other text they must not."""


class Tokenizer(ABC):
    """Text to ids and back. Subclasses: FastTokenizer, SentencePieceTokenizer, ChatGLMTokenizer, TiktokenTokenizer."""

    format: str
    """name of the file format, an entry of stemma.tokenizer.load.FORMATS"""
    config: TokenizerConfig
    num_pieces: int
    """entries of the vocabulary file, added tokens left out"""
    vocab_size: int
    """ids in use, added tokens included: the largest id plus one"""
    special_ids: dict[str, int]
    """names and ids of the tokens that no text may become"""
    strips_leading_space: bool
    """whether decoding drops the one space that encoding put before the text"""
    utf8_errors: str
    """codec error handler for bytes that are no UTF-8: how many U+FFFD the library writes"""

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """Bytes the token stands for inside a text; of a special token, its name. Raises StemmaError."""

    @abstractmethod
    def id_of(self, token: str) -> int:
        """Id of a token by its name in the vocabulary; raises StemmaError when there is none."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the tokenizer's file and tokenizer_config.json into `folder`, each atomically."""

    @abstractmethod
    def _encode(self, text: str, after: After) -> list[int]: ...

    @abstractmethod
    def _definition(self) -> bytes:
        """The bytes that fix the mapping between text and ids."""

    def encode(self, text: str, *, after: After = "start") -> list[int]:
        """Ids of `text` as data. `after` says what stands before it. Raises StemmaError on lone surrogates."""
        check_text(text)
        return self._encode(text, after)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text as data, equal to `encode` of each."""
        return [self.encode(text) for text in texts]

    def encode_with_specials(self, text: str) -> list[int]:
        """Ids of template text: names of special tokens become those tokens. Never give it a user's text."""
        check_text(text)
        ids: list[int] = []
        after: After = "start"
        for part, special in self.split_specials(text):
            if special is not None:
                ids.append(special)
                after = "special"
            else:
                ids += self._encode(part, after)
        return ids

    def encode_as_published(self, text: str) -> list[int]:
        """Ids the format's own library gives, names it knows inside a text included. To compare with, never for data."""
        return self.encode(text)

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """Ids the published tokenizer puts before and after one text; both empty when it puts none."""
        return [], []

    def split_specials(self, text: str) -> list[tuple[str, int | None]]:
        """`text` cut at special names: (name, id) for each name found, (text, None) between; nothing empty."""
        if self._special_pattern is None:
            return [(text, None)] if text else []
        parts = [part for part in self._special_pattern.split(text) if part]
        return [(part, self.special_ids.get(part)) for part in parts]

    def first_bytes(self, token: int) -> bytes:
        """`token_bytes` of the token that begins a text: the space that encoding put there is gone."""
        raw = self.token_bytes(token)
        return raw.removeprefix(b" ") if self.strips_leading_space else raw

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """Text of `ids`; special tokens are left out, or written by name. Cut characters become U+FFFD."""
        decoder = StreamDecoder(self, skip_special=skip_special)
        return "".join([decoder.push(token) for token in ids]) + decoder.finish()

    @property
    def bos_id(self) -> int | None:
        """Id of the token that begins a text, if the tokenizer names one."""
        return self._named(self.config.bos_token)

    @property
    def eos_id(self) -> int | None:
        """Id of the token that ends a text and separates documents, if the tokenizer names one."""
        return self._named(self.config.eos_token)

    @property
    def pad_id(self) -> int | None:
        """Id of the padding token, if the tokenizer names one."""
        return self._named(self.config.pad_token)

    @property
    def unk_id(self) -> int | None:
        """Id that stands for what the vocabulary cannot express, if the tokenizer names one."""
        return self._named(self.config.unk_token)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 hex of the mapping between text and ids and of the roles of its special tokens."""
        config = self.config
        roles = [config.bos_token, config.eos_token, config.pad_token, config.unk_token]
        named = json.dumps([self.format, roles, sorted(self.special_ids.items())], ensure_ascii=True)
        return hashlib.sha256(named.encode() + b"\n" + self._definition()).hexdigest()

    def _named(self, token: str | None) -> int | None:
        return None if token is None else self.id_of(token)

    @functools.cached_property
    def _special_pattern(self) -> re.Pattern[str] | None:
        if not self.special_ids:
            return None
        longest_first = sorted(self.special_ids, key=lambda name: (-len(name), name))
        return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")


class StreamDecoder:
    """Decode one token at a time: each push gives the characters that are complete, `finish` the rest.

    The concatenation of all pushes and `finish` is `decode` of all ids.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._hidden = frozenset(tokenizer.special_ids.values()) if skip_special else frozenset()
        self._first = True
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors=tokenizer.utf8_errors)

    def push(self, token: int) -> str:
        """Characters completed by `token`, possibly none."""
        if token in self._hidden:
            return ""
        raw = self._tokenizer.first_bytes(token) if self._first else self._tokenizer.token_bytes(token)
        self._first = False
        return self._utf8.decode(raw)

    def finish(self) -> str:
        """What is left: U+FFFD for a character that was never completed."""
        return self._utf8.decode(b"", final=True)


def check_text(text: str) -> None:
    """Refuse what UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise StemmaError(
            f"text: a lone surrogate U+{code:04X} at character {error.start} is no Unicode text; remove it"
        ) from None


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    """SentencePiece writes one U+FFFD per invalid byte; Python's "replace" one per cut character."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd", error.start + 1


REPLACE_EACH_BYTE = "stemma.replace_each_byte"
codecs.register_error(REPLACE_EACH_BYTE, _replace_each_byte)
