"""Ranks: data parallelism under torchrun. One process without it, and then nothing here costs anything.

Every rank holds the whole model and takes a slice of the same global batch. Losses are divided by the weight of the
whole batch, so summing gradients over ranks gives what one process would have computed.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import distributed

from stemma.errors import StemmaError

_BUCKET_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class Ranks:
    """This process and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all ranks have come here."""
        if self.size > 1:
            distributed.barrier()

    def sum(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Each value summed over the ranks, in fp64."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(tensor)
        return tensor.tolist()

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients over the ranks, in place, some megabytes at a time."""
        if self.size == 1:
            return
        bucket: list[torch.Tensor] = []
        for parameter in parameters:
            if parameter.grad is None:  # a rank without rows still takes part
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
            if sum(g.numel() for g in bucket) >= _BUCKET_ELEMENTS:
                _all_reduce(bucket)
                bucket = []
        if bucket:
            _all_reduce(bucket)


def join_ranks(device: torch.device) -> Ranks:
    """Join the processes that torchrun started; Ranks(0, 1) without torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Ranks()
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(distributed.get_rank(), distributed.get_world_size())


def training_device(name: str) -> torch.device:
    """The device of "auto", "cpu" or "cuda"; under torchrun each rank takes its own GPU. Raises StemmaError without one."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if device.index >= torch.cuda.device_count():
        raise StemmaError(
            f"device cuda: this rank needs GPU {device.index} and torch sees {torch.cuda.device_count()}; "
            'set device = "cpu" or start fewer ranks'
        )
    torch.cuda.set_device(device)
    return device


def _all_reduce(tensors: list[torch.Tensor]) -> None:
    flat = torch.cat([t.flatten() for t in tensors])
    distributed.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
