"""Spec: an architecture as data.

Three levels of frozen dataclasses: `Spec` > `BlockSpec` > `AttentionSpec | FeedForwardSpec | NormSpec | PositionSpec`.
Beside the blocks stand what happens to an embedding before them (`InputSpec`), the way to logits (`HeadSpec`) and an
optional encoder. Components are chosen by name; `blocks` is a pattern that repeats over the layers, so a model of equal
layers has one entry and an alternating one has two. A Spec counts its own parameters, FLOPs and cache bytes without building a model,
round-trips through TOML and JSON (`stemma.config.parse` and `plain`), and two Specs have a difference.

Legend used in every shape comment: B batch, T queries, S keys, C hidden_size, H heads, K kv heads, D head_dim, V vocab.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from stemma.config import plain
from stemma.errors import StemmaError
from stemma.model.components import (
    Activation,
    AlibiSpec,
    AttentionSpec,
    BlockSpec,
    DynamicScaling,
    FeedForwardSpec,
    LinearScaling,
    Llama3Scaling,
    MixtureSpec,
    NoPositionSpec,
    NormSpec,
    PositionSpec,
    RelativeSpec,
    Rope2dSpec,
    RopeScaling,
    RopeSpec,
    SteppedScaling,
    YarnScaling,
    check_positive,
)

__all__ = [
    "BYTES",
    "AlibiSpec",
    "AttentionSpec",
    "BlockSpec",
    "Change",
    "DynamicScaling",
    "EncoderSpec",
    "FeedForwardSpec",
    "HeadSpec",
    "HeadTransformSpec",
    "InputSpec",
    "LearnedPositionSpec",
    "LinearScaling",
    "Llama3Scaling",
    "MixtureSpec",
    "NoPositionSpec",
    "NormSpec",
    "PositionSpec",
    "RelativeSpec",
    "Rope2dSpec",
    "RopeScaling",
    "RopeSpec",
    "Spec",
    "SteppedScaling",
    "YarnScaling",
    "difference",
]

BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}


@dataclass(frozen=True, kw_only=True)
class LearnedPositionSpec:
    """Learned positions added to the embedding: position p reads row p + `offset` of `num_rows`.

    `blocks` adds a second table of as many rows for the second row of positions (GLM).
    """

    num_rows: int
    offset: int = 0
    blocks: bool = False

    def __post_init__(self) -> None:
        check_positive(self, "num_rows")
        if not 0 <= self.offset < self.num_rows:
            raise StemmaError(f"offset {self.offset} leaves none of {self.num_rows} position rows")

    @property
    def max_seq_len(self) -> int:
        """Positions the table holds."""
        return self.num_rows - self.offset

    def num_parameters(self, width: int) -> int:
        return self.num_rows * width * (2 if self.blocks else 1)


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What happens to a token's embedding before the first layer, in this order.

    Multiplied by `scale`; projected from `width` to hidden_size without bias (OPT 350M); learned positions and one of
    `num_token_types` vectors added; normalised by `norm` (BLOOM, BERT, BART).
    """

    width: int | None = None
    scale: float = 1.0
    positions: LearnedPositionSpec | None = None
    num_token_types: int = 0
    norm: NormSpec = NormSpec(kind="none")

    def num_parameters(self, hidden_size: int) -> int:
        projection = self.width * hidden_size if self.width else 0
        positions = self.positions.num_parameters(hidden_size) if self.positions else 0
        norm = self.norm.num_parameters(hidden_size)
        return projection + positions + self.num_token_types * hidden_size + norm


@dataclass(frozen=True, kw_only=True)
class HeadTransformSpec:
    """A dense layer with bias, an activation and a norm before the output matrix (BERT's masked LM head)."""

    activation: Activation = "gelu"
    norm: NormSpec = NormSpec(kind="layernorm")

    def num_parameters(self, hidden_size: int) -> int:
        return hidden_size * hidden_size + hidden_size + self.norm.num_parameters(hidden_size)


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """From hidden state to logits: tied to the embedding or its own matrix, rows normalised or not (NormHead).

    The hidden state passes `transform` first, then is multiplied by `scale` (T5); `bias` is added to the logits (BART,
    BERT). `max_z_weight` is the weight of the max-z loss the family trains with (arXiv 2309.10305, eq. 1); 0 is none.
    """

    tie_embeddings: bool = False
    normalized: bool = False
    max_z_weight: float = 0.0
    bias: bool = False
    scale: float = 1.0
    transform: HeadTransformSpec | None = None


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """The encoder of an encoder-decoder model; it shares the token embedding with the decoder."""

    num_layers: int
    blocks: tuple[BlockSpec, ...]
    inputs: InputSpec = InputSpec()
    final_norm: NormSpec = NormSpec()

    def __post_init__(self) -> None:
        check_positive(self, "num_layers")
        _check_pattern(self.blocks, self.num_layers)
        if self.inputs.width is not None:
            raise StemmaError(
                "the encoder shares the decoder's embedding; its inputs have no width of their own"
            )

    @property
    def layers(self) -> tuple[BlockSpec, ...]:
        """One BlockSpec per layer."""
        return tuple(self.blocks[i % len(self.blocks)] for i in range(self.num_layers))

    def num_parameters(self, hidden_size: int) -> int:
        return _stack_parameters(self.inputs, self.layers, self.final_norm, hidden_size)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A language model: a decoder, a decoder reading an encoder, or a bidirectional stack (blocks that are not causal).

    `max_seq_len` is the length it was trained for, not a hard limit of RoPE or ALiBi.
    """

    vocab_size: int
    hidden_size: int
    num_layers: int
    max_seq_len: int
    blocks: tuple[BlockSpec, ...]
    final_norm: NormSpec = NormSpec()
    head: HeadSpec = HeadSpec()
    inputs: InputSpec = InputSpec()
    encoder: EncoderSpec | None = None

    def __post_init__(self) -> None:
        check_positive(self, "vocab_size", "hidden_size", "num_layers", "max_seq_len")
        _check_pattern(self.blocks, self.num_layers)
        if any((block.cross_attention is None) != (self.encoder is None) for block in self.blocks):
            raise StemmaError(
                "an encoder needs cross_attention in every block, and cross_attention an encoder"
            )
        if len({block.attention.causal for block in self.blocks}) > 1:
            raise StemmaError(
                "attention is causal in some layers and not in others; a stack is one or the other"
            )

    def block(self, layer: int) -> BlockSpec:
        """The block of layer `layer`, counted from 0."""
        return self.blocks[layer % len(self.blocks)]

    @property
    def layers(self) -> tuple[BlockSpec, ...]:
        """One BlockSpec per layer."""
        return tuple(self.block(i) for i in range(self.num_layers))

    @property
    def causal(self) -> bool:
        """Whether tokens can be generated one after another; false for masked language models."""
        return self.blocks[0].attention.causal

    def check_decoder(self, purpose: str) -> None:
        """Raise StemmaError for a model that does not predict each token from those before it, naming what it is for."""
        if self.encoder is not None or not self.causal:
            kind = "fills masks" if self.encoder is None else "has an encoder"
            raise StemmaError(
                f"this model {kind}, and {purpose} works on models that predict each token from those before it; "
                "choose such a model"
            )

    @property
    def embedding_width(self) -> int:
        """Columns of the token embedding."""
        return self.inputs.width or self.hidden_size

    @property
    def two_positions(self) -> bool:
        """Whether a token has two positions, one in the text and one in its piece."""
        learned = self.inputs.positions
        return bool(learned and learned.blocks) or any(
            isinstance(block.attention.position, Rope2dSpec) for block in self.blocks
        )

    def num_parameters(self) -> int:
        """Numbers to store; a tied head is counted once."""
        embedding = self.vocab_size * self.embedding_width
        head = 0 if self.head.tie_embeddings else embedding
        head += self.head.bias * self.vocab_size
        head += self.head.transform.num_parameters(self.hidden_size) if self.head.transform else 0
        head += self.embedding_width * self.hidden_size if self.inputs.width else 0
        stack = _stack_parameters(self.inputs, self.layers, self.final_norm, self.hidden_size)
        encoder = self.encoder.num_parameters(self.hidden_size) if self.encoder else 0
        return embedding + stack + encoder + head

    def flops_per_token(self, context: int) -> int:
        """Forward FLOPs for one token that sees `context` keys: 2 per matrix weight, 4 per key, head and head dimension.

        Training costs three times as much; over a causal sequence of length T the mean context is (T + 1) / 2. Of an
        encoder-decoder model: one token of the decoder, whose source has `context` tokens too; the encoder not counted.
        """
        total = 2 * self.vocab_size * self.embedding_width
        total += 4 * self.embedding_width * self.hidden_size if self.inputs.width else 0
        total += 2 * self.hidden_size**2 if self.head.transform else 0
        for block in self.layers:
            total += 2 * block.feed_forward.num_active(self.hidden_size)
            for attention in (block.attention, block.cross_attention):
                if attention is None:
                    continue
                matrices = dataclasses.replace(attention, qkv_bias=False, output_bias=False, qk_norm=None)
                total += 2 * matrices.num_parameters(self.hidden_size)
                seen = min(context, attention.window or context)
                total += 4 * seen * attention.num_heads * attention.head_dim
        return total

    def kv_bytes_per_token(self, dtype: str = "bfloat16") -> int:
        """Bytes one more token of context adds to the KV cache (of the decoder; its source is cached once)."""
        values = sum(2 * block.attention.num_kv_heads * block.attention.head_dim for block in self.layers)
        return int(values * _bytes(dtype))

    def weight_bytes(self, dtype: str = "bfloat16") -> int:
        """Bytes of all parameters at `dtype` (scales of quantised formats not counted)."""
        return int(self.num_parameters() * _bytes(dtype))


def _check_pattern(blocks: tuple[BlockSpec, ...], num_layers: int) -> None:
    if not blocks or num_layers % len(blocks):
        raise StemmaError(
            f"blocks is a pattern that repeats: {len(blocks)} entries do not divide num_layers {num_layers}"
        )
    tables = {(block.attention.position, block.attention.num_heads) for block in blocks}
    if len(tables) > 1 and any(isinstance(position, RelativeSpec) for position, _ in tables):
        raise StemmaError(
            "relative positions share one table: every block needs the same position and num_heads"
        )


def _stack_parameters(
    inputs: InputSpec, layers: tuple[BlockSpec, ...], final_norm: NormSpec, hidden_size: int
) -> int:
    """Parameters of one stack; a relative position table is stored once for all its layers."""
    position, heads = layers[0].attention.position, layers[0].attention.num_heads
    total = position.num_buckets * heads if isinstance(position, RelativeSpec) else 0
    total += sum(block.num_parameters(hidden_size) for block in layers)
    total += final_norm.num_parameters(hidden_size)
    return total + inputs.num_parameters(hidden_size)


class Change(NamedTuple):
    """One place where two Specs differ; `path` is dotted, `before` or `after` is None where it does not exist."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.before} -> {self.after}"


def difference(before: Spec, after: Spec) -> list[Change]:
    """Every leaf that differs, in field order. Patterns of unequal length are compared layer by layer."""
    old, new = plain(before), plain(after)
    if len(before.blocks) != len(after.blocks):
        old["blocks"], new["blocks"] = plain(before.layers), plain(after.layers)
    return list(_changes("", old, new))


def _changes(path: str, old: Any, new: Any) -> list[Change]:
    before, after = _children(old), _children(new)
    if before is None or after is None or isinstance(old, dict) != isinstance(new, dict):
        return [] if old == new else [Change(path, old, new)]
    found: list[Change] = []
    for key in [*before, *(k for k in after if k not in before)]:
        place = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip(".")
        found += _changes(place, before.get(key), after.get(key))
    return found


def _children(value: Any) -> dict[int | str, Any] | None:
    """What a table or a list holds, by key or index; None for a leaf."""
    if isinstance(value, list):
        return dict(enumerate(cast("list[Any]", value)))
    return cast("dict[int | str, Any]", value) if isinstance(value, dict) else None


def _bytes(dtype: str) -> float:
    if dtype not in BYTES:
        raise StemmaError(f"dtype '{dtype}' is not known; use one of {', '.join(BYTES)}")
    return BYTES[dtype]
