"""What a layer is made of, as data: norms, positions, attention, feed-forward, and the block that joins them.

Every component is a frozen dataclass chosen by `kind`; it checks its own values and counts its own parameters. `Spec`
in `stemma.model.spec` puts them together.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from stemma.errors import StemmaError

Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]


@dataclass(frozen=True, kw_only=True)
class NormSpec:
    """RMSNorm (arXiv 1910.07467) has a weight, LayerNorm (arXiv 1607.06450) a weight and a bias; none does nothing."""

    kind: Literal["rmsnorm", "layernorm", "none"] = "rmsnorm"
    eps: float = 1e-5

    def num_parameters(self, width: int) -> int:
        return width * {"rmsnorm": 1, "layernorm": 2, "none": 0}[self.kind]


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


@dataclass(frozen=True, kw_only=True)
class SteppedScaling:
    """Qwen 1's dynamic NTK: the base grows in steps with the length of the prompt and stays there while it is continued.

    A prompt of n tokens beyond `original_max_seq_len` S gives alpha = 2^ceil(log2(n / S) + 1) - 1 and the base
    theta * alpha^(d / (d - 2)); in training the base never grows (modeling_qwen.py, `get_ntk_alpha`).
    """

    kind: Literal["stepped"] = "stepped"
    original_max_seq_len: int


RopeScaling = LinearScaling | DynamicScaling | YarnScaling | Llama3Scaling | SteppedScaling


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
class Rope2dSpec:
    """Two rotary positions a token (GLM): half of the head turns by the text position, half by the place in its piece.

    Pairs are half-split inside each half. `half_precision` rounds the frequencies to float16, as ChatGLM-6B was trained.
    """

    kind: Literal["rope_2d"] = "rope_2d"
    theta: float = 10000.0
    half_precision: bool = False


@dataclass(frozen=True, kw_only=True)
class AlibiSpec:
    """Linear biases, arXiv 2108.12409: score -= slope_head * (query position - key position).

    `before_scaling` adds the bias to q k' and divides both by sqrt(D) (Falcon); `rounded` keeps slope * key position in
    bfloat16 whatever the model dtype (Falcon).
    """

    kind: Literal["alibi"] = "alibi"
    before_scaling: bool = False
    rounded: bool = False


@dataclass(frozen=True, kw_only=True)
class RelativeSpec:
    """T5's learned bias per head and bucket of distance, one table for all layers of a stack (arXiv 1910.10683, 2.1)."""

    kind: Literal["relative"] = "relative"
    num_buckets: int = 32
    max_distance: int = 128


@dataclass(frozen=True, kw_only=True)
class NoPositionSpec:
    """No position information inside attention."""

    kind: Literal["none"] = "none"


PositionSpec = RopeSpec | Rope2dSpec | AlibiSpec | RelativeSpec | NoPositionSpec


@dataclass(frozen=True, kw_only=True)
class AttentionSpec:
    """Softmax attention; `num_kv_heads` = `num_heads` is MHA, 1 is MQA, between is GQA (arXiv 2305.13245).

    `window` keeps the last `window` keys, the query's own included. `causal` false lets a query see what comes after it.
    `scaled` divides the scores by sqrt(head_dim) (T5 does not). `qk_norm` normalises every query and key head before
    rotation (arXiv 2302.05442). `logn` multiplies the query at place i (counted from 1) beyond that length by
    log(i) / log(logn), outside training (Qwen 1).
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    position: PositionSpec
    qkv_bias: bool = False
    output_bias: bool = False
    window: int | None = None
    causal: bool = True
    scaled: bool = True
    qk_norm: NormSpec | None = None
    logn: int | None = None

    def __post_init__(self) -> None:
        check_positive(self, "num_heads", "num_kv_heads", "head_dim")
        if self.num_heads % self.num_kv_heads:
            raise StemmaError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )
        if self.window is not None and self.window < 1:
            raise StemmaError(f"window is {self.window}; it counts the query's own position, so at least 1")
        if self.window is not None and not self.causal:
            raise StemmaError("a window needs causal attention: it counts the keys before the query")
        if self.logn is not None and self.logn < 2:
            raise StemmaError(f"logn is {self.logn}; it is the trained length, at least 2")
        if isinstance(self.position, RopeSpec):
            rotated = self.head_dim * self.position.fraction
            if rotated % 2 or not 0 < rotated <= self.head_dim:
                raise StemmaError(
                    f"RoPE turns pairs: {rotated} of head_dim {self.head_dim} is not an even share"
                )
        if isinstance(self.position, Rope2dSpec) and self.head_dim % 4:
            raise StemmaError(
                f"2-D RoPE turns pairs in both halves of a head: head_dim {self.head_dim} is not a multiple of 4"
            )

    def num_parameters(self, hidden_size: int) -> int:
        query, key_value = self.num_heads * self.head_dim, 2 * self.num_kv_heads * self.head_dim
        weights = hidden_size * (2 * query + key_value)
        norms = 2 * self.qk_norm.num_parameters(self.head_dim) if self.qk_norm else 0
        return weights + self.qkv_bias * (query + key_value) + self.output_bias * hidden_size + norms


@dataclass(frozen=True, kw_only=True)
class FeedForwardSpec:
    """`gated`: down(act(gate x) * up x), arXiv 2002.05202; `plain`: down(act(up x)). gelu is exact, gelu_tanh is not."""

    kind: Literal["gated", "plain"] = "gated"
    intermediate_size: int
    activation: Activation = "silu"
    bias: bool = False

    def __post_init__(self) -> None:
        check_positive(self, "intermediate_size")

    def num_parameters(self, hidden_size: int) -> int:
        inner = 2 if self.kind == "gated" else 1
        bias = self.bias * (inner * self.intermediate_size + hidden_size)
        return (inner + 1) * hidden_size * self.intermediate_size + bias

    def num_active(self, hidden_size: int) -> int:
        """Matrix weights one token is multiplied with."""
        return dataclasses.replace(self, bias=False).num_parameters(hidden_size)


@dataclass(frozen=True, kw_only=True)
class MixtureSpec:
    """A router sends every token to `experts_per_token` of `num_experts` feed-forward layers (arXiv 2101.03961, 2401.04088).

    Weights are the router's softmax over all experts, divided by their sum over the chosen ones when `renormalized`.
    `shared` is an expert every token passes, its output multiplied by a sigmoid gate (Qwen2-MoE).
    """

    kind: Literal["mixture"] = "mixture"
    num_experts: int
    experts_per_token: int
    expert: FeedForwardSpec
    shared: FeedForwardSpec | None = None
    renormalized: bool = True

    def __post_init__(self) -> None:
        check_positive(self, "num_experts", "experts_per_token")
        if self.experts_per_token > self.num_experts:
            raise StemmaError(
                f"experts_per_token is {self.experts_per_token}, more than the {self.num_experts} experts there are"
            )

    def num_parameters(self, hidden_size: int) -> int:
        shared = self.shared.num_parameters(hidden_size) + hidden_size if self.shared else 0
        return self.num_experts * (self.expert.num_parameters(hidden_size) + hidden_size) + shared

    def num_active(self, hidden_size: int) -> int:
        """Matrix weights one token is multiplied with: router, chosen experts, shared expert and its gate."""
        shared = self.shared.num_active(hidden_size) + hidden_size if self.shared else 0
        return (
            self.num_experts * hidden_size
            + self.experts_per_token * self.expert.num_active(hidden_size)
            + shared
        )


@dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """One layer: attention, cross-attention where there is an encoder, feed-forward, and how the residual runs.

    pre              x + f(norm(x)), arXiv 2002.04745
    post             norm(residual_scale * x + f(x)), arXiv 1706.03762; with residual_scale DeepNorm, arXiv 2203.00555
    sandwich         x + norm(f(norm(x))), arXiv 2105.13290
    normed           residual_scale * norm(x) + f(norm(x)) (ChatGLM-6B)
    parallel         x + attention(norm(x)) + feed_forward(norm(x)) (Falcon 7B)
    parallel_two     the same with a norm for each branch (Falcon 40B)
    """

    attention: AttentionSpec
    feed_forward: FeedForwardSpec | MixtureSpec
    norm: NormSpec = NormSpec()
    residual: Literal["pre", "post", "sandwich", "normed", "parallel", "parallel_two"] = "pre"
    residual_scale: float = 1.0
    cross_attention: AttentionSpec | None = None

    def __post_init__(self) -> None:
        if self.residual_scale != 1.0 and self.residual not in ("post", "normed"):
            raise StemmaError(
                f"residual '{self.residual}' has no residual_scale; it is one of post and normed"
            )
        if self.cross_attention is not None and self.residual not in ("pre", "post"):
            raise StemmaError(f"residual '{self.residual}' has no place for cross-attention; use pre or post")

    @property
    def num_norms(self) -> int:
        """Norms of `hidden_size` in the layer."""
        return {"parallel": 1, "sandwich": 4}.get(self.residual, 2) + (self.cross_attention is not None)

    def num_parameters(self, hidden_size: int) -> int:
        parts = self.attention.num_parameters(hidden_size) + self.feed_forward.num_parameters(hidden_size)
        cross = self.cross_attention.num_parameters(hidden_size) if self.cross_attention else 0
        return parts + cross + self.num_norms * self.norm.num_parameters(hidden_size)


def check_positive(spec: Any, *names: str) -> None:
    """Raise StemmaError for a size that is no size."""
    for name in names:
        value = getattr(spec, name)
        if not 0 < value < 2**31:
            raise StemmaError(f"{name} is {value}; it must be between 1 and 2^31")
