"""Positions in the words of the field: in the embedding, inside attention, and how far they carry."""

from stemma.model.spec import (
    AlibiSpec,
    AttentionSpec,
    DynamicScaling,
    LearnedPositionSpec,
    LinearScaling,
    Llama3Scaling,
    PositionSpec,
    RelativeSpec,
    Rope2dSpec,
    RopeScaling,
    RopeSpec,
    Spec,
    YarnScaling,
)

_SHARE = {1.0: "whole heads", 0.5: "half of each head", 0.25: "a quarter of each head"}


def reach(spec: Spec) -> str:
    """The length a model was trained for and what carries it there."""
    table = spec.inputs.positions
    ways = [f"a learned table of {table.max_seq_len:,} places"] if table else []
    carried = [_carried(block.attention) for block in spec.layers]
    return ", ".join([f"{spec.max_seq_len:,} tokens", *ways, *dict.fromkeys(way for way in carried if way)])


def learned(spec: LearnedPositionSpec) -> str:
    """Positions added to the embedding."""
    offset = f", read from row {spec.offset} on" if spec.offset else ""
    blocks = " and a second table for the place in the answer" if spec.blocks else ""
    return f"learned table of {spec.num_rows:,} rows{offset}{blocks}"


def inside(position: PositionSpec) -> str:
    """Positions inside attention; "" for none."""
    match position:
        case RopeSpec():
            share = _SHARE.get(position.fraction, f"{position.fraction:.6g} of each head")
            pairs = ", interleaved" if position.interleaved else ""
            scaling = f", {_scaling(position.scaling)}" if position.scaling else ""
            return f"RoPE on {share}{pairs}, base {position.theta:,.10g}{scaling}"
        case Rope2dSpec():
            rounded = ", frequencies rounded to float16" if position.half_precision else ""
            halves = "half of a head by the place in the text, half by the place in the answer"
            return f"2-D RoPE ({halves}), base {position.theta:,.10g}{rounded}"
        case AlibiSpec():
            early = ", added before the division by sqrt(head_dim)" if position.before_scaling else ""
            return f"ALiBi{early}{', rounded to bfloat16' if position.rounded else ''}"
        case RelativeSpec():
            return f"{position.num_buckets} learned buckets of distance, the last from {position.max_distance} on"
        case _:
            return ""


def _carried(spec: AttentionSpec) -> str:
    """What in attention decides how far a model reads; "" for nothing."""
    position = spec.position
    logn = ", LogN" if spec.logn else ""
    window = f", a window of {spec.window:,}" if spec.window else ""
    match position:
        case RopeSpec():
            scaling = f", {_scaling(position.scaling)}" if position.scaling else ""
            words = f"RoPE base {position.theta:,.10g}{scaling}"
        case Rope2dSpec():
            words = f"2-D RoPE base {position.theta:,.10g}"
        case AlibiSpec():
            words = "ALiBi, which has no end"
        case RelativeSpec():
            words = f"buckets of distance, all alike from {position.max_distance} on"
        case _:
            words = ""
    return (words + logn + window).removeprefix(", ")


def _scaling(spec: RopeScaling) -> str:
    match spec:
        case LinearScaling():
            return f"positions divided by {spec.factor:g} (interpolation)"
        case DynamicScaling():
            return f"dynamic NTK of factor {spec.factor:g} beyond {spec.original_max_seq_len:,}"
        case YarnScaling():
            return (
                f"YaRN of factor {spec.factor:g} from {spec.original_max_seq_len:,} (beta {spec.beta_fast:g} and "
                f"{spec.beta_slow:g}, cos and sin x {spec.attention_factor:.6g})"
            )
        case Llama3Scaling():
            return (
                f"LLaMA 3 scaling of factor {spec.factor:g} from {spec.original_max_seq_len:,} "
                f"(low {spec.low_freq_factor:g}, high {spec.high_freq_factor:g})"
            )
        case _:
            return f"NTK in steps of the prompt's length beyond {spec.original_max_seq_len:,}"
