"""Rules between published tensor names and ours, as data that runs in both directions.

A rule pairs templates: `{layer}` (any placeholder but `{name}`) stands for a number, `{name}` for anything, and a
template without a suffix covers `.weight` and `.bias` alike. Its form says what happens to the numbers:

Same         one tensor, another name
Fused        ours one after another along the rows: [query; key; value], [gate; up]
Grouped      rows interleaved per kv head: for each group its query heads, then key, then value
Transposed   the published matrix is stored [in, out]; wraps another form
Permuted     rotary pairs (2j, 2j + 1) in the file, (j, j + d/2) here
Row          a vector stored as a matrix of one row

A form is two inverse functions. What of ours a Spec has decides which rules act: a rule for biases or for an own head
is silent where there is none.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from stemma.families.source import Shape
from stemma.model.spec import BlockSpec

Tensors = list[torch.Tensor]
_SUFFIXES = r"(?P<suffix>|\.weight|\.bias)"


class Form(Protocol):
    """Two inverse functions on the tensors of one rule; `block` is the layer's Spec, None outside the layers."""

    def to_ours(self, theirs: Tensors, shapes: Sequence[Shape], block: BlockSpec | None) -> Tensors: ...

    def to_theirs(self, ours: Tensors, block: BlockSpec | None) -> Tensors: ...


@dataclass(frozen=True)
class Same:
    """As it is."""

    def to_ours(self, theirs: Tensors, shapes: Sequence[Shape], block: BlockSpec | None) -> Tensors:
        return theirs

    def to_theirs(self, ours: Tensors, block: BlockSpec | None) -> Tensors:
        return ours


@dataclass(frozen=True)
class Fused:
    """Ours stacked along the rows."""

    def to_ours(self, theirs: Tensors, shapes: Sequence[Shape], block: BlockSpec | None) -> Tensors:
        return _split(theirs[0], [shape[0] for shape in shapes], dim=0)

    def to_theirs(self, ours: Tensors, block: BlockSpec | None) -> Tensors:
        return [torch.cat(ours)]


@dataclass(frozen=True)
class Grouped:
    """Rows interleaved per kv head (BLOOM, Falcon, ChatGLM-6B): with as many kv heads as heads, per head."""

    def to_ours(self, theirs: Tensors, shapes: Sequence[Shape], block: BlockSpec | None) -> Tensors:
        assert block is not None, "a grouped rule is a rule of attention"
        groups = block.attention.num_kv_heads
        rows = _grouped(theirs[0], groups)  # (groups, rows per group, ...)
        parts = _split(rows, [shape[0] // groups for shape in shapes], dim=1)
        return [part.flatten(0, 1) for part in parts]

    def to_theirs(self, ours: Tensors, block: BlockSpec | None) -> Tensors:
        assert block is not None, "a grouped rule is a rule of attention"
        groups = block.attention.num_kv_heads
        return [torch.cat([_grouped(part, groups) for part in ours], dim=1).flatten(0, 1)]


@dataclass(frozen=True)
class Transposed:
    """Matrices stored [in, out] (GPT-2); vectors stay."""

    form: Form = Same()

    def to_ours(self, theirs: Tensors, shapes: Sequence[Shape], block: BlockSpec | None) -> Tensors:
        return self.form.to_ours([_transpose(t) for t in theirs], shapes, block)

    def to_theirs(self, ours: Tensors, block: BlockSpec | None) -> Tensors:
        return [_transpose(t) for t in self.form.to_theirs(ours, block)]


@dataclass(frozen=True)
class Permuted:
    """Query or key rows whose rotary pairs lie side by side in the file and half a head apart here."""

    def to_ours(self, theirs: Tensors, shapes: Sequence[Shape], block: BlockSpec | None) -> Tensors:
        assert block is not None, "a permuted rule is a rule of attention"
        half = block.attention.head_dim // 2
        return [t.reshape(-1, half, 2, *t.shape[1:]).transpose(1, 2).reshape(t.shape) for t in theirs]

    def to_theirs(self, ours: Tensors, block: BlockSpec | None) -> Tensors:
        assert block is not None, "a permuted rule is a rule of attention"
        half = block.attention.head_dim // 2
        return [t.reshape(-1, 2, half, *t.shape[1:]).transpose(1, 2).reshape(t.shape) for t in ours]


@dataclass(frozen=True)
class Row:
    """A vector the file holds as [1, n] (BART's logits bias)."""

    def to_ours(self, theirs: Tensors, shapes: Sequence[Shape], block: BlockSpec | None) -> Tensors:
        return [theirs[0].reshape(-1)]

    def to_theirs(self, ours: Tensors, block: BlockSpec | None) -> Tensors:
        return [ours[0].reshape(1, -1)]


def _grouped(rows: torch.Tensor, groups: int) -> torch.Tensor:
    return rows.reshape(groups, rows.shape[0] // groups, *rows.shape[1:])


def _split(tensor: torch.Tensor, sizes: Sequence[int], dim: int) -> Tensors:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [tensor.narrow(dim, start, size) for start, size in zip(starts, sizes, strict=True)]


def _transpose(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.T if tensor.ndim == 2 else tensor


@dataclass(frozen=True)
class Rule:
    """Published templates and ours. `theirs` and `ours` hold one template or several, by the form."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    form: Form = Same()

    def bind(self, name: str) -> tuple[list[str], list[str], int | None] | None:
        """(theirs, ours, layer) with the placeholders filled in, when `name` is the rule's first of ours.

        `layer` counts in the stack the name belongs to.
        """
        match = re.fullmatch(_pattern(self.ours[0]), name)
        if match is None:
            return None
        values = match.groupdict()
        suffix = values.pop("suffix")

        def fill(templates: tuple[str, ...]) -> list[str]:
            return [template.format(**values) + suffix for template in templates]

        return fill(self.theirs), fill(self.ours), int(values["layer"]) if "layer" in values else None


def rename(theirs: str, ours: str, form: Form = Same()) -> Rule:
    """The same tensor under another name."""
    return Rule((theirs,), (ours,), form)


def renames(theirs: str, ours: str, **names: str) -> tuple[Rule, ...]:
    """One rule per keyword: `ours` + keyword (with __ for a dot) is called `theirs` + value."""
    return tuple(rename(theirs + value, ours + key.replace("__", ".")) for key, value in names.items())


def fuse(theirs: str, *ours: str, form: Form = Fused()) -> Rule:
    """Several of ours in one published tensor."""
    return Rule((theirs,), ours, form)


@functools.cache
def _pattern(template: str) -> str:
    pieces = re.split(r"\{(\w+)\}", template)
    fixed = [re.escape(piece) for piece in pieces[0::2]]
    named = [rf"(?P<{n}>{'.+?' if n == 'name' else r'[0-9]+'})" for n in pieces[1::2]]
    return "".join(a + b for a, b in zip(fixed, [*named, ""], strict=True)) + _SUFFIXES
