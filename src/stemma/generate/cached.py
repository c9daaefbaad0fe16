"""What decoding does to a KV cache beyond appending: pick rows, cut the end off, make room.

All are exact for a causal model: what is stored of a token depends on the tokens before it alone.
"""

from collections.abc import Sequence

import torch

from stemma.model.cache import KVCache
from stemma.model.position.scaling import depends_on_length
from stemma.model.spec import DynamicScaling, RopeSpec, Spec
from stemma.model.transformer import Transformer


def new_cache(model: Transformer, batch_size: int, capacity: int) -> KVCache:
    """An empty cache in the model's dtype, on its device."""
    weight = model.embedding.weight
    return KVCache(model.spec, batch_size, capacity, dtype=weight.dtype, device=weight.device)


def pick_rows(cache: KVCache, rows: Sequence[int]) -> None:
    """Make row i of the cache what row `rows[i]` was; rows may be left out or repeated."""
    index = torch.tensor(list(rows), dtype=torch.long, device=cache.position_ids.device)
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[index], layer.values[index]
    cache.position_ids, cache.segment_ids = cache.position_ids[index], cache.segment_ids[index]


def cut(cache: KVCache, length: int) -> None:
    """Forget everything from token `length` on; for caches without padding."""
    assert 0 <= length <= cache.length
    assert cache.one_segment
    cache.length = length


def make_room(cache: KVCache, capacity: int) -> None:
    """Grow the cache to at least `capacity` tokens, by doubling, so that a growing conversation copies little."""
    if capacity <= cache.capacity:
        return
    capacity = max(capacity, 2 * cache.capacity)
    for layer in cache.layers:
        layer.keys, layer.values = (_longer(t, 2, capacity) for t in (layer.keys, layer.values))
    positions, segments = _longer(cache.position_ids, 1, capacity), _longer(cache.segment_ids, 1, capacity)
    segments[:, cache.capacity :] = 1
    cache.position_ids, cache.segment_ids, cache.capacity = positions, segments, capacity


def exact_up_to(spec: Spec) -> int | None:
    """The length up to which cached keys stay right and rows of a batch do not disturb each other; None: any length.

    Only dynamic NTK has such a limit: beyond its trained length the rotation of every key depends on the longest
    position of the call.
    """
    limits = [
        position.scaling.original_max_seq_len
        for position in (block.attention.position for block in spec.blocks)
        if isinstance(position, RopeSpec) and depends_on_length(position)
        if isinstance(position.scaling, DynamicScaling)
    ]
    return min(limits, default=None)


def _longer(tensor: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    shape = list(tensor.shape)
    shape[dim] = size
    result = tensor.new_empty(shape)
    result.narrow(dim, 0, tensor.shape[dim]).copy_(tensor)
    return result
