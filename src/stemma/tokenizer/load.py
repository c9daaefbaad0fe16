"""Open a tokenizer by what lies on disk: a table of file formats, never code from the folder.

In a folder the first format of FORMATS that is present counts: a SentencePiece model or a rank file before a
tokenizer.json, because the model was trained with the former and the latter is usually a conversion that differs on
some texts; a tokenizer.json before the vocabularies whose rules of cutting lie in the code of their class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stemma.errors import StemmaError
from stemma.tokenizer.byte_bpe import MERGES_NAMES, VOCABULARY_NAMES, read_byte_bpe
from stemma.tokenizer.chatglm import ChatGLMTokenizer
from stemma.tokenizer.config_file import TokenizerConfig, read_config
from stemma.tokenizer.fast import FastTokenizer
from stemma.tokenizer.gguf_vocabulary import read_gguf
from stemma.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from stemma.tokenizer.tiktoken_tokenizer import TiktokenTokenizer
from stemma.tokenizer.tokenizer import Tokenizer
from stemma.tokenizer.wordpiece import read_wordpiece


@dataclass(frozen=True, kw_only=True)
class Format:
    """A tokenizer file format."""

    name: str
    patterns: tuple[str, ...]
    """names of such files, as glob patterns"""
    patterns_in_folder: tuple[str, ...]
    """names by which a folder's tokenizer is found, best first; a pattern counts when just one file matches"""
    read: Callable[[Path, TokenizerConfig], Tokenizer]


FORMATS = (
    Format(
        name=ChatGLMTokenizer.format,
        patterns=("ice_text.model",),
        patterns_in_folder=("ice_text.model",),
        read=ChatGLMTokenizer.read,
    ),
    Format(
        name=SentencePieceTokenizer.format,
        patterns=("*.model",),
        patterns_in_folder=("tokenizer.model", "*.model"),
        read=SentencePieceTokenizer.read,
    ),
    Format(
        name=TiktokenTokenizer.format,
        patterns=("*.tiktoken",),
        patterns_in_folder=("*.tiktoken",),
        read=TiktokenTokenizer.read,
    ),
    Format(
        name=FastTokenizer.format,
        patterns=("tokenizer.json",),
        patterns_in_folder=("tokenizer.json",),
        read=FastTokenizer.read,
    ),
    Format(
        name="byte-level BPE",
        patterns=(*VOCABULARY_NAMES, *MERGES_NAMES),
        patterns_in_folder=(*VOCABULARY_NAMES, *MERGES_NAMES),
        read=read_byte_bpe,
    ),
    Format(
        name="WordPiece",
        patterns=("*vocab*.txt",),
        patterns_in_folder=("vocab.txt",),
        read=read_wordpiece,
    ),
    Format(name="GGUF", patterns=("*.gguf",), patterns_in_folder=("*.gguf",), read=read_gguf),
    Format(name=FastTokenizer.format, patterns=("*.json",), patterns_in_folder=(), read=FastTokenizer.read),
)


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer file or the tokenizer of a folder; roles and template come from tokenizer_config.json beside it.

    Raises StemmaError when the path is missing, holds no tokenizer, or holds a damaged one.
    """
    path = Path(path)
    if path.is_dir():
        found = _find(path)
        if found is None:
            names = ", ".join(entry.patterns_in_folder[0] for entry in FORMATS if entry.patterns_in_folder)
            raise StemmaError(f"{path}: holds no tokenizer; expected one of {names}")
        entry, file = found
        return entry.read(file, read_config(path))
    if not path.is_file():
        raise StemmaError(f"{path}: does not exist; give a tokenizer's file or folder")
    for entry in FORMATS:
        if any(path.match(pattern) for pattern in entry.patterns):
            return entry.read(path, read_config(path.parent))
    names = ", ".join(dict.fromkeys(pattern for entry in FORMATS for pattern in entry.patterns))
    raise StemmaError(f"{path}: no known tokenizer format; the file's name must match one of {names}")


def _find(folder: Path) -> tuple[Format, Path] | None:
    for entry in FORMATS:
        for pattern in entry.patterns_in_folder:
            files = sorted(folder.glob(pattern))
            if len(files) == 1:
                return entry, files[0]
    return None
