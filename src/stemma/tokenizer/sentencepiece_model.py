"""The parts of a SentencePiece .model (a protobuf) that the library does not let one change.

Two edits are needed. Pieces that steer a chat but are stored as ordinary user-defined symbols (Baichuan's
<reserved_106>, InternLM's <eoh>) become control pieces, so that no text can spell them; and a second copy without the
dummy prefix encodes text that follows other text. Wire format: protobuf.dev/programming-guides/encoding.
Fields: sentencepiece_model.proto of github.com/google/sentencepiece.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # of ModelProto
_NAME, _TYPE = 1, 3  # of a piece
_ADD_DUMMY_PREFIX, _REMOVE_EXTRA_WHITESPACES = 3, 4  # of the normalizer
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""types of a piece"""


@dataclass(frozen=True, slots=True)
class Piece:
    """One vocabulary entry."""

    name: str
    type: int


@dataclass(frozen=True, slots=True)
class Model:
    """What this project needs to know of a .model file."""

    pieces: tuple[Piece, ...]
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool


def read_model(raw: bytes) -> Model:
    """Read pieces and prefix rules; raises ValueError when `raw` is no complete SentencePiece model."""
    pieces: list[Piece] = []
    normalizer: dict[int, int | bytes] = {}
    seen: set[int] = set()
    for number, value in _fields(raw):
        seen.add(number)
        if number == _PIECES:
            fields = dict(_fields(_bytes(value)))
            pieces.append(Piece(_bytes(fields[_NAME]).decode(), int(fields.get(_TYPE, NORMAL))))
        elif number == _NORMALIZER:
            normalizer = dict(_fields(_bytes(value)))
    if not pieces or not {_TRAINER, _NORMALIZER} <= seen:
        raise ValueError("pieces, trainer or normalizer settings are missing")
    return Model(
        tuple(pieces),
        bool(normalizer.get(_ADD_DUMMY_PREFIX, 1)),
        bool(normalizer.get(_REMOVE_EXTRA_WHITESPACES, 1)),
    )


def with_control_pieces(raw: bytes, is_control: Callable[[str], bool]) -> bytes:
    """The model with the pieces whose name satisfies `is_control` turned into control pieces."""
    edited = bytearray()
    for number, value in _fields(raw):
        if number == _PIECES and is_control(_bytes(dict(_fields(_bytes(value)))[_NAME]).decode()):
            value = _with_number(_bytes(value), _TYPE, CONTROL)
        edited += _field(number, value)
    return bytes(edited)


def without_dummy_prefix(raw: bytes) -> bytes:
    """The model putting no space before a text."""
    edited = bytearray()
    for number, value in _fields(raw):
        if number == _NORMALIZER:
            value = _with_number(_bytes(value), _ADD_DUMMY_PREFIX, 0)
        edited += _field(number, value)
    return bytes(edited)


class _Fixed(bytes):
    """A 4- or 8-byte field, kept as it is."""


def _with_number(message: bytes, number: int, value: int) -> bytes:
    kept = b"".join(_field(key, old) for key, old in _fields(message) if key != number)
    return kept + _field(number, value)


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) in file order: int for varints, bytes for the rest."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield key >> 3, value
            continue
        if wire not in (1, 2, 5):
            raise ValueError(f"wire type {wire}")
        size = 8 if wire == 1 else 4
        if wire == 2:
            size, at = _varint(raw, at)
        if at + size > len(raw):
            raise ValueError("cut short")
        part = raw[at : at + size]
        at += size
        yield key >> 3, part if wire == 2 else _Fixed(part)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _write_varint(number << 3) + _write_varint(value)
    if isinstance(value, _Fixed):
        return _write_varint(number << 3 | (5 if len(value) == 4 else 1)) + value
    return _write_varint(number << 3 | 2) + _write_varint(len(value)) + value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise ValueError("cut short")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _write_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")  # noqa: TRY004 - damaged file, not a wrong call
    return value
