"""A Spec in the words of the field, one function per facet; every value of the facet is in the words.

Facets that a decoder and an encoder both have take a `Stack`. Layers that differ are told apart and counted.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stemma.families.describe_positions import inside, learned
from stemma.families.family import Family
from stemma.model.spec import (
    AttentionSpec,
    BlockSpec,
    FeedForwardSpec,
    HeadSpec,
    InputSpec,
    MixtureSpec,
    NormSpec,
    RopeSpec,
    Spec,
)

_ACTIVATION = {"silu": "SiLU", "gelu": "GELU", "gelu_tanh": "GELU (tanh)", "relu": "ReLU"}
_GATED = {"silu": "SwiGLU", "gelu": "GeGLU", "gelu_tanh": "GeGLU (tanh)", "relu": "ReGLU"}
_NORM = {"rmsnorm": "RMSNorm", "layernorm": "LayerNorm", "none": "no norm"}
_RESIDUAL = {
    "pre": "pre-norm",
    "post": "post-norm",
    "sandwich": "sandwich: before and after each branch",
    "normed": "residual carries the normalised input",
    "parallel": "one norm for parallel attention and feed-forward",
    "parallel_two": "attention and feed-forward parallel, a norm each",
}


@dataclass(frozen=True)
class Stack:
    """What a decoder and an encoder have in common."""

    inputs: InputSpec
    layers: tuple[BlockSpec, ...]
    final_norm: NormSpec


def stacks(spec: Spec) -> dict[str, Stack]:
    """The stacks of a model by the prefix of their places in the Spec; the one that gives the logits comes first."""
    found = {"": Stack(spec.inputs, spec.layers, spec.final_norm)}
    if spec.encoder is not None:
        found["encoder."] = Stack(spec.encoder.inputs, spec.encoder.layers, spec.encoder.final_norm)
    return found


def mask(spec: Spec, family: Family | None) -> str:
    """Who sees whom. A prefix is how a family is trained and prompted; its weights would run with any mask."""
    if spec.encoder is not None:
        return "encoder-decoder (the source sees all of itself)"
    if not spec.causal:
        return "bidirectional"
    return "prefix (the context sees all of itself)" if family and family.fills_blanks else "causal"


def active_parameters(spec: Spec) -> int:
    """Parameters one token passes: all, but for the experts that are not chosen for it."""
    idle = 0
    for stack in stacks(spec).values():
        for block in stack.layers:
            inner = block.feed_forward
            if isinstance(inner, MixtureSpec):
                unused = inner.num_experts - inner.experts_per_token
                idle += unused * inner.expert.num_parameters(spec.hidden_size)
    return spec.num_parameters() - idle


def attention(stack: Stack) -> str:
    return _each(stack.layers, lambda block: heads(block.attention))


def heads(spec: AttentionSpec) -> str:
    """Heads, and how many share a key and a value."""
    named = f"{spec.num_heads} {'head' if spec.num_heads == 1 else 'heads'} of {spec.head_dim}"
    if spec.num_kv_heads == spec.num_heads:
        return f"MHA with {named}"
    if spec.num_kv_heads == 1:
        return f"MQA with {named}, one key and value for all"
    return f"GQA with {named}, {spec.num_kv_heads} groups of keys and values"


def scores(stack: Stack) -> str:
    """What acts on queries, keys and scores besides positions; "" for the plain form."""
    return _each(stack.layers, lambda block: ", ".join(_scores(block.attention)))


def positions(stack: Stack) -> str:
    """How a token knows its place: in the embedding, inside attention, or both."""
    table = learned(stack.inputs.positions) if stack.inputs.positions else ""
    ways = [table, _each(stack.layers, lambda block: inside(block.attention.position))]
    return ", ".join(way for way in ways if way) or "none"


def feed_forward(stack: Stack) -> str:
    return _each(stack.layers, lambda block: _feed_forward(block.feed_forward))


def norm(stack: Stack) -> str:
    """Kind and place of the norms, and how the residual runs between them."""

    def words(block: BlockSpec) -> str:
        scale = f" x {block.residual_scale:.4g}" if block.residual_scale != 1 else ""
        return f"{_NORM[block.norm.kind]}, {_RESIDUAL[block.residual]}{scale}"

    kinds = {block.norm.kind for block in stack.layers}
    last = stack.final_norm.kind
    final = "" if kinds == {last} else ", no final norm" if last == "none" else f", final {_NORM[last]}"
    return _each(stack.layers, words) + final


def epsilon(stack: Stack) -> str:
    """The epsilon of every norm there is, once where they agree."""
    norms = {"embedding": stack.inputs.norm, "final": stack.final_norm}
    found = {name: f"{n.eps:g}" for name, n in norms.items() if n.kind != "none"}
    found["layers"] = _each(stack.layers, lambda block: f"{block.norm.eps:g}")
    return _agreeing(found)


def biases(stack: Stack) -> str:
    return _each(stack.layers, _biases)


def embedding(stack: Stack) -> str:
    """What happens to a token's embedding before the first layer, positions aside; "" for nothing."""
    inputs = stack.inputs
    ways = {
        f"projected from {inputs.width} columns": inputs.width is not None,
        f"multiplied by {inputs.scale:.6g}": inputs.scale != 1,
        f"{inputs.num_token_types} token types added": inputs.num_token_types > 0,
        f"{_NORM[inputs.norm.kind]} on the embedding": inputs.norm.kind != "none",
    }
    return ", ".join(words for words, holds in ways.items() if holds)


def cross_attention(spec: Spec) -> str:
    """How the decoder reads its encoder; "" where there is none."""

    def words(block: BlockSpec) -> str:
        cross = block.cross_attention
        if cross is None:
            return ""
        ways = [heads(cross), *_scores(cross), inside(cross.position)]
        ways += ["biases " + _listed(_attention_biases(cross))] if any(_attention_biases(cross)) else []
        return ", ".join(way for way in ways if way)

    return _each(spec.layers, words)


def head(spec: HeadSpec) -> str:
    """The way from the last hidden state to logits."""
    transform = spec.transform
    ways = {
        "tied to the embedding" if spec.tie_embeddings else "a matrix of its own": True,
        "rows normalised at use (NormHead)": spec.normalized,
        f"max-z loss of weight {spec.max_z_weight:g} in training": spec.max_z_weight > 0,
        "with a bias": spec.bias,
        f"hidden state x {spec.scale:.6g}": spec.scale != 1,
    }
    found = [words for words, holds in ways.items() if holds]
    if transform is not None:
        inner = f"{_ACTIVATION[transform.activation]} and {_NORM[transform.norm.kind]}"
        found.append(f"after a dense layer, {inner} (eps {transform.norm.eps:g})")
    return ", ".join(found)


def unusual(spec: Spec, family: Family | None) -> list[str]:
    """Where a model leaves the beaten path: causal, pre-norm RMSNorm, SwiGLU, plain RoPE, no biases, a head of its own."""
    layers = [block for stack in stacks(spec).values() for block in stack.layers]
    attentions = [block.attention for block in layers]
    inner = [block.feed_forward for block in layers]
    remarks = {
        "prefix mask": mask(spec, family).startswith("prefix"),
        "does not generate": not spec.causal,
        "two positions a token": spec.two_positions,
        "RoPE on part of a head": any(
            isinstance(a.position, RopeSpec) and a.position.fraction < 1 for a in attentions
        ),
        "RoPE pairs interleaved": any(
            isinstance(a.position, RopeSpec) and a.position.interleaved for a in attentions
        ),
        "ALiBi": any(a.position.kind == "alibi" for a in attentions),
        "learned positions": any(stack.inputs.positions for stack in stacks(spec).values()),
        "relative positions": any(a.position.kind == "relative" for a in attentions),
        "a length extension of RoPE": any(
            isinstance(a.position, RopeSpec) and a.position.scaling for a in attentions
        ),
        "LogN": any(a.logn for a in attentions),
        "a window": any(a.window for a in attentions),
        "scores not divided": any(not a.scaled for a in attentions),
        "norms on query and key": any(a.qk_norm for a in attentions),
        "number of heads is not a power of two": any(a.num_heads & (a.num_heads - 1) for a in attentions),
        "heads x head_dim is not the hidden size": any(
            a.num_heads * a.head_dim != spec.hidden_size for a in attentions
        ),
        "biases": any(biases(stack) != "none" for stack in stacks(spec).values()),
        "LayerNorm": any(block.norm.kind == "layernorm" for block in layers),
        "norms not in front of the branches": any(block.residual != "pre" for block in layers),
        "mixture of experts": any(isinstance(i, MixtureSpec) for i in inner),
        "not SwiGLU": any(not _feed_forward(i).count("SwiGLU") for i in inner),
        "layers differ from each other": any(len(set(s.layers)) > 1 for s in stacks(spec).values()),
        "NormHead": spec.head.normalized,
        "max-z loss in training": spec.head.max_z_weight > 0,
        "head tied to the embedding": spec.head.tie_embeddings,
    }
    return [remark for remark, holds in remarks.items() if holds]


def _each(layers: Sequence[BlockSpec], words: Callable[[BlockSpec], str]) -> str:
    """The words of all layers, once where they agree, else with the number of layers each holds for."""
    found = Counter(words(block) for block in layers)
    if len(found) == 1:
        return next(iter(found))
    counted = sorted((-count, text or "plain") for text, count in found.items())
    return "; ".join(f"{text} in {-count} of {len(layers)} layers" for count, text in counted)


def _agreeing(found: dict[str, str]) -> str:
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{text} ({place})" for place, text in found.items())


def _scores(spec: AttentionSpec) -> list[str]:
    found = [f"window of {spec.window:,} keys"] if spec.window is not None else []
    found += [] if spec.scaled else ["scores not divided by sqrt(head_dim)"]
    found += [f"LogN on queries beyond {spec.logn:,}"] if spec.logn is not None else []
    if spec.qk_norm is not None:
        found.append(f"{_NORM[spec.qk_norm.kind]} on every query and key head (eps {spec.qk_norm.eps:g})")
    return found


def _feed_forward(spec: FeedForwardSpec | MixtureSpec) -> str:
    if isinstance(spec, MixtureSpec):
        shared = f", {_feed_forward(spec.shared)} for every token" if spec.shared else ""
        summed = "renormalised" if spec.renormalized else "not renormalised"
        chosen = f"{spec.experts_per_token} of {spec.num_experts} experts"
        return f"{chosen}, each {_feed_forward(spec.expert)}, weights {summed}{shared}"
    gated = spec.kind == "gated"
    kind = _GATED[spec.activation] if gated else f"{_ACTIVATION[spec.activation]} MLP"
    return f"{kind} {spec.intermediate_size:,}"


def _biases(block: BlockSpec) -> str:
    """Where a layer's matrices have biases; an expert's are those of the feed-forward layer."""
    inner = block.feed_forward
    parts = [inner] if isinstance(inner, FeedForwardSpec) else [inner.expert, inner.shared or inner.expert]
    own = [part.bias for part in parts]
    where = "feed-forward" if all(own) else "experts" if own[0] else "shared expert" if own[-1] else ""
    return _listed([*_attention_biases(block.attention), where])


def _attention_biases(spec: AttentionSpec) -> list[str]:
    return ["query, key, value" if spec.qkv_bias else "", "attention output" if spec.output_bias else ""]


def _listed(places: Sequence[str]) -> str:
    found = [place for place in places if place]
    if found == ["query, key, value", "attention output", "feed-forward"]:
        return "everywhere"
    return f"{', '.join(found)} only" if found else "none"
