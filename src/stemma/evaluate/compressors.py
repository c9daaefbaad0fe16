"""What general compressors and a unigram model make of the same text: the floor a language model has to beat.

Documents of a domain are compressed together, a newline between them, and the result is divided by the bytes of their
texts alone. A unigram model knows how often each token occurs in the training text, plus one, and nothing of order.
"""

import lzma
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from stemma.errors import StemmaError
from stemma.evaluate.perplexity import DomainText
from stemma.tokenizer.tokenizer import Tokenizer

MAX_TRAINING_BYTES = 32 * 1024 * 1024
"""training text a compressor is given as what came before"""
_XZ_WINDOW = 64 * 1024 * 1024


class Unigram:
    """Token frequencies with add-one smoothing over the whole vocabulary."""

    def __init__(self, tokenizer: Tokenizer, texts: Iterable[str]) -> None:
        self._tokenizer = tokenizer
        self._counts: Counter[int] = Counter()
        for text in texts:
            self._counts.update(tokenizer.encode(text))
        if not self._counts:
            raise StemmaError("the training documents hold no token; a unigram model needs some text")
        self._total = self._counts.total() + tokenizer.vocab_size

    def bits(self, text: str) -> float:
        """-log2 of the probability of the text's tokens."""
        counts = Counter(self._tokenizer.encode(text))
        return math.fsum(
            n * -math.log2((self._counts[token] + 1) / self._total) for token, n in counts.items()
        )


def compressed_bits_per_byte(
    texts: Iterable[DomainText], training: bytes = b""
) -> dict[str, dict[str, float]]:
    """{domain: {compressor: bits per byte}} under xz -9 and zstd -19, and zstd -19 after `training`, if there is any.

    The texts of all domains are held in memory at once. Raises ModuleNotFoundError when zstandard is not installed.
    """
    joined: dict[str, bytearray] = {}
    sizes: Counter[str] = Counter()
    for text in texts:
        data = text.text.encode()
        joined.setdefault(text.domain, bytearray()).extend(data + b"\n")
        sizes[text.domain] += len(data)
    compressors = _compressors(training)
    return {
        domain: {name: 8 * compress(bytes(data)) / sizes[domain] for name, compress in compressors.items()}
        for domain, data in joined.items()
        if sizes[domain]
    }


def unigram_bits_per_byte(texts: Iterable[DomainText], unigram: Unigram) -> dict[str, float]:
    """{domain: bits per byte} of all tokens of every text."""
    bits: dict[str, list[float]] = {}
    sizes: Counter[str] = Counter()
    for text in texts:
        bits.setdefault(text.domain, []).append(unigram.bits(text.text))
        sizes[text.domain] += len(text.text.encode())
    return {domain: math.fsum(values) / sizes[domain] for domain, values in bits.items() if sizes[domain]}


def beginning_of(texts: Iterable[str], max_bytes: int = MAX_TRAINING_BYTES) -> bytes:
    """The first `max_bytes` of the texts, one after another, each followed by a newline."""
    parts: list[bytes] = []
    size = 0
    for data in _lines(texts):
        parts.append(data[: max_bytes - size])
        size += len(parts[-1])
        if size == max_bytes:
            break
    return b"".join(parts)


def _lines(texts: Iterable[str]) -> Iterator[bytes]:
    for text in texts:
        yield text.encode() + b"\n"


def _compressors(training: bytes) -> dict[str, Callable[[bytes], int]]:
    import zstandard

    plain = zstandard.ZstdCompressor(level=19)
    found: dict[str, Callable[[bytes], int]] = {
        "xz -9": _xz_size,
        "zstd -19": lambda data: len(plain.compress(data)),
    }
    if training:
        prefix = zstandard.ZstdCompressionDict(training, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        prefix.precompute_compress(level=19)
        primed = zstandard.ZstdCompressor(level=19, dict_data=prefix)
        found["zstd -19 after training text"] = lambda data: len(primed.compress(data))
    return found


def _xz_size(data: bytes) -> int:
    """Preset 9 asks for 674 MB whatever the text; a window no longer than the text gives the same and asks for less."""
    window = min(_XZ_WINDOW, max(4096, len(data)))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": window}]
    return len(lzma.compress(data, format=lzma.FORMAT_XZ, filters=filters))
