"""Samples to tensors, leaving out what the model can do without: a batch of plain rows takes the fastest kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from stemma.data.sample import Sample


class Rows(Protocol):
    """A finite, random-access set of Samples of one length."""

    sequence_length: int

    def __len__(self) -> int: ...

    @property
    def bytes_per_target(self) -> float: ...

    def sample(self, row: int, /) -> Sample: ...

    def digest(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Tensors (B, T). `segment_ids`, `prefix_lengths` and `position_ids` are None when they say nothing.

    `position_ids` is (B, T), or (rows, B, T) for several rows. `real` is False on padding.
    """

    token_ids: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    real: torch.Tensor
    segment_ids: torch.Tensor | None
    position_ids: torch.Tensor | None
    prefix_lengths: torch.Tensor | None


def make_batch(samples: Sequence[Sample], device: torch.device | str = "cpu") -> Batch:
    """Stack samples of equal length."""

    def stack(name: str, dtype: type) -> torch.Tensor:
        return torch.from_numpy(np.stack([getattr(s, name) for s in samples]).astype(dtype)).to(device)

    segments = np.stack([s.segment_ids for s in samples])
    positions = np.stack([s.position_ids for s in samples], axis=1)  # (rows, B, T)
    plain = bool((segments == 1).all() and (positions == np.arange(segments.shape[1])).all())
    places = torch.from_numpy((positions[0] if len(positions) == 1 else positions).astype(np.int64)).to(
        device
    )
    prefixed = any(s.prefix_lengths.any() for s in samples)
    return Batch(
        token_ids=stack("token_ids", np.int64),
        targets=stack("targets", np.int64),
        weights=stack("weights", np.float32),
        real=torch.from_numpy(segments > 0).to(device),
        segment_ids=None if plain else torch.from_numpy(segments.astype(np.int64)).to(device),
        position_ids=None if plain else places,
        prefix_lengths=stack("prefix_lengths", np.int64) if prefixed else None,
    )
