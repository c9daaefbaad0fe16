"""Clusters and semantic duplicates of vectors: against a plain reference, and independent of blocks and
parts."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.semantic import (
    Assignment,
    Duplicates,
    SemanticSettings,
    VectorFiles,
    assign,
    default_clusters,
    duplicates_of,
    members_of,
    merge,
    seeded_sample,
    train_centroids,
)
from stemma.errors import StemmaError


def make_vectors(
    seed: int, num_topics: int = 5, size: int = 60, width: int = 70, spread: float = 0.3
) -> np.ndarray:
    """Topics, with copies near earlier documents; (num_topics * size, width) float32 of unit length."""
    draw = np.random.default_rng(seed)
    topics = draw.standard_normal((num_topics, width))
    vectors = np.repeat(topics, size, axis=0) + spread * 3 * draw.standard_normal((num_topics * size, width))
    vectors = vectors[draw.permutation(len(vectors))]
    copies = np.flatnonzero(draw.random(len(vectors)) < 0.3)
    originals = draw.integers(len(vectors), size=len(copies))
    vectors[copies] = vectors[originals] + 0.15 * draw.standard_normal((len(copies), width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def stored(folder: Path, vectors: np.ndarray, *cuts: int) -> VectorFiles:
    paths = []
    for i, part in enumerate(np.split(vectors, cuts)):
        paths.append(folder / f"{len(cuts)}-{i}.npy")
        np.save(paths[-1], part)
    return VectorFiles(paths)


class Found(NamedTuple):
    centroids: np.ndarray
    assignment: Assignment
    duplicates: Duplicates


def find(
    vectors: VectorFiles,
    chosen: SemanticSettings,
    documents: np.ndarray | None = None,
    num_clusters: int | None = None,
) -> Found:
    """The three steps one after the other; documents that are not named have no cluster."""
    numbers = np.arange(len(vectors)) if documents is None else documents
    centroids = train_centroids(vectors, numbers, num_clusters or default_clusters(len(numbers)))
    cluster, cosine = np.full(len(vectors), -1, np.int32), np.zeros(len(vectors), np.float32)
    cluster[numbers], cosine[numbers] = assign(vectors.take(numbers), centroids)
    own = members_of(cluster, len(centroids))
    found = merge(duplicates_of(vectors, members, cosine[members], chosen) for members in own)
    return Found(centroids, Assignment(cluster, cosine), found)


def reference(vectors: np.ndarray, eps: float) -> dict[int, int]:
    """{document that goes: first document that stays and is close}."""
    exact, kept, gone = vectors.astype(np.float64), list[int](), dict[int, int]()
    products = exact @ exact.T
    for i in range(len(vectors)):
        close = [j for j in kept if products[i, j] >= 1 - eps]
        if close:
            gone[i] = close[0]
        else:
            kept.append(i)
    return gone


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([13, 64, 1000]))
def test_duplicates_are_those_of_the_plain_definition(
    tmp_path_factory: pytest.TempPathFactory, seed: int, block: int
) -> None:
    vectors = make_vectors(seed)
    files = stored(tmp_path_factory.mktemp("v"), vectors, 100)
    members, cosine = np.arange(len(vectors)), (vectors @ vectors[0]).astype(np.float32)
    for eps in (0.02, 0.1, 0.5):
        found = duplicates_of(files, members, cosine, SemanticSettings(eps=eps, block=block))
        expected = reference(vectors, eps)
        assert dict(zip(found.document.tolist(), found.twin.tolist(), strict=True)) == expected
        assert (np.diff(found.document) > 0).all()
        products = np.einsum("ij,ij->i", vectors[found.document], vectors[found.twin])
        np.testing.assert_allclose(found.cosine, products, atol=1e-5)
    assert expected


def test_the_result_depends_neither_on_blocks_nor_on_the_cut_into_parts(tmp_path: Path) -> None:
    vectors = make_vectors(3)
    wanted = find(stored(tmp_path, vectors), SemanticSettings(eps=0.05))
    assert len(wanted.duplicates.document) > 30
    for cuts, block in (((7, 7, 200), 5), ((299,), 77)):
        found = find(stored(tmp_path, vectors, *cuts), SemanticSettings(eps=0.05, block=block))
        assert found.centroids.tobytes() == wanted.centroids.tobytes()
        for mine, other in zip(
            (*found.assignment, *found.duplicates), (*wanted.assignment, *wanted.duplicates), strict=True
        ):
            assert mine.tobytes() == other.tobytes()


def test_documents_are_assigned_to_the_nearest_centroid_alone(tmp_path: Path) -> None:
    vectors = make_vectors(1)
    centroids = train_centroids(stored(tmp_path, vectors), np.arange(len(vectors)), 5)
    found = assign(vectors, centroids)
    products = vectors.astype(np.float64) @ centroids.T
    np.testing.assert_allclose(found.cosine, products.max(axis=1), atol=1e-5)
    assert (found.cluster == products.argmax(axis=1)).mean() > 0.99
    one_by_one = np.concatenate([assign(row[None], centroids).cosine for row in vectors])
    assert one_by_one.tobytes() == found.cosine.tobytes()


def test_clusters_find_the_topics(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    topic = np.repeat(np.arange(4), 50)
    vectors = np.eye(4, 40)[topic] + 0.05 * draw.standard_normal((200, 40))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = find(stored(tmp_path, vectors), SemanticSettings(eps=0.0), num_clusters=4)
    assert np.bincount(found.assignment.cluster).tolist() == [50] * 4
    assert len(set(zip(found.assignment.cluster.tolist(), topic.tolist(), strict=True))) == 4


def test_zero_vectors_and_left_out_documents_have_no_cluster_and_no_twin(tmp_path: Path) -> None:
    vectors = make_vectors(2)
    vectors[[4, 5, 6]] = 0
    vectors[1] = vectors[0]
    vectors[8] = vectors[7] = vectors[9]
    chosen = np.setdiff1d(np.arange(len(vectors)), [0, 7])
    found = find(stored(tmp_path, vectors), SemanticSettings(eps=0.01), chosen)
    assert found.assignment.cluster[[0, 4, 5, 6, 7]].tolist() == [-1] * 5
    assert not {0, 1, 4, 5, 6, 7, 8} & set(found.duplicates.document.tolist())
    assert found.duplicates.twin[found.duplicates.document == 9].tolist() == [8]


def test_a_giant_cluster_is_cut_and_copies_are_still_found(tmp_path: Path) -> None:
    vectors = make_vectors(5)
    vectors[150:] = vectors[:150]
    found = find(stored(tmp_path, vectors), SemanticSettings(eps=0.0001, max_cluster=50), num_clusters=1)
    assert 140 <= len(found.duplicates.document) <= 150


def test_chains_do_not_empty_a_cluster(tmp_path: Path) -> None:
    angles = 0.3 * np.arange(12)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = find(stored(tmp_path, vectors), SemanticSettings(eps=0.05), num_clusters=1)
    assert found.duplicates.document.tolist() == [1, 3, 5, 7, 9, 11]


def test_the_sample_depends_on_seed_and_numbers_alone() -> None:
    documents = np.arange(5000)
    sample = seeded_sample(documents, 500, 1)
    assert len(set(sample.tolist())) == 500
    np.testing.assert_array_equal(sample, seeded_sample(documents[::-1].copy(), 500, 1))
    assert set(sample.tolist()) != set(seeded_sample(documents, 500, 2).tolist())
    assert 2000 < sample.mean() < 3000


def test_nothing_and_copies_only_give_few_clusters(tmp_path: Path) -> None:
    empty = find(stored(tmp_path, np.zeros((0, 8), np.float32)), SemanticSettings())
    assert len(empty.duplicates.document) == len(empty.centroids) == 0
    same = np.tile(np.eye(1, 8, dtype=np.float32), (30, 1))
    found = find(stored(tmp_path, same), SemanticSettings(), num_clusters=5)
    assert len(found.centroids) == 1
    assert found.duplicates.twin.tolist() == [0] * 29
    assert default_clusters(0) == 1
    assert default_clusters(10**6) == 1000


def test_half_precision_is_read(tmp_path: Path) -> None:
    vectors = make_vectors(6).astype(np.float16)
    taken = stored(tmp_path, vectors, 40).take(np.array([41, 3]))
    np.testing.assert_allclose(taken, vectors[[41, 3]], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(taken, axis=1), 1, atol=1e-6)


def test_a_sample_of_samples_is_the_sample_of_all() -> None:
    held = np.empty(0, np.int64)
    for documents in np.array_split(np.arange(3000), 7):
        held = seeded_sample(np.concatenate([held, documents]), 400, 3)
    np.testing.assert_array_equal(held, seeded_sample(np.arange(3000), 400, 3))


def test_bad_files_and_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "whole.npy", np.zeros((3, 4), np.int64))
    np.save(tmp_path / "a.npy", np.zeros((3, 4), np.float32))
    np.save(tmp_path / "b.npy", np.zeros((3, 5), np.float32))
    with pytest.raises(StemmaError, match=r"text.npy: cannot be read"):
        VectorFiles([tmp_path / "text.npy"])
    with pytest.raises(StemmaError, match=r"whole.npy: is not an array"):
        VectorFiles([tmp_path / "whole.npy"])
    with pytest.raises(StemmaError, match=r"b.npy: vectors have 5 numbers"):
        VectorFiles([tmp_path / "a.npy", tmp_path / "b.npy"])
    for wrong in ({"eps": 1.5}, {"block": 0}, {"max_cluster": 1}):
        with pytest.raises(StemmaError, match=next(iter(wrong))):
            SemanticSettings(**wrong)  # type: ignore[arg-type]
