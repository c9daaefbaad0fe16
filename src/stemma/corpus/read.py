"""Documents and records from files, as a stream, with errors that name the file and the line.

A record that cannot be used stops the reading (`on_error="refuse"`) or is counted in a `BadRecords` (`on_error="skip"`).
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stemma.corpus.document import Document
from stemma.corpus.files import (
    JSON_LINES,
    PAGES,
    WARC,
    InputFile,
    find_files,
    kind_of,
    open_bytes,
)
from stemma.corpus.html import PageError, decode_html, extract
from stemma.corpus.parts import (
    MAX_RECORD_BYTES,
    BadRecordError,
    Piece,
    damaged_parquet,
    pieces,
    too_long,
)
from stemma.corpus.warc import BadWarcRecord, read_warc
from stemma.errors import StemmaError

OnError = Literal["refuse", "skip"]

_READ_BYTES = 4 << 20  # read at a time where one document after another is wanted
_EXAMPLES = 20
_PARQUET_ROWS = 1024  # rows made into Python values at a time
_TEXT_FIELDS = ("id", "source", "lang", "licence", "domain")
_FIELDS = ("text", *_TEXT_FIELDS, "weight", "quality")


@dataclass
class BadRecords:
    """Records that were passed over: how many by reason, and the first messages."""

    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    """Records of an archive that are no pages, by what they are; they are no fault of it."""

    @property
    def count(self) -> int:
        """How many records were passed over."""
        return sum(self.reasons.values())

    def add(self, bad: BadRecordError) -> None:
        """Count one."""
        self.reasons[bad.reason] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(str(bad))

    def extend(self, other: "BadRecords") -> None:
        """Count those of a later part of the input too."""
        self.reasons.update(other.reasons)
        self.others.update(other.others)
        self.examples += other.examples[: _EXAMPLES - len(self.examples)]


def read_documents(
    paths: Sequence[Path] | Path, on_error: OnError = "refuse", bad: BadRecords | None = None
) -> Iterator[Document]:
    """Stream the documents of files and folders, in the order given.

    A record without an `id` is called `<file name>:<line number>`, one without a `source` has its file's name. Raises
    StemmaError naming file and line at the first record that cannot be used; with `on_error="skip"` such records are
    passed over and counted in `bad`.
    """
    files, _ = find_files([paths] if isinstance(paths, Path) else paths)
    bad = BadRecords() if bad is None else bad
    for file in files:
        for piece in pieces(file, _READ_BYTES):
            yield from usable(read_piece(piece, bad.others), on_error, bad)


def usable(
    found: Iterator[Document | BadRecordError], on_error: OnError, bad: BadRecords
) -> Iterator[Document]:
    """The documents among what was found; the others are raised or counted."""
    for item in found:
        if isinstance(item, Document):
            yield item
        elif on_error == "refuse":
            raise item
        else:
            bad.add(item)


def batches(documents: Iterator[Document], num_characters: int) -> Iterator[list[Document]]:
    """The documents, so many characters at a time and at least one."""
    held, size = list[Document](), 0
    for document in documents:
        held.append(document)
        size += len(document.text)
        if size >= num_characters:
            yield held
            held, size = [], 0
    if held:
        yield held


def read_piece(piece: Piece, others: Counter[str] | None = None) -> Iterator[Document | BadRecordError]:
    """The documents of one piece of a file, and in their places the records that cannot be used.

    Records of an archive that are no pages are counted in `others`.
    """
    for row in _rows(piece, Counter() if others is None else others):
        if isinstance(row, BadRecordError):
            yield row
            continue
        try:
            yield _document(row, piece.file)
        except BadRecordError as error:
            yield error
    if piece.problem is not None:
        yield piece.problem


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
    bad = BadRecords() if bad is None else bad
    for piece in pieces(InputFile(path, path.name), _READ_BYTES):
        for row in (*_json_rows(piece), *([piece.problem] if piece.problem else ())):
            if not isinstance(row, BadRecordError):
                yield row.place, dict(row.fields)
            elif on_error == "refuse":
                raise row
            else:
                bad.add(row)


class _Row(NamedTuple):
    file: InputFile
    number: int
    fields: Mapping[str, Any]
    unit: str = "line"
    may_be_broken: bool = False  # strings may hold half of a surrogate pair, written as an escape

    @property
    def place(self) -> str:
        return f"{self.file.shown}, {self.unit} {self.number}"


def _rows(piece: Piece, others: Counter[str]) -> Iterator[_Row | BadRecordError]:
    if piece.lines:
        return _json_rows(piece)
    if piece.row_groups:
        return _parquet_rows(piece)
    kind = kind_of(piece.file.path)
    if kind in PAGES:
        return _page_file(piece.file)
    if kind in WARC:
        return _warc_rows(piece.file, others)
    return _text_file(piece.file) if kind == ".txt" else iter(())


def _document(row: _Row, file: InputFile) -> Document:
    text = row.fields.get("text")
    if text is None:
        lack = "'text' is null" if "text" in row.fields else "has no field 'text'"
        raise BadRecordError("no text", row.place, f"{lack}; every record needs one")
    if not isinstance(text, str):
        raise _no_string(row, "text", text)
    values = [row.fields.get(key) for key in _TEXT_FIELDS]
    if row.may_be_broken or not all(value is None or type(value) is str for value in values):
        _refuse_broken_unicode(row, "text", text)
        values = [_optional_text(row, key) for key in _TEXT_FIELDS]
    name, source, lang, licence, domain = values
    return Document(
        id=name or f"{file.name}:{row.number}",
        text=text,
        source=source or file.name,
        lang=lang,
        licence=licence,
        domain=domain or file.domain,
        weight=_number(row.fields.get("weight"), lambda number: 0 < number < math.inf),
        quality=_number(row.fields.get("quality"), lambda number: 0 <= number <= 1),
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
    raise _no_string(row, key, value)


def _no_string(row: _Row, key: str, value: object) -> BadRecordError:
    text = f"'{key}' is {_called(value)}, expected a string"
    return BadRecordError(f"{key} is not a string", row.place, text)


def _called(value: object) -> str:
    """What a value is, in words; Parquet has more kinds than JSON."""
    names = {bool: "true or false", dict: "an object", list: "a list", bytes: "bytes", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _number(value: object, is_meant: Callable[[float], bool]) -> float | None:
    """A number that can be meant; other data may mean other things by the name, and is left alone."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the range of floats
        return None
    return number if is_meant(number) else None


def _refuse_broken_unicode(row: _Row, key: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRecordError(
            "broken Unicode", row.place, f"'{key}' holds half of a surrogate pair; repair the record"
        ) from None


def _json_rows(piece: Piece) -> Iterator[_Row | BadRecordError]:
    import orjson

    for number, line in enumerate(piece.lines.split(b"\n"), piece.first):
        if not line or line.isspace():
            continue
        if len(line) > MAX_RECORD_BYTES:
            yield too_long(f"{piece.file.shown}, line {number}")
            continue
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield _json_row(piece.file, number, line)
            continue
        yield (
            _Row(piece.file, number, fields)
            if isinstance(fields, dict)
            else _no_object(piece.file, number, fields)
        )


def _json_row(file: InputFile, number: int, line: bytes) -> _Row | BadRecordError:
    """The standard library's reading, which takes more than the fast one and says what is wrong."""
    place = f"{file.shown}, line {number}"
    try:
        fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return BadRecordError(
            "not UTF-8", place, f"is not UTF-8 (byte {error.start}); save the file as UTF-8"
        )
    except (ValueError, RecursionError) as error:
        return BadRecordError("not JSON", place, f"is not valid JSON: {error}")
    if not isinstance(fields, dict):
        return _no_object(file, number, fields)
    return _Row(file, number, fields, may_be_broken=True)


def _no_object(file: InputFile, number: int, value: object) -> BadRecordError:
    text = f"is {'a string' if isinstance(value, str) else _called(value)}, expected an object with 'text'"
    return BadRecordError("not an object", f"{file.shown}, line {number}", text)


def _whole_file(file: InputFile, advice: str) -> bytes:
    """Raises BadRecordError for a file above MAX_RECORD_BYTES."""
    with open_bytes(file.path) as stream:
        data = stream.read(MAX_RECORD_BYTES + 1)
    if len(data) > MAX_RECORD_BYTES:
        raise BadRecordError("too large", file.shown, f"is larger than {MAX_RECORD_BYTES} bytes; {advice}")
    return data


def _text_file(file: InputFile) -> Iterator[_Row | BadRecordError]:
    try:
        data = _whole_file(file, "a .txt file is one document: split it")
        yield _Row(file, 1, {"text": data.decode("utf-8-sig")})
    except BadRecordError as error:
        yield error
    except UnicodeDecodeError as error:
        place = f"{file.shown}, line {error.object.count(bytes([10]), 0, error.start) + 1}"
        yield BadRecordError("not UTF-8", place, f"is not UTF-8 (byte {error.start}); save it as UTF-8")


def _page_file(file: InputFile) -> Iterator[_Row | BadRecordError]:
    try:
        html = decode_html(_whole_file(file, "no page of text is so long: leave it out"))
        yield _page_row(file, 1, html, None)
    except BadRecordError as error:
        yield error


def _warc_rows(file: InputFile, others: Counter[str]) -> Iterator[_Row | BadRecordError]:
    for record in read_warc(file.path, others):
        if isinstance(record, BadWarcRecord):
            yield BadRecordError(record.reason, f"{file.shown}, record {record.number}", record.text)
            continue
        try:
            yield _page_row(file, record.number, record.html, record.url)
        except BadRecordError as error:
            yield error


def _page_row(file: InputFile, number: int, html: str, url: str | None) -> _Row:
    """Raises BadRecordError for a page that gives no text."""
    try:
        page = extract(html)
    except PageError as error:
        place = file.shown if url is None else f"{file.shown}, record {number} ({url})"
        raise BadRecordError(error.reason, place, str(error)) from None
    fields = {"text": page.text, "source": url or page.url, "licence": page.licence}
    return _Row(file, number, fields, "record")


def _parquet_rows(piece: Piece) -> Iterator[_Row | BadRecordError]:
    import pyarrow
    import pyarrow.parquet

    number = piece.first - 1
    try:
        with pyarrow.parquet.ParquetFile(piece.file.path) as table:
            columns = [name for name in _FIELDS if name in table.schema_arrow.names]
            groups = list(piece.row_groups)
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS, row_groups=groups, columns=columns):
                for fields in batch.to_pylist():
                    number += 1
                    yield _Row(piece.file, number, fields, "row")
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        yield damaged_parquet(piece.file, number, error)
