"""GPTQ as AutoGPTQ writes it, arXiv 2210.17323: Qwen's Int4 and Int8 releases and most others.

Per linear layer with weight W (out, in), b bits, groups of inputs:

qweight  int32 (in * b / 32, out)      the integers q, packed along the inputs
qzeros   int32 (groups, out * b / 32)  the zero points z, packed along the outputs, each stored as z - 1
scales   float (groups, out)
g_idx    int32 (in,)                   the group of each input; without it, input i is in group i // group_size

W[o, i] = scales[g, o] * (q[i, o] - z[g, o]) with g = g_idx[i], computed exactly and rounded once to the scales' dtype.

Values are packed from the low bit of the first word upwards without gaps, so at 3 bits 32 values fill 3 words. z runs
from 0 to 2^b - 1, so the field of a stored z - 1 that holds 2^b - 1 means z = 0. The format `gptq_v2` stores z itself.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from stemma.checkpoint.quantized.view import FLOATS, Dense, Parts, check_keys
from stemma.errors import StemmaError
from stemma.families.config import Config
from stemma.families.source import TensorInfo

_INPUTS = 32  # worked on at a time: whole words at any number of bits
_SETTINGS = """
    quant_method bits group_size desc_act sym checkpoint_format dynamic pack_dtype is_marlin_format lm_head
    damp_percent damp_auto_increment static_groups true_sequential mse model_name_or_path model_file_base_name
    dataset tokenizer exllama_config use_exllama disable_exllama use_cuda_fp16 max_input_length batch_size
    block_name_to_quantize module_name_preceding_first_block modules_in_block_to_quantize pad_token_id model_seqlen
    backend cache_block_outputs meta quantizer modules_to_not_convert
"""
_KNOWN = frozenset(_SETTINGS.split())
_MUST_BE: Mapping[str, tuple[Any, ...]] = {
    "is_marlin_format": (False,),
    "dynamic": ({}, False),
    "pack_dtype": ("int32",),
}


@dataclass(frozen=True, kw_only=True)
class Gptq:
    """The settings; `group_size` -1 is one group over all inputs, `stored_minus_one` the first format's zero points."""

    bits: Literal[2, 3, 4, 8]
    group_size: int = 128
    stored_minus_one: bool = True

    def description(self) -> dict[str, str | int]:
        return {"layout": "gptq", "bits": self.bits, "group_size": self.group_size}

    def dense(self, parts: Parts) -> dict[str, Dense]:
        return {f"{base}.weight": self._linear(parts, base) for base in parts.bases(".qweight")}

    def _linear(self, parts: Parts, base: str) -> Dense:
        names = [f"{base}.{suffix}" for suffix in ("qweight", "qzeros", "scales")]
        words, out = parts.take(names[0], (torch.int32,), 2).shape
        parts.take(names[1], (torch.int32,), 2)
        scales = parts.take(names[2], FLOATS, 2)
        inputs, rest = divmod(words * 32, self.bits)
        if rest or out * self.bits % 32 or not inputs or not out:
            raise StemmaError(
                f"{parts.place(names[0])}: tensor '{names[0]}' of shape {[words, out]} is no whole number of "
                f"{self.bits}-bit values; the file and its settings do not belong together"
            )
        groups = 1 if self.group_size == -1 else math.ceil(inputs / self.group_size)
        reason = f"group_size {self.group_size} over {inputs} inputs"
        parts.expect_shape(names[2], (groups, out), reason)
        parts.expect_shape(names[1], (groups, out * self.bits // 32), f"{self.bits} bits")
        order = f"{base}.g_idx"
        if order in parts.present:
            parts.take(order, (torch.int32, torch.int64), 1)
            parts.expect_shape(order, (inputs,), "qweight")
            names.append(order)
        info = TensorInfo((out, inputs), scales.dtype, scales.file)
        return Dense(tuple(names), info, lambda: self._make(parts, names, info))

    def _make(self, parts: Parts, names: list[str], info: TensorInfo) -> torch.Tensor:
        inputs = info.shape[1]
        packed, scales = parts.read(names[0]), parts.read(names[2]).float()
        zeros = unpack(parts.read(names[1]).T, self.bits).T.contiguous().float()  # (groups, out)
        if self.stored_minus_one:
            zeros = (zeros + 1) % 2**self.bits
        groups = self._groups(parts, names, inputs, len(zeros))
        dense = torch.empty(info.shape, dtype=info.dtype)
        for start in range(0, inputs, _INPUTS):
            rows = slice(start, min(start + _INPUTS, inputs))
            words = slice(start * self.bits // 32, rows.stop * self.bits // 32)
            group = groups[rows]
            if bool((group == group[0]).all()):
                group = group[:1]  # broadcast one row instead of gathering copies of it
            values = unpack(packed[words], self.bits).float()  # (inputs of the block, out)
            dense[:, rows] = values.sub_(zeros[group]).mul_(scales[group]).T
        return dense

    def _groups(self, parts: Parts, names: list[str], inputs: int, groups: int) -> torch.Tensor:
        if len(names) == 3:
            size = inputs if self.group_size == -1 else self.group_size
            return torch.arange(inputs) // size
        group = parts.read(names[3]).long()
        if int(group.min()) < 0 or int(group.max()) >= groups:
            raise StemmaError(
                f"{parts.place(names[3])}: tensor '{names[3]}' names groups from "
                f"{int(group.min())} to {int(group.max())}, there are {groups}; fetch the file again"
            )
        return group


def read_gptq(values: Mapping[str, Any], where: str) -> Gptq:
    """The settings of a `quantization_config` or a `quantize_config.json`."""
    check_keys(values, _KNOWN, where)
    for key, allowed in _MUST_BE.items():
        if values.get(key) is not None and values[key] not in allowed:
            raise StemmaError(
                f"{where}: {key} is {values[key]!r}, which cannot be honoured; take a plain GPTQ release of the model, "
                "or its bfloat16 or float16 checkpoint"
            )
    config = Config(values, where)
    bits = config.take("bits", int)
    if bits not in (2, 3, 4, 8):
        raise StemmaError(f"{where}: bits is {bits}; GPTQ has 2, 3, 4 or 8")
    size = config.optional("group_size", int, 128)
    if size != -1 and not 0 < size < 2**31:
        raise StemmaError(
            f"{where}: group_size is {size}; give a positive number of inputs, or -1 for one group"
        )
    form = config.optional("checkpoint_format", str, "gptq")
    if form not in ("gptq", "gptq_v2"):
        raise StemmaError(
            f"{where}: checkpoint_format '{form}' is packed for one kernel; take the release in the format gptq"
        )
    return Gptq(bits=bits, group_size=size, stored_minus_one=form == "gptq")


def unpack(words: torch.Tensor, bits: int) -> torch.Tensor:
    """uint8 (n * 32 / bits, ...) of int32 (n, ...): `bits` at a time from the low end, across word boundaries."""
    period = 32 // math.gcd(32, bits)  # values after which one starts at the low end of a word again
    pieces = words.reshape(-1, period * bits // 32, *words.shape[1:])
    values = torch.empty(len(pieces), period, *words.shape[1:], dtype=torch.uint8)
    for index in range(period):
        word, shift = divmod(index * bits, 32)
        here = min(bits, 32 - shift)
        value = (pieces[:, word] >> shift) & (2**here - 1)  # the mask drops what the sign bit shifts in
        if here < bits:
            value |= (pieces[:, word + 1] & (2 ** (bits - here) - 1)) << here
        values[:, index] = value
    return values.flatten(0, 1)
