"""Inputs cut into parts: the unit of work, of resuming, and of the files written.

    stretch   consecutive files, until they hold PART_BYTES on disk: known from sizes alone
    part      about `part_bytes` of the text of a stretch, cut between records; of Parquet, whole row groups
    piece     what a part takes from one file

Where the cuts lie depends on the files and on `part_bytes` alone, never on who reads them. JSON Lines are split at the
byte "\\n" only: texts may hold U+2028 and other line ends of Unicode.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stemma.corpus.files import JSON_LINES, InputFile, kind_of, open_bytes
from stemma.errors import StemmaError

PART_BYTES = 32 << 20
MAX_RECORD_BYTES = 64 << 20
_CHUNK = 1 << 20
_UNREADABLE = (EOFError, OSError, zlib.error)


class BadRecordError(StemmaError):
    """One record that cannot be used: a short reason to count by, and the sentence."""

    def __init__(self, reason: str, place: str, text: str) -> None:
        super().__init__(f"{place}: {text}")
        self.reason, self.place, self.text = reason, place, text

    def __reduce__(self) -> tuple[type["BadRecordError"], tuple[str, str, str]]:
        return BadRecordError, (self.reason, self.place, self.text)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive records of one file."""

    file: InputFile
    first: int
    """Number of its first record (line, row), from 1."""
    size: int
    """Bytes of text, about."""
    lines: bytes = b""
    """JSON Lines: the lines themselves."""
    row_groups: tuple[int, ...] = ()
    """Parquet: which row groups."""
    problem: BadRecordError | None = None
    """What stopped the reading behind these records, or a record that was passed over for its length."""


@dataclass(frozen=True, slots=True)
class Part:
    """The pieces of part `number` of stretch `stretch`; both count from 0."""

    stretch: int
    number: int
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """Names sort in the order of the input."""
        return part_name(self.stretch, self.number)


def part_name(stretch: int, number: int) -> str:
    """The name of a part's files."""
    return f"{stretch:06d}-{number:06d}"


def stretches(files: Sequence[InputFile], part_bytes: int = PART_BYTES) -> list[list[InputFile]]:
    """Consecutive files, a new list after every `part_bytes` bytes on disk."""
    result: list[list[InputFile]] = []
    room = 0
    for file in files:
        if room <= 0:
            result.append([])
            room = part_bytes
        result[-1].append(file)
        room -= file.path.stat().st_size
    return result


def cut(files: Sequence[InputFile], stretch: int = 0, part_bytes: int = PART_BYTES) -> Iterator[Part]:
    """The parts of one stretch, at least one. Memory: `part_bytes` and the longest record."""
    number, held, size = 0, list[Piece](), 0
    for file in files:
        for piece in pieces(file, part_bytes):
            held.append(piece)
            size += piece.size
            if size >= part_bytes:
                yield Part(stretch, number, tuple(held))
                number, held, size = number + 1, [], 0
    if held or not number:
        yield Part(stretch, number, tuple(held))


def pieces(file: InputFile, piece_bytes: int = PART_BYTES) -> Iterator[Piece]:
    """One file's records in pieces of about `piece_bytes`."""
    kind = kind_of(file.path)
    if kind in JSON_LINES:
        return _line_pieces(file, piece_bytes)
    if kind == ".parquet":
        return _row_group_pieces(file, piece_bytes)
    return iter([Piece(file, 1, file.path.stat().st_size)])


def _line_pieces(file: InputFile, piece_bytes: int) -> Iterator[Piece]:
    number, held, size = 1, list[bytes](), 0
    in_long_line, failure = False, None
    open_line, read = 0, 0  # bytes behind the last line end; bytes read of the file
    with open_bytes(file.path) as stream:
        while failure is None:
            try:
                chunk = stream.read1(_CHUNK)
            except _UNREADABLE as error:
                failure, chunk = error, _before_damage(file, read)
            read += len(chunk)
            if not chunk:
                break
            if in_long_line:
                end = chunk.find(b"\n") + 1
                if not end:
                    continue
                chunk, number, in_long_line = chunk[end:], number + 1, False
            held.append(chunk)
            size += len(chunk)
            last = chunk.rfind(b"\n") + 1
            open_line = len(chunk) - last if last else open_line + len(chunk)
            in_long_line = open_line > MAX_RECORD_BYTES
            if not in_long_line and (size < piece_bytes or not last):
                continue
            data = b"".join(held)
            end = size - open_line if in_long_line else data.find(b"\n", piece_bytes - 1) + 1
            if end or in_long_line:
                after = number + data.count(b"\n", 0, end)
                problem = too_long(f"{file.shown}, line {after}") if in_long_line else None
                yield Piece(file, number, end, lines=data[:end], problem=problem)
                number, data = after, b"" if in_long_line else data[end:]
                open_line = 0 if in_long_line else open_line
            held, size = [data], len(data)
    data = b"".join(held)
    if failure is None:
        if data:
            yield Piece(file, number, size, lines=data)
        return
    end = data.rfind(b"\n") + 1
    line = number + data.count(b"\n")
    text = f"cannot be read ({failure}); the file is truncated or damaged"
    problem = BadRecordError("damaged file", f"{file.shown}, line {line}", text)
    yield Piece(file, number, end, lines=data[:end], problem=problem)


def _before_damage(file: InputFile, start: int) -> bytes:
    """What a damaged file still holds behind `start`: a read that fails gives nothing of what it had."""
    found = bytearray()
    with open_bytes(file.path, buffer=1) as stream:
        for done in range(0, start, _CHUNK):
            stream.read(min(_CHUNK, start - done))
        try:
            while byte := stream.read(1):
                found += byte
        except _UNREADABLE:
            return bytes(found)
    return bytes(found)


def too_long(place: str) -> BadRecordError:
    """A record above MAX_RECORD_BYTES."""
    return BadRecordError("too large", place, f"is longer than {MAX_RECORD_BYTES} bytes; split the record")


def _row_group_pieces(file: InputFile, piece_bytes: int) -> Iterator[Piece]:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file.path) as table:
            metadata = table.metadata
            sizes = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
            rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            columns = table.schema_arrow.names
    except (pyarrow.ArrowException, OSError) as error:
        yield Piece(file, 1, 0, problem=damaged_parquet(file, 0, error))
        return
    if "text" not in columns:
        text = "has no column 'text'; rename the column that holds the text"
        yield Piece(file, 1, 0, problem=BadRecordError("no text", file.shown, text))
        return
    first, start, size = 1, 0, 0
    for i in range(len(sizes)):
        size += sizes[i]
        if size >= piece_bytes or i == len(sizes) - 1:
            yield Piece(file, first, size, row_groups=tuple(range(start, i + 1)))
            first, start, size = first + sum(rows[start : i + 1]), i + 1, 0


def damaged_parquet(file: InputFile, row: int, error: Exception) -> BadRecordError:
    """A Parquet file that cannot be read on after `row`."""
    first = str(error).splitlines()[0]
    return BadRecordError(
        "damaged file", f"{file.shown}, after row {row}", f"cannot be read as Parquet ({first})"
    )
