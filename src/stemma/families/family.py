"""Family: one published layout as a table.

How its config.json is recognised, config <-> Spec, tensor names <-> ours, special ids, chat template. Nothing outside
this room asks for a family by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from stemma.errors import StemmaError
from stemma.families.config import Config
from stemma.families.mapping import MappedIn, MappedOut, link
from stemma.families.rules import Rule
from stemma.families.source import TensorSource
from stemma.model.spec import Change, Spec, difference


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """Token ids with a meaning: where a text begins, what ends an answer, what fills a batch."""

    bos: int | None = None
    eos: tuple[int, ...] = ()
    pad: int | None = None


def _no_template(spec: Spec) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Family:
    """One published layout.

    `read` takes what it needs from a Config; `write` gives the keys that say what a Spec says, as well as the layout can.
    Whether it can is decided by reading them back (`losses`), so no condition is written twice.
    `model_types` are the values of `model_type` it answers to, `architectures` those it answers to without one.
    `ignored` lists derived buffers that files carry and nobody needs, as globs; `copies` tensors that older files repeat
    when the head is tied, with what they must equal. `chat_template` names the format its chat models were trained with,
    None where the layout fixes none.
    """

    name: str
    model_types: tuple[str, ...]
    architectures: tuple[str, ...]
    read: Callable[[Config], Spec]
    write: Callable[[Spec], dict[str, Any]]
    rules: tuple[Rule, ...]
    ignored: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict[str, str])
    special_ids: SpecialIds = SpecialIds()
    chat_template: Callable[[Spec], str | None] = _no_template

    def spec_of(self, config: Mapping[str, Any], where: str = "config.json") -> Spec:
        """The Spec a config describes. Raises StemmaError naming an unknown key or a value we cannot honour."""
        reading = Config(config, where)
        spec = self.read(reading)
        reading.finish()
        return spec

    def losses(self, spec: Spec) -> list[Change]:
        """What of a Spec this layout cannot say: empty when it can hold it exactly."""
        try:
            return difference(spec, self.spec_of(self.write(spec)))
        except StemmaError as error:
            return [Change("spec", "as given", str(error))]

    def config_of(self, spec: Spec, special_ids: SpecialIds) -> dict[str, Any]:
        """config.json for a Spec. Raises StemmaError naming what the layout cannot say."""
        losses = self.losses(spec)
        if losses:
            raise StemmaError(
                f"the layout '{self.name}' cannot hold this model: {losses[0]}; write it as 'stemma'"
            )
        ids: dict[str, Any] = {"bos_token_id": special_ids.bos}
        ids["eos_token_id"] = (
            special_ids.eos[0] if len(special_ids.eos) == 1 else list(special_ids.eos) or None
        )
        return self.write(spec) | ids | {"pad_token_id": special_ids.pad}

    def map_in(self, source: TensorSource, spec: Spec) -> TensorSource:
        """Published tensors under our names, lazily. Raises StemmaError for missing, unused, mis-shaped tensors."""
        if spec.num_layers > len(source.names()):  # said before a model of that many layers is laid out
            raise StemmaError(
                f"{source.where}: config.json asks for {spec.num_layers} layers, the files hold "
                f"{len(source.names())} tensors; one of the two belongs to another model"
            )
        return MappedIn(source, link(self.rules, spec), self.ignored, self.copies)

    def map_out(self, source: TensorSource, spec: Spec) -> TensorSource:
        """Our tensors under published names, lazily."""
        return MappedOut(source, link(self.rules, spec))


def read_special_ids(config: Mapping[str, Any], family: Family, where: str = "config.json") -> SpecialIds:
    """The special ids a config (or a generation_config) names; the family's where it names none."""
    defaults = family.special_ids
    eos = _ids(config, "eos_token_id", where) if "eos_token_id" in config else defaults.eos
    bos = _ids(config, "bos_token_id", where)[:1] if "bos_token_id" in config else _one(defaults.bos)
    pad = _ids(config, "pad_token_id", where)[:1] if "pad_token_id" in config else _one(defaults.pad)
    return SpecialIds(bos=bos[0] if bos else None, eos=eos, pad=pad[0] if pad else None)


def _one(value: int | None) -> tuple[int, ...]:
    return () if value is None else (value,)


def _ids(config: Mapping[str, Any], key: str, where: str) -> tuple[int, ...]:
    value = config[key]
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    for item in values:
        if item is not None and (not isinstance(item, int) or isinstance(item, bool)):
            raise StemmaError(f"{where}: {key}: expected a token id, found {item!r}")
    return tuple(
        item for item in values if item is not None and item >= 0
    )  # -1 is a published spelling of none
