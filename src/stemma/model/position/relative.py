"""T5's relative positions: a learned bias per head and bucket of distance (arXiv 1910.10683, section 2.1).

Half of the buckets hold one distance each, the rest grow logarithmically up to `max_distance`; the last is open-ended. In
a bidirectional stack half of all buckets serve keys after the query; in a causal one those count as distance 0.
"""

import math

import torch
from torch import nn

from stemma.model.spec import RelativeSpec


def buckets(spec: RelativeSpec, distance: torch.Tensor, causal: bool) -> torch.Tensor:
    """Bucket numbers of distances (key position - query position), of the same shape."""
    count = spec.num_buckets
    if causal:
        first, behind = torch.zeros_like(distance), (-distance).clamp(min=0)
    else:
        count //= 2
        first, behind = (distance > 0).long() * count, distance.abs()
    exact = count // 2
    growth = torch.log(behind.clamp(min=1).float() / exact) / math.log(spec.max_distance / exact)
    far = (exact + (growth * (count - exact)).long()).clamp(max=count - 1)
    return first + torch.where(behind < exact, behind, far)


class RelativeBias(nn.Module):
    """The table of one stack, (num_buckets, num_heads)."""

    def __init__(self, spec: RelativeSpec, num_heads: int, causal: bool) -> None:
        super().__init__()
        self.spec, self.causal = spec, causal
        self.weight = nn.Parameter(torch.empty(spec.num_buckets, num_heads))

    def forward(self, query_positions: torch.Tensor, key_positions: torch.Tensor) -> torch.Tensor:
        """Bias (B, num_heads, T, S) fp32 from positions (B, T) and (B, S)."""
        distance = key_positions[:, None, :] - query_positions[:, :, None]  # (B, T, S)
        return self.weight[buckets(self.spec, distance, self.causal)].float().movedim(-1, 1)
