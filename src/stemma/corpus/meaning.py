"""The stages that drop documents which say what an earlier one says: vectors, clusters, duplicates in each.

    embedder    once          a sample of the corpus weights the words       embedder.safetensors
    vectors     each part     of documents still in; zeros for the others    vectors/NAME.npy
    centroids   once          about the root of the number of documents      centroids.npy
    assign      each part     documents by cluster                           assigned/NAME.npy, .cosine.npy
    compare     each group    of clusters: which go, and for which           clusters/NUMBER.npz
    merge       once          all of them; for how many the others stand     semantic.npy, cosines.npy, heads.npy

With a model given there is no embedder to train. For N documents in k clusters of vectors of d numbers, `assign`
costs N * k * d and `compare` N * N / k * d. Disk: 2 * d bytes for each document. Memory: `embedder` 300 MB;
`vectors` one part's texts and 2 * d bytes for each of its documents; `centroids` 4 * d bytes for each of
16 * k documents and 48 for each of 64 * k; `compare` 100 bytes for each of about GROUP_DOCUMENTS documents, and one
cluster, of `SemanticSettings.max_cluster` documents at most; `merge` 100 bytes for each document that goes.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemma.corpus.annotated import AnnotatedCorpus
from stemma.corpus.deduplicating import kept_rows, save_semantic
from stemma.corpus.duplicates import Copies
from stemma.corpus.embed import RandomIndexing
from stemma.corpus.job import (
    ASSIGNED,
    CENTROIDS,
    CLUSTERS,
    EMBEDDER,
    MEANING,
    VECTORS,
    Job,
    corpus_of,
    load_array,
    save_array,
    save_arrays,
    tools,
)
from stemma.corpus.judging import sample_tokens
from stemma.corpus.semantic import (
    Duplicates,
    SemanticSettings,
    VectorFiles,
    assign,
    default_clusters,
    duplicates_of,
    members_of,
    merge,
    sample_size,
    seeded_sample,
    train_centroids,
)
from stemma.storage import write_json

Numbers = npt.NDArray[np.int64]
GROUP_DOCUMENTS = 1 << 16  # of the clusters that one task compares, on average
_ROWS = 1024  # documents embedded or assigned at a time
_SEED = 0


def num_groups(num_documents: int) -> int:
    """Tasks of `compare_stage` for a corpus of so many documents."""
    return -(-num_documents // GROUP_DOCUMENTS)


def embedder_stage(job: Job) -> None:
    """Train what makes vectors on a sample of the corpus."""
    RandomIndexing.train(sample_tokens(job)).save(job.folder / EMBEDDER)


def vectors_stage(job: Job, index: int) -> None:
    """Write the vectors of a part's documents, (n, d) in half precision; zeros for those that went before."""
    corpus, embedder = corpus_of(job), tools(job).embedder
    part, start = corpus.part(index), corpus.starts[index]
    vectors = np.zeros((len(part), embedder.dimension), np.float16)
    kept = kept_rows(job, corpus, index)
    for first in range(0, len(kept), _ROWS):
        rows = kept[first : first + _ROWS]
        vectors[rows] = embedder.embed(*part.texts(rows), *corpus.tokens(rows + start))
    save_array(_vector_file(job, corpus.names[index]), vectors)


def centroids_stage(job: Job) -> None:
    """Cluster a sample that is drawn by the numbers of the documents alone, so that any cut into parts gives it."""
    corpus = corpus_of(job)
    num_clusters = default_clusters(sum(len(numbers) for numbers in _kept(job, corpus)))
    sample, size = np.empty(0, np.int64), sample_size(num_clusters)
    for numbers in _kept(job, corpus):
        sample = seeded_sample(np.concatenate([sample, numbers]), size, _SEED)
    centroids = train_centroids(_vectors_of(job), sample, num_clusters, seed=_SEED)
    save_array(job.folder / CENTROIDS, centroids)


def assign_stage(job: Job, index: int) -> None:
    """Write (2, n) the cluster and the number of a part's documents, by cluster, and (n,) the cosines with centroids."""
    corpus, centroids = corpus_of(job), np.array(load_array(job.folder / CENTROIDS))
    vectors = VectorFiles([_vector_file(job, corpus.names[index])])
    cluster, cosine = np.empty(len(vectors), np.int32), np.empty(len(vectors), np.float32)
    for first in range(0, len(vectors), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(vectors)))
        cluster[rows], cosine[rows] = assign(vectors.take(rows), centroids)
    order = np.argsort(cluster, kind="stable")
    order = order[cluster[order] >= 0]
    path = job.folder / ASSIGNED / f"{corpus.names[index]}.cosine.npy"
    save_array(path, cosine[order])
    save_array(
        path.with_name(f"{corpus.names[index]}.npy"), np.stack([cluster[order], order + corpus.starts[index]])
    )


def compare_stage(job: Job, group: int) -> None:
    """Find the duplicates inside the clusters of a group."""
    corpus, vectors = corpus_of(job), _vectors_of(job)
    assert job.settings.semantic_eps is not None
    settings = SemanticSettings(eps=job.settings.semantic_eps)
    count, groups = len(load_array(job.folder / CENTROIDS)), num_groups(corpus.num_documents)
    begin, end = (count * each // groups for each in (group, group + 1))
    assigned = [_assigned(job, name, begin, end) for name in corpus.names]
    clusters, documents, cosines = (np.concatenate(column) for column in zip(*assigned, strict=True))
    found, num_cut = list[Duplicates](), 0
    for rows in members_of(clusters - begin, end - begin):
        found.append(duplicates_of(vectors, documents[rows], cosines[rows], settings))
        num_cut += len(rows) > settings.max_cluster
    save_arrays(_group_file(job, group), num_cut=np.array(num_cut), **merge(found)._asdict())


def merge_stage(job: Job) -> None:
    """Put the duplicates of all groups together."""
    found, num_cut = list[Duplicates](), 0
    for group in range(num_groups(corpus_of(job).num_documents)):
        with np.load(_group_file(job, group)) as saved:
            found.append(Duplicates(*(saved[field] for field in Duplicates._fields)))
            num_cut += int(saved["num_cut"])
    documents, twins, cosines = merge(found)
    save_semantic(job, Copies(documents, twins), cosines)
    write_json(job.folder / MEANING, {"num_cut": num_cut})


def _kept(job: Job, corpus: AnnotatedCorpus) -> Iterator[Numbers]:
    for index in range(len(corpus.names)):
        yield kept_rows(job, corpus, index) + corpus.starts[index]


def _assigned(job: Job, name: str, begin: int, end: int) -> tuple[Numbers, Numbers, npt.NDArray[np.float32]]:
    """(clusters, documents, cosines) of a part's documents in clusters `begin` to `end` - 1."""
    clusters, documents = load_array(job.folder / ASSIGNED / f"{name}.npy")
    first, last = np.searchsorted(clusters, (begin, end))
    cosines = load_array(job.folder / ASSIGNED / f"{name}.cosine.npy")
    return clusters[first:last], documents[first:last], cosines[first:last]


@lru_cache(maxsize=1)
def _vectors_of(job: Job) -> VectorFiles:
    return VectorFiles([_vector_file(job, name) for name in corpus_of(job).names])


def _vector_file(job: Job, name: str) -> Path:
    return job.folder / VECTORS / f"{name}.npy"


def _group_file(job: Job, group: int) -> Path:
    return job.folder / CLUSTERS / f"{group:06}.npz"
