"""A tied head gets its own copy of the embedding matrix. Exact: the same numbers, stored twice.

Tying two matrices that differ is no exact map and is not offered.
"""

import dataclasses

from stemma.families.source import TensorSource
from stemma.model.spec import Spec
from stemma.upgrade.operation import Operation
from stemma.upgrade.view import Rewritten, RewrittenSource

_EMBEDDING, _HEAD = "embedding.weight", "head.weight"


def _untied(spec: Spec) -> Spec:
    return dataclasses.replace(spec, head=dataclasses.replace(spec.head, tie_embeddings=False))


def _toward(before: Spec, target: Spec) -> Spec:
    return _untied(before) if before.head.tie_embeddings and not target.head.tie_embeddings else before


def _exact_forms(spec: Spec) -> tuple[Spec, ...]:
    return (_untied(spec),) if spec.head.tie_embeddings else ()


def _convert(source: TensorSource, before: Spec, after: Spec) -> TensorSource:
    copy = Rewritten(source.info(_EMBEDDING), lambda: source.read(_EMBEDDING))
    return RewrittenSource(source, {_HEAD: copy})


UNTIE_HEAD = Operation(
    name="untie_head",
    does="gives the head its own copy of the embedding matrix",
    exactness="exact",
    toward=_toward,
    convert=_convert,
    exact_forms=_exact_forms,
    literature="arXiv 1608.05859 (tied embeddings); exact by construction",
)
