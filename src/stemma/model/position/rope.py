"""Rotary position embedding (arXiv 2104.09864).

Pair j of a head is turned by the angle position * frequency_j. Angles and the rotation are fp32 whatever the model
dtype: bf16 cannot tell positions 256 and 257 apart. Half-split pairs (LLaMA) or interleaved pairs (GLM).
"""

import torch

from stemma.model.position.scaling import call_lengths, rope_amplitude, rope_frequencies
from stemma.model.spec import RopeSpec


def rope_table(
    spec: RopeSpec, head_dim: int, position_ids: torch.Tensor, lengths: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin, each (B, T, 1, rotary_dim / 2) fp32, for `position_ids` (B, T).

    `lengths` (B,) are the prompt lengths a stepped base grows with; None leaves it as trained.
    """
    rotary_dim = int(head_dim * spec.fraction)
    calls = call_lengths(spec, position_ids, lengths)
    frequencies = torch.stack([rope_frequencies(spec, rotary_dim, length) for length in calls])
    frequencies = frequencies[:, None].to(position_ids.device)  # (1 or B, 1, rotary_dim / 2)
    angles = (position_ids.float()[..., None] * frequencies)[:, :, None]  # (B, T, 1, rotary_dim / 2)
    amplitude = rope_amplitude(spec)
    return angles.cos() * amplitude, angles.sin() * amplitude


def rotate(x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor], interleaved: bool) -> torch.Tensor:
    """Turn the pairs of `x` (B, T, heads, D) by the table; dimensions beyond the table stay as they are."""
    cos, sin = table
    rotary_dim = 2 * cos.shape[-1]
    turning, rest = x[..., :rotary_dim].float(), x[..., rotary_dim:]
    if interleaved:
        first, second = turning[..., 0::2], turning[..., 1::2]
    else:
        first, second = turning.chunk(2, dim=-1)
    pair = (first * cos - second * sin, second * cos + first * sin)
    turned = torch.stack(pair, dim=-1).flatten(-2) if interleaved else torch.cat(pair, dim=-1)
    turned = turned.to(x.dtype)
    return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned
