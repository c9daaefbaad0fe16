"""What every task of a cleaning run is given, where its files lie, and what a process builds once for all its tasks.

The stages, each a list of tasks that read files and write files. What a task writes is a pure function of the input and
the settings: any number of processes and machines that share the folder give the same bytes, and what is there already
is not done again.

    annotate   each part    repair and measure, no verdict       annotated/NAME.arrow, .json     annotating.py
    chains     two          n-gram models of the corpus          chain-0.npz, chain-0.json, ...  judging.py
    judge      each part    verdicts from the numbers alone      judged/NAME.npy, .seams.npy
    copies     once         equal ids, equal texts               same_id.npy, same_text.npy      deduplicating.py
    bands      each band    candidates for near duplicates       bands/00.npy
    verify     each part    candidates proved on the texts       edges/NAME.npz
    resolve    once         who stays, for how many              twins.npy, jaccard.npy, heads.npy
    vectors, clusters, ...  who says the same, on request        semantic.npy, cosines.npy       meaning.py
    keys, repeats           what stands elsewhere too, on request                                cutting.py
    write      each part    redact; the files of the result      documents/, decisions/, ...     ledger.py
"""

import uuid
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stemma.config import load_json
from stemma.corpus.annotated import AnnotatedCorpus
from stemma.corpus.benchmark_texts import load_items
from stemma.corpus.decide import Limit, limits_of
from stemma.corpus.decontaminate import Decontaminator
from stemma.corpus.embed import Embedder, RandomIndexing, SentenceTransformerEmbedder
from stemma.corpus.machine_text import ChainModels
from stemma.corpus.minhash import MinHash
from stemma.corpus.ngram_model import NgramModel
from stemma.corpus.scores import Models, Scorer
from stemma.corpus.summary import CleanSettings
from stemma.storage import atomic_file

ANNOTATED, JUDGED, BANDS, EDGES = "annotated", "judged", "bands", "edges"
KEYS, REPEATS, LINKS = "keys", "repeats", "links.npy"
SAME_ID, SAME_TEXT, TWINS, JACCARD = "same_id.npy", "same_text.npy", "twins.npy", "jaccard.npy"
HEADS, NEAR = "heads.npy", "near.json"
EMBEDDER, VECTORS, CENTROIDS, ASSIGNED = "embedder.safetensors", "vectors", "centroids.npy", "assigned"
CLUSTERS, SEMANTIC, COSINES, MEANING = "clusters", "semantic.npy", "cosines.npy", "meaning.json"
DECISIONS, TALLIES = "decisions", "tallies"
RESULT = "result"
DOCUMENTS, MEASURED = f"{RESULT}/documents", f"{RESULT}/measures"
PARTS = "parts.json"
CHAINS, CHAIN_DONE = ("chain-0.npz", "chain-1.npz"), ("chain-0.json", "chain-1.json")


@dataclass(frozen=True)
class Job:
    """The folder the stages work in, and what they are to do."""

    folder: Path = field(compare=False)
    settings: CleanSettings = field(compare=False)
    evaluation_sets: tuple[Path, ...] = field(default=(), compare=False)
    call: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells one run in this folder from the next, for what a process keeps between its tasks."""


class Tools:
    """Built when first needed, once per process."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @cached_property
    def minhash(self) -> MinHash:
        """The hash functions."""
        settings = self._job.settings
        return MinHash(settings.num_bands, settings.num_rows, settings.shingle_size)

    @cached_property
    def checker(self) -> Decontaminator | None:
        """The items of the evaluation sets, if there are any."""
        sets = self._job.evaluation_sets
        return Decontaminator(load_items(sets)) if sets else None

    @cached_property
    def scorer(self) -> Scorer:
        """Word lists and models."""
        settings = self._job.settings
        models = Models(settings.quality_model, settings.perplexity_model, settings.toxicity_model)
        return Scorer(models, settings.word_lists)

    @cached_property
    def chains(self) -> ChainModels | None:
        """The n-gram models of the corpus itself, where the stage before found documents to ask them about."""
        paths = [self._job.folder / name for name in CHAINS]
        if not all(path.exists() for path in paths):
            return None
        return ChainModels((NgramModel.load(paths[0]), NgramModel.load(paths[1])))

    @cached_property
    def embedder(self) -> Embedder:
        """What makes vectors of documents: the model that was given, or what was trained on the corpus."""
        model = self._job.settings.embedding_model
        if model is None:
            return RandomIndexing.load(self._job.folder / EMBEDDER)
        return SentenceTransformerEmbedder(model)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """All limits of all language groups, in the order in which they are looked at."""
        return limits_of(self._job.settings.rule_sets, self._job.settings.limits)


tools = lru_cache(maxsize=1)(Tools)


@lru_cache(maxsize=1)
def corpus_of(job: Job) -> AnnotatedCorpus:
    """The annotated parts, once all of them are done and PARTS lists them."""
    parts = load_json(job.folder / PARTS)
    return AnnotatedCorpus(job.folder / ANNOTATED, parts["names"], parts["documents"])


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an .npy atomically."""
    with atomic_file(path) as file:
        np.save(file, array)


def save_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write an .npz atomically."""
    with atomic_file(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_array(path: Path) -> npt.NDArray[Any]:
    """An .npy, memory-mapped: arrays over all documents are read where they are looked into."""
    return np.load(path, mmap_mode="r")
