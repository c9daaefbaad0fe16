"""Attention with linear biases (arXiv 2108.12409): score -= slope_h * (query position - key position).

Slopes of n heads, n a power of two: 2^(-8h/n), h = 1..n. Otherwise, with p the largest power of two below n, the slopes
of p heads followed by every second slope of 2p heads, starting at the first (Baichuan 13B and BLOOM load by this order).
"""

import torch

from stemma.model.spec import AlibiSpec


def alibi_slopes(num_heads: int) -> torch.Tensor:
    """(num_heads,) fp32, in the order the published checkpoints expect."""
    power = 1 << (num_heads.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    slopes += [2.0 ** (-4.0 * (2 * i + 1) / power) for i in range(num_heads - power)]
    return torch.tensor(slopes, dtype=torch.float32)


def alibi_bias(
    spec: AlibiSpec, num_heads: int, head_dim: int, query_positions: torch.Tensor, key_positions: torch.Tensor
) -> torch.Tensor:
    """Bias on the scaled scores, (B, num_heads, T or 1, S) fp32, from positions (B, T) and (B, S).

    Rounded biases are slope * key position, because the rounding depends on it; the softmax cannot tell the two apart.
    """
    slopes = alibi_slopes(num_heads).to(key_positions.device)[:, None, None]
    if spec.rounded:
        bias = (slopes.bfloat16() * key_positions[:, None, None].bfloat16()).float()  # (B, H, 1, S)
    else:
        distance = (query_positions[:, :, None] - key_positions[:, None, :]).float()  # (B, T, S)
        bias = -slopes * distance[:, None]
    return bias * head_dim**-0.5 if spec.before_scaling else bias
