import lzma
import math

import pytest

from stemma.evaluate.compressors import Unigram, beginning_of, compressed_bits_per_byte, unigram_bits_per_byte
from stemma.evaluate.perplexity import DomainText
from stemma.generate.language_model import LanguageModel

TEXTS = [
    DomainText("en", "Anna keeps bees in Lyon. " * 8),
    DomainText("zh", "安娜住在里昂。"),
    DomainText("en", "Tom"),
]


def test_compressors_see_the_documents_of_a_domain_as_one_text() -> None:
    import zstandard

    found = compressed_bits_per_byte(TEXTS)
    whole = ("Anna keeps bees in Lyon. " * 8 + "\nTom\n").encode()
    assert list(found) == ["en", "zh"]
    assert found["en"]["xz -9"] == 8 * len(lzma.compress(whole, preset=9)) / (len(whole) - 2)
    packed = zstandard.ZstdCompressor(level=19).compress(whole)
    assert found["en"]["zstd -19"] == 8 * len(packed) / (len(whole) - 2)


def test_a_compressor_that_has_seen_the_training_text_needs_far_fewer_bits_for_it() -> None:
    sentence = "".join(f"{n}: {n * n * 7919 % 10007}; " for n in range(60))
    held_out = [DomainText("x", sentence)]
    found = compressed_bits_per_byte(held_out, beginning_of(["unrelated", sentence]))["x"]
    assert found["zstd -19 after training text"] < found["zstd -19"] / 5


def test_only_the_beginning_of_the_training_text_is_kept() -> None:
    assert beginning_of(["ab", "cd", "ef"], max_bytes=5) == b"ab\ncd"
    assert beginning_of(["ab"], max_bytes=50) == b"ab\n"


def test_unigram_bits_follow_add_one_smoothed_counts(language_model: LanguageModel) -> None:
    tokenizer = language_model.tokenizer
    unigram = Unigram(tokenizer, ["aab"])
    a, b, c = (tokenizer.encode(letter) for letter in "abc")
    assert tokenizer.encode("aab") == [*a, *a, *b]
    total = 3 + tokenizer.vocab_size
    expected = -math.log2(3 / total) - math.log2(2 / total) - 2 * math.log2(1 / total)
    assert unigram.bits("abcc") == pytest.approx(expected)
    assert tokenizer.encode("abcc") == [*a, *b, *c, *c]
    assert unigram_bits_per_byte([DomainText("x", "abcc")], unigram) == {"x": pytest.approx(expected / 4)}
