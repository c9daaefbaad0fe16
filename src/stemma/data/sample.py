"""Sample: the one form every objective takes, so that packing, batching and the loss know of no objective.

Position t holds an input token, the token to predict there and the weight of that prediction in the loss (0 = none).
Who sees whom follows from the segment ids (0 = padding; segments never see each other), the prefix lengths (how many
tokens at a segment's start the whole segment sees) and the order of the tokens. Positions have one row, or two for
two-dimensional position encodings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from stemma.errors import StemmaError


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """token_ids, targets, segment_ids, prefix_lengths (T,) int32; weights (T,) float32; position_ids (rows, T) int32."""

    token_ids: NDArray[np.int32]
    targets: NDArray[np.int32]
    weights: NDArray[np.float32]
    segment_ids: NDArray[np.int32]
    position_ids: NDArray[np.int32]
    prefix_lengths: NDArray[np.int32]

    def __post_init__(self) -> None:
        length = len(self)
        for field in fields(self):
            value = getattr(self, field.name)
            wanted = np.float32 if field.name == "weights" else np.int32
            shape = value.shape[1:] if field.name == "position_ids" else value.shape
            if value.dtype != wanted or shape != (length,):
                raise StemmaError(
                    f"sample: {field.name} is {value.dtype} {value.shape}, expected {wanted.__name__} over {length} tokens"
                )
        if length and (self.weights.min() < 0 or not np.isfinite(self.weights).all()):
            raise StemmaError("sample: a weight is negative or not finite")
        if bool(((self.segment_ids == 0) & (self.weights > 0)).any()):
            raise StemmaError("sample: padding (segment 0) carries a loss weight")

    def __len__(self) -> int:
        return int(self.token_ids.shape[0])

    @property
    def num_targets(self) -> int:
        """Positions with a loss."""
        return int(np.count_nonzero(self.weights))


def causal_sample(token_ids: NDArray[np.int32], target_mask: NDArray[np.bool_]) -> Sample:
    """One causal segment from T + 1 tokens: position t predicts token t + 1 when `target_mask[t + 1]` says so."""
    length = len(token_ids) - 1
    weights = target_mask[1:].astype(np.float32)
    return Sample(
        token_ids=token_ids[:-1].astype(np.int32),
        targets=np.where(weights > 0, token_ids[1:], 0).astype(np.int32),
        weights=weights,
        segment_ids=np.ones(length, np.int32),
        position_ids=np.arange(length, dtype=np.int32)[None],
        prefix_lengths=np.zeros(length, np.int32),
    )


def concatenate(samples: Sequence[Sample]) -> Sample:
    """Samples one after the other in one row; segments are renumbered 1, 2, ... so that none sees another."""
    segments: list[NDArray[np.int32]] = []
    last = 0
    for sample in samples:
        segments.append(np.where(sample.segment_ids > 0, sample.segment_ids + last, 0).astype(np.int32))
        last = max(last, int(segments[-1].max(initial=0)))
    return Sample(
        token_ids=np.concatenate([s.token_ids for s in samples]),
        targets=np.concatenate([s.targets for s in samples]),
        weights=np.concatenate([s.weights for s in samples]),
        segment_ids=np.concatenate(segments),
        position_ids=np.concatenate([s.position_ids for s in samples], axis=1),
        prefix_lengths=np.concatenate([s.prefix_lengths for s in samples]),
    )


def padding(length: int, rows: int = 1) -> Sample:
    """`length` tokens of nothing: segment 0, no weight."""
    zeros = np.zeros(length, np.int32)
    return Sample(
        token_ids=zeros,
        targets=zeros,
        weights=np.zeros(length, np.float32),
        segment_ids=zeros,
        position_ids=np.zeros((rows, length), np.int32),
        prefix_lengths=zeros,
    )


def pad(sample: Sample, length: int) -> Sample:
    """`sample` filled up at its end to `length` tokens. Raises StemmaError when it is longer."""
    missing = length - len(sample)
    if missing < 0:
        raise StemmaError(f"sample: {len(sample)} tokens do not fit a row of {length}")
    return concatenate([sample, padding(missing, len(sample.position_ids))]) if missing else sample
