"""The words and phrases that the pass looks for, as a table from token hash to bits.

A phrase of up to LONGEST_PHRASE words is found by its last word, which has PHRASE_END: the hash of the run of
tokens up to it, last word first, is looked up in the same table.
"""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stemma.corpus.characters import character_tables
from stemma.corpus.hashing import add_character, extend, find_slot, mix

ENGLISH = 1
"""Small words that make up a quarter of English prose and little of any other text."""
GOPHER_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
FIRST_STOP_BIT = 1
COUNTER, POLICY, LOREM, FILLER, PHRASE_END = (1 << bit for bit in range(9, 14))
"""What is counted under a page; a phrase of scripts and policies; lorem ipsum; a stock phrase of it; ends a
phrase."""
FILLER_CHARACTERS = 20
"""visible characters for which a phrase of FILLER stands: those of the classical passage by its phrases"""
LONGEST_PHRASE = 5
_SIZE = 1024
_WORDS = {
    ENGLISH: "the of and to in is a that for it with as on be are this was not",
    COUNTER: "like likes share shares comment comments view views reply replies vote votes upvotes downvotes "
    "followers downloads reposts retweets reads bookmarks answers",
    POLICY: "javascript",
}
_PHRASES = {
    POLICY: (
        *("privacy policy", "cookie policy", "terms of use", "terms of service"),
        *("use cookies", "uses cookies", "use of cookies", "accept cookies"),
    ),
    LOREM: ("lorem ipsum",),
    FILLER: (
        *("sit amet", "consectetur adipiscing elit", "consectetuer adipiscing elit", "sed do eiusmod tempor"),
        *("incididunt ut labore", "et dolore magna aliqua", "ut enim ad minim veniam"),
        *(
            "quis nostrud exercitation",
            "ullamco laboris nisi",
            "aliquip ex ea commodo",
            "duis aute irure dolor",
        ),
        *("in reprehenderit in voluptate", "velit esse cillum dolore", "eu fugiat nulla pariatur"),
        *("excepteur sint occaecat", "cupidatat non proident", "sunt in culpa qui officia"),
        *("deserunt mollit anim", "id est laborum"),
        # what generators of filler put between random words
        *("vestibulum ante ipsum primis", "in faucibus orci luctus", "et ultrices posuere cubilia"),
        *(
            "pellentesque habitant morbi",
            "tristique senectus et netus",
            "et malesuada fames ac",
            "ac turpis egestas",
        ),
        *(
            "class aptent taciti sociosqu",
            "ad litora torquent per",
            "conubia nostra",
            "per inceptos himenaeos",
        ),
        *("sociis natoque penatibus", "et magnis dis parturient", "nascetur ridiculus mus"),
    ),
}


class Lexicon(NamedTuple):
    """An open-addressing table: `keys` (size,) uint64, 0 where free, and `bits` (size,) int64."""

    keys: npt.NDArray[np.uint64]
    bits: npt.NDArray[np.int64]


@functools.cache
def lexicon() -> Lexicon:
    """Build the table once."""
    table = Lexicon(np.zeros(_SIZE, np.uint64), np.zeros(_SIZE, np.int64))
    for bit, words in _WORDS.items():
        for word in words.split():
            _add(table, hash_word(word), bit)
    for place, word in enumerate(GOPHER_STOP_WORDS, FIRST_STOP_BIT):
        _add(table, hash_word(word), 1 << place)
    for bit, phrases in _PHRASES.items():
        for phrase in phrases:
            *before, run = map(hash_word, phrase.split())
            _add(table, run, PHRASE_END)
            for token in reversed(before):
                run = np.uint64(extend(run, token))
            _add(table, run, bit)
    return table


def hash_word(word: str) -> np.uint64:
    """The token hash that `scan` gives a word."""
    folds = character_tables().folds
    value = np.uint64(0)
    for character in word:
        value = np.uint64(add_character(value, np.uint64(folds[ord(character)])))
    return np.uint64(mix(value))


def _add(table: Lexicon, key: np.uint64, bit: int) -> None:
    slot = find_slot(table.keys, key)
    table.keys[slot] = key
    table.bits[slot] |= bit
