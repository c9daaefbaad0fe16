"""How many tokens a text costs: per character, per UTF-8 byte, and how much of it is unknown.

Characters are Unicode code points in both languages, line ends left out; every line is encoded by itself without
special tokens. A low figure is worthless beside a high unknown rate, so the two are always given together. A document
counts as Chinese by its `lang`, or when Han characters are at least three tenths of its letters.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stemma.corpus.document import Document
from stemma.errors import StemmaError
from stemma.tokenizer.tokenizer import Tokenizer

LANGUAGES = ("zh", "en")
_HAN_SHARE = 0.3
_BATCH_LINES = 1024
_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@dataclass
class Compression:
    """Counts of one language under one tokenizer."""

    num_characters: int = 0
    num_bytes: int = 0
    num_tokens: int = 0
    num_unknown: int = 0

    @property
    def tokens_per_character(self) -> float:
        """Tokens per Unicode character; 0 without text."""
        return self.num_tokens / max(1, self.num_characters)

    @property
    def tokens_per_byte(self) -> float:
        """Tokens per byte of UTF-8; 0 without text."""
        return self.num_tokens / max(1, self.num_bytes)

    @property
    def unknown_rate(self) -> float:
        """Share of tokens that stand for text the vocabulary cannot express."""
        return self.num_unknown / max(1, self.num_tokens)


def measure(tokenizers: list[Tokenizer], documents: Iterable[Document]) -> list[dict[str, Compression]]:
    """Counts by language for each tokenizer, in one pass over the documents. Raises StemmaError without any text."""
    counts = [{language: Compression() for language in LANGUAGES} for _ in tokenizers]
    for language, lines in _line_batches(documents):
        for tokenizer, found in zip(tokenizers, counts, strict=True):
            _add(found[language], tokenizer, lines)
    if not any(count.num_characters for count in counts[0].values()):
        raise StemmaError("the texts are empty; give files with documents to measure on")
    return counts


def compression_rows(
    tokenizers: Sequence[tuple[str, Tokenizer]], documents: Iterable[Document]
) -> list[dict[str, Any]]:
    """One row per named tokenizer and language with text: counts, tokens per character and byte, unknown rate."""
    measured = measure([tokenizer for _, tokenizer in tokenizers], documents)
    return [
        {
            "tokenizer": name,
            "vocab_size": tokenizer.vocab_size,
            "language": language,
            "characters": count.num_characters,
            "tokens": count.num_tokens,
            "tokens_per_character": round(count.tokens_per_character, 4),
            "tokens_per_byte": round(count.tokens_per_byte, 4),
            "unknown_rate": round(count.unknown_rate, 6),
        }
        for (name, tokenizer), counts in zip(tokenizers, measured, strict=True)
        for language, count in counts.items()
        if count.num_characters
    ]


def language_of(document: Document) -> str:
    """ "zh" or "en": the two columns of the table."""
    if document.lang is not None:
        return "zh" if document.lang.lower().startswith("zh") else "en"
    num_letters = sum(map(str.isalpha, document.text))
    return "zh" if len(_HAN.findall(document.text)) >= _HAN_SHARE * max(1, num_letters) else "en"


def _line_batches(documents: Iterable[Document]) -> Iterator[tuple[str, list[str]]]:
    for document in documents:
        lines = iter(re.split("\r\n|\n|\r", document.text))
        language = language_of(document)
        while batch := list(itertools.islice(lines, _BATCH_LINES)):
            yield language, batch


def _add(count: Compression, tokenizer: Tokenizer, lines: list[str]) -> None:
    for line, ids in zip(lines, tokenizer.encode_batch(lines), strict=True):
        count.num_characters += len(line)
        count.num_bytes += len(line.encode())
        count.num_tokens += len(ids)
        count.num_unknown += ids.count(tokenizer.unk_id) if tokenizer.unk_id is not None else 0
