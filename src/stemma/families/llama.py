"""LLaMA 1, 2 and 3, Yi and whoever publishes in their layout.

Pre-norm RMSNorm, SwiGLU, RoPE on whole heads (pairs half a head apart), grouped-query attention, no biases unless
`attention_bias` (query, key, value and output) or `mlp_bias` says so. arXiv 2302.13971, 2307.09288, 2403.04652.
"""

from typing import Any

from stemma.errors import StemmaError
from stemma.families.config import PUBLISHED_ACTIVATION, Config
from stemma.families.family import Family, SpecialIds
from stemma.families.rope import read_rope, write_rope
from stemma.families.rules import Rule, rename
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, NormSpec, RopeSpec, Spec

LAYER = "model.layers.{layer}"

ATTENTION_RULES = (
    rename(f"{LAYER}.self_attn.q_proj", "layers.{layer}.attention.query"),
    rename(f"{LAYER}.self_attn.k_proj", "layers.{layer}.attention.key"),
    rename(f"{LAYER}.self_attn.v_proj", "layers.{layer}.attention.value"),
)
OTHER_RULES = (
    rename("model.embed_tokens", "embedding"),
    rename(f"{LAYER}.input_layernorm", "layers.{layer}.attention_norm"),
    rename(f"{LAYER}.self_attn.o_proj", "layers.{layer}.attention.output"),
    rename(f"{LAYER}.post_attention_layernorm", "layers.{layer}.feed_forward_norm"),
    rename(f"{LAYER}.mlp.gate_proj", "layers.{layer}.feed_forward.gate"),
    rename(f"{LAYER}.mlp.up_proj", "layers.{layer}.feed_forward.up"),
    rename(f"{LAYER}.mlp.down_proj", "layers.{layer}.feed_forward.down"),
    rename("model.norm", "final_norm"),
    rename("lm_head", "head"),
)
RULES: tuple[Rule, ...] = ATTENTION_RULES + OTHER_RULES
IGNORED = ("model.layers.*.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq")
COPIES = {"lm_head.weight": "model.embed_tokens.weight"}


def read(config: Config) -> Spec:
    """The Spec of a LLaMA config."""
    hidden_size = config.take("hidden_size", int)
    num_heads = config.take("num_attention_heads", int)
    max_seq_len = config.optional("max_position_embeddings", int, 2048, "max_sequence_length")
    bias = config.optional("attention_bias", bool, False)
    norm = NormSpec(eps=config.optional("rms_norm_eps", float, 1e-6))
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=config.optional("num_key_value_heads", int, num_heads),
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=read_rope(config, max_seq_len),
            qkv_bias=bias,
            output_bias=bias,
        ),
        feed_forward=FeedForwardSpec(
            intermediate_size=config.take("intermediate_size", int),
            activation=config.activation("hidden_act", "silu"),
            bias=config.optional("mlp_bias", bool, False),
        ),
        norm=norm,
    )
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=config.take("num_hidden_layers", int),
        max_seq_len=max_seq_len,
        blocks=(block,),
        final_norm=norm,
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, False)),
    )


def write(spec: Spec) -> dict[str, Any]:
    """LLaMA config keys for a Spec."""
    block = spec.blocks[0]
    attention, feed_forward = block.attention, block.feed_forward
    rope = attention.position if isinstance(attention.position, RopeSpec) else RopeSpec()
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "intermediate_size": feed_forward.intermediate_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": attention.num_heads,
        "num_key_value_heads": attention.num_kv_heads,
        "head_dim": attention.head_dim,
        "hidden_act": PUBLISHED_ACTIVATION[feed_forward.activation],
        "max_position_embeddings": spec.max_seq_len,
        "rms_norm_eps": block.norm.eps,
        **write_rope(rope),
        "attention_bias": attention.qkv_bias,
        "mlp_bias": feed_forward.bias,
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


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


LLAMA = Family(
    name="llama",
    model_types=("llama",),
    architectures=("LlamaForCausalLM", "LLaMAForCausalLM"),
    read=read,
    write=write,
    rules=RULES,
    ignored=IGNORED,
    copies=COPIES,
    special_ids=SpecialIds(bos=1, eos=(2,)),
)
