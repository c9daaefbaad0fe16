"""The stages that cut what stood before out of documents that stay: passages, paragraphs, lines.

    keys      each part    anchors of passages, hashes of paragraphs and lines       keys/NAME.npz
    repeats   once         which anchors and segments stand elsewhere, earlier       links.npy, repeats/NAME.npz
    (write)   each part    the cuts themselves, proved on the texts

Only documents that are still in take part. Memory of `repeats`: 64 bytes for each anchor or segment of a slice of the
keys, 80 for each link, 1 for each segment.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from stemma.corpus.annotated import AnnotatedCorpus, Batch
from stemma.corpus.cuts import Cuts, apply_cuts, cut_shares, cut_tokens, settle_cuts
from stemma.corpus.deduplicating import kept_rows
from stemma.corpus.duplicates import in_slice, num_slices
from stemma.corpus.job import KEYS, LINKS, REPEATS, Job, corpus_of, load_array, save_array, save_arrays
from stemma.corpus.lines import (
    LINE_DOCUMENTS,
    LINE_TOKENS,
    PARAGRAPH_TOKENS,
    Segments,
    find_repeated,
    find_segments,
)
from stemma.corpus.passages import Links, find_anchors, link_anchors, locate, match_links, sort_links
from stemma.corpus.summary import CleanSettings

Unit = Literal["paragraph", "line"]
Numbers = npt.NDArray[np.int64]
_LEAST: dict[Unit, tuple[int, int]] = {
    "paragraph": (PARAGRAPH_TOKENS, 1),
    "line": (LINE_TOKENS, LINE_DOCUMENTS),
}
_ROWS = 512  # documents whose passages are matched at a time, with all their sources


class Shortened(NamedTuple):
    """Texts of a part after cutting: `shares` of their bytes that went, `edits` what kinds of cuts were made."""

    texts: Batch
    shares: npt.NDArray[np.float64]
    edits: list[tuple[str, ...]]


def is_wanted(settings: CleanSettings) -> bool:
    """Whether anything is to be cut."""
    return bool(settings.passage_tokens) or bool(_units(settings))


def _units(settings: CleanSettings) -> list[Unit]:
    wanted = {"paragraph": settings.repeated_paragraphs, "line": settings.repeated_lines}
    return [unit for unit in get_args(Unit) if wanted[unit]]


def least_left(settings: CleanSettings) -> int:
    """Tokens of the shortest text that may be cut elsewhere because it stands here: a document that is left with so
    many has to stay, or they would stand nowhere."""
    passages = [settings.passage_tokens] if settings.passage_tokens else []
    return min(passages + [_LEAST[unit][0] for unit in _units(settings)])


def keys_stage(job: Job, index: int) -> None:
    """Write the keys of a part's open documents."""
    corpus, settings = corpus_of(job), job.settings
    rows = kept_rows(job, corpus, index)
    texts = (
        corpus.part(index).texts(rows) if len(rows) else Batch(np.empty(0, np.uint8), np.zeros(1, np.int64))
    )
    numbers = rows + corpus.starts[index]
    arrays: dict[str, npt.NDArray[np.uint64] | Numbers] = {}
    if settings.passage_tokens:
        tokens, offsets = corpus.tokens(numbers)
        anchors = find_anchors(tokens, offsets, settings.passage_tokens)
        places, positions = locate(anchors.places, offsets)
        arrays |= {"hashes": anchors.hashes, "documents": numbers[places], "positions": positions}
    for unit in _units(settings):
        segments = _segments(texts, unit)
        arrays |= {f"{unit}_hashes": segments.hashes, f"{unit}_documents": numbers[segments.rows]}
    save_arrays(job.folder / KEYS / f"{corpus.names[index]}.npz", **arrays)


def repeats_stage(job: Job) -> None:
    """Find what stands in more than one place."""
    corpus, settings = corpus_of(job), job.settings
    if settings.passage_tokens:
        slices = num_slices(sum(_count(job, corpus, "hashes")))
        found = [_linked(job, corpus, index, slices) for index in range(slices)]
        links = sort_links(Links(*(np.concatenate(column) for column in zip(*found, strict=True))))
        save_array(job.folder / LINKS, np.stack(links))
    repeated = {unit: _repeated(job, corpus, unit) for unit in _units(settings)}
    for index, name in enumerate(corpus.names):
        gone = {unit: masks[index] for unit, masks in repeated.items()}
        save_arrays(job.folder / REPEATS / f"{name}.npz", **gone)


def _linked(job: Job, corpus: AnnotatedCorpus, index: int, slices: int) -> Links:
    found: list[tuple[npt.NDArray[Any], ...]] = []
    for hashes, documents, positions in _arrays(job, corpus, "hashes", "documents", "positions"):
        rows = in_slice(hashes, index, slices)
        found.append((hashes[rows], documents[rows], positions[rows]))
    hashes, documents, positions = (np.concatenate(column) for column in zip(*found, strict=True))
    return link_anchors(hashes, documents, positions)


def _repeated(job: Job, corpus: AnnotatedCorpus, unit: Unit) -> list[npt.NDArray[np.bool_]]:
    counts = _count(job, corpus, f"{unit}_hashes")
    gone, slices = np.zeros(sum(counts), bool), num_slices(sum(counts))
    for index in range(slices):
        kept = []
        for hashes, documents in _arrays(job, corpus, f"{unit}_hashes", f"{unit}_documents"):
            rows = in_slice(hashes, index, slices)
            kept.append((hashes[rows], documents[rows], rows))
        hashes, documents, rows = (np.concatenate(column) for column in zip(*kept, strict=True))
        gone[np.flatnonzero(rows)] |= find_repeated(hashes, documents, _LEAST[unit][1])
    return np.split(gone, np.cumsum(counts)[:-1])


def _arrays(job: Job, corpus: AnnotatedCorpus, *names: str) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    for name in corpus.names:
        with np.load(job.folder / KEYS / f"{name}.npz") as saved:
            yield tuple(saved[each] for each in names)


def _count(job: Job, corpus: AnnotatedCorpus, name: str) -> list[int]:
    return [len(hashes) for (hashes,) in _arrays(job, corpus, name)]


def _segments(texts: Batch, unit: Unit) -> Segments:
    return find_segments(texts.data, texts.offsets, unit, _LEAST[unit][0])


def shorten(job: Job, corpus: AnnotatedCorpus, index: int) -> Shortened:
    """The texts of a part's open documents (`kept_rows`) without what is to be cut."""
    rows = kept_rows(job, corpus, index)
    texts = corpus.part(index).texts(rows)
    cuts: dict[str, Cuts] = {}
    if job.settings.passage_tokens:
        cuts["passage"] = _passages(job, corpus, rows + corpus.starts[index], texts)
    if _units(job.settings):
        with np.load(job.folder / REPEATS / f"{corpus.names[index]}.npz") as saved:
            for unit in _units(job.settings):
                cuts[unit] = _segments(texts, unit).cuts(saved[unit])
    settled = settle_cuts(texts.data, texts.offsets, *cuts.values())
    cut_by = {kind: set(found.rows[found.ends > found.starts].tolist()) for kind, found in cuts.items()}
    edits = [tuple(kind for kind, own in cut_by.items() if row in own) for row in range(len(rows))]
    return Shortened(
        Batch(*apply_cuts(texts.data, texts.offsets, settled)), cut_shares(texts.offsets, settled), edits
    )


def _passages(job: Job, corpus: AnnotatedCorpus, numbers: Numbers, texts: Batch) -> Cuts:
    """Bytes of the passages of documents `numbers`, some documents at a time: with all their sources they fill memory."""
    found = [Cuts(*(np.empty(0, np.int64) for _ in Cuts._fields))]
    links = Links(*load_array(job.folder / LINKS))
    for first in range(0, len(numbers), _ROWS):
        some = numbers[first : first + _ROWS]
        own = Links(*(np.array(column) for column in links.between(int(some[0]), int(some[-1]) + 1)))
        if not len(own.documents):
            continue
        sources = np.unique(own.sources)
        tokens, sources_tokens = corpus.tokens(some), corpus.tokens(sources)
        passages = match_links(own, *tokens, some, *sources_tokens, sources, job.settings.passage_tokens)
        rows = np.searchsorted(numbers, passages.documents)
        found.append(cut_tokens(texts.data, texts.offsets, rows, passages.starts, passages.ends))
    return Cuts(*(np.concatenate(column) for column in zip(*found, strict=True)))
