"""Softmax attention: softmax(q k' / sqrt(D) + bias) v with MHA, GQA or MQA heads (arXiv 1706.03762, 2305.13245).

`attend` is the one kernel interface: an exact function of queries, keys, values and the layout. PyTorch's fused
attention serves all masks; with linear biases in a 16-bit model the scores are formed in fp32, because a bias of slope
times distance does not fit 16 bits. Short rows in bf16 on a CPU form their scores as a matrix: there the fused kernel
is slower than plain products (forward and backward of a 256-token row take half the time this way).
"""

import math

import torch
from torch import nn
from torch.nn import functional

from stemma.model.cache import LayerCache
from stemma.model.layout import Layout
from stemma.model.position.rope import rotate
from stemma.model.spec import AlibiSpec, AttentionSpec, RopeSpec

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

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: LayerCache | None = None, start: int = 0
    ) -> torch.Tensor:
        spec = self.spec
        query = self.query(x).unflatten(-1, (spec.num_heads, spec.head_dim))  # (B, T, H, D)
        key = self.key(x).unflatten(-1, (spec.num_kv_heads, spec.head_dim))  # (B, T, K, D)
        value = self.value(x).unflatten(-1, (spec.num_kv_heads, spec.head_dim))  # (B, T, K, D)
        if isinstance(spec.position, RopeSpec):
            table = layout.rope(spec.position, spec.head_dim)
            query = rotate(query, table, spec.position.interleaved)
            key = rotate(key, table, spec.position.interleaved)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        if cache is not None:
            key, value = cache.append(start, key, value)
        context = attend(query, key, value, spec, layout)  # (B, H, T, D)
        return self.output(context.transpose(1, 2).flatten(-2))


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spec: AttentionSpec, layout: Layout
) -> torch.Tensor:
    """(B, H, T, D) from queries (B, H, T, D), keys and values (B, K, S, D)."""
    if isinstance(spec.position, AlibiSpec):
        return _attend_with_bias(query, key, value, layout.bias(spec.num_heads, spec.window))
    grouped = spec.num_heads != spec.num_kv_heads
    windowed = spec.window is not None and spec.window < key.shape[2]
    if query.dtype == torch.bfloat16 and query.device.type == "cpu" and key.shape[2] <= _SHORT:
        return _attend_short(query, key, value, layout.mask(spec.window))
    if layout.causal_only and not windowed:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
    mask = layout.mask(spec.window)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=grouped)


def _attend_short(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1).to(value.dtype) @ value


def _attend_with_bias(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    grouped = query.shape[1] != key.shape[1]
    if query.dtype == torch.float32:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, enable_gqa=grouped)
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    scores = (query @ key.transpose(-1, -2)).float() / math.sqrt(query.shape[-1]) + bias  # (B, H, T, S)
    return scores.softmax(dim=-1).to(value.dtype) @ value
