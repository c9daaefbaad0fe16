"""From a folder to a model: built without memory, then filled tensor by tensor. Peak: the model and one tensor.

On the CPU, a tensor that is stored in the wanted dtype and that no rule rearranges is not copied: the parameter is the
file, mapped copy-on-write, so training in place changes memory and never the file. The file may be renamed, replaced by
a rename or deleted while the model lives, as everything here does; it must not be shortened or rewritten in place,
because the kernel kills a process that reads past the end of a mapped file.
"""

from pathlib import Path

import torch
from torch import nn

from stemma.checkpoint.open import Checkpoint, open_checkpoint
from stemma.errors import CheckFailed
from stemma.families.source import TensorSource
from stemma.model.spec import Spec
from stemma.model.transformer import Transformer


def load_model(
    checkpoint: Checkpoint | Path | str,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Transformer:
    """A model in eval mode with the weights of a checkpoint, mapped from its files where they can be used as they lie.

    Raises CheckFailed for NaN or infinite weights and for weights that are not floating point.
    """
    opened = checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(Path(checkpoint))
    tensors = opened.unshared() if opened is checkpoint else opened.tensors
    return build_model(opened.spec, tensors, dtype, device, private=True).eval()


def build_model(
    spec: Spec,
    tensors: TensorSource,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    *,
    private: bool = False,
) -> Transformer:
    """A model of `spec` that owns copies of `tensors` (under our names).

    `private` says that nobody else holds what `tensors` reads, so what fits is kept without a copy.
    """
    with torch.device("meta"):
        model = Transformer(spec)
    kept: set[int] = set()
    for name in [name for name, _ in model.named_parameters()]:
        read = _read(tensors, name)
        shared = not private or read.data_ptr() in kept  # a rule may give one tensor twice
        tensor = read.to(device=device, dtype=dtype, copy=shared).contiguous()
        kept.add(tensor.data_ptr())
        if not all_finite(tensor):
            raise CheckFailed(not_finite(tensors, name, tensor, dtype))
        path, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(path), attribute, nn.Parameter(tensor))
    if spec.head.tie_embeddings:
        model.head.weight = model.embedding.weight
    return model


def _read(tensors: TensorSource, name: str) -> torch.Tensor:
    info = tensors.info(name)
    if not info.dtype.is_floating_point:
        dtype_name = str(info.dtype).removeprefix("torch.")
        raise CheckFailed(
            f"{info.file or tensors.where}: tensor '{name}' is {dtype_name}, not floating point; "
            "give a checkpoint in float32, bfloat16 or float16"
        )
    return tensors.read(name)


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite. Two reductions: `isfinite` would need several times the tensor's memory."""
    low, high = torch.aminmax(_comparable(tensor))  # NaN wins both
    return bool(torch.isfinite(low)) and bool(torch.isfinite(high))


def not_finite(tensors: TensorSource, name: str, tensor: torch.Tensor, dtype: torch.dtype) -> str:
    """The sentence about a tensor with NaN or infinite values."""
    count = int((~torch.isfinite(_comparable(tensor))).sum())
    place = tensors.info(name).file or tensors.where
    return (
        f"{place}: tensor '{name}' has {count} NaN or infinite values in {str(dtype).removeprefix('torch.')}"
    )


def _comparable(tensor: torch.Tensor) -> torch.Tensor:
    """The 8-bit floats have no arithmetic of their own."""
    return tensor.float() if tensor.dtype.itemsize == 1 else tensor
