"""The texts of evaluation sets, read from the files they are published in.

A record is any JSON object, table row or nested object that directly holds text. Each of its fields that says enough
becomes an item; where none does alone (a short question and its options), the record's fields together are one item.
Options never stand alone, nor do numbers, identifiers and links. A text that occurs twice is one item, the first.
"""

import csv
import functools
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stemma.corpus.characters import HAN, KANA, character_tables
from stemma.corpus.files import JSON_LINES, InputFile, open_bytes, printable, with_unique_names
from stemma.corpus.read import read_records
from stemma.corpus.scan import tokens_of
from stemma.errors import StemmaError

MIN_INFORMATION = 7.5  # 8 words, or 12 Han characters; below it a sentence may be anybody's
_MIN_IN_WORDS = 1.5  # of it; the rest may be a formula
_HAN_INFORMATION, _SMALL_INFORMATION = 0.625, 0.35  # of a Han character; of a number or single letter

_MAX_BYTES = 1 << 30  # of one JSON file, or one table
_METADATA = re.compile(
    r"(.*_)?(id|ids|idx|uid|uuid|guid|index|source|url|link|licen[cs]e|canary|bench|lang|language|"
    r"subject|task|category|type|level|split|version|metadata)",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"options?|choices?|candidates|endings?|targets?|answers|[a-j]|(mc|ans|opa?|(option|choice|ending|sol|distractor|"
    r"incorrect_answer)s?)[_ ]?[a-j0-9]*(_targets)?",
    re.IGNORECASE,
)
_NAME = re.compile(r"id|uid|guid|task_id|question_id|problem_id", re.IGNORECASE)
_LINK = re.compile(r"\b\w+://\S+")


@dataclass(frozen=True, slots=True)
class Item:
    """One text of an evaluation set."""

    file: str
    id: str
    """The record's own name where it has a telling one, else its place in the file."""
    field: str
    """The field the text is in; several joined by "+"."""
    tokens: npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Items:
    """What the evaluation sets hold, and what was not taken from them."""

    items: tuple[Item, ...]
    num_files: int
    num_records: int
    num_uninformative: int
    """Records without enough text to be recognised by."""
    num_repeated: int
    """Texts equal to an earlier one."""
    ignored_files: tuple[str, ...]
    """Files of other kinds."""


class _Record(NamedTuple):
    place: str
    name: str | None
    texts: list[tuple[str, str]]
    """(field, text)"""
    options: list[tuple[str, str]]


def load_items(paths: Sequence[Path] | Path) -> Items:
    """Read evaluation sets from files and folders (.jsonl, .json, .csv, .tsv, each also .gz or .zst; .parquet).

    Raises StemmaError naming file and line for one that cannot be read, and when nothing in them is long enough.
    """
    paths = [paths] if isinstance(paths, Path) else list(paths)
    files, ignored = find_evaluation_files(paths)
    taken: dict[bytes, Item] = {}
    num_records = num_uninformative = num_repeated = 0
    for path, name in files:
        for record in _READERS[_kind(path)](path):
            num_records += 1
            texts = _informative(record)
            num_uninformative += not texts
            for field, tokens in texts:
                item = Item(name, record.name or record.place, field, tokens)
                num_repeated += taken.setdefault(tokens.tobytes(), item) is not item
    if not taken:
        raise StemmaError(
            f"{', '.join(map(str, paths[:3]))}: no text in the evaluation sets is long enough to be recognised; "
            f"{num_records} records were read from {len(files)} files"
        )
    return Items(
        items=tuple(taken.values()),
        num_files=len(files),
        num_records=num_records,
        num_uninformative=num_uninformative,
        num_repeated=num_repeated,
        ignored_files=tuple(ignored),
    )


def token_information(tokens: npt.NDArray[np.uint64]) -> npt.NDArray[np.float32]:
    """(num_tokens,) what each token tells: a word 1, a Han or kana character less, a number or letter little."""
    weak, information = _weak_tokens()
    place = np.minimum(np.searchsorted(weak, tokens), len(weak) - 1)
    return np.where(weak[place] == tokens, information[place], np.float32(1))


@functools.cache
def _weak_tokens() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]:
    """Hashes of the tokens that tell less than a word, sorted, and what each tells."""
    codes = np.flatnonzero(np.isin(character_tables().classes, (HAN, KANA)))
    letters = [chr(code) for code in (*range(ord("a"), ord("z") + 1), *range(0x3B1, 0x3CA))]
    numbers = [*map(str, range(10_000)), *(f"{n:02}" for n in range(10)), "000"]
    han, small = tokens_of("".join(map(chr, codes))), tokens_of(" ".join(letters + numbers))
    information = np.repeat(
        np.array([_HAN_INFORMATION, _SMALL_INFORMATION], np.float32), [len(han), len(small)]
    )
    weak, first = np.unique(np.concatenate([han, small]), return_index=True)
    return weak, information[first]


def _informative(record: _Record) -> list[tuple[str, npt.NDArray[np.uint64]]]:
    scanned = [(field, tokens_of(_LINK.sub(" ", text))) for field, text in record.texts]
    enough = [(field, tokens) for field, tokens in scanned if _says_enough(tokens)]
    if enough or not scanned:
        return enough
    fields = record.texts + record.options
    tokens = tokens_of("\n".join(text for _, text in fields))
    return [("+".join(dict.fromkeys(field for field, _ in fields)), tokens)] if _says_enough(tokens) else []


def _says_enough(tokens: npt.NDArray[np.uint64]) -> bool:
    information = token_information(tokens)
    in_words = information[information > np.float32(_SMALL_INFORMATION)].sum()
    return bool(information.sum() >= MIN_INFORMATION and in_words >= _MIN_IN_WORDS)


def _records(value: Any, place: str) -> Iterator[_Record]:
    """The objects inside a JSON value that directly hold text, from the outside in."""
    if isinstance(value, list):
        for number, each in enumerate(value, 1):
            yield from _records(each, f"{place}, record {number}" if place else f"record {number}")
    elif isinstance(value, dict):
        record = _Record(place or "record 1", _own_name(value), [], [])
        nested: list[tuple[str, Any]] = []
        for key, each in value.items():
            if not _METADATA.fullmatch(key):
                _sort_in(key, each, record, nested)
        if record.texts or record.options:
            yield record
        for key, each in nested:
            yield from _records(each, f"{place}, {key}" if place else key)


def _sort_in(key: str, value: Any, record: _Record, nested: list[tuple[str, Any]]) -> None:
    is_option = bool(_OPTION.fullmatch(key))
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if texts and all(isinstance(text, str) for text in texts):
        # A list of strings is a list of options, whatever its name, unless the list is all there is to a text.
        chosen = record.options if is_option or len(texts) > 1 else record.texts
        chosen += [(key, text) for text in texts]
    elif isinstance(value, dict | list) and is_option:
        record.options.extend((key, text) for text in _strings(value))
    elif isinstance(value, dict | list):
        nested.append((key, value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _own_name(fields: dict[str, Any]) -> str | None:
    """An id with a letter in it; plain numbers start again in each part of many sets."""
    names = (value for key, value in fields.items() if _NAME.fullmatch(key) and isinstance(value, str))
    return next((name for name in names if re.search(r"[^\W\d]", name)), None)


def _read_json_lines(path: Path) -> Iterator[_Record]:
    for place, fields in read_records(path):
        yield from _records(fields, place.rpartition(", ")[2])


def _read_json(path: Path) -> Iterator[_Record]:
    text = _text(path)
    try:
        value = json.loads(text)
    except RecursionError:
        raise StemmaError(f"{path}: is nested too deeply; flatten it to one object a line") from None
    except ValueError as error:
        value = _objects_in_lines(text)
        if value is None:
            raise StemmaError(f"{path}: is not valid JSON: {error}") from None
    yield from _records(value, "")


def _objects_in_lines(text: str) -> list[Any] | None:
    """JSON Lines under the name .json, which many sets are published as."""
    try:
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        return None


def _read_table(path: Path) -> Iterator[_Record]:
    csv.field_size_limit(_MAX_BYTES)
    delimiter = "\t" if ".tsv" in path.suffixes or ".TSV" in path.suffixes else ","
    rows = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter)
    header: list[str] | None = None
    try:
        for number, row in enumerate(rows, 1):
            if number == 1:
                header = _header(row)
            if number > 1 or header is None:
                yield from _records(_row(row, header), f"row {number}")
    except csv.Error as error:
        raise StemmaError(f"{path}, line {rows.line_num}: is not a table: {error}") from None


def _header(row: list[str]) -> list[str] | None:
    """The first row where it holds names; many multiple-choice tables start with their first question."""
    named = any(_OPTION.fullmatch(c) or re.fullmatch(r"(?i)question|prompt|text|sentence\w*", c) for c in row)
    short = all(len(cell) <= 40 for cell in row) and len(set(row)) == len(row)
    return row if short and (named or all(re.fullmatch(r"[\w -]*", cell) for cell in row)) else None


def _row(row: list[str], header: list[str] | None) -> dict[str, str]:
    names = header or ["text", *(f"option{number}" for number in range(1, len(row)))]
    return {name or f"column {n}": cell for n, (name, cell) in enumerate(zip(names, row, strict=False), 1)}


def _read_parquet(path: Path) -> Iterator[_Record]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise StemmaError(f"{path}: reading Parquet needs pyarrow; pip install 'stemma-llm[clean]'") from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                for fields in batch.to_pylist():
                    number += 1
                    yield from _records(fields, f"row {number}")
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        first = str(error).splitlines()[0]
        raise StemmaError(f"{path}, after row {number}: cannot be read as Parquet ({first})") from None


def _text(path: Path) -> str:
    try:
        with open_bytes(path) as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise StemmaError(f"{path}: cannot be read ({error}); the file is truncated or damaged") from None
    if len(data) > _MAX_BYTES:
        raise StemmaError(f"{path}: is larger than {_MAX_BYTES} bytes; split it or make it JSON Lines")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise StemmaError(
            f"{path}, line {line}: is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from None


_READERS: dict[str | None, Callable[[Path], Iterator[_Record]]] = {
    **dict.fromkeys(JSON_LINES, _read_json_lines),
    **{f".json{packed}": _read_json for packed in ("", ".gz", ".zst")},
    **{f".{kind}{packed}": _read_table for kind in ("csv", "tsv") for packed in ("", ".gz", ".zst")},
    ".parquet": _read_parquet,
}


def _kind(path: Path) -> str | None:
    name = path.name.lower()
    return next((str(ending) for ending in _READERS if name.endswith(str(ending))), None)


def find_evaluation_files(paths: list[Path]) -> tuple[list[tuple[Path, str]], list[str]]:
    """(files with the names their items are called by, unique as those of inputs are; names passed over)."""
    readable = ", ".join(map(str, _READERS))
    if not paths:
        raise StemmaError("no evaluation set was given; name the files or folders that hold them")
    found: list[InputFile] = []
    ignored: list[str] = []
    for path in paths:
        if not path.exists():
            raise StemmaError(f"{path}: does not exist; give a file or folder of evaluation sets")
        if not path.is_dir():
            if _kind(path) is None:
                raise StemmaError(f"{path}: is not a kind of evaluation set that can be read: {readable}")
            found.append(InputFile(path, printable(path.name)))
            continue
        inside = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        visible = [n for n in inside if not any(part.startswith(".") for part in n.split("/"))]
        files = [InputFile(path / n, printable(n)) for n in visible if _kind(Path(n))]
        if not files:
            raise StemmaError(f"{path}: holds no evaluation set that can be read; readable: {readable}")
        found += files
        ignored += [printable(n) for n in visible if not _kind(Path(n))]
    return [(file.path, file.name) for file in with_unique_names(found)], ignored
