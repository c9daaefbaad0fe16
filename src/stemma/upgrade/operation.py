"""An upgrade operation: what it does to a Spec and to weights, and how exact it is.

An operation is a table of facts and three functions. `toward(before, target)` takes a Spec as far towards the target
as this operation can and returns it unchanged when it has nothing to do; `convert` gives the weights of the new Spec
as a lazy source; `holds` looks at the weights to see whether the condition of an `exact_if` is met. The path between
two Specs is found by asking every operation in turn, so a new operation is one file and one line in `path.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stemma.families.source import TensorSource
from stemma.model.spec import BlockSpec, Change, Spec, difference

Exactness = Literal["exact", "exact_if", "approximate"]


def keep_weights(source: TensorSource, before: Spec, after: Spec) -> TensorSource:
    """The conversion of an operation that changes no weight."""
    return source


def invent_nothing(before: Spec, after: Spec) -> tuple[str, ...]:
    """The tensors with values made without any input tensor: none."""
    return ()


def no_exact_forms(spec: Spec) -> tuple[Spec, ...]:
    """The answer of an operation that has no exact direction of its own."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One kind of upgrade.

    `does` completes "it ..."; `condition` says under what an `exact_if` is exact; `healing` says what training gives
    back what an approximate one loses; `exact_forms` are the Specs this operation reaches from one without any loss
    (how a family is found that can hold a model). Computed tensors come out of `convert` in float32, copied ones in
    the dtype they have; rounding to the stored dtype is the writer's and is measured apart.
    """

    name: str
    does: str
    exactness: Exactness
    toward: Callable[[Spec, Spec], Spec]
    literature: str
    condition: str = ""
    healing: str = "none"
    convert: Callable[[TensorSource, Spec, Spec], TensorSource] = keep_weights
    holds: Callable[[TensorSource, Spec, Spec], bool] | None = None
    invents: Callable[[Spec, Spec], tuple[str, ...]] = invent_nothing
    exact_forms: Callable[[Spec], tuple[Spec, ...]] = no_exact_forms


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation of a path, between the Specs it is applied to and yields."""

    operation: Operation
    before: Spec
    after: Spec

    @property
    def changes(self) -> list[Change]:
        """What differs between the two Specs."""
        return difference(self.before, self.after)

    def convert(self, source: TensorSource) -> TensorSource:
        """The weights of `after`, read through `source`, which holds those of `before`."""
        return self.operation.convert(source, self.before, self.after)

    def exact_on(self, source: TensorSource) -> bool:
        """Whether this step claims to be exact on these weights: the condition is looked up, not assumed."""
        if self.operation.exactness == "exact_if":
            assert self.operation.holds is not None, f"{self.operation.name} states a condition and no test"
            return self.operation.holds(source, self.before, self.after)
        return self.operation.exactness == "exact"


def aligned_blocks(before: Spec, target: Spec) -> list[tuple[BlockSpec, BlockSpec]]:
    """The two patterns side by side, layer by layer when their lengths differ; empty when the depths differ."""
    if before.num_layers != target.num_layers:
        return []
    if len(before.blocks) == len(target.blocks):
        return list(zip(before.blocks, target.blocks, strict=True))
    return list(zip(before.layers, target.layers, strict=True))
