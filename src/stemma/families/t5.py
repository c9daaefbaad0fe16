"""T5 v1.0, v1.1 and Flan-T5: encoder and decoder with relative position buckets, pre-norm, scores not scaled, no biases.

v1.0: ReLU, head tied to the embedding, decoder output times d_model^-0.5. v1.1: gated GELU (tanh form), own head, no
scale. A library version writes `tie_word_embeddings` true for both and keeps the old meaning in `scale_decoder_outputs`.
arXiv 1910.10683; 2002.05202 for the gate.
"""

from dataclasses import replace
from typing import Any

from stemma.errors import StemmaError
from stemma.families.config import ACTIVATIONS, Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import dense_of, read_num_layers
from stemma.families.rules import rename, renames
from stemma.model.spec import (
    AttentionSpec,
    BlockSpec,
    EncoderSpec,
    FeedForwardSpec,
    HeadSpec,
    NoPositionSpec,
    NormSpec,
    RelativeSpec,
    Spec,
)

_PUBLISHED = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new", "silu": "silu"}


def _attention(theirs: str, ours: str) -> Any:
    return renames(theirs, ours, query="q", key="k", value="v", output="o")


def _rules(gated: bool) -> Any:
    encoder, decoder = "encoder.block.{layer}.layer", "decoder.block.{layer}.layer"
    ours, theirs = ("feed_forward.", "DenseReluDense.")
    inner = {"gate": "wi_0", "up": "wi_1", "down": "wo"} if gated else {"up": "wi", "down": "wo"}
    table = "block.0.layer.0.SelfAttention.relative_attention_bias"
    return (
        rename("shared", "embedding"),
        rename(f"encoder.{table}", "encoder.relative_bias"),
        rename(f"decoder.{table}", "relative_bias"),
        *_attention(f"{encoder}.0.SelfAttention.", "encoder.layers.{layer}.attention."),
        rename(f"{encoder}.0.layer_norm", "encoder.layers.{layer}.attention_norm"),
        *renames(f"{encoder}.1.{theirs}", "encoder.layers.{layer}." + ours, **inner),
        rename(f"{encoder}.1.layer_norm", "encoder.layers.{layer}.feed_forward_norm"),
        rename("encoder.final_layer_norm", "encoder.final_norm"),
        *_attention(f"{decoder}.0.SelfAttention.", "layers.{layer}.attention."),
        rename(f"{decoder}.0.layer_norm", "layers.{layer}.attention_norm"),
        *_attention(f"{decoder}.1.EncDecAttention.", "layers.{layer}.cross_attention."),
        rename(f"{decoder}.1.layer_norm", "layers.{layer}.cross_attention_norm"),
        *renames(f"{decoder}.2.{theirs}", "layers.{layer}." + ours, **inner),
        rename(f"{decoder}.2.layer_norm", "layers.{layer}.feed_forward_norm"),
        rename("decoder.final_layer_norm", "final_norm"),
        rename("lm_head", "head"),
    )


def read(config: Config) -> Spec:
    """The Spec of a T5 config."""
    config.skip(
        "n_positions", "output_past", "is_gated_act", "dropout_rate", "dense_act_fn", "scale_decoder_outputs"
    )
    config.expect("is_encoder_decoder", True, "a T5 encoder alone is another model")
    hidden_size, num_heads = config.take("d_model", int), config.take("num_heads", int)
    num_layers = read_num_layers(config, "num_layers")
    norm = NormSpec(eps=config.optional("layer_norm_epsilon", float, 1e-6))
    position = RelativeSpec(
        num_buckets=config.optional("relative_attention_num_buckets", int, 32),
        max_distance=config.optional("relative_attention_max_distance", int, 128),
    )
    attention = AttentionSpec(
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=config.optional("d_kv", int, 64),
        position=position,
        scaled=False,
    )
    decoder = BlockSpec(
        attention=attention,
        feed_forward=_read_feed_forward(config),
        norm=norm,
        cross_attention=replace(attention, position=NoPositionSpec(), causal=False),
    )
    encoder = replace(decoder, attention=replace(attention, causal=False), cross_attention=None)
    tied = config.optional("tie_word_embeddings", bool, True)
    tied = tied and config.optional("scale_decoder_outputs", bool, True)
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=config.optional("num_decoder_layers", int, num_layers),
        max_seq_len=config.optional("n_positions", int, 512),
        blocks=(decoder,),
        final_norm=norm,
        head=HeadSpec(tie_embeddings=tied, scale=hidden_size**-0.5 if tied else 1.0),
        encoder=EncoderSpec(num_layers=num_layers, blocks=(encoder,), final_norm=norm),
    )


def write(spec: Spec) -> dict[str, Any]:
    """T5 config keys for a Spec."""
    block, encoder = spec.blocks[0], spec.encoder
    attention, inner = block.attention, dense_of(block)
    assert encoder is not None, "the stack was checked"
    position = attention.position if isinstance(attention.position, RelativeSpec) else RelativeSpec()
    activation = _PUBLISHED[inner.activation]
    if inner.kind == "gated":
        activation = "gated-gelu" if inner.activation == "gelu_tanh" else f"gated-{activation}"
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "vocab_size": spec.vocab_size,
        "d_model": spec.hidden_size,
        "d_kv": attention.head_dim,
        "d_ff": inner.intermediate_size,
        "num_layers": encoder.num_layers,
        "num_decoder_layers": spec.num_layers,
        "num_heads": attention.num_heads,
        "relative_attention_num_buckets": position.num_buckets,
        "relative_attention_max_distance": position.max_distance,
        "layer_norm_epsilon": block.norm.eps,
        "feed_forward_proj": activation,
        "n_positions": spec.max_seq_len,
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


def _read_feed_forward(config: Config) -> FeedForwardSpec:
    stated = config.optional("feed_forward_proj", str, "relu")
    gate, _, name = stated.rpartition("-")
    if gate not in ("", "gated") or name not in ACTIVATIONS:
        raise StemmaError(
            f"{config.where}: feed_forward_proj '{stated}' is not known; expected relu or gated-gelu"
        )
    activation: Any = "gelu_tanh" if stated == "gated-gelu" else ACTIVATIONS[name]
    width = config.take("d_ff", int)
    return FeedForwardSpec(kind="gated" if gate else "plain", intermediate_size=width, activation=activation)


T5 = Family(
    name="t5",
    title="T5 v1.0, v1.1, Flan-T5",
    stack="encoder-decoder",
    model_types=("t5",),
    architectures=("T5ForConditionalGeneration", "T5WithLMHeadModel"),
    read=read,
    write=write,
    rules=lambda spec: _rules(dense_of(spec.blocks[0]).kind == "gated"),
    ignored=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
    copies=dict.fromkeys(
        ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"), "shared.weight"
    ),
    special_ids=SpecialIds(eos=(1,), pad=0, decoder_start=0),
    text_marks=((), ("eos",)),
    native="T5ForConditionalGeneration",
)
