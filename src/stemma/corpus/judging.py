"""Verdicts on single documents: by the numbers that the first stage left, without a look at the text.

So a limit can be moved, or another language be asked for, without reading the corpus again.
"""

import numpy as np
import numpy.typing as npt

from stemma.corpus.annotated import AnnotatedPart
from stemma.corpus.decide import MOST_FURNITURE, Reason, decide_batch
from stemma.corpus.job import ANNOTATED, JUDGED, Job, save_array, tools
from stemma.corpus.language import is_wanted
from stemma.corpus.overlap import MIN_COVERAGE, PARTIAL_COVERAGE

Verdicts = npt.NDArray[np.int16]
OPEN, BOILERPLATE, LANGUAGE, LEAK = -1, -2, -3, -4
"""A verdict is one of these, or the index of the limit that is broken."""
_LEAK_THRESHOLD = {"verbatim": 1.0, "edited": MIN_COVERAGE, "partial": PARTIAL_COVERAGE}


def judge_part(job: Job, name: str) -> None:
    """Write the verdicts on a part's documents."""
    verdicts = _judge(job, AnnotatedPart(job.folder / ANNOTATED / f"{name}.arrow"))
    save_array(job.folder / JUDGED / f"{name}.npy", verdicts)


def load_verdicts(job: Job, name: str) -> Verdicts:
    """(n,) the verdicts on a part's documents."""
    return np.load(job.folder / JUDGED / f"{name}.npy")


def _judge(job: Job, part: AnnotatedPart) -> Verdicts:
    if not len(part):
        return np.empty(0, np.int16)
    limits = tools(job).limits
    verdicts = decide_batch(part.matrix("measures"), part.numbers("group"), limits).astype(np.int16)
    is_page = np.array(["furniture" in edits for edits in part.strings("edits")])
    verdicts[is_page & (part.numbers("lost") > MOST_FURNITURE)] = BOILERPLATE
    languages = job.settings.languages
    if languages:
        found = zip(part.strings("lang"), part.strings("script"), strict=True)
        wanted = np.array([is_wanted(lang, script, languages) for lang, script in found])
        verdicts[(verdicts == OPEN) & ~wanted] = LANGUAGE
    if job.evaluation_sets:
        leaks = np.array([kind is not None for kind in part.strings("leak_kind")])
        verdicts[(verdicts == OPEN) & leaks] = LEAK
    return verdicts


def reasons(job: Job, part: AnnotatedPart, verdicts: Verdicts) -> dict[int, Reason]:
    """Row of the part to reason, for all documents with a verdict against them."""
    rows = np.flatnonzero(verdicts != OPEN).tolist()
    if not rows:
        return {}
    limits, columns = tools(job).limits, part.matrix("measures")
    lost, lang = part.numbers("lost"), part.strings("lang")
    result: dict[int, Reason] = {}
    for row in rows:
        verdict = int(verdicts[row])
        if verdict == BOILERPLATE:
            result[row] = Reason("boilerplate", "lost", float(lost[row]), MOST_FURNITURE)
        elif verdict == LANGUAGE:
            result[row] = Reason("language", lang[row], 1.0, 0.0)
        elif verdict == LEAK:
            kind = part.string("leak_kind", row)
            share = float(part.numbers("leak_share")[row])
            result[row] = Reason(f"leak_{kind}", "coverage", share, _LEAK_THRESHOLD[kind])
        else:
            result[row] = limits[verdict].reason(columns[row])
    return result
