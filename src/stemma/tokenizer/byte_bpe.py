"""Byte-level BPE in two files, GPT-2's way: vocab.json (or encoder.json) and merges.txt (or vocab.bpe).

Which expression cuts a text, and whether it is normalized first, is in neither file: it belongs to the class that
tokenizer_config.json names (CLASSES). The result is the text of a tokenizer.json. Radford et al. 2019.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.errors import StemmaError
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.fast import BYTE_OF, FastTokenizer
from stemma.tokenizer.published import QWEN_SPLIT
from stemma.tokenizer.tokenizer_json import added_entries, frame_json, with_gaps_filled

LETTER_OF = {byte: letter for letter, byte in BYTE_OF.items()}
VOCABULARY_NAMES = ("vocab.json", "encoder.json")
MERGES_NAMES = ("merges.txt", "vocab.bpe")
_BYTE_LEVEL: dict[str, Any] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
_WORDS: dict[str, Any] = _BYTE_LEVEL


def split_bytes(expression: str) -> dict[str, Any]:
    """The pre-tokenizer that cuts by an expression and then writes bytes as letters."""
    split = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _BYTE_LEVEL | {"use_regex": False}]}


@dataclass(frozen=True, kw_only=True)
class ByteClass:
    """What a tokenizer class adds to vocabulary and merges."""

    num_pieces: int | None = None
    """entries of the published vocab.json, by which a folder without tokenizer_config.json is told"""
    pre_tokenizer: dict[str, Any]
    normalizer: dict[str, Any] | None = None
    specials: tuple[str, ...]
    """tokens of the vocabulary that no text may become"""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """tokens put before and after a text"""
    from_merges: bool = False
    """the vocabulary is the 256 bytes and one token per merge, in their order: vocab.json may be absent"""


CLASSES = {
    "GPT2Tokenizer": ByteClass(num_pieces=50_257, pre_tokenizer=_WORDS, specials=("<|endoftext|>",)),
    "RobertaTokenizer": ByteClass(
        num_pieces=50_265,
        pre_tokenizer=_WORDS,
        specials=("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        before=("<s>",),
        after=("</s>",),
    ),
    "BartTokenizer": ByteClass(
        pre_tokenizer=_WORDS,
        specials=("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        before=("<s>",),
        after=("</s>",),
    ),
    "Qwen2Tokenizer": ByteClass(
        pre_tokenizer=split_bytes(QWEN_SPLIT), normalizer={"type": "NFC"}, specials=(), from_merges=True
    ),
}


def read_byte_bpe(path: Path, config: TokenizerConfig) -> FastTokenizer:
    """Open the folder's vocabulary and merges by either file. Raises StemmaError when they do not fit together."""
    vocabulary_path = _beside(path, VOCABULARY_NAMES)
    merges_path = _beside(path, MERGES_NAMES)
    if merges_path is None:
        raise StemmaError(
            f"{path}: without {' or '.join(MERGES_NAMES)} beside it; a byte-level BPE needs both files"
        )
    merges = read_merges(merges_path)
    vocabulary = _vocabulary(vocabulary_path, merges_path, merges, config)
    _check_merges(merges, vocabulary, merges_path)
    name, entry = _class_of(vocabulary, config, path)
    text = byte_bpe_json(
        vocabulary, [pair for pair, _ in merges], entry, added_entries(vocabulary, config, entry.specials)
    )
    return FastTokenizer(text, config, f"{path.parent} ({name})")


def byte_bpe_json(
    vocabulary: dict[str, int],
    merges: Sequence[tuple[str, str]],
    entry: ByteClass,
    added: Sequence[dict[str, Any]],
) -> str:
    """The text of a tokenizer.json."""
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "vocab": with_gaps_filled(vocabulary, added),
        "merges": [list(pair) for pair in merges],
    }
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        "normalizer": entry.normalizer,
        "pre_tokenizer": entry.pre_tokenizer,
        "post_processor": frame_json(entry.before, entry.after, vocabulary),
        "decoder": _BYTE_LEVEL,
        "model": model,
    }
    return json.dumps(whole, ensure_ascii=False)


def read_merges(path: Path) -> list[tuple[tuple[str, str], int]]:
    """Pairs and their line numbers, best first. Raises StemmaError naming a line that is no pair."""
    pairs: list[tuple[tuple[str, str], int]] = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        parts = line.split(" ")
        if len(parts) != 2 or not all(parts):
            raise StemmaError(
                f"{path}:{number}: {line[:40]!r} is no pair of pieces; the file is damaged, download it again"
            )
        pairs.append(((parts[0], parts[1]), number))
    if not pairs:
        raise StemmaError(f"{path}: holds no merges; download it again")
    return pairs


def _beside(path: Path, names: Sequence[str]) -> Path | None:
    if path.name in names:
        return path
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def _vocabulary(
    path: Path | None, merges_path: Path, merges: list[tuple[tuple[str, str], int]], config: TokenizerConfig
) -> dict[str, int]:
    if path is not None:
        return _read_vocabulary(path)
    entry = CLASSES.get(str(config.other.get("tokenizer_class")))
    if entry is None or not entry.from_merges:
        raise StemmaError(
            f"{merges_path}: without {' or '.join(VOCABULARY_NAMES)} beside it; only Qwen2's ids follow from its merges"
        )
    letters = list(BYTE_OF)  # in the order GPT-2 numbers them
    vocabulary = {
        name: number for number, name in enumerate([*letters, *("".join(pair) for pair, _ in merges)])
    }
    first = min(
        (int(number) for number in config.other.get("added_tokens_decoder", {})), default=len(vocabulary)
    )
    if len(vocabulary) != 256 + len(merges) or first != len(vocabulary):
        raise StemmaError(
            f"{merges_path}: its {len(merges)} merges make {len(vocabulary)} tokens, but the added tokens of"
            f" tokenizer_config.json begin at {first}; give vocab.json"
        )
    return vocabulary


def _read_vocabulary(path: Path) -> dict[str, int]:
    try:
        data = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise StemmaError(f"{path}: not JSON ({error}); the file is damaged, download it again") from None
    if not isinstance(data, dict) or not data or not all(type(number) is int for number in data.values()):
        raise StemmaError(f"{path}: does not map pieces to ids; give a byte-level BPE's vocabulary")
    if len(set(data.values())) != len(data) or min(data.values()) < 0 or max(data.values()) >= 2 * len(data):
        raise StemmaError(
            f"{path}: gives one id to two pieces, or ids far beyond its {len(data)} pieces; download it again"
        )
    absent = [letter for letter in BYTE_OF if letter not in data]
    if absent:
        raise StemmaError(
            f"{path}: has no piece for the byte {BYTE_OF[absent[0]]:#04x}; it is no byte-level vocabulary"
        )
    return data


def _check_merges(merges: list[tuple[tuple[str, str], int]], vocabulary: dict[str, int], path: Path) -> None:
    for (left, right), number in merges:
        for piece in (left, right, left + right):
            if piece not in vocabulary:
                raise StemmaError(
                    f"{path}:{number}: names the piece {piece!r}, which the vocabulary does not have; the two files do not"
                    " belong together"
                )


def _class_of(vocabulary: dict[str, int], config: TokenizerConfig, path: Path) -> tuple[str, ByteClass]:
    said = str(config.other.get("tokenizer_class", "")).removesuffix("Fast")
    if said in CLASSES:
        return said, CLASSES[said]
    for name, entry in CLASSES.items():
        if (
            not said
            and entry.num_pieces == len(vocabulary)
            and all(token in vocabulary for token in entry.specials)
        ):
            return name, entry
    raise StemmaError(
        f"{path}: how this vocabulary cuts a text is unknown; tokenizer_config.json must name a tokenizer_class of"
        f" {', '.join(CLASSES)}, or give a tokenizer.json"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StemmaError(f"{path}: not UTF-8 text; download it again") from None
