"""Two-dimensional rotary positions of GLM (arXiv 2103.10360; modeling_chatglm.py of ChatGLM-6B).

The first half of a head turns by the token's position in the text, the second by its place inside the piece being
written (0 in the context). Each half is rotated as a head of its own, half-split.
"""

import torch

from stemma.model.position.rope import rotate
from stemma.model.position.scaling import plain_frequencies
from stemma.model.spec import Rope2dSpec

Tables = tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def rope_2d_tables(
    spec: Rope2dSpec, head_dim: int, position_ids: torch.Tensor, block_positions: torch.Tensor
) -> Tables:
    """cos and sin of both halves, each (B, T, 1, head_dim / 4) fp32, for positions (B, T)."""
    frequencies = plain_frequencies(spec.theta, head_dim // 2).to(position_ids.device)
    if spec.half_precision:
        frequencies = frequencies.half().float()

    def table(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        angles = (positions.float()[..., None] * frequencies)[:, :, None]
        return angles.cos(), angles.sin()

    return table(position_ids), table(block_positions)


def rotate_2d(x: torch.Tensor, tables: Tables) -> torch.Tensor:
    """Turn both halves of `x` (B, T, heads, D)."""
    text, piece = x.chunk(2, dim=-1)
    return torch.cat((rotate(text, tables[0], False), rotate(piece, tables[1], False)), dim=-1)
