"""Tensor sources that read through other sources, one tensor at a time.

`RewrittenSource` replaces and adds tensors; `StoredSource` rounds to the dtypes of a checkpoint; `Trace`
notes which tensors of an inner source each tensor of an outer one was made from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from stemma.families.source import TensorInfo, TensorSource, ViewSource


@dataclass(frozen=True)
class Rewritten:
    """A tensor that will be computed when it is read."""

    info: TensorInfo
    read: Callable[[], torch.Tensor]


class RewrittenSource:
    """`source` with some tensors replaced or added; new names come after the old ones."""

    def __init__(self, source: TensorSource, rewritten: Mapping[str, Rewritten]) -> None:
        self._source, self._rewritten = source, rewritten

    @property
    def where(self) -> str:
        return self._source.where

    def names(self) -> list[str]:
        old = self._source.names()
        known = frozenset(old)
        return old + [name for name in self._rewritten if name not in known]

    def info(self, name: str) -> TensorInfo:
        return self._rewritten[name].info if name in self._rewritten else self._source.info(name)

    def read(self, name: str) -> torch.Tensor:
        return self._rewritten[name].read() if name in self._rewritten else self._source.read(name)


class StoredSource:
    """`converted` rounded to the dtypes of `original`: by name, and for new names that of the embedding."""

    def __init__(self, converted: TensorSource, original: TensorSource) -> None:
        self._converted = converted
        default = original.info("embedding.weight").dtype
        dtypes = {name: original.info(name).dtype for name in original.names()}
        self._dtypes = {name: dtypes.get(name, default) for name in converted.names()}

    @property
    def where(self) -> str:
        return self._converted.where

    def names(self) -> list[str]:
        return self._converted.names()

    def info(self, name: str) -> TensorInfo:
        return TensorInfo(self._converted.info(name).shape, self._dtypes[name])

    def read(self, name: str) -> torch.Tensor:
        return self._converted.read(name).to(self._dtypes[name])

    @property
    def rounds(self) -> bool:
        """Whether any tensor is stored in another dtype than it is computed in."""
        return any(self._converted.info(name).dtype != dtype for name, dtype in self._dtypes.items())


@dataclass
class Trace:
    """Which input tensors each output tensor was made from, filled while the outputs are read."""

    made_from: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    _reading: set[str] = field(default_factory=set[str])

    def inner(self, source: TensorSource) -> TensorSource:
        """`source`, with every read noted."""
        return _Inner(source, self)

    def outer(self, source: TensorSource) -> TensorSource:
        """`source`, with the inner reads of every read gathered under its name."""
        return _Outer(source, self)

    def note(self, name: str) -> None:
        """An input tensor is being read."""
        self._reading.add(name)

    def collect(self, name: str, read: Callable[[str], torch.Tensor]) -> torch.Tensor:
        """Read output `name` and keep what was read for it."""
        self._reading = set()
        tensor = read(name)
        self.made_from[name] = self._reading
        return tensor


class _Through(ViewSource):
    def __init__(self, source: TensorSource, trace: Trace) -> None:
        super().__init__(source)
        self._trace = trace


class _Inner(_Through):
    def read(self, name: str) -> torch.Tensor:
        self._trace.note(name)
        return self._source.read(name)


class _Outer(_Through):
    def read(self, name: str) -> torch.Tensor:
        return self._trace.collect(name, self._source.read)
