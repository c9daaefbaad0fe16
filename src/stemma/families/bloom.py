"""BLOOM and BLOOMZ: ALiBi, a norm on the embedding, pre-norm LayerNorm, GELU (tanh form), biases, the head tied.

Query, key and value lie side by side head by head; the MLP is always four times as wide. arXiv 2211.05100.
"""

from typing import Any

from stemma.families.config import Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import read_head_dim, read_num_layers
from stemma.families.rules import Grouped, fuse, rename, renames
from stemma.model.spec import (
    AlibiSpec,
    AttentionSpec,
    BlockSpec,
    FeedForwardSpec,
    HeadSpec,
    InputSpec,
    NormSpec,
    Spec,
)

LAYER, OURS = "transformer.h.{layer}", "layers.{layer}"
FRAME_RULES = (
    rename("transformer.word_embeddings", "embedding"),
    fuse(
        f"{LAYER}.self_attention.query_key_value",
        f"{OURS}.attention.query",
        f"{OURS}.attention.key",
        f"{OURS}.attention.value",
        form=Grouped(),
    ),
    *renames(
        f"{LAYER}.",
        f"{OURS}.",
        attention__output="self_attention.dense",
        feed_forward__up="mlp.dense_h_to_4h",
        feed_forward__down="mlp.dense_4h_to_h",
    ),
    rename("transformer.ln_f", "final_norm"),
    rename("lm_head", "head"),
)
NORM_RULES = renames(
    f"{LAYER}.", f"{OURS}.", attention_norm="input_layernorm", feed_forward_norm="post_attention_layernorm"
)
RULES = (*FRAME_RULES, *NORM_RULES, rename("transformer.word_embeddings_layernorm", "inputs.norm"))
_LEGACY = """
    masked_softmax_fusion bias_dropout_fusion attention_softmax_in_fp32 skip_bias_add skip_bias_add_qkv offset_alibi
    unk_token_id slow_but_exact n_inner hidden_dropout
"""


def read(config: Config) -> Spec:
    """The Spec of a BLOOM config."""
    config.skip(_LEGACY)
    hidden_size = config.take("hidden_size", int, "n_embed", "n_embd")
    num_heads = config.take("n_head", int, "num_attention_heads")
    norm = NormSpec(kind="layernorm", eps=config.optional("layer_norm_epsilon", float, 1e-5))
    normed = config.optional("apply_residual_connection_post_layernorm", bool, False)
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=AlibiSpec(),
            qkv_bias=True,
            output_bias=True,
        ),
        feed_forward=FeedForwardSpec(
            kind="plain", intermediate_size=4 * hidden_size, activation="gelu_tanh", bias=True
        ),
        norm=norm,
        residual="normed" if normed else "pre",
    )
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=read_num_layers(config, "n_layer", "num_hidden_layers"),
        max_seq_len=config.optional("seq_length", int, 2048),
        blocks=(block,),
        final_norm=norm,
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, True)),
        inputs=InputSpec(norm=norm),
    )


def write(spec: Spec) -> dict[str, Any]:
    """BLOOM config keys for a Spec."""
    block = spec.blocks[0]
    return {
        "architectures": ["BloomForCausalLM"],
        "model_type": "bloom",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "n_layer": spec.num_layers,
        "n_head": block.attention.num_heads,
        "layer_norm_epsilon": block.norm.eps,
        "seq_length": spec.max_seq_len,
        "apply_residual_connection_post_layernorm": block.residual == "normed",
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


BLOOM = Family(
    name="bloom",
    title="BLOOM, BLOOMZ, all sizes",
    model_types=("bloom",),
    architectures=("BloomForCausalLM", "BloomModel"),
    read=read,
    write=write,
    rules=RULES,
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.word_embeddings.weight"},
    special_ids=SpecialIds(bos=1, eos=(2,), pad=3),
    chat_template=lambda spec: "bloomz",
    native="BloomForCausalLM",
)
