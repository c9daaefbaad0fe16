"""Our own layout, for models no published one can hold: config.json carries the Spec verbatim, tensors our names."""

from typing import Any, cast

from stemma.config import parse, plain
from stemma.families.config import Config
from stemma.families.family import Family
from stemma.families.rules import rename
from stemma.model.spec import Spec


def read(config: Config) -> Spec:
    """The Spec under the key `spec`."""
    return parse(Spec, config.take("spec", cast("type[Any]", Any)), f"{config.where}: spec")


def write(spec: Spec) -> dict[str, Any]:
    """The Spec, whole."""
    return {"model_type": "stemma", "spec": plain(spec)}


STEMMA = Family(
    name="stemma",
    title="our own layout",
    model_types=("stemma",),
    architectures=(),
    read=read,
    write=write,
    rules=(rename("{name}", "{name}"),),
    any_stack=True,
)
