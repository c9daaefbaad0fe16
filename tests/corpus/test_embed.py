"""Vectors of documents: unit length, a document's own, the same bits however they are made, and telling."""

import subprocess
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus import embed as module
from stemma.corpus.embed import RandomIndexing, RandomIndexingSettings, SentenceTransformerEmbedder
from stemma.corpus.scan import scan_texts
from stemma.errors import StemmaError

SMALL = RandomIndexingSettings(dimension=32, vocabulary_size=500, min_count=2, max_counted=1 << 14)


def to_batch(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    scanned = scan_texts(texts)
    return scanned.tokens, scanned.token_offsets


def story(animal: str, number: int) -> str:
    return (
        f"The {animal} number {number} slept near the old river bank and then the {animal} ate green grass."
    )


TEXTS = [story(animal, n) for n in range(60) for animal in ("horse", "cow", "sheep")] + [
    f"\u56fe\u4e66\u9986\u7b2c{n}\u5c42\u6709\u5f88\u591a\u5173\u4e8e\u6570\u636e\u5e93\u7684\u4e66\u3002"
    for n in range(60)
]


@pytest.fixture(scope="module")
def embedder() -> RandomIndexing:
    return RandomIndexing.train([to_batch(TEXTS)], SMALL)


def test_vectors_have_unit_length_and_a_text_without_tokens_has_zeros(embedder: RandomIndexing) -> None:
    vectors = embedder.embed_tokens(*to_batch([TEXTS[0], "", "unseen words only", "?!"]))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 0], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*TEXTS, "", "a b c d"]), min_size=1, max_size=12), st.data())
def test_a_vector_does_not_depend_on_the_cut_into_batches(
    embedder: RandomIndexing, texts: list[str], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(texts)))
    whole = embedder.embed_tokens(*to_batch(texts))
    parts = [embedder.embed_tokens(*to_batch(part)) for part in (texts[:cut], texts[cut:])]
    assert whole.tobytes() == np.concatenate(parts).tobytes()


def test_a_reordering_of_a_text_is_nearer_than_a_text_on_something_else(embedder: RandomIndexing) -> None:
    reordered = "Near the old river bank the horse number 7 slept, and then the horse ate green grass."
    mine, twin, other = embedder.embed_tokens(*to_batch([story("horse", 7), reordered, TEXTS[-1]]))
    assert mine @ twin > 0.8
    assert mine @ other < mine @ twin - 0.4


def test_rare_names_keep_documents_apart(embedder: RandomIndexing) -> None:
    one, two = embedder.embed_tokens(*to_batch(["The horse met Zanzibel", "The horse met Quorvath"]))
    assert one @ two < 0.8


def test_training_again_gives_the_same_bytes_whatever_the_threads(
    embedder: RandomIndexing, tmp_path: Path
) -> None:
    embedder.save(tmp_path / "one.safetensors")
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import test_embed as t; "
        "batches = [t.to_batch(t.TEXTS[:100]), t.to_batch(t.TEXTS[100:])]; "
        "t.RandomIndexing.train(batches, t.SMALL).save(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "two.safetensors"), str(Path(__file__).parent)]
    subprocess.run(command, check=True, env={"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"})
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_what_was_saved_is_loaded(embedder: RandomIndexing, tmp_path: Path) -> None:
    embedder.save(tmp_path / "e.safetensors")
    again = RandomIndexing.load(tmp_path / "e.safetensors")
    batch = to_batch(TEXTS)
    assert again.dimension == 32
    assert again.embed_tokens(*batch).tobytes() == embedder.embed_tokens(*batch).tobytes()


def test_a_file_that_is_no_embedder_is_refused(embedder: RandomIndexing, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "e.safetensors"
    embedder.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StemmaError, match="cannot be read"):
        RandomIndexing.load(path)
    save_file({"keys": np.zeros(3)}, path)
    with pytest.raises(StemmaError, match="not a file of random indexing"):
        RandomIndexing.load(path)
    with pytest.raises(StemmaError, match="cannot be read"):
        RandomIndexing.load(tmp_path / "missing")


def test_counting_in_a_full_table_keeps_the_frequent_terms() -> None:
    texts = [f"apple pear {i} {i + 5000} {i + 10000} filler{i}" for i in range(3000)]
    embedder = RandomIndexing.train(
        [to_batch(texts)],
        RandomIndexingSettings(dimension=16, vocabulary_size=16, max_counted=1 << 11),
    )
    known = set(embedder._keys.tolist())
    apple, pear = (int(module._token_key(to_batch([word])[0][0])) for word in ("apple", "pear"))
    assert {apple, pear} <= known
    assert len(known) <= 16


def test_without_frequent_terms_all_weigh_the_same() -> None:
    embedder = RandomIndexing.train([to_batch(["one two three", "four five six", "one two seven"])])
    one, again, other = embedder.embed_tokens(
        *to_batch(["red blue green", "green red blue", "black white grey"])
    )
    assert one @ again > 0.999
    assert abs(one @ other) < 0.5
    assert RandomIndexing.train([to_batch([])]).embed_tokens(*to_batch([""])).tolist() == [[0.0] * 256]


def test_a_bad_setting_is_refused() -> None:
    with pytest.raises(StemmaError, match="dimension is 0"):
        RandomIndexingSettings(dimension=0)


def test_a_local_sentence_transformers_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    class SentenceTransformer:
        def __init__(self, folder: str, **options: object) -> None:
            asked.update(folder=folder, **options)

        def get_sentence_embedding_dimension(self) -> int:
            return 3

        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.array([[len(text), 3, 0] for text in texts], np.float64)

    stand_in = types.ModuleType("sentence_transformers")
    stand_in.__spec__ = ModuleSpec("sentence_transformers", None)
    stand_in.SentenceTransformer = SentenceTransformer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", stand_in)
    embedder = SentenceTransformerEmbedder(tmp_path)
    data = np.frombuffer("\u4e2d\u6587\u5b57\u7b26".encode(), np.uint8)
    none = np.empty(0, np.uint64), np.zeros(2, np.int64)
    vectors = embedder.embed(data, np.array([0, 12, 12]), *none)
    np.testing.assert_allclose(vectors, [[0.8, 0.6, 0], [0, 1, 0]], atol=1e-6)
    assert vectors.dtype == np.float32
    assert embedder.embed(data[:0], np.array([0]), *none).shape == (0, 3)
    assert asked == {"folder": str(tmp_path), "local_files_only": True, "trust_remote_code": False}


def test_a_missing_package_or_folder_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(StemmaError, match="needs the package sentence-transformers"):
        SentenceTransformerEmbedder(tmp_path)
    with pytest.raises(StemmaError, match="not a folder"):
        SentenceTransformerEmbedder(tmp_path / "missing")
