"""Who sees whom: masks and positions of one forward call of one stack, computed once and shared by its layers.

A key is visible when it lies in the query's segment and, where attention is causal, either comes no later than the query
or lies inside the segment's prefix. Attention reads segment ids, prefix lengths and positions, nothing else; padding is a
segment of its own (id 0), so no row of the mask is ever empty. Every mask is exact: -inf, not a large number.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from stemma.model.position.alibi import alibi_bias
from stemma.model.position.rope import rope_table
from stemma.model.position.rope_2d import Tables, rope_2d_tables
from stemma.model.spec import AlibiSpec, AttentionSpec, Rope2dSpec, RopeSpec


@dataclass
class Memory:
    """What a decoder reads from its encoder: states (B, S, C) and the segments of the source (B, S), None for all ones."""

    states: torch.Tensor
    segment_ids: torch.Tensor | None = None


@dataclass
class Layout:
    """Queries are the last T of S keys.

    position_ids (B, T); key_positions (B, S); segment_ids (B, S) or None when each row is one segment without padding;
    prefix_lengths (B, S), for every token the number of tokens at the start of its segment that all of the segment
    sees, or None when all is causal; block_positions (B, T), the second row of two-dimensional positions; lengths (B,),
    tokens of each row's prompt; relative_bias (B, H, T, S), what a relative position table gives. What is derived is
    kept, keyed by what it depends on.
    """

    position_ids: torch.Tensor
    key_positions: torch.Tensor
    segment_ids: torch.Tensor | None = None
    prefix_lengths: torch.Tensor | None = None
    block_positions: torch.Tensor | None = None
    lengths: torch.Tensor | None = None
    memory: Memory | None = None
    relative_bias: torch.Tensor | None = None
    _kept: dict[Any, Any] = field(default_factory=dict[Any, Any])

    def is_triangle(self, spec: AttentionSpec) -> bool:
        """Whether the mask is the plain causal triangle over T = S."""
        square = self.position_ids.shape[1] == self.key_positions.shape[1]
        windowed = spec.window is not None and spec.window < self.key_positions.shape[1]
        return (
            spec.causal
            and square
            and not windowed
            and self.segment_ids is None
            and self.prefix_lengths is None
        )

    def mask(self, window: int | None = None, causal: bool = True) -> torch.Tensor | None:
        """(B or 1, 1, T, S) bool, True where the key is visible; None when every key is."""
        key = ("mask", window, causal)
        if key not in self._kept:
            self._kept[key] = self._visible(window) if causal else self._same_segment()
        return self._kept[key]

    def bias(self, spec: AttentionSpec) -> torch.Tensor:
        """The position bias on the scores, (B, num_heads, T, S) fp32, with -inf where a key is not visible."""
        key = ("bias", spec)
        if key not in self._kept:
            if isinstance(spec.position, AlibiSpec):
                bias = alibi_bias(
                    spec.position, spec.num_heads, spec.head_dim, self.position_ids, self.key_positions
                )
            else:
                assert self.relative_bias is not None, "a stack with relative positions gives their bias"
                bias = self.relative_bias
            mask = self.mask(spec.window, spec.causal)
            self._kept[key] = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        return self._kept[key]

    def rope(self, spec: RopeSpec, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin for the queries, see `rope_table`."""
        key = (spec, head_dim)
        if key not in self._kept:
            self._kept[key] = rope_table(spec, head_dim, self.position_ids, self.lengths)
        return self._kept[key]

    def rope_2d(self, spec: Rope2dSpec, head_dim: int) -> Tables:
        """cos and sin of both rows of positions, see `rope_2d_tables`."""
        key = (spec, head_dim)
        if key not in self._kept:
            blocks = self.block_positions
            blocks = torch.zeros_like(self.position_ids) if blocks is None else blocks
            self._kept[key] = rope_2d_tables(spec, head_dim, self.position_ids, blocks)
        return self._kept[key]

    def query_growth(self, trained: int) -> torch.Tensor | None:
        """LogN: log(i) / log(trained) for queries at place i > trained, else 1, (B, T, 1, 1) fp32; None when all are 1."""
        key = ("logn", trained)
        if key not in self._kept:
            places = self.position_ids.float() + 1
            growth = (places.log() / math.log(trained)).clamp(min=1.0)[:, :, None, None]
            self._kept[key] = growth if bool((places > trained).any()) else None
        return self._kept[key]

    def memory_mask(self) -> torch.Tensor | None:
        """(B, 1, T or 1, S) bool for the keys of the memory: those of the query's own segment; None when all are visible."""
        assert self.memory is not None, "cross-attention without an encoder's states"
        source = self.memory.segment_ids
        if source is None:
            return None
        if self.segment_ids is None:
            return (source != 0)[:, None, None]
        own = self.segment_ids[:, -self.position_ids.shape[1] :, None]
        # Padding among the queries sees all of the memory: its results are not used, and no row may be empty.
        return ((own == source[:, None]) | (own == 0))[:, None]

    def _same_segment(self) -> torch.Tensor | None:
        if self.segment_ids is None:
            return None
        own = self.segment_ids[:, -self.position_ids.shape[1] :, None]
        return (own == self.segment_ids[:, None])[:, None]

    def _visible(self, window: int | None) -> torch.Tensor | None:
        num_queries, num_keys = self.position_ids.shape[1], self.key_positions.shape[1]
        simple = self.segment_ids is None and self.prefix_lengths is None
        if simple and num_queries == 1 and (window is None or window >= num_keys):
            return None
        keys = torch.arange(num_keys, device=self.key_positions.device)
        queries = keys[num_keys - num_queries :, None]
        visible = (keys <= queries)[None]  # (1, T, S)
        if self.prefix_lengths is not None:
            index = _index_in_segment(self.segment_ids, self.key_positions)  # (B, S)
            visible = visible | (index < self.prefix_lengths)[:, None]
        if window is not None:
            visible = visible & (keys > queries - window)
        same = self._same_segment()
        return visible[:, None] if same is None else visible[:, None] & same


def _index_in_segment(segment_ids: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    """(B, S): for every token how many of its segment come before it; padding inside a segment is not counted."""
    places = torch.arange(like.shape[1], device=like.device).expand_as(like)
    if segment_ids is None:
        return places
    real = segment_ids != 0
    counted = real.long().cumsum(dim=1) - 1  # real tokens before this one
    last_real = torch.where(real, places, -1).cummax(dim=1).values
    before = torch.cat((torch.full_like(last_real[:, :1], -1), last_real[:, :-1]), dim=1)
    previous = torch.where(before >= 0, segment_ids.gather(1, before.clamp(min=0)), 0)
    begins = real & (previous != segment_ids)
    return counted - torch.where(begins, counted, 0).cummax(dim=1).values
