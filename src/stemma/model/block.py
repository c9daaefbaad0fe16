"""One layer. The residual scheme is the class: `PreNormBlock` is x + attention(norm(x)), then x + feed_forward(norm(x))."""

import torch
from torch import nn

from stemma.model.attention import Attention
from stemma.model.cache import LayerCache
from stemma.model.feed_forward import build_feed_forward
from stemma.model.layout import Layout
from stemma.model.norm import build_norm
from stemma.model.spec import BlockSpec


class PreNormBlock(nn.Module):
    """Pre-norm residuals (arXiv 2002.04745). Input and output (B, T, C)."""

    def __init__(self, spec: BlockSpec, hidden_size: int) -> None:
        super().__init__()
        self.attention_norm = build_norm(spec.norm, hidden_size)
        self.attention = Attention(spec.attention, hidden_size)
        self.feed_forward_norm = build_norm(spec.norm, hidden_size)
        self.feed_forward = build_feed_forward(spec.feed_forward, hidden_size)

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), layout, cache, start)
        return x + self.feed_forward(self.feed_forward_norm(x))


BLOCKS = {"pre": PreNormBlock}


def build_block(spec: BlockSpec, hidden_size: int) -> nn.Module:
    """The module of a BlockSpec."""
    return BLOCKS[spec.residual](spec, hidden_size)
