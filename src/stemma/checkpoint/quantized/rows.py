"""ChatGLM's own quantiser: one scale per output row, no zero point, no groups. ChatGLM 1, 2 and 3, Int8 and Int4.

s_o = max_i |w_oi| / (2^(b-1) - 1) in float16, q = round(w / s), w' = q * s in float16.

Beside `weight_scale` (out,) lies `weight`: int8 (out, in), at 4 bits (out, in / 2) with element 2k in the high half of
byte k and 2k + 1 in the low half, both signed. Linear layers of the blocks are stored this way, in some releases the
embedding and the head too. After quantization.py of the published checkpoints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from stemma.checkpoint.quantized.view import FLOATS, Dense, Parts, row_blocks
from stemma.errors import StemmaError
from stemma.families.config import Config
from stemma.families.source import TensorInfo


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The settings."""

    bits: Literal[4, 8]

    def description(self) -> dict[str, str | int]:
        return {"layout": "rows", "bits": self.bits}

    def dense(self, parts: Parts) -> dict[str, Dense]:
        suffix = "_scale"
        names = [f"{base}.weight" for base in parts.bases(f".weight{suffix}")]
        return {name: self._matrix(parts, name, name + suffix) for name in names}

    def _matrix(self, parts: Parts, name: str, scale: str) -> Dense:
        rows, columns = parts.take(name, (torch.int8,), 2).shape
        scales = parts.take(scale, FLOATS, 1)
        parts.expect_shape(scale, (rows,), f"'{name}'")
        info = TensorInfo((rows, columns * 8 // self.bits), scales.dtype, scales.file)
        return Dense((name, scale), info, lambda: self._make(parts, name, scale, info))

    def _make(self, parts: Parts, name: str, scale: str, info: TensorInfo) -> torch.Tensor:
        stored, scales = parts.read(name), parts.read(scale).float()[:, None]
        dense = torch.empty(info.shape, dtype=info.dtype)
        for rows in row_blocks(*info.shape):
            values = stored[rows] if self.bits == 8 else _halves(stored[rows])
            dense[rows] = values.float().mul_(scales[rows])  # exact in float32, so rounded once
        return dense


def read_rows(config: Mapping[str, Any], where: str) -> Rows | None:
    """The settings in a config.json; a `quantization_bit` of 0 is the published spelling of a dense checkpoint."""
    bits = Config(config, where).optional("quantization_bit", int, 0)
    if bits not in (0, 4, 8):
        raise StemmaError(f"{where}: quantization_bit is {bits}; expected 4, 8, or 0 for dense weights")
    return Rows(bits=bits) if bits else None


def quantize_rows(weight: torch.Tensor, bits: Literal[4, 8]) -> tuple[torch.Tensor, torch.Tensor]:
    """A float matrix (out, in) as (`weight`, `weight_scale`) of this layout.

    Raises StemmaError for other bits, an odd number of columns at 4 bits, and rows that float16 cannot scale.
    """
    if bits not in (4, 8) or weight.ndim != 2 or not weight.is_floating_point():
        raise StemmaError(
            f"a {weight.dtype} tensor of shape {list(weight.shape)} at {bits} bits: rows are quantised from float "
            "matrices to 4 or 8 bits"
        )
    if bits == 4 and weight.shape[1] % 2:
        raise StemmaError(f"{weight.shape[1]} columns do not fill bytes at 4 bits; use 8 bits")
    top = 2 ** (bits - 1) - 1
    scale = (weight.abs().amax(dim=1) / top).half()
    if not bool(torch.isfinite(scale).all()):
        raise StemmaError("a row has values that a float16 scale cannot reach; scale the matrix down first")
    steps = torch.round(weight / scale[:, None])
    # A scale that underflows makes its row 0; one that float16 rounds coarsely must not wrap around.
    values = torch.where(scale[:, None] == 0, 0, steps).clamp_(-top, top).to(torch.int8)
    if bits == 4:
        values = (values[:, 0::2] << 4) | (values[:, 1::2] & 0xF)
    return values, scale


def _halves(stored: torch.Tensor) -> torch.Tensor:
    """int8 (rows, 2n) of int8 (rows, n): high half, low half."""
    return torch.stack([stored >> 4, (stored << 4) >> 4], dim=-1).flatten(-2)
