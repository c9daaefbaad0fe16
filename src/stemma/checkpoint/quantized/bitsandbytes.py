"""Checkpoints saved by bitsandbytes: 4-bit NormalFloat (arXiv 2305.14314) and LLM.int8 (arXiv 2208.07339).

NF4, per linear layer: `weight` holds two codes per byte, the earlier in the high half, over the matrix row by row.

w = quant_map[code] * absmax[block of 64], computed in float32 and rounded once to the dtype the state names.

`weight.quant_state.bitsandbytes__nf4` is that state as JSON: shape, dtype, block sizes. Doubly quantised scales are
codes of their own: absmax = nested_quant_map[code] * nested_absmax[block of 256] + nested_offset.

8 bits: `weight` int8 with a scale per row in `SCB`: w = q * SCB / 127.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from stemma.checkpoint.quantized.view import Dense, Parts, row_blocks
from stemma.config import parse
from stemma.errors import StemmaError
from stemma.families.config import Config
from stemma.families.source import TensorInfo

_STATE = ".quant_state.bitsandbytes__"
_STATE_BYTES = 2**16
_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
_PER_127 = 7.874015718698502e-3  # 1/127 as the library spells it


@dataclass(frozen=True, kw_only=True)
class BitsAndBytes:
    """The settings that the config states; the rest lies beside the tensors."""

    bits: Literal[4, 8]

    def description(self) -> dict[str, str | int]:
        return {"layout": "nf4" if self.bits == 4 else "bitsandbytes int8", "bits": self.bits}

    def dense(self, parts: Parts) -> dict[str, Dense]:
        return _nf4(parts) if self.bits == 4 else _int8(parts)


@dataclass(frozen=True, kw_only=True)
class _State:
    """The JSON of one NF4 tensor."""

    quant_type: str
    blocksize: int
    dtype: str
    shape: tuple[int, ...]
    nested_blocksize: int | None = None
    nested_dtype: str = "float32"
    nested_offset: float = 0.0


def read_bitsandbytes(values: Mapping[str, Any], where: str) -> BitsAndBytes:
    """The settings of a `quantization_config`."""
    config = Config(values, where)
    four = config.optional("load_in_4bit", bool, False, "_load_in_4bit")
    eight = config.optional("load_in_8bit", bool, False, "_load_in_8bit")
    kind = config.optional("bnb_4bit_quant_type", str, "nf4")
    if four == eight:
        raise StemmaError(
            f"{where}: exactly one of load_in_4bit and load_in_8bit must be true; restore config.json"
        )
    if four and kind != "nf4":
        raise StemmaError(
            f"{where}: bnb_4bit_quant_type '{kind}' is not read, nf4 is; take the bfloat16 or float16 checkpoint"
        )
    return BitsAndBytes(bits=4 if four else 8)


def _int8(parts: Parts) -> dict[str, Dense]:
    return {f"{base}.weight": _rows(parts, base) for base in parts.bases(".SCB")}


def _rows(parts: Parts, base: str) -> Dense:
    weight, scale, form = f"{base}.weight", f"{base}.SCB", f"{base}.weight_format"
    info = parts.take(weight, (torch.int8,), 2)
    parts.take(scale, (torch.float32,), 1)
    parts.expect_shape(scale, info.shape[:1], f"'{weight}'")
    formats = (form,) if form in parts.present else ()
    if formats and (parts.info(form).shape != () or int(parts.read(form)) != 0):
        raise StemmaError(
            f"{parts.place(form)}: tensor '{form}' says that '{weight}' is laid out for one kernel, not row "
            "by row; save the model again with a current bitsandbytes"
        )
    dense = TensorInfo(info.shape, torch.float32, info.file)
    return Dense((weight, scale, *formats), dense, lambda: _make_rows(parts, weight, scale, dense))


def _make_rows(parts: Parts, weight: str, scale: str, info: TensorInfo) -> torch.Tensor:
    stored, scales = parts.read(weight), parts.read(scale)[:, None]
    dense = torch.empty(info.shape, dtype=info.dtype)
    for rows in row_blocks(*info.shape):
        dense[rows] = stored[rows].float().mul_(scales[rows]).mul_(_PER_127)
    return dense


def _nf4(parts: Parts) -> dict[str, Dense]:
    found: dict[str, Dense] = {}
    for name in parts.names():
        weight, is_state, kind = name.partition(_STATE)
        if not is_state:
            continue
        if kind != "nf4":
            raise StemmaError(
                f"{parts.place(name)}: tensor '{weight}' is stored as {kind}, which is not read; "
                "take the bfloat16 or float16 checkpoint"
            )
        found[weight] = _blocks(parts, weight, name, _state(parts, name))
    return found


def _state(parts: Parts, name: str) -> _State:
    info = parts.take(name, (torch.uint8,), 1)
    where = f"{parts.place(name)}: tensor '{name}'"
    try:
        text = parts.read(name).numpy().tobytes() if info.shape[0] <= _STATE_BYTES else b""
        state = parse(_State, json.loads(text), where)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, StemmaError) else f"{where} is not JSON"
        raise StemmaError(f"{reason}; fetch the file again") from None
    nested = () if state.nested_blocksize is None else (state.nested_blocksize,)
    sizes = (state.blocksize, *nested, *state.shape)
    if len(state.shape) != 2 or not all(0 < size < 2**31 for size in sizes) or state.dtype not in _DTYPES:
        raise StemmaError(
            f"{where} describes {state.dtype} of shape {list(state.shape)} in blocks of {state.blocksize}, which is no "
            "float matrix; fetch the file again"
        )
    return state


def _blocks(parts: Parts, weight: str, state_name: str, state: _State) -> Dense:
    count = math.prod(state.shape)
    blocks = math.ceil(count / state.blocksize)
    file = parts.take(weight, (torch.uint8,), 2).file
    parts.expect_shape(weight, (math.ceil(count / 2), 1), "its quant_state")
    absmax, tables = f"{weight}.absmax", {f"{weight}.quant_map": 16}
    if state.nested_blocksize is not None:
        tables[f"{weight}.nested_absmax"] = math.ceil(blocks / state.nested_blocksize)
        tables[f"{weight}.nested_quant_map"] = 256
    parts.take(absmax, (torch.float32 if state.nested_blocksize is None else torch.uint8,), 1)
    parts.expect_shape(absmax, (blocks,), f"a block size of {state.blocksize}")
    for name, size in tables.items():
        parts.take(name, (torch.float32,), 1)
        parts.expect_shape(name, (size,), "its quant_state")
    info = TensorInfo(state.shape, _DTYPES[state.dtype], file)
    names = (weight, absmax, *tables, state_name)
    return Dense(names, info, lambda: _make_blocks(parts, weight, state, info))


def _make_blocks(parts: Parts, weight: str, state: _State, info: TensorInfo) -> torch.Tensor:
    codes, table = parts.read(weight).flatten(), parts.read(f"{weight}.quant_map")
    scales = _scales(parts, weight, state)
    count, size = math.prod(info.shape), state.blocksize
    dense = torch.empty(count, dtype=info.dtype)
    for blocks in row_blocks(len(scales), size):
        start, stop = blocks.start * size, min(blocks.stop * size, count)
        pairs = codes[start // 2 : (stop + 1) // 2]
        index = torch.stack([pairs >> 4, pairs & 0xF], dim=-1).flatten()[: stop - start]
        dense[start:stop] = table[index.int()].mul_(scales[blocks].repeat_interleave(size)[: stop - start])
    return dense.reshape(info.shape)


def _scales(parts: Parts, weight: str, state: _State) -> torch.Tensor:
    scales = parts.read(f"{weight}.absmax")
    if state.nested_blocksize is None:
        return scales
    table, outer = parts.read(f"{weight}.nested_quant_map"), parts.read(f"{weight}.nested_absmax")
    spread = outer.repeat_interleave(state.nested_blocksize)[: len(scales)]
    return table[scales.int()] * spread + state.nested_offset
