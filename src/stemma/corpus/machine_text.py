"""Signs of text that a program put together: word salad (Markov chains) and pages made from a template.

Three measures need no model. Seams: a generator that follows one or two words does not know where a sentence or a
bracket began, so in English "in the It", "it . and" and unmatched brackets pile up. Even cuts: Chinese salad has no
commas, and a full stop after every so many characters. Stuffing: a short page that says its keyword over and over.

Seams alone are also found in verse whose lines were joined. `ChainModels`, n-gram models of the corpus itself, tell the
two apart: salad has the word pairs of real text and not its longer runs (gain_3 and known_4 of `NgramModel.score`).
"""

import functools
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import find_slot, mix
from stemma.corpus.ngram_model import Batch, NgramModel, NgramSettings
from stemma.corpus.scan import IDEOGRAPH_SEED, tokens_of
from stemma.corpus.utf8 import decode
from stemma.errors import StemmaError

MEASURES = ("seams", "even_cut_share", "stuffed_words", "stuffed_han")
MOST_SEAMS = 4.5
"""log-odds of `seams` above which a text is salad by them alone"""
MOST_SEAMS_OF_CHAIN = 0.5
"""the same where `ChainModels` finds the text chain-like"""
MOST_EVEN_CUTS = 0.5
MOST_STUFFED_WORDS = 0.32
MOST_STUFFED_HAN = 0.5

_CAPITALISED = (  # function words that are capitalised only where a sentence, a line or a title begins
    "the and but in it this so if we you how what there he she they for to as that when then an of with on at by or "
    "not is was are her his their these those where why who which after before while because although"
)
_OPEN = (  # words that no sentence ends with, and that ask for another word
    "the a an of to in and that is was with for on at by or as be my his their our your its from into than if are "
    "were has have had not will would can could may which every would should must"
)
_DETERMINERS = "the a an my their our your its every"
_NEVER_AFTER_DETERMINER = (
    "of and the a an is was are were with for or be at from he she they we it my his their our your its had has have "
    "would could will"
)
_SHORTEST_CUT = 15  # Han characters: verse is cut evenly too, into five or seven
_FEWEST_CUTS = 4
_LONGEST_CUT = 128
_STUFFED_TOKENS = 300  # longer texts may say a word often
_FEWEST_STUFFED_TOKENS = 20
_FEWEST_REPEATS = 5
_MOST_SIGNS = 0.01  # of the bytes
_FEWEST_WORDS = 50  # seams are not counted below
_SHORTER_GAIN = 1.5  # a fourth token tells less than a third
_MORE_WORDS = 40  # added to the number of words: in a short text a seam proves little

_IS_CAPITALISED, _IS_OPEN, _IS_DETERMINER, _IS_NEVER_AFTER = 1, 2, 4, 8
_OTHER, _LOWER, _LOWER_OPEN, _END = 0, 1, 2, 3  # what a word was: the next word's seam depends on it


# log-odds of salad against prose, verse, code and mark-up: the constant, then the weight of the root of each count of
# `_seams` per 100 words. Fitted to word salad of order 1 and 2 made from English books, web pages and standards.
_SEAM_ODDS = np.array([-4.4, 5.7, 3.1, 3.2, 1.5, 2.3])


def measure(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    tokens: npt.NDArray[np.uint64],
    token_offsets: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """(num_documents, 4) numbers per document, in the order of MEASURES:

    seams           log-odds that the seams between the words are those of salad; -4.4 where there are none, or
                    fewer than 50 words.
    even_cut_share  share of the Han characters in runs of one length, 15 or more, between anything else.
    stuffed_words   share of the tokens in a 5-gram that came before, or in a word that is there 5 times or more and is
                    no function word. Only for 20 to 300 tokens, most of them words, else 0.
    stuffed_han     the same where most tokens are Han or kana, by pairs of these.
    """
    num_documents = len(offsets) - 1
    result = np.zeros((num_documents, len(MEASURES)), np.float32)
    counts, shares = np.zeros((num_documents, 6)), np.zeros((num_documents, 3))
    _seams(data, offsets, *_words(), counts)
    _even_cuts(data, offsets, shares[:, 0])
    _stuffed(data, offsets, tokens, token_offsets, _common(), shares[:, 1:])
    counts[counts[:, 0] < _FEWEST_WORDS, 1:] = 0
    rates = np.sqrt(100 * counts[:, 1:] / (counts[:, :1] + _MORE_WORDS))
    result[:, 0] = _SEAM_ODDS[0] + rates @ _SEAM_ODDS[1:]
    result[:, 1:] = shares
    return result


def chains(
    model: NgramModel, scores: npt.NDArray[np.float32], token_offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """(n, 2) signs of Markov chains of one and of two tokens, from what `model` scored of n documents.

    A chain of order k gains as much as other text by runs of k + 1 tokens, and nothing by longer ones; where much of a
    text is known to the model, longer runs gain too (`NgramModel.score`). NaN for fewer than 50 tokens, and where the
    model's n-grams are too short.
    """
    result = np.full((len(scores), 2), np.nan, np.float32)
    gain = {m: scores[:, model.columns.index(f"gain_{m}")] for m in range(2, model.order + 1)}
    for order, weight in ((1, 1.0), (2, _SHORTER_GAIN)):
        if order + 2 in gain:
            result[:, order - 1] = gain[order + 1] - weight * gain[order + 2]
    result[np.diff(token_offsets) < _FEWEST_WORDS] = np.nan
    return result


class ChainModels:
    """Two n-gram models of a sample of the corpus, each of half of its documents. A document is scored by the model
    that has not seen it, nor an exact copy of it: the half is chosen by a hash of its tokens.

    The limits of `chain_like` were set on halves of about a million tokens; a sample is cut there, because larger models
    know more runs and the limits would move.
    """

    order = 4
    most_tokens = 1_200_000
    """of each half"""

    def __init__(self, models: tuple[NgramModel, NgramModel]) -> None:
        self.models = models

    @classmethod
    def train(cls, batches: Iterable[Batch]) -> Self:
        """Train both. Raises StemmaError when a half has no tokens."""
        held = list(batches)
        first, second = (cls.train_half(held, half) for half in (0, 1))
        if first is None or second is None:
            raise StemmaError("n-gram models of the corpus: there are too few documents; give more")
        return cls((first, second))

    @classmethod
    def train_half(cls, batches: Iterable[Batch], half: int, asked: Batch | None = None) -> NgramModel | None:
        """Train on the first `most_tokens` of one half, in at most 0.5 GB of memory; None when it has no tokens.

        `asked` are the documents that will be scored, if they are few; see `NgramModel.train`.
        """
        kept, left = list[Batch](), cls.most_tokens
        for tokens, offsets in batches:
            chosen = _some(tokens, offsets, _halves(tokens, offsets) == half, left)
            left -= len(chosen[0])
            kept.append(chosen)
            if left <= 0:
                break
        if left == cls.most_tokens:
            return None
        # So many that no n-gram has to be left out: a table is thinned when it is 60 % full. For few documents a token
        # begins less than two n-grams that matter.
        most = (2 if asked is not None else cls.order) * (cls.most_tokens - left)
        slots = 1 << max(6, (most * 5 // 3).bit_length())
        return NgramModel.train(
            kept, NgramSettings(order=cls.order, counted=slots, entries=slots, least=1), asked
        )

    def score(
        self, tokens: npt.NDArray[np.uint64], token_offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """`NgramModel.score` of each document, by the model of the other half."""
        halves = _halves(tokens, token_offsets)
        result = np.zeros((len(halves), len(self.models[0].columns)), np.float32)
        for half in (0, 1):
            chosen = halves == half
            result[chosen] = self.models[1 - half].score(*_some(tokens, token_offsets, chosen))
        return result

    def chain_like(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """(num_documents,) whether well-known pairs come with unknown triples, or well-known triples with unknown runs
        of four. So is much ordinary text, up to half of it where documents are alike: evidence beside
        `seams`, never alone."""
        column = {name: scores[:, i] for i, name in enumerate(self.models[0].columns)}
        first_order = (column["gain_2"] > 1.4) & (column["gain_3"] < 0.35)
        second_order = (column["context_4"] > 0.3) & (column["known_4"] < 0.8)
        return first_order | second_order


def _halves(tokens: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(num_documents,) 0 or 1, by the tokens of the document alone."""
    halves = np.zeros(len(offsets) - 1, np.int64)
    _hash_half(tokens, offsets, halves)
    return halves


def _some(
    tokens: npt.NDArray[np.uint64],
    offsets: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.bool_],
    most: int | None = None,
) -> Batch:
    """A batch of the chosen documents, cut to the first `most` tokens."""
    lengths = np.where(chosen, np.diff(offsets), 0)
    taken = tokens[offsets[0] : offsets[-1]][np.repeat(chosen, np.diff(offsets))]
    borders = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen])])
    if most is not None:
        borders = np.minimum(borders, max(most, 0))
    return taken[: borders[-1]], borders


@njit(cache=True, nogil=True)
def _hash_half(tokens, offsets, halves):  # type: ignore[no-untyped-def]
    for document in range(len(halves)):
        value = np.uint64(0)
        for i in range(offsets[document], offsets[document + 1]):
            value = (value ^ tokens[i]) * np.uint64(0x9E3779B97F4A7C15)
        halves[document] = np.int64(mix(value) & np.uint64(1))


@njit(cache=True, nogil=True)
def _add(table, flags, data, flag):  # type: ignore[no-untyped-def]
    word = np.uint64(0)
    for byte in data:
        if byte == 32:
            slot = find_slot(table, word)
            table[slot] = word
            flags[slot] |= flag
            word = np.uint64(0)
        else:
            word = _hash(word, byte)


@njit(cache=True, nogil=True, inline="always")
def _hash(word: Any, byte: Any) -> Any:
    word = (word ^ np.uint64(byte)) * np.uint64(0x9E3779B97F4A7C15)
    return (word ^ (word >> np.uint64(29))) | np.uint64(1)


@functools.cache
def _words() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    table, flags = np.zeros(512, np.uint64), np.zeros(512, np.uint8)
    lists = (_CAPITALISED, _OPEN, _DETERMINERS, _NEVER_AFTER_DETERMINER)
    for bit, words in enumerate(lists):
        _add(table, flags, np.frombuffer((words + " ").encode(), np.uint8), np.uint8(1 << bit))
    return table, flags


@functools.cache
def _common() -> npt.NDArray[np.uint64]:
    """The function words' tokens, in an open-addressing table."""
    table = np.zeros(512, np.uint64)
    for token in tokens_of(f"{_CAPITALISED} {_OPEN} {_NEVER_AFTER_DETERMINER} i do no so s t"):
        table[find_slot(table, token)] = token
    return table


@njit(cache=True, nogil=True)
def _seams(data, offsets, table, flags, out):  # type: ignore[no-untyped-def]
    """(n, 6): words; open word + capitalised function word; other lower-case word + the same; end of a sentence +
    lower case; determiner + what never follows one; unmatched brackets."""
    pair = np.zeros(3, np.int64)
    for document in range(len(offsets) - 1):
        counts = out[document]
        pair[:] = 0
        unmatched = 0
        previous, previous_flags = _OTHER, np.uint8(0)
        position, end = offsets[document], offsets[document + 1]
        while position < end:
            byte = data[position]
            if byte <= 32:
                if byte == 10:
                    previous, previous_flags = _OTHER, np.uint8(0)
                position += 1
                continue
            start, word, letters, upper = position, np.uint64(0), 0, 0
            plain = True  # letters only up to here
            tail = np.uint8(0)
            while position < end and data[position] > 32:
                byte = data[position]
                is_upper = 65 <= byte <= 90
                if is_upper or 97 <= byte <= 122:
                    if tail != 0:
                        plain = False
                    upper += is_upper and position > start
                    word = _hash(word, byte | np.uint8(32))
                    letters += 1
                else:
                    if byte in (40, 41, 91, 93, 123, 125):
                        kind = 0 if byte < 42 else (1 if byte < 94 else 2)
                        if byte in (40, 91, 123):
                            pair[kind] += 1
                        elif pair[kind] > 0:
                            pair[kind] -= 1
                        else:
                            unmatched += 1
                    if letters == 0 and byte not in (46, 33, 63):
                        plain = False
                    tail = byte
                position += 1
            counts[0] += 1
            first = data[start]
            known = np.uint8(0)
            if letters > 0 and plain:
                slot = find_slot(table, word)
                known = flags[slot] if table[slot] != 0 else np.uint8(0)
            is_bare = plain and tail == 0 and letters > 0
            if plain and 65 <= first <= 90 and upper == 0 and letters > 1 and known & _IS_CAPITALISED:
                counts[1] += previous == _LOWER_OPEN
                counts[2] += previous == _LOWER
            is_lower = is_bare and 97 <= first <= 122 and upper == 0
            if is_lower:
                counts[3] += previous == _END
                if previous == _LOWER_OPEN and previous_flags & _IS_DETERMINER and known & _IS_NEVER_AFTER:
                    counts[4] += 1
                previous = _LOWER_OPEN if known & _IS_OPEN else _LOWER
            elif (
                tail in (46, 33, 63)
                and position - start == letters + 1
                and (letters == 0 or (letters > 3 and upper == 0 and 97 <= first <= 122))
            ):
                previous = _END
            else:
                previous = _OTHER
            previous_flags = known
        counts[5] = unmatched + pair.sum()


@njit(cache=True, nogil=True)
def _even_cuts(data, offsets, out):  # type: ignore[no-untyped-def]
    """Share of the Han characters in runs of one and the same length, nothing but Han between their ends."""
    lengths = np.zeros(_LONGEST_CUT, np.int64)
    for document in range(len(offsets) - 1):
        lengths[:] = 0
        run, total = 0, 0
        position, end = offsets[document], offsets[document + 1]
        while position <= end:
            is_han = position + 2 < end and 0xE3 <= data[position] <= 0xE9
            if is_han:
                code, _ = decode(data, position)
                is_han = 0x3400 <= code < 0xA000 and not 0x4DC0 <= code < 0x4E00
            if is_han:
                run += 1
                total += 1
                position += 3
                continue
            if run > 0:
                lengths[min(run, _LONGEST_CUT - 1)] += 1
                run = 0
            position += 1
        best = 0
        for length in range(_SHORTEST_CUT, _LONGEST_CUT - 1):
            if lengths[length] >= _FEWEST_CUTS:
                best = max(best, lengths[length] * length)
        out[document] = best / total if total else 0.0


@njit(cache=True, nogil=True, inline="always")
def _is_han(token: Any) -> Any:
    """Whether a token of `scan` is one Han or kana character: `mix` backwards."""
    value = token ^ (token >> np.uint64(31)) ^ (token >> np.uint64(62))
    value *= np.uint64(0x319642B2D24D8EC3)
    value = value ^ (value >> np.uint64(27)) ^ (value >> np.uint64(54))
    value *= np.uint64(0x96DE1B173F119089)
    value = value ^ (value >> np.uint64(30)) ^ (value >> np.uint64(60))
    return value - IDEOGRAPH_SEED < np.uint64(0x110000)


@njit(cache=True, nogil=True)
def _is_prose(data, begin, end):  # type: ignore[no-untyped-def]
    """Whether digits and ASCII symbols are rare: tables, code and sums repeat their words too."""
    signs = 0
    for i in range(begin, end):
        byte = data[i]
        is_sign = 33 < byte < 97 and not 65 <= byte <= 90 and byte not in (39, 44, 45, 46, 63)
        signs += is_sign or 123 <= byte <= 126
    return signs <= _MOST_SIGNS * (end - begin)


@njit(cache=True, nogil=True)
def _stuffed(data, text_offsets, tokens, offsets, common, out):  # type: ignore[no-untyped-def]
    size = 1024
    table, counts = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    units, covered = np.zeros(_STUFFED_TOKENS, np.uint64), np.zeros(_STUFFED_TOKENS, np.bool_)
    for document in range(len(out)):
        begin = offsets[document]
        length = offsets[document + 1] - begin
        if not _FEWEST_STUFFED_TOKENS <= length <= _STUFFED_TOKENS:
            continue
        if not _is_prose(data, text_offsets[document], text_offsets[document + 1]):
            continue
        table[:] = 0
        covered[:length] = False
        for i in range(length - 4):
            key = np.uint64(0)
            for j in range(5):
                key = _hash(key, tokens[begin + i + j])
            slot = find_slot(table, key)
            if table[slot] == 0:
                table[slot] = key
            else:
                covered[i : i + 5] = True
        table[:] = 0
        counts[:] = 0
        num_han = 0
        for i in range(length):
            token = tokens[begin + i]
            units[i] = 0
            num_han += _is_han(token)
            if not _is_han(token):
                if common[find_slot(common, token)] == 0:
                    units[i] = token | np.uint64(1)
            elif i + 1 < length and _is_han(tokens[begin + i + 1]):
                units[i] = _hash(token, tokens[begin + i + 1])
            if units[i] != 0:
                slot = find_slot(table, units[i])
                table[slot] = units[i]
                counts[slot] += 1
        for i in range(length):
            if units[i] != 0 and counts[find_slot(table, units[i])] >= _FEWEST_REPEATS:
                covered[i] = True
                if _is_han(tokens[begin + i]):
                    covered[i + 1] = True
        out[document, int(2 * num_han > length)] = covered[:length].sum() / length
