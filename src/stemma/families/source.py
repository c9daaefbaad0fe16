"""Where tensors come from: the one protocol that readers, name rules, upgrades and writers share.

A source knows the names, shapes and dtypes of all its tensors and reads one at a time, so that nothing needs a whole
model in memory.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch

Shape = tuple[int, ...]


class TensorInfo(NamedTuple):
    """What is known of a tensor before it is read; `file` names where it lies, empty in memory."""

    shape: Shape
    dtype: torch.dtype
    file: str = ""


class TensorSource(Protocol):
    """Named tensors, read lazily. `where` names the whole for messages."""

    @property
    def where(self) -> str: ...

    def names(self) -> list[str]:
        """All names, in a fixed order."""
        ...

    def info(self, name: str) -> TensorInfo:
        """Shape and dtype without reading the values."""
        ...

    def read(self, name: str) -> torch.Tensor:
        """The tensor, in memory of its own or shared with the source; callers do not write into it."""
        ...


class ViewSource:
    """Another source, all of it; a subclass says what is different. It has no `read` of its own."""

    def __init__(self, source: TensorSource) -> None:
        self._source = source

    @property
    def where(self) -> str:
        return self._source.where

    def names(self) -> list[str]:
        return self._source.names()

    def info(self, name: str) -> TensorInfo:
        return self._source.info(name)


class MemorySource:
    """Tensors that are already in memory, by name."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], where: str = "tensors in memory") -> None:
        self._tensors, self._where = tensors, where

    @property
    def where(self) -> str:
        return self._where

    def names(self) -> list[str]:
        return list(self._tensors)

    def info(self, name: str) -> TensorInfo:
        tensor = self._tensors[name]
        return TensorInfo(tuple(tensor.shape), tensor.dtype)

    def read(self, name: str) -> torch.Tensor:
        return self._tensors[name].detach()


class RespelledSource(ViewSource):
    """Another source whose names are spelled differently: `spellings` maps the names here to those of the source."""

    def __init__(self, source: TensorSource, spellings: Mapping[str, str]) -> None:
        super().__init__(source)
        self.spellings = spellings

    def names(self) -> list[str]:
        return list(self.spellings)

    def info(self, name: str) -> TensorInfo:
        return self._source.info(self.spellings[name])

    def read(self, name: str) -> torch.Tensor:
        return self._source.read(self.spellings[name])
