"""Cleaning: documents in, clean documents out, and for each one dropped or edited the reason.

Two passes. The first annotates and decides each document, drops exact copies by a 128-bit key, and keeps MinHash band
keys; the second, with near copies known, hides personal information and writes. Documents lie on disk in between.
Memory: per document still in 8 bytes for its place, `8 * num_bands` for band keys (256 as set), about 150 for the exact
key, 8 for its weight; 55 bytes per token of the evaluation sets, if there are any; nothing grows with the length of the corpus's text. The same input and settings give the same bytes.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemma import __version__
from stemma.config import load_json, parse, plain
from stemma.corpus.annotate import annotate
from stemma.corpus.benchmark_texts import find_evaluation_files, load_items
from stemma.corpus.decide import Reason, decide, decide_edited, language_group
from stemma.corpus.decontaminate import Decontaminator, Leak
from stemma.corpus.files import InputFile, find_files
from stemma.corpus.language import UNDETERMINED, identify
from stemma.corpus.ledger import SAMPLE_CHARACTERS, Ledger
from stemma.corpus.minhash import MinHash, shingles
from stemma.corpus.near import NearDuplicates, find_near_duplicates
from stemma.corpus.overlap import MIN_COVERAGE, PARTIAL_COVERAGE
from stemma.corpus.personal import redact
from stemma.corpus.read import BadRecords, read_file
from stemma.corpus.repair import Repaired, repair
from stemma.corpus.scan import scan
from stemma.corpus.spool import Spool
from stemma.corpus.summary import CleaningSummary, CleanSettings, InputRecord
from stemma.errors import CheckFailed, StemmaError
from stemma.progress import Progress
from stemma.storage import atomic_folder, sha256, write_json

DOCUMENTS, DECISIONS, SUMMARY = "documents.jsonl.zst", "decisions.parquet", "cleaning.json"
_LEAK_THRESHOLD = {"verbatim": 1.0, "edited": MIN_COVERAGE, "partial": PARTIAL_COVERAGE}
Weights = npt.NDArray[np.int64]  # (num_open,) equal or near documents that each open one stands for


def clean(
    inputs: Sequence[Path],
    output_folder: Path,
    settings: CleanSettings | None = None,
    progress: Progress | None = None,
    *,
    evaluation_sets: Sequence[Path] = (),
    force: bool = False,
) -> CleaningSummary:
    """Clean `inputs` into `output_folder`: documents.jsonl.zst, decisions.parquet, cleaning.json.

    A document that holds an item of `evaluation_sets` (files or folders of them) goes, and its decision names the item.
    A folder that holds the result of the same inputs and settings is checked and its summary returned; one that holds
    anything else is refused, or with `force` replaced if it is a cleaning result. Raises StemmaError for a corpus
    without documents and for a record that cannot be used (unless settings.on_error is "skip").
    """
    settings = settings or CleanSettings()
    if not inputs:
        raise StemmaError("no input was given; name the files or folders to clean")
    files, ignored = find_files(inputs)
    _refuse_overlap(inputs, output_folder)
    records = tuple(_record(file.path, file.name) for file in files)
    sets = _records_of(evaluation_sets)
    existing = _existing(output_folder, settings, records, sets, force)
    if existing is not None:
        return existing
    checker = Decontaminator(load_items(evaluation_sets)) if evaluation_sets else None
    with atomic_folder(output_folder, replace=force) as building:
        with Spool(building / "spool") as spool:
            bad = BadRecords()
            leaks: dict[int, Leak] = {}
            weights, keys = _first_pass(files, settings, spool, bad, checker, leaks, progress)
            near = _near_duplicates(keys, spool, settings)
            with Ledger(building / DOCUMENTS, building / DECISIONS) as ledger:
                _second_pass(spool, weights, near, settings, leaks, ledger, progress)
        summary = ledger.summary(
            version=__version__,
            settings=settings,
            inputs=records,
            evaluation_sets=sets,
            leaked=dict(sorted(Counter(leak.item_file for leak in leaks.values()).items())),
            ignored_files=tuple(ignored),
            bad_records=dict(sorted(bad.reasons.items())),
            bad_examples=tuple(bad.examples),
            num_full_buckets=near.num_full_buckets,
            outputs={name: sha256(building / name) for name in (DOCUMENTS, DECISIONS)},
        )
        assert summary.total.documents_in == summary.total.documents_kept + summary.documents_dropped
        write_json(building / SUMMARY, plain(summary))
    return summary


def _record(path: Path, name: str) -> InputRecord:
    return InputRecord(name=name, num_bytes=path.stat().st_size, sha256=sha256(path))


def _records_of(evaluation_sets: Sequence[Path]) -> tuple[InputRecord, ...]:
    if not evaluation_sets:
        return ()
    found, _ = find_evaluation_files(list(evaluation_sets))
    return tuple(_record(path, name) for path, name in found)


def load_summary(folder: Path) -> CleaningSummary:
    """The summary of a cleaned folder, its files checked. Raises CheckFailed when one is missing or was changed."""
    summary = parse(CleaningSummary, load_json(folder / SUMMARY), str(folder / SUMMARY))
    for name, digest in summary.outputs.items():
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise CheckFailed(
                f"{folder / name}: is missing or was changed since it was written; clean again with --force"
            )
    return summary


def _existing(
    folder: Path,
    settings: CleanSettings,
    records: tuple[InputRecord, ...],
    sets: tuple[InputRecord, ...],
    force: bool,
) -> CleaningSummary | None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / SUMMARY).is_file():
        raise StemmaError(f"{folder}: exists and is no result of stemma clean; choose another output folder")
    if force:
        return None
    summary = load_summary(folder)
    for what, same in (
        ("inputs", summary.inputs == records),
        ("evaluation sets", summary.evaluation_sets == sets),
        ("settings", summary.settings == settings),
        ("version of stemma", summary.version == __version__),
    ):
        if not same:
            raise StemmaError(
                f"{folder}: holds the result of other {what}; choose another output folder or use --force"
            )
    return summary


def _refuse_overlap(inputs: Sequence[Path], output_folder: Path) -> None:
    output = output_folder.resolve()
    for path in inputs:
        if path.resolve() == output or (path.is_dir() and path.resolve() in output.parents):
            raise StemmaError(
                f"{output_folder}: lies inside the input {path}; choose an output folder outside it"
            )
        if output in path.resolve().parents:
            raise StemmaError(f"{output_folder}: holds the input {path}; choose another output folder")


def _first_pass(
    files: list[InputFile],
    settings: CleanSettings,
    spool: Spool,
    bad: BadRecords,
    checker: Decontaminator | None,
    leaks: dict[int, Leak],
    progress: Progress | None,
) -> tuple[Weights, npt.NDArray[np.uint64]]:
    """The weights of the documents still in and their band keys, (num_open, num_bands)."""
    import xxhash

    minhash = MinHash(settings.num_bands, settings.num_rows, settings.shingle_size)
    first_with: dict[bytes, int] = {}
    weights, keys = array("q"), array("Q")
    num_documents = 0
    for file in files:
        for document in read_file(file, settings.on_error, bad):
            num_documents += 1
            repaired = repair(document.text) if settings.repair else Repaired(document.text, (), 0.0)
            document = replace(document, text=repaired.text)
            scanned = scan(document.text)
            numbers = annotate(document.text, scanned)
            group, lang = language_group(numbers), identify(document.text, scanned, numbers)
            reason, twin = decide_edited(repaired) or decide(numbers, group), None
            if reason is None and settings.languages and lang not in (*settings.languages, UNDETERMINED):
                reason = Reason("language", lang, 1.0, 0.0)
            if reason is None and checker is not None and (found := checker.check(scanned)):
                worst = max(found, key=lambda leak: leak.coverage)
                leaks[num_documents - 1] = worst
                reason = Reason(f"leak_{worst.kind}", "coverage", worst.coverage, _LEAK_THRESHOLD[worst.kind])
            if reason is None and settings.exact_duplicates:
                twin = first_with.setdefault(xxhash.xxh3_128_digest(scanned.folded.data), spool.num_open)
                if twin != spool.num_open:
                    weights[twin] += 1
                    reason = Reason("exact_duplicate", "jaccard", 1.0, 1.0)
            if reason is None:
                weights.append(1)
                if settings.near_duplicates:
                    keys.frombytes(minhash.band_keys(scanned.tokens).tobytes())
            first = twin if reason else None
            spool.append(document, group, reason, first, SAMPLE_CHARACTERS, lang, repaired.edits)
            if progress is not None:
                progress.advance(1, f"{spool.num_open} still in")
    if not num_documents:
        skipped = f" ({bad.count} records were passed over)" if bad.count else ""
        raise StemmaError(
            f"{', '.join(str(f.path) for f in files[:3])}: the corpus holds no document{skipped}"
        )
    spool.finish()
    shape = (-1, settings.num_bands)
    return np.frombuffer(weights, np.int64).copy(), np.frombuffer(keys, np.uint64).reshape(shape)


def _near_duplicates(keys: npt.NDArray[np.uint64], spool: Spool, settings: CleanSettings) -> NearDuplicates:
    def load(open_index: int) -> npt.NDArray[np.uint64]:
        return shingles(scan(spool.text(open_index)).tokens, settings.shingle_size)

    return find_near_duplicates(keys, load, settings.jaccard)


def _second_pass(
    spool: Spool,
    weights: Weights,
    near: NearDuplicates,
    settings: CleanSettings,
    leaks: Mapping[int, Leak],
    ledger: Ledger,
    progress: Progress | None,
) -> None:
    for index, (twin, _) in near.twins.items():
        weights[twin] += weights[index]
    for number, entry in enumerate(spool):
        document, index = entry.document, entry.open_index
        if number in leaks:
            leak = leaks[number]
            ledger.drop(entry, entry.reason, f"{leak.item_file}#{leak.item_id}")
        elif index is None:
            first = entry.twin
            twin = None if first is None else spool.id(near.twins.get(first, (first, 0.0))[0])
            ledger.drop(entry, entry.reason, twin)
        elif index in near.twins:
            twin, similarity = near.twins[index]
            ledger.drop(
                entry, Reason("near_duplicate", "jaccard", similarity, settings.jaccard), spool.id(twin)
            )
        else:
            text, spans = redact(document.text) if settings.redact else (document.text, [])
            ledger.keep(entry, text, spans, int(weights[index]))
        if progress is not None:
            progress.advance(0, "writing")
