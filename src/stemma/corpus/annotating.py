"""The first stage: a part is read, repaired and measured, batch by batch; nothing is decided yet."""

from typing import Any

import numpy as np
import numpy.typing as npt

from stemma.corpus.annotated import PartWriter, to_batch
from stemma.corpus.decide import is_furniture_page
from stemma.corpus.decontaminate import Decontaminator
from stemma.corpus.document import Document
from stemma.corpus.job import ANNOTATED, Job, tools
from stemma.corpus.language import identify_batch
from stemma.corpus.measures import measure_batch
from stemma.corpus.parts import Part
from stemma.corpus.read import BadRecords, batches, read_piece, usable
from stemma.corpus.repair import repair_batch
from stemma.corpus.scan import scan
from stemma.corpus.scores import is_doubtful
from stemma.corpus.toxicity import ToxicityAudit

BATCH_CHARACTERS = 4 << 20
_MOST_COPIES = 10**9  # what a record may say of itself


def annotate_part(job: Job, part: Part) -> None:
    """Write the annotated part. Raises the first bad record, or counts them, as the settings say."""
    bad, audit = BadRecords(), ToxicityAudit()
    tokens = doubtful = 0
    found = (item for piece in part.pieces for item in read_piece(piece, bad.others))
    with PartWriter(job.folder / ANNOTATED, part.name) as writer:
        for documents in batches(usable(found, job.settings.on_error, bad), BATCH_CHARACTERS):
            columns = _annotate(job, documents, audit)
            tokens += int(columns["num_tokens"].sum())
            doubtful += int(is_doubtful(columns["measures"]).sum())
            writer.add(_arrow(columns))
    writer.count(tokens, doubtful, bad, audit)


def _annotate(job: Job, documents: list[Document], audit: ToxicityAudit) -> dict[str, Any]:
    import xxhash

    settings = job.settings
    texts = [document.text for document in documents]
    columns: dict[str, Any] = {
        "id": [document.id for document in documents],
        "source": [document.source for document in documents],
        "said": [document.lang for document in documents],
        "licence": [document.licence for document in documents],
        "domain": [document.domain for document in documents],
        "weight": np.array([_copies(document.weight) for document in documents], np.int64),
        "characters": np.array([len(text) for text in texts], np.int64),
        "id_key": np.array([xxhash.xxh3_64_intdigest(d.id.encode()) for d in documents], np.uint64),
    }
    edits: list[tuple[str, ...]] = [()] * len(texts)
    lost = np.zeros(len(texts), np.float32)
    batch = to_batch(texts)
    if settings.repair:
        for i, repaired in repair_batch(batch.data, batch.offsets):
            edits[i], lost[i] = repaired.edits, repaired.lost
            # A page of furniture goes, and as it was, for samples to show.
            if not is_furniture_page(repaired.edits, repaired.lost):
                texts[i] = repaired.text
        if any(edits):
            batch = to_batch(texts)
    scanned = scan(batch.data, batch.offsets)
    measures = measure_batch(scanned)
    lang, script = identify_batch(batch.data, batch.offsets, scanned, measures)
    scores, hits = tools(job).scorer.score(batch.data, batch.offsets, scanned)
    spoken = [said or found for said, found in zip(columns["said"], lang, strict=True)]
    audit.add(tools(job).scorer.lists, hits, spoken, columns["domain"])
    columns |= {
        "text": texts,
        "edits": edits,
        "lost": lost,
        "lang": lang,
        "script": script,
        "group": measures.groups,
        "measures": np.concatenate([measures.values, scores], 1),
        "num_tokens": np.diff(scanned.token_offsets),
        "key_0": scanned.keys[:, 0],
        "key_1": scanned.keys[:, 1],
    }
    checker = tools(job).checker
    if checker is not None:
        columns |= _leaks(checker, scanned.tokens, scanned.token_offsets)
    if settings.near_duplicates:
        keys = tools(job).minhash.band_keys(scanned.tokens, scanned.token_offsets)
        columns |= {band_name(band): keys[:, band] for band in range(settings.num_bands)}
    return columns


def _copies(weight: float | None) -> int:
    """For how many documents a record stands, as the documents of an earlier cleaning say it; else for itself."""
    return int(weight) if weight is not None and weight.is_integer() and weight <= _MOST_COPIES else 1


def band_name(band: int) -> str:
    """The column of one MinHash band."""
    return f"band_{band:02}"


def _leaks(
    checker: Decontaminator, tokens: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """The worst leak of each document: its kind, the share of the item that was found, "file#item"."""
    count = len(offsets) - 1
    kinds, items = list[str | None]([None] * count), list[str | None]([None] * count)
    shares = np.zeros(count, np.float32)
    for i in range(count):
        found = checker.check(tokens[offsets[i] : offsets[i + 1]])
        if found:
            worst = max(found, key=lambda leak: leak.coverage)
            kinds[i], shares[i], items[i] = worst.kind, worst.coverage, f"{worst.item_file}#{worst.item_id}"
    return {"leak_kind": kinds, "leak_share": shares, "leak": items}


def _arrow(columns: dict[str, Any]) -> dict[str, Any]:
    import pyarrow

    types = {"text": pyarrow.large_string(), "edits": pyarrow.list_(pyarrow.string())}

    def array(name: str, column: Any) -> Any:
        if isinstance(column, list):
            return pyarrow.array(column, types.get(name, pyarrow.string()))
        flat = pyarrow.array(np.ascontiguousarray(column).reshape(-1))
        return flat if column.ndim == 1 else pyarrow.FixedSizeListArray.from_arrays(flat, column.shape[1])

    return {name: array(name, column) for name, column in columns.items()}
