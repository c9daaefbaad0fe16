"""Cleaning: documents in, clean documents out, and for each one dropped or edited the reason.

The work is done in stages (`job`) inside `NAME.unfinished` beside the output folder, which a stopped run leaves and the
same command goes on with. Several machines that share the folder each take their share of every stage (`rank` of
`world_size`) and meet between the stages. Memory: 1 GB per worker at parts of 32 MiB, 2 GB at 256; 3 GB for keys being sorted
at most; 55 bytes per token of the evaluation sets; and while near duplicates are resolved 1 byte for each
document and 16 for each copy. Nothing else grows with the corpus, unless it is asked for (`meaning`, `cutting`).
"""

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stemma import __version__
from stemma.config import load_json, parse, plain
from stemma.corpus import cutting, meaning
from stemma.corpus.annotated import PartCounts, part_counts
from stemma.corpus.annotating import annotate_part
from stemma.corpus.benchmark_texts import find_evaluation_files
from stemma.corpus.crew import Crew, Engine, crew, default_workers
from stemma.corpus.deduplicating import (
    band_stage,
    copies_stage,
    load_copies,
    resolve_stage,
    verify_stage,
)
from stemma.corpus.embed import check_model
from stemma.corpus.files import InputFile, find_files, printable
from stemma.corpus.job import (
    ANNOTATED,
    ASSIGNED,
    BANDS,
    CENTROIDS,
    CHAIN_DONE,
    CLUSTERS,
    DECISIONS,
    DOCUMENTS,
    EDGES,
    EMBEDDER,
    JUDGED,
    KEYS,
    MEANING,
    MEASURED,
    NEAR,
    PARTS,
    REPEATS,
    RESULT,
    SAME_ID,
    SAME_TEXT,
    TALLIES,
    VECTORS,
    Job,
    corpus_of,
    tools,
)
from stemma.corpus.judging import chain_stage, judge_part
from stemma.corpus.ledger import write_part
from stemma.corpus.lock import LOCKS, at_work, holds_work
from stemma.corpus.parts import Part, cut, part_name, stretches
from stemma.corpus.read import BadRecords
from stemma.corpus.summary import CleaningSummary, CleanSettings, InputRecord
from stemma.corpus.tally import Tally
from stemma.corpus.toxicity import ToxicityAudit, load_scorer
from stemma.errors import CheckFailed, StemmaError
from stemma.progress import Progress
from stemma.storage import atomic_file, replace_folder, sha256, write_json

DECISIONS_FILE, SUMMARY = "decisions.parquet", "cleaning.json"
_RUN, _STRETCHES = "run.json", "stretches"
_WAIT_SECONDS = 0.5
_MOST_WORDS = 200


class WaitingForRanksError(StemmaError):
    """This rank's share is done as far as it can be; others have to come so far first."""


def clean(
    inputs: Sequence[Path],
    output_folder: Path,
    settings: CleanSettings | None = None,
    progress: Progress | None = None,
    *,
    evaluation_sets: Sequence[Path] = (),
    force: bool = False,
    num_workers: int | None = 1,
    engine: Engine = "processes",
    rank: int = 0,
    world_size: int = 1,
    wait: bool = True,
) -> CleaningSummary:
    """Clean `inputs` into `output_folder`: documents/, measures/, decisions.parquet, cleaning.json.

    A document that holds an item of `evaluation_sets` (files or folders of them) goes, and its decision names the item.
    A folder that holds the result of the same inputs and settings is checked and its summary returned; one that holds
    anything else is refused, or with `force` replaced if it is a cleaning result. A run that was stopped goes on where
    it stopped; with other inputs or settings it is refused, or with `force` thrown away. The bytes of the result do not
    depend on `num_workers` (None: `default_workers`), `engine` or `world_size`; with more than one worker a script must
    guard its main module, as for any process pool. Raises StemmaError for a corpus without documents, for a record that
    cannot be used (unless settings.on_error is "skip") and where another process works on the same folder as this rank,
    and WaitingForRanksError where without `wait` another rank has to do its share first.
    """
    settings = settings or CleanSettings()
    if not inputs:
        raise StemmaError("no input was given; name the files or folders to clean")
    if not 0 <= rank < world_size:
        raise StemmaError(f"rank is {rank} of {world_size}; give a rank from 0 to world size - 1")
    if force and world_size > 1:
        raise StemmaError("force and several ranks do not go together; remove the earlier result first")
    if num_workers is not None and num_workers < 1:
        raise StemmaError(f"there are {num_workers} workers; give 1 or more")
    files, ignored = find_files(inputs)
    _refuse_overlap(inputs, output_folder)
    for place, count in Counter(file.path.resolve() for file in files).items():
        if count > 1:
            raise StemmaError(f"{place}: is given twice; name every file once")
    folder = unfinished_folder(output_folder)
    sets, models = _records_of(evaluation_sets), _models_of(settings)
    existing = _existing(output_folder, settings, files, sets, models, force)
    job = Job(folder, settings, tuple(evaluation_sets))
    run = _Run(job, files, sets, models, rank, world_size, wait, progress)
    if existing is None:
        with at_work(folder, rank):
            # Another process may have ended it between the first look and the lock.
            existing = _existing(output_folder, settings, files, sets, models, force)
            if existing is None:
                run.work(output_folder, tuple(ignored), engine, num_workers or default_workers(files), force)
                return load_summary(output_folder)
    run.clear_up()
    return existing


def unfinished_folder(output_folder: Path) -> Path:
    """Where a run works until its result is complete."""
    path = output_folder.resolve()
    return path.with_name(f"{path.name}.unfinished")


def load_summary(folder: Path) -> CleaningSummary:
    """The summary of a cleaned folder, its files checked. Raises CheckFailed when one is missing or was changed."""
    summary = parse(CleaningSummary, load_json(folder / SUMMARY), str(folder / SUMMARY))
    for name, digest in summary.outputs.items():
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise CheckFailed(
                f"{folder / name}: is missing or was changed since it was written; clean again with --force"
            )
    return summary


class _Run:
    """One rank's part in a run."""

    def __init__(
        self,
        job: Job,
        files: list[InputFile],
        sets: tuple[InputRecord, ...],
        models: tuple[InputRecord, ...],
        rank: int,
        world_size: int,
        wait: bool,
        progress: Progress | None,
    ) -> None:
        self.job, self.folder, self.rank, self.world_size = job, job.folder, rank, world_size
        self._wait, self._progress = wait, progress
        self._files, self._sets, self._models = files, sets, models
        self._stretches = stretches(files, job.settings.part_megabytes << 20)

    def work(
        self, output_folder: Path, ignored: tuple[str, ...], engine: Engine, num_workers: int, force: bool
    ) -> None:
        """All that this rank has to do, from the first stage that is not done to the result."""
        if self.rank == 0 and holds_work(self.folder) and not self._is_ours():
            self._make_room(force)
        with crew(num_workers, engine) as workers:
            try:
                self.begin()
                self.stages(workers)
                if self.rank == 0:
                    self.finish(output_folder, ignored)
                else:
                    self.wait_for_result()
            except BaseException as error:
                if isinstance(error, FileNotFoundError) and self.rank and not self.folder.exists():
                    return  # rank 0 has put the result in its place meanwhile
                self.give_up()
                raise

    def begin(self) -> None:
        """Make the folders, or go on in them."""
        facts = self._identity()
        path = self.folder / _RUN
        if self.rank == 0:
            for name in (
                ANNOTATED,
                JUDGED,
                BANDS,
                EDGES,
                VECTORS,
                ASSIGNED,
                CLUSTERS,
                KEYS,
                REPEATS,
                DOCUMENTS,
                DECISIONS,
                MEASURED,
                TALLIES,
                _STRETCHES,
            ):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            write_json(path, facts)
        self._meet("beginning", [path])
        if load_json(path) != facts:
            raise StemmaError(
                f"{self.folder}: another rank works with other inputs or settings; give all the same"
            )

    def _is_ours(self) -> bool:
        path = self.folder / _RUN
        return path.is_file() and load_json(path) == self._identity()

    def _make_room(self, force: bool) -> None:
        """Raises StemmaError for the work of other inputs or settings, which only `force` throws away."""
        path = self.folder / _RUN
        if not path.is_file() and not (self.folder / ANNOTATED).is_dir():
            raise StemmaError(
                f"{self.folder}: exists and is no stopped run of stemma clean; move it away, the run needs this name"
            )
        if path.is_file() and not force:
            raise StemmaError(
                f"{self.folder}: holds the work of a stopped run with other {_differences(load_json(path), self._identity())}; "
                "the same command as then goes on with it, --force throws it away"
            )
        self._empty()

    def _empty(self) -> None:
        """Take all work away, and last the file that says whose it is: a kill leaves nothing that nobody knows."""
        for entry in self.folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _RUN and not entry.match(LOCKS):
                entry.unlink()
        (self.folder / _RUN).unlink(missing_ok=True)

    def clear_up(self) -> None:
        """Take away what a run left that was killed after its result had taken its place."""
        if self.folder.is_dir() and (self._is_ours() or not holds_work(self.folder)):
            self._empty()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _identity(self) -> dict[str, Any]:
        """What makes the work of a stopped run of use: the same files and settings, but for the policy on bad records."""
        settings = plain(self.job.settings)
        settings.pop("on_error")
        files = []
        for file in self._files:
            stat = file.path.stat()
            place = printable(str(file.path.resolve()))
            files.append([file.name, place, stat.st_size, stat.st_mtime_ns])
        records = {"evaluation_sets": plain(self._sets), "models": plain(self._models)}
        return {"version": __version__, "settings": settings, "files": files, **records}

    def wait_for_result(self) -> None:
        """Wait until rank 0 has put the result in its place, which takes the folder away."""
        while self.folder.exists():
            self._pause("the last step", "rank 0 puts the result together")

    def give_up(self) -> None:
        """Leave what is done for the next try; where nothing is, leave nothing."""
        if self.world_size == 1 and not any((self.folder / ANNOTATED).glob("*.json")):
            shutil.rmtree(self.folder, ignore_errors=True)

    def stages(self, workers: Crew) -> None:
        """All stages, each begun when every rank has ended the one before."""
        job, settings = self.job, self.job.settings
        self._stage(
            workers,
            "digests",
            _digest,
            [(job, s, files) for s, files in enumerate(self._stretches)],
            self._digests,
        )
        names = self._annotate(workers)
        parts, bands = range(len(names)), range(settings.num_bands)
        self._list_parts(names)
        folder = self.folder
        self._stage(
            workers,
            "chains",
            chain_stage,
            [(job, half) for half in (0, 1)],
            [folder / name for name in CHAIN_DONE],
        )
        self._stage(
            workers,
            "judging",
            judge_part,
            [(job, i) for i in parts],
            [folder / JUDGED / f"{name}.npy" for name in names],
        )
        self._stage(workers, "copies", copies_stage, [(job,)], [folder / SAME_TEXT])
        self._refuse_duplicate_ids()
        if settings.near_duplicates:
            done = [folder / BANDS / f"{band:02}.npy" for band in bands]
            self._stage(workers, "candidates", band_stage, [(job, band) for band in bands], done)
            done = [folder / EDGES / f"{name}.npz" for name in names]
            self._stage(workers, "comparing", verify_stage, [(job, i) for i in parts], done)
        self._stage(workers, "near copies", resolve_stage, [(job,)], [folder / NEAR])
        if settings.semantic_eps is not None:
            self._meaning_stages(workers, names)
        if cutting.is_wanted(settings):
            done = [folder / KEYS / f"{name}.npz" for name in names]
            self._stage(workers, "passages", cutting.keys_stage, [(job, i) for i in parts], done)
            done = [folder / REPEATS / f"{names[-1]}.npz"]
            self._stage(workers, "passages", cutting.repeats_stage, [(job,)], done)
        done = [folder / TALLIES / f"{i:06}.json" for i in parts]
        self._stage(workers, "writing", write_part, [(job, i) for i in parts], done)

    def _meaning_stages(self, workers: Crew, names: list[str]) -> None:
        job, folder = self.job, self.folder
        each = [(job, i) for i in range(len(names))]
        if job.settings.embedding_model is None:
            self._stage(workers, "vectors", meaning.embedder_stage, [(job,)], [folder / EMBEDDER])
        done = [folder / VECTORS / f"{name}.npy" for name in names]
        self._stage(workers, "vectors", meaning.vectors_stage, each, done)
        self._stage(workers, "clusters", meaning.centroids_stage, [(job,)], [folder / CENTROIDS])
        done = [folder / ASSIGNED / f"{name}.npy" for name in names]
        self._stage(workers, "clusters", meaning.assign_stage, each, done)
        groups = range(meaning.num_groups(corpus_of(job).num_documents))
        done = [folder / CLUSTERS / f"{group:06}.npz" for group in groups]
        self._stage(workers, "semantic copies", meaning.compare_stage, [(job, g) for g in groups], done)
        self._stage(workers, "semantic copies", meaning.merge_stage, [(job,)], [folder / MEANING])

    @property
    def _digests(self) -> list[Path]:
        return [self.folder / _STRETCHES / f"{s:06}.digests.json" for s in range(len(self._stretches))]

    def _stage(
        self,
        workers: Crew,
        label: str,
        function: Callable[..., None],
        tasks: list[tuple[Any, ...]],
        done: list[Path],
    ) -> None:
        """Run this rank's share of tasks that are not done, then meet the others. `done[i]` appears with task i."""
        mine = [
            task
            for i, (task, path) in enumerate(zip(tasks, done, strict=True))
            if i % self.world_size == self.rank and not path.exists()
        ]
        for _ in workers.run(function, mine):
            self._show(label)
        self._meet(label, done)

    def _annotate(self, workers: Crew) -> list[str]:
        """Annotate this rank's parts; the names of all parts, in order."""
        for _ in workers.run(annotate_part, self._parts()):
            self._show("reading")
        ends = [self.folder / _STRETCHES / f"{s:06}.json" for s in range(len(self._stretches))]
        self._meet("reading", ends)
        counts = [load_json(path)["parts"] for path in ends]
        names = [part_name(s, number) for s, count in enumerate(counts) for number in range(count)]
        self._meet("reading", [self.folder / ANNOTATED / f"{name}.json" for name in names])
        return names

    def _parts(self) -> Iterator[tuple[Job, Part]]:
        """Whole stretches where there are enough for every rank, else every rank's share of each."""
        whole = len(self._stretches) >= self.world_size
        for s, files in enumerate(self._stretches):
            if whole and s % self.world_size != self.rank:
                continue
            end = self.folder / _STRETCHES / f"{s:06}.json"
            if end.exists() and all(self._is_done(s, number) for number in range(load_json(end)["parts"])):
                continue
            number = 0
            for part in cut(files, s, self.job.settings.part_megabytes << 20):
                mine = whole or (s + part.number) % self.world_size == self.rank
                if mine and not self._is_done(s, part.number):
                    yield self.job, part
                number = part.number + 1
            write_json(end, {"parts": number})

    def _is_done(self, stretch: int, number: int) -> bool:
        return (self.folder / ANNOTATED / f"{part_name(stretch, number)}.json").exists()

    def _list_parts(self, names: list[str]) -> None:
        """Write the list of parts that the later stages read. Raises StemmaError when they hold no document."""
        counts = self._counts(names)
        bad = _all_bad(counts)
        if bad.count and self.job.settings.on_error == "refuse":
            raise StemmaError(bad.examples[0])
        documents = [count.documents for count in counts]
        if not sum(documents):
            skipped = f" ({bad.count} records were passed over)" if bad.count else ""
            shown = ", ".join(file.shown for file in self._files[:3])
            shutil.rmtree(self.folder, ignore_errors=True)
            raise StemmaError(f"{shown}: the corpus holds no document{skipped}")
        listed = {
            "names": names,
            "documents": documents,
            "tokens": [count.tokens for count in counts],
            "doubtful": [count.doubtful for count in counts],
        }
        write_json(self.folder / PARTS, listed)

    def _counts(self, names: Sequence[str]) -> list[PartCounts]:
        found = (part_counts(self.folder / ANNOTATED, name) for name in names)
        return [counts for counts in found if counts is not None]

    def _refuse_duplicate_ids(self) -> None:
        same_id = load_copies(self.job, SAME_ID)
        if len(same_id.documents) and self.job.settings.on_error == "refuse":
            corpus = corpus_of(self.job)
            first, again = int(same_id.firsts[0]), int(same_id.documents[0])
            name, *sources = (
                corpus.string("id", again),
                corpus.string("source", first),
                corpus.string("source", again),
            )
            raise StemmaError(
                f"the id {name!r} stands twice, at documents {first + 1} and {again + 1} of the input (from "
                f"{sources[0]} and {sources[1]}); make ids differ, or pass over the later ones with --on-error skip"
            )

    def _meet(self, label: str, paths: list[Path]) -> None:
        """Wait until all of `paths` are there. Raises FileNotFoundError when the run is over."""
        missing, begun = paths, self.folder.exists()
        while missing := [path for path in missing if not path.exists()]:
            if begun and not self.folder.exists():
                raise FileNotFoundError(self.folder)
            self._pause(label, f"{len(missing)} of {len(paths)} tasks are other ranks'")

    def _pause(self, label: str, reason: str) -> None:
        if not self._wait:
            raise WaitingForRanksError(f"{label}: {reason}")
        self._show(label, f"waiting: {reason}")
        time.sleep(_WAIT_SECONDS)

    def _show(self, label: str, status: str = "") -> None:
        if self._progress is not None:
            self._progress.advance(0 if status else 1, status or label)

    def finish(self, output_folder: Path, ignored: tuple[str, ...]) -> None:
        """Put the parts of the result together, and the result in its place."""
        job, result = self.job, self.folder / RESULT
        semantic = job.settings.semantic_eps is not None
        tally, outputs = Tally(), dict[str, str]()
        for path in sorted((self.folder / TALLIES).glob("*.json")):
            part = load_json(path)
            tally.extend(part["tally"])
            outputs |= part["outputs"]
        counts = self._counts(load_json(self.folder / PARTS)["names"])
        bad, audit = _all_bad(counts), ToxicityAudit()
        for count in counts:
            audit.merge(count.audit)
        tally.count_bad(bad)
        _join_tables(sorted((self.folder / DECISIONS).glob("*.parquet")), result / DECISIONS_FILE)
        outputs[DECISIONS_FILE] = sha256(result / DECISIONS_FILE)
        records = [record for path in self._digests for record in load_json(path)["files"]]
        summary = CleaningSummary(
            version=__version__,
            settings=job.settings,
            settings_sha256=_digest_of(job.settings),
            inputs=tuple(parse(InputRecord, record, "inputs") for record in records),
            evaluation_sets=self._sets,
            models=self._models,
            ignored_files=ignored,
            bad_records=dict(sorted(bad.reasons.items())),
            bad_examples=tuple(bad.examples),
            other_records=dict(sorted(bad.others.items())),
            toxic_words=tuple(audit.rows()[:_MOST_WORDS]),
            mentioned_groups=tuple(audit.bias_rows()),
            num_full_buckets=load_json(self.folder / NEAR)["skipped"],
            num_cut_clusters=load_json(self.folder / MEANING)["num_cut"] if semantic else None,
            borders={limit.name: limit.border for limit in tools(job).limits if limit.is_in_use},
            outputs=outputs,
            **tally.fields(),
        )
        assert summary.total.documents_in == summary.total.documents_kept + summary.documents_dropped
        write_json(result / SUMMARY, plain(summary))
        for leftover in result.rglob(".*.tmp"):
            leftover.unlink()
        replace_folder(result, output_folder.resolve())
        self._empty()


def _differences(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What differs between two runs, for people."""
    settings = (one["settings"], other["settings"])
    names = [name for name in other["settings"] if settings[0].get(name) != settings[1][name]]
    words = {
        "version": "version of stemma",
        "files": "input files",
        "evaluation_sets": "evaluation sets",
        "models": "models",
    }
    return ", ".join([words[key] for key in words if one.get(key) != other[key]] + names) or "settings"


def _digest_of(settings: CleanSettings) -> str:
    data = json.dumps(plain(settings), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(data.encode()).hexdigest()


def _digest(job: Job, stretch: int, files: list[InputFile]) -> None:
    records = [plain(_record(file.path, file.name)) for file in files]
    write_json(job.folder / _STRETCHES / f"{stretch:06}.digests.json", {"files": records})


def _record(path: Path, name: str) -> InputRecord:
    return InputRecord(name=name, num_bytes=path.stat().st_size, sha256=sha256(path))


def _models_of(settings: CleanSettings) -> tuple[InputRecord, ...]:
    paths = [settings.quality_model, settings.perplexity_model, *settings.word_lists]
    if settings.toxicity_model is not None and ":" in settings.toxicity_model:
        load_scorer(settings.toxicity_model)  # one that does not exist is noticed here
    elif settings.toxicity_model is not None:
        paths.append(Path(settings.toxicity_model))
    for path in paths:
        if path is not None and not path.is_file():
            raise StemmaError(f"{path}: does not exist or is not a file")
    records = [_record(path, path.name) for path in paths if path is not None]
    folder = settings.embedding_model
    if folder is not None:
        check_model(folder)
        own = sorted(path for path in folder.rglob("*") if path.is_file())
        records += [_record(path, f"{folder.name}/{path.relative_to(folder).as_posix()}") for path in own]
    return tuple(records)


def _records_of(evaluation_sets: Sequence[Path]) -> tuple[InputRecord, ...]:
    if not evaluation_sets:
        return ()
    found, _ = find_evaluation_files(list(evaluation_sets))
    return tuple(_record(path, name) for path, name in found)


def _all_bad(counts: Sequence[PartCounts]) -> BadRecords:
    bad = BadRecords()
    for count in counts:
        bad.extend(count.bad)
    return bad


def _join_tables(paths: Sequence[Path], target: Path) -> None:
    """One Parquet file of many of the same columns, in order, a row group for each."""
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(paths[0])
    with (
        atomic_file(target) as file,
        pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for path in paths:
            table = pyarrow.parquet.read_table(path)
            writer.write_table(table, max(1, table.num_rows))


def _existing(
    folder: Path,
    settings: CleanSettings,
    files: list[InputFile],
    sets: tuple[InputRecord, ...],
    models: tuple[InputRecord, ...],
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
        ("inputs", summary.inputs == tuple(_record(file.path, file.name) for file in files)),
        ("evaluation sets", summary.evaluation_sets == sets),
        ("settings", summary.settings == settings),
        ("models", summary.models == models),
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
