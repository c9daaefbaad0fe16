"""GQA or MQA to more KV heads, up to MHA, by repeating each one. Exact: every query head keeps the keys it had.

The inverse of the pooling of arXiv 2305.13245. Costs cache and gains nothing until trained; it is how a model enters
a layout that knows MHA only, and the first half of a change between counts that do not divide each other.
"""

import dataclasses

import torch

from stemma.families.source import TensorSource
from stemma.model.spec import AttentionSpec, Spec
from stemma.upgrade.key_value_heads import map_heads, with_kv_heads
from stemma.upgrade.operation import Operation


def _choose(attention: AttentionSpec, wanted: int) -> int:
    have = attention.num_kv_heads
    if have % wanted == 0:
        return have
    return wanted if wanted % have == 0 else attention.num_heads


def _toward(before: Spec, target: Spec) -> Spec:
    return with_kv_heads(before, target, _choose)


def _exact_forms(spec: Spec) -> tuple[Spec, ...]:
    full = tuple(
        dataclasses.replace(
            block, attention=dataclasses.replace(block.attention, num_kv_heads=block.attention.num_heads)
        )
        for block in spec.blocks
    )
    return (dataclasses.replace(spec, blocks=full),) if full != spec.blocks else ()


def _repeat(heads: torch.Tensor, count: int) -> torch.Tensor:
    return heads.repeat_interleave(count // heads.shape[0], dim=0)


def _convert(source: TensorSource, before: Spec, after: Spec) -> TensorSource:
    return map_heads(source, before, after, _repeat, None)


EXPAND_HEADS = Operation(
    name="expand_heads",
    does="repeats every key and value head for the query heads that shared it",
    exactness="exact",
    toward=_toward,
    convert=_convert,
    exact_forms=_exact_forms,
    literature="arXiv 2305.13245 (the inverse of its pooling)",
)
