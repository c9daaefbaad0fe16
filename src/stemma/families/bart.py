"""BART: encoder and decoder, post-norm, learned positions that begin two rows late, a norm on both embeddings, GELU (exact).

One embedding serves encoder, decoder and head; `final_logits_bias`, a buffer in the file, is added to the logits.
Epsilon is 1e-5 and no key. arXiv 1910.13461.
"""

from dataclasses import replace
from typing import Any

from stemma.families.config import PUBLISHED_ACTIVATION, Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import dense_of, read_head_dim, read_num_layers
from stemma.families.rules import Row, rename, renames
from stemma.model.spec import (
    AttentionSpec,
    BlockSpec,
    EncoderSpec,
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
_ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}


def _stack(theirs: str, ours: str) -> Any:
    """The rules of one stack; the encoder has no cross-attention for the last of them to name."""
    layer, mine = theirs + "layers.{layer}.", ours + "layers.{layer}."
    return (
        *renames(theirs, ours, inputs__position="embed_positions", inputs__norm="layernorm_embedding"),
        *renames(f"{layer}self_attn.", f"{mine}attention.", **_ATTENTION),
        *renames(
            layer,
            mine,
            attention_norm="self_attn_layer_norm",
            feed_forward__up="fc1",
            feed_forward__down="fc2",
            feed_forward_norm="final_layer_norm",
            cross_attention_norm="encoder_attn_layer_norm",
        ),
        *renames(f"{layer}encoder_attn.", f"{mine}cross_attention.", **_ATTENTION),
    )


RULES = (
    rename("final_logits_bias", "head.bias", Row()),
    rename("model.shared", "embedding"),
    *_stack("model.encoder.", "encoder."),
    *_stack("model.decoder.", ""),
    rename("lm_head", "head"),
)


def read(config: Config) -> Spec:
    """The Spec of a BART config."""
    config.skip(
        "classif_dropout", "extra_pos_embeddings", "num_hidden_layers", "add_bias_logits", "encoder_layerdrop"
    )
    config.skip("decoder_layerdrop", "force_bos_token_to_be_generated", "classifier_dropout", "max_length")
    config.expect("is_encoder_decoder", True, "a BART decoder alone is another model")
    for key, value in {
        "normalize_before": False,
        "add_final_layer_norm": False,
        "normalize_embedding": True,
    }.items():
        config.expect(key, value, "that is mBART's form, another layout")
    config.expect("static_position_embeddings", False, "sinusoidal positions are not supported")
    hidden_size = config.take("d_model", int)
    length = config.optional("max_position_embeddings", int, 1024)
    inputs = InputSpec(
        scale=hidden_size**0.5 if config.optional("scale_embedding", bool, False) else 1.0,
        positions=LearnedPositionSpec(num_rows=length + _OFFSET, offset=_OFFSET),
        norm=_NORM,
    )
    decoder, encoder = _block(config, "decoder", hidden_size), _block(config, "encoder", hidden_size)
    cross = replace(decoder.attention, causal=False)
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=read_num_layers(config, "decoder_layers"),
        max_seq_len=length,
        blocks=(replace(decoder, cross_attention=cross),),
        final_norm=NormSpec(kind="none"),
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, True), bias=True),
        inputs=inputs,
        encoder=EncoderSpec(
            num_layers=read_num_layers(config, "encoder_layers"),
            blocks=(encoder,),
            inputs=inputs,
            final_norm=NormSpec(kind="none"),
        ),
    )


def write(spec: Spec) -> dict[str, Any]:
    """BART config keys for a Spec."""
    encoder = spec.encoder
    assert encoder is not None, "the stack was checked"
    inner = dense_of(spec.blocks[0])
    return {
        "architectures": ["BartForConditionalGeneration"],
        "model_type": "bart",
        "is_encoder_decoder": True,
        "vocab_size": spec.vocab_size,
        "d_model": spec.hidden_size,
        "encoder_layers": encoder.num_layers,
        "decoder_layers": spec.num_layers,
        "encoder_attention_heads": encoder.blocks[0].attention.num_heads,
        "decoder_attention_heads": spec.blocks[0].attention.num_heads,
        "encoder_ffn_dim": dense_of(encoder.blocks[0]).intermediate_size,
        "decoder_ffn_dim": inner.intermediate_size,
        "activation_function": PUBLISHED_ACTIVATION[inner.activation],
        "max_position_embeddings": spec.max_seq_len,
        "scale_embedding": spec.inputs.scale != 1.0,
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


def _block(config: Config, stack: str, hidden_size: int) -> BlockSpec:
    num_heads = config.take(f"{stack}_attention_heads", int)
    return BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=NoPositionSpec(),
            qkv_bias=True,
            output_bias=True,
            causal=stack == "decoder",
        ),
        feed_forward=FeedForwardSpec(
            kind="plain",
            intermediate_size=config.take(f"{stack}_ffn_dim", int),
            activation=config.activation("activation_function", "gelu"),
            bias=True,
        ),
        norm=_NORM,
        residual="post",
    )


BART = Family(
    name="bart",
    title="BART base, large",
    stack="encoder-decoder",
    model_types=("bart",),
    architectures=("BartForConditionalGeneration", "BartModel"),
    read=read,
    write=write,
    rules=RULES,
    prefix="model.",
    outside_prefix=("lm_head", "final_logits_bias"),
    copies=dict.fromkeys(
        ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"),
        "model.shared.weight",
    ),
    special_ids=SpecialIds(bos=0, eos=(2,), pad=1, decoder_start=2),
    text_marks=(("bos",), ("eos",)),
    native="BartForConditionalGeneration",
)
