"""The key and value projections of a source, head by head: what grouping and expanding of KV heads both work on.

Query head h reads KV head h // (H / K), so KV heads that are neighbours serve neighbouring query heads, and pooling or
repeating neighbours keeps every query head with the right keys. Keys are changed before rotation, which is valid
because the rotation is linear and the same for every head.
"""

import dataclasses
from collections.abc import Callable

import torch

from stemma.families.source import TensorInfo, TensorSource
from stemma.model.spec import AttentionSpec, BlockSpec, Spec
from stemma.upgrade.operation import aligned_blocks
from stemma.upgrade.view import Rewritten, RewrittenSource

HeadMap = Callable[[torch.Tensor, int], torch.Tensor]


def with_kv_heads(before: Spec, target: Spec, choose: Callable[[AttentionSpec, int], int]) -> Spec:
    """`before` with the KV heads that `choose(attention, wanted)` gives where only their number may differ."""
    pairs = aligned_blocks(before, target)
    blocks = tuple(_chosen(mine, wanted, choose) for mine, wanted in pairs)
    if blocks == tuple(mine for mine, _ in pairs):
        return before
    return dataclasses.replace(before, blocks=blocks)


def _chosen(mine: BlockSpec, wanted: BlockSpec, choose: Callable[[AttentionSpec, int], int]) -> BlockSpec:
    if mine.attention.num_heads != wanted.attention.num_heads:
        return mine
    count = choose(mine.attention, wanted.attention.num_kv_heads)
    return dataclasses.replace(mine, attention=dataclasses.replace(mine.attention, num_kv_heads=count))


def changed_layers(before: Spec, after: Spec) -> list[tuple[int, int, int]]:
    """(layer, KV heads before, KV heads after) of the layers whose number changes."""
    pairs = zip(before.layers, after.layers, strict=True)
    counts = [(i, a.attention.num_kv_heads, b.attention.num_kv_heads) for i, (a, b) in enumerate(pairs)]
    return [(layer, old, new) for layer, old, new in counts if old != new]


def projections(source: TensorSource, layer: int) -> list[str]:
    """The key and value tensors of a layer that `source` holds, biases included."""
    known = frozenset(source.names())
    names = [f"layers.{layer}.attention.{p}.{k}" for p in ("key", "value") for k in ("weight", "bias")]
    return [name for name in names if name in known]


def map_heads(
    source: TensorSource, before: Spec, after: Spec, convert: HeadMap, dtype: torch.dtype | None
) -> TensorSource:
    """`source` with `convert(heads, new count)` applied to (K, D, ...) heads; `dtype` None keeps the stored one."""
    rewritten: dict[str, Rewritten] = {}
    for layer, old, new in changed_layers(before, after):
        for name in projections(source, layer):
            info = source.info(name)
            shape = (info.shape[0] // old * new, *info.shape[1:])

            def read(name: str = name, old: int = old, new: int = new) -> torch.Tensor:
                tensor = source.read(name)
                heads = tensor.reshape(old, -1, *tensor.shape[1:])  # (K, D, ...)
                return convert(heads, new).flatten(0, 1)

            rewritten[name] = Rewritten(TensorInfo(shape, dtype or info.dtype), read)
    return RewrittenSource(source, rewritten)
