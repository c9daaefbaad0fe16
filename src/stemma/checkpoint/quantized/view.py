"""A source in which the parts of each quantised tensor are hidden behind the dense tensor they stand for."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

import torch

from stemma.config import suggest
from stemma.errors import StemmaError
from stemma.families.source import TensorInfo, TensorSource, ViewSource

FLOATS = (torch.float16, torch.bfloat16, torch.float32)
_BLOCK = (
    2**22
)  # values that are worked on at a time, so that what lies between costs far less than the tensor


class Dense(NamedTuple):
    """One dense tensor: the parts it is made of, what it will be, and how it is made."""

    parts: tuple[str, ...]
    info: TensorInfo
    make: Callable[[], torch.Tensor]


class Parts(ViewSource):
    """A source whose tensors are taken as parts of quantised ones, each checked before it is read."""

    def __init__(self, source: TensorSource) -> None:
        super().__init__(source)
        self.present = frozenset(source.names())

    def read(self, name: str) -> torch.Tensor:
        return self._source.read(name)

    def bases(self, suffix: str) -> list[str]:
        """The names that end in a suffix, without it."""
        return [name.removesuffix(suffix) for name in self.names() if name.endswith(suffix)]

    def place(self, name: str) -> str:
        """Where a part lies, for messages."""
        return self.info(name).file or self.where

    def take(self, name: str, dtypes: Collection[torch.dtype], dims: int) -> TensorInfo:
        """What is known of a part. Raises StemmaError when it is missing, of another dtype or of other dimensions."""
        if name not in self.present:
            raise StemmaError(
                f"{self.where}: tensor '{name}' is missing, which the quantised tensor beside it needs; "
                "complete the download"
            )
        info = self.info(name)
        if info.dtype not in dtypes or len(info.shape) != dims:
            kinds = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
            raise StemmaError(
                f"{self.place(name)}: tensor '{name}' is {str(info.dtype).removeprefix('torch.')} of shape "
                f"{list(info.shape)}, expected {kinds} with {dims} dimension{'s' if dims != 1 else ''}; "
                "fetch the file again"
            )
        return info

    def expect_shape(self, name: str, shape: tuple[int, ...], reason: str) -> None:
        """Raise StemmaError when a part has another shape than its siblings and the settings ask for."""
        found = self.info(name).shape
        if found != shape:
            raise StemmaError(
                f"{self.place(name)}: tensor '{name}' has shape {list(found)}, {reason} asks for {list(shape)}; "
                "the file and its settings do not belong together"
            )


class Layout(Protocol):
    """One way to store quantised tensors, with its settings."""

    def description(self) -> dict[str, str | int]:
        """What `show` prints."""
        ...

    def dense(self, parts: Parts) -> Mapping[str, Dense]:
        """Every dense tensor the source stands for, by its published name. Raises StemmaError for what does not fit."""
        ...


class DequantizedSource(ViewSource):
    """Another source with its quantised tensors made dense. Memory: one tensor."""

    def __init__(
        self, source: TensorSource, dense: Mapping[str, Dense], hidden: Collection[str] = ()
    ) -> None:
        super().__init__(source)
        self._dense = dense
        gone = {part for one in dense.values() for part in one.parts}.union(hidden)
        self._names = [name for name in source.names() if name not in gone] + list(dense)

    def names(self) -> list[str]:
        return list(self._names)

    def info(self, name: str) -> TensorInfo:
        return self._dense[name].info if name in self._dense else self._source.info(name)

    def read(self, name: str) -> torch.Tensor:
        return self._dense[name].make() if name in self._dense else self._source.read(name)


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """The rows of a matrix in blocks of bounded size."""
    step = max(1, _BLOCK // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def check_keys(values: Mapping[str, object], known: Collection[str], where: str) -> None:
    """Raise StemmaError for a setting that nobody knows the meaning of."""
    for key in values:
        if key not in known:
            near = suggest(key, list(known))
            hint = near if "did you mean" in near else ""
            raise StemmaError(
                f"{where}: key '{key}' is not known{hint}; remove it if it does not change what the numbers mean"
            )
