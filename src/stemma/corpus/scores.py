"""Numbers of a document beyond its own form: signs of machine text, toxic words, and what the user's models say.

A model's number is NaN where no model was given; no limit is broken by that. The columns are in `columns`.
"""

from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stemma.corpus.columns import CATEGORIES, FEWEST_TOXIC, MEASURES, SCORES
from stemma.corpus.machine_text import MEASURES as MACHINE_MEASURES
from stemma.corpus.machine_text import MOST_SEAMS, MOST_SEAMS_OF_CHAIN, chains
from stemma.corpus.machine_text import measure as measure_machine_text
from stemma.corpus.ngram_model import NgramModel
from stemma.corpus.quality import LinearQuality
from stemma.corpus.scan import Scanned
from stemma.corpus.toxicity import (
    BUILT_IN,
    Hits,
    TextScorer,
    ToxicModel,
    WordLists,
    load_scorer,
    per_thousand,
    score_texts,
)


class Models(NamedTuple):
    """Files of models that the user gave."""

    quality: Path | None = None
    perplexity: Path | None = None
    toxicity: str | None = None
    """The file of a quality model whose bad examples were toxic, or "module:name" of a scorer."""


class Scorer:
    """Loads what it needs when it first needs it."""

    def __init__(self, models: Models, word_lists: tuple[Path, ...] = ()) -> None:
        self._models, self._word_lists = models, word_lists

    @cached_property
    def lists(self) -> WordLists:
        """The word lists that ship, and those of the user."""
        return WordLists.read([*BUILT_IN, *self._word_lists])

    @cached_property
    def _quality(self) -> LinearQuality | None:
        return None if self._models.quality is None else LinearQuality.load(self._models.quality)

    @cached_property
    def _perplexity(self) -> NgramModel | None:
        return None if self._models.perplexity is None else NgramModel.load(self._models.perplexity)

    @cached_property
    def _toxicity(self) -> TextScorer | None:
        name = self._models.toxicity
        if name is None:
            return None
        return ToxicModel(LinearQuality.load(Path(name))) if Path(name).is_file() else load_scorer(name)

    def score(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], scanned: Scanned
    ) -> tuple[npt.NDArray[np.float32], Hits]:
        """((n, len(SCORES)) numbers, the hits of the word lists)."""
        tokens, bounds = scanned.tokens, scanned.token_offsets
        table = np.full((len(offsets) - 1, len(SCORES)), np.nan, np.float32)
        machine = measure_machine_text(data, offsets, tokens, bounds)
        table[:, : len(MACHINE_MEASURES)] = machine
        table[:, SCORES.index("chain_seams")] = 0
        hits = self.lists.find(tokens, bounds)
        counts = self.lists.counts(hits, len(table))
        rates = np.where(counts >= FEWEST_TOXIC, per_thousand(counts, bounds), 0)
        for place, category in enumerate(self.lists.categories):
            if category in CATEGORIES:
                table[:, SCORES.index(f"toxic_{category}")] = rates[:, place]
        if self._toxicity is not None:
            texts = [data[a:b].tobytes().decode("utf-8") for a, b in pairwise(offsets.tolist())]
            table[:, SCORES.index("toxicity")] = score_texts(self._toxicity, texts)
        if self._quality is not None:
            table[:, SCORES.index("quality")] = self._quality.score(tokens, bounds)
        if self._perplexity is not None:
            scores = self._perplexity.score(tokens, bounds)
            table[:, SCORES.index("perplexity")] = np.exp(-scores[:, 0])
            first = SCORES.index("chain_1")
            table[:, first : first + 2] = chains(self._perplexity, scores, bounds)
        return table, hits


def is_doubtful(values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(n,) whether the seams of documents (n, num_columns) say enough only together with models of the corpus."""
    seams = values[:, MEASURES.index("seams")]
    return (seams > MOST_SEAMS_OF_CHAIN) & (seams <= MOST_SEAMS)
