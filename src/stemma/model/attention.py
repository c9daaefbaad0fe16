"""Softmax attention: softmax(q k' / sqrt(D) + bias) v with MHA, GQA or MQA heads (arXiv 1706.03762, 2305.13245).

`attend` is the one kernel interface: an exact function of queries, keys, values and the layout. PyTorch's fused
attention serves all masks; with position biases in a 16-bit model the scores are formed in fp32, because a bias of slope
times distance does not fit 16 bits. Short rows in bf16 on a CPU form their scores as a matrix: there the fused kernel
is slower than plain products (forward and backward of a 256-token row take half the time this way).
"""

import torch
from torch import nn
from torch.nn import functional

from stemma.model.cache import LayerCache
from stemma.model.layout import Layout
from stemma.model.norm import build_norm
from stemma.model.position.rope import rotate
from stemma.model.position.rope_2d import rotate_2d
from stemma.model.spec import AlibiSpec, AttentionSpec, RelativeSpec, Rope2dSpec, RopeSpec

_SHORT = 1024  # keys up to which a CPU forms bf16 scores as a matrix


class Attention(nn.Module):
    """Self-attention of one layer. Input and output (B, T, C)."""

    def __init__(self, spec: AttentionSpec, hidden_size: int) -> None:
        super().__init__()
        self.spec = spec
        query_size, key_size = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
        self.query = nn.Linear(hidden_size, query_size, bias=spec.qkv_bias)
        self.key = nn.Linear(hidden_size, key_size, bias=spec.qkv_bias)
        self.value = nn.Linear(hidden_size, key_size, bias=spec.qkv_bias)
        self.output = nn.Linear(query_size, hidden_size, bias=spec.output_bias)
        self.query_norm = build_norm(spec.qk_norm, spec.head_dim) if spec.qk_norm else None
        self.key_norm = build_norm(spec.qk_norm, spec.head_dim) if spec.qk_norm else None

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        spec = self.spec
        query = self.query(x).unflatten(-1, (spec.num_heads, spec.head_dim))  # (B, T, H, D)
        key = self.key(x).unflatten(-1, (spec.num_kv_heads, spec.head_dim))  # (B, T, K, D)
        value = self.value(x).unflatten(-1, (spec.num_kv_heads, spec.head_dim))  # (B, T, K, D)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        query, key = _rotated(query, spec, layout), _rotated(key, spec, layout)
        if spec.logn is not None and not self.training:
            growth = layout.query_growth(spec.logn)
            query = query if growth is None else query * growth.to(query.dtype)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        if cache is not None:
            key, value = cache.append(start, key, value)
        context = attend(query, key, value, spec, layout)  # (B, H, T, D)
        return self.output(context.transpose(1, 2).flatten(-2))


class CrossAttention(Attention):
    """Attention of a decoder to its encoder's states. Input and output (B, T, C)."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None
    ) -> torch.Tensor:
        spec = self.spec
        query = self.query(x).unflatten(-1, (spec.num_heads, spec.head_dim)).transpose(1, 2)  # (B, H, T, D)
        if cache is None:
            key, value = self._of_memory(layout)
        else:
            cache.memory = cache.memory or self._of_memory(layout)
            key, value = cache.memory
        context = _attend_masked(query, key, value, spec, layout.memory_mask())
        return self.output(context.transpose(1, 2).flatten(-2))

    def _of_memory(self, layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the memory, each (B, K, S, D)."""
        assert layout.memory is not None, "cross-attention without an encoder's states"
        heads = (self.spec.num_kv_heads, self.spec.head_dim)
        key = self.key(layout.memory.states).unflatten(-1, heads).transpose(1, 2)
        value = self.value(layout.memory.states).unflatten(-1, heads).transpose(1, 2)
        return key, value


def _rotated(x: torch.Tensor, spec: AttentionSpec, layout: Layout) -> torch.Tensor:
    """`x` (B, T, heads, D) turned by its positions, where the spec turns anything."""
    position = spec.position
    if isinstance(position, RopeSpec):
        return rotate(x, layout.rope(position, spec.head_dim), position.interleaved)
    if isinstance(position, Rope2dSpec):
        return rotate_2d(x, layout.rope_2d(position, spec.head_dim))
    return x


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spec: AttentionSpec, layout: Layout
) -> torch.Tensor:
    """(B, H, T, D) from queries (B, H, T, D), keys and values (B, K, S, D)."""
    if isinstance(spec.position, AlibiSpec | RelativeSpec):
        return _attend_with_bias(query, key, value, spec, layout.bias(spec))
    if layout.is_triangle(spec) and not _forms_scores(query, key):
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=_scale(spec), enable_gqa=_grouped(spec)
        )
    return _attend_masked(query, key, value, spec, layout.mask(spec.window, spec.causal))


def _scale(spec: AttentionSpec) -> float:
    return spec.head_dim**-0.5 if spec.scaled else 1.0


def _grouped(spec: AttentionSpec) -> bool:
    return spec.num_heads != spec.num_kv_heads


def _forms_scores(query: torch.Tensor, key: torch.Tensor) -> bool:
    return query.dtype == torch.bfloat16 and query.device.type == "cpu" and key.shape[2] <= _SHORT


def _attend_masked(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spec: AttentionSpec,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    if not _forms_scores(query, key):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=_scale(spec), enable_gqa=_grouped(spec)
        )
    key, value = _repeated(key, spec), _repeated(value, spec)
    scores = (query * _scale(spec)) @ key.transpose(-1, -2)  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1).to(value.dtype) @ value


def _attend_with_bias(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spec: AttentionSpec, bias: torch.Tensor
) -> torch.Tensor:
    if query.dtype == torch.float32:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, scale=_scale(spec), enable_gqa=_grouped(spec)
        )
    key, value = _repeated(key, spec), _repeated(value, spec)
    scores = (query @ key.transpose(-1, -2)).float() * _scale(spec) + bias  # (B, H, T, S)
    return scores.softmax(dim=-1).to(value.dtype) @ value


def _repeated(heads: torch.Tensor, spec: AttentionSpec) -> torch.Tensor:
    """Keys or values (B, K, S, D) repeated for every query head of their group."""
    return heads.repeat_interleave(spec.num_heads // spec.num_kv_heads, dim=1) if _grouped(spec) else heads
