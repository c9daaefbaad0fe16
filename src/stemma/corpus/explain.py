"""Why a document is where it is, and what other borders would do: both from the files of a result, without its texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Border:
    """One limit: documents that break it as it is, and as it would be."""

    name: str
    now: float
    broken_now: int
    then: float
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
    return parse(CleaningSummary, load_json(folder / SUMMARY), str(folder / SUMMARY))


def explain(folder: Path, ids: Sequence[str]) -> list[Explanation]:
    """Explain documents by their ids, in the order given. Raises StemmaError for an id that the input did not have."""
    import pyarrow.parquet

    settings = read_summary(folder).settings
    limits = limits_of(settings.rule_sets, settings.limits)
    wanted = [("id", "in", list(ids))]
    decisions = _by_id(pyarrow.parquet.read_table(folder / DECISIONS_FILE, filters=wanted).to_pylist())
    numbers = _by_id(pyarrow.parquet.read_table(folder / MEASURES_FOLDER, filters=wanted).to_pylist())
    twins = [row["twin"] for row in decisions.values() if row["twin"]]
    actions: dict[str, str] = {}
    if twins:
        found = pyarrow.parquet.read_table(
            folder / DECISIONS_FILE, filters=[("id", "in", twins)], columns=["id", "action"]
        )
        actions = {row["id"]: row["action"] for row in found.to_pylist()}
    result: list[Explanation] = []
    for identity in ids:
        if identity not in decisions:
            raise StemmaError(f"{folder}: no document with the id {identity!r} was in the input")
        row = numbers[identity]
        values = np.array([[row[name] for name in MEASURES]], np.float32)
        compared = tuple(
            Compared(limit, row[limit.measure], bool(limit.is_broken(values)[0]))
            for limit in limits
            if limit.group == row["group"] and limit.is_in_use
        )
        measures = {name: None if np.isnan(row[name]) else row[name] for name in MEASURES}
        twin = decisions[identity]["twin"]
        result.append(Explanation(decisions[identity], row["group"], measures, compared, actions.get(twin)))
    return result


def _by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}


def move_limits(
    folder: Path, limits: Mapping[str, float], rule_sets: Sequence[str] = (), num_ids: int = 10
) -> Moved:
    """Judge a result's documents again, with some borders moved or sets of rules added: row group by row group."""
    settings = read_summary(folder).settings
    now = limits_of(settings.rule_sets, settings.limits)
    then = limits_of([*settings.rule_sets, *rule_sets], {**settings.limits, **limits})
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
            now[i].border if i < len(now) else float("nan"),
            int(broken[0, i]),
            limit.border,
            int(broken[1, i]),
        )
        for i, limit in enumerate(then)
        if limit.is_in_use or (i < len(now) and now[i].is_in_use)
    )
    return Moved(borders, counts[0], counts[1], tuple(ids[0]), tuple(ids[1]))


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

    with pyarrow.parquet.ParquetFile(folder / DECISIONS_FILE) as decisions:
        for i, path in enumerate(sorted((folder / MEASURES_FOLDER).glob("*.parquet"))):
            table = pyarrow.parquet.read_table(path)
            rules = decisions.read_row_group(i, columns=["rule"]).column("rule").to_pylist()
            values = np.stack([table.column(name).to_numpy() for name in MEASURES], 1)
            groups = np.array([GROUPS.index(group) for group in table.column("group").to_pylist()], np.uint8)
            yield table.column("id").to_pylist(), rules, values, groups
