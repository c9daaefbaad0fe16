"""Opening a checkpoint folder: config.json to family, Spec and special ids, and the tensors under our names.

A quantised checkpoint opens as the dense one it stands for, see `quantized`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stemma.checkpoint.fingerprint import check_rope_fingerprint
from stemma.checkpoint.quantized import dense_config, dequantized, quantization, with_side_file
from stemma.checkpoint.shards import FolderSource
from stemma.config import load_json, parse, suggest
from stemma.errors import StemmaError
from stemma.families import Family, MemorySource, SpecialIds, TensorSource, family_of_config
from stemma.families.family import read_special_ids
from stemma.families.mapping import parameter_shapes
from stemma.model.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Description:
    """What config.json says, before any tensor is looked at.

    `quantization` is how the tensors are stored where they are not dense, `extra` what stemma itself wrote beside it.
    """

    folder: Path
    config: dict[str, Any]
    family: Family
    spec: Spec
    special_ids: SpecialIds
    quantization: dict[str, str | int] | None
    extra: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Description):
    """An opened folder. `tensors` are under our names, lazy; `files` are what they lie in, `published` their own names."""

    published: FolderSource
    tensors: TensorSource

    @property
    def files(self) -> list[Path]:
        return list(self.published.files.values())

    def unshared(self) -> TensorSource:
        """`tensors` again, as a source that no one else reads: what it gives is the reader's own to keep and change."""
        return _tensors(self, self.published)


def describe(folder: Path, config_name: str = "config.json", family: Family | None = None) -> Description:
    """Read config.json (or another config beside it), as `family` says or as its own model_type does.

    Raises StemmaError for what it cannot honour.
    """
    folder = Path(folder)
    if not folder.is_dir():
        near = (
            suggest(folder.name, sorted(p.name for p in folder.parent.iterdir()))
            if folder.parent.is_dir()
            else ""
        )
        hint = near if "did you mean" in near else "; give the path of a checkpoint folder"
        raise StemmaError(f"{folder}: is not a folder{hint}")
    path = folder / config_name
    config = with_side_file(folder, load_json(path))
    layout, plain = quantization(config, str(path)), dense_config(config)
    family = family or family_of_config(plain, str(path))
    spec = family.spec_of(plain, str(path))
    extra = parse(dict[str, Any], config.get("stemma") or {}, f"{path}: stemma")
    if "rope_fingerprint" in extra:
        check_rope_fingerprint(spec, str(extra["rope_fingerprint"]), str(path))
    ids = _special_ids(folder, config, family, spec)
    return Description(
        folder=folder,
        config=config,
        family=family,
        spec=spec,
        special_ids=ids,
        quantization=None if layout is None else layout.description(),
        extra=extra,
    )


def open_checkpoint(folder: Path, family: Family | None = None) -> Checkpoint:
    """Open a folder strictly: missing, unused and mis-shaped tensors are errors that name them.

    Reads headers alone; of quantised layers also the parts of a few bytes that say how the others are laid out.
    """
    found = describe(folder, family=family)
    published = FolderSource(found.folder)
    return Checkpoint(**vars(found), published=published, tensors=_tensors(found, published))


def _tensors(found: Description, published: FolderSource) -> TensorSource:
    source: TensorSource = published
    if found.quantization is not None:
        source, _ = dequantized(published, found.config, _published_names(found, len(published.names())))
    return found.family.map_in(source, found.spec)


def _published_names(found: Description, limit: int) -> list[str]:
    """The names of the dense model's tensors; none when it has more layers than `limit`, which `map_in` refuses."""
    if found.spec.num_layers > limit:
        return []
    shapes = parameter_shapes(found.spec)
    hollow = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return found.family.map_out(MemorySource(hollow), found.spec).names()


def _special_ids(folder: Path, config: dict[str, Any], family: Family, spec: Spec) -> SpecialIds:
    """From config.json; generation_config.json overrules it, because the published `generate` stops by that file."""
    path = folder / "generation_config.json"
    keys = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    override = {k: v for k, v in (load_json(path) if path.is_file() else {}).items() if k in keys}
    ids = read_special_ids(config | override, family, spec, str(path if override else folder / "config.json"))
    for value in (ids.bos, ids.pad, ids.decoder_start, *ids.eos, *ids.masks):
        if value is not None and value >= spec.vocab_size:
            raise StemmaError(
                f"{folder}: special token id {value} lies outside the vocabulary of {spec.vocab_size}; "
                "correct config.json"
            )
    return ids
