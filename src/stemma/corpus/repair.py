"""Repairs that cannot make a text worse: bytes read in the wrong encoding, markup left around a text, lines of page
furniture, passages in a loop.

Each is a function from text to text that returns it unchanged where it does not apply. A misread run is put right when
its characters, as the bytes they were, are whole UTF-8 sequences; markup goes when a text is a page or a piece of one;
furniture goes line by line (`furniture`), copies that follow each other at once go but for the first (`loops`).

Few texts need any. In a batch, compiled passes over the bytes find those that may, and only these become strings.
"""

import html
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.furniture import bare_start, find_furniture, strip_furniture
from stemma.corpus.loops import find_loops, strip_loops


class Repaired(NamedTuple):
    """A text and the names of the repairs that changed it.

    `lost` is the share of its visible characters, markup aside, that lines of furniture took."""

    text: str
    edits: tuple[str, ...]
    lost: float


def repair(text: str) -> Repaired:
    """Apply every repair that applies, in a fixed order."""
    edits: list[str] = []
    lost = 0.0
    for name, function in _REPAIRS:
        changed = function(text)
        if changed != text:
            edits.append(name)
            if function is strip_furniture:
                lost = _lost(text, changed)
            text = changed
    single = strip_loops(text)
    if single != text:
        edits.append("loop")
    return Repaired(single, tuple(edits), lost)


def repair_batch(
    data: bytes | npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
) -> list[tuple[int, Repaired]]:
    """The documents of a batch that a repair changed, by number, each with what `repair` makes of it.

    Document i is the UTF-8 bytes data[offsets[i] : offsets[i + 1]]."""
    array = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.view()
    array.flags.writeable = False  # one type to compile for
    suspects = set(np.flatnonzero(_suspects(array, offsets)).tolist())
    suspects.update(document for document, _, _ in find_furniture(array, offsets))
    suspects.update(document for document, _, _ in find_loops(array, offsets))
    changed: list[tuple[int, Repaired]] = []
    for document in sorted(suspects):
        text = array[offsets[document] : offsets[document + 1]].tobytes().decode("utf-8", "surrogatepass")
        repaired = repair(text)
        if repaired.edits:
            changed.append((document, repaired))
    return changed


def decode_misread(text: str) -> str:
    """UTF-8 that was read as Latin-1 or Windows-1252, put right where the bytes are whole sequences.

    Two-byte sequences look like ordinary letters and signs side by side, so they count only where there are several or
    a longer one stands beside them.
    """
    if not _MISREAD_LEAD.search(text):
        return text
    found = list(_MISREAD.finditer(text))
    certain = sum(len(match.group()) > 2 for match in found)
    if not certain and len(found) < _FEWEST_PAIRS:
        return text
    return _MISREAD.sub(_reread, text)


def strip_markup(text: str) -> str:
    """The text of a page or a piece of one: scripts and styles gone, blocks on lines of their own, entities resolved.

    A text is taken for a page when it begins with a block element and closes at least two; code and prose about markup
    do not begin so.
    """
    if not _PAGE_START.match(text) or len(_CLOSING.findall(text)) < 2:
        return text
    text = _SILENT.sub("\n", text)
    text = _BLOCK.sub("\n", text)
    text = html.unescape(_INLINE.sub("", text)).replace("\xa0", " ")
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def _character_of_byte(byte: int) -> set[str]:
    """What a byte looks like when read as Latin-1 and as Windows-1252."""
    try:
        return {chr(byte), bytes([byte]).decode("cp1252")}
    except UnicodeDecodeError:
        return {chr(byte)}


_BYTE_OF = {character: byte for byte in range(0x80, 0x100) for character in _character_of_byte(byte)}
_CONTINUATION = "[" + re.escape("".join(sorted(c for c, byte in _BYTE_OF.items() if byte < 0xC0))) + "]"
_LEAD = {1: "[\u00c2\u00c3]", 2: "[\u00e0-\u00ef]", 3: "[\u00f0-\u00f4]"}
_QUOTE_CUT = "\u00e2\u20ac\ufffd"  # a closing quotation mark whose last byte Windows-1252 cannot show
_MISREAD_LEAD = re.compile(
    "[\u00c2\u00c3\u00e0-\u00f4][\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020-\u2122\u0152-\u017e\u02c6\u02dc]"
)
_MISREAD = re.compile(
    "|".join([*(f"{lead}{_CONTINUATION}{{{count}}}" for count, lead in reversed(_LEAD.items())), _QUOTE_CUT])
)
_FEWEST_PAIRS = 3

_BLOCKS = "address article aside blockquote body br dd div dl dt figure footer form h[1-6] header hr html li main nav ol p pre section table tbody td th thead tr ul"
_INLINES = "a abbr b big button cite code del em embed font i iframe img input ins label link meta noscript object option s select small source span strong sub sup svg title u var video"
_PAGE_START = re.compile(rf"\s*(?:<!doctype|<(?:{'|'.join(_BLOCKS.split())})\b)", re.IGNORECASE)
_SILENT = re.compile(r"<(script|style)\b[^>]*>.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_BLOCK = re.compile(rf"</?(?:{'|'.join(_BLOCKS.split())})\b[^<>]*>|<!doctype[^<>]*>", re.IGNORECASE)
_INLINE = re.compile(rf"</?(?:{'|'.join(_INLINES.split())})\b[^<>]*>", re.IGNORECASE)
_CLOSING = re.compile(r"</[a-z][a-z0-9]*\s*>", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


def _reread(match: re.Match[str]) -> str:
    run = match.group()
    if run == _QUOTE_CUT:
        return "\u201d"
    try:
        return bytes(_BYTE_OF[character] for character in run).decode("utf-8")
    except UnicodeDecodeError:  # an overlong form or a surrogate
        return run


def _lost(before: str, after: str) -> float:
    visible = _visible(before)
    return max(0.0, 1 - _visible(after) / visible) if visible else 0.0


def _visible(text: str) -> int:
    return sum(map(len, text.split()))


# The bytes of _MISREAD_LEAD: a letter C3 82, C3 83 or C3 A0 to C3 B4, and how the characters that may follow begin.
_LEAD_BYTE = 0xC3
_SECOND = np.zeros(256, np.bool_)
_SECOND[[0x82, 0x83, *range(0xA0, 0xB5)]] = True
_FOLLOWER = np.zeros(256, np.bool_)
_FOLLOWER[[0xC2, 0xC5, 0xC6, 0xCB, 0xE2]] = True


@njit(cache=True, nogil=True)
def _suspects(data, offsets):  # type: ignore[no-untyped-def]
    """(documents,) whether one may hold misread characters, or begins with "<" as a page does."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    for document in range(len(found)):
        first, end = offsets[document], offsets[document + 1]
        for i in range(first, end - 2):
            if data[i] == _LEAD_BYTE and _SECOND[data[i + 1]] and _FOLLOWER[data[i + 2]]:
                found[document] = True
                break
        first = bare_start(data, first, end)
        found[document] |= first < end and data[first] == 60
    return found


_REPAIRS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("misread_encoding", decode_misread),
    ("markup", strip_markup),
    ("furniture", strip_furniture),
)
