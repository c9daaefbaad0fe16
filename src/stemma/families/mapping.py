"""Sources under other names: published tensors as ours, ours as published, lazily and strictly.

Which tensors a model has follows from its Spec (the parameters of the Transformer it builds). Every one of them must be
covered by a rule and found in the file with the right shape, and every tensor of the file must be used or be a derived
buffer or a copy the family lists.
"""

import fnmatch
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from stemma.config import suggest
from stemma.errors import StemmaError
from stemma.families.rules import Form, Rule
from stemma.families.source import Shape, TensorInfo, TensorSource
from stemma.model.spec import BlockSpec, Spec
from stemma.model.transformer import Transformer


@dataclass(frozen=True)
class Link:
    """One rule at one place: published names and shapes, ours, and the form between them."""

    theirs: tuple[str, ...]
    their_shapes: tuple[Shape, ...]
    ours: tuple[str, ...]
    our_shapes: tuple[Shape, ...]
    form: Form
    block: BlockSpec | None


def parameter_shapes(spec: Spec) -> dict[str, Shape]:
    """Names and shapes of everything a model of this Spec stores, in model order; a tied head is not among them."""
    with torch.device("meta"):
        model = Transformer(spec)
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def link(rules: Sequence[Rule], spec: Spec) -> list[Link]:
    """Apply the rules to a Spec's tensors, in model order."""
    shapes = parameter_shapes(spec)
    links: list[Link] = []
    covered: set[str] = set()
    for name in shapes:
        bound = next((b for b in ((rule, rule.bind(name)) for rule in rules) if b[1] is not None), None)
        if bound is None:
            continue
        rule, places = bound
        assert places is not None
        theirs, ours, layer = places
        block = None if layer is None else _block(spec, ours[0], layer)
        our_shapes = tuple(shapes[n] for n in ours)
        hollow = [torch.empty(shape, device="meta") for shape in our_shapes]
        their_shapes = tuple(tuple(t.shape) for t in rule.form.to_theirs(hollow, block))
        links.append(Link(tuple(theirs), their_shapes, tuple(ours), our_shapes, rule.form, block))
        covered.update(ours)
    uncovered = [name for name in shapes if name not in covered]
    assert not uncovered, f"no rule covers {uncovered[0]}"
    return links


def _block(spec: Spec, name: str, layer: int) -> BlockSpec:
    """The block a tensor of a layer belongs to, in the encoder or in the main stack."""
    in_encoder = spec.encoder is not None and name.startswith("encoder.")
    return spec.encoder.layers[layer] if in_encoder and spec.encoder else spec.block(layer)


class _Mapped(ABC):
    """Outputs computed from the inputs of one link at a time; the last link's outputs are kept for their siblings."""

    def __init__(self, source: TensorSource, outputs: dict[str, tuple[Link, int, Shape]]) -> None:
        self._source, self._outputs = source, outputs
        self._last: tuple[Link, list[torch.Tensor]] | None = None

    @property
    def where(self) -> str:
        return self._source.where

    def names(self) -> list[str]:
        return list(self._outputs)

    def info(self, name: str) -> TensorInfo:
        link, _, shape = self._outputs[name]
        first = self._source.info(self._inputs(link)[0])
        return TensorInfo(shape, first.dtype, first.file)

    def read(self, name: str) -> torch.Tensor:
        link, index, _ = self._outputs[name]
        if len(link.ours) == len(link.theirs) == 1:
            return self._convert(link)[0]
        if self._last is None or self._last[0] is not link:
            self._last = None
            self._last = (link, self._convert(link))
        return self._last[1][index]

    @abstractmethod
    def _inputs(self, link: Link) -> tuple[str, ...]:
        """The names a link reads."""

    @abstractmethod
    def _convert(self, link: Link) -> list[torch.Tensor]:
        """The tensors a link gives."""


class MappedIn(_Mapped):
    """A published source under our names. Raises StemmaError for missing, unused and mis-shaped tensors at once.

    `carried` are the tensors that no link reads, derived buffers and copies: written back as they are when the source is
    written in its own layout, so that what was published comes out whole.
    """

    def __init__(
        self,
        source: TensorSource,
        links: Sequence[Link],
        ignored: Sequence[str],
        copies: Mapping[str, str],
        layout: str,
    ) -> None:
        _check(source, links, ignored, copies)
        self.published, self.layout = source, layout
        used = {name for link in links for name in link.theirs}
        self.carried = [name for name in source.names() if name not in used]
        outputs = {name: (link, i, link.our_shapes[i]) for link in links for i, name in enumerate(link.ours)}
        super().__init__(source, outputs)

    def _inputs(self, link: Link) -> tuple[str, ...]:
        return link.theirs

    def _convert(self, link: Link) -> list[torch.Tensor]:
        theirs = [self._source.read(name) for name in link.theirs]
        return link.form.to_ours(theirs, link.our_shapes, link.block)


class MappedOut(_Mapped):
    """Our source under published names. `origin` is the source when it was read from this very layout, unchanged."""

    def __init__(self, source: TensorSource, links: Sequence[Link], layout: str) -> None:
        ours = [name for link in links for name in link.ours]
        _check_names(source, ours, set(source.names()) - set(ours))
        for link in links:
            _check_shapes(source, link.ours, link.our_shapes)
        outputs = {
            name: (link, i, link.their_shapes[i]) for link in links for i, name in enumerate(link.theirs)
        }
        super().__init__(source, outputs)
        self.origin: MappedIn | None = None
        if isinstance(source, MappedIn) and source.layout == layout:
            self.origin = source if set(outputs) <= set(source.published.names()) else None

    def names(self) -> list[str]:
        return super().names() + (self.origin.carried if self.origin is not None else [])

    def info(self, name: str) -> TensorInfo:
        if self.origin is not None and name in self.origin.carried:
            return self.origin.published.info(name)
        return super().info(name)

    def read(self, name: str) -> torch.Tensor:
        if self.origin is not None and name in self.origin.carried:
            return self.origin.published.read(name)
        return super().read(name)

    def _inputs(self, link: Link) -> tuple[str, ...]:
        return link.ours

    def _convert(self, link: Link) -> list[torch.Tensor]:
        return link.form.to_theirs([self._source.read(name) for name in link.ours], link.block)


def _check(
    source: TensorSource, links: Sequence[Link], ignored: Sequence[str], copies: Mapping[str, str]
) -> None:
    wanted = [name for link in links for name in link.theirs]
    unused = set(source.names()).difference(wanted)
    for copy in sorted(unused.intersection(copies)):
        if copies[copy] in wanted:
            _check_copy(source, copy, copies[copy])
            unused.discard(copy)
    unused = {name for name in unused if not any(fnmatch.fnmatchcase(name, glob) for glob in ignored)}
    _check_names(source, wanted, unused)
    for one in links:
        _check_shapes(source, one.theirs, one.their_shapes)


def _check_copy(source: TensorSource, copy: str, original: str) -> None:
    if source.info(original).shape != source.info(copy).shape or not torch.equal(
        source.read(original), source.read(copy)
    ):
        raise StemmaError(
            f"{source.info(copy).file or source.where}: '{copy}' differs from '{original}', though config.json says "
            "they are tied; set tie_word_embeddings to false"
        )


def _check_names(source: TensorSource, wanted: Sequence[str], unused: set[str]) -> None:
    present = set(source.names())
    missing = [name for name in wanted if name not in present]
    extra = sorted(unused)
    if missing:
        near = suggest(missing[0], extra) if extra else ""
        hint = near if "did you mean" in near else f"; it holds '{extra[0]}' instead" if extra else ""
        raise StemmaError(
            f"{source.where}: tensor '{missing[0]}' is missing{_more(missing)}{hint}; complete the download, "
            "or correct the config.json that asks for it"
        )
    if extra:
        file = source.info(extra[0]).file
        raise StemmaError(
            f"{file or source.where}: tensor '{extra[0]}' is not part of the model that config.json "
            f"describes{_more(extra)}; correct config.json, or remove the tensor"
        )


def _check_shapes(source: TensorSource, names: Sequence[str], shapes: Sequence[Shape]) -> None:
    for name, shape in zip(names, shapes, strict=True):
        info = source.info(name)
        if info.shape != shape:
            raise StemmaError(
                f"{info.file or source.where}: tensor '{name}' has shape {list(info.shape)}, config.json asks for "
                f"{list(shape)}; one of the two belongs to another model"
            )


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
