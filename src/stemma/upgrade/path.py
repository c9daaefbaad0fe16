"""The path between two Specs: their difference as a list of operations, or one sentence why there is none.

Every operation is asked in a fixed order to take the Spec towards the target; what is left when all have been asked is
a difference no operation covers.
"""

import re

from stemma.errors import StemmaError
from stemma.model.spec import Change, Spec, difference
from stemma.upgrade.expand_heads import EXPAND_HEADS
from stemma.upgrade.fold_head import FOLD_HEAD
from stemma.upgrade.group_heads import GROUP_HEADS
from stemma.upgrade.operation import Operation, Step
from stemma.upgrade.restate import (
    LENGTH_DEVICES,
    MAX_SEQ_LEN,
    MAX_Z,
    NORM_EPS,
    ROPE_BASE,
    ROPE_SCALING,
    WINDOW,
)
from stemma.upgrade.untie_head import UNTIE_HEAD

OPERATIONS: tuple[Operation, ...] = (
    UNTIE_HEAD,
    FOLD_HEAD,
    MAX_Z,
    EXPAND_HEADS,
    GROUP_HEADS,
    LENGTH_DEVICES,
    MAX_SEQ_LEN,
    ROPE_BASE,
    ROPE_SCALING,
    WINDOW,
    NORM_EPS,
)

_REASONS: tuple[tuple[str, str], ...] = (
    (r"position\.kind$", "no exact map leads from one position scheme to another"),
    (r"position\.(fraction|interleaved)$", "no operation changes which dimensions of a head are rotated"),
    (r"head\.normalized$", "a plain head's row lengths would be lost in a NormHead"),
    (r"head\.tie_embeddings$", "tying an embedding and a head that differ is no exact map"),
    (r"norm\.kind$", "no operation changes the kind of norm"),
    (r"(num_layers|hidden_size|intermediate_size|num_heads|head_dim)$", "no operation changes the size"),
    (r"vocab_size$", "no operation changes the vocabulary"),
    (r"activation$|feed_forward\.kind$", "no operation changes the feed-forward layer"),
    (r"bias$", "no operation adds or removes biases"),
    (r"(residual|residual_scale)$", "no operation changes how the residual runs"),
    (r"(half_precision|before_scaling|rounded)$", "no operation changes how positions are rounded or scaled"),
    (
        r"^(inputs|encoder)\b|cross_attention",
        "no operation changes what stands before the first layer or an encoder",
    ),
    (r"qk_norm|\.scaled$|causal$", "no operation changes how scores are formed"),
)


def path(
    before: Spec, after: Spec, *, operations: tuple[Operation, ...] = OPERATIONS, hint: str = ""
) -> list[Step]:
    """The steps that lead from one Spec to the other, in the order they are carried out; empty when they are equal.

    Raises StemmaError naming the first field no operation covers; `hint` ends that sentence.
    """
    steps: list[Step] = []
    current = before
    for operation in operations:
        reached = operation.toward(current, after)
        if difference(current, reached):
            steps.append(Step(operation=operation, before=current, after=reached))
            current = reached
    left = difference(current, after)
    if left:
        more = f" (and {len(left) - 1} more differences)" if len(left) > 1 else ""
        raise StemmaError(f"{refusal(left[0])}{more}{hint or '; choose a target that keeps it'}")
    return steps


def refusal(change: Change) -> str:
    """Why one difference cannot be carried out: the field, its two values, the reason."""
    reason = next((text for pattern, text in _REASONS if re.search(pattern, change.path)), None)
    return f"{change}: {reason or 'no operation changes this'}"


def exactly_reachable(spec: Spec, *, operations: tuple[Operation, ...] = OPERATIONS) -> list[Spec]:
    """Every Spec that operations without loss reach from `spec`, nearest first and itself at the head."""
    found = [spec]
    for known in found:
        for operation in operations:
            found += [form for form in operation.exact_forms(known) if form not in found]
    return found
