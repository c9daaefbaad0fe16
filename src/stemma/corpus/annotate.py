"""Numbers about a document, with no opinion: `decide` compares them with thresholds.

Shares are of the visible (non-space) characters unless a name says otherwise.
"""

import re
from dataclasses import dataclass

import numpy as np

from stemma.corpus.characters import DAMAGED, DIGIT, HAN, KANA, LETTER, PUNCTUATION, SPACE, SYMBOL
from stemma.corpus.measures import MEASURES, Measures, measure_batch
from stemma.corpus.ngrams import duplicate_share, repeated_share, top_share
from stemma.corpus.scan import Scan, scan

__all__ = ["MEASURES", "Annotation", "Measures", "annotate", "measure_batch"]

_STOP_WORDS = "the of and to in is a that for it with as on be are this was not"
_SHORT_TOKENS = 500
_TEASER_CHARACTERS = 250
_TEASER_END = re.compile(
    r"(?:\(more\)|\[?(?:read|continue) (?:more|reading)\]?|\[(?:\.\.\.|\u2026)\]|subscribe to read .{0,30}|"
    r"\u767b\u5f55\u540e.{0,8}|\u672a\u5b8c.{0,10}|(?:\u9605\u8bfb|\u67e5\u770b|\u5c55\u5f00)\u5168\u6587.{0,4}|"
    r"\u4ed8\u8d39\u9605\u8bfb.{0,4}|[ \u4e00-\u9fff]\.\.\.|[ \u4e00-\u9fff]\u2026+)\s*$",
    re.IGNORECASE,
)
_STOP_SAMPLE = 1000  # tokens looked at


@dataclass(frozen=True, slots=True)
class Annotation:
    """The measures of one document."""

    characters: int
    """Visible characters."""
    num_tokens: int
    """Words plus Han and kana characters."""
    han_share: float
    """Han characters among letters of all scripts."""
    kana_share: float
    """Kana among letters of all scripts."""
    english_share: float
    """Common English words among the first thousand tokens."""
    letter_share: float
    digit_share: float
    symbol_share: float
    """Punctuation and symbols."""
    damaged_share: float
    """Control, replacement, private-use and unassigned characters."""
    misread_share: float
    """Signs and letters of the second half of Latin-1, and Han characters that UTF-8 read as GBK leaves."""
    links_per_100: float
    """Occurrences of "://" for each hundred visible characters."""
    run_share: float
    """Characters in runs of one and the same character."""
    duplicate_line_share: float
    """Characters in lines that stood earlier in the document, over all lines."""
    repeated_5gram_share: float
    """Tokens inside a 5-gram that stood earlier in the document."""
    repeated_10gram_share: float
    """Tokens inside a 10-gram that stood earlier in the document."""
    top_3gram_share: float
    """Tokens inside the most frequent 3-gram."""
    short_repeated_share: float
    """`repeated_5gram_share` of a text of fewer than 500 tokens, where so much repetition is a template; else
    0."""
    placeholder: float
    """1 for filler such as lorem ipsum, and for a short text that breaks off with a call to read on; else
    0."""


def annotate(text: str, scanned: Scan | None = None) -> Annotation:
    """Measure one text; pass its `scan` when there is one already."""
    found = scan(text) if scanned is None else scanned
    count = found.class_counts
    visible = int(count.sum() - count[SPACE])
    letters = int(count[LETTER] + count[HAN] + count[KANA])
    tokens = found.tokens
    repeated = repeated_share(tokens, 5)
    return Annotation(
        characters=visible,
        num_tokens=len(tokens),
        han_share=_share(count[HAN], letters),
        kana_share=_share(count[KANA], letters),
        english_share=_english_share(found),
        letter_share=_share(letters, visible),
        digit_share=_share(count[DIGIT], visible),
        symbol_share=_share(count[PUNCTUATION] + count[SYMBOL], visible),
        damaged_share=_share(count[DAMAGED], visible),
        misread_share=_share(_misread(found), visible),
        links_per_100=100 * _share(text.count("://"), visible),
        run_share=_share(found.run_characters, visible),
        duplicate_line_share=duplicate_share(found.line_hashes, found.line_lengths),
        repeated_5gram_share=repeated,
        repeated_10gram_share=repeated_share(tokens, 10),
        top_3gram_share=top_share(tokens, 3),
        short_repeated_share=repeated if len(tokens) < _SHORT_TOKENS else 0.0,
        placeholder=float(_is_placeholder(text, visible)),
    )


def _share(part: float, whole: int) -> float:
    return float(part) / whole if whole else 0.0


def _is_placeholder(text: str, visible: int) -> bool:
    if visible < _TEASER_CHARACTERS and _TEASER_END.search(text[-40:]):
        return True
    return "orem ipsum dolor sit amet" in text


def _misread(found: Scan) -> int:
    """Characters that are common where bytes were read in the wrong encoding and rare elsewhere."""
    folded = found.folded
    latin = (
        int(((folded >= 0x80) & (folded < 0x100)).sum()) if found.class_counts[HAN] < len(folded) // 2 else 0
    )
    return latin + int(_GBK_TRACE[np.minimum(folded, 0xFFFF)].sum())


# What the frequent characters of Chinese and its comma, full stop and quotes become when their UTF-8 is read as GBK.
_GBK_TRACE = np.zeros(0x10000, bool)
_GBK_TRACE[[ord(c) for c in "锛銆鈥鐨涓娑浠姝鍥鑰鍔缁鏄鐢浜"]] = True

_stop_hashes: list[frozenset[int]] = []


def _english_share(found: Scan) -> float:
    if not _stop_hashes:
        _stop_hashes.append(frozenset(scan(_STOP_WORDS).tokens.tolist()))
    sample = found.tokens[:_STOP_SAMPLE].tolist()
    return _share(sum(map(_stop_hashes[0].__contains__, sample)), len(sample))
