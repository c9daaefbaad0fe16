"""A forward pass that holds one matrix of the model at a time, so a 7B model is measured in a laptop's memory.

The Transformer is built without storage; each module fetches its weights when it is called and lets them go after.
What stays are the activations of the windows: with 8 windows of 256 tokens and width 4096, 32 MiB per state.
"""

import torch
from torch import nn

from stemma.checkpoint.load import not_finite
from stemma.errors import CheckFailed, StemmaError
from stemma.families.source import TensorSource
from stemma.model.spec import Spec
from stemma.model.transformer import Transformer


def streamed(spec: Spec, source: TensorSource, dtype: torch.dtype = torch.float32) -> Transformer:
    """The Transformer of `spec` whose weights come from `source` at every call, converted to `dtype`.

    Calling it raises StemmaError naming the tensor when a weight is mis-shaped, CheckFailed when it is not finite.
    """
    with torch.device("meta"):
        model = Transformer(spec).eval()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for module in model.modules():
        own = {local: names[id(p)] for local, p in module.named_parameters(recurse=False)}
        if own:
            _stream_module(module, own, source, dtype)
    return model


def _stream_module(module: nn.Module, own: dict[str, str], source: TensorSource, dtype: torch.dtype) -> None:
    empty = {local: getattr(module, local) for local in own}

    def fetch(_module: nn.Module, _inputs: object) -> None:
        for local, name in own.items():
            weight = _finite(name, source, tuple(empty[local].shape)).to(dtype)
            setattr(module, local, nn.Parameter(weight, requires_grad=False))

    def release(_module: nn.Module, _inputs: object, _output: object) -> None:
        for local, parameter in empty.items():
            setattr(module, local, parameter)

    module.register_forward_pre_hook(fetch)
    module.register_forward_hook(release)


def _finite(name: str, source: TensorSource, shape: tuple[int, ...]) -> torch.Tensor:
    found = source.info(name).shape
    if found != shape:
        raise StemmaError(f"{source.where}: tensor '{name}' has shape {found} and the Spec needs {shape}")
    weight = source.read(name)
    if not bool(torch.isfinite(weight).all()):
        raise CheckFailed(f"{not_finite(source, name, weight, weight.dtype)}; restore it before upgrading")
    return weight
