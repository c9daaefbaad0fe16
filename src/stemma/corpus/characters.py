"""What kind of character each code point is, and its folded form, as tables a compiled loop can read.

The classes are coarse (letter, digit, Han, kana, punctuation, symbol, damaged ...). Folding is Unicode NFKC plus lower
case where that is one character: full-width forms become ASCII, so copies that differ in width or case are equal.
The tables cover the basic plane; the planes above it are classed by range.
"""

import functools
import unicodedata
from typing import NamedTuple

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
