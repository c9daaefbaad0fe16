"""GLM (10B, 2B, large, base): a prefix LM with learned positions in the text and in the piece; pre-norm, GELU, biases, tied.

The context sees all of itself; the piece to write begins at <|startofpiece|>, keeps the position of the mask it fills and
counts its own tokens in a second table. Both tables have one row more than the trained length. GELU is the exact form, as
in the published code (the training code had the tanh form). modeling_glm.py of THUDM/GLM; arXiv 2103.10360.
"""

from typing import Any

from stemma.families.config import Config
from stemma.families.family import Family
from stemma.families.llama import dense_of, read_head_dim, read_num_layers
from stemma.families.rules import fuse, rename, renames
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

LAYER, OURS = "glm.transformer.layers.{layer}", "layers.{layer}"
RULES = (
    rename("glm.word_embeddings", "embedding"),
    *renames(
        "glm.transformer.",
        "",
        inputs__position="position_embeddings",
        inputs__block_position="block_position_embeddings",
        final_norm="final_layernorm",
    ),
    fuse(
        f"{LAYER}.attention.query_key_value",
        f"{OURS}.attention.query",
        f"{OURS}.attention.key",
        f"{OURS}.attention.value",
    ),
    *renames(
        f"{LAYER}.",
        f"{OURS}.",
        attention__output="attention.dense",
        attention_norm="input_layernorm",
        feed_forward__up="mlp.dense_h_to_4h",
        feed_forward__down="mlp.dense_4h_to_h",
        feed_forward_norm="post_attention_layernorm",
    ),
)
_TRAINING = """
    attention_dropout_prob embedding_dropout_prob output_dropout_prob checkpoint_activations checkpoint_num_layers
    attention_scale parallel_output pool_token spell_func spell_length
"""
_NORM = NormSpec(kind="layernorm", eps=1e-5)


def read(config: Config) -> Spec:
    """The Spec of a GLM config."""
    config.skip(_TRAINING)
    config.expect("relative_encoding", False, "relative positions are not part of the published models")
    config.expect("output_predict", True, "a GLM without its output layer has no logits")
    hidden_size = config.take("hidden_size", int)
    num_heads = config.take("num_attention_heads", int)
    length = config.optional("max_sequence_length", int, 512)
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=NoPositionSpec(),
            qkv_bias=True,
            output_bias=True,
        ),
        feed_forward=FeedForwardSpec(
            kind="plain", intermediate_size=4 * hidden_size, activation="gelu", bias=True
        ),
        norm=_NORM,
    )
    blocks = config.optional("block_position_encoding", bool, True)
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=read_num_layers(config, "num_layers"),
        max_seq_len=length,
        blocks=(block,),
        final_norm=_NORM,
        head=HeadSpec(tie_embeddings=True),
        inputs=InputSpec(positions=LearnedPositionSpec(num_rows=length + 1, blocks=blocks)),
    )


def write(spec: Spec) -> dict[str, Any]:
    """GLM config keys for a Spec."""
    learned = spec.inputs.positions
    dense_of(spec.blocks[0])
    return {
        "architectures": ["GLMModel"],
        "model_type": "glm",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "num_layers": spec.num_layers,
        "num_attention_heads": spec.blocks[0].attention.num_heads,
        "max_sequence_length": spec.max_seq_len,
        "block_position_encoding": learned is not None and learned.blocks,
        "output_predict": True,
        "relative_encoding": False,
    }


GLM10B = Family(
    name="glm-10b",
    title="GLM-10B, 2B, large, base",
    model_types=("glm",),
    architectures=("GLMModel", "GLMForConditionalGeneration"),
    distinctive=("block_position_encoding", "output_predict"),
    read=read,
    write=write,
    rules=RULES,
    text_marks=(("[CLS]",), ("<|endoftext|>", "<|startofpiece|>")),
    fills_blanks=True,
)
