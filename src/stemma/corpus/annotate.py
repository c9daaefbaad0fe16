"""Numbers about a document, with no opinion: `decide` compares them with thresholds.

Shares are of the visible (non-space) characters unless a name says otherwise.
"""

from dataclasses import dataclass

from stemma.corpus.characters import DAMAGED, DIGIT, HAN, KANA, LETTER, PUNCTUATION, SPACE, SYMBOL
from stemma.corpus.ngrams import duplicate_share, repeated_share, top_share
from stemma.corpus.scan import Scan, scan

_STOP_WORDS = "the of and to in is a that for it with as on be are this was not"
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


def annotate(text: str, scanned: Scan | None = None) -> Annotation:
    """Measure one text; pass its `scan` when there is one already."""
    found = scan(text) if scanned is None else scanned
    count = found.class_counts
    visible = int(count.sum() - count[SPACE])
    letters = int(count[LETTER] + count[HAN] + count[KANA])
    tokens = found.tokens
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
        links_per_100=100 * _share(text.count("://"), visible),
        run_share=_share(found.run_characters, visible),
        duplicate_line_share=duplicate_share(found.line_hashes, found.line_lengths),
        repeated_5gram_share=repeated_share(tokens, 5),
        repeated_10gram_share=repeated_share(tokens, 10),
        top_3gram_share=top_share(tokens, 3),
    )


def _share(part: float, whole: int) -> float:
    return float(part) / whole if whole else 0.0


_stop_hashes: list[frozenset[int]] = []


def _english_share(found: Scan) -> float:
    if not _stop_hashes:
        _stop_hashes.append(frozenset(scan(_STOP_WORDS).tokens.tolist()))
    sample = found.tokens[:_STOP_SAMPLE].tolist()
    return _share(sum(map(_stop_hashes[0].__contains__, sample)), len(sample))
