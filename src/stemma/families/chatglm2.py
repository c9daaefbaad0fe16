"""ChatGLM2-6B, ChatGLM3-6B, their 32K models, and GLM-4-9B as first published: causal, grouped-query, half of a head rotated.

RMSNorm, SwiGLU with gate and up in one matrix (gate first), one matrix for all query heads, then the key groups, then the
value groups, biases there alone. `rope_ratio` has two meanings in two published codes that no other key tells apart: in
ChatGLM2-6B-32K it divides the position, from ChatGLM3 on it multiplies the base. The explicit key `rope_ratio_acts_on`
("position" or "base"), which we write, decides; then a chatglm2 in `_name_or_path`; then ChatGLM2-32K's own value, 16;
what is left acts on the base. modeling_chatglm.py of the models named.
"""

from typing import Any, Literal, cast

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
    LinearScaling,
    NormSpec,
    RopeSpec,
    Spec,
)

LAYER, OURS = "transformer.encoder.layers.{layer}", "layers.{layer}"
RULES = (
    rename("transformer.embedding.word_embeddings", "embedding"),
    fuse(
        f"{LAYER}.self_attention.query_key_value",
        f"{OURS}.attention.query",
        f"{OURS}.attention.key",
        f"{OURS}.attention.value",
    ),
    fuse(f"{LAYER}.mlp.dense_h_to_4h", f"{OURS}.feed_forward.gate", f"{OURS}.feed_forward.up"),
    *renames(
        f"{LAYER}.",
        f"{OURS}.",
        attention__output="self_attention.dense",
        attention_norm="input_layernorm",
        feed_forward__down="mlp.dense_4h_to_h",
        feed_forward_norm="post_attention_layernorm",
    ),
    rename("transformer.encoder.final_layernorm", "final_norm"),
    rename("transformer.output_layer", "head"),
)
_PRECISION_ALONE = """
    apply_query_key_layer_scaling attention_softmax_in_fp32 bias_dropout_fusion fp32_residual_connection
    prefix_projection use_flash_attn
"""
_BASE, _RATIO_32K = 10000.0, 16.0


def read(config: Config) -> Spec:
    """The Spec of a ChatGLM2, ChatGLM3 or first GLM-4 config."""
    config.skip(_PRECISION_ALONE)
    config.expect("pre_seq_len", None, "a P-tuning prefix is not part of the model; merge or drop it")
    config.expect("original_rope", True, "another rotary code than the published one")
    config.expect(
        "interleaved_qkv", False, "another order of query, key and value rows than the published one"
    )
    num_heads = config.take("num_attention_heads", int)
    grouped = config.optional("multi_query_attention", bool, False)
    bias = config.optional("add_bias_linear", bool, False)
    kind = "rmsnorm" if config.optional("rmsnorm", bool, True) else "layernorm"
    norm = NormSpec(kind=kind, eps=config.optional("layernorm_epsilon", float, 1e-5))
    normed = config.optional("apply_residual_connection_post_layernorm", bool, False)
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=config.optional("multi_query_group_num", int, 1) if grouped else num_heads,
            head_dim=config.optional("kv_channels", int, 128),
            position=_rope(config),
            qkv_bias=config.optional("add_qkv_bias", bool, False) or bias,
            output_bias=bias,
        ),
        feed_forward=FeedForwardSpec(intermediate_size=config.take("ffn_hidden_size", int), bias=bias),
        norm=norm,
        residual="normed" if normed else "pre",
    )
    config.skip("multi_query_group_num")
    return Spec(
        vocab_size=config.take("padded_vocab_size", int, "vocab_size"),
        hidden_size=config.take("hidden_size", int),
        num_layers=read_num_layers(config, "num_layers", "num_hidden_layers"),
        max_seq_len=config.optional("seq_length", int, 2048),
        blocks=(block,),
        final_norm=norm if config.optional("post_layer_norm", bool, True) else NormSpec(kind="none"),
        head=HeadSpec(tie_embeddings=config.optional("tie_word_embeddings", bool, False)),
    )


def write(spec: Spec) -> dict[str, Any]:
    """ChatGLM2 config keys for a Spec."""
    block = spec.blocks[0]
    attention, rope = block.attention, rope_of(block)
    config: dict[str, Any] = {
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "padded_vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "ffn_hidden_size": dense_of(block).intermediate_size,
        "kv_channels": attention.head_dim,
        "num_layers": spec.num_layers,
        "num_attention_heads": attention.num_heads,
        "multi_query_attention": True,
        "multi_query_group_num": attention.num_kv_heads,
        "add_qkv_bias": attention.qkv_bias,
        "add_bias_linear": attention.output_bias,
        "rmsnorm": block.norm.kind == "rmsnorm",
        "layernorm_epsilon": block.norm.eps,
        "post_layer_norm": spec.final_norm.kind != "none",
        "apply_residual_connection_post_layernorm": block.residual == "normed",
        "original_rope": True,
        "seq_length": spec.max_seq_len,
        "tie_word_embeddings": spec.head.tie_embeddings,
    }
    if isinstance(rope.scaling, LinearScaling):
        config |= {"rope_ratio": rope.scaling.factor, "rope_ratio_acts_on": "position"}
    elif rope.theta != _BASE:
        config |= {"rope_ratio": rope.theta / _BASE, "rope_ratio_acts_on": "base"}
    return config


def _rope(config: Config) -> RopeSpec:
    ratio = config.optional("rope_ratio", float, 1.0)
    acts_on = config.maybe("rope_ratio_acts_on", cast("type[str]", Literal["position", "base"]))
    if acts_on is None:
        named = "chatglm2" in str(config.values.get("_name_or_path", "")).lower()
        acts_on = "position" if named or ratio == _RATIO_32K else "base"
    divided = acts_on == "position" and ratio != 1.0
    return RopeSpec(
        theta=_BASE if divided else _BASE * ratio,
        fraction=0.5,
        interleaved=True,
        scaling=LinearScaling(factor=ratio) if divided else None,
    )


def _chat_template(spec: Spec) -> str:
    rope = rope_of(spec.blocks[0])
    if spec.vocab_size > 100_000:
        return "glm4"
    second = rope.scaling is not None or (rope.theta == _BASE and spec.max_seq_len > 8192)
    return "chatglm2" if second else "chatglm3"


CHATGLM2 = Family(
    name="chatglm2",
    title="ChatGLM2-6B, ChatGLM3-6B, both 32K; GLM-4-9B (first code)",
    model_types=("chatglm",),
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    distinctive=("padded_vocab_size", "ffn_hidden_size", "multi_query_attention"),
    read=read,
    write=write,
    rules=RULES,
    ignored=("transformer.rotary_pos_emb.inv_freq",),
    copies={"transformer.output_layer.weight": "transformer.embedding.word_embeddings.weight"},
    special_ids=SpecialIds(eos=(2,), pad=0),
    chat_template=_chat_template,
    text_marks=(("[gMASK]", "sop"), ()),
)
