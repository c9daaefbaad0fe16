"""Train a byte-level BPE tokenizer (Sennrich et al. 2016, arXiv 1508.07909; bytes as in GPT-2) for Chinese and English.

Text is cut before merging so that no token crosses a border between Han and Latin letters, digits, punctuation and
white space; merges happen inside the cuts. No normalisation, no dummy prefix, all 256 bytes in the alphabet: every
Unicode text comes back exactly. The trainer holds every distinct cut with its count, about 100 times the bytes of
Chinese text (measured: 1.1 GB for 12 MB): train on a sample of a large corpus.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as LibraryTokenizer

from stemma.errors import StemmaError
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.fast import FastTokenizer
from stemma.tokenizer.templates import BUILTIN_TEMPLATES
from stemma.tokenizer.tokenizer import check_text

_CUTS = (
    r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])(?![\p{L}])",  # English contractions
    r"\p{Han}{1,RUN}",
    r" ?(?:(?!\p{Han})[\p{L}\p{M}]){1,RUN}",  # a word; Han has runs of its own
    r"NUMBER",
    r" ?[^\s\p{L}\p{M}\p{N}]{1,RUN}[\r\n]{0,RUN}",  # punctuation and symbols, with the line ends after them
    r"\s{0,RUN}[\r\n]{1,RUN}",
    r"\s{1,RUN}(?!\S)",  # white space up to the space that belongs to the next word
    r"\s{1,RUN}",
)
_NUMBERS = {True: r"\p{N}", False: r" ?\p{N}{1,RUN}"}


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What a trained tokenizer depends on, besides the documents."""

    vocab_size: int
    """ids in all: special tokens, 256 bytes, and as many merges as fit"""
    split_digits: bool = True
    """every digit is a token of its own, as in LLaMA, Baichuan and Qwen"""
    max_run: int = 32
    """longest run of letters, Han characters, symbols or white space that one token can cover"""
    min_count: int = 2
    """a pair seen less often is never merged"""
    document_token: str = "<|endoftext|>"
    """separates documents and ends a text; the eos token"""
    pad_token: str = "<|pad|>"
    chat_tokens: tuple[str, ...] = ("<|im_start|>", "<|im_end|>")
    """further special tokens, for the chat template"""
    chat_template: str | None = "chatml"
    """name of a built-in chat template to store with it"""

    def __post_init__(self) -> None:
        names = self.special_tokens
        if len(set(names)) != len(names) or not all(names):
            raise StemmaError(
                f"special tokens must be distinct and not empty, got {', '.join(map(repr, names))}"
            )
        least = 256 + len(names)
        if self.vocab_size < least:
            raise StemmaError(
                f"vocab_size {self.vocab_size} is too small; 256 bytes and {len(names)} special tokens need {least}"
            )
        if self.chat_template is not None and self.chat_template not in BUILTIN_TEMPLATES:
            raise StemmaError(
                f"chat_template {self.chat_template!r} is none of {', '.join(BUILTIN_TEMPLATES)}"
            )
        if self.max_run < 1 or self.min_count < 1:
            raise StemmaError("max_run and min_count must be at least 1")

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Names of the special tokens, in the order of their ids, which start at 0."""
        return (self.document_token, *self.chat_tokens, self.pad_token)


def train_tokenizer(texts: Iterable[str], settings: TrainSettings) -> FastTokenizer:
    """Train on a stream of texts; the same texts in the same order give the same bytes.

    The vocabulary is smaller than asked for when the texts have too few repeated pairs. Raises StemmaError when there
    is no text at all.
    """
    library = _untrained(settings)
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        min_frequency=settings.min_count,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in settings.special_tokens],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    counter = _Counter()
    library.train_from_iterator(counter.count(texts), trainer=trainer)
    if counter.characters == 0:
        raise StemmaError("the input holds no text; a tokenizer needs documents to train on")
    template = BUILTIN_TEMPLATES[settings.chat_template] if settings.chat_template else None
    config = TokenizerConfig(
        eos_token=settings.document_token,
        pad_token=settings.pad_token,
        chat_template=template.source if template else None,
        stop_tokens=template.stop_tokens if template else (),
    )
    text = json.dumps(json.loads(library.to_str()), ensure_ascii=False, indent=1) + "\n"
    return FastTokenizer(text, config, "the trained tokenizer")


def pattern(settings: TrainSettings) -> str:
    """The regular expression (Oniguruma) whose matches are the cuts."""
    whole = "|".join(_CUTS).replace("NUMBER", _NUMBERS[settings.split_digits])
    return whole.replace("RUN", str(settings.max_run))


def _untrained(settings: TrainSettings) -> LibraryTokenizer:
    library = LibraryTokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [
            pre_tokenizers.Split(Regex(pattern(settings)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    return library


class _Counter:
    """Counts the characters that pass through."""

    def __init__(self) -> None:
        self.characters = 0

    def count(self, texts: Iterable[str]) -> Iterator[str]:
        for text in texts:
            check_text(text)
            self.characters += len(text)
            yield text
