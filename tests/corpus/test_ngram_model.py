"""n-gram models: probabilities that sum to one, the right statistics, bounded tables, files that cannot lie."""

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.ngram_model import Batch, NgramModel, NgramSettings, _contexts, _counted, _runs
from stemma.errors import StemmaError

SMALL = NgramSettings(order=3, counted=1 << 14, least=1)


def batch(*documents: list[int]) -> Batch:
    """Tokens are mixed so that they look like hashes."""
    tokens = np.array([token for document in documents for token in document], np.uint64)
    offsets = np.cumsum([0, *map(len, documents)]).astype(np.int64)
    return (tokens + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15), offsets


def column(model: NgramModel, documents: Batch, name: str) -> npt.NDArray[np.float32]:
    return model.score(*documents)[:, model.columns.index(name)]


def language(seed: int, length: int, order: int) -> list[int]:
    """Tokens of which each depends on the `order` before it."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 30, order).tolist()
    while len(tokens) < length:
        context = hash(tuple(tokens[len(tokens) - order :]))
        tokens.append((context + int(rng.integers(0, 2)) * 7) % 30)
    return tokens


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=30), min_size=1, max_size=6))
def test_the_probabilities_of_all_continuations_sum_to_one(documents: list[list[int]]) -> None:
    model = NgramModel.train([batch(*documents)], SMALL)
    known = sorted({token for document in documents for token in document})
    for context in ([], known[:1], documents[0][:2]):
        base = len(context) * column(model, batch(context), "log_prob")[0] if context else 0.0
        endings = batch(*[[*context, token] for token in [*known, 99]])
        totals = column(model, endings, "log_prob") * (len(context) + 1) - base
        # The unseen token stands for all others; logarithms are kept in steps of a tenth.
        assert np.exp(totals).sum() == pytest.approx(1, abs=0.12)


def test_frequent_continuations_are_likelier_and_unseen_tokens_unknown() -> None:
    model = NgramModel.train([batch(*[[1, 2, 3]] * 9, [1, 2, 4])], SMALL)
    often, seldom, never = column(model, batch([1, 2, 3], [1, 2, 4], [1, 2, 77]), "log_prob")
    assert often > seldom > never
    assert column(model, batch([1, 77], []), "unknown").tolist() == [0.5, 0]


@pytest.mark.parametrize("order", [1, 2])
def test_the_gain_stops_where_the_order_of_the_chain_ends(order: int) -> None:
    train = batch(*[language(seed, 2_000, 3) for seed in range(20)])
    model = NgramModel.train([train], NgramSettings(order=4, counted=1 << 20, least=1))
    tokens = train[0]
    followers: dict[tuple[int, ...], list[int]] = {}
    for i in range(len(tokens) - order):
        followers.setdefault(tuple(tokens[i : i + order].tolist()), []).append(int(tokens[i + order]))
    rng = np.random.default_rng(5)
    chain = [int(token) for token in tokens[:order]]
    while len(chain) < 1_500:
        choice = followers.get(tuple(chain[-order:])) or [int(tokens[0])]
        chain.append(choice[int(rng.integers(len(choice)))])
    salad = np.array(chain, np.uint64), np.array([0, len(chain)], np.int64)
    real = batch(language(99, 1_500, 3))
    beyond = f"gain_{order + 2}"
    assert column(model, salad, beyond)[0] < -0.05
    assert column(model, real, "gain_4")[0] > 0.5
    assert column(model, real, "log_prob")[0] > column(model, salad, "log_prob")[0] + 0.5


def test_batch_borders_change_nothing() -> None:
    documents = [language(seed, 300, 2) for seed in range(12)]
    settings_ = NgramSettings(order=4, counted=1 << 11, least=2)  # full several times
    whole = NgramModel.train([batch(*documents)], settings_)
    parts = NgramModel.train([batch(*documents[:5]), batch(), batch(*documents[5:])], settings_)
    assert np.array_equal(whole.table, parts.table)
    assert whole.unknown == parts.unknown
    together = whole.score(*batch(*documents))
    alone = np.concatenate([whole.score(*batch(document)) for document in documents])
    assert np.array_equal(together, alone)


def test_a_full_table_keeps_the_frequent_and_the_size_stays_bounded() -> None:
    rng = np.random.default_rng(1)
    noise = [[int(t) for t in rng.integers(100, 1 << 40, 200)] for _ in range(60)]
    documents = [part for pair in zip(noise, [[1, 2, 3, 4] * 5] * 60, strict=True) for part in pair]
    model = NgramModel.train([batch(*documents)], NgramSettings(order=3, counted=1 << 12, entries=500))
    assert model.num_entries <= 500
    assert column(model, batch([1, 2, 3, 4]), "known_3")[0] == 1


def test_a_saved_model_scores_the_same_and_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    documents = batch(*[language(seed, 300, 2) for seed in range(5)])
    model = NgramModel.train([documents], SMALL)
    model.save(tmp_path / "a.npz")
    NgramModel.train([documents], SMALL).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = NgramModel.load(tmp_path / "a.npz")
    assert np.array_equal(loaded.score(*documents), model.score(*documents))


def test_files_that_are_no_model_are_named(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    NgramModel.train([batch(language(1, 500, 2))], SMALL).save(good)
    data = good.read_bytes()
    middle = len(data) // 2
    damaged = data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]
    for content in (b"", b"PK\x03\x04 not an archive", data[: len(data) // 2], damaged):
        bad.write_bytes(content)
        with pytest.raises(StemmaError, match=r"bad\.npz: not an n-gram model, or damaged"):
            NgramModel.load(bad)
    with pytest.raises(StemmaError, match="no such file"):
        NgramModel.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("header", np.array([1, 3, 1 << 40])),
        ("header", np.array([1, 9, 1 << 10])),
        ("header", np.array([2, 3, 1 << 10])),
        ("unknown", np.array([np.nan])),
        ("byte0", np.zeros(3, np.uint8)),
        ("used", np.full(1 << 7, 255, np.uint8)),
        ("header", np.array([{}], object)),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    tmp_path: Path, name: str, value: npt.NDArray[np.generic]
) -> None:
    path = tmp_path / "model.npz"
    NgramModel.train([batch(language(1, 300, 2))], NgramSettings(order=3, counted=1 << 10, least=1)).save(
        path
    )
    with np.load(path) as parts:
        arrays = {key: parts[key] for key in parts.files}
    np.savez(path, **{**arrays, name: value})
    with pytest.raises(StemmaError, match="not an n-gram model"):
        NgramModel.load(path)


def test_an_archive_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    NgramModel.train([batch(language(1, 300, 2))], SMALL).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", b"x")
    with pytest.raises(StemmaError, match="not an n-gram model"):
        NgramModel.load(path)


def test_settings_and_inputs_that_make_no_sense_are_named() -> None:
    with pytest.raises(StemmaError, match="order 7"):
        NgramSettings(order=7)
    with pytest.raises(StemmaError, match="power of two"):
        NgramSettings(counted=1000)
    with pytest.raises(StemmaError, match="no text"):
        NgramModel.train([batch([])], SMALL)


def counts(documents: Batch, wanted: npt.NDArray[np.uint64]) -> dict[int, tuple[int, int]]:
    """(count, key of the context) of every n-gram that is counted."""
    columns = _counted([documents], SMALL, wanted).columns
    used = np.flatnonzero(columns.counts)
    return {int(columns.keys[i]): (int(columns.counts[i]), int(columns.contexts[i])) for i in used}


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=2, max_size=8),
    st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=20), min_size=1, max_size=3),
)
def test_a_model_for_some_documents_counts_just_what_they_can_ask(
    documents: list[list[int]], asked: list[list[int]]
) -> None:
    whole = counts(batch(*documents), np.zeros(1, np.uint64))
    runs = {0, *map(int, _runs(*batch(*asked), SMALL.order - 1))}  # 0 is the context of a single token
    expected = {key: (count, context) for key, (count, context) in whole.items() if context in runs}
    assert counts(batch(*documents), _contexts(*batch(*asked), SMALL.order)) == expected


def test_a_model_for_one_document_is_smaller_and_gives_nearly_the_same_probability() -> None:
    documents, asked = [language(seed, 400, 2) for seed in range(20)], language(99, 40, 2)
    documents += [[token + 100 for token in document] for document in documents]
    whole = NgramModel.train([batch(*documents)], SMALL)
    part = NgramModel.train([batch(*documents)], SMALL, batch(asked))
    assert part.num_entries < 0.7 * whole.num_entries
    own = [float(column(model, batch(asked), "log_prob")[0]) for model in (whole, part)]
    assert own[1] == pytest.approx(own[0], abs=0.1)
