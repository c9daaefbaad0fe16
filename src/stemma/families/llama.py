"""LLaMA 1, 2 and 3, Yi, Skywork and whoever publishes in their layout; the reading and writing its descendants share.

Pre-norm RMSNorm, SwiGLU, RoPE on whole heads (pairs half a head apart), grouped-query attention, no biases unless
`attention_bias` (query, key, value and output) or `mlp_bias` says so. arXiv 2302.13971, 2307.09288, 2403.04652.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stemma.errors import StemmaError
from stemma.families.config import PUBLISHED_ACTIVATION, Config
from stemma.families.family import Family, SpecialIds
from stemma.families.rope import read_rope, rope_of, write_rope
from stemma.families.rules import Rule, rename, renames
from stemma.model.spec import (
    AttentionSpec,
    BlockSpec,
    FeedForwardSpec,
    HeadSpec,
    MixtureSpec,
    NormSpec,
    RopeSpec,
    Spec,
)

LAYER = "model.layers.{layer}"
OURS = "layers.{layer}"

ATTENTION_RULES = renames(
    f"{LAYER}.self_attn.",
    f"{OURS}.attention.",
    query="q_proj",
    key="k_proj",
    value="v_proj",
    query_norm="q_norm",
    key_norm="k_norm",
)
FRAME_RULES = (
    rename("model.embed_tokens", "embedding"),
    rename(f"{LAYER}.input_layernorm", f"{OURS}.attention_norm"),
    rename(f"{LAYER}.self_attn.o_proj", f"{OURS}.attention.output"),
    rename(f"{LAYER}.post_attention_layernorm", f"{OURS}.feed_forward_norm"),
    rename("model.norm", "final_norm"),
    rename("lm_head", "head"),
)
GATED_RULES = renames(
    f"{LAYER}.mlp.", f"{OURS}.feed_forward.", gate="gate_proj", up="up_proj", down="down_proj"
)
RULES: tuple[Rule, ...] = ATTENTION_RULES + FRAME_RULES + GATED_RULES
IGNORED = ("model.layers.*.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq")
_MOST_LAYERS = 10_000
COPIES = {"lm_head.weight": "model.embed_tokens.weight"}


def read_decoder(
    config: Config,
    *,
    qkv_bias: bool = False,
    output_bias: bool = False,
    eps: float = 1e-6,
    rope: RopeSpec | None = None,
    windows: Sequence[int | None] = (None,),
    qk_norm: bool = False,
    feed_forwards: Sequence[FeedForwardSpec | MixtureSpec] = (),
    residual: Any = "pre",
) -> Spec:
    """The Spec of a config in LLaMA's keys.

    `eps` is the default of `rms_norm_eps`; `rope` overrides what `read_rope` finds; `windows` and `feed_forwards` hold
    one entry for all layers or one per layer, and without the latter the feed-forward layer is gated.
    """
    hidden_size = config.take("hidden_size", int)
    num_heads = config.take("num_attention_heads", int)
    num_layers = read_num_layers(config)
    max_seq_len = read_max_seq_len(config)
    norm = NormSpec(eps=config.optional("rms_norm_eps", float, eps))
    head_dim = read_head_dim(config, hidden_size, num_heads)
    position = rope or read_rope(config, max_seq_len)
    num_kv_heads = config.optional("num_key_value_heads", int, num_heads)
    layers = [
        BlockSpec(
            attention=AttentionSpec(
                num_heads=num_heads,
                num_kv_heads=num_kv_heads,
                head_dim=head_dim,
                position=position,
                qkv_bias=qkv_bias,
                output_bias=output_bias,
                window=windows[layer % len(windows)],
                qk_norm=norm if qk_norm else None,
            ),
            feed_forward=feed_forward,
            norm=norm,
            residual=residual,
        )
        for layer, feed_forward in enumerate(
            per_layer(feed_forwards or (read_gated(config),), num_layers if len(windows) > 1 else 1)
        )
    ]
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=num_layers,
        max_seq_len=max_seq_len,
        blocks=shortest_pattern(layers),
        final_norm=norm,
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, False)),
    )


def write_decoder(spec: Spec, architecture: str, model_type: str) -> dict[str, Any]:
    """The keys every descendant of LLaMA shares, for a Spec."""
    attention = spec.blocks[0].attention
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        **write_gated(spec.blocks[0]),
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": attention.num_heads,
        "num_key_value_heads": attention.num_kv_heads,
        "head_dim": attention.head_dim,
        "max_position_embeddings": spec.max_seq_len,
        "rms_norm_eps": spec.blocks[0].norm.eps,
        **write_rope(rope_of(spec.blocks[0])),
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


def read_gated(config: Config, bias: bool = False) -> FeedForwardSpec:
    """The gated feed-forward layer in LLaMA's keys."""
    return FeedForwardSpec(
        intermediate_size=config.take("intermediate_size", int),
        activation=config.activation("hidden_act", "silu", "hidden_activation"),
        bias=bias,
    )


def write_gated(block: BlockSpec) -> dict[str, Any]:
    """Width and activation of a block's feed-forward layer, or of its experts."""
    inner = block.feed_forward
    inner = inner.expert if isinstance(inner, MixtureSpec) else inner
    return {
        "intermediate_size": inner.intermediate_size,
        "hidden_act": PUBLISHED_ACTIVATION[inner.activation],
    }


def dense_of(block: BlockSpec) -> FeedForwardSpec:
    """The block's feed-forward layer. Raises StemmaError for a mixture of experts, which few layouts can hold."""
    if isinstance(block.feed_forward, MixtureSpec):
        raise StemmaError("a mixture of experts, for which this layout has no names")
    return block.feed_forward


def read_num_layers(config: Config, key: str = "num_hidden_layers", *aliases: str) -> int:
    """The number of layers. Raises StemmaError for one no model has, before anything is laid out per layer."""
    count = config.take(key, int, *aliases)
    if not 0 < count <= _MOST_LAYERS:
        raise StemmaError(f"{config.where}: {key} is {count}; expected between 1 and {_MOST_LAYERS}")
    return count


def read_max_seq_len(config: Config) -> int:
    """`max_position_embeddings`, 2048 where the config is silent."""
    return config.optional("max_position_embeddings", int, 2048, "max_sequence_length")


def read_head_dim(config: Config, hidden_size: int, num_heads: int) -> int:
    """`head_dim`, or hidden_size / num_attention_heads. Raises StemmaError when that is not whole."""
    head_dim = config.maybe("head_dim", int)
    if head_dim is not None:
        return head_dim
    if num_heads < 1 or hidden_size % num_heads:
        raise StemmaError(
            f"{config.where}: hidden_size {hidden_size} is not a multiple of num_attention_heads {num_heads}; "
            "give head_dim"
        )
    return hidden_size // num_heads


def per_layer(entries: Sequence[Any], num_layers: int) -> list[Any]:
    """One entry for every layer, where one entry stands for all."""
    return list(entries) if len(entries) > 1 else list(entries) * num_layers


def shortest_pattern(layers: Sequence[BlockSpec]) -> tuple[BlockSpec, ...]:
    """The shortest pattern whose repetition gives these layers."""
    count = len(layers)
    for length in range(1, count + 1):
        if count % length == 0 and all(layers[i] == layers[i % length] for i in range(count)):
            return tuple(layers[:length])
    return tuple(layers)


def read(config: Config) -> Spec:
    """The Spec of a LLaMA config."""
    bias = config.optional("attention_bias", bool, False)
    feed_forward = read_gated(config, config.optional("mlp_bias", bool, False))
    return read_decoder(config, qkv_bias=bias, output_bias=bias, feed_forwards=(feed_forward,))


def write(spec: Spec) -> dict[str, Any]:
    """LLaMA config keys for a Spec."""
    inner = spec.blocks[0].feed_forward
    bias: Mapping[str, bool] = {
        "attention_bias": spec.blocks[0].attention.qkv_bias,
        "mlp_bias": isinstance(inner, FeedForwardSpec) and inner.bias,
    }
    return write_decoder(spec, "LlamaForCausalLM", "llama") | bias


LLAMA = Family(
    name="llama",
    title="LLaMA 1, 2, 3; Yi; Skywork-13B",
    model_types=("llama", "skywork"),
    architectures=("LlamaForCausalLM", "LLaMAForCausalLM", "SkyworkForCausalLM"),
    read=read,
    write=write,
    rules=RULES,
    ignored=IGNORED,
    copies=COPIES,
    special_ids=SpecialIds(bos=1, eos=(2,)),
    native="LlamaForCausalLM",
)
