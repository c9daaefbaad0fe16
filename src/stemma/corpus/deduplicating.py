"""The stages between the documents: equal ids, equal texts, near copies. They see keys of all parts and texts of few."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stemma.corpus.annotated import AnnotatedCorpus
from stemma.corpus.annotating import band_name
from stemma.corpus.duplicates import Copies, find_copies, in_slice, num_slices
from stemma.corpus.job import (
    BANDS,
    COSINES,
    EDGES,
    HEADS,
    JACCARD,
    NEAR,
    SAME_ID,
    SAME_TEXT,
    SEMANTIC,
    TWINS,
    Job,
    corpus_of,
    load_array,
    save_array,
    save_arrays,
)
from stemma.corpus.judging import OPEN, load_verdicts
from stemma.corpus.minhash import shingles
from stemma.corpus.near import Edges, Resolver, candidates, union, verify
from stemma.storage import write_json

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_NONE = np.empty(0, np.int64)


def copies_stage(job: Job) -> None:
    """Documents whose id stood before, and open documents whose folded text an earlier open one has."""
    corpus = corpus_of(job)
    by_key = _equal(corpus, ("id_key",), lambda index: np.ones(len(corpus.part(index)), bool))
    is_same = [
        corpus.string("id", a) == corpus.string("id", b)
        for a, b in zip(*map(Numbers.tolist, by_key), strict=True)
    ]
    same_id = Copies(*(column[np.array(is_same, bool)] for column in by_key))
    same_text = Copies(_NONE, _NONE)
    if job.settings.exact_duplicates:
        same_text = _equal(corpus, ("key_0", "key_1"), lambda index: _still_in(job, corpus, index, same_id))
    save_array(job.folder / SAME_ID, np.stack(same_id))
    save_array(job.folder / SAME_TEXT, np.stack(same_text))


def load_copies(job: Job, name: str) -> Copies:
    """SAME_ID: documents with the id of an earlier one; SAME_TEXT: with its text; TWINS: near an earlier one;
    SEMANTIC: with its meaning."""
    return Copies(*load_array(job.folder / name))


def _equal(corpus: AnnotatedCorpus, columns: tuple[str, ...], rows_of: Callable[[int], Mask]) -> Copies:
    """Open documents with equal keys, a slice of the key space after the other."""
    slices = num_slices(len(columns) * corpus.num_documents)
    found = [
        find_copies(list(_keys(corpus, columns, rows_of, index, slices)), len(columns))
        for index in range(slices)
    ]
    documents, firsts = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(documents)
    return Copies(documents[order], firsts[order])


def _keys(
    corpus: AnnotatedCorpus, columns: tuple[str, ...], rows_of: Callable[[int], Mask], index: int, slices: int
) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Of each part, the keys that belong to the slice, and last the numbers of their documents."""
    for i in range(len(corpus.names)):
        part = corpus.part(i)
        if len(part):
            keys = [part.numbers(column) for column in columns]
            rows = rows_of(i) & in_slice(keys[0], index, slices)
            yield *(key[rows] for key in keys), np.flatnonzero(rows) + corpus.starts[i]


def _still_in(job: Job, corpus: AnnotatedCorpus, index: int, *gone: Copies) -> Mask:
    """(n,) which documents of a part have nothing against them so far."""
    start, stop = (int(number) for number in corpus.starts[index : index + 2])
    mask = load_verdicts(job, corpus.names[index]) == OPEN
    for copies in gone:
        mask[copies.between(start, stop).documents - start] = False
    return mask


def _band_file(job: Job, band: int) -> Path:
    return job.folder / BANDS / f"{band:02}.npy"


def band_stage(job: Job, band: int) -> None:
    """The candidates of one band, sorted by the later document."""
    corpus, copies = corpus_of(job), [load_copies(job, name) for name in (SAME_ID, SAME_TEXT)]
    slices = num_slices(corpus.num_documents)

    def has_tokens(index: int) -> Mask:
        return _still_in(job, corpus, index, *copies) & (corpus.part(index).numbers("num_tokens") > 0)

    found = []
    for index in range(slices):
        parts = list(_keys(corpus, (band_name(band),), has_tokens, index, slices))
        keys = np.concatenate([np.empty(0, np.uint64), *(part[0] for part in parts)])
        found.append(candidates(keys, np.concatenate([_NONE, *(part[1] for part in parts)])))
    later, earlier = (np.concatenate(column) for column in list(zip(*found, strict=True))[:2])
    order = np.argsort(later, kind="stable")
    skipped = np.array([sum(each.num_skipped for each in found)], np.int64)
    save_array(_band_file(job, band), np.concatenate([skipped, later[order], earlier[order]]))


def _load_band(job: Job, band: int) -> tuple[int, Numbers]:
    """(members of crowded buckets, (2, n): the later and the earlier documents)."""
    saved = load_array(_band_file(job, band))
    return int(saved[0]), saved[1:].reshape(2, -1)


def verify_stage(job: Job, index: int) -> None:
    """The candidates whose later document is in part `index`, proved on the texts."""
    corpus = corpus_of(job)
    start, stop = (int(number) for number in corpus.starts[index : index + 2])

    def pairs() -> Iterator[tuple[Numbers, Numbers]]:
        for band in range(job.settings.num_bands):
            _, (later, earlier) = _load_band(job, band)
            first, last = np.searchsorted(later, (start, stop))
            yield later[first:last], earlier[first:last]

    def load(documents: Numbers) -> list[npt.NDArray[np.uint64]]:
        tokens, offsets = corpus.tokens(documents)
        bounds = pairwise(offsets.tolist())
        return [shingles(tokens[first:last], job.settings.shingle_size) for first, last in bounds]

    edges = verify(*union(pairs()), load, job.settings.jaccard)
    save_arrays(job.folder / EDGES / f"{corpus.names[index]}.npz", **edges._asdict())


def kept_rows(job: Job, corpus: AnnotatedCorpus, index: int) -> Numbers:
    """The rows of a part's documents that stay, once near copies are resolved, and semantic ones where they are."""
    if not len(corpus.part(index)):
        return _NONE
    gone = [load_copies(job, name) for name in (SAME_ID, SAME_TEXT, TWINS, SEMANTIC)]
    return np.flatnonzero(_still_in(job, corpus, index, *gone))


def resolve_stage(job: Job) -> None:
    """Which documents go as near copies of which, and how many documents each one that stays stands for."""
    corpus = corpus_of(job)
    resolver = Resolver(corpus.num_documents)
    near, skipped = [Edges(_NONE, _NONE, np.empty(0, np.float32))], 0
    if job.settings.near_duplicates:
        for name in corpus.names:
            with np.load(job.folder / EDGES / f"{name}.npz") as saved:
                near.append(resolver.add(Edges(*(saved[field] for field in Edges._fields))))
        skipped = sum(_load_band(job, band)[0] for band in range(job.settings.num_bands))
    later, earlier, jaccard = (np.concatenate(column) for column in zip(*near, strict=True))
    save_array(job.folder / TWINS, np.stack((later, earlier)))
    save_array(job.folder / JACCARD, jaccard)
    save_semantic(job, Copies(_NONE, _NONE), np.empty(0, np.float32))
    write_json(job.folder / NEAR, {"skipped": skipped})


def save_semantic(job: Job, copies: Copies, cosines: npt.NDArray[np.float32]) -> None:
    """Write the semantic copies (none before they are looked for), and for how many others every document stands then."""
    same_text, twins = load_copies(job, SAME_TEXT), load_copies(job, TWINS)
    by_key_or_near = np.concatenate([twins.firsts, twins.first_of(same_text.firsts)])
    heads, place = np.unique(
        np.concatenate([copies.firsts, copies.first_of(by_key_or_near)]), return_inverse=True
    )
    more = np.zeros(len(heads), np.int64)
    gone = np.concatenate([copies.documents, twins.documents, same_text.documents])
    np.add.at(more, place, corpus_of(job).weights(gone))
    save_array(job.folder / SEMANTIC, np.stack(copies))
    save_array(job.folder / COSINES, cosines)
    save_array(job.folder / HEADS, np.stack((heads, more)))
