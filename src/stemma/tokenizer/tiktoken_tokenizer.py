"""Tokenizers in tiktoken's rank files (Qwen 1, cl100k), run by the `tiktoken` library.

The file holds neither the expression that cuts a text nor the special tokens: both come from the table
stemma.tokenizer.published.RANK_FILES, and a file that is none of its entries is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import tiktoken

from stemma.errors import StemmaError
from stemma.storage import atomic_file
from stemma.tokenizer.config_file import TokenizerConfig, write_config
from stemma.tokenizer.published import RANK_FILES, RankFile
from stemma.tokenizer.tiktoken_ranks import read_ranks
from stemma.tokenizer.tokenizer import After, Tokenizer


class TiktokenTokenizer(Tokenizer):
    """A rank file's bytes, with the special tokens its family adds after the last rank."""

    format = "tiktoken"
    utf8_errors = "replace"
    strips_leading_space = False

    def __init__(self, raw: bytes, config: TokenizerConfig, source: str) -> None:
        self._raw, self._source = raw, source
        self.ranks = read_ranks(raw, source)
        self.published = _entry(len(self.ranks), config, source)
        self.num_pieces = len(self.ranks)
        self.special_ids = self._specials(config)
        self.vocab_size = 1 + max(self.num_pieces - 1, *self.special_ids.values())
        self._library = tiktoken.Encoding(
            self.published.name, pat_str=self.published.split, mergeable_ranks=self.ranks, special_tokens={}
        )
        self._bytes = {rank: token for token, rank in self.ranks.items()}
        self._bytes |= {number: name.encode() for name, number in self.special_ids.items()}
        self.config = replace(config, eos_token=config.eos_token or self.published.document_token)
        for role in (config.bos_token, config.eos_token, config.pad_token, config.unk_token):
            self._named(role)

    @classmethod
    def read(cls, path: Path, config: TokenizerConfig) -> "TiktokenTokenizer":
        """Read a rank file; raises StemmaError when it is damaged, or none of the published ones."""
        return cls(path.read_bytes(), config, str(path))

    def id_of(self, token: str) -> int:
        number = self.special_ids.get(token, self.ranks.get(token.encode(errors="replace")))
        if number is None:
            raise StemmaError(f"{self._source}: has no token {token!r}; check the special tokens' names")
        return number

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        hidden = frozenset(self.special_ids.values()) if skip_special else frozenset()
        return b"".join([self.token_bytes(token) for token in ids if token not in hidden]).decode(
            errors="replace"
        )

    def token_bytes(self, token: int) -> bytes:
        try:
            return self._bytes[token]
        except KeyError:
            raise StemmaError(f"{self._source}: has no token with id {token}") from None

    def save(self, folder: Path) -> None:
        with atomic_file(folder / self.published.file_name) as file:
            file.write(self._raw)
        write_config(folder, self.config, self.published.tokenizer_class or "PreTrainedTokenizer")

    def _encode(self, text: str, after: After) -> list[int]:
        try:
            return self._library.encode_ordinary(text)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # the library's own, which is no Exception
                raise
            raise StemmaError(
                f"text: {len(text)} characters with a run of white space too long for the library's expressions; break it"
                " into lines"
            ) from None

    def _definition(self) -> bytes:
        return self.published.split.encode() + b"\n" + self._raw

    def _specials(self, config: TokenizerConfig) -> dict[str, int]:
        specials = {name: self.num_pieces + place for name, place in self.published.specials.items()}
        for name, number in config.added_tokens.items():
            if number < self.num_pieces or specials.get(name, number) != number:
                raise StemmaError(
                    f"{self._source}: tokenizer_config.json gives {name!r} the id {number}, which is another token's in"
                    f" {self.published.name}; the two files do not belong together"
                )
        return specials | dict(config.added_tokens)


def _entry(num_ranks: int, config: TokenizerConfig, source: str) -> RankFile:
    said = config.other.get("tokenizer_class")
    for entry in RANK_FILES:
        if num_ranks == entry.num_ranks or (said is not None and said == entry.tokenizer_class):
            return entry
    known = ", ".join(f"{entry.name} with {entry.num_ranks}" for entry in RANK_FILES)
    raise StemmaError(
        f"{source}: {num_ranks} ranks are no published vocabulary known here ({known}), so the expression that cuts its"
        " text is unknown; a cut file must be downloaded again, another one converted to tokenizer.json"
    )
