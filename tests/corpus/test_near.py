"""Near duplicates: the S-curve of the signatures, and who stays."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.minhash import MinHash, jaccard, shingles
from stemma.corpus.near import MAX_PARTNERS, Resolver, candidates, union, verify
from stemma.corpus.scan import tokens_of

Array = np.ndarray
MINHASH = MinHash(32, 8, 5)


def offsets_of(tokens: list[Array]) -> Array:
    return np.cumsum([0, *map(len, tokens)]).astype(np.int64)


def band_keys(tokens: list[Array], minhash: MinHash = MINHASH) -> Array:
    return minhash.band_keys(np.concatenate([np.empty(0, np.uint64), *tokens]), offsets_of(tokens))


def near(keys: Array, load: Callable[[Array], list[Array]], threshold: float = 0.7) -> dict[int, int]:
    """The three steps over documents 0, 1, ...: {document that goes: the one that stays}."""
    numbers = np.arange(len(keys))
    pairs = [candidates(keys[:, band], numbers)[:2] for band in range(keys.shape[1])]
    edges = Resolver(len(keys)).add(verify(*union(pairs), load, threshold, block=7))
    return dict(zip(edges.later.tolist(), edges.earlier.tolist(), strict=True))


def find(texts: list[str], threshold: float = 0.7) -> dict[int, int]:
    tokens = [tokens_of(text) for text in texts]
    return near(band_keys(tokens), lambda which: [shingles(tokens[i], 5) for i in which], threshold)


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
        keys = band_keys([left, right], single)
        met += bool(np.any(keys[0] == keys[1]))
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
    sets = [shingles(tokens_of(text), 5) for text in texts]
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


def test_many_copies_have_the_first_one_as_their_twin() -> None:
    text = tokens_of(" ".join(words(np.random.default_rng(1), 50)))
    keys = np.tile(band_keys([text]), (500, 1))
    found = near(keys, lambda which: [shingles(text, 5)] * len(which))
    assert found == dict.fromkeys(range(1, 500), 0)


def test_a_bucket_full_of_false_friends_is_not_searched_to_the_end_and_says_so() -> None:
    found = candidates(np.zeros(400, np.uint64), np.arange(400))
    assert len(found.later) < 400 * MAX_PARTNERS
    assert found.num_skipped == 400 - 1 - MAX_PARTNERS
    assert not near(np.zeros((400, 2), np.uint64), lambda which: [np.array([i], np.uint64) for i in which])


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 40))
def test_candidates_are_all_pairs_of_small_buckets_in_order(keys: list[int], start: int) -> None:
    numbers = np.arange(start, start + len(keys))
    found = candidates(np.array(keys, np.uint64), numbers)
    pairs = list(zip(found.later.tolist(), found.earlier.tolist(), strict=True))
    members = {key: [start + i for i, other in enumerate(keys) if other == key] for key in set(keys)}
    expected = [
        (later, earlier)
        for bucket in members.values()
        for i, later in enumerate(bucket)
        for earlier in bucket[: min(i, MAX_PARTNERS)]
    ]
    assert pairs == sorted(expected)


def test_no_documents_and_one_alone_have_no_twins() -> None:
    for count in (0, 1):
        assert not near(np.zeros((count, 32), np.uint64), lambda which: [np.empty(0, np.uint64)] * len(which))
