"""What decoding does to a KV cache beyond appending: pick rows, cut the end off, make room.

All are exact for a causal model: what is stored of a token depends on the tokens before it alone.
"""

from collections.abc import Sequence

import torch

from stemma.model.cache import KVCache
from stemma.model.layout import Memory
from stemma.model.position.scaling import depends_on_length
from stemma.model.spec import DynamicScaling, RopeSpec, Spec, SteppedScaling
from stemma.model.transformer import Transformer


def new_cache(model: Transformer, batch_size: int, capacity: int, memory: Memory | None = None) -> KVCache:
    """An empty cache in the model's dtype, on its device."""
    weight = model.embedding.weight
    return KVCache(model.spec, batch_size, capacity, dtype=weight.dtype, device=weight.device, memory=memory)


def pick_rows(cache: KVCache, rows: Sequence[int]) -> None:
    """Make row i of the cache what row `rows[i]` was; rows may be left out or repeated."""
    index = torch.tensor(list(rows), dtype=torch.long, device=cache.position_ids.device)
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[index], layer.values[index]
        if layer.memory is not None:
            layer.memory = (layer.memory[0][index], layer.memory[1][index])
    cache.position_ids, cache.segment_ids = cache.position_ids[index], cache.segment_ids[index]
    cache.prompt_lengths = cache.prompt_lengths[index]
    if cache.memory is not None:
        segments = cache.memory.segment_ids
        cache.memory = Memory(cache.memory.states[index], None if segments is None else segments[index])


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

    Only the two forms of dynamic NTK have such a limit: beyond the trained length the rotation of every key depends on
    the longest position of the call, or on the length of the prompt.
    """
    limits = [
        position.scaling.original_max_seq_len
        for position in (block.attention.position for block in spec.blocks)
        if isinstance(position, RopeSpec) and depends_on_length(position)
        if isinstance(position.scaling, DynamicScaling | SteppedScaling)
    ]
    return min(limits, default=None)


def _longer(tensor: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    shape = list(tensor.shape)
    shape[dim] = size
    result = tensor.new_empty(shape)
    result.narrow(dim, 0, tensor.shape[dim]).copy_(tensor)
    return result
