"""Where a long text may be cut so that the ids of its pieces, one after the other, are the ids of the whole.

The border is a line end between two characters that are no white space. A tokenizer may be cut there when
nothing in it looks across: its expressions and its vocabulary join no line end with what follows it, look
ahead over white space only, never back, and its greedy merges on one side do not depend on the other. That is
known of the components listed here, and of no others: a Unigram model sums scores from the beginning of the
text, so that a tie may fall otherwise.

A cut text costs less. The library's memory is up to 125 bytes for each byte of one text, and where merging is
not confined to words (SentencePiece) a text of megabytes is 3 to 4 times as slow as its lines.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemma.tokenizer.tokenizer import Tokenizer

PIECE_CHARACTERS = 1 << 15
_BORDER = re.compile(r"(?<=\S\n)(?=\S)")
_ACROSS = re.compile(r"\n\S")
_SPACE = "\u2581"  # SentencePiece's visible space

_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|NUMBER| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?i:[sdmt]|ll|ve|re)", "'(?i:[sdmt]|ll|ve|re)")
EXPRESSIONS = frozenset(
    contraction + _WORDS.replace("NUMBER", number)
    for contraction in _CONTRACTIONS
    for number in (r"\p{N}", r"\p{N}{1,3}")
)
"""Of GPT-4 (cl100k), Llama 3 and Qwen. Every match that holds a line end stops at the next character that is
neither white space nor another line end."""
_NORMALIZERS: tuple[Any, ...] = (
    None,
    {"type": "NFC"},  # composes nothing with a line end
    {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": _SPACE},
            {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE},
        ],
    },
)


def pieces(tokenizer: "Tokenizer", text: str, length: int = PIECE_CHARACTERS) -> list[str]:
    """`text` in pieces of at least `length` characters; whole where it is short or cannot be cut exactly.

    The first piece is encoded as a text, the others as text after text: `encode(piece, after="text")`.
    """
    if len(text) < 2 * length or not exact_at_lines(tokenizer) or len(tokenizer.split_specials(text)) != 1:
        return [text]
    return list(_cut(text, length))


def _cut(text: str, length: int) -> Iterator[str]:
    start = 0
    while (border := _BORDER.search(text, start + length)) is not None:
        yield text[start : border.start()]
        start = border.start()
    yield text[start:]


@lru_cache(maxsize=1)
def exact_at_lines(tokenizer: "Tokenizer") -> bool:
    """Whether texts may be cut at the border: the tokenizer consists of parts known to be exact."""
    from stemma.tokenizer.fast import FastTokenizer
    from stemma.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
    from stemma.tokenizer.tiktoken_tokenizer import TiktokenTokenizer

    if type(tokenizer) is TiktokenTokenizer:
        known = tokenizer.published.split in EXPRESSIONS
    elif type(tokenizer) is SentencePieceTokenizer:
        known = _exact_model(tokenizer)
    elif type(tokenizer) is FastTokenizer:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(Path(folder))
            known = _exact_file(json.loads((Path(folder) / "tokenizer.json").read_text("utf-8")))
    else:
        known = False
    # A last look, should a format have a switch that this project does not read.
    return known and tokenizer.encode("x\ny") == tokenizer.encode("x\n") + tokenizer.encode("y", after="text")


def _exact_model(tokenizer: Any) -> bool:
    from stemma.tokenizer.sentencepiece_model import BPE, CONTROL

    model = tokenizer.model
    return (
        model.model_type == BPE
        and model.byte_fallback  # else characters that no piece has are joined to one token
        and model.rules == "identity"
        and not model.remove_extra_whitespaces
        and not any(_ACROSS.search(piece.name) for piece in model.pieces if piece.type != CONTROL)
    )


def _exact_file(data: dict[str, Any]) -> bool:
    model, normalizer, cuts = data["model"], data.get("normalizer"), data.get("pre_tokenizer")
    added = [token for token in data.get("added_tokens", ()) if not token["special"]]
    if (
        model.get("type") != "BPE"
        or any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
        or normalizer not in _NORMALIZERS
        or any(
            "\n" in token["content"] or token["lstrip"] or token["rstrip"] or token["single_word"]
            for token in added
        )
    ):
        return False
    if cuts is not None:
        return _exact_cuts(cuts)
    vocabulary = model["vocab"]
    return (
        not added  # each would begin a text of its own
        and ("\n" in vocabulary or bool(model.get("byte_fallback") and "<0x0A>" in vocabulary))
        and not any(_ACROSS.search(name) for name in vocabulary)
    )


def _exact_cuts(cuts: dict[str, Any]) -> bool:
    """Byte-level BPE: GPT-2's own expression, or a known one before it."""
    *before, last = cuts["pretokenizers"] if cuts["type"] == "Sequence" else [cuts]
    if last["type"] != "ByteLevel" or last.get("add_prefix_space", True):
        return False
    if not before:
        return last.get("use_regex", True)
    [split] = before if len(before) == 1 else [{}]
    return (
        split.get("type") == "Split"
        and split["behavior"].lower() == "isolated"
        and not split["invert"]
        and not last.get("use_regex", True)
        and _known(split["pattern"].get("Regex", ""))
    )


def _known(expression: str) -> bool:
    from stemma.tokenizer.train import TrainSettings, pattern

    if expression in EXPRESSIONS:
        return True
    found = re.match(r".*?\\p\{Han\}\{1,(\d+)\}", expression)
    if found is None or int(found[1]) < 1:
        return False
    settings = [
        TrainSettings(vocab_size=1 << 16, max_run=int(found[1]), split_digits=digits)
        for digits in (True, False)
    ]
    return expression in map(pattern, settings)
