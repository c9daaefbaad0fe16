"""Every number that a rule looks at, of a whole batch, with no opinion: `decide` compares them with
thresholds.

A word is a run of visible characters between white space, and a Han or kana character is a word by itself;
words without a letter or digit count only where a definition says so. Published rules that count words of a
tokeniser see nearly the same in English; in Chinese, where such tokenisers make words of one to three
characters, ours are shorter. Of a document of more than a million tokens, n-grams are those of the first
million.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stemma.corpus.characters import (
    DAMAGED,
    DIGIT,
    HAN,
    KANA,
    LETTER,
    PUNCTUATION,
    SYMBOL,
    kind_tables,
)
from stemma.corpus.lexicon import FILLER_CHARACTERS
from stemma.corpus.repetition import REPETITIONS, count_repetitions
from stemma.corpus.scan import COUNTS, ENGLISH_SAMPLE, Scanned

SHORT_TOKENS = 500
FEWEST_MISREAD = 4
"""misread characters of a sort below which a text shows none: a name, a word in pinyin, a rare character"""
GROUPS = ("zh", "en", "neutral")
"""Language groups: each has its table of thresholds."""
_ENGLISH_GROUP, _HAN_GROUP, _KANA_GROUP = 0.05, 0.3, 0.05
_CHARACTERS_OF_TOP = (
    "characters of the tokens inside the most frequent {n}-gram of tokens, of those of all tokens"
)
_CHARACTERS_REPEATED = (
    "characters of the tokens inside a {n}-gram that stood earlier in the document, of those of all tokens"
)
_TOKENS_REPEATED = "tokens inside a {n}-gram that stood earlier in the document, of all tokens"

DEFINITIONS: dict[str, str] = {
    "characters": "visible characters",
    "num_tokens": "words without their marks (runs of letters and digits), and Han and kana characters",
    "han_share": "Han characters, of the letters of all scripts",
    "kana_share": "kana, of the letters of all scripts",
    "english_share": "common English words, of the first thousand tokens",
    "letter_share": "letters of all scripts, of the visible characters",
    "digit_share": "digits and other numerals, of the visible characters",
    "symbol_share": "punctuation and symbols, of the visible characters",
    "damaged_share": "control, replacement and unassigned characters, of the visible characters",
    "misread_share": "letters of the second half of Latin-1 that are matched by as many of its signs, with "
    "these, or all such letters where they are most of the letters (neither where Han characters carry the "
    "text), and Han characters that UTF-8 read as GBK leaves, each if there are four, of the visible characters",
    "links_per_100": 'occurrences of "://" for each hundred visible characters',
    "run_share": "characters in runs of 16 or more of one and the same, of the visible characters",
    "duplicate_line_share": "visible characters in lines that stood earlier in the document, of all",
    "repeated_5gram_share": _TOKENS_REPEATED.format(n=5),
    "repeated_10gram_share": _TOKENS_REPEATED.format(n=10),
    "top_3gram_share": "tokens inside the most frequent 3-gram of tokens, of all tokens",
    "short_repeated_share": "repeated_5gram_share of a text of fewer than 500 tokens, where so much "
    "repetition is a template; else 0",
    "placeholder": "stock phrases of lorem ipsum, as 20 characters each, of the visible characters, at most 1; "
    "also 1 for a text of fewer than 250 visible characters that breaks off: with a call to read on, or, from "
    "40 characters on, with dots after a word where it has no others",
    "num_words": "words",
    "mean_word_length": "characters of words with their marks, by words",
    "hash_ratio": "# signs, by words and runs of marks",
    "ellipsis_ratio": "ellipses of three dots or one character, by words and runs of marks",
    "letter_word_share": "words with a letter, of words and runs of marks that stand alone",
    "num_stop_words": "the, be, to, of, and, that, have, with: how many",
    "distinct_stop_words": "the same: how many different ones",
    "distinct_zh_stop_characters": "twenty common Chinese characters, both writings of one counted as one:"
    " how many different ones",
    "num_lines": "lines with a visible character, as in all that follows",
    "mean_line_length": "visible characters by lines",
    "bullet_line_share": "lines that start with a mark of a list, of all lines",
    "ellipsis_line_share": "lines that end with an ellipsis, of all lines",
    "terminal_line_share": "lines that end with a sentence: with a mark that ends one, half or full width,"
    " and closing quotes and brackets, of all lines",
    "short_line_share": "lines of 30 characters or less, white space included, of all lines",
    "policy_line_share": "lines that speak of javascript, cookies, privacy or terms of use, of all lines",
    "newlines_per_word": "line feeds by words",
    "num_sentences": "sentences: `.!?` before white space, or full-width marks, each with closing quotes "
    "and brackets",
    "kept_sentences": "sentences in lines of three words or more that end with a sentence, not in an "
    "ellipsis, and are no policy lines",
    "num_braces": "opening curly brackets",
    "lorem_ipsum": 'occurrences of "lorem ipsum"',
    "upper_line_share": "words in lines of which more than half of the visible characters are capitals, of"
    " all words",
    "digit_line_share": "words in lines of digits alone, of all words",
    "counter_line_share": 'words in lines that are a counter such as "3 likes", of all words',
    "single_word_line_share": "words that stand alone in their line, of all words",
    "noise_line_share": "words in lines of any of these four sorts, of all words",
    "duplicate_line_count_share": "lines that stood earlier in the document, of all lines",
    "duplicate_paragraph_count_share": "paragraphs (lines between empty ones) that stood earlier, of all "
    "paragraphs",
    "duplicate_paragraph_share": "visible characters in paragraphs that stood earlier in the document, of "
    "all",
    **{f"top_{n}gram_characters": _CHARACTERS_OF_TOP.format(n=n) for n in (2, 3, 4)},
    **{f"repeated_{n}gram_characters": _CHARACTERS_REPEATED.format(n=n) for n in range(5, 11)},
    "repeated_13gram_share": _TOKENS_REPEATED.format(n=13) + "; in Chinese a token is a character",
    "han_character_share": "Han characters, of the visible characters",
    "simplified_share": "characters that only simplified Chinese writes, of the Han characters",
    "traditional_share": "characters that only traditional Chinese writes, of the Han characters",
}
"""What each measure is. Of equally frequent n-grams the one of most characters counts; one that stands once
is none."""
MEASURES = tuple(DEFINITIONS)
"""The columns of `Measures.values`, in order."""


class Measures(NamedTuple):
    """The numbers of n documents."""

    values: npt.NDArray[np.float32]
    """(n, len(MEASURES))"""
    groups: npt.NDArray[np.uint8]
    """(n,) the place in GROUPS of the table of thresholds that applies: zh where Han characters carry the
    text and kana do not, en where its small words do."""

    def column(self, name: str) -> npt.NDArray[np.float32]:
        """(n,) one measure."""
        return self.values[:, MEASURES.index(name)]


def measure_batch(scanned: Scanned) -> Measures:
    """All measures of the documents of a batch; 0 where there is nothing to take a share of."""
    tables = kind_tables()
    histograms = scanned.histograms.astype(np.float64)
    of_kind = dict(
        zip(tables.features, (histograms @ np.stack([*tables.features.values()], 1)).T, strict=True)
    )
    counts = dict(zip(COUNTS, scanned.counts.T.astype(np.float64), strict=True))
    repeated = dict(zip(REPETITIONS, count_repetitions(scanned).T.astype(np.float64), strict=True))
    tokens = np.diff(scanned.token_offsets).astype(np.float64)
    sampled = repeated["sampled_tokens"]
    paragraphs = np.diff(scanned.paragraph_offsets)
    visible, lines, ideographs = counts["visible"], counts["lines"], of_kind[HAN] + of_kind[KANA]
    letters = of_kind[LETTER] + ideographs
    words, pieces = counts["word_pieces"] + ideographs, counts["pieces"] + ideographs
    repeated_5 = _share(repeated["repeated_5gram_tokens"], sampled)
    stop_words = scanned.column("stop_word_set").astype(np.uint8)
    found = {
        "characters": visible,
        "num_tokens": tokens,
        "han_share": _share(of_kind[HAN], letters),
        "kana_share": _share(of_kind[KANA], letters),
        "english_share": _share(counts["english_words"], np.minimum(tokens, ENGLISH_SAMPLE)),
        "letter_share": _share(letters, visible),
        "digit_share": _share(of_kind[DIGIT], visible),
        "symbol_share": _share(of_kind[PUNCTUATION] + of_kind[SYMBOL], visible),
        "damaged_share": _share(of_kind[DAMAGED], visible),
        "misread_share": _share(_misread(of_kind, counts["folded"]), visible),
        "links_per_100": 100 * _share(counts["links"], visible),
        "run_share": _share(counts["run_characters"], visible),
        "duplicate_line_share": _share(repeated["duplicate_line_characters"], visible),
        "repeated_5gram_share": repeated_5,
        "repeated_10gram_share": _share(repeated["repeated_10gram_tokens"], sampled),
        "top_3gram_share": _share(repeated["top_3gram_tokens"], sampled),
        "short_repeated_share": np.where(tokens < SHORT_TOKENS, repeated_5, 0),
        "placeholder": np.where(
            counts["teaser"] > 0, 1, np.minimum(_share(FILLER_CHARACTERS * counts["filler"], visible), 1)
        ),
        "num_words": words,
        "mean_word_length": _share(counts["word_piece_characters"] + ideographs, words),
        "hash_ratio": _share(of_kind["hash"], pieces),
        "ellipsis_ratio": _share(counts["ellipses"] + of_kind["ellipsis"], pieces),
        "letter_word_share": _share(counts["letter_pieces"] + ideographs, pieces),
        "num_stop_words": counts["stop_words"],
        "distinct_stop_words": np.bitwise_count(stop_words),
        "distinct_zh_stop_characters": (histograms @ tables.stop > 0).sum(1),
        "num_lines": lines,
        "mean_line_length": _share(visible, lines),
        "bullet_line_share": _share(counts["bullet_lines"], lines),
        "ellipsis_line_share": _share(counts["ellipsis_lines"], lines),
        "terminal_line_share": _share(counts["ended_lines"], lines),
        "short_line_share": _share(counts["short_lines"], lines),
        "policy_line_share": _share(counts["policy_lines"], lines),
        "newlines_per_word": _share(of_kind["newline"], words),
        "num_sentences": counts["sentences"],
        "kept_sentences": counts["kept_sentences"],
        "num_braces": of_kind["brace"],
        "lorem_ipsum": counts["lorem"],
        "upper_line_share": _share(counts["upper_line_words"], words),
        "digit_line_share": _share(counts["digit_line_words"], words),
        "counter_line_share": _share(counts["counter_line_words"], words),
        "single_word_line_share": _share(counts["single_word_lines"], words),
        "noise_line_share": _share(counts["noise_line_words"], words),
        "duplicate_line_count_share": _share(repeated["duplicate_lines"], lines),
        "duplicate_paragraph_count_share": _share(repeated["duplicate_paragraphs"], paragraphs),
        "duplicate_paragraph_share": _share(repeated["duplicate_paragraph_characters"], visible),
        **{
            name: np.minimum(_share(repeated[name], repeated["sampled_characters"]), 1)
            for name in MEASURES
            if name in repeated and name.endswith("gram_characters")
        },
        "repeated_13gram_share": _share(repeated["repeated_13gram_tokens"], sampled),
        "han_character_share": _share(of_kind[HAN], visible),
        "simplified_share": _share(of_kind["simplified"], of_kind[HAN]),
        "traditional_share": _share(of_kind["traditional"], of_kind[HAN]),
    }
    values = np.stack([found[name] for name in MEASURES], 1).astype(np.float32)
    is_zh = (found["han_share"] >= _HAN_GROUP) & (found["kana_share"] < _KANA_GROUP)
    is_en = found["english_share"] >= _ENGLISH_GROUP
    groups = np.where(is_zh, GROUPS.index("zh"), np.where(is_en, GROUPS.index("en"), GROUPS.index("neutral")))
    return Measures(values, groups.astype(np.uint8))


def _misread(
    of_kind: dict[Any, npt.NDArray[np.float64]], folded: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(n,) characters that tell of bytes read in the wrong encoding.

    Bytes of Chinese read as Latin-1 give letters and signs side by side, those of Cyrillic letters alone. Signs
    without letters are what they are: degrees, products, dots between names."""
    letters, signs = of_kind["latin_1_letter"], of_kind["latin_1_sign"]
    alone = np.where(2 * letters > of_kind[LETTER], letters, np.minimum(letters, signs))
    latin_1 = np.where(of_kind[HAN] < folded // 2, alone + np.minimum(letters, signs), 0)
    sorts = np.stack([latin_1, of_kind["gbk_trace"]])
    return np.where(sorts >= FEWEST_MISREAD, sorts, 0).sum(0)


def _share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(whole > 0, part, 0) / np.maximum(whole, 1)
