"""Feed-forward layers: gated down(act(gate x) * up x) (arXiv 2002.05202) and plain down(act(up x)).

Activations by name: gelu is x * Phi(x) with the exact erf, gelu_tanh the approximation used by GPT-2, BLOOM and T5 v1.1.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from stemma.model.mixture import Mixture
from stemma.model.spec import FeedForwardSpec, MixtureSpec

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
}


class GatedFeedForward(nn.Module):
    """SwiGLU, GeGLU, ReGLU by activation. Input and output (..., C)."""

    def __init__(self, spec: FeedForwardSpec, hidden_size: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.gate = nn.Linear(hidden_size, spec.intermediate_size, bias=spec.bias)
        self.up = nn.Linear(hidden_size, spec.intermediate_size, bias=spec.bias)
        self.down = nn.Linear(spec.intermediate_size, hidden_size, bias=spec.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.activation(self.gate(x)) * self.up(x))


class PlainFeedForward(nn.Module):
    """The transformer's first feed-forward layer. Input and output (..., C)."""

    def __init__(self, spec: FeedForwardSpec, hidden_size: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.up = nn.Linear(hidden_size, spec.intermediate_size, bias=spec.bias)
        self.down = nn.Linear(spec.intermediate_size, hidden_size, bias=spec.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.activation(self.up(x)))


FEED_FORWARDS = {"gated": GatedFeedForward, "plain": PlainFeedForward}


def build_feed_forward(spec: FeedForwardSpec | MixtureSpec, hidden_size: int) -> nn.Module:
    """The module of a FeedForwardSpec or a MixtureSpec."""
    if isinstance(spec, MixtureSpec):
        return Mixture(spec, hidden_size, build_feed_forward)
    return FEED_FORWARDS[spec.kind](spec, hidden_size)
