"""Writing a checkpoint folder: streamed, sharded, atomic, and the same bytes for the same model.

Tensors are read, written and dropped one at a time, in the model's order. A shard is closed before it passes
`max_shard_bytes`; one shard is `model.safetensors`, several have an index with their total size. The folder appears
under its name only when it is whole.
"""

import json
import shutil
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from stemma.checkpoint.fingerprint import rope_fingerprint
from stemma.checkpoint.shards import DTYPES
from stemma.errors import StemmaError
from stemma.families import Family, SpecialIds, TensorSource, family_for_spec
from stemma.families.source import TensorInfo
from stemma.model.spec import Spec
from stemma.storage import atomic_folder

COPIED = (
    "tokenizer*",
    "*.tiktoken",
    "*.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*template*",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    "*[Ll]icense*",
)
_CODES = {dtype: code for code, dtype in DTYPES.items()}


class Written(NamedTuple):
    """What was written: the folder, its layout, its tensor files and their tensors' bytes."""

    folder: Path
    family: str
    files: list[str]
    num_bytes: int


def write_checkpoint(
    folder: Path,
    spec: Spec,
    tensors: TensorSource,
    *,
    family: Family | None = None,
    special_ids: SpecialIds,
    copy_from: Path | None = None,
    extra_config: Mapping[str, Any] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    replace: bool = False,
) -> Written:
    """Write `tensors` (our names) as a folder of `family`, or of the published layout that holds the Spec exactly.

    `copy_from` gives tokenizer and licence files; `extra_config` goes under the key `stemma` of config.json. Raises
    StemmaError when the layout cannot hold the Spec, a tensor is missing, or the disk refuses.
    """
    family = family or family_for_spec(spec)
    config = family.config_of(spec, special_ids)
    published = family.map_out(tensors, spec)
    names = published.names()
    infos = {name: published.info(name) for name in names}
    config["torch_dtype"] = _dtype_name(infos)
    extra = dict(extra_config or {})
    fingerprint = rope_fingerprint(spec)
    config["stemma"] = {**({"rope_fingerprint": fingerprint} if fingerprint else {}), **extra}
    shards = _plan(names, infos, max_shard_bytes)
    try:
        with atomic_folder(Path(folder), replace=replace) as building:
            if copy_from is not None:
                copy_files(copy_from, building)
            _write_json(building / "config.json", config)
            files = _file_names(len(shards))
            for file, shard in zip(files, shards, strict=True):
                write_safetensors(building / file, published, shard)
            if len(shards) > 1:
                _write_index(building, files, shards, infos)
    except OSError as error:
        raise StemmaError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing was left there, choose another place"
        ) from None
    return Written(Path(folder), family.name, files, sum(_num_bytes(info) for info in infos.values()))


def write_safetensors(path: Path, source: TensorSource, names: Sequence[str]) -> None:
    """One safetensors file of the named tensors, streamed in the order given. Memory: one tensor."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        info = source.info(name)
        start, end = end, end + _num_bytes(info)
        header[name] = {"dtype": _code(name, info), "shape": list(info.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in names:
            tensor, info = source.read(name), source.info(name)
            assert (tuple(tensor.shape), tensor.dtype) == info[:2], f"{name} is not what its source announced"
            file.write(_data(tensor))


def copy_files(source: Path, target: Path) -> list[str]:
    """Copy tokenizer and licence files from a folder; returns their names. Raises StemmaError when it is none."""
    if not source.is_dir():
        raise StemmaError(f"{source}: is not a folder to copy tokenizer files from")
    found = {path.name: path for pattern in COPIED for path in source.glob(pattern) if path.is_file()}
    for name in sorted(found):
        shutil.copyfile(found[name], target / name)
    return sorted(found)


def _plan(names: Sequence[str], infos: Mapping[str, TensorInfo], limit: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name in names:
        size = _num_bytes(infos[name])
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _file_names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]


def _write_index(
    folder: Path, files: Sequence[str], shards: Sequence[Sequence[str]], infos: Mapping[str, TensorInfo]
) -> None:
    total = sum(_num_bytes(info) for info in infos.values())
    weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(folder / "model.safetensors.index.json", index)


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def _num_bytes(info: TensorInfo) -> int:
    return torch.Size(info.shape).numel() * info.dtype.itemsize


def _code(name: str, info: TensorInfo) -> str:
    if info.dtype not in _CODES:
        raise StemmaError(f"tensor '{name}' is {info.dtype}, which safetensors cannot hold; cast it first")
    return _CODES[info.dtype]


def _data(tensor: torch.Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _dtype_name(infos: Mapping[str, TensorInfo]) -> str:
    """The dtype most values have."""
    sizes: Counter[str] = Counter()
    for info in infos.values():
        sizes[str(info.dtype).removeprefix("torch.")] += torch.Size(info.shape).numel()
    return sizes.most_common(1)[0][0]
