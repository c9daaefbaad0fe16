"""What kind of character each code point is, and its folded form, as tables a compiled loop can read.

The classes are coarse (letter, digit, Han, kana, punctuation, symbol, damaged ...). Folding is Unicode NFKC
plus lower case where that is one character: full-width forms become ASCII, so copies that differ in width or
case are equal. The tables cover the basic plane; the planes above it are classed by range. `kind_tables`
refines the classes: characters alike in all that any measure counts are of one kind, so a histogram over the
kinds is all that the pass has to keep.
"""

import functools
import unicodedata
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

OTHER, SPACE, LETTER, DIGIT, HAN, KANA, PUNCTUATION, SYMBOL, DAMAGED = range(9)
NUM_CLASSES = 9

_BY_CATEGORY = {"L": LETTER, "M": LETTER, "N": DIGIT, "P": PUNCTUATION, "S": SYMBOL, "Z": SPACE}
_HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x3005, 0x3007))
_KANA = ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F))
_SPACES = "\t\n\v\f\r\x85"


class CharacterTables(NamedTuple):
    """`classes` (65536,) uint8 and `folds` (65536,) uint16, indexed by code point."""

    classes: npt.NDArray[np.uint8]
    folds: npt.NDArray[np.uint16]


@functools.cache
def character_tables() -> CharacterTables:
    """Build the tables once (about 0.1 s)."""
    characters = [chr(code) for code in range(0x10000)]
    classes = np.array([_class(character) for character in characters], np.uint8)
    for ranges, kind in ((_HAN, HAN), (_KANA, KANA)):
        for first, last in ranges:
            inside = classes[first : last + 1]
            inside[inside != DAMAGED] = kind
    return CharacterTables(classes, np.array([_fold(character) for character in characters], np.uint16))


def _class(character: str) -> int:
    if character in _SPACES:
        return SPACE
    category = unicodedata.category(character)
    if category in ("Cf", "Co"):
        return OTHER  # joiners, direction marks, the byte-order mark; private use: rare Han characters of old texts
    return DAMAGED if character == "\ufffd" else _BY_CATEGORY.get(category[0], DAMAGED)


def _fold(character: str) -> int:
    folded = unicodedata.normalize("NFKC", character).lower()
    return ord(folded) if len(folded) == 1 and ord(folded) < 0x10000 else ord(character)


FOLD_BITS, KIND_BITS = 16, 8
WORD, ALPHABETIC, IDEOGRAPH, BLANK, STOP, WIDE_STOP, CLOSING, BULLET = (1 << bit for bit in range(8))
"""What the pass branches on: letter or digit; letter; Han or kana; white space; `.!?`, which end a sentence
before white space; marks that always end one; quotes and brackets that may follow them; marks before the item
of a list."""
NUM_STOP_CHARACTERS = 20
_ZH_STOP = (
    *"\u7684\u662f\u4e0d\u4e86\u5728\u6709\u4eba\u548c\u4e2d\u5e74\u6211\u4ed6\u4e5f\u4ee5\u800c\u4e4b",
    "\u8fd9\u9019",
    "\u4e2a\u500b",
    "\u4e3a\u70ba\u7232",
    "\u4e0e\u8207",
)
_MARKS = {
    STOP: ".!?",
    WIDE_STOP: "\u3002\uff01\uff1f\uff0e\uff61\u2026\u22ef\u0964\u0965\u061f\u06d4\u1362",
    CLOSING: "\"')]}\u00bb\u2019\u201d\u203a\u300d\u300f\u300b\u3011\uff09\uff3d\uff02\uff07",
    BULLET: "-*\u00b7\u2022\u2023\u25e6\u25cf\u25cb\u25a0\u25a1\u25aa\u25ab\u2013",
}
# What frequent Chinese characters, the comma, full stop and quotes become when their UTF-8 is read as GBK, without
# the key of traditional Chinese (U+9470).
_GBK_TRACE = "\u951b\u9286\u9225\u9428\u6d93\u5a11\u6d60\u59dd\u9365\u9354\u7f01\u93c4\u9422\u6d5c"


class KindTables(NamedTuple):
    """`entries` (65536,) uint32: fold | kind << 16 | flow << 24; `upper` (NUM_CLASSES,) uint32: kind and flow
    of a class.

    `features[name]` (num_kinds,) says how much a character of each kind adds to a count: class counts under
    the number of the class, the others under their name; `stop` (num_kinds, NUM_STOP_CHARACTERS) does so for
    common Chinese characters.
    """

    entries: npt.NDArray[np.uint32]
    upper: npt.NDArray[np.uint32]
    features: dict[Any, npt.NDArray[np.float64]]
    stop: npt.NDArray[np.float64]

    @property
    def num_kinds(self) -> int:
        """Length of a document's histogram."""
        return len(self.stop)

    def kinds(self, feature: str | int) -> npt.NDArray[np.int64]:
        """The kinds that have a feature."""
        return np.flatnonzero(self.features[feature])


@functools.cache
def kind_tables() -> KindTables:
    """Build the tables once (about 0.1 s on top of `character_tables`)."""
    classes, folds = character_tables()
    codes = np.arange(0x10000)
    pages = folds >> 8
    upper = np.array([unicodedata.category(chr(code)) in ("Lu", "Lt") for code in range(0x10000)])
    simplified, traditional = writings()
    is_operator = (folds == 0xD7) | (folds == 0xF7)  # the two that stand among the letters
    features: dict[str, npt.NDArray[Any]] = {
        "newline": codes == 10,
        "upper": upper,
        "hash": codes == ord("#"),
        "brace": codes == ord("{"),
        "ellipsis": codes == 0x2026,
        "latin_1_letter": (folds >= 0xC0) & (folds < 0x100) & ~is_operator,
        "latin_1_sign": ((folds >= 0x80) & (folds < 0xC0)) | is_operator,
        "gbk_trace": np.isin(folds, [ord(character) for character in _GBK_TRACE]),
        "hangul": (pages == 0x11) | ((pages >= 0xAC) & (pages <= 0xD7)),
        "japanese": pages == 0x30,
        "simplified": simplified,
        "traditional": traditional,
    }
    flow = np.zeros(0x10000, np.uint32)
    for bit, kinds in (
        (WORD, (LETTER, DIGIT)),
        (ALPHABETIC, (LETTER,)),
        (IDEOGRAPH, (HAN, KANA)),
        (BLANK, (SPACE,)),
    ):
        flow[np.isin(classes, kinds)] |= bit
    for bit, marks in _MARKS.items():
        flow[[ord(mark) for mark in marks]] |= bit
    stop = np.zeros(0x10000, np.int64)
    for number, characters in enumerate(_ZH_STOP, 1):
        stop[[ord(character) for character in characters]] = number
    columns = np.stack([classes.astype(np.int64), stop, *features.values()], 1)
    columns[classes == SPACE, 2 + list(features).index("latin_1_sign")] = 0
    widths = np.array([NUM_CLASSES, NUM_STOP_CHARACTERS + 1] + [2] * len(features))
    _, first, kind = np.unique(
        columns @ np.cumprod([1, *widths[:-1]]), return_index=True, return_inverse=True
    )
    rows = columns[first]
    assert len(rows) <= 1 << KIND_BITS
    high = kind.astype(np.uint32) << FOLD_BITS | flow << (FOLD_BITS + KIND_BITS)
    upper_entries = np.zeros(NUM_CLASSES, np.uint32)
    for number in range(NUM_CLASSES):
        has_only_class = (columns[:, 0] == number) & ~columns[:, 1:].any(axis=1) & (flow >> 4 == 0)
        upper_entries[number] = high[np.argmax(has_only_class)]
    table = {name: rows[:, column].astype(np.float64) for column, name in enumerate(features, 2)}
    of_class = {number: (rows[:, 0] == number).astype(np.float64) for number in range(NUM_CLASSES)}
    numbers = np.arange(1, NUM_STOP_CHARACTERS + 1)
    return KindTables(
        (folds | high).astype(np.uint32),
        upper_entries,
        of_class | table,
        (rows[:, 1:2] == numbers).astype(np.float64),
    )


@functools.cache
def writings() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(65536,) Han characters that only simplified, and that only traditional Chinese writes.

    By the character sets of the two: GB 2312 has what the mainland writes, Big5 what Taiwan and Hong Kong do.
    """
    simplified, traditional = np.zeros(0x10000, bool), np.zeros(0x10000, bool)
    for code in range(0x4E00, 0xA000):
        in_gb2312, in_big5 = (_is_in(chr(code), name) for name in ("gb2312", "big5"))
        simplified[code], traditional[code] = in_gb2312 and not in_big5, in_big5 and not in_gb2312
    return simplified, traditional


def _is_in(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
