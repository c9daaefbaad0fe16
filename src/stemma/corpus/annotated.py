"""Annotated parts on disk: each document's text after repair and all that was measured of it, with no verdict.

A part is an Arrow IPC file, uncompressed and memory-mapped, so that a stage reads only the columns it needs and any
document's text is found by its row; beside it `NAME.json` counts its documents and the records that could not be used.
Of its columns `said` is the language that the record names, `lang` and `script` what was recognised, `leak` "file#item".
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.config import plain
from stemma.corpus.read import BadRecords
from stemma.corpus.scan import scan
from stemma.corpus.toxicity import ToxicityAudit
from stemma.storage import atomic_file, write_json


class Batch(NamedTuple):
    """Documents in a row: `data` uint8, and text i in data[offsets[i]:offsets[i + 1]]."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]


def to_batch(texts: Any) -> Batch:
    """Views of a `large_string` array, or of a list of strings."""
    import pyarrow

    array = pyarrow.array(texts, pyarrow.large_string()) if isinstance(texts, list) else texts
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    bytes_ = np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8)
    return Batch(bytes_[bounds[0] : bounds[-1]], bounds - bounds[0])


@dataclass(frozen=True, slots=True)
class PartCounts:
    """What `NAME.json` holds."""

    documents: int
    tokens: int
    doubtful: int
    """Documents that only n-gram models of the corpus can judge: see `machine_text`."""
    bad: BadRecords
    audit: ToxicityAudit


class PartWriter:
    """Writes one annotated part, batch by batch; a context manager. Nothing is to be seen of it before it is complete."""

    def __init__(self, folder: Path, name: str) -> None:
        self._counts = folder / f"{name}.json"
        self._file = atomic_file(folder / f"{name}.arrow")
        self._writer: Any = None
        self._documents = 0

    def __enter__(self) -> Self:
        self._sink = self._file.__enter__()
        return self

    def add(self, columns: dict[str, Any]) -> None:
        """Append documents; every call has the same columns, of equal length."""
        import pyarrow

        batch = pyarrow.RecordBatch.from_pydict(columns)
        if self._writer is None:
            self._writer = pyarrow.ipc.new_file(self._sink, batch.schema)
        self._writer.write_batch(batch)
        self._documents += batch.num_rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._writer is not None:
            self._writer.close()
        return self._file.__exit__(kind, error, trace)

    def count(self, tokens: int, doubtful: int, bad: BadRecords, audit: ToxicityAudit) -> None:
        """Write the counts, after the part: they say that it is done."""
        counts = {"documents": self._documents, "tokens": tokens, "doubtful": doubtful}
        counts |= {"bad": plain(bad), "audit": audit.plain()}
        write_json(self._counts, counts, indent=None)


def part_counts(folder: Path, name: str) -> PartCounts | None:
    """The counts of a part that is done, else None."""
    try:
        read = json.loads((folder / f"{name}.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    bad = read["bad"]
    found = BadRecords(Counter(bad["reasons"]), bad["examples"], Counter(bad["others"]))
    return PartCounts(
        read["documents"], read["tokens"], read["doubtful"], found, ToxicityAudit.parse(read["audit"])
    )


class AnnotatedPart:
    """One part, memory-mapped."""

    def __init__(self, path: Path) -> None:
        import pyarrow

        self.table: Any = None
        if path.stat().st_size:
            with pyarrow.memory_map(str(path)) as source:
                self.table = pyarrow.ipc.open_file(source).read_all()

    def __len__(self) -> int:
        return 0 if self.table is None else self.table.num_rows

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """A column of numbers, (n,)."""
        return self.table.column(name).to_numpy()

    def matrix(self, name: str) -> npt.NDArray[Any]:
        """A column of rows of numbers, (n, width)."""
        column = self.table.column(name)
        width = column.type.list_size
        chunks = [chunk.flatten().to_numpy().reshape(-1, width) for chunk in column.chunks]
        return np.concatenate(chunks)

    def strings(self, name: str) -> list[Any]:
        """A column of strings as a list."""
        return cast(list[Any], self.table.column(name).to_pylist())

    def string(self, name: str, row: int) -> Any:
        """One value."""
        return self.table.column(name)[row].as_py()

    def texts(self, rows: npt.NDArray[np.int64] | Sequence[int]) -> Batch:
        """The texts of some rows, in their order."""
        wanted = np.asarray(rows, np.int64)
        chunks = [to_batch(chunk) for chunk in self.table.column("text").chunks]
        starts = np.cumsum([0, *(len(chunk.offsets) - 1 for chunk in chunks)])
        which = np.searchsorted(starts, wanted, side="right") - 1
        lengths = np.empty(len(wanted), np.int64)
        for i, chunk in enumerate(chunks):
            lengths[which == i] = np.diff(chunk.offsets)[wanted[which == i] - starts[i]]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        data = np.empty(offsets[-1], np.uint8)
        for i, chunk in enumerate(chunks):
            own = np.flatnonzero(which == i)
            _gather(chunk.data, chunk.offsets, wanted[own] - starts[i], data, offsets[own])
        return Batch(data, offsets)


@njit(cache=True, nogil=True)
def _gather(data: Any, offsets: Any, rows: Any, target: Any, places: Any) -> None:
    for i in range(len(rows)):
        first, last = offsets[rows[i]], offsets[rows[i] + 1]
        target[places[i] : places[i] + last - first] = data[first:last]


class AnnotatedCorpus:
    """All parts in order; document numbers count from 0 over all of them."""

    def __init__(self, folder: Path, names: Sequence[str], counts: Sequence[int]) -> None:
        self.folder, self.names = folder, tuple(names)
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(counts, np.int64))])
        self._open = lru_cache(maxsize=64)(lambda i: AnnotatedPart(folder / f"{self.names[i]}.arrow"))

    @property
    def num_documents(self) -> int:
        """Documents in all parts."""
        return int(self.starts[-1])

    def part(self, index: int) -> AnnotatedPart:
        """One part, kept open among the last used."""
        return self._open(index)

    def part_of(self, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The index of the part of each document number."""
        return np.searchsorted(self.starts, documents, side="right") - 1

    def string(self, name: str, document: int) -> Any:
        """One value of a document."""
        index = int(self.part_of(np.array([document]))[0])
        return self.part(index).string(name, document - int(self.starts[index]))

    def weights(self, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(n,) the column weight of documents in any order, part by part."""
        order = np.argsort(documents, kind="stable")
        bounds = np.searchsorted(documents[order], self.starts)
        result = np.empty(len(documents), np.int64)
        for index in np.flatnonzero(np.diff(bounds)).tolist():
            own = order[bounds[index] : bounds[index + 1]]
            result[own] = self.part(index).numbers("weight")[documents[own] - self.starts[index]]
        return result

    def tokens(
        self, documents: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """The tokens of documents given in order, and (n + 1,) where each one's begin."""
        tokens, lengths = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        parts = self.part_of(documents)
        for part in np.unique(parts).tolist():
            batch = self.part(part).texts(documents[parts == part] - self.starts[part])
            scanned = scan(batch.data, batch.offsets)
            tokens.append(scanned.tokens)
            lengths.append(np.diff(scanned.token_offsets))
        ends = np.cumsum(np.concatenate(lengths))
        return np.concatenate(tokens), np.concatenate([np.zeros(1, np.int64), ends])
