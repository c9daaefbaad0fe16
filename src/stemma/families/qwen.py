"""Qwen 1 (1.8B, 7B, 14B, 72B): LLaMA's block with a bias on query, key, value, and two tricks beyond the trained length.

`c_attn` stacks query, key and value; of the MLP `w2` is the gate; `intermediate_size` is twice the real width. Beyond
`seq_length` the rotary base grows in steps with the prompt (`use_dynamic_ntk`) and queries grow with log(position)
(`use_logn_attn`); in a cached generation the prompt's base stays. The first release spelled the keys differently.
modeling_qwen.py; arXiv 2309.16609, section 2.3.
"""

from typing import Any

from stemma.errors import StemmaError
from stemma.families.config import Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import dense_of, read_num_layers
from stemma.families.rope import rope_of
from stemma.families.rules import fuse, rename, renames
from stemma.model.spec import (
    AttentionSpec,
    BlockSpec,
    FeedForwardSpec,
    HeadSpec,
    NormSpec,
    RopeSpec,
    Spec,
    SteppedScaling,
)

LAYER, OURS = "transformer.h.{layer}", "layers.{layer}"
RULES = (
    rename("transformer.wte", "embedding"),
    fuse(
        f"{LAYER}.attn.c_attn",
        f"{OURS}.attention.query",
        f"{OURS}.attention.key",
        f"{OURS}.attention.value",
    ),
    *renames(
        f"{LAYER}.",
        f"{OURS}.",
        attention__output="attn.c_proj",
        attention_norm="ln_1",
        feed_forward__gate="mlp.w2",
        feed_forward__up="mlp.w1",
        feed_forward__down="mlp.c_proj",
        feed_forward_norm="ln_2",
    ),
    rename("transformer.ln_f", "final_norm"),
    rename("lm_head", "head"),
)
_RUNTIME = """
    fp16 bf16 fp32 onnx_safe use_flash_attn use_cache_quantization use_cache_kernel softmax_in_fp32 attn_dropout_prob
    emb_dropout_prob attn_pdrop embd_pdrop resid_pdrop bias_dropout_fusion max_position_embeddings n_positions n_inner
    activation pos_emb
"""


def read(config: Config) -> Spec:
    """The Spec of a Qwen 1 config."""
    config.skip(_RUNTIME)
    config.expect("scale_attn_weights", True, "scores without the division by sqrt(head_dim) are not Qwen's")
    config.expect("apply_residual_connection_post_layernorm", False, "not part of the published models")
    hidden_size = config.take("hidden_size", int, "n_embd")
    num_heads = config.take("num_attention_heads", int, "n_head")
    length = config.optional("seq_length", int, 8192)
    double = config.take("intermediate_size", int, "ffn_hidden_size")
    if double % 2:
        raise StemmaError(
            f"{config.where}: intermediate_size {double} is odd; in this layout it is twice the width of the MLP"
        )
    bias = not config.optional("no_bias", bool, True)
    stepped = SteppedScaling(original_max_seq_len=length)
    norm = NormSpec(eps=config.optional("layer_norm_epsilon", float, 1e-6))
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=config.optional("kv_channels", int, hidden_size // max(num_heads, 1)),
            position=RopeSpec(
                theta=config.optional("rotary_emb_base", float, 10000.0),
                fraction=config.optional("rotary_pct", float, 1.0),
                scaling=stepped if config.optional("use_dynamic_ntk", bool, True) else None,
            ),
            qkv_bias=True,
            output_bias=bias,
            logn=length if config.optional("use_logn_attn", bool, True) else None,
        ),
        feed_forward=FeedForwardSpec(intermediate_size=double // 2, bias=bias),
        norm=norm,
    )
    return Spec(
        vocab_size=config.take("vocab_size", int, "padded_vocab_size"),
        hidden_size=hidden_size,
        num_layers=read_num_layers(config, "num_hidden_layers", "n_layer"),
        max_seq_len=length,
        blocks=(block,),
        final_norm=norm,
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, False)),
    )


def write(spec: Spec) -> dict[str, Any]:
    """Qwen 1 config keys for a Spec."""
    block = spec.blocks[0]
    attention, rope = block.attention, rope_of(block)
    return {
        "architectures": ["QWenLMHeadModel"],
        "model_type": "qwen",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "intermediate_size": 2 * dense_of(block).intermediate_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": attention.num_heads,
        "kv_channels": attention.head_dim,
        "seq_length": spec.max_seq_len,
        "rotary_emb_base": rope.theta,
        "rotary_pct": rope.fraction,
        "use_dynamic_ntk": isinstance(rope.scaling, SteppedScaling),
        "use_logn_attn": attention.logn is not None,
        "no_bias": not attention.output_bias,
        "layer_norm_epsilon": block.norm.eps,
        "tie_word_embeddings": spec.head.tie_embeddings,
        "tokenizer_class": "QWenTokenizer",
    }


QWEN = Family(
    name="qwen",
    title="Qwen 1.8B, 7B, 14B, 72B (first generation)",
    model_types=("qwen",),
    architectures=("QWenLMHeadModel",),
    read=read,
    write=write,
    rules=RULES,
    ignored=(
        "transformer.rotary_emb.inv_freq",
        "transformer.h.*.attn.rotary_emb.inv_freq",
        "transformer.h.*.attn.logn_tensor",
    ),
    copies={"lm_head.weight": "transformer.wte.weight"},
    special_ids=SpecialIds(eos=(151643,), pad=151643),
    chat_template=lambda spec: "qwen",
    counts_padding=True,
)
