"""Qwen 1.5, 2, 2.5 (biases on query, key, value), Qwen 3 (a norm on every query and key head) and Qwen2-MoE.

The window acts with `use_sliding_window` alone, on the layers from `max_window_layers` on; newer configs spell the
layers out in `layer_types`. arXiv 2407.10671, 2505.09388.
"""

from typing import Any

from stemma.errors import StemmaError
from stemma.families.config import PUBLISHED_ACTIVATION, Config
from stemma.families.family import Family
from stemma.families.llama import (
    ATTENTION_RULES,
    COPIES,
    FRAME_RULES,
    GATED_RULES,
    IGNORED,
    LAYER,
    OURS,
    RULES,
    read_decoder,
    read_gated,
    read_num_layers,
    write_decoder,
)
from stemma.families.rules import rename, renames
from stemma.model.spec import FeedForwardSpec, MixtureSpec, Spec

_FULL, _WINDOW = "full_attention", "sliding_attention"
MIXTURE_RULES = (
    rename(f"{LAYER}.mlp.gate", f"{OURS}.feed_forward.router"),
    rename(f"{LAYER}.mlp.shared_expert_gate", f"{OURS}.feed_forward.shared_gate"),
    *renames(
        f"{LAYER}.mlp.experts.{{expert}}.",
        f"{OURS}.feed_forward.experts.{{expert}}.",
        gate="gate_proj",
        up="up_proj",
        down="down_proj",
    ),
    *renames(
        f"{LAYER}.mlp.shared_expert.",
        f"{OURS}.feed_forward.shared.",
        gate="gate_proj",
        up="up_proj",
        down="down_proj",
    ),
)


def read_windows(config: Config) -> list[int | None]:
    """The window of every layer; one None where no layer has any."""
    num_layers = read_num_layers(config)
    window, first = config.maybe("sliding_window", int), config.optional("max_window_layers", int, 28)
    types = config.maybe("layer_types", tuple[str, ...])
    if not config.optional("use_sliding_window", bool, False) or not window:
        return [None]
    if types is None:
        return [window if layer >= first else None for layer in range(num_layers)]
    if len(types) != num_layers or not set(types) <= {_FULL, _WINDOW}:
        raise StemmaError(
            f"{config.where}: layer_types must name {num_layers} layers {_FULL} or {_WINDOW}, found {list(types)}"
        )
    return [window if kind == _WINDOW else None for kind in types]


def write_windows(spec: Spec) -> dict[str, Any]:
    """The keys of the windows of a Spec."""
    windows = [block.attention.window for block in spec.layers]
    used = [window for window in windows if window is not None]
    full = next((layer for layer, window in enumerate(windows) if window is not None), len(windows))
    return {
        "use_sliding_window": bool(used),
        "sliding_window": used[0] if used else None,
        "max_window_layers": full,
        "layer_types": [_WINDOW if window else _FULL for window in windows],
    }


def read(config: Config) -> Spec:
    """The Spec of a Qwen 2 config."""
    return read_decoder(config, qkv_bias=True, windows=read_windows(config))


def write(spec: Spec) -> dict[str, Any]:
    """Qwen 2 config keys for a Spec."""
    config = write_decoder(spec, "Qwen2ForCausalLM", "qwen2") | write_windows(spec)
    if config["head_dim"] * config["num_attention_heads"] == config["hidden_size"]:
        del config["head_dim"]  # the native class has no such key
    return config


def read_third(config: Config) -> Spec:
    """The Spec of a Qwen 3 config."""
    bias = config.optional("attention_bias", bool, False)
    if not config.has("head_dim"):
        config = config.with_default("head_dim", 128)
    return read_decoder(config, qkv_bias=bias, output_bias=bias, qk_norm=True, windows=read_windows(config))


def write_third(spec: Spec) -> dict[str, Any]:
    """Qwen 3 config keys for a Spec."""
    config = write_decoder(spec, "Qwen3ForCausalLM", "qwen3") | write_windows(spec)
    return config | {"attention_bias": spec.blocks[0].attention.qkv_bias}


def read_mixture(config: Config) -> Spec:
    """The Spec of a Qwen2-MoE config: a mixture in every `decoder_sparse_step`-th layer but `mlp_only_layers`."""
    config.skip("output_router_logits", "router_aux_loss_coef", "sliding_window_pattern")
    dense = read_gated(config)
    mixture = MixtureSpec(
        num_experts=config.optional("num_experts", int, 60),
        experts_per_token=config.optional("num_experts_per_tok", int, 4),
        expert=_sized(dense, config.optional("moe_intermediate_size", int, 1408)),
        shared=_sized(dense, config.optional("shared_expert_intermediate_size", int, 5632)),
        renormalized=config.optional("norm_topk_prob", bool, False),
    )
    step = config.optional("decoder_sparse_step", int, 1)
    only = config.optional("mlp_only_layers", tuple[int, ...], ())
    layers = range(read_num_layers(config))
    sparse = [step > 0 and layer not in only and (layer + 1) % step == 0 for layer in layers]
    windows = read_windows(config)
    return read_decoder(
        config,
        qkv_bias=config.optional("qkv_bias", bool, True),
        windows=windows,
        feed_forwards=[mixture if it_is else dense for it_is in sparse],
    )


def write_mixture(spec: Spec) -> dict[str, Any]:
    """Qwen2-MoE config keys for a Spec."""
    mixtures = [b.feed_forward for b in spec.layers if isinstance(b.feed_forward, MixtureSpec)]
    dense = [b.feed_forward for b in spec.layers if isinstance(b.feed_forward, FeedForwardSpec)]
    if not mixtures or mixtures[0].shared is None:
        raise StemmaError("the layout 'qwen2_moe' has a mixture with a shared expert")
    mixture, shared = mixtures[0], mixtures[0].shared
    inner = dense[0] if dense else mixture.expert
    return write_decoder(spec, "Qwen2MoeForCausalLM", "qwen2_moe") | {
        **write_windows(spec),
        "intermediate_size": inner.intermediate_size,
        "hidden_act": PUBLISHED_ACTIVATION[inner.activation],
        "qkv_bias": spec.blocks[0].attention.qkv_bias,
        "num_experts": mixture.num_experts,
        "num_experts_per_tok": mixture.experts_per_token,
        "moe_intermediate_size": mixture.expert.intermediate_size,
        "shared_expert_intermediate_size": shared.intermediate_size,
        "norm_topk_prob": mixture.renormalized,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [
            layer for layer, b in enumerate(spec.layers) if isinstance(b.feed_forward, FeedForwardSpec)
        ],
    }


def _sized(dense: FeedForwardSpec, width: int) -> FeedForwardSpec:
    return FeedForwardSpec(intermediate_size=width, activation=dense.activation)


def _family(name: str, title: str, architecture: str, chat: str = "qwen2", **parts: Any) -> Family:
    return Family(
        name=name,
        title=title,
        model_types=(name,),
        architectures=(architecture,),
        native=architecture,
        ignored=IGNORED,
        copies=COPIES,
        chat_template=lambda spec: chat,
        **parts,
    )


QWEN2 = _family("qwen2", "Qwen 1.5, 2, 2.5", "Qwen2ForCausalLM", read=read, write=write, rules=RULES)
QWEN3 = _family(
    "qwen3", "Qwen 3", "Qwen3ForCausalLM", "qwen3", read=read_third, write=write_third, rules=RULES
)
QWEN2_MOE = _family(
    "qwen2_moe",
    "Qwen 1.5 and 2 MoE",
    "Qwen2MoeForCausalLM",
    read=read_mixture,
    write=write_mixture,
    rules=ATTENTION_RULES + FRAME_RULES + GATED_RULES + MIXTURE_RULES,
)
