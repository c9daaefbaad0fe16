"""Baichuan 1 and 2, 7B and 13B: the LLaMA block with query, key and value in one `W_pack`; arXiv 2309.10305.

Four models share `model_type` and differ in two ways, which their configs never state outright:

Positions. 7B has RoPE of base 10000, 13B has ALiBi. The config class of the 7B models always stores
`max_position_embeddings`, that of the 13B models stores `model_max_length` alone. Copies of 13B configs circulate with
`max_position_embeddings` added for other engines, so the two published shapes (hidden size and layers) decide first.

Head. Baichuan 2 divides the head's rows by their length (NormHead), Baichuan 1 does not. The published vocabularies
(64000 and 125696) decide first; a Baichuan 2 with its vocabulary changed is known by `z_loss_weight`, which only its
config class has, or as a `BaichuanForCausalLM` (that spelling) with RoPE: the 7B of generation 1 spells `BaiChuan`.
What remains, ALiBi and another vocabulary without `z_loss_weight`, reads as generation 1.

The explicit keys `position_embedding` ("rope" or "alibi") and `norm_head` overrule all of this; we always write them.
"""

from typing import Any, Literal, cast

from stemma.families.config import Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import COPIES, FRAME_RULES, GATED_RULES, IGNORED, LAYER, read_head_dim, write_gated
from stemma.families.rules import fuse
from stemma.model.spec import (
    AlibiSpec,
    AttentionSpec,
    BlockSpec,
    FeedForwardSpec,
    HeadSpec,
    NormSpec,
    PositionSpec,
    RopeSpec,
    Spec,
)

_POSITION: dict[str, PositionSpec] = {"rope": RopeSpec(), "alibi": AlibiSpec()}
_POSITION_OF_SHAPE = {(4096, 32): "rope", (5120, 40): "alibi"}
_NORM_HEAD_OF_VOCAB = {64000: False, 125696: True}
_FIRST_7B = "BaiChuanForCausalLM"
_OTHERS = "BaichuanForCausalLM"

RULES = (
    fuse(
        f"{LAYER}.self_attn.W_pack",
        "layers.{layer}.attention.query",
        "layers.{layer}.attention.key",
        "layers.{layer}.attention.value",
    ),
    *FRAME_RULES,
    *GATED_RULES,
)


def read(config: Config) -> Spec:
    """The Spec of a Baichuan config."""
    hidden_size = config.take("hidden_size", int)
    num_heads = config.take("num_attention_heads", int)
    num_layers = config.take("num_hidden_layers", int)
    vocab_size = config.take("vocab_size", int)
    position = _position(config, hidden_size, num_layers)
    normalized = _norm_head(config, vocab_size, position)
    norm = NormSpec(eps=config.optional("rms_norm_eps", float, 1e-6))
    block = BlockSpec(
        attention=AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=read_head_dim(config, hidden_size, num_heads),
            position=_POSITION[position],
        ),
        feed_forward=FeedForwardSpec(
            intermediate_size=config.take("intermediate_size", int),
            activation=config.activation("hidden_act", "silu"),
        ),
        norm=norm,
    )
    return Spec(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        max_seq_len=_max_seq_len(config),
        blocks=(block,),
        final_norm=norm,
        head=HeadSpec(
            tie_embeddings=config.optional("tie_word_embeddings", bool, False),
            normalized=normalized,
            max_z_weight=config.optional("z_loss_weight", float, 0.0),
        ),
    )


def write(spec: Spec) -> dict[str, Any]:
    """Baichuan config keys for a Spec."""
    block = spec.blocks[0]
    rope, normalized = block.attention.position.kind == "rope", spec.head.normalized
    lengths = {"max_position_embeddings": spec.max_seq_len} if rope else {}
    if normalized or not rope:
        lengths["model_max_length"] = spec.max_seq_len
    config: dict[str, Any] = {
        "architectures": [_FIRST_7B if rope and not normalized else _OTHERS],
        "model_type": "baichuan",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        **write_gated(block),
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": block.attention.num_heads,
        **lengths,
        "rms_norm_eps": block.norm.eps,
        "tie_word_embeddings": spec.head.tie_embeddings,
        "position_embedding": "rope" if rope else "alibi",
        "norm_head": normalized,
    }
    if normalized or spec.head.max_z_weight:
        config["z_loss_weight"] = spec.head.max_z_weight
    return config


def _position(config: Config, hidden_size: int, num_layers: int) -> str:
    choices = cast("type[str]", Literal["rope", "alibi"])
    explicit = config.maybe("position_embedding", choices)
    implied = "rope" if config.has("max_position_embeddings") else "alibi"
    return explicit or _POSITION_OF_SHAPE.get((hidden_size, num_layers), implied)


def _norm_head(config: Config, vocab_size: int, position: str) -> bool:
    explicit = config.maybe("norm_head", bool)
    if explicit is not None:
        return explicit
    second_7b = position == "rope" and _OTHERS in config.optional("architectures", tuple[str, ...], ())
    return _NORM_HEAD_OF_VOCAB.get(vocab_size, config.has("z_loss_weight") or second_7b)


def _max_seq_len(config: Config) -> int:
    trained, tokenizer = config.maybe("max_position_embeddings", int), config.maybe("model_max_length", int)
    return trained or tokenizer or 4096


def _chat_template(spec: Spec) -> str:
    return "baichuan2" if spec.head.normalized else "baichuan"


BAICHUAN = Family(
    name="baichuan",
    title="Baichuan 1 and 2, 7B and 13B",
    model_types=("baichuan",),
    architectures=(_OTHERS, _FIRST_7B),
    read=read,
    write=write,
    rules=RULES,
    ignored=IGNORED,
    copies=COPIES,
    special_ids=SpecialIds(bos=1, eos=(2,), pad=0),
    chat_template=_chat_template,
)
