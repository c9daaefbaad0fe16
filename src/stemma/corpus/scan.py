"""The pass over a batch: every document's histogram of characters, tokens, lines, paragraphs and identity.

One loop over the UTF-8 bytes of all documents. It keeps a histogram over the kinds of
`characters.kind_tables`, counts what a histogram cannot tell (`COUNTS`), hashes tokens, lines and paragraphs,
and hashes the sequence of tokens and marks twice with independent functions into a key of 128 bits: white
space that divides no words, case and width do not matter.
"""

import functools
from collections.abc import Sequence
from enum import IntEnum, auto
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.characters import (
    ALPHABETIC,
    BLANK,
    BULLET,
    CLOSING,
    DIGIT,
    FOLD_BITS,
    IDEOGRAPH,
    KIND_BITS,
    STOP,
    WIDE_STOP,
    WORD,
    kind_tables,
)
from stemma.corpus.hashing import add_character, extend, find_slot, mix
from stemma.corpus.lexicon import (
    COUNTER,
    ENGLISH,
    FILLER,
    FIRST_STOP_BIT,
    GOPHER_STOP_WORDS,
    LONGEST_PHRASE,
    LOREM,
    PHRASE_END,
    POLICY,
    lexicon,
)
from stemma.corpus.teasers import TEASER_CHARACTERS, ends_as_teaser, teasers
from stemma.corpus.utf8 import class_above, decode

LONG_RUN = 16
"""the same visible character this many times in a row counts as a run"""
ENGLISH_SAMPLE = 1000
"""tokens at the start among which English words are counted"""
SHORT_LINE = 30
IDEOGRAPH_SEED = np.uint64(0x5851F42D4C957F2D)
"""a Han or kana character is the token mix(code point + IDEOGRAPH_SEED)"""
_STOP_WORD_BITS = ((1 << len(GOPHER_STOP_WORDS)) - 1) << FIRST_STOP_BIT


class Count(IntEnum):
    """Columns of what the pass counts beside the histogram."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[Any]) -> int:
        return count  # from 0 on

    VISIBLE = auto()  # characters
    FOLDED = auto()  # characters of the folded text: visible ones, and white space that divides words
    RUN_CHARACTERS = auto()  # in runs of LONG_RUN or more of one visible character
    LINKS = auto()  # ://
    ELLIPSES = auto()  # ... and the one-character form
    PIECES = auto()  # runs of visible characters without Han and kana
    WORD_PIECES = auto()  # of these, with a letter or digit
    WORD_PIECE_CHARACTERS = auto()
    LETTER_PIECES = auto()  # of these, with a letter
    ENGLISH_WORDS = auto()  # among the first ENGLISH_SAMPLE tokens
    STOP_WORDS = auto()
    STOP_WORD_SET = auto()  # one bit for each of GOPHER_STOP_WORDS
    SENTENCES = auto()
    KEPT_SENTENCES = auto()  # in lines that C4 would keep
    LINES = auto()  # with a visible character, as all below
    ENDED_LINES = auto()  # that end with a sentence
    ELLIPSIS_LINES = auto()
    BULLET_LINES = auto()
    SHORT_LINES = auto()
    POLICY_LINES = auto()
    UPPER_LINE_WORDS = auto()
    DIGIT_LINE_WORDS = auto()
    COUNTER_LINE_WORDS = auto()
    SINGLE_WORD_LINES = auto()
    NOISE_LINE_WORDS = auto()  # of lines of one of these four sorts
    LOREM = auto()
    FILLER = auto()
    TEASER = auto()


COUNTS = tuple(count.name.lower() for count in Count)
"""their names"""
# How a sentence stands: no mark yet, one that ends it before white space, one that always does, counted.
_OPEN, _MAY_END, _ENDS, _ENDED = range(4)


class Scanned(NamedTuple):
    """What the pass found in n documents. Arrays of all documents in a row come with (n + 1,) offsets into
    them."""

    histograms: npt.NDArray[np.uint32]
    """(n, num_kinds) characters of each kind."""
    counts: npt.NDArray[np.int64]
    """(n, len(COUNTS))"""
    keys: npt.NDArray[np.uint64]
    """(n, 2) equal for documents that differ only in case, width and white space that divides no words."""
    tokens: npt.NDArray[np.uint64]
    """A word (run of letters and digits), or one Han or kana character."""
    token_lengths: npt.NDArray[np.int32]
    """Characters of each token."""
    token_offsets: npt.NDArray[np.int64]
    line_hashes: npt.NDArray[np.uint64]
    """One per line that has a visible character; equal like `keys`."""
    line_lengths: npt.NDArray[np.int64]
    """Visible characters of these lines."""
    line_offsets: npt.NDArray[np.int64]
    paragraph_hashes: npt.NDArray[np.uint64]
    """One per run of such lines, between empty ones."""
    paragraph_lengths: npt.NDArray[np.int64]
    paragraph_offsets: npt.NDArray[np.int64]

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """(n,) one of COUNTS."""
        return self.counts[:, COUNTS.index(name)]


def scan(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Scanned:
    """Scan the documents data[offsets[i]:offsets[i + 1]], which are valid UTF-8.

    Memory: up to 15 bytes per byte of the batch, of which English text touches 3 and Chinese text 4; results
    are views of it.
    """
    n, size = len(offsets) - 1, int(offsets[-1] - offsets[0])
    most = size // 2 + n + 1  # tokens: two words have something between them, a Han character has three bytes
    histograms = np.zeros((n, kind_tables().num_kinds), np.uint32)
    counts, keys = np.zeros((n, len(COUNTS)), np.int64), np.empty((n, 2), np.uint64)
    of_token, of_line, of_paragraph = (np.zeros(n + 1, np.int64) for _ in range(3))
    tokens, token_lengths = np.empty(most, np.uint64), np.empty(most, np.int32)
    line_hashes, line_lengths = np.empty(most, np.uint64), np.empty(most, np.int64)
    paragraph_hashes, paragraph_lengths = np.empty(most, np.uint64), np.empty(most, np.int64)
    _scan(
        *(data, offsets, _tables(), histograms, counts, keys, tokens, token_lengths, of_token),
        *(line_hashes, line_lengths, of_line),
        *(paragraph_hashes, paragraph_lengths, of_paragraph),
    )
    return Scanned(
        *(histograms, counts, keys, tokens[: of_token[-1]], token_lengths[: of_token[-1]], of_token),
        *(line_hashes[: of_line[-1]], line_lengths[: of_line[-1]], of_line),
        *(paragraph_hashes[: of_paragraph[-1]], paragraph_lengths[: of_paragraph[-1]], of_paragraph),
    )


@functools.cache
def _tables() -> tuple[npt.NDArray[Any], ...]:
    """The tables that the pass reads."""
    tables, words = kind_tables(), lexicon()
    kinds = (tables.kinds("upper"), tables.kinds(DIGIT))
    return tables.entries, tables.upper, *kinds, words.keys, words.bits, *teasers()


def scan_texts(texts: Sequence[str]) -> Scanned:
    """Scan strings, for callers that have no batch."""
    encoded = [text.encode() for text in texts]
    offsets = np.array([0, *accumulate(map(len, encoded))], np.int64)
    return scan(np.frombuffer(b"".join(encoded), np.uint8), offsets)


def tokens_of(text: str) -> npt.NDArray[np.uint64]:
    """The tokens of one text."""
    return scan_texts([text]).tokens.copy()  # a view would hold on to memory many times as large


@njit(cache=True, nogil=True)
def _phrase_bits(tokens, first, last, keys, bits):  # type: ignore[no-untyped-def]
    """What the phrases are that end with token `last` and begin at `first` or later."""
    run, found = tokens[last], 0
    for i in range(last - 1, max(first, last - LONGEST_PHRASE + 1) - 1, -1):
        run = extend(run, tokens[i])
        slot = find_slot(keys, run)
        if keys[slot] == run:
            found |= bits[slot]
    return found


@njit(cache=True, nogil=True, inline="always")
def _chain(value: Any, item: Any) -> Any:
    """The hash of a line or paragraph (0 at its start) with one item more."""
    return (value ^ item) * np.uint64(0xFF51AFD7ED558CCD) + np.uint64(1)


@njit(cache=True, nogil=True, inline="always")
def _add_to_keys(key_0: Any, key_1: Any, item: Any, other: Any) -> Any:
    """The two halves of a document's key with one item more, which each sees by a hash of its own."""
    key_1 = (key_1 + other) * np.uint64(0xA0761D6478BD642F)
    return (key_0 ^ item) * np.uint64(0xC4CEB9FE1A85EC53) + np.uint64(1), key_1 ^ (key_1 >> np.uint64(31))


@njit(cache=True, nogil=True)
def _sum_of(histogram, kinds):  # type: ignore[no-untyped-def]
    total = 0
    for kind in kinds:
        total += histogram[kind]
    return total


@njit(cache=True, nogil=True)
def _scan(  # type: ignore[no-untyped-def]
    data, offsets, tables, histograms, counts, keys, tokens, token_lengths, of_token,
    line_hashes, line_lengths, of_line, paragraph_hashes, paragraph_lengths, of_paragraph,
):  # fmt: skip
    entries, upper_entries, upper_kinds, digit_kinds, word_keys, word_bits, phrases, most_after = tables
    num_tokens, num_lines, num_paragraphs = 0, 0, 0
    for document in range(len(offsets) - 1):
        position, end = offsets[document], offsets[document + 1]
        histogram, count = histograms[document], counts[document]
        first_token, token_of_line = num_tokens, num_tokens
        key_0, key_1 = np.uint64(0), np.uint64(0)
        word, other_word, word_length = np.uint64(0), np.uint64(0), 0
        piece_length, piece_flow = 0, 0
        line, line_length, line_words, line_bits, line_flow = np.uint64(0), 0, 0, 0, 0
        line_sentences, line_uppers, line_digits, line_spaces = 0, 0, 0, 0
        paragraph, paragraph_length = np.uint64(0), 0
        sentence, num_sentences, is_ellipsis, last_bits = _OPEN, 0, False, 0
        previous, run, previous_is_word, num_folded = -1, 0, 0, 0
        while position <= end:
            if position == end:
                code, flow, fold = np.int64(10), BLANK, np.uint64(10)
                position += 1
            else:
                code, position = decode(data, position)
                if code < 0x10000:
                    entry = np.int64(entries[code])
                    fold = np.uint64(entry & 0xFFFF)
                else:
                    entry = np.int64(upper_entries[class_above(code)])
                    fold = np.uint64(code)
                histogram[(entry >> FOLD_BITS) & 0xFF] += np.uint32(1)
                flow = entry >> (FOLD_BITS + KIND_BITS)

            run = run + 1 if code == previous else 1
            previous = code
            if flow & WORD:
                if word_length == 0:
                    num_folded += previous_is_word  # white space has divided it from the word before
                    if sentence == _ENDS:
                        num_sentences += 1
                    sentence, previous_is_word, is_ellipsis = _OPEN, 1, False
                    if line_length == 0:
                        line_flow = flow
                while True:
                    if run >= LONG_RUN:
                        count[Count.RUN_CHARACTERS] += LONG_RUN if run == LONG_RUN else 1
                    word = add_character(word, fold)
                    other_word = (other_word + fold) * np.uint64(0xD6E8FEB86659FD93)
                    word_length += 1
                    piece_flow |= flow
                    # Most words go on in ASCII: a loop that holds little else is twice as fast.
                    code = np.int64(data[position]) if position < end else 0x80
                    if code >= 0x80:
                        break
                    entry = np.int64(entries[code])
                    flow = entry >> (FOLD_BITS + KIND_BITS)
                    if flow & WORD == 0:
                        break
                    position += 1
                    fold = np.uint64(entry & 0xFFFF)
                    histogram[(entry >> FOLD_BITS) & 0xFF] += np.uint32(1)
                    run = run + 1 if code == previous else 1
                    previous = code
                continue

            if word_length > 0:
                token = mix(word)
                tokens[num_tokens], token_lengths[num_tokens] = token, word_length
                line = _chain(line, token)
                key_0, key_1 = _add_to_keys(key_0, key_1, token, other_word)
                last_bits = word_bits[find_slot(word_keys, token)]  # none in a free slot
                if last_bits:
                    bits = last_bits
                    if bits & ENGLISH and num_tokens - first_token < ENGLISH_SAMPLE:
                        count[Count.ENGLISH_WORDS] += 1
                    if bits & _STOP_WORD_BITS:
                        count[Count.STOP_WORDS] += 1
                        count[Count.STOP_WORD_SET] |= (bits & _STOP_WORD_BITS) >> FIRST_STOP_BIT
                    if bits & PHRASE_END:
                        found = _phrase_bits(tokens, token_of_line, num_tokens, word_keys, word_bits)
                        line_bits |= found
                        count[Count.LOREM] += np.int64(found & LOREM != 0)
                        count[Count.FILLER] += np.int64(found & FILLER != 0)
                    line_bits |= bits & POLICY
                num_tokens += 1
                num_folded += word_length
                piece_length += word_length
                line_length += word_length
                word, other_word, word_length = np.uint64(0), np.uint64(0), 0

            if flow & (BLANK | IDEOGRAPH) and piece_length > 0:
                count[Count.PIECES] += 1
                if piece_flow & WORD:
                    line_words += 1
                    count[Count.WORD_PIECES] += 1
                    count[Count.WORD_PIECE_CHARACTERS] += piece_length
                    count[Count.LETTER_PIECES] += np.int64(piece_flow & ALPHABETIC != 0)
                piece_length, piece_flow = 0, 0

            if flow & BLANK:
                previous = -1
                if sentence in (_MAY_END, _ENDS):
                    num_sentences += 1
                    sentence = _ENDED
                if code != 10:
                    line_spaces += 1
                    continue
                if line_length > 0:
                    line_hashes[num_lines], line_lengths[num_lines] = mix(line), line_length
                    num_lines += 1
                    paragraph = _chain(paragraph, mix(line))
                    paragraph_length += line_length
                    count[Count.VISIBLE] += line_length
                    is_ended, is_policy = sentence == _ENDED, line_bits & POLICY != 0
                    count[Count.ENDED_LINES] += np.int64(is_ended)
                    count[Count.ELLIPSIS_LINES] += np.int64(is_ellipsis)
                    count[Count.BULLET_LINES] += np.int64(line_flow & BULLET != 0)
                    count[Count.SHORT_LINES] += np.int64(line_length + line_spaces <= SHORT_LINE)
                    count[Count.POLICY_LINES] += np.int64(is_policy)
                    if is_ended and not is_ellipsis and not is_policy and line_words >= 3:
                        count[Count.KEPT_SENTENCES] += num_sentences - line_sentences
                    uppers, digits = _sum_of(histogram, upper_kinds), _sum_of(histogram, digit_kinds)
                    is_upper = 2 * (uppers - line_uppers) > line_length
                    is_digits = digits - line_digits == line_length
                    starts_with_digit = line_flow & (WORD | ALPHABETIC) == WORD
                    is_counter = starts_with_digit and line_words == 2 and last_bits & COUNTER != 0
                    count[Count.UPPER_LINE_WORDS] += line_words if is_upper else 0
                    count[Count.DIGIT_LINE_WORDS] += line_words if is_digits else 0
                    count[Count.COUNTER_LINE_WORDS] += line_words if is_counter else 0
                    count[Count.SINGLE_WORD_LINES] += np.int64(line_words == 1)
                    if is_upper or is_digits or is_counter or line_words == 1:
                        count[Count.NOISE_LINE_WORDS] += line_words
                    line_uppers, line_digits = uppers, digits
                    line, line_length, line_words, line_bits = np.uint64(0), 0, 0, 0
                    line_flow, is_ellipsis = 0, False
                elif paragraph_length > 0:
                    paragraph_hashes[num_paragraphs] = mix(paragraph)
                    paragraph_lengths[num_paragraphs] = paragraph_length
                    num_paragraphs += 1
                    paragraph, paragraph_length = np.uint64(0), 0
                line_spaces, line_sentences, token_of_line, sentence = 0, num_sentences, num_tokens, _OPEN
                continue

            if run >= LONG_RUN:
                count[Count.RUN_CHARACTERS] += LONG_RUN if run == LONG_RUN else 1
            previous_is_word = 0
            num_folded += 1
            if line_length == 0:
                line_flow = flow
            if flow & IDEOGRAPH:
                if sentence == _ENDS:
                    num_sentences += 1
                sentence, is_ellipsis, last_bits = _OPEN, False, 0
                item = mix(fold + IDEOGRAPH_SEED)
                tokens[num_tokens], token_lengths[num_tokens] = item, 1
                num_tokens += 1
                line_words += 1
            else:
                item = fold + np.uint64(1)
                piece_length += 1
                is_ellipsis = code == 0x2026 or (code == 46 and run >= 3)
                if flow & (STOP | WIDE_STOP):
                    sentence = max(sentence % _ENDED, _MAY_END if flow & STOP else _ENDS)
                    if code == 46 and run % 3 == 0:
                        count[Count.ELLIPSES] += 1
                elif flow & CLOSING == 0 or sentence == _ENDED:
                    if sentence == _ENDS:
                        num_sentences += 1
                    sentence = _OPEN
                if code == 47 and position - 3 >= offsets[document] and data[position - 2] == 47:
                    count[Count.LINKS] += np.int64(data[position - 3] == 58)
            line_length += 1
            line = _chain(line, item)
            key_0, key_1 = _add_to_keys(key_0, key_1, item, fold)

        if paragraph_length > 0:
            paragraph_hashes[num_paragraphs] = mix(paragraph)
            paragraph_lengths[num_paragraphs] = paragraph_length
            num_paragraphs += 1
        count[Count.LINES] = num_lines - of_line[document]
        count[Count.SENTENCES], count[Count.FOLDED] = num_sentences, num_folded
        if count[Count.VISIBLE] < TEASER_CHARACTERS:
            text = data[offsets[document] : end]
            count[Count.TEASER] = np.int64(ends_as_teaser(text, entries, phrases, most_after))
        keys[document, 0], keys[document, 1] = mix(key_0), mix(key_1)
        of_token[document + 1], of_line[document + 1] = num_tokens, num_lines
        of_paragraph[document + 1] = num_paragraphs
