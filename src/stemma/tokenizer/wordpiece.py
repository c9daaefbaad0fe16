"""BERT's vocab.txt: one piece a line, `##` before those that continue a word (Wu et al. 2016, arXiv 1609.08144).

Whether text is lower-cased is not in the file: tokenizer_config.json says it (do_lower_case), or the number of pieces
is that of a published model. The result is the text of a tokenizer.json.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stemma.errors import StemmaError
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.fast import FastTokenizer
from stemma.tokenizer.published import WORDPIECE_LOWERCASE
from stemma.tokenizer.tokenizer_json import added_entries, frame_json

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_NEEDED = ("[UNK]", "[CLS]", "[SEP]")
_LONGEST_WORD = 100  # characters; a longer word becomes [UNK], as published


def read_wordpiece(path: Path, config: TokenizerConfig) -> FastTokenizer:
    """Open a vocab.txt. Raises StemmaError on an empty or repeated piece, or where lower-casing is unknown."""
    vocabulary = _read_vocabulary(path)
    lowercase = config.other.get("do_lower_case", WORDPIECE_LOWERCASE.get(len(vocabulary)))
    if not isinstance(lowercase, bool):
        raise StemmaError(
            f"{path}: {len(vocabulary)} pieces are no published BERT's, so whether it lower-cases is unknown; write"
            ' {"do_lower_case": true or false} into tokenizer_config.json beside it'
        )
    return wordpiece(vocabulary, lowercase, config, str(path))


def wordpiece(
    vocabulary: dict[str, int], lowercase: bool, config: TokenizerConfig, source: str
) -> FastTokenizer:
    """A BERT tokenizer of these pieces. Raises StemmaError when one of its special tokens is missing."""
    for name in _NEEDED:
        if name not in vocabulary:
            raise StemmaError(f"{source}: has no piece {name}; it is no BERT vocabulary")
    roles = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    open_roles: dict[str, Any] = {
        role: name for role, name in roles.items() if getattr(config, role) is None and name in vocabulary
    }
    named = replace(config, **open_roles)
    return FastTokenizer(_json(vocabulary, lowercase, named), named, source)


def _json(vocabulary: dict[str, int], lowercase: bool, config: TokenizerConfig) -> str:
    whole: Mapping[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added_entries(vocabulary, config, SPECIALS), key=lambda token: token["id"]),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": config.other.get("tokenize_chinese_chars", True),
            "strip_accents": config.other.get("strip_accents"),
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": frame_json(("[CLS]",), ("[SEP]",), vocabulary),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": _LONGEST_WORD,
            "vocab": vocabulary,
        },
    }
    return json.dumps(whole, ensure_ascii=False)


def _read_vocabulary(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise StemmaError(f"{path}: not UTF-8 text, so no vocab.txt; download it again") from None
    if lines and not lines[-1]:
        lines.pop()
    vocabulary: dict[str, int] = {}
    for number, line in enumerate(lines):
        piece = line.removesuffix("\r")
        if not piece:
            raise StemmaError(f"{path}:{number + 1}: an empty piece; the file is damaged, download it again")
        if piece in vocabulary:
            raise StemmaError(
                f"{path}:{number + 1}: the piece {piece!r} stands on line {vocabulary[piece] + 1} already; the file is"
                " damaged, download it again"
            )
        vocabulary[piece] = number
    return vocabulary
