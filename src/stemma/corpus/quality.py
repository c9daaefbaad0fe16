"""A fast linear classifier: the probability that a document is good, learned from good and bad examples.

Logistic regression over hashed 1- and 2-grams of tokens (`scan`), trained with FTRL-Proximal (McMahan et al.
2013, "Ad Click Prediction", algorithm 1). As features fastText's classifier has the same n-grams, which DCLM
(Li et al. 2024, arXiv 2406.11794) found the best filter of web text; here an n-gram counts once
in a document and the vector is scaled to length 1, so that neither length nor repetition alone moves the
score. Both classes weigh the same however many examples there are: a probability of 0.5 is the border in a
corpus that is half good. One in ten examples is held out; half of those set the probabilities right (Platt
1999), the other half measure the model.
"""

import hashlib
import heapq
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.config import parse, plain
from stemma.corpus.characters import HAN, KANA, LETTER, kind_tables
from stemma.corpus.document import Document
from stemma.corpus.scan import scan_texts, tokens_of
from stemma.errors import StemmaError
from stemma.storage import atomic_file

Tokens = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

FEWEST_EXAMPLES = 100
"""different documents with text that each class must have"""
_HELD_OUT = 0.1
_THRESHOLDS = tuple(round(0.1 * i, 1) for i in range(1, 10))
_FORMAT = "stemma linear quality model 1"
# Its token hashes stand for how all are made.
_PROBE = "The quick brown fox, 1234: \u654f\u6377\u7684\u68d5\u8272\u72d0\u72f8 \u00dcn\u00efcode \u3042"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings:
    """How a classifier is trained."""

    bucket_bits: int = 19
    """2 ** bucket_bits weights of 4 bytes."""
    max_tokens: int = 1 << 24
    """Tokens used of each class; a fair sample of the documents is taken where there are more. Training takes
    16 bytes of memory for each and some 500 for each document used, whatever the size of the input."""
    max_document_tokens: int = 4096
    """Tokens used of one document, the first ones."""
    num_epochs: int = 5
    learning_rate: float = 1.0
    """alpha of the algorithm, with beta = 0.1."""
    l2: float = 1.0
    seed: int = 0
    """Which documents are sampled and held out, and the order of training."""

    def __post_init__(self) -> None:
        if not 10 <= self.bucket_bits <= 26:
            raise StemmaError(f"bucket_bits is {self.bucket_bits}, give 10 to 26")
        for name in ("max_tokens", "max_document_tokens", "num_epochs", "learning_rate"):
            if getattr(self, name) <= 0:
                raise StemmaError(f"{name} is {getattr(self, name)}, give a positive number")
        if self.l2 < 0 or self.seed < 0:
            raise StemmaError("l2 and seed must not be negative")


@dataclass(frozen=True, slots=True)
class Threshold:
    """What keeping documents of this probability or more means, in a corpus that is half good."""

    threshold: float
    precision: float
    """Good documents among those kept; 1 when none is."""
    recall: float
    """Good documents kept."""
    bad_kept: float
    """Bad documents kept."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Held-out documents of a tenth of the range of probabilities."""

    documents: int
    predicted: float
    """Mean probability."""
    observed: float
    """Good ones among them, both classes weighing the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The examples, and how the model did on those that it never saw."""

    num_good: int
    """Documents trained on or held out."""
    num_bad: int
    num_in_both: int
    """Texts given as good and as bad, left out."""
    num_measured: int
    auc: float
    """Chance that a good document scores above a bad one."""
    log_loss: float
    """Nats; 0.693 is a coin."""
    calibration_error: float
    """Mean distance of predicted and observed over the bins, by weight."""
    han_good: float
    """Han and kana among the letters of the good documents."""
    han_bad: float
    thresholds: tuple[Threshold, ...]
    calibration: tuple[CalibrationBin, ...]


class LinearQuality:
    """A trained model. `score` may run in several threads at a time."""

    def __init__(
        self, weights: npt.NDArray[np.float32], bias: float, settings: QualitySettings, held_out: HeldOut
    ) -> None:
        self.weights, self.bias, self.settings, self.held_out = weights, bias, settings, held_out

    @classmethod
    def train(
        cls,
        good: Iterable[Document],
        bad: Iterable[Document],
        settings: QualitySettings = QualitySettings(),
    ) -> Self:
        """Learn from two streams of documents; the same documents in any order give the same model.

        Raises StemmaError when a class has fewer than FEWEST_EXAMPLES different documents that the other one
        lacks.
        """
        samples = [_sample(documents, settings) for documents in (bad, good)]
        both = samples[0].tokens.keys() & samples[1].tokens.keys()
        for sample, name in zip(samples, ("bad", "good"), strict=True):
            if (count := len(sample.tokens) - len(both)) < FEWEST_EXAMPLES:
                shared = f" ({len(both)} more are among the good and the bad ones)" if both else ""
                raise StemmaError(
                    f"the {name} examples are {count} different documents{shared}; "
                    f"give at least {FEWEST_EXAMPLES} of each class"
                )
        keys = np.array(sorted(key for s in samples for key in s.tokens if key not in both), np.uint64)
        labels = np.array([key in samples[1].tokens for key in keys.tolist()], np.float64)
        offsets, tokens = _joined(
            [samples[int(g)].tokens[k] for k, g in zip(keys.tolist(), labels, strict=True)]
        )
        learn, fit, measure = _parts(labels)
        weights, bias = _learn(tokens, offsets, learn, labels, settings)
        raw = _logits(tokens, offsets, weights.astype(np.float32), 64 - settings.bucket_bits) + bias
        scale, shift = _platt(raw[fit], labels[fit])
        probabilities = _sigmoid(scale * raw[measure] + shift)
        held_out = _measure(probabilities, labels[measure], labels, len(both), samples)
        return cls((scale * weights).astype(np.float32), float(scale * bias + shift), settings, held_out)

    def score(self, tokens: Tokens, token_offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(n,) probability that each document is good.

        Document i is tokens[token_offsets[i]:token_offsets[i + 1]]; without tokens, the bias alone counts."""
        logits = _logits(tokens, token_offsets, self.weights, 64 - self.settings.bucket_bits)
        return _sigmoid(logits + self.bias).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically; the same model gives the same bytes."""
        from safetensors.numpy import save

        body = {
            "format": _FORMAT,
            "token_hashes": _token_hashes(),
            "bias": self.bias,
            "settings": plain(self.settings),
            "held_out": plain(self.held_out),
        }
        text = json.dumps(body)
        # One key, because the order of several is not fixed in the file.
        header = {"stemma": json.dumps([text, _digest(self.weights, text)])}
        data = save({"weights": self.weights}, header)
        with atomic_file(path) as file:
            file.write(data)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model. Raises StemmaError for a file that is none or damaged, or hashes tokens otherwise."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                weights = file.get_tensor("weights")
                text, digest = json.loads((file.metadata() or {})["stemma"])
            body = json.loads(text)
            if body["format"] != _FORMAT:
                raise ValueError(body["format"])
        except OSError as error:
            raise StemmaError(f"{path}: cannot be read ({error.strerror or error})") from None
        except (SafetensorError, ValueError, KeyError, TypeError):
            raise StemmaError(
                f"{path}: is not a quality model of stemma; write one with stemma clean train-quality"
            ) from None
        if _digest(weights, text) != digest:
            raise StemmaError(f"{path}: is damaged (its checksum differs); copy or train it again")
        if body["token_hashes"] != _token_hashes():
            raise StemmaError(
                f"{path}: was trained with other token hashes than this version; train it again"
            )
        settings = parse(QualitySettings, body["settings"], f"{path}, settings")
        if weights.dtype != np.float32 or weights.shape != (1 << settings.bucket_bits,):
            raise StemmaError(f"{path}: its weights do not fit its settings; train it again")
        return cls(weights, body["bias"], settings, parse(HeldOut, body["held_out"], f"{path}, held_out"))


class _Sample:
    """The documents of smallest key as far as the tokens reach: a fair sample in any order of the input."""

    def __init__(self, most: int) -> None:
        self.most, self.total, self.border = most, 0, 1 << 64
        self.tokens: dict[int, Tokens] = {}
        self.letters: dict[int, tuple[int, int]] = {}
        """Han and kana characters, and letters of all scripts."""
        self._largest_first: list[int] = []

    @property
    def han_share(self) -> float:
        han, letters = (sum(counts) for counts in zip(*self.letters.values(), strict=True))
        return han / max(letters, 1)

    def add(self, key: int, tokens: Tokens, letters: tuple[int, int]) -> None:
        if key >= self.border or key in self.tokens:
            return
        # A copy: the array is a view of memory several times as large.
        self.tokens[key], self.letters[key] = tokens.copy(), letters
        heapq.heappush(self._largest_first, -key)
        self.total += len(tokens)
        while self.total > self.most:
            self.border = -heapq.heappop(self._largest_first)
            self.total -= len(self.tokens.pop(self.border))
            del self.letters[self.border]


def _sample(documents: Iterable[Document], settings: QualitySettings) -> _Sample:
    import xxhash

    sample, features = _Sample(settings.max_tokens), kind_tables().features
    for document in documents:
        scanned = scan_texts([document.text])
        tokens = scanned.tokens[: settings.max_document_tokens]
        if not len(tokens):
            continue
        counts = {kind: int(scanned.histograms[0] @ features[kind]) for kind in (HAN, KANA, LETTER)}
        han = counts[HAN] + counts[KANA]
        letters = (han, han + counts[LETTER])
        sample.add(xxhash.xxh3_64_intdigest(tokens.tobytes(), settings.seed), tokens, letters)
    return sample


def _joined(documents: list[Tokens]) -> tuple[npt.NDArray[np.int64], Tokens]:
    lengths = np.array([len(document) for document in documents], np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), np.concatenate(documents)


def _parts(labels: Floats) -> tuple[npt.NDArray[np.int64], ...]:
    """Rows to learn from, to set probabilities by and to measure on: the same shares of each class.

    The rows come in the order of a hash of their text, so the first ones are as good as any."""
    parts: list[list[npt.NDArray[np.int64]]] = [[], [], []]
    for label in (0.0, 1.0):
        rows = np.flatnonzero(labels == label)
        held = max(2, round(_HELD_OUT * len(rows)))
        for part, chosen in zip(parts, (rows[held:], rows[: held // 2], rows[held // 2 : held]), strict=True):
            part.append(chosen)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def _class_weights(labels: Floats) -> Floats:
    good = labels.mean()
    return np.where(labels == 1, 0.5 / good, 0.5 / (1 - good))


def _learn(
    tokens: Tokens,
    offsets: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    labels: Floats,
    settings: QualitySettings,
) -> tuple[Floats, float]:
    class_weights = np.zeros(len(labels))
    class_weights[rows] = _class_weights(labels[rows])
    size = 1 << settings.bucket_bits
    sums, squares = np.zeros(size + 1), np.zeros(size + 1)  # the last one is the bias
    marks = np.zeros(size, np.uint32)
    buckets = np.empty(2 * int(np.diff(offsets).max()), np.int64)
    shift = 64 - settings.bucket_bits
    order = np.random.Generator(np.random.PCG64(settings.seed))
    for epoch in range(settings.num_epochs):
        _epoch(
            *(tokens, offsets, order.permutation(rows), labels, class_weights, shift, settings.learning_rate),
            *(settings.l2, sums, squares, marks, epoch * len(labels), buckets),
        )
    weights = _weights(sums, squares, settings.learning_rate, settings.l2)
    return weights[:-1], float(weights[-1])


_BETA = 0.1


@njit(cache=True, nogil=True)
def _bucket(first: Any, second: Any, shift: Any) -> Any:
    pair = (np.uint64(first) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(second)) * np.uint64(
        0xD6E8FEB86659FD93
    )
    return np.int64(pair >> np.uint64(shift))


@njit(cache=True, nogil=True)
def _weights(sums: Any, squares: Any, alpha: float, l2: float) -> Any:
    return -sums / ((_BETA + np.sqrt(squares)) / alpha + l2)


@njit(cache=True, nogil=True)
def _distinct(tokens, begin, end, shift, marks, stamp, buckets):  # type: ignore[no-untyped-def]
    """Collect the buckets of a document's n-grams, each once; `marks` has the stamp of those met already."""
    count = 0
    for i in range(begin, end):
        bucket = np.int64(tokens[i] >> np.uint64(shift))
        if marks[bucket] != stamp:
            marks[bucket] = stamp
            buckets[count] = bucket
            count += 1
        if i > begin:
            bucket = _bucket(tokens[i - 1], tokens[i], shift)
            if marks[bucket] != stamp:
                marks[bucket] = stamp
                buckets[count] = bucket
                count += 1
    return count


@njit(cache=True, nogil=True)
def _epoch(  # type: ignore[no-untyped-def]
    tokens, offsets, order, labels, class_weights, shift, alpha, l2, sums, squares, marks, stamp, buckets
):
    bias = len(sums) - 1
    for row in order:
        stamp += 1
        count = _distinct(tokens, offsets[row], offsets[row + 1], shift, marks, np.uint32(stamp), buckets)
        scale = 1 / np.sqrt(count)
        bias_weight = -sums[bias] / ((_BETA + np.sqrt(squares[bias])) / alpha)
        logit = bias_weight
        for k in range(count):
            b = buckets[k]
            logit -= scale * sums[b] / ((_BETA + np.sqrt(squares[b])) / alpha + l2)
        gradient = (1 / (1 + np.exp(-logit)) - labels[row]) * class_weights[row]
        step = gradient * scale
        for k in range(count):
            b = buckets[k]
            root = np.sqrt(squares[b])
            weight = -sums[b] / ((_BETA + root) / alpha + l2)
            squares[b] += step * step
            sums[b] += step - (np.sqrt(squares[b]) - root) / alpha * weight
        root = np.sqrt(squares[bias])
        squares[bias] += gradient * gradient
        sums[bias] += gradient - (np.sqrt(squares[bias]) - root) / alpha * bias_weight


@njit(cache=True, nogil=True)
def _logits(tokens, offsets, weights, shift):  # type: ignore[no-untyped-def]
    """(n,) float64, without the bias: the sum over the distinct n-grams, over the root of their number."""
    marks = np.zeros(len(weights), np.uint8)  # one byte each, to stay in the processor's cache
    result = np.zeros(len(offsets) - 1)
    for row in range(len(result)):
        stamp = np.uint8(row % 255 + 1)
        if stamp == 1:
            marks[:] = 0
        total, count = 0.0, 0
        for i in range(offsets[row], offsets[row + 1]):
            bucket = np.int64(tokens[i] >> np.uint64(shift))
            if marks[bucket] != stamp:
                marks[bucket] = stamp
                total += weights[bucket]
                count += 1
            if i > offsets[row]:
                bucket = _bucket(tokens[i - 1], tokens[i], shift)
                if marks[bucket] != stamp:
                    marks[bucket] = stamp
                    total += weights[bucket]
                    count += 1
        if count:
            result[row] = total / np.sqrt(count)
    return result


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))


def _platt(logits: Floats, labels: Floats) -> tuple[float, float]:
    """Scale and shift of the logits that fit the labels, smoothed so that separable ones stay finite."""
    good = int(labels.sum())
    bad = len(labels) - good
    targets = np.where(labels == 1, (good + 1) / (good + 2), 1 / (bad + 2))
    weights = _class_weights(labels)
    features = np.stack([logits, np.ones_like(logits)])
    solution = np.array([1.0, 0.0])
    for _ in range(50):
        p = _sigmoid(solution @ features)
        gradient = features @ (weights * (p - targets)) + 1e-3 * (solution - (1.0, 0.0))
        hessian = (features * (weights * p * (1 - p))) @ features.T + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        solution -= step * min(1.0, 1.0 / float(np.abs(step).max() + 1e-12))
    # A model that ranks the held-out examples the wrong way round is not turned about: that would hide it.
    return max(float(solution[0]), 0.05), float(solution[1])


def _measure(
    scores: Floats, labels: Floats, all_labels: Floats, num_in_both: int, samples: list[_Sample]
) -> HeldOut:
    weights = _class_weights(labels)
    bins = np.minimum((scores * 10).astype(int), 9)
    calibration = tuple(
        CalibrationBin(
            int(inside.sum()),
            float(scores[inside].mean()),
            float(np.average(labels[inside], weights=weights[inside])),
        )
        for inside in (bins == b for b in range(10))
        if inside.any()
    )
    error = sum(
        weights[bins == b].sum()
        * abs(
            np.average(scores[bins == b], weights=weights[bins == b])
            - np.average(labels[bins == b], weights=weights[bins == b])
        )
        for b in np.unique(bins)
    )
    likelihood = np.where(labels == 1, scores, 1 - scores)
    return HeldOut(
        num_good=int(all_labels.sum()),
        num_bad=int(len(all_labels) - all_labels.sum()),
        num_in_both=num_in_both,
        num_measured=len(labels),
        auc=_auc(scores, labels),
        log_loss=float(np.average(-np.log(likelihood), weights=weights)),
        calibration_error=float(error / weights.sum()),
        han_good=samples[1].han_share,
        han_bad=samples[0].han_share,
        thresholds=tuple(_threshold(t, scores, labels) for t in _THRESHOLDS),
        calibration=calibration,
    )


def _threshold(threshold: float, scores: Floats, labels: Floats) -> Threshold:
    recall = float((scores[labels == 1] >= threshold).mean())
    bad = float((scores[labels == 0] >= threshold).mean())
    return Threshold(threshold, recall / (recall + bad) if recall + bad else 1.0, recall, bad)


def _auc(scores: Floats, labels: Floats) -> float:
    """Mann-Whitney: share of pairs of a good and a bad document in the right order, ties half."""
    bad = np.sort(scores[labels == 0])
    good = scores[labels == 1]
    below, up_to = np.searchsorted(bad, good, "left"), np.searchsorted(bad, good, "right")
    return float((below + up_to).mean() / 2 / len(bad))


def _digest(weights: npt.NDArray[Any], text: str) -> str:
    return hashlib.sha256(weights.tobytes() + text.encode()).hexdigest()


def _token_hashes() -> str:
    return hashlib.sha256(tokens_of(_PROBE).tobytes()).hexdigest()
