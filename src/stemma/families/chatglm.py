"""ChatGLM-6B, first release (vocabulary 150528) and later ones (130528): a prefix LM with two rotary positions a token.

LayerNorm whose output, times sqrt(2 * layers), is the residual; a plain MLP with GELU (tanh form); biases; query, key and
value side by side head by head; frequencies rounded to float16, in which the published model was trained. The context up
to and including [gMASK] sees all of itself; the answer begins at <sop>. The published configs leave `tie_word_embeddings`
to a library whose default ties, and their files repeat the embedding as `lm_head`: with the published vocabularies the
head is tied unless the config says otherwise. modeling_chatglm.py; arXiv 2103.10360, 2210.02414.
"""

import math
from typing import Any

from stemma.families.config import Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import dense_of, read_head_dim, read_num_layers
from stemma.families.rules import Grouped, fuse, rename, renames
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, NormSpec, Rope2dSpec, Spec

LAYER, OURS = "transformer.layers.{layer}", "layers.{layer}"
RULES = (
    rename("transformer.word_embeddings", "embedding"),
    fuse(
        f"{LAYER}.attention.query_key_value",
        f"{OURS}.attention.query",
        f"{OURS}.attention.key",
        f"{OURS}.attention.value",
        form=Grouped(),
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
    rename("transformer.final_layernorm", "final_norm"),
    rename("lm_head", "head"),
)
_FIRST_VOCAB, _IMAGE_IDS = 150528, 20000  # the first release kept 20000 ids for images in front
_PUBLISHED_VOCABS = (_FIRST_VOCAB, 130528)


def read(config: Config) -> Spec:
    """The Spec of a ChatGLM-6B config."""
    config.expect("position_encoding_2d", True, "ChatGLM-6B with one row of positions was never published")
    config.expect("pre_seq_len", None, "a P-tuning prefix is not part of the model; merge or drop it")
    config.skip("prefix_projection", "quantize_embeddings", "quantization_embeddings")
    hidden_size = config.take("hidden_size", int)
    num_heads = config.take("num_attention_heads", int)
    num_layers = read_num_layers(config, "num_layers", "num_hidden_layers")
    norm = NormSpec(kind="layernorm", eps=config.optional("layernorm_epsilon", float, 1e-5))
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=Rope2dSpec(half_precision=True),
            qkv_bias=True,
            output_bias=True,
        ),
        feed_forward=FeedForwardSpec(
            kind="plain",
            intermediate_size=config.optional("inner_hidden_size", int, 4 * hidden_size),
            activation="gelu_tanh",
            bias=True,
        ),
        norm=norm,
        residual="normed",
        residual_scale=math.sqrt(2 * num_layers),
    )
    vocab_size = config.take("vocab_size", int)
    return Spec(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        max_seq_len=config.optional("max_sequence_length", int, 2048),
        blocks=(block,),
        final_norm=norm,
        head=HeadSpec(
            tie_embeddings=config.optional("tie_word_embeddings", bool, vocab_size in _PUBLISHED_VOCABS)
        ),
    )


def write(spec: Spec) -> dict[str, Any]:
    """ChatGLM-6B config keys for a Spec."""
    block = spec.blocks[0]
    return {
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "inner_hidden_size": dense_of(block).intermediate_size,
        "num_layers": spec.num_layers,
        "num_attention_heads": block.attention.num_heads,
        "layernorm_epsilon": block.norm.eps,
        "max_sequence_length": spec.max_seq_len,
        "position_encoding_2d": True,
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


def _special_ids(spec: Spec) -> SpecialIds:
    shift = _IMAGE_IDS if spec.vocab_size == _FIRST_VOCAB else 0
    if spec.vocab_size <= 130005 + shift:
        return SpecialIds()
    return SpecialIds(
        bos=130004 + shift, eos=(130005 + shift,), pad=3 + shift, masks=(130001 + shift, 130000 + shift)
    )


CHATGLM = Family(
    name="chatglm",
    title="ChatGLM-6B",
    model_types=("chatglm",),
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    distinctive=("position_encoding_2d", "inner_hidden_size", "max_sequence_length"),
    read=read,
    write=write,
    rules=RULES,
    ignored=("transformer.layers.*.attention.rotary_emb.inv_freq",),
    copies={"lm_head.weight": "transformer.word_embeddings.weight"},
    special_ids=_special_ids,
    chat_template=lambda spec: "chatglm",
    text_marks=((), ("bos",)),
    fills_blanks=True,
)
