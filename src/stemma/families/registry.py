"""The families there are: ours, then those that installed packages offer under the entry point group `stemma.families`.

An entry point names a `Family` or a sequence of them.
"""

import functools
import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any, cast

from stemma.config import suggest
from stemma.errors import StemmaError
from stemma.families.baichuan import BAICHUAN
from stemma.families.bart import BART
from stemma.families.bert import BERT
from stemma.families.bloom import BLOOM
from stemma.families.chatglm import CHATGLM
from stemma.families.chatglm2 import CHATGLM2
from stemma.families.config import Config
from stemma.families.falcon import FALCON
from stemma.families.family import Family
from stemma.families.glm4 import GLM, GLM4
from stemma.families.glm10b import GLM10B
from stemma.families.gpt2 import GPT2
from stemma.families.internlm import INTERNLM, INTERNLM3
from stemma.families.llama import LLAMA
from stemma.families.mistral import MISTRAL, MIXTRAL
from stemma.families.opt import OPT
from stemma.families.qwen import QWEN
from stemma.families.qwen2 import QWEN2, QWEN2_MOE, QWEN3
from stemma.families.stemma import STEMMA
from stemma.families.t5 import T5
from stemma.model.spec import Spec

GROUP = "stemma.families"
_PUBLISHED = (
    *(LLAMA, MISTRAL, MIXTRAL, QWEN2, QWEN3, QWEN2_MOE, GLM, GLM4),
    *(GPT2, OPT, BLOOM, FALCON, T5, BART, BERT),
    *(BAICHUAN, INTERNLM, INTERNLM3, QWEN, CHATGLM, CHATGLM2, GLM10B),
)


@functools.cache
def families() -> tuple[Family, ...]:
    """All families: published layouts in order of preference, outside ones by name, our own last."""
    found: dict[str, Family] = {family.name: family for family in _PUBLISHED}
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        loaded = point.load()
        for family in (loaded,) if isinstance(loaded, Family) else tuple(cast("Iterable[Any]", loaded)):
            if not isinstance(family, Family) or family.name in found or family.name == STEMMA.name:
                raise StemmaError(
                    f"entry point {point.value} of {GROUP} does not offer a new Family; uninstall its package"
                )
            found[family.name] = family
    return (*found.values(), STEMMA)


def family_named(name: str) -> Family:
    """The family of this name. Raises StemmaError with a suggestion."""
    for family in families():
        if family.name == name:
            return family
    raise StemmaError(f"family '{name}' is not known{suggest(name, [f.name for f in families()])}")


def family_of_config(config: Mapping[str, Any], where: str = "config.json") -> Family:
    """The family that wrote a config.json, by `model_type`, or by `architectures` where that is absent.

    Raises StemmaError where neither names a known family.
    """
    model_type = config.get("model_type")
    architectures = Config(config, where).optional("architectures", tuple[str, ...], ())
    found = [family for family in families() if model_type in family.model_types]
    if model_type is None:
        found = [family for family in families() if set(architectures) & set(family.architectures)]
    for family in found:
        if any(key in config for key in family.distinctive):
            return family
    plain = [family for family in found if not family.distinctive]
    if plain or found:
        return (plain or found)[0]
    known = list(dict.fromkeys(name for family in families() for name in family.model_types))
    if model_type is None:
        raise StemmaError(f"{where}: has no model_type; add the one of its family: {', '.join(known)}")
    raise StemmaError(
        f"{where}: model_type '{model_type}' is not a known family{suggest(str(model_type), known)}"
    )


def family_for_spec(spec: Spec) -> Family:
    """The first published layout that holds the Spec exactly, else our own."""
    return next(family for family in families() if not family.losses(spec))
