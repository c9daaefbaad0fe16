"""Tensor sources that hold or change tensors: a live model, a cast. The protocol itself is in `stemma.families.source`."""

import torch
from torch import nn

from stemma.families.source import MemorySource, TensorInfo, TensorSource, ViewSource

__all__ = ["CastSource", "MemorySource", "ModuleSource", "TensorInfo", "TensorSource"]


class ModuleSource(MemorySource):
    """The parameters of a model under their own names; a tied head is named once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(dict(model.named_parameters()), "the model in memory")


class CastSource(ViewSource):
    """Another source in another dtype."""

    def __init__(self, source: TensorSource, dtype: torch.dtype) -> None:
        super().__init__(source)
        self._dtype = dtype

    def info(self, name: str) -> TensorInfo:
        return self._source.info(name)._replace(dtype=self._dtype)

    def read(self, name: str) -> torch.Tensor:
        return self._source.read(name).to(self._dtype)
