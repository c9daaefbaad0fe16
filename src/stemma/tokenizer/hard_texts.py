"""Texts on which two tokenizers that should be equal differ first: a conversion must agree on all of them.

White space in runs and at borders, control and format characters, digits, scripts, combining marks, emoji, every
Unicode character of the first three planes, every piece's own text alone and beside others, special tokens' names.
"""

import itertools
from collections.abc import Iterator

from stemma.tokenizer.tokenizer import Tokenizer

_WORDS = (
    "Hello world",
    "don't we'll I'M it'S",
    "人工智能是计算机科学的一个分支。",
    "東京都の한국어 ру́сский עברית العربية हिन्दी ไทย",
    "e\u0301 \u0301 n\u0303 \u1e9b\u0323 \ufb01 \u2460 \uff21 \u017f \u0130",
    "0123456789 12 345 6,789.01 \u0663\u0664 \u2167 \u00bd",
    "\U0001f600\U0001f44d\U0001f3fd \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e8\U0001f1f3",
    "def f(x):\n\treturn x  # ok\r\n\r\n",
    "<h1>a</h1> http://a.b/c?d=e&f=1 ___ --- === !!! ...",
    "\u2581a \u2581\u2581 <0x41> <0xE4><0xBD><0xA0>",
    "\ufffd \u2047 \ue000 \U0010ffff \u0378",
)
_SPACES = (
    " ",
    "  ",
    "   ",
    " " * 16,
    " " * 17,
    " " * 100,
    "\n",
    "\n\n\n",
    "\t",
    "\r\n",
    "\r",
    "\x00",
    "\x85",
    "\xa0",
)
_SPACES += ("\u2028", "\u3000", "\u200b", "\ufeff", "\x01", "\x7f", "\x0b", "\x0c", "\u180e")
_RUNS = ("a", "的", "1", "!", "\u2581", "\U0001f600", "=", "-", "\u0301")
_PLANES = range(0x30000)
_BLOCK = 64


def samples(tokenizer: Tokenizer) -> Iterator[str]:
    """The built-in texts, and every special token's name inside a text."""
    yield from ("", *_WORDS, *_SPACES)
    for word, space in itertools.product(_WORDS, _SPACES):
        yield f"{space}{word}{space}{word}{space}"
    for letter, length in itertools.product(_RUNS, (*range(1, 20), 33, 64, 100, 257)):
        yield letter * length
    for name in tokenizer.special_ids:
        yield from (name, f"a{name}b", f" {name} 1{name}\n")


def characters() -> Iterator[str]:
    """Every character of the first three planes: in a row, and each between a letter and a digit."""
    usable = (chr(code) for code in _PLANES if not 0xD800 <= code <= 0xDFFF)
    for block in _blocks(usable):
        yield "".join(block)
        yield "".join(f"a{letter}1 {letter}" for letter in block)


def pieces(tokenizer: Tokenizer) -> Iterator[str]:
    """The text of every piece, where it has one: alone, twice, and after a digit."""
    for number in range(tokenizer.num_pieces):
        try:
            text = tokenizer.token_bytes(number).decode()
        except UnicodeDecodeError:
            continue
        yield from (text, text + text, f"1{text} ")


def _blocks(letters: Iterator[str]) -> Iterator[tuple[str, ...]]:
    while block := tuple(itertools.islice(letters, _BLOCK)):
        yield block
