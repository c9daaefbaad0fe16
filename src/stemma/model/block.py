"""One layer. The residual scheme is the class; each forward is the equation of its scheme in `BlockSpec`."""

import torch
from torch import nn

from stemma.model.attention import Attention, CrossAttention
from stemma.model.cache import LayerCache
from stemma.model.feed_forward import build_feed_forward
from stemma.model.layout import Layout
from stemma.model.norm import build_norm
from stemma.model.spec import BlockSpec


class _Block(nn.Module):
    """The parts every scheme has: attention, feed-forward, and a norm for each."""

    def __init__(self, spec: BlockSpec, hidden_size: int) -> None:
        super().__init__()
        self.scale = spec.residual_scale
        self.attention_norm = build_norm(spec.norm, hidden_size)
        self.attention = Attention(spec.attention, hidden_size)
        if spec.cross_attention is not None:
            self.cross_attention_norm = build_norm(spec.norm, hidden_size)
            self.cross_attention = CrossAttention(spec.cross_attention, hidden_size)
        self.has_cross_attention = spec.cross_attention is not None
        if spec.residual != "parallel":
            self.feed_forward_norm = build_norm(spec.norm, hidden_size)
        self.feed_forward = build_feed_forward(spec.feed_forward, hidden_size)


class PreNormBlock(_Block):
    """Input and output (B, T, C), as in all schemes."""

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), layout, cache, start)
        if self.has_cross_attention:
            x = x + self.cross_attention(self.cross_attention_norm(x), layout, cache)
        return x + self.feed_forward(self.feed_forward_norm(x))


class PostNormBlock(_Block):
    """The first transformer's scheme; DeepNorm when the residual is scaled."""

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        x = self.attention_norm(self.scale * x + self.attention(x, layout, cache, start))
        if self.has_cross_attention:
            x = self.cross_attention_norm(self.scale * x + self.cross_attention(x, layout, cache))
        return self.feed_forward_norm(self.scale * x + self.feed_forward(x))


class SandwichBlock(_Block):
    """A norm before and after each branch."""

    def __init__(self, spec: BlockSpec, hidden_size: int) -> None:
        super().__init__(spec, hidden_size)
        self.attention_post_norm = build_norm(spec.norm, hidden_size)
        self.feed_forward_post_norm = build_norm(spec.norm, hidden_size)

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        x = x + self.attention_post_norm(self.attention(self.attention_norm(x), layout, cache, start))
        return x + self.feed_forward_post_norm(self.feed_forward(self.feed_forward_norm(x)))


class NormedResidualBlock(_Block):
    """The residual carries the normalised input, scaled."""

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        normed = self.attention_norm(x)
        x = self.scale * normed + self.attention(normed, layout, cache, start)
        normed = self.feed_forward_norm(x)
        return self.scale * normed + self.feed_forward(normed)


class ParallelBlock(_Block):
    """Both branches read the same input through one norm."""

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        normed = self.attention_norm(x)
        return x + self.attention(normed, layout, cache, start) + self.feed_forward(normed)


class ParallelTwoNormBlock(_Block):
    """Both branches read the same input, each through its own norm."""

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        attended = self.attention(self.attention_norm(x), layout, cache, start)
        return x + attended + self.feed_forward(self.feed_forward_norm(x))


BLOCKS = {
    "pre": PreNormBlock,
    "post": PostNormBlock,
    "sandwich": SandwichBlock,
    "normed": NormedResidualBlock,
    "parallel": ParallelBlock,
    "parallel_two": ParallelTwoNormBlock,
}


def build_block(spec: BlockSpec, hidden_size: int) -> nn.Module:
    """The module of a BlockSpec."""
    return BLOCKS[spec.residual](spec, hidden_size)
