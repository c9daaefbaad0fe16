"""The pass over a whole batch: every document's histogram of characters, tokens, lines, paragraphs and
identity.

One loop over the UTF-8 bytes of all documents. It keeps a histogram over the kinds of
`characters.kind_tables`, counts what a histogram cannot tell (`COUNTS`), hashes tokens, lines and paragraphs,
and hashes the sequence of tokens and marks twice with independent functions into a key of 128 bits: white
space that divides no words, case and width do not matter.
"""

import functools
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
    HAN,
    IDEOGRAPH,
    KIND_BITS,
    LETTER,
    OTHER,
    STOP,
    SYMBOL,
    WIDE_STOP,
    WORD,
    kind_tables,
)
from stemma.corpus.hashing import extend, find_slot, mix
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

LONG_RUN = 16
"""the same visible character this many times in a row counts as a run"""
ENGLISH_SAMPLE = 1000
"""tokens at the start among which English words are counted"""
TEASER_CHARACTERS = 250
SHORT_LINE = 30
_TAIL = 40
_TEASERS = {
    **dict.fromkeys(("(more)", "read more", "read more]", "continue reading", "continue reading]"), 0),
    **dict.fromkeys(("[...]", "[\u2026]", " ...", " \u2026", "\0...", "\0\u2026"), 0),
    "subscribe to read": 31,
    "\u767b\u5f55\u540e": 8,  # after logging in
    "\u672a\u5b8c": 10,  # not finished
    "\u4ed8\u8d39\u9605\u8bfb": 4,  # pay to read
    **dict.fromkeys(("\u9605\u8bfb\u5168\u6587", "\u67e5\u770b\u5168\u6587", "\u5c55\u5f00\u5168\u6587"), 4),
}
"""What a text that breaks off ends with, \\0 for a Han character, and how many characters may follow."""
_STOP_WORD_BITS = ((1 << len(GOPHER_STOP_WORDS)) - 1) << FIRST_STOP_BIT

COUNTS = (
    "visible",  # characters
    "folded",  # characters of the folded text: visible ones, and white space that divides words
    "run_characters",  # in runs of LONG_RUN or more of one visible character
    "links",  # ://
    "ellipses",  # ... and the one-character form
    "pieces",  # runs of visible characters without Han and kana
    "word_pieces",  # of these, with a letter or digit
    "word_piece_characters",
    "letter_pieces",  # of these, with a letter
    "english_words",  # among the first ENGLISH_SAMPLE tokens
    "stop_words",
    "stop_word_set",  # one bit for each of GOPHER_STOP_WORDS
    "sentences",
    "kept_sentences",  # in lines that C4 would keep
    "lines",  # with a visible character, as all below
    "ended_lines",  # that end with a sentence
    "ellipsis_lines",
    "bullet_lines",
    "short_lines",
    "policy_lines",
    "upper_line_words",
    "digit_line_words",
    "counter_line_words",
    "single_word_lines",
    "noise_line_words",  # of lines of one of these four sorts
    "lorem",
    "filler",
    "teaser",
)
(
    _VISIBLE,
    _FOLDED,
    _RUN_CHARACTERS,
    _LINKS,
    _ELLIPSES,
    _PIECES,
    _WORD_PIECES,
    _WORD_PIECE_CHARACTERS,
    _LETTER_PIECES,
    _ENGLISH_WORDS,
    _STOP_WORDS,
    _STOP_WORD_SET,
    _SENTENCES,
    _KEPT_SENTENCES,
    _LINES,
    _ENDED_LINES,
    _ELLIPSIS_LINES,
    _BULLET_LINES,
    _SHORT_LINES,
    _POLICY_LINES,
    _UPPER_LINE_WORDS,
    _DIGIT_LINE_WORDS,
    _COUNTER_LINE_WORDS,
    _SINGLE_WORD_LINES,
    _NOISE_LINE_WORDS,
    _LOREM,
    _FILLER,
    _TEASER,
) = range(len(COUNTS))
# How a sentence stands: no mark yet, one that ends it before white space, one that always does, counted.
_OPEN, _MAY_END, _ENDS, _ENDED = range(4)


class ScannedBatch(NamedTuple):
    """What the pass found in n documents. Arrays of all documents in a row come with (n + 1,) offsets into
    them."""

    histograms: npt.NDArray[np.uint32]
    """(n, num_kinds) characters of each kind."""
    counts: npt.NDArray[np.int64]
    """(n, len(COUNTS))"""
    keys: npt.NDArray[np.uint64]
    """(n, 2) equal for documents that differ only in case, width and white space that divides no words."""
    tokens: npt.NDArray[np.uint64]
    """A word (run of letters and digits), or one Han or kana character; as `scan` gives them."""
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


class Scratch:
    """Memory that batches take turns to use. What `scan_batch` returned is overwritten by its next call with
    it."""

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def array(self, name: str, size: int, dtype: type[Any]) -> npt.NDArray[Any]:
        """An array of at least `size`, of any content."""
        held = self._arrays.get(name)
        if held is None or len(held) < size:
            held = self._arrays[name] = np.empty(size, dtype)
        return held


def scan_batch(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], scratch: Scratch | None = None
) -> ScannedBatch:
    """Scan the documents data[offsets[i]:offsets[i + 1]], which are valid UTF-8.

    Memory: up to 15 bytes per byte of the batch, of which English text touches 3 and Chinese text 4; results
    are views.
    """
    scratch = scratch or Scratch()
    tables, words = kind_tables(), lexicon()
    n, size = len(offsets) - 1, int(offsets[-1] - offsets[0])
    most = size // 2 + n + 1  # tokens: two words have something between them, a Han character has three bytes
    histograms = np.zeros((n, tables.num_kinds), np.uint32)
    counts, keys = np.zeros((n, len(COUNTS)), np.int64), np.empty((n, 2), np.uint64)
    of_token, of_line, of_paragraph = (np.zeros(n + 1, np.int64) for _ in range(3))
    tokens = scratch.array("tokens", most, np.uint64)
    token_lengths = scratch.array("token_lengths", most, np.int32)
    line_hashes = scratch.array("line_hashes", most, np.uint64)
    line_lengths = scratch.array("line_lengths", most, np.int64)
    paragraph_hashes = scratch.array("paragraph_hashes", most, np.uint64)
    paragraph_lengths = scratch.array("paragraph_lengths", most, np.int64)
    _scan(
        *(data, offsets, tables.entries, tables.upper, tables.kinds("upper"), tables.kinds(DIGIT)),
        *(words.keys, words.bits, *_teasers(), histograms, counts, keys, tokens),
        *(token_lengths, of_token, line_hashes, line_lengths, of_line),
        *(paragraph_hashes, paragraph_lengths, of_paragraph),
    )
    return ScannedBatch(
        *(histograms, counts, keys, tokens[: of_token[-1]], token_lengths[: of_token[-1]], of_token),
        *(line_hashes[: of_line[-1]], line_lengths[: of_line[-1]], of_line),
        *(paragraph_hashes[: of_paragraph[-1]], paragraph_lengths[: of_paragraph[-1]], of_paragraph),
    )


@njit(cache=True, nogil=True)
def _upper_plane_class(code: Any) -> Any:
    if 0x20000 <= code <= 0x3FFFF:
        return HAN
    if 0x1F000 <= code <= 0x1FAFF:
        return SYMBOL
    if 0xE0000 <= code <= 0xE0FFF:
        return OTHER
    return LETTER if code < 0x20000 else OTHER


@njit(cache=True, nogil=True)
def _decode(data, position):  # type: ignore[no-untyped-def]
    """The code point at a place, and the place after it."""
    first = np.int64(data[position])
    if first < 0x80:
        return first, position + 1
    if first < 0xE0:
        return ((first & 0x1F) << 6) | (data[position + 1] & 0x3F), position + 2
    if first < 0xF0:
        code = ((first & 0x0F) << 12) | ((data[position + 1] & 0x3F) << 6) | (data[position + 2] & 0x3F)
        return code, position + 3
    code = ((first & 0x07) << 18) | ((data[position + 1] & 0x3F) << 12)
    return code | ((data[position + 2] & 0x3F) << 6) | (data[position + 3] & 0x3F), position + 4


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


@functools.cache
def _teasers() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The phrases as rows of code points, filled up with -1, and how many characters may follow each."""
    rows = np.full((len(_TEASERS), max(map(len, _TEASERS))), -1, np.int64)
    for row, phrase in zip(rows, _TEASERS, strict=True):
        row[: len(phrase)] = list(map(ord, phrase))
    return rows, np.array(list(_TEASERS.values()), np.int64)


@njit(cache=True, nogil=True)
def _ends_as_teaser(data, entries, phrases, most_after):  # type: ignore[no-untyped-def]
    """Whether a text's last _TAIL characters end with one of the phrases, white space and case aside."""
    position, size = len(data), 0
    while position > 0 and size < _TAIL:
        position -= 1
        size += np.int64(data[position] & 0xC0 != 0x80)
    tail = np.empty(_TAIL, np.int64)
    last, size = 0, 0
    while position < len(data):
        code, position = _decode(data, position)
        entry = np.int64(entries[code]) if code < 0x10000 else code
        if code == 0x2026 and size > 0 and tail[size - 1] == 0x2026:
            continue
        tail[size] = code if code == 10 or code >= 0x10000 else entry & 0xFFFF
        size += 1
        if code >= 0x10000 or (entry >> (FOLD_BITS + KIND_BITS)) & BLANK == 0:
            last = size
    for row in range(len(phrases)):
        phrase, length = phrases[row], 0
        while length < len(phrase) and phrase[length] >= 0:
            length += 1
        for start in range(max(0, last - length - most_after[row]), last - length + 1):
            i = 0
            while i < length and (
                phrase[i] == tail[start + i] or (phrase[i] == 0 and 0x4E00 <= tail[start + i] <= 0x9FFF)
            ):
                i += 1
            after = start + length
            while i == length and after < last and tail[after] != 10:
                after += 1
            if i == length and after == last:
                return True
    return False


@njit(cache=True, nogil=True)
def _sum_of(histogram, kinds):  # type: ignore[no-untyped-def]
    total = 0
    for kind in kinds:
        total += histogram[kind]
    return total


@njit(cache=True, nogil=True)
def _scan(  # type: ignore[no-untyped-def]
    data, offsets, entries, upper_entries, upper_kinds, digit_kinds,
    word_keys, word_bits, phrases, most_after, histograms, counts, keys, tokens,
    token_lengths, of_token, line_hashes, line_lengths, of_line,
    paragraph_hashes, paragraph_lengths, of_paragraph,
):  # fmt: skip
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
                code, position = _decode(data, position)
                if code < 0x10000:
                    entry = np.int64(entries[code])
                    fold = np.uint64(entry & 0xFFFF)
                else:
                    entry = np.int64(upper_entries[_upper_plane_class(code)])
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
                        count[_RUN_CHARACTERS] += LONG_RUN if run == LONG_RUN else 1
                    word = (word ^ fold) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
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
                line = (line ^ token) * np.uint64(0xFF51AFD7ED558CCD) + np.uint64(1)
                key_0 = (key_0 ^ token) * np.uint64(0xC4CEB9FE1A85EC53) + np.uint64(1)
                key_1 = (key_1 + other_word) * np.uint64(0xA0761D6478BD642F)
                key_1 ^= key_1 >> np.uint64(31)
                last_bits = word_bits[find_slot(word_keys, token)]  # none in a free slot
                if last_bits:
                    bits = last_bits
                    if bits & ENGLISH and num_tokens - first_token < ENGLISH_SAMPLE:
                        count[_ENGLISH_WORDS] += 1
                    if bits & _STOP_WORD_BITS:
                        count[_STOP_WORDS] += 1
                        count[_STOP_WORD_SET] |= (bits & _STOP_WORD_BITS) >> FIRST_STOP_BIT
                    if bits & PHRASE_END:
                        found = _phrase_bits(tokens, token_of_line, num_tokens, word_keys, word_bits)
                        line_bits |= found
                        count[_LOREM] += np.int64(found & LOREM != 0)
                        count[_FILLER] += np.int64(found & FILLER != 0)
                    line_bits |= bits & POLICY
                num_tokens += 1
                num_folded += word_length
                piece_length += word_length
                line_length += word_length
                word, other_word, word_length = np.uint64(0), np.uint64(0), 0

            if flow & (BLANK | IDEOGRAPH) and piece_length > 0:
                count[_PIECES] += 1
                if piece_flow & WORD:
                    line_words += 1
                    count[_WORD_PIECES] += 1
                    count[_WORD_PIECE_CHARACTERS] += piece_length
                    count[_LETTER_PIECES] += np.int64(piece_flow & ALPHABETIC != 0)
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
                    paragraph = (paragraph ^ mix(line)) * np.uint64(0xFF51AFD7ED558CCD) + np.uint64(1)
                    paragraph_length += line_length
                    count[_VISIBLE] += line_length
                    is_ended, is_policy = sentence == _ENDED, line_bits & POLICY != 0
                    count[_ENDED_LINES] += np.int64(is_ended)
                    count[_ELLIPSIS_LINES] += np.int64(is_ellipsis)
                    count[_BULLET_LINES] += np.int64(line_flow & BULLET != 0)
                    count[_SHORT_LINES] += np.int64(line_length + line_spaces <= SHORT_LINE)
                    count[_POLICY_LINES] += np.int64(is_policy)
                    if is_ended and not is_ellipsis and not is_policy and line_words >= 3:
                        count[_KEPT_SENTENCES] += num_sentences - line_sentences
                    uppers, digits = _sum_of(histogram, upper_kinds), _sum_of(histogram, digit_kinds)
                    is_upper = 2 * (uppers - line_uppers) > line_length
                    is_digits = digits - line_digits == line_length
                    starts_with_digit = line_flow & (WORD | ALPHABETIC) == WORD
                    is_counter = starts_with_digit and line_words == 2 and last_bits & COUNTER != 0
                    count[_UPPER_LINE_WORDS] += line_words if is_upper else 0
                    count[_DIGIT_LINE_WORDS] += line_words if is_digits else 0
                    count[_COUNTER_LINE_WORDS] += line_words if is_counter else 0
                    count[_SINGLE_WORD_LINES] += np.int64(line_words == 1)
                    if is_upper or is_digits or is_counter or line_words == 1:
                        count[_NOISE_LINE_WORDS] += line_words
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
                count[_RUN_CHARACTERS] += LONG_RUN if run == LONG_RUN else 1
            previous_is_word = 0
            num_folded += 1
            if line_length == 0:
                line_flow = flow
            if flow & IDEOGRAPH:
                if sentence == _ENDS:
                    num_sentences += 1
                sentence, is_ellipsis, last_bits = _OPEN, False, 0
                item = mix(fold + np.uint64(0x5851F42D4C957F2D))
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
                        count[_ELLIPSES] += 1
                elif flow & CLOSING == 0 or sentence == _ENDED:
                    if sentence == _ENDS:
                        num_sentences += 1
                    sentence = _OPEN
                if code == 47 and position - 3 >= offsets[document] and data[position - 2] == 47:
                    count[_LINKS] += np.int64(data[position - 3] == 58)
            line_length += 1
            line = (line ^ item) * np.uint64(0xFF51AFD7ED558CCD) + np.uint64(1)
            key_0 = (key_0 ^ item) * np.uint64(0xC4CEB9FE1A85EC53) + np.uint64(1)
            key_1 = (key_1 + fold) * np.uint64(0xA0761D6478BD642F)
            key_1 ^= key_1 >> np.uint64(31)

        if paragraph_length > 0:
            paragraph_hashes[num_paragraphs] = mix(paragraph)
            paragraph_lengths[num_paragraphs] = paragraph_length
            num_paragraphs += 1
        count[_LINES] = num_lines - of_line[document]
        count[_SENTENCES], count[_FOLDED] = num_sentences, num_folded
        if count[_VISIBLE] < TEASER_CHARACTERS:
            text = data[offsets[document] : end]
            count[_TEASER] = np.int64(_ends_as_teaser(text, entries, phrases, most_after))
        keys[document, 0], keys[document, 1] = mix(key_0), mix(key_1)
        of_token[document + 1], of_line[document + 1] = num_tokens, num_lines
        of_paragraph[document + 1] = num_paragraphs
