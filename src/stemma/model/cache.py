"""KV cache: keys and values of all layers, allocated once for `capacity` tokens and filled from the left.

Keys are stored after rotation. Positions and segment ids of the cached tokens are kept beside them, because masks and
ALiBi need them; so are the prompt's lengths, which a stepped rotary base depends on, and what a decoder reads of its
encoder.
"""

import torch

from stemma.errors import StemmaError
from stemma.model.layout import Memory
from stemma.model.spec import Spec


class LayerCache:
    """Keys and values of one layer, each (B, K, capacity, D); `memory` holds those of cross-attention once computed."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.keys, self.values = keys, values
        self.memory: tuple[torch.Tensor, torch.Tensor] | None = None

    def append(self, start: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store (B, K, T, D) at `start` and return everything up to its end, (B, K, start + T, D)."""
        end = start + key.shape[2]
        self.keys[:, :, start:end] = key
        self.values[:, :, start:end] = value
        return self.keys[:, :, :end], self.values[:, :, :end]


class KVCache:
    """The cache of one batch; `length` tokens are filled. Bytes: capacity * B * spec.kv_bytes_per_token(dtype)."""

    def __init__(
        self,
        spec: Spec,
        batch_size: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        memory: Memory | None = None,
    ) -> None:
        def empty(layer: int) -> torch.Tensor:
            attention = spec.block(layer).attention
            shape = (batch_size, attention.num_kv_heads, capacity, attention.head_dim)
            return torch.empty(shape, dtype=dtype, device=device)

        self.layers = [LayerCache(empty(i), empty(i)) for i in range(spec.num_layers)]
        self.position_ids = torch.zeros(batch_size, capacity, dtype=torch.long, device=device)
        self.segment_ids = torch.ones(batch_size, capacity, dtype=torch.long, device=device)
        self.prompt_lengths = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.memory = memory
        self.one_segment = True
        self.capacity, self.length = capacity, 0

    def extend(self, position_ids: torch.Tensor, segment_ids: torch.Tensor | None) -> int:
        """Make room for T more tokens with these (B, T) positions and segments; returns where they begin."""
        start, self.length = self.length, self.length + position_ids.shape[1]
        if self.length > self.capacity:
            raise StemmaError(f"the KV cache holds {self.capacity} tokens and {self.length} are needed")
        self.position_ids[:, start : self.length] = position_ids
        if segment_ids is not None:
            self.segment_ids[:, start : self.length] = segment_ids
            self.one_segment = self.one_segment and bool((segment_ids == 1).all())
        if start == 0:
            self.prompt_lengths = row_lengths(position_ids, segment_ids)
        return start


def row_lengths(position_ids: torch.Tensor, segment_ids: torch.Tensor | None) -> torch.Tensor:
    """(B,) tokens of each row, padding not counted."""
    if segment_ids is None:
        return torch.full_like(position_ids[:, 0], position_ids.shape[1])
    return (segment_ids != 0).sum(dim=1)
