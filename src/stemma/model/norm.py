"""Norms: RMSNorm y = x / sqrt(mean(x^2) + eps) * g; LayerNorm y = (x - mean) / sqrt(var + eps) * g + b; or none.

Statistics are taken in fp32 whatever the model dtype.
"""

import torch
from torch import nn
from torch.nn import functional

from stemma.model.spec import NormSpec


class RMSNorm(nn.Module):
    """arXiv 1910.07467. Input and output (..., width)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return normed.to(x.dtype) * self.weight


class LayerNorm(nn.Module):
    """arXiv 1607.06450. Input and output (..., width)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = functional.layer_norm(x.float(), self.weight.shape, eps=self.eps)
        return normed.to(x.dtype) * self.weight + self.bias


class NoNorm(nn.Module):
    """The identity, where a family has no norm."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


NORMS = {"rmsnorm": RMSNorm, "layernorm": LayerNorm, "none": NoNorm}


def build_norm(spec: NormSpec, width: int) -> nn.Module:
    """The module of a NormSpec for vectors of `width`."""
    return NORMS[spec.kind](width, spec.eps)
