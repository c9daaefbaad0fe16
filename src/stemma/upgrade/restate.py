"""Operations that change a number of the Spec and no weight.

What acts beyond the trained length alone changes nothing before it. Trained length and max-z weight are statements about training which no forward pass reads: exact. Base, length
extension, window and norm epsilon are read by every forward pass: the same weights compute another function, which
training has to meet (arXiv 2306.15595 about 1000 steps; arXiv 2309.16039 for a larger base).
"""

import dataclasses
from collections.abc import Callable

from stemma.families.source import TensorSource
from stemma.model.spec import BlockSpec, RopeSpec, Spec, SteppedScaling
from stemma.upgrade.operation import Operation, aligned_blocks

BlockChange = Callable[[BlockSpec, BlockSpec], BlockSpec]


def _each_block(change: BlockChange) -> Callable[[Spec, Spec], Spec]:
    def toward(before: Spec, target: Spec) -> Spec:
        pairs = aligned_blocks(before, target)
        blocks = tuple(change(mine, wanted) for mine, wanted in pairs)
        unchanged = all(block == mine for block, (mine, _) in zip(blocks, pairs, strict=True))
        return before if unchanged else dataclasses.replace(before, blocks=blocks)

    return toward


def _same_max_z(before: Spec, target: Spec) -> Spec:
    head = dataclasses.replace(before.head, max_z_weight=target.head.max_z_weight)
    return dataclasses.replace(before, head=head)


def _without_max_z(spec: Spec) -> tuple[Spec, ...]:
    if spec.head.max_z_weight == 0.0:
        return ()
    return (dataclasses.replace(spec, head=dataclasses.replace(spec.head, max_z_weight=0.0)),)


def _same_max_seq_len(before: Spec, target: Spec) -> Spec:
    return dataclasses.replace(before, max_seq_len=target.max_seq_len)


def _same_rope(field: str) -> BlockChange:
    def change(mine: BlockSpec, wanted: BlockSpec) -> BlockSpec:
        old, new = mine.attention.position, wanted.attention.position
        if not isinstance(old, RopeSpec) or not isinstance(new, RopeSpec):
            return mine
        position = dataclasses.replace(old, **{field: getattr(new, field)})
        return dataclasses.replace(mine, attention=dataclasses.replace(mine.attention, position=position))

    return change


def _without_extension(mine: BlockSpec, wanted: BlockSpec) -> BlockSpec:
    """Qwen 1's two devices for long text, dropped where the target has neither."""
    attention, target = mine.attention, wanted.attention
    position = attention.position
    if (
        isinstance(position, RopeSpec)
        and isinstance(target.position, RopeSpec)
        and target.position.scaling is None
    ):
        stepped = isinstance(position.scaling, SteppedScaling)
        position = dataclasses.replace(position, scaling=None) if stepped else position
    logn = None if target.logn is None else attention.logn
    return dataclasses.replace(mine, attention=dataclasses.replace(attention, position=position, logn=logn))


def _within_length(source: TensorSource, before: Spec, after: Spec) -> bool:
    """The condition is on the texts, not on the weights; windows are never longer than the trained length."""
    return True


def _same_window(mine: BlockSpec, wanted: BlockSpec) -> BlockSpec:
    attention = dataclasses.replace(mine.attention, window=wanted.attention.window)
    return dataclasses.replace(mine, attention=attention)


def _same_eps(before: Spec, target: Spec) -> Spec:
    def change(mine: BlockSpec, wanted: BlockSpec) -> BlockSpec:
        return dataclasses.replace(mine, norm=dataclasses.replace(mine.norm, eps=wanted.norm.eps))

    final = dataclasses.replace(before.final_norm, eps=target.final_norm.eps)
    return dataclasses.replace(_each_block(change)(before, target), final_norm=final)


MAX_Z = Operation(
    name="max_z",
    does="restates the weight of the max-z loss, which only training reads",
    exactness="exact",
    toward=_same_max_z,
    exact_forms=_without_max_z,
    literature="arXiv 2309.10305, eq. 1",
)
MAX_SEQ_LEN = Operation(
    name="max_seq_len",
    does="restates the trained length, which no forward pass reads",
    exactness="exact",
    toward=_same_max_seq_len,
    healing="none for the function; a longer length is only a claim until trained at it",
    literature="exact by construction",
)
LENGTH_DEVICES = Operation(
    name="length_devices",
    does="drops the rotary base that grows in steps and LogN, which act beyond the trained length alone",
    exactness="exact_if",
    condition="no text is longer than the trained length",
    holds=_within_length,
    toward=_each_block(_without_extension),
    literature="arXiv 2309.16609, section 2.3",
)
ROPE_BASE = Operation(
    name="rope_base",
    does="changes the base of the rotary frequencies",
    exactness="approximate",
    toward=_each_block(_same_rope("theta")),
    healing="continue training at the new length",
    literature="arXiv 2309.16039, section 2.1",
)
ROPE_SCALING = Operation(
    name="rope_scaling",
    does="changes the length extension of the rotary frequencies",
    exactness="approximate",
    toward=_each_block(_same_rope("scaling")),
    healing="continue training at the new length, about 1000 steps for interpolation",
    literature="arXiv 2306.15595, arXiv 2309.00071",
)
WINDOW = Operation(
    name="window",
    does="changes how many keys a query sees",
    exactness="approximate",
    toward=_each_block(_same_window),
    healing="continue training at a length beyond the window",
    literature="arXiv 2310.06825, section 2",
)
NORM_EPS = Operation(
    name="norm_eps",
    does="changes the epsilon of the norms",
    exactness="approximate",
    toward=_same_eps,
    healing="a short continuation of training",
    literature="arXiv 1910.07467, eq. 4",
)
