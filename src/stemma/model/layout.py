"""Who sees whom: masks and positions of one forward call, computed once and shared by all layers.

A key is visible when it lies in the query's segment and either comes no later than the query or inside the segment's
prefix. Attention reads segment ids, prefix lengths and positions, nothing else; padding is a segment of its own (id 0),
so no row of the mask is ever empty. Every mask is exact: -inf, not a large number.
"""

from dataclasses import dataclass, field

import torch

from stemma.model.position.alibi import alibi_bias
from stemma.model.position.rope import rope_table
from stemma.model.spec import RopeSpec


@dataclass
class Layout:
    """Queries are the last T of S keys.

    position_ids (B, T); key_positions (B, S); segment_ids (B, S) or None when each row is one segment without padding;
    prefix_lengths (B, S), for every token the number of tokens at the start of its segment that all of the segment
    sees, or None when all is causal. What is derived is kept, keyed by what it depends on.
    """

    position_ids: torch.Tensor
    key_positions: torch.Tensor
    segment_ids: torch.Tensor | None = None
    prefix_lengths: torch.Tensor | None = None
    _masks: dict[int | None, torch.Tensor | None] = field(
        default_factory=dict[int | None, torch.Tensor | None]
    )
    _biases: dict[tuple[int, int | None], torch.Tensor] = field(
        default_factory=dict[tuple[int, int | None], torch.Tensor]
    )
    _tables: dict[tuple[RopeSpec, int], tuple[torch.Tensor, torch.Tensor]] = field(
        default_factory=dict[tuple[RopeSpec, int], tuple[torch.Tensor, torch.Tensor]]
    )

    @property
    def causal_only(self) -> bool:
        """Whether the mask is the plain triangle over T = S."""
        square = self.position_ids.shape[1] == self.key_positions.shape[1]
        return square and self.segment_ids is None and self.prefix_lengths is None

    def mask(self, window: int | None = None) -> torch.Tensor | None:
        """(B or 1, 1, T, S) bool, True where the key is visible; None when every key is."""
        if window not in self._masks:
            self._masks[window] = self._visible(window)
        return self._masks[window]

    def bias(self, num_heads: int, window: int | None = None) -> torch.Tensor:
        """ALiBi's (B, num_heads, T, S) fp32 with -inf where a key is not visible."""
        key = (num_heads, window)
        if key not in self._biases:
            bias = alibi_bias(num_heads, self.position_ids, self.key_positions)
            mask = self.mask(window)
            self._biases[key] = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        return self._biases[key]

    def rope(self, spec: RopeSpec, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin for the queries, see `rope_table`."""
        key = (spec, head_dim)
        if key not in self._tables:
            self._tables[key] = rope_table(spec, head_dim, self.position_ids)
        return self._tables[key]

    def _visible(self, window: int | None) -> torch.Tensor | None:
        num_queries, num_keys = self.position_ids.shape[1], self.key_positions.shape[1]
        simple = self.segment_ids is None and self.prefix_lengths is None
        if simple and num_queries == 1 and (window is None or window >= num_keys):
            return None
        keys = torch.arange(num_keys, device=self.key_positions.device)
        queries = keys[num_keys - num_queries :, None]
        visible = (keys <= queries)[None]  # (1, T, S)
        if self.prefix_lengths is not None:
            index = keys - _segment_starts(
                self.segment_ids, self.key_positions
            )  # (B, S) index inside the segment
            visible = visible | (index < self.prefix_lengths)[:, None]
        if window is not None:
            visible = visible & (keys > queries - window)
        if self.segment_ids is not None:
            own = self.segment_ids[:, num_keys - num_queries :, None]
            visible = visible & (own == self.segment_ids[:, None])
        return visible[:, None]


def _segment_starts(segment_ids: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    """(B, S): for every token the index in its row at which its segment begins."""
    if segment_ids is None:
        return torch.zeros_like(like)
    keys = torch.arange(segment_ids.shape[1], device=segment_ids.device).expand_as(segment_ids)
    begins = torch.ones_like(segment_ids, dtype=torch.bool)
    begins[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    return torch.where(begins, keys, 0).cummax(dim=1).values
