"""BERT as a masked language model: bidirectional, post-norm, learned positions and token types, a head with a transform.

Files of 2018 call a norm's weight gamma and its bias beta. The pooler and the next-sentence head take no part in filling
masks. arXiv 1810.04805.
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
    HeadTransformSpec,
    InputSpec,
    LearnedPositionSpec,
    NoPositionSpec,
    NormSpec,
    Spec,
)

RULES = (
    *renames(
        "bert.embeddings.",
        "",
        embedding="word_embeddings",
        inputs__position="position_embeddings",
        inputs__token_type="token_type_embeddings",
        inputs__norm="LayerNorm",
    ),
    *renames(
        "bert.encoder.layer.{layer}.",
        "layers.{layer}.",
        attention__query="attention.self.query",
        attention__key="attention.self.key",
        attention__value="attention.self.value",
        attention__output="attention.output.dense",
        attention_norm="attention.output.LayerNorm",
        feed_forward__up="intermediate.dense",
        feed_forward__down="output.dense",
        feed_forward_norm="output.LayerNorm",
    ),
    *renames("cls.predictions.transform.", "head.transform.", dense="dense", norm="LayerNorm"),
    rename("cls.predictions.decoder.weight", "head.weight"),
    rename("cls.predictions.bias", "head.bias"),
)


def read(config: Config) -> Spec:
    """The Spec of a BERT config."""
    config.skip("directionality", *(key for key in config.values if key.startswith("pooler_")))
    config.expect("position_embedding_type", "absolute", "relative positions are another layout")
    config.expect("is_decoder", False, "a BERT that generates is another layout")
    hidden_size = config.take("hidden_size", int)
    num_heads = config.take("num_attention_heads", int)
    rows = config.optional("max_position_embeddings", int, 512)
    norm = NormSpec(kind="layernorm", eps=config.optional("layer_norm_eps", float, 1e-12))
    activation = config.activation("hidden_act", "gelu")
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=NoPositionSpec(),
            qkv_bias=True,
            output_bias=True,
            causal=False,
        ),
        feed_forward=FeedForwardSpec(
            kind="plain",
            intermediate_size=config.take("intermediate_size", int),
            activation=activation,
            bias=True,
        ),
        norm=norm,
        residual="post",
    )
    return Spec(
        vocab_size=config.take("vocab_size", int),
        hidden_size=hidden_size,
        num_layers=read_num_layers(config),
        max_seq_len=rows,
        blocks=(block,),
        final_norm=NormSpec(kind="none"),
        head=HeadSpec(
            tie_embeddings=config.optional("tie_word_embeddings", bool, True),
            bias=True,
            transform=HeadTransformSpec(activation=activation, norm=norm),
        ),
        inputs=InputSpec(
            positions=LearnedPositionSpec(num_rows=rows),
            num_token_types=config.optional("type_vocab_size", int, 2),
            norm=norm,
        ),
    )


def write(spec: Spec) -> dict[str, Any]:
    """BERT config keys for a Spec."""
    block = spec.blocks[0]
    inner = dense_of(block)
    return {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": block.attention.num_heads,
        "intermediate_size": inner.intermediate_size,
        "hidden_act": PUBLISHED_ACTIVATION[inner.activation],
        "max_position_embeddings": spec.max_seq_len,
        "type_vocab_size": spec.inputs.num_token_types,
        "layer_norm_eps": block.norm.eps,
        "tie_word_embeddings": spec.head.tie_embeddings,
    }


BERT = Family(
    name="bert",
    title="BERT base, large",
    stack="encoder",
    model_types=("bert",),
    architectures=("BertForMaskedLM", "BertForPreTraining"),
    read=read,
    write=write,
    rules=RULES,
    prefix="bert.",
    outside_prefix=("cls",),
    spellings=((".gamma", ".weight"), (".beta", ".bias")),
    ignored=("bert.pooler.*", "cls.seq_relationship.*", "bert.embeddings.position_ids"),
    copies={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    special_ids=SpecialIds(pad=0),
    text_marks=(("[CLS]",), ("[SEP]",)),
    native="BertForMaskedLM",
)
