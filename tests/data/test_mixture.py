"""Mixtures: shares of the tokens that come out as asked, a cap that holds, and a draw that depends on ids alone."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.config import parse, plain
from stemma.corpus.read import read_documents
from stemma.data.causal import tokenize_documents
from stemma.data.mixture import (
    MAX_LABELS,
    OTHERS,
    DocumentFacts,
    DocumentWeight,
    Mixture,
    Planner,
    Share,
    Tally,
    table,
)
from stemma.errors import StemmaError
from stemma.train.pretrain import PretrainData

SOURCES, LANGS = ("web", "book", "wiki"), ("zh", "en")


class Bytes:
    """A tokenizer of bytes with an end-of-text token."""

    vocab_size, bos_id, eos_id, pad_id, fingerprint = 257, None, 256, None, "bytes"

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]

    def token_bytes(self, token: int) -> bytes:
        return bytes([token])


def facts(number: int, rng: np.random.Generator, weights: bool = False) -> DocumentFacts:
    return DocumentFacts(
        ids=[f"d{i}" for i in range(number)],
        source=[SOURCES[i] for i in rng.choice(3, number, p=[0.8, 0.15, 0.05])],
        lang=[LANGS[i] for i in rng.choice(2, number)],
        domain=[None] * number,
        weight=[float(w) for w in rng.choice([1, 3, 200], number)] if weights else [None] * number,
        quality=[(None, 0.25, 0.5, 1.0)[i] for i in rng.choice(4, number)],
    )


def chosen(found: DocumentFacts, rows: np.ndarray) -> DocumentFacts:
    return DocumentFacts(**{name: [values[i] for i in rows] for name, values in plain_columns(found).items()})


def plain_columns(found: DocumentFacts) -> dict[str, list]:
    return {name: getattr(found, name) for name in ("ids", "source", "lang", "domain", "weight", "quality")}


def drawn(
    mixture: Mixture, found: DocumentFacts, sizes: np.ndarray, num_tokens: int | None
) -> tuple[np.ndarray, dict[str, Share]]:
    planner, tally = Planner(mixture), Tally(mixture)
    planner.add(found, sizes)
    planner.solve(num_tokens)
    copies = planner.copies(found)
    tally.add(found, copies, sizes)
    return copies, {row.name: row for row in tally.shares()}


def deviation(sizes: np.ndarray, copies: np.ndarray) -> float:
    """More than four standard deviations of a share."""
    return float(2.5 * np.sqrt((sizes.astype(float) ** 2).sum()) / (sizes * copies).sum())


def test_shares_are_met_within_their_confidence_interval() -> None:
    rng = np.random.default_rng(0)
    sizes, found = rng.integers(50, 2000, 20000), facts(20000, rng)
    mixture = Mixture(source={"web": 0.5, "book": 0.3, "wiki": 0.2}, lang={"zh": 0.7})
    copies, rows = drawn(mixture, found, sizes, 15_000_000)
    allowed = deviation(sizes, copies)
    assert allowed < 0.03
    for name, share in {"web": 0.5, "book": 0.3, "wiki": 0.2, "zh": 0.7, "en": 0.3}.items():
        assert rows[name].given == pytest.approx(share, abs=allowed)
    assert rows["en"].asked is None
    assert rows["zh"].asked == 0.7
    total = int((copies * sizes).sum())
    assert 15_000_000 <= total <= 15_000_000 + 4 * np.sqrt((sizes.astype(float) ** 2).sum())
    assert rows["web"].documents + rows["book"].documents + rows["wiki"].documents == 20000


def test_what_is_not_named_shares_the_rest_in_its_own_proportions() -> None:
    rng = np.random.default_rng(1)
    sizes, found = rng.integers(50, 2000, 20000), facts(20000, rng)
    copies, rows = drawn(Mixture(source={"wiki": 0.1}), found, sizes, 12_000_000)
    allowed = deviation(sizes, copies)
    assert rows["wiki"].given == pytest.approx(0.1, abs=allowed)
    assert rows["web"].given == pytest.approx(0.9 * 0.8 / 0.95, abs=2 * allowed)


@given(
    seed=st.integers(0, 2**32),
    cap=st.integers(1, 5),
    shares=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    lang=st.floats(0.05, 0.95),
    run=st.floats(0.05, 0.999),
    scheme=st.sampled_from(["ignore", "frequency", "quality", "given"]),
)
@settings(max_examples=40, deadline=None)
def test_the_cap_holds_and_the_run_is_filled_whatever_is_asked(
    seed: int,
    cap: int,
    shares: list[float],
    lang: float,
    run: float,
    scheme: DocumentWeight,
) -> None:
    rng = np.random.default_rng(seed)
    sizes, found = rng.integers(1, 300, 400), facts(400, rng, weights=True)
    source = {name: share / sum(shares) for name, share in zip(SOURCES, shares, strict=True)}
    mixture = Mixture(source=source, lang={"zh": lang}, max_epochs=cap, seed=seed, document_weight=scheme)
    wanted = int(run * cap * sizes.sum())
    copies, _ = drawn(mixture, found, sizes, wanted)
    assert copies.min() >= 0
    assert copies.max() <= cap
    total = int((copies * sizes).sum())
    assert wanted <= total + 1
    assert total <= wanted + 5 * np.sqrt((sizes.astype(float) ** 2).sum())


def test_a_share_that_cannot_be_met_gets_all_it_can_and_the_others_the_rest() -> None:
    rng = np.random.default_rng(2)
    sizes, found = np.full(10000, 100), facts(10000, rng)
    mixture = Mixture(source={"wiki": 0.6, "web": 0.3, "book": 0.1}, max_epochs=3)
    copies, rows = drawn(mixture, found, sizes, 1_000_000)
    assert (copies[np.array(found.source) == "wiki"] == 3).all()
    got = 3 * found.source.count("wiki") / 10000
    allowed = deviation(sizes, copies)
    assert rows["wiki"].given == pytest.approx(got, abs=allowed)
    assert rows["wiki"].asked == 0.6
    assert rows["web"].given == pytest.approx(0.75 * (1 - got), abs=allowed)
    assert "60.0%" in "\n".join(table([*rows.values()]))


def test_copies_do_not_depend_on_order_or_batches() -> None:
    rng = np.random.default_rng(3)
    sizes, found = rng.integers(1, 500, 2000), facts(2000, rng, weights=True)
    mixture = Mixture(source={"web": 0.4}, lang={"zh": 0.3}, document_weight="frequency", seed=7)
    copies, _ = drawn(mixture, found, sizes, 700_000)
    order = rng.permutation(2000)
    planner = Planner(mixture)
    for rows in np.array_split(order, 7):
        planner.add(chosen(found, rows), sizes[rows])
    planner.solve(700_000)
    again = np.concatenate([planner.copies(chosen(found, rows)) for rows in np.array_split(order, 5)])
    assert (again == copies[order]).all()
    other, _ = drawn(Mixture(source={"web": 0.4}, lang={"zh": 0.3}, seed=8), found, sizes, 700_000)
    assert (other != copies).any()


def test_document_weights_count_by_the_steps_or_as_they_are() -> None:
    rng = np.random.default_rng(4)
    sizes, found = np.full(15000, 10), facts(15000, rng, weights=True)
    weights, qualities = np.array(found.weight), np.array(found.quality)

    def mean(scheme: DocumentWeight, weight: float, quality: float | None = None) -> float:
        mixture = Mixture(document_weight=scheme, max_epochs=100)
        copies, _ = drawn(mixture, found, sizes, 300_000)
        return float(copies[(weights == weight) & ((quality is None) | (qualities == quality))].mean())

    assert mean("ignore", 3) == pytest.approx(mean("ignore", 1), rel=0.05)
    assert mean("frequency", 3) == pytest.approx(1.25 * mean("frequency", 1), rel=0.05)
    assert mean("frequency", 200) == pytest.approx(mean("frequency", 1), rel=0.05)
    assert mean("quality", 1, 1.0) == pytest.approx(8 * mean("quality", 1, 0.25), rel=0.1)
    assert mean("quality", 3, 0.25) == pytest.approx(1.25 * mean("quality", 1, 0.25), rel=0.1)
    assert mean("frequency", 1, 1.0) == pytest.approx(mean("frequency", 1, 0.25), rel=0.05)
    assert mean("given", 200) == pytest.approx(200 / 3 * mean("given", 3), rel=0.2)


@pytest.mark.parametrize(
    ("scheme", "known", "said"),
    [
        ("quality", (), "none of 1,000 documents has a quality: all count alike"),
        ("quality", ("weight",), "none of 1,000 documents has a quality: they count by their weight alone"),
        ("given", ("quality",), "none of 1,000 documents has a weight: all count alike"),
        ("frequency", (), "none of 1,000 documents has a weight: all count alike"),
        ("quality", ("quality",), ""),
        ("frequency", ("weight",), ""),
        ("ignore", (), ""),
    ],
)
def test_a_weight_by_what_no_document_has_is_said(
    scheme: DocumentWeight, known: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = facts(1000, np.random.default_rng(6), weights=True)
    lacking = {name: [None] * 1000 for name in {"weight", "quality"} - set(known)}
    drawn(Mixture(document_weight=scheme), replace(found, **lacking), np.full(1000, 10), None)
    expected = f"data.mixture.document_weight is '{scheme}' and {said}\n" if said else ""
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("mixture", "sentence"),
    [
        ({"source": {"web": 1.5}}, "data.mixture: source: the share of 'web' is 1.5"),
        ({"source": {"web": 0.7, "book": 0.4}}, "shares add up to 1.1"),
        ({"max_epochs": 0}, "max_epochs is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"sources": {"web": 1.0}}, "unknown key 'sources'; did you mean 'source'"),
        ({"document_weight": "often"}, "'often' is not one of the choices"),
    ],
)
def test_a_recipe_that_means_nothing_is_one_sentence(mixture: dict, sentence: str) -> None:
    recipe = {"train": ["a"], "sequence_length": 8, "mixture": mixture}
    with pytest.raises(StemmaError, match=sentence) as caught:
        parse(PretrainData, recipe, "data")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mixture", "run", "sentence"),
    [
        (Mixture(source={"wbe": 0.5}), 100, "has the source 'wbe'; did you mean 'web'"),
        (Mixture(lang={"zh": 0.5, "en": 0.4}), 100, "add up to 0.9 and no document has another lang"),
        (Mixture(max_epochs=2), 10**9, "2 epochs of the documents with a share give 40,000"),
        (Mixture(source={"web": 0.0, "book": 0.0, "wiki": 1.0}), 10**5, "with a share give"),
    ],
)
def test_a_mixture_the_documents_cannot_give_is_one_sentence(
    mixture: Mixture, run: int, sentence: str
) -> None:
    with pytest.raises(StemmaError, match=sentence):
        drawn(mixture, facts(200, np.random.default_rng(5)), np.full(200, 100), run)


def test_a_recipe_without_a_mixture_reads_back_as_before() -> None:
    data = PretrainData(train=(Path("a"),), sequence_length=8)
    assert plain(data) == {"train": ["a"], "validation": {}, "sequence_length": 8}
    mixed = PretrainData(train=(Path("a"),), sequence_length=8, mixture=Mixture(source={"a.b": 0.5}))
    assert parse(PretrainData, plain(mixed)) == mixed


def test_names_beyond_the_limit_are_counted_together_unless_asked_for() -> None:
    number = MAX_LABELS + 50
    names = [f"s{i}" for i in range(number)]
    none = [None] * number
    found = DocumentFacts(ids=names, source=[*names], lang=none, domain=none, weight=none, quality=none)
    tally = Tally(Mixture(source={names[-1]: 0.5}))
    tally.add(found, np.ones(number, np.int64), np.ones(number, np.int64))
    rows = {row.name: row for row in tally.shares() if row.label == "source"}
    assert len(rows) == MAX_LABELS + 2
    assert rows[names[-1]].documents == 1
    assert rows[OTHERS].documents == 49


def corpus(path: Path, number: int) -> Path:
    records = (
        {"id": str(i), "text": f"{i:03} " * (1 + i % 5), "source": "a" if i % 4 else "b", "weight": 1 + i % 3}
        for i in range(number)
    )
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_mixed_shards_hold_the_copies_that_were_drawn(tmp_path: Path) -> None:
    path = corpus(tmp_path / "a.jsonl", 400)
    mixture = Mixture(source={"a": 0.4, "b": 0.6}, document_weight="given", max_epochs=6)
    shards = tokenize_documents(tmp_path / "t", [path], Bytes(), mixture, num_tokens=6000)  # pyright: ignore[reportArgumentType]
    texts = [bytes(shards.document(i)[0][:-1].tolist()) for i in range(len(shards.starts))]
    found = {row.name: row for row in shards.index.shares if row.label == "source"}
    copies = {f"{i:03}": 0 for i in range(400)}
    for text in texts:
        copies[text[:3].decode()] += 1
    assert found["a"].copies == sum(copies[f"{i:03}"] for i in range(400) if i % 4)
    assert found["b"].copies == sum(copies[f"{i:03}"] for i in range(0, 400, 4))
    assert found["a"].tokens + found["b"].tokens == shards.num_tokens >= 6000
    assert (found["a"].documents, found["b"].documents) == (300, 100)
    assert max(copies.values()) <= 6
    assert max(copies.values()) > 1
    assert all(one != two for one, two in itertools.pairwise(texts))  # copies stand apart
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_mixed_shards_are_reused_until_the_mixture_or_the_run_changes(tmp_path: Path) -> None:
    path = corpus(tmp_path / "a.jsonl", 50)

    def made(mixture: Mixture | None, num_tokens: int) -> int:
        tokenize_documents(tmp_path / "t", [path], Bytes(), mixture, num_tokens=num_tokens)  # pyright: ignore[reportArgumentType]
        return (tmp_path / "t" / "index.json").stat().st_mtime_ns

    first = made(Mixture(), 600)
    assert made(Mixture(), 600) == first
    second = made(Mixture(seed=1), 600)
    assert second != first
    third = made(Mixture(seed=1), 700)
    assert third != second
    fourth = made(None, 700)
    assert fourth != third
    assert made(None, 800) == fourth  # every document once, however long the run


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_only_a_positive_finite_number_is_a_weight_and_only_a_probability_a_quality(
    tmp_path: Path, suffix: str
) -> None:
    values = [2, 0.5, 1, 0, None, -1, float("nan")]
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        import pyarrow.parquet

        column = pyarrow.array(values, pyarrow.float64())
        columns = {"text": ["x"] * len(values), "weight": column, "quality": column}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    else:
        values = [*values[:-1], True, "3", [1], 10**400]
        records = ({"text": "x", "weight": value, "quality": value} for value in values)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    found = [(document.weight, document.quality) for document in read_documents(path)]
    assert found == [(2, None), (0.5, 0.5), (1, 1), (None, 0), *[(None, None)] * (len(values) - 4)]


def test_a_run_draws_its_mixture_for_all_of_its_steps(tmp_path: Path) -> None:
    from stemma.tokenizer.train import TrainSettings, train_tokenizer
    from stemma.train.pretrain import PretrainSettings, pretrain

    path = corpus(tmp_path / "a.jsonl", 400)
    train_tokenizer([path.read_text()], TrainSettings(vocab_size=264, chat_template=None)).save(
        tmp_path / "tok"
    )
    block = {
        "attention": {"num_heads": 1, "num_kv_heads": 1, "head_dim": 8, "position": {"kind": "rope"}},
        "feed_forward": {"intermediate_size": 8},
    }
    recipe = {
        "seed": 1,
        "steps": 2,
        "tokenizer": str(tmp_path / "tok"),
        "model": {"vocab_size": 264, "hidden_size": 8, "num_layers": 1, "max_seq_len": 16, "blocks": [block]},
        "data": {"train": [str(path)], "sequence_length": 16, "mixture": {"source": {"a": 0.2, "b": 0.8}}},
        "optimizer": {"learning_rate": 1e-3},
        "train": {"batch_size": 40, "device": "cpu"},
    }
    pretrain(parse(PretrainSettings, recipe), tmp_path / "run")
    index = json.loads((tmp_path / "run" / "tokens" / "train" / "index.json").read_text())
    given = {row["name"]: row["given"] for row in index["shares"] if row["label"] == "source"}
    assert 2 * 40 * 16 <= index["num_tokens"] < 2 * 2 * 40 * 16
    assert given["b"] == pytest.approx(0.8, abs=0.1)
