"""NormHead to a plain head: the stored rows become W_v / |W_v|, so h . W' is the same product without a norm.

Exact by construction (arXiv 2309.10305, section 2.4 defines the head; its released code overwrites the rows the same
way on its first evaluation). The way back is not a map: a plain head's row lengths carry information. A tied
NormHead is untied first, for its rows are also the embedding's.
"""

import dataclasses

import torch
from torch.nn import functional

from stemma.families.source import TensorInfo, TensorSource
from stemma.model.spec import Spec
from stemma.upgrade.operation import Operation
from stemma.upgrade.view import Rewritten, RewrittenSource

_HEAD = "head.weight"


def _folded(spec: Spec) -> Spec:
    return dataclasses.replace(spec, head=dataclasses.replace(spec.head, normalized=False))


def _toward(before: Spec, target: Spec) -> Spec:
    foldable = before.head.normalized and not before.head.tie_embeddings
    return _folded(before) if foldable and not target.head.normalized else before


def _exact_forms(spec: Spec) -> tuple[Spec, ...]:
    return (_folded(spec),) if spec.head.normalized and not spec.head.tie_embeddings else ()


def _convert(source: TensorSource, before: Spec, after: Spec) -> TensorSource:
    def read() -> torch.Tensor:
        return functional.normalize(source.read(_HEAD).float(), dim=-1)

    info = TensorInfo(source.info(_HEAD).shape, torch.float32)
    return RewrittenSource(source, {_HEAD: Rewritten(info, read)})


FOLD_HEAD = Operation(
    name="fold_head",
    does="divides every row of the output matrix by its length and drops the norm",
    exactness="exact",
    toward=_toward,
    convert=_convert,
    exact_forms=_exact_forms,
    literature="arXiv 2309.10305, section 2.4",
)
