"""Spec: an architecture as data.

Three levels of frozen dataclasses: `Spec` > `BlockSpec` > `AttentionSpec | FeedForwardSpec | NormSpec | PositionSpec`.
Components are chosen by name; `blocks` is a pattern that repeats over the layers, so a model of equal layers has one
entry and an alternating one has two. A Spec counts its own parameters, FLOPs and cache bytes without building a model,
round-trips through TOML and JSON (`stemma.config.parse` and `plain`), and two Specs have a difference.

Legend used in every shape comment: B batch, T queries, S keys, C hidden_size, H heads, K kv heads, D head_dim, V vocab.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from stemma.config import plain
from stemma.errors import StemmaError

BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}


@dataclass(frozen=True, kw_only=True)
class NormSpec:
    """RMSNorm (arXiv 1910.07467) has a weight, LayerNorm (arXiv 1607.06450) a weight and a bias."""

    kind: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    eps: float = 1e-5

    def num_parameters(self, width: int) -> int:
        return width * (2 if self.kind == "layernorm" else 1)


@dataclass(frozen=True, kw_only=True)
class LinearScaling:
    """Position interpolation, arXiv 2306.15595: every frequency divided by `factor`."""

    kind: Literal["linear"] = "linear"
    factor: float


@dataclass(frozen=True, kw_only=True)
class DynamicScaling:
    """Dynamic NTK: beyond `original_max_seq_len` the base grows with the length of the call."""

    kind: Literal["dynamic"] = "dynamic"
    factor: float
    original_max_seq_len: int


@dataclass(frozen=True, kw_only=True)
class YarnScaling:
    """YaRN, arXiv 2309.00071: high frequencies kept, low ones interpolated, cos and sin scaled by `attention_factor`."""

    kind: Literal["yarn"] = "yarn"
    factor: float
    original_max_seq_len: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling:
    """LLaMA 3.1: long wavelengths divided by `factor`, short ones kept, interpolated between."""

    kind: Literal["llama3"] = "llama3"
    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_seq_len: int


RopeScaling = LinearScaling | DynamicScaling | YarnScaling | Llama3Scaling


@dataclass(frozen=True, kw_only=True)
class RopeSpec:
    """Rotary positions, arXiv 2104.09864: pair j of a head turns by position * theta^(-2j/d).

    `fraction` of the head is rotated, the rest left alone; pairs are (j, j + d/2), or (2j, 2j + 1) when `interleaved`.
    """

    kind: Literal["rope"] = "rope"
    theta: float = 10000.0
    fraction: float = 1.0
    interleaved: bool = False
    scaling: RopeScaling | None = None


@dataclass(frozen=True, kw_only=True)
class AlibiSpec:
    """Linear biases, arXiv 2108.12409: score -= slope_head * (query position - key position)."""

    kind: Literal["alibi"] = "alibi"


@dataclass(frozen=True, kw_only=True)
class NoPositionSpec:
    """No position information inside attention."""

    kind: Literal["none"] = "none"


PositionSpec = RopeSpec | AlibiSpec | NoPositionSpec


@dataclass(frozen=True, kw_only=True)
class AttentionSpec:
    """Softmax attention; `num_kv_heads` = `num_heads` is MHA, 1 is MQA, between is GQA (arXiv 2305.13245).

    `window` keeps the last `window` keys, the query's own included.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    position: PositionSpec
    qkv_bias: bool = False
    output_bias: bool = False
    window: int | None = None

    def __post_init__(self) -> None:
        _positive(self, "num_heads", "num_kv_heads", "head_dim")
        if self.num_heads % self.num_kv_heads:
            raise StemmaError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )
        if self.window is not None and self.window < 1:
            raise StemmaError(f"window is {self.window}; it counts the query's own position, so at least 1")
        if isinstance(self.position, RopeSpec):
            rotated = self.head_dim * self.position.fraction
            if rotated % 2 or not 0 < rotated <= self.head_dim:
                raise StemmaError(
                    f"RoPE turns pairs: {rotated} of head_dim {self.head_dim} is not an even share"
                )

    def num_parameters(self, hidden_size: int) -> int:
        query, key_value = self.num_heads * self.head_dim, 2 * self.num_kv_heads * self.head_dim
        weights = hidden_size * (2 * query + key_value)
        return weights + self.qkv_bias * (query + key_value) + self.output_bias * hidden_size


@dataclass(frozen=True, kw_only=True)
class FeedForwardSpec:
    """`gated`: down(act(gate x) * up x), arXiv 2002.05202; `plain`: down(act(up x)). gelu is exact, gelu_tanh is not."""

    kind: Literal["gated", "plain"] = "gated"
    intermediate_size: int
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "silu"
    bias: bool = False

    def __post_init__(self) -> None:
        _positive(self, "intermediate_size")

    def num_parameters(self, hidden_size: int) -> int:
        inner = 2 if self.kind == "gated" else 1
        bias = self.bias * (inner * self.intermediate_size + hidden_size)
        return (inner + 1) * hidden_size * self.intermediate_size + bias


@dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """One layer. Residual `pre`: x + attention(norm(x)), then x + feed_forward(norm(x))."""

    attention: AttentionSpec
    feed_forward: FeedForwardSpec
    norm: NormSpec = NormSpec()
    residual: Literal["pre"] = "pre"

    def num_parameters(self, hidden_size: int) -> int:
        parts = self.attention.num_parameters(hidden_size) + self.feed_forward.num_parameters(hidden_size)
        return parts + 2 * self.norm.num_parameters(hidden_size)


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """From hidden state to logits: tied to the embedding or its own matrix, rows normalised or not (NormHead).

    `max_z_weight` is the weight of the max-z loss the family trains with (arXiv 2309.10305, eq. 1); 0 is none.
    """

    tie_embeddings: bool = False
    normalized: bool = False
    max_z_weight: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A decoder-only language model. `max_seq_len` is the length it was trained for, not a hard limit of RoPE or ALiBi."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    max_seq_len: int
    blocks: tuple[BlockSpec, ...]
    final_norm: NormSpec = NormSpec()
    head: HeadSpec = HeadSpec()

    def __post_init__(self) -> None:
        _positive(self, "vocab_size", "hidden_size", "num_layers", "max_seq_len")
        if not self.blocks or self.num_layers % len(self.blocks):
            raise StemmaError(
                f"blocks is a pattern that repeats: {len(self.blocks)} entries do not divide num_layers {self.num_layers}"
            )

    def block(self, layer: int) -> BlockSpec:
        """The block of layer `layer`, counted from 0."""
        return self.blocks[layer % len(self.blocks)]

    @property
    def layers(self) -> tuple[BlockSpec, ...]:
        """One BlockSpec per layer."""
        return tuple(self.block(i) for i in range(self.num_layers))

    def num_parameters(self) -> int:
        """Numbers to store; a tied head is counted once."""
        embedding = self.vocab_size * self.hidden_size
        head = 0 if self.head.tie_embeddings else embedding
        layers = sum(block.num_parameters(self.hidden_size) for block in self.layers)
        return embedding + layers + self.final_norm.num_parameters(self.hidden_size) + head

    def flops_per_token(self, context: int) -> int:
        """Forward FLOPs for one token that sees `context` keys: 2 per matrix weight, 4 per key, head and head dimension.

        Training costs three times as much; over a causal sequence of length T the mean context is (T + 1) / 2.
        """
        total = 2 * self.vocab_size * self.hidden_size
        for block in self.layers:
            attention, feed_forward = block.attention, block.feed_forward
            matrices = dataclasses.replace(attention, qkv_bias=False, output_bias=False)
            total += 2 * matrices.num_parameters(self.hidden_size)
            total += 2 * dataclasses.replace(feed_forward, bias=False).num_parameters(self.hidden_size)
            seen = min(context, attention.window or context)
            total += 4 * seen * attention.num_heads * attention.head_dim
        return total

    def kv_bytes_per_token(self, dtype: str = "bfloat16") -> int:
        """Bytes one more token of context adds to the KV cache."""
        values = sum(2 * block.attention.num_kv_heads * block.attention.head_dim for block in self.layers)
        return int(values * _bytes(dtype))

    def weight_bytes(self, dtype: str = "bfloat16") -> int:
        """Bytes of all parameters at `dtype` (scales of quantised formats not counted)."""
        return int(self.num_parameters() * _bytes(dtype))


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


def _positive(spec: Any, *names: str) -> None:
    for name in names:
        value = getattr(spec, name)
        if not 0 < value < 2**31:
            raise StemmaError(f"{name} is {value}; it must be between 1 and 2^31")
