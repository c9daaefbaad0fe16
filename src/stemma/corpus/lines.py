"""Lines and paragraphs that stand more than once in the corpus, found by the hash of their folded text.

Equal is what differs in case, character width and white space alone. Of a paragraph the first occurrence stays (CCNet,
Wenzek et al. 2020, arXiv 1911.00359, section 3.2, whose paragraphs are lines). A line that stands in many documents belongs
to pages rather than to texts; all of it but the first goes. In code and tables lines repeat for other reasons: leave
those documents out.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.characters import DIGIT, HAN, KANA, LETTER, SPACE, character_tables
from stemma.corpus.cuts import Cuts
from stemma.corpus.hashing import add_character, mix
from stemma.corpus.utf8 import class_above, decode

PARAGRAPH_TOKENS = 20  # below: headings, "see also", lines of verse
LINE_TOKENS = 6  # below: headings, which a text needs
LINE_DOCUMENTS = 6
Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


class Segments(NamedTuple):
    """Lines or paragraphs of a batch, in order: which text, and bytes [start, end) of it up to what follows them."""

    hashes: Hashes
    rows: Numbers
    starts: Numbers
    ends: Numbers

    def cuts(self, gone: npt.NDArray[np.bool_]) -> Cuts:
        """Those that go."""
        return Cuts(self.rows[gone], self.starts[gone], self.ends[gone])


def find_segments(
    data: npt.NDArray[np.uint8], offsets: Numbers, unit: Literal["line", "paragraph"], min_tokens: int
) -> Segments:
    """The lines or paragraphs of at least `min_tokens` tokens (words, Han characters) of the texts of a batch.

    Paragraphs stand between blank lines; in a text without blank lines each line is one. Scratch memory: 32 bytes for
    every `min_tokens` bytes.
    """
    classes, folds = character_tables()
    return Segments(*_find_segments(data, offsets, classes, folds, unit == "paragraph", max(min_tokens, 1)))


def find_repeated(hashes: Hashes, documents: Numbers, min_documents: int = 1) -> npt.NDArray[np.bool_]:
    """Which segments go: of a hash that stands in at least `min_documents` documents, all but the first.

    Give all segments of the corpus whose hashes lie in one slice of the key space, in input order; `documents` are their
    documents' numbers. With `min_documents` 1 a repetition within one document counts. Memory: 25 bytes a segment.
    """
    order = np.argsort(hashes, kind="stable")
    gone = np.zeros(len(hashes), np.bool_)
    _mark_repeated(hashes, documents, order, min_documents, gone)
    return gone


@njit(cache=True, nogil=True)
def _has_blank_line(text: Any) -> Any:
    """Whether white space with two line breaks stands between two visible bytes."""
    breaks, seen = 0, False
    for byte in text:
        if byte == 10:
            breaks += 1
        elif byte > 32:
            if seen and breaks > 1:
                return True
            breaks, seen = 0, True
    return False


@njit(cache=True, nogil=True)
def _find_segments(data, offsets, classes, folds, by_paragraph, least):  # type: ignore[no-untyped-def]
    most = len(data) // least + 1  # a token has a byte of its own
    hashes, places = np.empty(most, np.uint64), np.empty((3, most), np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]]
        divider = 2 if by_paragraph and _has_blank_line(text) else 1
        i, size, start, line = 0, len(text), 0, 0
        value, num_tokens, breaks, visible = np.uint64(0), 0, 0, False
        in_word, after_word, spaced = False, False, False
        while True:
            code, kind, at_end = np.int64(0), SPACE, i == size
            if not at_end:
                code, i = decode(text, i)
                kind = np.int64(classes[code]) if code < 0x10000 else class_above(code)
                if kind == SPACE:
                    in_word, spaced = False, True
                    if code == 10:
                        breaks, line = breaks + 1, i
                    continue
            if visible and (breaks >= divider or at_end):
                if num_tokens >= least:
                    hashes[count] = mix(value)
                    places[0, count], places[1, count], places[2, count] = (
                        row,
                        start,
                        size if at_end else line,
                    )
                    count += 1
                visible = False
            if at_end:
                break
            if not visible:
                value, num_tokens, start, after_word = np.uint64(0), 0, line, False
            is_word = kind in (LETTER, DIGIT)
            num_tokens += (is_word and not in_word) or kind in (HAN, KANA)
            if spaced and is_word and after_word:
                value = add_character(value, np.uint64(32))
            fold = np.int64(folds[code]) if code < 0x10000 else code
            value = add_character(value, np.uint64(fold))
            visible, breaks, spaced, in_word, after_word = True, 0, False, is_word, is_word
    return hashes[:count].copy(), places[0, :count].copy(), places[1, :count].copy(), places[2, :count].copy()


@njit(cache=True, nogil=True)
def _mark_repeated(hashes, documents, order, min_documents, gone):  # type: ignore[no-untyped-def]
    begin = 0
    while begin < len(order):
        end, num_documents = begin + 1, 1
        while end < len(order) and hashes[order[end]] == hashes[order[begin]]:
            num_documents += documents[order[end]] != documents[order[end - 1]]
            end += 1
        if num_documents >= min_documents:
            for k in range(begin + 1, end):
                gone[order[k]] = True
        begin = end
