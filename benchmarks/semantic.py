"""What semantic deduplication finds and what it merges wrongly, by embedder and threshold.

    python benchmarks/semantic.py CORPORA

CORPORA holds chat/zh_alpaca_cleaned and zh_alpaca_translated (two translations of one English source, row by
row) and dirty/docs and labels, all .jsonl.zst. Printed for random indexing and for a plain TF-IDF vector
(tokens hashed into 1,024 places), each trained on the texts themselves:

    translations    aligned rows whose 5-grams have a Jaccard similarity below 0.5 (and below 0.3) found
    random          pairs of two random rows of the two translations above the threshold, per million
    nearest other   rows whose nearest row in the other translation, apart from their own, lies above the
                    threshold; some of these are true duplicates of the source
    near copies     labelled pairs of the dirty set by Jaccard similarity found
    clean           documents of its clean class that would be merged with another one of it
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus import read_records
from stemma.corpus.embed import RandomIndexing
from stemma.corpus.minhash import jaccard, shingles
from stemma.corpus.scan import scan_texts

MIN_TOKENS, MAX_GAP = 30, 12
NUM_RANDOM = 1_000_000
THRESHOLDS = (0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)
Batch = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]
Vectors = npt.NDArray[np.float32]
Embed = Callable[[Batch], Vectors]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--show", type=float, help="also show nearest other rows above this cosine")
    args = parser.parse_args()
    chat, dirty = Translations(args.corpora / "chat"), Dirty(args.corpora / "dirty")
    for name, train in EMBEDDERS.items():
        start = time.process_time()
        embed = train([*chat.batches])
        trained = time.process_time() - start
        speed = megabytes_per_second(embed, chat.batches[0], chat.num_bytes)
        print(f"\n{name}: chat trained in {trained:.1f} s CPU, embeds {speed:.1f} MB/s")
        one, other = (embed(batch) for batch in chat.batches)
        table = chat.score(one, other)
        print_table(table)
        if args.show:
            chat.show(one, other, args.show)
        embed = train([dirty.batch])
        speed = megabytes_per_second(embed, dirty.batch, dirty.num_bytes)
        print(f"{name}: dirty embeds {speed:.1f} MB/s")
        print_table(dirty.score(embed(dirty.batch)))
    return 0


def megabytes_per_second(embed: Embed, batch: Batch, num_bytes: int) -> float:
    """The best of three, in CPU time."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        embed(batch)
        seconds.append(time.process_time() - start)
    return num_bytes / 1e6 / min(seconds)


def print_table(table: dict[str, Callable[[float], float]]) -> None:
    names = list(table)
    print("  cosine  " + "  ".join(names))
    for least in THRESHOLDS:
        print(f"  {least:<8}" + "  ".join(f"{table[name](least):>{len(name)}.4g}" for name in names))


class Translations:
    """Two translations, and which row of the one is which of the other."""

    def __init__(self, folder: Path) -> None:
        rows = [
            [record for _, record in read_records(folder / f"{name}.jsonl.zst")]
            for name in ("zh_alpaca_cleaned", "zh_alpaca_translated")
        ]
        self.texts = [["\n".join(m["content"] for m in row["messages"]) for row in side] for side in rows]
        self.batches = tuple(to_batch(side) for side in self.texts)
        self.num_bytes = sum(len(text.encode()) for text in self.texts[0])
        self.lengths = [np.diff(offsets) for _, offsets in self.batches]
        self.pairs, self.jaccard = self._align(rows)

    def _align(
        self, rows: list[list[dict[str, Any]]]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Rows with one and the same request that occurs once in either, and as many rows between two
        such."""
        where = []
        for side in rows:
            places: dict[str, list[int]] = {}
            for i, row in enumerate(side):
                places.setdefault(row["messages"][0]["content"].strip(), []).append(i)
            where.append({request: found[0] for request, found in places.items() if len(found) == 1})
        anchors = sorted((i, where[1][request]) for request, i in where[0].items() if request in where[1])
        pairs = set(anchors)
        for (a, b), (c, d) in itertools.pairwise(anchors):
            if c - a == d - b <= MAX_GAP:
                pairs.update((a + k, b + k) for k in range(1, c - a))
        chosen = [
            (a, b)
            for a, b in sorted(pairs)
            if rows[1][b]["lang"] == "zh" and min(self.lengths[0][a], self.lengths[1][b]) >= MIN_TOKENS
        ]
        (left, left_at), (right, right_at) = self.batches
        similar = [
            jaccard(
                shingles(left[left_at[a] : left_at[a + 1]], 5),
                shingles(right[right_at[b] : right_at[b + 1]], 5),
            )
            for a, b in chosen
        ]
        return np.array(chosen), np.array(similar)

    def score(self, one: Vectors, other: Vectors) -> dict[str, Callable[[float], float]]:
        cosine = products(one, other, *self.pairs.T)
        draw = np.random.default_rng(0)
        left, right = draw.integers(len(one), size=NUM_RANDOM), draw.integers(len(other), size=NUM_RANDOM)
        apart = (self.lengths[0][left] >= MIN_TOKENS) & (self.lengths[1][right] >= MIN_TOKENS)
        apart &= np.abs(left - right) > 5000  # no row lies that far from its translation
        random = products(one, other, left[apart], right[apart])
        nearest, _ = self._nearest(one, other)
        table: dict[str, Callable[[float], float]] = {}
        for name, values, factor in (
            ("translations J < 0.5", cosine[self.jaccard < 0.5], 1),
            ("translations J < 0.3", cosine[self.jaccard < 0.3], 1),
            ("random per million", random, 1e6),
            ("nearest other", nearest, 1),
        ):
            title = f"{name} ({len(values)})"
            table[title] = lambda least, values=values, factor=factor: float(
                factor * np.mean(values >= least)
            )
        return table

    def _nearest(self, one: Vectors, other: Vectors) -> tuple[Vectors, npt.NDArray[np.int64]]:
        pairs = self.pairs[::8]
        found = one[pairs[:, 0]] @ other.T
        found[np.arange(len(pairs)), pairs[:, 1]] = -1
        found[:, self.lengths[1] < MIN_TOKENS] = -1
        return found.max(axis=1), found.argmax(axis=1)

    def show(self, one: Vectors, other: Vectors, least: float) -> None:
        values, rows = self._nearest(one, other)
        for i in np.argsort(-values)[:40]:
            if values[i] >= least:
                mine, theirs = self.texts[0][self.pairs[8 * i, 0]], self.texts[1][rows[i]]
                print(f"    {values[i]:.3f} {mine[:110]!r}\n          {theirs[:110]!r}")


class Dirty:
    """The labelled corpus of noise."""

    def __init__(self, folder: Path) -> None:
        texts = [record["text"] for _, record in read_records(folder / "docs.jsonl.zst")]
        labels = [label for _, label in read_records(folder / "labels.jsonl.zst")]
        row_of = {label["id"]: row for row, label in enumerate(labels)}
        self.batch, self.num_bytes = to_batch(texts), sum(len(text.encode()) for text in texts)
        self.clean = np.array([row for row, label in enumerate(labels) if label["kind"] == "clean"])
        near = [
            row for row, label in enumerate(labels) if label["kind"] == "near_dup" and label["of"] in row_of
        ]
        self.pairs = np.array([(row, row_of[labels[row]["of"]]) for row in near])
        self.jaccard = np.array([labels[row]["jaccard_w5"] for row in near])

    def score(self, vectors: Vectors) -> dict[str, Callable[[float], float]]:
        cosine = products(vectors, vectors, *self.pairs.T)
        own = vectors[self.clean] @ vectors[self.clean].T
        np.fill_diagonal(own, -1)
        nearest = own.max(axis=1)
        table: dict[str, Callable[[float], float]] = {}
        for least, most in ((0.7, 0.8), (0.5, 0.7), (0.3, 0.5), (0.0, 0.3)):
            values = cosine[(self.jaccard >= least) & (self.jaccard < most)]
            name = f"near copies J {least}-{most} ({len(values)})"
            table[name] = lambda border, values=values: float(np.mean(values >= border))
        table[f"clean of {len(nearest)}"] = lambda border: float(np.sum(nearest >= border))
        return table


def to_batch(texts: list[str]) -> Batch:
    scanned = scan_texts(texts)
    return scanned.tokens, scanned.token_offsets


def products(one: Vectors, other: Vectors, left: Any, right: Any, block: int = 10_000) -> Vectors:
    """Cosines of pairs of rows, a block at a time."""
    starts = range(0, len(left), block)
    pieces = [np.einsum("ij,ij->i", one[left[s : s + block]], other[right[s : s + block]]) for s in starts]
    return np.concatenate(pieces)


def random_indexing(batches: list[Batch]) -> Embed:
    embedder = RandomIndexing.train(batches)
    return lambda batch: embedder.embed_tokens(*batch)


def tf_idf(batches: list[Batch], width: int = 1024) -> Embed:
    present = np.zeros(width, np.int64)
    for tokens, offsets in batches:
        present += (_counts(tokens, offsets, width) > 0).sum(axis=0)
    documents = sum(len(offsets) - 1 for _, offsets in batches)
    rarity = np.log(documents / np.maximum(present, 1)).astype(np.float32)

    def embed(batch: Batch) -> Vectors:
        vectors = np.log1p(_counts(*batch, width)) * rarity
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    return embed


@njit(cache=True)
def _counts(tokens: Any, offsets: Any, width: int) -> Any:
    counts = np.zeros((len(offsets) - 1, width), np.float32)
    for i in range(len(counts)):
        for j in range(offsets[i], offsets[i + 1]):
            counts[i, np.int64(tokens[j] % np.uint64(width))] += 1
    return counts


EMBEDDERS = {"random indexing": random_indexing, "TF-IDF": tf_idf}

if __name__ == "__main__":
    sys.exit(main())
