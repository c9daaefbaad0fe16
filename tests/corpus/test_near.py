"""Near duplicates: the S-curve of the signatures, and who stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.minhash import MinHash, jaccard, shingles
from stemma.corpus.near import find_near_duplicates
from stemma.corpus.scan import scan

Array = np.ndarray
MINHASH = MinHash(32, 8, 5)


def find(texts: list[str], threshold: float = 0.7) -> dict[int, int]:
    tokens = [scan(text).tokens for text in texts]
    keys = np.array([MINHASH.band_keys(each) for each in tokens], np.uint64).reshape(-1, 32)
    result = find_near_duplicates(keys, lambda i: shingles(tokens[i], 5), threshold)
    return {document: twin for document, (twin, _) in result.twins.items()}


def words(generator: np.random.Generator, count: int) -> list[str]:
    return [f"w{value}" for value in generator.integers(10_000, size=count)]


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 60), max_size=40), st.lists(st.integers(0, 60), max_size=40))
def test_jaccard_is_the_share_of_common_elements(left: list[int], right: list[int]) -> None:
    a, b = set(left), set(right)
    expected = len(a & b) / len(a | b) if a and b else 0.0
    assert jaccard(*(np.unique(np.array(sorted(s), np.uint64)) for s in (a, b))) == pytest.approx(expected)


@pytest.mark.parametrize("size", [20, 300])
@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.85])
def test_signatures_agree_and_bands_meet_as_often_as_theory_says(similarity: float, size: int) -> None:
    generator = np.random.default_rng(3)
    pairs, equal, met = 200, [], 0
    common = round(2 * size * similarity / (1 + similarity))
    single = MinHash(32, 8, 1)
    for _ in range(pairs):
        values = generator.integers(1 << 63, size=2 * size, dtype=np.uint64)
        left = np.concatenate([values[:common], values[common:size]])
        right = np.concatenate([values[:common], values[size : 2 * size - common]])
        equal.append(float(np.mean(single.signature(left) == single.signature(right))))
        met += bool(np.any(single.band_keys(left) == single.band_keys(right)))
    true = common / (2 * size - common)
    assert np.mean(equal) == pytest.approx(true, abs=0.01)
    assert np.std(equal) < 1.2 * np.sqrt(true * (1 - true) / 256)  # the functions are as good as independent
    theory = 1 - (1 - true**8) ** 32
    assert met / pairs == pytest.approx(theory, abs=0.1)


@pytest.mark.parametrize("length", [20, 30, 60])
def test_short_texts_with_a_change_at_the_end_are_found(length: int) -> None:
    generator = np.random.default_rng(length)
    originals = [words(generator, length) for _ in range(100)]
    copies = [[*original[:-1], "changed"] for original in originals]
    found = find([" ".join(each) for each in originals + copies])
    assert len(found) >= 95
    assert all(document == twin + 100 for document, twin in found.items())


def test_short_chinese_texts_with_one_character_changed_are_found() -> None:
    generator = np.random.default_rng(5)
    originals = [
        "".join(chr(0x4E00 + value) for value in generator.integers(3000, size=60)) for _ in range(100)
    ]
    copies = [text[:30] + "龘" + text[31:] for text in originals]
    found = find(originals + copies)
    assert len(found) >= 95
    assert all(document == twin + 100 for document, twin in found.items())


def test_chains_do_not_remove_what_is_far_from_all_that_stays() -> None:
    base = words(np.random.default_rng(7), 200)
    steps = [base]
    for step in range(
        1, 4
    ):  # each step replaces 25 words more at the end: 0.78 to the one before, 0.6 two apart
        steps.append(
            base[: 200 - 25 * step]
            + [f"s{step}x{i}" if i < 25 else steps[-1][-25 * step + i] for i in range(25 * step)]
        )
    texts = [" ".join(each) for each in steps]
    sets = [shingles(scan(text).tokens, 5) for text in texts]
    found = find(texts)
    kept = [i for i in range(len(texts)) if i not in found]
    assert 0 in kept
    for document, twin in found.items():
        assert twin in kept
        assert twin < document
        assert jaccard(sets[document], sets[twin]) >= 0.7
    assert all(jaccard(sets[a], sets[b]) < 0.7 for a in kept for b in kept if a < b)


def test_different_texts_with_a_common_passage_stay() -> None:
    generator = np.random.default_rng(9)
    passage = words(generator, 40)
    assert find([" ".join(words(generator, 100) + passage) for _ in range(50)]) == {}


def test_many_copies_are_compared_with_the_first_only() -> None:
    text = scan(" ".join(words(np.random.default_rng(1), 50))).tokens
    keys = np.tile(MINHASH.band_keys(text), (500, 1))
    result = find_near_duplicates(keys, lambda _: shingles(text, 5), 0.7)
    assert set(result.twins) == set(range(1, 500))
    assert {twin for twin, _ in result.twins.values()} == {0}
    assert result.num_comparisons == 499


def test_a_bucket_full_of_false_friends_is_not_searched_to_the_end() -> None:
    keys = np.zeros((400, 2), np.uint64)
    result = find_near_duplicates(keys, lambda i: np.array([i], np.uint64), 0.7)
    assert not result.twins
    assert result.num_comparisons <= 400 * 64
    assert result.num_full_buckets > 0


def test_no_documents_and_no_bands_are_no_duplicates() -> None:
    for shape in ((0, 32), (5, 0), (1, 32)):
        assert not find_near_duplicates(
            np.zeros(shape, np.uint64), lambda _: np.zeros(0, np.uint64), 0.7
        ).twins
