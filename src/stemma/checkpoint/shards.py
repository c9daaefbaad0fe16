"""The tensor files of a checkpoint folder, read lazily: safetensors, or `.bin` through PyTorch's weights-only loader.

One file (`model.safetensors`, `pytorch_model.bin`) or several with an index that says which tensor lies where. Every
read maps its file anew, copy-on-write, and the mapping goes with the tensor: pages that were read do not pile up, and
whoever asked may keep the tensor and write into it without touching the file or another reader. Nothing is ever
unpickled freely, and an index cannot lead out of its folder.
"""

import mmap
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError, safe_open
from torch.serialization import set_default_mmap_options

from stemma.config import load_json, parse
from stemma.errors import StemmaError
from stemma.families.source import TensorInfo

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLES = ("model.safetensors", "pytorch_model.bin")

_UNSUPPORTED = {
    ".msgpack": "Flax weights; convert them to safetensors with the library that wrote them",
    ".h5": "TensorFlow weights; convert them to safetensors with the library that wrote them",
    ".ot": "rust-bert weights; take the safetensors or .bin file of the same model",
    ".pth": "a bare PyTorch pickle without names we know; take the published safetensors folder of the same model",
    ".gguf": "a GGUF file; take the safetensors folder it was made from",
}

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class TensorFile(Protocol):
    """One file of named tensors."""

    def infos(self) -> Mapping[str, TensorInfo]: ...

    def read(self, name: str) -> torch.Tensor:
        """A tensor that the caller alone holds."""
        ...


class SafetensorsFile:
    """One .safetensors file, mapped privately for each tensor that is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def infos(self) -> Mapping[str, TensorInfo]:
        found: dict[str, TensorInfo] = {}
        try:
            with map_safetensors(self.path) as file:
                for name in file.keys():  # noqa: SIM118 - not a dict
                    part = file.get_slice(name)
                    found[name] = TensorInfo(tuple(part.get_shape()), self._dtype(part), str(self.path))
        except (SafetensorError, OSError) as error:
            raise self._broken(error) from None
        return found

    def read(self, name: str) -> torch.Tensor:
        try:
            with map_safetensors(self.path) as file:
                return file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise self._broken(error) from None

    def _dtype(self, part: Any) -> torch.dtype:
        name = part.get_dtype()
        if name not in DTYPES:
            raise StemmaError(
                f"{self.path}: holds {name} tensors; convert them to bfloat16, float16 or float32"
            )
        return DTYPES[name]

    def _broken(self, error: Exception) -> StemmaError:
        reason = str(error).removeprefix("Error while deserializing header: ")
        return StemmaError(f"{self.path}: is not a whole safetensors file ({reason}); fetch it again")


class TorchFile:
    """One .bin file, through `torch.load(weights_only=True)`: tensors and plain containers, no code."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._whole: dict[str, torch.Tensor] | None = None

    def infos(self) -> Mapping[str, TensorInfo]:
        tensors = self._tensors()
        return {n: TensorInfo(tuple(t.shape), t.dtype, str(self.path)) for n, t in tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        tensor = self._tensors()[name]
        return tensor if self._whole is None else tensor.clone()

    def _tensors(self) -> dict[str, torch.Tensor]:
        # Only the zip format of torch 1.6 and later can be mapped; an older file is read whole, so once.
        if self._whole is not None:
            return self._whole
        mapped = zipfile.is_zipfile(self.path)
        tensors = _load_bin(self.path, mapped)
        self._whole = None if mapped else tensors
        return tensors


class FolderSource:
    """All tensors of a folder under their published names. Raises StemmaError for what cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files = _files(folder)
        self.index = _index(folder)
        self._infos: dict[str, TensorInfo] = {}
        self._file_of: dict[str, TensorFile] = {}
        for name, path in self.files.items():
            file = SafetensorsFile(path) if path.suffix == ".safetensors" else TorchFile(path)
            for tensor, info in file.infos().items():
                if tensor in self._infos:
                    raise StemmaError(f"{path}: tensor '{tensor}' is also in {self._infos[tensor].file}")
                if self.index and self.index["weight_map"].get(tensor, name) != name:
                    continue  # the index sends readers to another shard, which is then asked for it
                self._infos[tensor], self._file_of[tensor] = info, file
        self._check_index()

    @property
    def where(self) -> str:
        return str(self._folder)

    def names(self) -> list[str]:
        return list(self._infos)

    def info(self, name: str) -> TensorInfo:
        return self._infos[name]

    def read(self, name: str) -> torch.Tensor:
        return self._file_of[name].read(name)

    def num_bytes(self) -> int:
        """Bytes of all tensors, what `total_size` of an index claims."""
        return sum(torch.Size(i.shape).numel() * i.dtype.itemsize for i in self._infos.values())

    def claimed_bytes(self) -> int | None:
        """`total_size` of the index, None where there is none."""
        where = f"{self._folder}: index: metadata"
        metadata = parse(dict[str, Any], (self.index or {}).get("metadata") or {}, where)
        size = metadata.get("total_size")
        return None if size is None else int(parse(float, size, f"{where}: total_size"))  # some write 1.0e10

    def _check_index(self) -> None:
        for tensor, file in (self.index or {"weight_map": {}})["weight_map"].items():
            if tensor not in self._infos:
                raise StemmaError(
                    f"{self._folder / file}: tensor '{tensor}' is missing, which the index places there; "
                    "fetch the file again"
                )


def map_safetensors(path: Path) -> Any:
    """A safetensors file, memory-mapped for the length of a `with` block."""
    return safe_open(path, framework="pt")


def _load_bin(path: Path, mapped: bool) -> dict[str, torch.Tensor]:
    try:
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),  # about odd pickle protocols
            set_default_mmap_options(mmap.MAP_PRIVATE),  # whatever the process has set
        ):
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        raise StemmaError(
            f"{path}: is a pickle that holds more than tensors, and loading it could run code; "
            "ask its publisher for safetensors"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise StemmaError(f"{path}: is not a whole PyTorch file ({first}); fetch it again") from None
    tensors = cast("dict[Any, Any]", loaded) if isinstance(loaded, dict) else {}
    if not tensors or not all(isinstance(k, str) and isinstance(t, torch.Tensor) for k, t in tensors.items()):
        raise StemmaError(
            f"{path}: does not hold a plain table of tensors by name; take the published model file"
        )
    return cast("dict[str, torch.Tensor]", tensors)


def _index(folder: Path) -> dict[str, Any] | None:
    for name in INDEXES:
        if (folder / name).is_file():
            return _checked_index(folder / name)
        if (folder / SINGLES[INDEXES.index(name)]).is_file():
            return None
    return None


def _checked_index(path: Path) -> dict[str, Any]:
    index = load_json(path)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise StemmaError(f"{path}: has no weight_map; fetch it again")
    suffix = ".safetensors" if "safetensors" in path.name else ".bin"
    for tensor, file in cast("dict[str, Any]", weight_map).items():
        inside = isinstance(file, str) and file not in ("", ".", "..") and not set(file) & {"/", "\\", "\0"}
        if not inside or not file.endswith(suffix):
            raise StemmaError(
                f"{path}: places tensor '{tensor}' in {file!r}, which is no {suffix} file of this folder; "
                "do not use this checkpoint"
            )
    return index


def _files(folder: Path) -> dict[str, Path]:
    index = _index(folder)
    if index is not None:
        names: list[str] = sorted(set(index["weight_map"].values()))
    else:
        names = [name for name in SINGLES if (folder / name).is_file()][:1]
    if not names:
        raise StemmaError(_why_none(folder))
    for name in names:
        if not (folder / name).is_file():
            raise StemmaError(
                f"{folder / name}: is missing, though the index names it; complete the download"
            )
    return {name: folder / name for name in names}


def _why_none(folder: Path) -> str:
    others = sorted(p for p in folder.iterdir() if p.suffix in _UNSUPPORTED)
    if others:
        return f"{others[0]}: is {_UNSUPPORTED[others[0].suffix]}"
    shards = sorted(p.name for p in folder.glob("*-of-*.*") if p.suffix in (".safetensors", ".bin"))
    if shards:
        return f"{folder}: has shards such as {shards[0]} but no index; fetch model.safetensors.index.json"
    return f"{folder}: has no weights; expected one of {', '.join((*SINGLES, *INDEXES))}"
