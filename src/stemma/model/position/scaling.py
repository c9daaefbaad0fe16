"""Length extension of RoPE: how each published scheme changes the frequencies theta^(-2j/d).

One function per scheme, `(frequencies, theta, scaling, length) -> frequencies`, all in fp32. `length` is the highest
position of the call plus one for dynamic NTK, the length of the prompt for its stepped form, and matters to no other.
"""

import math
from collections.abc import Callable
from typing import Any

import torch

from stemma.model.spec import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    RopeSpec,
    SteppedScaling,
    YarnScaling,
)


def rope_frequencies(spec: RopeSpec, rotary_dim: int, length: int = 0) -> torch.Tensor:
    """Radians per position of each pair, (rotary_dim / 2,) fp32, with the Spec's scaling applied."""
    plain = plain_frequencies(spec.theta, rotary_dim)
    if spec.scaling is None:
        return plain
    return _SCHEMES[spec.scaling.kind](plain, spec.theta, spec.scaling, length)


def rope_amplitude(spec: RopeSpec) -> float:
    """What cos and sin are multiplied by: YaRN's attention factor, else 1."""
    return spec.scaling.attention_factor if isinstance(spec.scaling, YarnScaling) else 1.0


def depends_on_length(spec: RopeSpec) -> bool:
    """Whether the frequencies change with the length of the call."""
    return isinstance(spec.scaling, DynamicScaling | SteppedScaling)


def yarn_attention_factor(factor: float) -> float:
    """0.1 ln(s) + 1, the value YaRN recommends (arXiv 2309.00071, eq. 22)."""
    return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0


def call_lengths(spec: RopeSpec, position_ids: torch.Tensor, lengths: torch.Tensor | None) -> list[int]:
    """The lengths the frequencies of a call depend on: one for all rows, or one a row for a stepped base."""
    if isinstance(spec.scaling, DynamicScaling):
        return [int(position_ids.max()) + 1]
    if isinstance(spec.scaling, SteppedScaling) and lengths is not None:
        rows = [int(length) for length in lengths]
        return rows[:1] if len(set(rows)) == 1 else rows
    return [0]


def plain_frequencies(theta: float, dim: int) -> torch.Tensor:
    """theta^(-2j / dim) for every pair j, (dim / 2,) fp32."""
    exponent = torch.arange(0, dim, 2, dtype=torch.float32) / dim
    return 1.0 / theta**exponent


def _linear(plain: torch.Tensor, theta: float, scaling: LinearScaling, length: int) -> torch.Tensor:
    return plain / scaling.factor


def _dynamic(plain: torch.Tensor, theta: float, scaling: DynamicScaling, length: int) -> torch.Tensor:
    trained = scaling.original_max_seq_len
    if length <= trained:
        return plain
    dim = 2 * len(plain)
    growth = scaling.factor * length / trained - (scaling.factor - 1)
    return plain_frequencies(theta * growth ** (dim / (dim - 2)), dim)


def _stepped(plain: torch.Tensor, theta: float, scaling: SteppedScaling, length: int) -> torch.Tensor:
    trained = scaling.original_max_seq_len
    if length <= trained:
        return plain
    dim = 2 * len(plain)
    alpha = 2 ** math.ceil(math.log2(length / trained) + 1) - 1
    return plain_frequencies(theta * alpha ** (dim / (dim - 2)), dim)


def _yarn(plain: torch.Tensor, theta: float, scaling: YarnScaling, length: int) -> torch.Tensor:
    dim = 2 * len(plain)

    def pair_turning(rotations: float) -> float:
        """The pair that makes `rotations` full turns over the trained length."""
        return (
            dim * math.log(scaling.original_max_seq_len / (rotations * 2 * math.pi)) / (2 * math.log(theta))
        )

    low = max(math.floor(pair_turning(scaling.beta_fast)), 0)
    high = min(math.ceil(pair_turning(scaling.beta_slow)), dim - 1)
    pairs = torch.arange(dim // 2, dtype=torch.float32)
    ramp = ((pairs - low) / max(high - low, 0.001)).clamp(0, 1)
    return plain / scaling.factor * ramp + plain * (1 - ramp)


def _llama3(plain: torch.Tensor, theta: float, scaling: Llama3Scaling, length: int) -> torch.Tensor:
    turns = scaling.original_max_seq_len * plain / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * plain / scaling.factor + smooth * plain


_SCHEMES: dict[str, Callable[[torch.Tensor, float, Any, int], torch.Tensor]] = {
    "linear": _linear,
    "dynamic": _dynamic,
    "stepped": _stepped,
    "yarn": _yarn,
    "llama3": _llama3,
}
