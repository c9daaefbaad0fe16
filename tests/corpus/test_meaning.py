"""Semantic deduplication in a cleaning: who goes, for whom, for how many, and the same however the work is cut."""

import json
import sys
import types
from dataclasses import replace
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from stemma.cli import main
from stemma.corpus import meaning
from stemma.corpus.clean import DECISIONS_FILE, WaitingForRanksError, clean
from stemma.corpus.semantic import SemanticSettings
from stemma.corpus.summary import CleanSettings
from stemma.errors import StemmaError

NUM_DOCUMENTS = 600
SETTINGS = CleanSettings(part_megabytes=1, semantic_eps=0.1)


def shuffled(generator: np.random.Generator, text: str) -> str:
    """The same words in groups of three in another order: few 5-grams stay."""
    words = text.split(" ")
    groups = [words[i : i + 3] for i in range(0, len(words), 3)]
    return " ".join(word for i in generator.permutation(len(groups)) for word in groups[i])


def write(path: Path, texts: list[str]) -> Path:
    lines = [json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def words(generator: np.random.Generator, vocabulary: list[str], count: int) -> str:
    drawn = (generator.zipf(1.3, count) + generator.integers(0, 3000, count)) % len(vocabulary)
    return " ".join(vocabulary[i] for i in drawn)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Every sixth document is an earlier one shuffled, or a copy or a near copy of any earlier one."""
    generator = np.random.default_rng(5)
    vocabulary = ["".join(map(chr, word)) for word in generator.integers(97, 123, (4000, 6))]
    found: list[str] = []
    for i in range(NUM_DOCUMENTS):
        text = words(generator, vocabulary, 450)
        if i % 6 == 5:
            earlier = found[int(generator.integers(len(found)))]
            changed = {
                0: earlier.upper(),
                1: earlier + " " + words(generator, vocabulary, 9),
                2: shuffled(generator, earlier),
            }
            text = changed[i // 6 % 3]
        found.append(text)
    return found


@pytest.fixture(scope="module")
def corpus(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("corpus") / "in.jsonl", texts)


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it, part by part."""
    out = tmp_path_factory.mktemp("alone") / "out"
    summary = clean([corpus], out, SETTINGS)
    assert len(list((out / "documents").iterdir())) == 2
    assert summary.num_cut_clusters == 0
    return out


def decisions(folder: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(folder / DECISIONS_FILE).to_pylist()


def documents(folder: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(folder / "documents").to_pylist()


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_shuffled_documents_go_for_the_one_that_stays(alone: Path, texts: list[str]) -> None:
    rows = decisions(alone)
    gone = [row for row in rows if row["rule"] == "semantic_duplicate"]
    assert len(gone) >= 30  # of 33, of which some are shuffled from one that was
    for row in gone:
        assert row["measure"] == "cosine"
        assert row["value"] >= row["threshold"] == pytest.approx(0.9)
        assert row["value"] <= 1
        mine, twin = (set(texts[int(row[key])].lower().split()) for key in ("id", "twin"))
        assert len(mine & twin) > 0.9 * len(mine)
    assert {int(row["id"]) for row in rows if row["rule"]} <= {i for i in range(NUM_DOCUMENTS) if i % 6 == 5}


def test_a_twin_stays_and_stands_for_all_that_went_for_it(alone: Path) -> None:
    rows = decisions(alone)
    kept = {row["id"]: row["weight"] for row in rows if row["action"] != "drop"}
    twins = [row["twin"] for row in rows if row["action"] == "drop"]
    assert set(twins) <= set(kept)
    assert kept == {name: 1 + twins.count(name) for name in kept}
    assert {row["id"]: row["weight"] for row in documents(alone)} == kept


def test_copies_of_a_document_that_goes_go_over_to_its_twin(tmp_path: Path, texts: list[str]) -> None:
    generator = np.random.default_rng(1)
    other = shuffled(generator, texts[0])
    family = [texts[0], other, other.upper(), other + " and so on", *texts[1:5]]
    clean([write(tmp_path / "in.jsonl", family)], tmp_path / "out", SETTINGS)
    found = [(row["rule"], row["twin"], row["weight"]) for row in decisions(tmp_path / "out")[:4]]
    assert found == [
        (None, None, 4),
        ("semantic_duplicate", "0", 0),
        ("exact_duplicate", "0", 0),
        ("near_duplicate", "0", 0),
    ]


def test_without_it_the_shuffled_stay_and_nothing_is_written_of_it(corpus: Path, tmp_path: Path) -> None:
    summary = clean([corpus], tmp_path / "out", replace(SETTINGS, semantic_eps=None))
    assert set(summary.by_rule) == {"exact_duplicate", "near_duplicate"}
    text = (tmp_path / "out" / "cleaning.json").read_text("utf-8")
    assert not [name for name in ("semantic", "embedding_model", "num_cut_clusters") if name in text]


def test_the_result_does_not_depend_on_the_part_size(corpus: Path, alone: Path, tmp_path: Path) -> None:
    clean([corpus], tmp_path / "out", replace(SETTINGS, part_megabytes=4))
    assert len(list((tmp_path / "out" / "documents").iterdir())) == 1
    assert decisions(tmp_path / "out") == decisions(alone)
    assert documents(tmp_path / "out") == documents(alone)


def test_clusters_too_large_to_compare_whole_are_counted(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meaning, "SemanticSettings", partial(SemanticSettings, max_cluster=20))
    cut = clean([corpus], tmp_path / "out", SETTINGS).num_cut_clusters
    assert cut is not None
    assert cut > 0


def test_ranks_and_small_groups_write_the_same_bytes(
    corpus: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meaning, "GROUP_DOCUMENTS", 100)
    calls = 0
    while not (tmp_path / "out").exists():
        for rank in range(2):
            calls += 1
            try:
                clean([corpus], tmp_path / "out", SETTINGS, rank=rank, world_size=2, wait=False)
            except WaitingForRanksError:
                continue
    assert calls > 6
    assert contents(tmp_path / "out") == contents(alone)


def test_cutting_after_it_works_on_what_is_left(tmp_path: Path, texts: list[str]) -> None:
    generator = np.random.default_rng(2)
    quoted = " ".join(texts[0].split()[:80])
    family = [texts[0], shuffled(generator, texts[0]), quoted + " " + texts[1], *texts[2:5]]
    clean([write(tmp_path / "in.jsonl", family)], tmp_path / "out", replace(SETTINGS, passage_tokens=50))
    rows = decisions(tmp_path / "out")
    assert [row["rule"] for row in rows] == [None, "semantic_duplicate", None, None, None, None]
    assert rows[2]["edits"] == ["passage"]
    assert [row["text"].strip() for row in documents(tmp_path / "out")] == [texts[i] for i in range(5)]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, and a stand-in for the package that sees whether a text speaks of the sea."""

    class SentenceTransformer:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def get_sentence_embedding_dimension(self) -> int:
            return 2

        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.array([["harbour" in text, "harbour" not in text] for text in texts], np.float32)

    package = types.ModuleType("sentence_transformers")
    package.__spec__ = ModuleSpec("sentence_transformers", None)
    package.SentenceTransformer = SentenceTransformer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"123")
    return folder


def test_a_model_makes_the_vectors_and_is_named_in_the_summary(tmp_path: Path, model: Path) -> None:
    family = [
        "The quiet harbour woke before the sun, and men who mended nets were already at work.",
        "An old dog slept beside the lamp that the keeper had forgotten to put out again.",
        "Nobody in the harbour spoke of the storm; every boat had come home by evening.",
    ]
    path, chosen = (
        write(tmp_path / "in.jsonl", family),
        CleanSettings(semantic_eps=0.01, embedding_model=model),
    )
    summary = clean([path], tmp_path / "out", chosen)
    assert [row["twin"] for row in decisions(tmp_path / "out")] == [None, None, "0"]
    assert [record.name for record in summary.models] == ["model/weights.bin"]
    (model / "weights.bin").write_bytes(b"124")
    with pytest.raises(StemmaError, match="other models"):
        clean([path], tmp_path / "out", chosen)


def test_the_command_takes_the_options(tmp_path: Path, texts: list[str], capsys: Any) -> None:
    path = write(tmp_path / "in.jsonl", [texts[0], shuffled(np.random.default_rng(3), texts[0]), *texts[1:4]])
    command = ["clean", str(path), "--out", str(tmp_path / "out"), "--workers", "1", "--semantic-eps", "0.1"]
    assert main(command) == 0
    assert "semantic_duplicate" in capsys.readouterr().err
    assert main([*command, "--embedding-model", str(tmp_path / "none"), "--force"]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_settings_that_make_no_sense_are_refused() -> None:
    for eps in (0, 1, -0.1):
        with pytest.raises(StemmaError, match="semantic_eps is"):
            CleanSettings(semantic_eps=eps)
    with pytest.raises(StemmaError, match="--semantic-eps"):
        CleanSettings(embedding_model=Path("model"))
