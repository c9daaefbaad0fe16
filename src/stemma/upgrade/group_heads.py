"""MHA or GQA to fewer KV heads: the mean of the key and value projections of each group (arXiv 2305.13245, section 2.1).

Exact when the heads of every group are equal, else approximate; the paper finds the mean better than the first head,
that better than random, and 5% of the original training compute enough to recover. The mean is taken in float64, so
that equal heads give back their own bits.
"""

import torch

from stemma.families.source import TensorSource
from stemma.model.spec import AttentionSpec, Spec
from stemma.upgrade.key_value_heads import changed_layers, map_heads, projections, with_kv_heads
from stemma.upgrade.operation import Operation


def _choose(attention: AttentionSpec, wanted: int) -> int:
    return wanted if attention.num_kv_heads % wanted == 0 else attention.num_kv_heads


def _toward(before: Spec, target: Spec) -> Spec:
    return with_kv_heads(before, target, _choose)


def _pool(heads: torch.Tensor, count: int) -> torch.Tensor:
    groups = heads.reshape(count, -1, *heads.shape[1:])  # (K', group, D, ...)
    return groups.double().mean(dim=1).float()


def _convert(source: TensorSource, before: Spec, after: Spec) -> TensorSource:
    return map_heads(source, before, after, _pool, torch.float32)


def _holds(source: TensorSource, before: Spec, after: Spec) -> bool:
    """Whether every group consists of equal heads, read one tensor at a time."""
    for layer, old, new in changed_layers(before, after):
        for name in projections(source, layer):
            tensor = source.read(name)
            groups = tensor.reshape(new, old // new, -1)  # (K', group, D * ...)
            if not bool((groups == groups[:, :1]).all()):
                return False
    return True


GROUP_HEADS = Operation(
    name="group_heads",
    does="takes the mean of the key and value projections of each group of heads",
    exactness="exact_if",
    condition="the key and value heads of every group are equal",
    toward=_toward,
    convert=_convert,
    holds=_holds,
    healing="continue the original training for about 5% of its compute; one KV head needs it most",
    literature="arXiv 2305.13245, sections 2.1 and 3.3",
)
