"""The parts of a SentencePiece .model (a protobuf) that the library does not let one change.

Two edits are needed, and one model is written whole: the vocabulary of a GGUF file. Pieces that steer a chat but are stored as ordinary user-defined symbols (Baichuan's
<reserved_106>, InternLM's <eoh>) become control pieces, so that no text can spell them; and a second copy without the
dummy prefix encodes text that follows other text. Wire format: protobuf.dev/programming-guides/encoding.
Fields: sentencepiece_model.proto of github.com/google/sentencepiece.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # of ModelProto
_NAME, _SCORE, _TYPE = 1, 2, 3  # of a piece
_MODEL_TYPE, _BYTE_FALLBACK, _UNKNOWN_ID, _BEGIN_ID, _END_ID, _PAD_ID = (
    3,
    35,
    40,
    41,
    42,
    43,
)  # of the trainer
_RULES, _CHARACTER_MAP, _ADD_DUMMY_PREFIX, _REMOVE_EXTRA_WHITESPACES, _ESCAPE = (
    1,
    2,
    3,
    4,
    5,
)  # of the normalizer
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""types of a piece"""
UNIGRAM, BPE = 1, 2
"""types of a model; the two others, words and characters, are trained by nobody"""
_NO_ID = 2**64 - 1  # -1 as a varint


@dataclass(frozen=True, slots=True)
class Piece:
    """One vocabulary entry."""

    name: str
    type: int
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Model:
    """What this project needs to know of a .model file."""

    pieces: tuple[Piece, ...]
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    model_type: int = BPE
    byte_fallback: bool = True
    rules: str = "identity"
    """name of the normalization; "identity" changes no character"""


def read_model(raw: bytes) -> Model:
    """Read pieces and prefix rules; raises ValueError when `raw` is no complete SentencePiece model."""
    pieces: list[Piece] = []
    normalizer: dict[int, int | bytes] = {}
    trainer: dict[int, int | bytes] = {}
    seen: set[int] = set()
    for number, value in _fields(raw):
        seen.add(number)
        if number == _PIECES:
            fields = dict(_fields(_bytes(value)))
            score = _float(fields.get(_SCORE, 0))
            pieces.append(Piece(_bytes(fields[_NAME]).decode(), int(fields.get(_TYPE, NORMAL)), score))
        elif number == _TRAINER:
            trainer = dict(_fields(_bytes(value)))
        elif number == _NORMALIZER:
            normalizer = dict(_fields(_bytes(value)))
    if not pieces or not {_TRAINER, _NORMALIZER} <= seen:
        raise ValueError("pieces, trainer or normalizer settings are missing")
    return Model(
        tuple(pieces),
        bool(normalizer.get(_ADD_DUMMY_PREFIX, 1)),
        bool(normalizer.get(_REMOVE_EXTRA_WHITESPACES, 1)),
        int(trainer.get(_MODEL_TYPE, UNIGRAM)),
        bool(trainer.get(_BYTE_FALLBACK, 0)),
        _rules(normalizer),
    )


def write_model(model: Model, *, unknown: int, begin: int | None, end: int | None, pad: int | None) -> bytes:
    """A .model file of these pieces, with an identity normalization; the four ids are those of the special pieces."""
    trainer = [
        (_MODEL_TYPE, model.model_type),
        (_BYTE_FALLBACK, int(model.byte_fallback)),
        (_UNKNOWN_ID, unknown),
    ]
    trainer += [
        (field, _NO_ID if number is None else number)
        for field, number in ((_BEGIN_ID, begin), (_END_ID, end), (_PAD_ID, pad))
    ]
    normalizer = [
        (_RULES, b"identity"),
        (_ADD_DUMMY_PREFIX, int(model.add_dummy_prefix)),
        (_REMOVE_EXTRA_WHITESPACES, int(model.remove_extra_whitespaces)),
        (_ESCAPE, 1),
    ]
    pieces = [
        [(_NAME, piece.name.encode()), (_SCORE, _Fixed(struct.pack("<f", piece.score))), (_TYPE, piece.type)]
        for piece in model.pieces
    ]
    parts = [(_PIECES, piece) for piece in pieces] + [(_TRAINER, trainer), (_NORMALIZER, normalizer)]
    return b"".join(_field(number, _message(fields)) for number, fields in parts)


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


def _message(fields: Iterable[tuple[int, int | bytes]]) -> bytes:
    return b"".join(_field(number, value) for number, value in fields)


def _rules(normalizer: dict[int, int | bytes]) -> str:
    """The name; a character map under the name "identity" counts, whatever the name says."""
    name = _bytes(normalizer.get(_RULES, b"")).decode(errors="replace")
    mapped = bool(_bytes(normalizer.get(_CHARACTER_MAP, b"")))
    return "identity" if not mapped else name if name not in ("", "identity") else "a character map"


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


def _float(value: int | bytes) -> float:
    if isinstance(value, int):
        return 0.0
    if len(value) != 4:
        raise ValueError("a score that is no 32-bit number")
    return struct.unpack("<f", value)[0]


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")  # noqa: TRY004 - damaged file, not a wrong call
    return value
