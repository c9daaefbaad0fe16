"""Verdicts on single documents: by the numbers that the first stage left, without a look at the text.

So a limit can be moved, or another language be asked for, without reading the corpus again.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.config import load_json
from stemma.corpus.annotated import AnnotatedCorpus, AnnotatedPart
from stemma.corpus.columns import MEASURES
from stemma.corpus.decide import MOST_FURNITURE, Reason, decide_batch, is_furniture_page
from stemma.corpus.hashing import mix
from stemma.corpus.job import CHAIN_DONE, CHAINS, JUDGED, PARTS, Job, corpus_of, load_array, save_array, tools
from stemma.corpus.language import is_wanted
from stemma.corpus.machine_text import ChainModels
from stemma.corpus.overlap import MIN_COVERAGE, PARTIAL_COVERAGE
from stemma.corpus.scan import scan
from stemma.corpus.scores import is_doubtful
from stemma.storage import write_json

Verdicts = npt.NDArray[np.int16]
OPEN, BOILERPLATE, LANGUAGE, LEAK = -1, -2, -3, -4
"""A verdict is one of these, or the index of the limit that is broken."""
SAMPLE_TOKENS = 2_000_000  # the limits of `ChainModels.chain_like` hold for halves of half as many
_SAMPLE_ROWS, _SAMPLE_PARTS = 512, 256  # texts loaded at a time; parts opened
_FEW_DOUBTFUL = 1000  # documents whose tokens are gathered to make the models smaller
_LEAK_THRESHOLD = {"verbatim": 1.0, "edited": MIN_COVERAGE, "partial": PARTIAL_COVERAGE}


def chain_stage(job: Job, half: int) -> None:
    """Train the n-gram model of one half of a sample of the corpus, if there is a document that only they can judge."""
    doubtful = load_json(job.folder / PARTS)["doubtful"]
    if sum(doubtful):
        asked = _doubtful_tokens(job, doubtful) if sum(doubtful) <= _FEW_DOUBTFUL else None
        model = ChainModels.train_half(sample_tokens(job), half, asked)
        if model is not None:
            model.save(job.folder / CHAINS[half], compress=False)
    write_json(job.folder / CHAIN_DONE[half], {})


def _doubtful_tokens(job: Job, doubtful: list[int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The tokens of all documents that the models will be asked about."""
    corpus = corpus_of(job)
    numbers = [np.empty(0, np.int64)]
    for i in np.flatnonzero(doubtful).tolist():
        numbers.append(np.flatnonzero(is_doubtful(corpus.part(i).matrix("measures"))) + corpus.starts[i])
    return corpus.tokens(np.concatenate(numbers))


def sample_tokens(job: Job) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]:
    """The tokens of documents of at most _SAMPLE_PARTS parts, drawn by a hash of their numbers: SAMPLE_TOKENS, about."""
    corpus, tokens = corpus_of(job), load_json(job.folder / PARTS)["tokens"]
    parts = range(0, len(tokens), -(-len(tokens) // _SAMPLE_PARTS))
    share = min(1.0, SAMPLE_TOKENS / max(1, sum(tokens[i] for i in parts)))
    for i in parts:
        start, stop = corpus.starts[i : i + 2].tolist()
        rows = _drawn(start, stop, np.uint64(share * (2**53 - 1)))
        for first in range(0, len(rows), _SAMPLE_ROWS):
            batch = corpus.part(i).texts(rows[first : first + _SAMPLE_ROWS])
            scanned = scan(batch.data, batch.offsets)
            yield scanned.tokens, scanned.token_offsets


@njit(cache=True, nogil=True)
def _drawn(start: int, stop: int, border: Any) -> Any:
    """The rows of documents start to stop - 1 that a hash of their numbers draws."""
    rows = np.empty(stop - start, np.int64)
    count = 0
    for number in range(start, stop):
        if mix(np.uint64(number)) >> np.uint64(11) <= border:
            rows[count] = number - start
            count += 1
    return rows[:count]


def judge_part(job: Job, index: int) -> None:
    """Write the verdicts on a part's documents, after its column chain_seams."""
    corpus = corpus_of(job)
    part, name = corpus.part(index), corpus.names[index]
    save_array(job.folder / JUDGED / f"{name}.seams.npy", _chain_seams(job, part))
    save_array(job.folder / JUDGED / f"{name}.npy", _judge(job, corpus, index))


def _chain_seams(job: Job, part: AnnotatedPart) -> npt.NDArray[np.float32]:
    result = np.zeros(len(part), np.float32)
    chains = tools(job).chains
    if chains is None or not len(part):
        return result
    rows = np.flatnonzero(is_doubtful(part.matrix("measures")))
    for first in range(0, len(rows), _SAMPLE_ROWS):
        some = rows[first : first + _SAMPLE_ROWS]
        batch = part.texts(some)
        scanned = scan(batch.data, batch.offsets)
        likely = some[chains.chain_like(chains.score(scanned.tokens, scanned.token_offsets))]
        result[likely] = part.matrix("measures")[likely, MEASURES.index("seams")]
    return result


def numbers_of(job: Job, corpus: AnnotatedCorpus, index: int) -> npt.NDArray[np.float32]:
    """(n, len(MEASURES)) all columns of a part."""
    values = corpus.part(index).matrix("measures")
    values[:, MEASURES.index("chain_seams")] = load_array(
        job.folder / JUDGED / f"{corpus.names[index]}.seams.npy"
    )
    return values


def load_verdicts(job: Job, name: str) -> Verdicts:
    """(n,) the verdicts on a part's documents."""
    return np.load(job.folder / JUDGED / f"{name}.npy")


def _judge(job: Job, corpus: AnnotatedCorpus, index: int) -> Verdicts:
    part = corpus.part(index)
    if not len(part):
        return np.empty(0, np.int16)
    limits = tools(job).limits
    verdicts = decide_batch(numbers_of(job, corpus, index), part.numbers("group"), limits).astype(np.int16)
    repairs = zip(part.strings("edits"), part.numbers("lost").tolist(), strict=True)
    verdicts[[is_furniture_page(edits, lost) for edits, lost in repairs]] = BOILERPLATE
    languages = job.settings.languages
    if languages:
        found = zip(part.strings("lang"), part.strings("script"), strict=True)
        wanted = np.array([is_wanted(lang, script, languages) for lang, script in found])
        verdicts[(verdicts == OPEN) & ~wanted] = LANGUAGE
    if job.evaluation_sets:
        leaks = np.array([kind is not None for kind in part.strings("leak_kind")])
        verdicts[(verdicts == OPEN) & leaks] = LEAK
    return verdicts


def reasons(job: Job, corpus: AnnotatedCorpus, index: int, verdicts: Verdicts) -> dict[int, Reason]:
    """Row of the part to reason, for all documents with a verdict against them."""
    rows = np.flatnonzero(verdicts != OPEN).tolist()
    if not rows:
        return {}
    part = corpus.part(index)
    limits, columns = tools(job).limits, numbers_of(job, corpus, index)
    lost, lang = part.numbers("lost"), part.strings("lang")
    shares = part.numbers("leak_share") if job.evaluation_sets else lost
    result: dict[int, Reason] = {}
    for row in rows:
        verdict = int(verdicts[row])
        if verdict == BOILERPLATE:
            result[row] = Reason("boilerplate", "lost", float(lost[row]), MOST_FURNITURE)
        elif verdict == LANGUAGE:
            result[row] = Reason("language", lang[row], 1.0, 0.0)
        elif verdict == LEAK:
            kind = part.string("leak_kind", row)
            result[row] = Reason(f"leak_{kind}", "coverage", float(shares[row]), _LEAK_THRESHOLD[kind])
        else:
            result[row] = limits[verdict].reason(columns[row])
    return result
