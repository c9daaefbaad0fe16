"""Why a document is where it is, and what other borders would do: both from the files of a result, without its texts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stemma.config import load_json, parse
from stemma.corpus.clean import DECISIONS_FILE, SUMMARY
from stemma.corpus.columns import MEASURES
from stemma.corpus.decide import Limit, limits_of
from stemma.corpus.job import MEASURED
from stemma.corpus.measures import GROUPS
from stemma.corpus.summary import CleaningSummary
from stemma.errors import StemmaError

MEASURES_FOLDER = Path(MEASURED).name


@dataclass(frozen=True, slots=True)
class Compared:
    """One limit of the document's language group, and what was measured."""

    limit: Limit
    value: float
    is_broken: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """One document: its row of the decisions, its measures, and the limits that apply to it."""

    decision: Mapping[str, Any]
    group: str
    measures: Mapping[str, float | None]
    """None where it was not measured: a score without its model."""
    compared: tuple[Compared, ...]
    twin_action: str | None
    """What became of the twin, where it is a document."""
    language: str | None
    """What the text is in, where the document goes for it; `lang` of the decision is what the record says."""
    languages: tuple[str, ...]
    """Those that were asked for."""


@dataclass(frozen=True, slots=True)
class Border:
    """One limit: documents that break it as it is, and as it would be. A border is None while the limit is off."""

    name: str
    now: float | None
    broken_now: int
    then: float | None
    broken_then: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What other limits would do to documents that no rule but a limit has touched."""

    borders: tuple[Border, ...]
    newly_dropped: int
    newly_kept: int
    """Documents that a limit dropped and none would; copies among them are not looked for."""
    dropped_ids: tuple[str, ...]
    kept_ids: tuple[str, ...]


def read_summary(folder: Path) -> CleaningSummary:
    """The account of a result; its files are not read. Raises StemmaError for another folder."""
    if not (folder / SUMMARY).is_file():
        raise StemmaError(f"{folder}: is no result of stemma clean; give the folder that --out named")
    try:
        return parse(CleaningSummary, load_json(folder / SUMMARY), str(folder / SUMMARY))
    except StemmaError as error:
        raise StemmaError(
            f"{error}; the file is damaged or another version wrote it: clean again with --force"
        ) from None


def shortened(identity: str, most: int = 60) -> str:
    """An id for talk: a long one loses its middle."""
    half = (most - 3) // 2
    return identity if len(identity) <= most else f"{identity[:half]}...{identity[-half:]}"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What goes wrong with a file of the result is one sentence about it."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise StemmaError(f"{path}: is missing or damaged ({first}); clean again with --force") from None


def explain(folder: Path, ids: Sequence[str]) -> list[Explanation]:
    """Explain documents by their ids, in the order given. Raises StemmaError for an id that the input did not have."""
    settings = read_summary(folder).settings
    limits = limits_of(settings.rule_sets, settings.limits)
    decisions = _rows_of(folder / DECISIONS_FILE, ids)
    numbers: dict[str, dict[str, Any]] = {}
    for path in _measure_files(folder):
        numbers |= _rows_of(path, ids)
    twins = [row["twin"] for row in decisions.values() if row["twin"]]
    found = _rows_of(folder / DECISIONS_FILE, twins, ["id", "action"]) if twins else {}
    result: list[Explanation] = []
    for identity in ids:
        if identity not in decisions:
            raise StemmaError(f"{folder}: no document with the id {shortened(identity)!r} was in the input")
        if identity not in numbers:
            raise _unlike(folder)
        row, decision = numbers[identity], decisions[identity]
        values = np.array([[row[name] for name in MEASURES]], np.float32)
        compared = tuple(
            Compared(limit, row[limit.measure], bool(limit.is_broken(values)[0]))
            for limit in limits
            if limit.group == row["group"] and limit.is_in_use
        )
        measures = {name: None if np.isnan(row[name]) else row[name] for name in MEASURES}
        twin_action = found[decision["twin"]]["action"] if decision["twin"] in found else None
        language = _language(decision["measure"], row) if decision["rule"] == "language" else None
        group, languages = row["group"], settings.languages
        result.append(Explanation(decision, group, measures, compared, twin_action, language, languages))
    return result


def _language(code: str, row: dict[str, Any]) -> str:
    """The code, for Chinese with its writing if that shows."""
    lead = row["simplified_share"] - row["traditional_share"]
    return f"zh-{'Hans' if lead > 0 else 'Hant'}" if code == "zh" and lead else code


def _rows_of(path: Path, ids: Sequence[str], columns: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """The rows of one file by their ids."""
    import pyarrow.parquet

    with _reading(path):
        table = pyarrow.parquet.read_table(path, columns=columns, filters=[("id", "in", list(ids))])
        return {row["id"]: row for row in table.to_pylist()}


def _measure_files(folder: Path) -> list[Path]:
    return sorted((folder / MEASURES_FOLDER).glob("*.parquet"))


def _unlike(folder: Path) -> StemmaError:
    return StemmaError(
        f"{folder / MEASURES_FOLDER}: has not the documents of {DECISIONS_FILE}; the result is damaged: "
        "clean again with --force"
    )


def move_limits(
    folder: Path, limits: Mapping[str, float], rule_sets: Sequence[str] = (), num_ids: int = 10
) -> Moved:
    """Judge a result's documents again, with some borders moved or sets of rules added: row group by row group.

    Raises StemmaError for a limit that cleaning with these settings would refuse, and for damaged files.
    """
    settings = read_summary(folder).settings
    moved = replace(
        settings, rule_sets=(*settings.rule_sets, *rule_sets), limits={**settings.limits, **limits}
    )
    now, then = (limits_of(each.rule_sets, each.limits) for each in (settings, moved))
    broken = np.zeros((2, len(then)), np.int64)
    counts, ids = [0, 0], ([], [])
    for names, rules, values, groups in _row_groups(folder):
        by_limit = [_broken(values, groups, each) for each in (now, then)]
        for side, table in enumerate(by_limit):
            broken[side, : len(table)] += table.sum(1)
        before, after = (table.any(0) for table in by_limit)
        own_rules = {limit.rule for limit in now}
        untouched = np.array([rule is None or rule in own_rules for rule in rules], bool)
        for side, chosen in enumerate((after & ~before & untouched, before & ~after & untouched)):
            counts[side] += int(chosen.sum())
            ids[side].extend(names[i] for i in np.flatnonzero(chosen)[: num_ids - len(ids[side])].tolist())
    borders = tuple(
        Border(
            limit.name,
            _shown(now[i]) if i < len(now) else None,
            int(broken[0, i]),
            _shown(limit),
            int(broken[1, i]),
        )
        for i, limit in enumerate(then)
    )
    return Moved(borders, counts[0], counts[1], tuple(ids[0]), tuple(ids[1]))


def _shown(limit: Limit) -> float | None:
    return limit.border if limit.is_in_use else None


def _broken(
    values: npt.NDArray[np.float32], groups: npt.NDArray[np.uint8], limits: Sequence[Limit]
) -> npt.NDArray[np.bool_]:
    """(num_limits, n)"""
    return np.stack([limit.is_broken(values) & (groups == GROUPS.index(limit.group)) for limit in limits])


def _row_groups(
    folder: Path,
) -> Iterator[tuple[list[str], list[str | None], npt.NDArray[np.float32], npt.NDArray[np.uint8]]]:
    """(ids, rules, measures, groups): the decisions have a row group for each file of measures."""
    import pyarrow.parquet

    path, files = folder / DECISIONS_FILE, _measure_files(folder)
    with _reading(path):
        decisions = pyarrow.parquet.ParquetFile(path)
    with decisions:
        if decisions.num_row_groups != len(files):
            raise _unlike(folder)
        for i, file in enumerate(files):
            with _reading(path):
                rules = decisions.read_row_group(i, columns=["rule"]).column("rule").to_pylist()
            with _reading(file):
                table = pyarrow.parquet.read_table(file)
                names = table.column("id").to_pylist()
                values = np.stack([table.column(name).to_numpy() for name in MEASURES], 1)
                groups = np.array(
                    [GROUPS.index(name) for name in table.column("group").to_pylist()], np.uint8
                )
            if len(rules) != len(names):
                raise _unlike(folder)
            yield names, rules, values, groups
