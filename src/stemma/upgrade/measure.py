"""Two models on the same windows: logits, KL divergence, perplexity, overall and by position.

Hidden states are kept, one model after the other; the logits of both exist for one window at a time. Logits are
float32, what is summed over them float64. KL is before || after, sum_v p_v (log p_v - log q_v), in nats per token.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from stemma.errors import CheckFailed
from stemma.families.source import TensorSource
from stemma.model.spec import Spec
from stemma.model.transformer import Transformer
from stemma.upgrade.stream import streamed


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Perplexity of the tokens predicted from `first` to `last` tokens of context, both counted."""

    first: int
    last: int
    perplexity_before: float
    perplexity_after: float


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the windows say about two models; differences are absolute and over every logit of every position."""

    max_logit_difference: float
    mean_logit_difference: float
    logit_std: float
    same_top_token: float
    kl_per_token: float
    max_kl: float
    perplexity_before: float
    perplexity_after: float
    bits_per_byte_before: float | None = None
    bits_per_byte_after: float | None = None
    by_position: tuple[Bucket, ...]


@dataclass(frozen=True)
class Observed:
    """A model and its final states (N, T, C) on the windows."""

    model: Transformer
    hidden: torch.Tensor


@torch.inference_mode()
def observe(spec: Spec, source: TensorSource, token_ids: torch.Tensor) -> Observed:
    """Run the windows (N, T) through the model of `source` in float32, weights fetched one tensor at a time."""
    model = streamed(spec, source)
    return Observed(model, model.hidden(token_ids))


@torch.inference_mode()
def compare(before: Observed, after: Observed, token_ids: torch.Tensor, num_bytes: int | None) -> Measurement:
    """Measure `after` against `before` on windows (N, T). Raises CheckFailed when either gives no finite numbers."""
    sums = _Sums(token_ids.shape[1] - 1)
    for row, ids in enumerate(token_ids):
        old, new = before.model.head(before.hidden[row]), after.model.head(after.hidden[row])  # (T, V)
        sums.add(old.float(), new.float(), ids)
    return sums.result(num_bytes)


class _Sums:
    """Running float64 sums over windows of T predicted tokens; one row of loss per position."""

    def __init__(self, length: int) -> None:
        self.loss = torch.zeros(2, length, dtype=torch.float64)
        self.windows = self.logits = self.positions = 0
        self.absolute = self.total = self.squares = self.kl = self.same = 0.0
        self.largest = self.largest_kl = 0.0

    def add(self, old: torch.Tensor, new: torch.Tensor, ids: torch.Tensor) -> None:
        """One window: logits (T + 1, V) of both models, token ids (T + 1,)."""
        difference = (old.double() - new.double()).abs()
        log_p, log_q = (functional.log_softmax(logits.double(), dim=-1) for logits in (old, new))
        kl = (log_p.exp() * (log_p - log_q)).sum(-1)
        self.windows, self.logits = self.windows + 1, self.logits + old.numel()
        self.positions += len(kl)
        self.absolute += float(difference.sum())
        self.total += float(old.double().sum())
        self.squares += float(old.double().square().sum())
        self.kl += float(kl.sum())
        self.same += float((old.argmax(-1) == new.argmax(-1)).sum())
        # torch's max keeps NaN, so a model that breaks cannot hide in a comparison.
        self.largest = float(torch.tensor([self.largest, float(difference.max())]).double().max())
        self.largest_kl = max(self.largest_kl, float(kl.max()))
        for side, log_probability in enumerate((log_p, log_q)):
            self.loss[side] -= log_probability[:-1].gather(-1, ids[1:, None])[:, 0]

    def result(self, num_bytes: int | None) -> Measurement:
        if not (math.isfinite(self.largest) and bool(self.loss.isfinite().all())):
            raise CheckFailed("the logits hold NaN or infinite values; the weights or their dtype overflow")
        mean = self.total / self.logits
        bits = [float(side.sum()) / math.log(2) / num_bytes if num_bytes else None for side in self.loss]
        return Measurement(
            max_logit_difference=self.largest,
            mean_logit_difference=self.absolute / self.logits,
            logit_std=math.sqrt(max(self.squares / self.logits - mean * mean, 0.0)),
            same_top_token=self.same / self.positions,
            kl_per_token=max(self.kl / self.positions, 0.0),
            max_kl=self.largest_kl,
            perplexity_before=self._perplexity(0, 0, self.loss.shape[1]),
            perplexity_after=self._perplexity(1, 0, self.loss.shape[1]),
            bits_per_byte_before=bits[0],
            bits_per_byte_after=bits[1],
            by_position=tuple(self._bucket(first, last) for first, last in _edges(self.loss.shape[1])),
        )

    def _perplexity(self, side: int, start: int, end: int) -> float:
        return math.exp(min(float(self.loss[side, start:end].mean()) / self.windows, 700.0))

    def _bucket(self, first: int, last: int) -> Bucket:
        before, after = (self._perplexity(side, first - 1, last) for side in (0, 1))
        return Bucket(first=first, last=last, perplexity_before=before, perplexity_after=after)


def _edges(length: int) -> list[tuple[int, int]]:
    """1-16, 17-64, 65-256, ...: each bucket ends four times as far as the one before, the last at `length`."""
    edges = [(1, min(16, length))]
    while edges[-1][1] < length:
        last = edges[-1][1]
        edges.append((last + 1, min(4 * last, length)))
    return edges
