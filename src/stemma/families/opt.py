"""OPT: learned positions whose table begins two rows late, ReLU, biases, pre-norm; the 350M model post-norm and projected.

That one has `do_layer_norm_before` false, no final norm, and an embedding of `word_embed_proj_dim` columns between two
projections. The layers' `final_layer_norm` is the norm of the MLP. Epsilon is 1e-5 and no key. arXiv 2205.01068.
"""

from typing import Any

from stemma.families.config import PUBLISHED_ACTIVATION, Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import dense_of, read_head_dim, read_num_layers
from stemma.families.rules import rename, renames
from stemma.model.spec import (
    AttentionSpec,
    BlockSpec,
    FeedForwardSpec,
    HeadSpec,
    InputSpec,
    LearnedPositionSpec,
    NoPositionSpec,
    NormSpec,
    Spec,
)

_OFFSET = 2
_NORM = NormSpec(kind="layernorm", eps=1e-5)
RULES = (
    *renames(
        "model.decoder.",
        "",
        embedding="embed_tokens",
        inputs__position="embed_positions",
        inputs__projection="project_in",
        head__projection="project_out",
        final_norm="final_layer_norm",
    ),
    *renames(
        "model.decoder.layers.{layer}.",
        "layers.{layer}.",
        attention__query="self_attn.q_proj",
        attention__key="self_attn.k_proj",
        attention__value="self_attn.v_proj",
        attention__output="self_attn.out_proj",
        attention_norm="self_attn_layer_norm",
        feed_forward__up="fc1",
        feed_forward__down="fc2",
        feed_forward_norm="final_layer_norm",
    ),
    rename("lm_head", "head"),
)


def read(config: Config) -> Spec:
    """The Spec of an OPT config."""
    config.expect("layer_norm_elementwise_affine", True, "norms without weights are not supported")
    hidden_size = config.take("hidden_size", int)
    num_heads = config.take("num_attention_heads", int)
    before = config.optional("do_layer_norm_before", bool, True)
    removed = config.optional("_remove_final_layer_norm", bool, False)
    bias = config.optional("enable_bias", bool, True)
    width = config.optional("word_embed_proj_dim", int, hidden_size)
    length = config.optional("max_position_embeddings", int, 2048)
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=NoPositionSpec(),
            qkv_bias=bias,
            output_bias=bias,
        ),
        feed_forward=FeedForwardSpec(
            kind="plain",
            intermediate_size=config.take("ffn_dim", int),
            activation=config.activation("activation_function", "relu"),
            bias=bias,
        ),
        norm=_NORM,
        residual="pre" if before else "post",
    )
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=read_num_layers(config),
        max_seq_len=length,
        blocks=(block,),
        final_norm=_NORM if before and not removed else NormSpec(kind="none"),
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, True)),
        inputs=InputSpec(
            width=width if width != hidden_size else None,
            positions=LearnedPositionSpec(num_rows=length + _OFFSET, offset=_OFFSET),
        ),
    )


def write(spec: Spec) -> dict[str, Any]:
    """OPT config keys for a Spec."""
    block = spec.blocks[0]
    inner = dense_of(block)
    return {
        "architectures": ["OPTForCausalLM"],
        "model_type": "opt",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": block.attention.num_heads,
        "ffn_dim": inner.intermediate_size,
        "activation_function": PUBLISHED_ACTIVATION[inner.activation],
        "max_position_embeddings": spec.max_seq_len,
        "word_embed_proj_dim": spec.embedding_width,
        "do_layer_norm_before": block.residual == "pre",
        "_remove_final_layer_norm": block.residual == "pre" and spec.final_norm.kind == "none",
        "enable_bias": block.attention.qkv_bias,
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


OPT = Family(
    name="opt",
    title="OPT, all sizes",
    model_types=("opt",),
    architectures=("OPTForCausalLM",),
    read=read,
    write=write,
    rules=RULES,
    prefix="model.",
    copies={"lm_head.weight": "model.decoder.embed_tokens.weight"},
    special_ids=SpecialIds(bos=2, eos=(2,), pad=1),
    text_marks=(("bos",), ()),
    native="OPTForCausalLM",
)
