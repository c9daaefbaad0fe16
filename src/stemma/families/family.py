"""Family: one published layout as a table.

How its config.json is recognised, config <-> Spec, tensor names <-> ours, special ids, chat template. Nothing outside
this room asks for a family by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from stemma.errors import StemmaError
from stemma.families.config import Config
from stemma.families.mapping import MappedIn, MappedOut, link
from stemma.families.rules import Rule
from stemma.families.source import RespelledSource, TensorSource
from stemma.model.spec import Change, Spec, difference


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """Token ids with a meaning: where a text begins, what ends an answer, what fills a batch.

    `decoder_start` is what a decoder that reads an encoder begins with; `masks` are the ids that stand for a blank to be
    filled, in the order in which a model looks for them.
    """

    bos: int | None = None
    eos: tuple[int, ...] = ()
    pad: int | None = None
    decoder_start: int | None = None
    masks: tuple[int, ...] = ()


_MASK_KEYS = ("mask_token_id", "gmask_token_id")  # the last is looked for first


def _no_template(spec: Spec) -> str | None:
    return None


Stack = Literal["decoder", "encoder-decoder", "encoder"]


def stack_of(spec: Spec) -> Stack:
    """What kind of model a Spec is: it generates, generates from a source, or fills masks."""
    if spec.encoder is not None:
        return "encoder-decoder"
    return "decoder" if spec.causal else "encoder"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One published layout.

    `title` names the models for people. `read` takes what it needs from a Config; `write` gives the keys that say what a
    Spec says, as well as the layout can. Whether it can is decided by reading them back (`losses`), so no condition is
    written twice. `model_types` are the values of `model_type` it answers to, `architectures` those it answers to without
    one; where two families share a model_type, `distinctive` holds keys one of which only this one's configs have.
    `rules` and `special_ids` are fixed or follow from the Spec. `prefix` begins every published name and is missing in some files;
    `spellings` are (old, new) endings of names. `ignored` lists tensors that files carry and no forward pass needs, as
    globs; `copies` tensors that files repeat when the head is tied, with what they must equal. `chat_template` names the
    format its chat models were trained with, None where the layout fixes none; `text_marks` the special tokens before and
    after a plain text, by name or by role (bos, eos). `native` is the class of a stock transformers that opens the layout, "" where there is
    none. `fills_blanks`: the context of a prompt is visible to all of it, up to the token that begins the piece to write.
    `counts_padding`: the original counts padding on the left as positions. `any_stack`: it holds models of every
    stack. `outside_prefix`: beginnings of names that never have the prefix.
    """

    name: str
    title: str = ""
    stack: Stack = "decoder"
    model_types: tuple[str, ...]
    architectures: tuple[str, ...]
    read: Callable[[Config], Spec]
    write: Callable[[Spec], dict[str, Any]]
    rules: tuple[Rule, ...] | Callable[[Spec], tuple[Rule, ...]]
    distinctive: tuple[str, ...] = ()
    prefix: str = ""
    spellings: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict[str, str])
    special_ids: SpecialIds | Callable[[Spec], SpecialIds] = SpecialIds()
    chat_template: Callable[[Spec], str | None] = _no_template
    text_marks: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    native: str = ""
    fills_blanks: bool = False
    counts_padding: bool = False
    any_stack: bool = False
    outside_prefix: tuple[str, ...] = ("lm_head",)

    def spec_of(self, config: Mapping[str, Any], where: str = "config.json") -> Spec:
        """The Spec a config describes. Raises StemmaError naming an unknown key or a value we cannot honour."""
        reading = Config(config, where)
        try:
            spec = self.read(reading)
        except StemmaError as error:  # a Spec that cannot be does not know where its values come from
            raise error if str(error).startswith(where) else StemmaError(f"{where}: {error}") from None
        reading.finish()
        return spec

    def losses(self, spec: Spec) -> list[Change]:
        """What of a Spec this layout cannot say: empty when it can hold it exactly."""
        if stack_of(spec) != self.stack and not self.any_stack:
            return [Change("stack", stack_of(spec), f"the layout '{self.name}' is for an {self.stack} model")]
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
        ids["pad_token_id"] = special_ids.pad
        if special_ids.decoder_start is not None:
            ids["decoder_start_token_id"] = special_ids.decoder_start
        return self.write(spec) | ids | dict(zip(_MASK_KEYS, reversed(special_ids.masks), strict=False))

    def map_in(self, source: TensorSource, spec: Spec) -> TensorSource:
        """Published tensors under our names, lazily. Raises StemmaError for missing, unused, mis-shaped tensors."""
        if spec.num_layers > len(source.names()):  # said before a model of that many layers is laid out
            raise StemmaError(
                f"{source.where}: config.json asks for {spec.num_layers} layers, the files hold "
                f"{len(source.names())} tensors; one of the two belongs to another model"
            )
        respelled = self._respelled(source)
        return MappedIn(respelled, link(self.rules_of(spec), spec), self.ignored, self.copies, self.name)

    def map_out(self, source: TensorSource, spec: Spec) -> TensorSource:
        """Our tensors under published names, lazily; what came from this layout unchanged keeps its own spelling."""
        mapped = MappedOut(source, link(self.rules_of(spec), spec), self.name)
        published = mapped.origin.published if mapped.origin is not None else None
        if not isinstance(published, RespelledSource):
            return mapped
        return RespelledSource(mapped, {theirs: name for name, theirs in published.spellings.items()})

    def rules_of(self, spec: Spec) -> tuple[Rule, ...]:
        """The name rules of a model of this Spec."""
        return self.rules(spec) if callable(self.rules) else self.rules

    def _respelled(self, source: TensorSource) -> TensorSource:
        """The source under the names the rules know, where its own lack the prefix or end in an older way."""
        names = source.names()
        bare = bool(self.prefix) and not any(name.startswith(self.prefix) for name in names)
        spelled = {self._spelling(name, bare): name for name in names}
        changed = any(name != theirs for name, theirs in spelled.items())
        return RespelledSource(source, spelled) if changed and len(spelled) == len(names) else source

    def _spelling(self, name: str, bare: bool) -> str:
        for old, new in self.spellings:
            if name.endswith(old):
                name = name.removesuffix(old) + new
        return self.prefix + name if bare and not name.startswith(self.outside_prefix) else name


def read_special_ids(
    config: Mapping[str, Any], family: Family, spec: Spec, where: str = "config.json"
) -> SpecialIds:
    """The special ids a config (or a generation_config) names; the family's own, inside the vocabulary, where it names none."""
    defaults = _known_ids(family, spec)
    eos = _ids(config, "eos_token_id", where) if "eos_token_id" in config else defaults.eos
    masks = tuple(value for key in reversed(_MASK_KEYS) for value in _ids(config, key, where)[:1])

    def one(key: str, default: int | None) -> int | None:
        values = _ids(config, key, where)[:1] if key in config else ()
        return default if key not in config else values[0] if values else None

    return SpecialIds(
        bos=one("bos_token_id", defaults.bos),
        eos=eos,
        pad=one("pad_token_id", defaults.pad),
        decoder_start=one("decoder_start_token_id", defaults.decoder_start),
        masks=masks or defaults.masks,
    )


def _known_ids(family: Family, spec: Spec) -> SpecialIds:
    ids = family.special_ids if isinstance(family.special_ids, SpecialIds) else family.special_ids(spec)
    largest = max(
        (i for i in (ids.bos, ids.pad, ids.decoder_start, *ids.eos, *ids.masks) if i is not None), default=0
    )
    return ids if largest < spec.vocab_size else SpecialIds()


def _ids(config: Mapping[str, Any], key: str, where: str) -> tuple[int, ...]:
    value = config.get(key)
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    for item in values:
        if item is not None and (not isinstance(item, int) or isinstance(item, bool)):
            raise StemmaError(f"{where}: {key}: expected a token id, found {item!r}")
    return tuple(
        item for item in values if item is not None and item >= 0
    )  # -1 is a published spelling of none
