"""Rotary settings of a config in both published spellings, read and written.

Newer files hold one table `rope_parameters` with `rope_theta` and `rope_type` inside; older ones a top-level
`rope_theta` and a table `rope_scaling` whose kind is called `type` or `rope_type`. We write the older spelling, which
every reader understands; a reader that knows only the older one would take a base of 10000 from the newer.
"""

import math
from typing import Any

from stemma.config import suggest
from stemma.errors import StemmaError
from stemma.families.config import Config
from stemma.model.position.scaling import yarn_attention_factor
from stemma.model.spec import (
    BlockSpec,
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    RopeScaling,
    RopeSpec,
    SteppedScaling,
    YarnScaling,
)

_KINDS = ("default", "linear", "dynamic", "yarn", "llama3")


def read_rope(
    config: Config,
    max_seq_len: int,
    *,
    theta: float = 10000.0,
    fraction: float = 1.0,
    interleaved: bool = False,
) -> RopeSpec:
    """The RopeSpec of a config; `theta` and `fraction` are the family's defaults. Raises StemmaError for what is not known."""
    new, old = config.table("rope_parameters"), config.table("rope_scaling")
    outer = config.maybe("rope_theta", float)
    inner = new.maybe("rope_theta", float) if new else None
    if outer is not None and inner is not None and outer != inner:
        raise StemmaError(f"{config.where}: rope_theta is {outer} at the top and {inner} in rope_parameters")
    share = new.maybe("partial_rotary_factor", float) if new else None
    share = share if share is not None else config.maybe("partial_rotary_factor", float)
    scalings = [_read_scaling(table, max_seq_len) for table in (new, old) if table is not None]
    if any(scaling != scalings[0] for scaling in scalings):
        raise StemmaError(f"{config.where}: rope_parameters and rope_scaling disagree; keep one of them")
    found = inner if inner is not None else outer
    return RopeSpec(
        theta=theta if found is None else found,
        fraction=fraction if share is None else share,
        interleaved=interleaved,
        scaling=scalings[0] if scalings else None,
    )


def rope_of(block: BlockSpec) -> RopeSpec:
    """The block's RopeSpec, or the default one, which `losses` then finds to differ."""
    position = block.attention.position
    return position if isinstance(position, RopeSpec) else RopeSpec()


def write_rope(rope: RopeSpec) -> dict[str, Any]:
    """The config keys of a RopeSpec, older spelling; fraction and pairing are the family's own business."""
    return {"rope_theta": rope.theta, "rope_scaling": _write_scaling(rope.scaling)}


def _read_scaling(table: Config, max_seq_len: int) -> RopeScaling | None:
    kind = table.optional("rope_type", str, "default", "type")
    if kind not in _KINDS:
        raise StemmaError(f"{table.where}: rope type '{kind}' is not known{suggest(kind, _KINDS)}")
    if kind == "default":
        scaling = None
    elif kind == "linear":
        scaling = LinearScaling(factor=table.take("factor", float))
    elif kind == "dynamic":
        scaling = DynamicScaling(factor=table.take("factor", float), original_max_seq_len=max_seq_len)
    elif kind == "yarn":
        scaling = _read_yarn(table, max_seq_len)
    else:
        scaling = Llama3Scaling(
            factor=table.take("factor", float),
            low_freq_factor=table.take("low_freq_factor", float),
            high_freq_factor=table.take("high_freq_factor", float),
            original_max_seq_len=table.take("original_max_position_embeddings", int),
        )
    table.finish()
    _check(table, scaling)
    return scaling


def _read_yarn(table: Config, max_seq_len: int) -> YarnScaling:
    factor = table.take("factor", float)
    scale, scale_all = table.maybe("mscale", float), table.maybe("mscale_all_dim", float)
    implied = yarn_attention_factor(factor)
    if scale and scale_all:
        growth = implied - 1.0  # 0.1 ln(factor), which mscale multiplies
        implied = (scale * growth + 1.0) / (scale_all * growth + 1.0)
    if not table.optional("truncate", bool, True):
        raise StemmaError(
            f"{table.where}: truncate false is not supported; it moves YaRN's ramp off whole pairs"
        )
    return YarnScaling(
        factor=factor,
        original_max_seq_len=table.optional("original_max_position_embeddings", int, max_seq_len),
        beta_fast=table.optional("beta_fast", float, 32.0),
        beta_slow=table.optional("beta_slow", float, 1.0),
        attention_factor=table.optional("attention_factor", float, implied),
    )


def _check(table: Config, scaling: RopeScaling | None) -> None:
    if scaling is None or isinstance(scaling, SteppedScaling):
        return
    if not (math.isfinite(scaling.factor) and scaling.factor >= 1):
        raise StemmaError(f"{table.where}: factor is {scaling.factor}; a length extension is at least 1")
    if isinstance(scaling, Llama3Scaling) and scaling.low_freq_factor >= scaling.high_freq_factor:
        raise StemmaError(f"{table.where}: low_freq_factor must be below high_freq_factor")
    if not isinstance(scaling, LinearScaling) and scaling.original_max_seq_len < 1:
        raise StemmaError(
            f"{table.where}: the original length is {scaling.original_max_seq_len}, not a length"
        )


def _write_scaling(scaling: RopeScaling | None) -> dict[str, Any] | None:
    if scaling is None or isinstance(scaling, SteppedScaling):  # the latter has no spelling here
        return None
    table: dict[str, Any] = {"type": scaling.kind, "rope_type": scaling.kind, "factor": scaling.factor}
    if isinstance(scaling, YarnScaling | Llama3Scaling):
        table["original_max_position_embeddings"] = scaling.original_max_seq_len
    if isinstance(scaling, YarnScaling):
        table |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow}
        table["attention_factor"] = scaling.attention_factor
    if isinstance(scaling, Llama3Scaling):
        table |= {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    return table
