"""GPT-2: pre-norm LayerNorm, learned positions, GELU (tanh form), biases everywhere, the head tied to the embedding.

Matrices of the layers are stored [in, out]; query, key and value are one matrix. Report of 2019, section 2.3.
"""

from typing import Any

from stemma.errors import StemmaError
from stemma.families.config import PUBLISHED_ACTIVATION, Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import dense_of, read_num_layers
from stemma.families.rules import Fused, Transposed, fuse, rename
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

LAYER, OURS = "transformer.h.{layer}", "layers.{layer}"
_OUT = Transposed()
RULES = (
    rename("transformer.wte", "embedding"),
    rename("transformer.wpe", "inputs.position"),
    rename(f"{LAYER}.ln_1", f"{OURS}.attention_norm"),
    fuse(
        f"{LAYER}.attn.c_attn",
        f"{OURS}.attention.query",
        f"{OURS}.attention.key",
        f"{OURS}.attention.value",
        form=Transposed(Fused()),
    ),
    rename(f"{LAYER}.attn.c_proj", f"{OURS}.attention.output", _OUT),
    rename(f"{LAYER}.ln_2", f"{OURS}.feed_forward_norm"),
    rename(f"{LAYER}.mlp.c_fc", f"{OURS}.feed_forward.up", _OUT),
    rename(f"{LAYER}.mlp.c_proj", f"{OURS}.feed_forward.down", _OUT),
    rename("transformer.ln_f", "final_norm"),
    rename("lm_head", "head"),
)


def read(config: Config) -> Spec:
    """The Spec of a GPT-2 config."""
    config.skip(
        "embd_pdrop",
        "attn_pdrop",
        "resid_pdrop",
        "n_ctx",
        "predict_special_tokens",
        "reorder_and_upcast_attn",
    )
    config.skip(*(key for key in config.values if key.startswith("summary_")))
    config.expect("scale_attn_weights", True, "scores without the division by sqrt(head_dim) are not GPT-2's")
    config.expect(
        "scale_attn_by_inverse_layer_idx", False, "a scale that falls with the layer is not supported"
    )
    hidden_size = config.take("n_embd", int, "hidden_size")
    num_heads = config.take("n_head", int, "num_attention_heads")
    if num_heads < 1 or hidden_size % num_heads:
        raise StemmaError(f"{config.where}: n_embd {hidden_size} is not a multiple of n_head {num_heads}")
    rows = config.optional("n_positions", int, 1024, "max_position_embeddings")
    norm = NormSpec(kind="layernorm", eps=config.optional("layer_norm_epsilon", float, 1e-5))
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=hidden_size // num_heads,
            position=NoPositionSpec(),
            qkv_bias=True,
            output_bias=True,
        ),
        feed_forward=FeedForwardSpec(
            kind="plain",
            intermediate_size=config.optional("n_inner", int, 4 * hidden_size),
            activation=config.activation("activation_function", "gelu_new"),
            bias=True,
        ),
        norm=norm,
    )
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=read_num_layers(config, "n_layer", "num_hidden_layers"),
        max_seq_len=rows,
        blocks=(block,),
        final_norm=norm,
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, True)),
        inputs=InputSpec(positions=LearnedPositionSpec(num_rows=rows)),
    )


def write(spec: Spec) -> dict[str, Any]:
    """GPT-2 config keys for a Spec."""
    inner = dense_of(spec.blocks[0])
    activation = "gelu_new" if inner.activation == "gelu_tanh" else PUBLISHED_ACTIVATION[inner.activation]
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": spec.vocab_size,
        "n_embd": spec.hidden_size,
        "n_layer": spec.num_layers,
        "n_head": spec.blocks[0].attention.num_heads,
        "n_inner": inner.intermediate_size,
        "n_positions": spec.max_seq_len,
        "activation_function": activation,
        "layer_norm_epsilon": spec.blocks[0].norm.eps,
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


GPT2 = Family(
    name="gpt2",
    title="GPT-2, all sizes",
    model_types=("gpt2",),
    architectures=("GPT2LMHeadModel",),
    read=read,
    write=write,
    rules=RULES,
    prefix="transformer.",
    ignored=("transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias"),
    copies={"lm_head.weight": "transformer.wte.weight"},
    special_ids=SpecialIds(bos=50256, eos=(50256,)),
    native="GPT2LMHeadModel",
)
