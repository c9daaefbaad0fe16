"""Which quantised layout a checkpoint has, by its config alone, and the dense view of its tensors.

`quantization_config` in config.json, the `quantize_config.json` of older GPTQ releases beside it, or ChatGLM's key
`quantization_bit` say so. A method without a reader is refused by its name.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from stemma.checkpoint.quantized.bitsandbytes import read_bitsandbytes
from stemma.checkpoint.quantized.gptq import read_gptq
from stemma.checkpoint.quantized.rows import read_rows
from stemma.checkpoint.quantized.view import Dense, DequantizedSource, Layout, Parts
from stemma.config import load_json
from stemma.errors import StemmaError
from stemma.families.source import TensorSource

_KEY = "quantization_config"
_KEYS = (_KEY, "quantization_bit", "quantization_embeddings")
_METHODS: Mapping[str, Callable[[Mapping[str, Any], str], Layout]] = {
    "gptq": read_gptq,
    "bitsandbytes": read_bitsandbytes,
}
_SIDE_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}


def with_side_file(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with the quantisation settings that older releases keep in a file of their own."""
    if config.get(_KEY) is None:
        for name, method in _SIDE_FILES.items():
            if (folder / name).is_file():
                return {**config, _KEY: {"quant_method": method} | load_json(folder / name)}
    return dict(config)


def dense_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json as the dense model would have it."""
    return {key: value for key, value in config.items() if key not in _KEYS}


def quantization(config: Mapping[str, Any], where: str = "config.json") -> Layout | None:
    """The layout a config speaks of, None for a dense checkpoint. Raises StemmaError for one that is not read."""
    values = config.get(_KEY)
    if values is None:
        return read_rows(config, where)
    if not isinstance(values, Mapping):
        raise StemmaError(f"{where}: {_KEY}: expected an object, found {values!r}")
    settings = cast("Mapping[str, Any]", values)
    implied = "bitsandbytes" if "load_in_8bit" in settings or "load_in_4bit" in settings else None
    method = settings.get("quant_method", implied)
    if not isinstance(method, str) or method not in _METHODS:
        raise StemmaError(
            f"{where}: {_KEY}: quant_method {method!r} is not a layout that is read ({', '.join(_METHODS)} are); "
            "take the bfloat16 or float16 checkpoint of the model, or a release in one of these"
        )
    return _METHODS[method](settings, f"{where}: {_KEY}")


def dequantized(
    source: TensorSource, config: Mapping[str, Any], wanted: Collection[str] | None = None
) -> tuple[TensorSource, dict[str, str | int] | None]:
    """The source as the dense model would have it, with what was quantised; the source itself where nothing is.

    `wanted` are the names the model asks for: a bias of a quantised layer that is not among them, and that is 0
    throughout, is left out, because some writers add one to every layer. Raises StemmaError for parts that are missing
    or do not fit each other, and for a source without any quantised tensor.
    """
    layout = quantization(config)
    if layout is None:
        return source, None
    dense = layout.dense(Parts(source))
    if not dense:
        raise StemmaError(
            f"{source.where}: the settings say that weights are stored as {layout.description()['layout']}, the files "
            "hold none; remove the settings if the weights are dense"
        )
    zeros = () if wanted is None else _zero_biases(source, dense, wanted)
    return DequantizedSource(source, dense, zeros), layout.description()


def _zero_biases(source: TensorSource, dense: Mapping[str, Dense], wanted: Collection[str]) -> list[str]:
    names = set(source.names()).difference(wanted)
    biases = [name.removesuffix("weight") + "bias" for name in dense]
    return [name for name in biases if name in names and not bool(torch.any(source.read(name)))]
