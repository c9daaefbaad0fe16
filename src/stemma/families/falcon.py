"""Falcon: 7B (multi-query, both branches under one norm), 40B and 180B (grouped, two norms), 11B (grouped, one norm), RW (ALiBi).

With `new_decoder_architecture` the config's `multi_query` and `parallel_attn` mean nothing; without it `num_kv_heads`
means nothing. Query heads, key and value lie side by side group by group. ALiBi is added before the division by
sqrt(head_dim) and slope * position is rounded to bfloat16 even in fp32. arXiv 2311.16867.
"""

from typing import Any

from stemma.families.bloom import FRAME_RULES, LAYER, NORM_RULES, OURS
from stemma.families.config import PUBLISHED_ACTIVATION, Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import dense_of, read_head_dim, read_max_seq_len, read_num_layers
from stemma.families.rope import read_rope, rope_of, write_rope
from stemma.families.rules import Rule, renames
from stemma.model.spec import AlibiSpec, AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, NormSpec, Spec

_TWO_NORMS = renames(f"{LAYER}.", f"{OURS}.", attention_norm="ln_attn", feed_forward_norm="ln_mlp")


def rules(spec: Spec) -> tuple[Rule, ...]:
    """The norms of the two parallel branches have names of their own."""
    return (*FRAME_RULES, *(_TWO_NORMS if spec.blocks[0].residual == "parallel_two" else NORM_RULES))


def read(config: Config) -> Spec:
    """The Spec of a Falcon config."""
    hidden_size = config.take("hidden_size", int, "n_embed")
    num_heads = config.take("num_attention_heads", int, "n_head")
    new = config.optional("new_decoder_architecture", bool, config.values.get("model_type") == "RefinedWeb")
    alibi = config.optional("alibi", bool, False)
    bias = config.optional("bias", bool, False)
    max_seq_len = read_max_seq_len(config)
    rope = read_rope(config, max_seq_len)
    norm = NormSpec(kind="layernorm", eps=config.optional("layer_norm_epsilon", float, 1e-5))
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=_kv_heads(config, new, num_heads),
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=AlibiSpec(before_scaling=True, rounded=True) if alibi else rope,
            qkv_bias=bias,
            output_bias=bias,
        ),
        feed_forward=FeedForwardSpec(
            kind="plain",
            intermediate_size=config.optional("ffn_hidden_size", int, 4 * hidden_size),
            activation=config.activation("activation", "gelu"),
            bias=bias,
        ),
        norm=norm,
        residual=_residual(config, new),
    )
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=read_num_layers(config, "num_hidden_layers", "n_layer"),
        max_seq_len=max_seq_len,
        blocks=(block,),
        final_norm=norm,
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, True)),
    )


def write(spec: Spec) -> dict[str, Any]:
    """Falcon config keys for a Spec."""
    block = spec.blocks[0]
    attention, inner = block.attention, dense_of(block)
    parallel = block.residual.startswith("parallel")
    new = parallel and (block.residual == "parallel_two" or attention.num_kv_heads != 1)
    return {
        "architectures": ["FalconForCausalLM"],
        "model_type": "falcon",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": attention.num_heads,
        "num_kv_heads": attention.num_kv_heads,
        "new_decoder_architecture": new,
        "multi_query": attention.num_kv_heads == 1,
        "parallel_attn": parallel,
        "num_ln_in_parallel_attn": (2 if block.residual == "parallel_two" else 1) if new else None,
        "alibi": isinstance(attention.position, AlibiSpec),
        "bias": attention.qkv_bias,
        "activation": PUBLISHED_ACTIVATION[inner.activation],
        "ffn_hidden_size": inner.intermediate_size,
        "layer_norm_epsilon": block.norm.eps,
        "max_position_embeddings": spec.max_seq_len,
        **write_rope(rope_of(block)),
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


def _kv_heads(config: Config, new: bool, num_heads: int) -> int:
    stated = config.optional("num_kv_heads", int, num_heads, "n_head_kv")
    one = config.optional("multi_query", bool, True)
    return stated if new else 1 if one else num_heads


def _residual(config: Config, new: bool) -> Any:
    norms = config.optional("num_ln_in_parallel_attn", int, 2 if new else 1)
    parallel = config.optional("parallel_attn", bool, True)
    if not (new or parallel):
        return "pre"
    return "parallel_two" if new and norms == 2 else "parallel"


FALCON = Family(
    name="falcon",
    title="Falcon 7B, 11B, 40B, 180B, RW",
    model_types=("falcon", "RefinedWeb", "RefinedWebModel"),
    architectures=("FalconForCausalLM", "RWForCausalLM"),
    read=read,
    write=write,
    rules=rules,
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.word_embeddings.weight"},
    special_ids=SpecialIds(bos=11, eos=(11,)),
    native="FalconForCausalLM",
)
