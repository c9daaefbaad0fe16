"""Documents and records from files, as a stream, with errors that name the file and the line.

JSON Lines (plain, .zst, .gz) are split at the byte "\\n" only: texts may hold U+2028 and other line ends of Unicode.
Parquet is read row group by row group; a .txt file is one document. A record that cannot be used stops the reading
(`on_error="refuse"`) or is counted in a `BadRecords` (`on_error="skip"`).
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stemma.corpus.document import Document
from stemma.corpus.files import JSON_LINES, InputFile, find_files, kind_of, open_bytes
from stemma.errors import StemmaError

OnError = Literal["refuse", "skip"]

MAX_RECORD_BYTES = 64 * 1024 * 1024
_EXAMPLES = 20
_PARQUET_ROWS = 1024  # rows made into Python values at a time
_UNREADABLE = (EOFError, OSError, zlib.error)


@dataclass
class BadRecords:
    """Records that were passed over: how many by reason, and the first messages."""

    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many records were passed over."""
        return sum(self.reasons.values())

    def add(self, bad: "_BadRecordError") -> None:
        """Count one."""
        self.reasons[bad.reason] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(str(bad))


class _BadRecordError(StemmaError):
    """One record that cannot be used: a short reason to count by, and the sentence."""

    def __init__(self, reason: str, place: str, text: str) -> None:
        super().__init__(f"{place}: {text}")
        self.reason = reason


def read_documents(
    paths: Sequence[Path] | Path, on_error: OnError = "refuse", bad: BadRecords | None = None
) -> Iterator[Document]:
    """Stream the documents of files and folders, in the order given.

    A record without an `id` is called `<file name>:<line number>`, one without a `source` has its file's name. Raises
    StemmaError naming file and line at the first record that cannot be used; with `on_error="skip"` such records are
    passed over and counted in `bad`.
    """
    files, _ = find_files([paths] if isinstance(paths, Path) else paths)
    for file in files:
        yield from read_file(file, on_error, bad)


def read_file(
    file: InputFile, on_error: OnError = "refuse", bad: BadRecords | None = None
) -> Iterator[Document]:
    """Stream the documents of one file; see `read_documents`."""
    bad = BadRecords() if bad is None else bad
    kind = kind_of(file.path)
    rows = (
        _text_file(file)
        if kind == ".txt"
        else _parquet_rows(file)
        if kind == ".parquet"
        else _json_rows(file)
    )
    for row in _usable(rows, on_error, bad):
        try:
            yield _document(row, file)
        except _BadRecordError as error:
            _refuse_or_count(error, on_error, bad)


def read_records(
    path: Path, on_error: OnError = "refuse", bad: BadRecords | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stream the JSON objects of one JSON Lines file as (place, object); `place` is "file, line n", for messages.

    Raises StemmaError like `read_documents`, and for a file that is not JSON Lines.
    """
    if not path.is_file():
        raise StemmaError(f"{path}: does not exist or is not a file; give a JSON Lines file")
    if kind_of(path) not in JSON_LINES:
        raise StemmaError(f"{path}: is not JSON Lines; its name must end in {', '.join(JSON_LINES)}")
    file = InputFile(path, path.name)
    for row in _usable(_json_rows(file), on_error, BadRecords() if bad is None else bad):
        yield row.place, dict(row.fields)


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    number: int
    fields: Mapping[str, Any]


def _usable(rows: Iterator[_Row | _BadRecordError], on_error: OnError, bad: BadRecords) -> Iterator[_Row]:
    for row in rows:
        if isinstance(row, _BadRecordError):
            _refuse_or_count(row, on_error, bad)
        else:
            yield row


def _refuse_or_count(error: _BadRecordError, on_error: OnError, bad: BadRecords) -> None:
    if on_error == "refuse":
        raise error
    bad.add(error)


def _document(row: _Row, file: InputFile) -> Document:
    text = row.fields.get("text")
    if text is None:
        raise _BadRecordError("no text", row.place, "has no field 'text'; every record needs one")
    if not isinstance(text, str):
        raise _BadRecordError(
            "text is not a string", row.place, f"'text' is a {type(text).__name__}, expected a string"
        )
    _refuse_broken_unicode(row, "text", text)
    values = {key: _optional_text(row, key) for key in ("id", "source", "lang", "licence", "domain")}
    name = values["id"] or f"{file.name}:{row.number}"
    return Document(
        id=name,
        text=text,
        source=values["source"] or file.name,
        lang=values["lang"],
        licence=values["licence"],
        domain=values["domain"] or file.path.name.split(".")[0],
    )


def _optional_text(row: _Row, key: str) -> str | None:
    value = row.fields.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        _refuse_broken_unicode(row, key, value)
        return value
    if key == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _BadRecordError(
        f"{key} is not a string", row.place, f"'{key}' is a {type(value).__name__}, expected a string"
    )


def _refuse_broken_unicode(row: _Row, key: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _BadRecordError(
            "broken Unicode", row.place, f"'{key}' holds half of a surrogate pair; repair the record"
        ) from None


def _json_rows(file: InputFile) -> Iterator[_Row | _BadRecordError]:
    for line in _lines(file):
        if isinstance(line, _BadRecordError):
            yield line
            continue
        number, data = line
        if not data.strip():
            continue
        yield _json_row(f"{file.path}, line {number}", number, data)


def _json_row(place: str, number: int, data: bytes) -> _Row | _BadRecordError:
    try:
        fields = json.loads(data.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return _BadRecordError(
            "not UTF-8", place, f"is not UTF-8 (byte {error.start}); save the file as UTF-8"
        )
    except (ValueError, RecursionError) as error:
        return _BadRecordError("not JSON", place, f"is not valid JSON: {error}")
    if not isinstance(fields, dict):
        return _BadRecordError(
            "not an object", place, f"is a JSON {type(fields).__name__}, expected an object with 'text'"
        )
    return _Row(place, number, fields)


def _lines(file: InputFile) -> Iterator[tuple[int, bytes] | _BadRecordError]:
    number = 0
    with open_bytes(file.path) as stream:
        while True:
            number += 1
            place = f"{file.path}, line {number}"
            try:
                line = stream.readline(MAX_RECORD_BYTES + 1)
                too_long = len(line) > MAX_RECORD_BYTES
                rest = line
                while too_long and rest and not rest.endswith(b"\n"):
                    rest = stream.readline(MAX_RECORD_BYTES)
            except _UNREADABLE as error:
                yield _BadRecordError(
                    "damaged file", place, f"cannot be read ({error}); the file is truncated or damaged"
                )
                return
            if too_long:
                yield _BadRecordError(
                    "too large", place, f"is longer than {MAX_RECORD_BYTES} bytes; split the record"
                )
            elif not line:
                return
            else:
                yield number, line


def _text_file(file: InputFile) -> Iterator[_Row | _BadRecordError]:
    place = str(file.path)
    pieces: list[bytes] = []
    size = 0
    with open_bytes(file.path) as stream:
        while piece := stream.read(1 << 20):
            size += len(piece)
            if size > MAX_RECORD_BYTES:
                text = f"is larger than {MAX_RECORD_BYTES} bytes; a .txt file is one document: split it"
                yield _BadRecordError("too large", place, text)
                return
            pieces.append(piece)
    data = b"".join(pieces)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        yield _BadRecordError(
            "not UTF-8", f"{place}, line {line}", f"is not UTF-8 (byte {error.start}); save it as UTF-8"
        )
        return
    yield _Row(place, 1, {"text": text})


def _parquet_rows(file: InputFile) -> Iterator[_Row | _BadRecordError]:
    import pyarrow
    import pyarrow.parquet

    wanted = ("text", "id", "source", "lang", "licence", "domain")
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file.path) as table:
            columns = [name for name in wanted if name in table.schema_arrow.names]
            if "text" not in columns:
                yield _BadRecordError(
                    "no text", str(file.path), "has no column 'text'; rename the column that holds the text"
                )
                return
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS, columns=columns):
                for fields in batch.to_pylist():
                    number += 1
                    yield _Row(f"{file.path}, row {number}", number, fields)
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        first = str(error).splitlines()[0]
        place = f"{file.path}, after row {number}"
        yield _BadRecordError("damaged file", place, f"cannot be read as Parquet ({first})")
