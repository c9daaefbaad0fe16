"""The published recipes of datatrove 0.10: FineWeb for English, FineWeb-2 for Chinese, as lists of its own steps.

FineWeb (arXiv 2406.17557) filters by Gopher repetition, Gopher quality, C4 without its terminal punctuation and its own
rules, then deduplicates. FineWeb-2 (arXiv 2506.20920) deduplicates first, then filters with the numbers of its file
cmn_Hani and without C4. MinHash is 14 x 8 on 5-grams, 64 bit, in both. Chinese is tokenised under the code cmn: under
zho datatrove splits at white space. Language scores come from a fastText file that the user names.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter, SymbolLinesFormatter
from datatrove.utils.lid import FT176LID
from fasttext.FastText import _FastText

MINHASH = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
CMN_STOP_WORDS = tuple("的年在月是和日了於·為有被人中为他與後也而由")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a language needs besides its filters."""

    tokenizer: str
    """The language code by which datatrove chooses its word tokenizer."""
    language_score: float
    duplicates_first: bool
    """Whether duplicates are removed before the filters."""


RECIPES = {
    "en": Recipe(tokenizer="eng", language_score=0.65, duplicates_first=False),
    "zh": Recipe(tokenizer="cmn", language_score=0.692, duplicates_first=True),
}


def filters(lang: str) -> list[BaseFilter]:
    """The filters of a language, in the order of its recipe."""
    code = RECIPES[lang].tokenizer
    if lang == "en":
        return [
            GopherRepetitionFilter(language=code),
            GopherQualityFilter(language=code),
            C4QualityFilter(filter_no_terminal_punct=False, language=code),
            FineWebQualityFilter(language=code),
        ]
    return [
        GopherRepetitionFilter(
            dup_line_frac=0.287,
            dup_para_frac=0,
            dup_line_char_frac=0,
            dup_para_char_frac=0,
            top_n_grams=((2, 0.256), (3, 0.201), (4, 0.171)),
            dup_n_grams=((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.14), (10, 0.127)),
            language=code,
        ),
        FineWebQualityFilter(
            short_line_thr=999,
            char_duplicates_ratio=0.1,
            line_punct_thr=0.106,
            new_line_ratio=0.178,
            language=code,
        ),
        GopherQualityFilter(
            min_avg_word_length=1,
            max_avg_word_length=5,
            max_non_alpha_words_ratio=0.735,
            min_stop_words=2,
            stop_words=list(CMN_STOP_WORDS),
            language=code,
        ),
    ]


def formatters(lang: str) -> list[PipelineStep]:
    """The edits of a language, in order: personal information, and for FineWeb-2 encodings and table marks."""
    if lang == "en":
        return [PIIFormatter()]
    return [FTFYFormatter(), PIIFormatter(), SymbolLinesFormatter(symbols_to_remove=["|"], replace_char="\n")]


def language_filter(lang: str, model: Path) -> LanguageFilter:
    """datatrove's filter by language, with the fastText model of a local file instead of one it downloads."""
    FT176LID.model = property(lambda _: load_language_model(model))  # type: ignore[assignment]
    return LanguageFilter(languages=[lang], language_threshold=RECIPES[lang].language_score)


@functools.cache
def load_language_model(path: Path) -> _FastText:
    return _FastText(str(path))


def deduplicate(lang: str, documents: list[Document], folder: Path) -> Iterator[Document]:
    """The four stages of MinHash over documents in memory, their files in `folder`; yields what stays."""
    signatures, pairs, removed = (str(folder / name) for name in ("signatures", "pairs", "removed"))
    signature = MinhashDedupSignature(signatures, config=MINHASH, language=RECIPES[lang].tokenizer)
    signature.run(iter(documents), 0, 1)
    for bucket in range(MINHASH.num_buckets):
        MinhashDedupBuckets(signatures, pairs, config=MINHASH).run(None, bucket, MINHASH.num_buckets)
    MinhashDedupCluster(pairs, removed, config=MINHASH).run(None, 0, 1)
    yield from MinhashDedupFilter(removed).run(iter(documents), 0, 1)


def chain(steps: Iterable[PipelineStep], documents: Iterable[Document]) -> Iterator[Document]:
    """Documents through steps one after the other, in memory."""
    stream = iter(documents)
    for step in steps:
        stream = step.run(stream)
    return stream
