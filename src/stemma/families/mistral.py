"""Mistral and Mixtral: LLaMA's layout with a sliding window and, in Mixtral, eight experts of which two are used.

A window of w keys lets query i see keys j with i - w < j <= i; null means none. arXiv 2310.06825, 2401.04088.
"""

from typing import Any

from stemma.families.config import Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import (
    ATTENTION_RULES,
    COPIES,
    FRAME_RULES,
    IGNORED,
    LAYER,
    OURS,
    RULES,
    read_decoder,
    read_gated,
    write_decoder,
)
from stemma.families.rules import rename, renames
from stemma.model.spec import MixtureSpec, Spec

MIXTURE_RULES = (
    rename(f"{LAYER}.block_sparse_moe.gate", f"{OURS}.feed_forward.router"),
    *renames(
        f"{LAYER}.block_sparse_moe.experts.{{expert}}.",
        f"{OURS}.feed_forward.experts.{{expert}}.",
        gate="w1",
        up="w3",
        down="w2",
    ),
)


def read(config: Config) -> Spec:
    """The Spec of a Mistral config."""
    return read_decoder(config, windows=(config.maybe("sliding_window", int),))


def write(spec: Spec) -> dict[str, Any]:
    """Mistral config keys for a Spec."""
    config = write_decoder(spec, "MistralForCausalLM", "mistral")
    return config | {"sliding_window": spec.blocks[0].attention.window}


def read_mixtral(config: Config) -> Spec:
    """The Spec of a Mixtral config."""
    config.skip("output_router_logits", "router_aux_loss_coef", "router_jitter_noise")
    mixture = MixtureSpec(
        num_experts=config.optional("num_local_experts", int, 8, "num_experts"),
        experts_per_token=config.optional("num_experts_per_tok", int, 2),
        expert=read_gated(config),
    )
    window = config.maybe("sliding_window", int)
    return read_decoder(config, eps=1e-5, windows=(window,), feed_forwards=(mixture,))


def write_mixtral(spec: Spec) -> dict[str, Any]:
    """Mixtral config keys for a Spec."""
    inner = spec.blocks[0].feed_forward
    mixture = (
        inner
        if isinstance(inner, MixtureSpec)
        else MixtureSpec(num_experts=1, experts_per_token=1, expert=inner)
    )
    return write_decoder(spec, "MixtralForCausalLM", "mixtral") | {
        "sliding_window": spec.blocks[0].attention.window,
        "num_local_experts": mixture.num_experts,
        "num_experts_per_tok": mixture.experts_per_token,
    }


MISTRAL = Family(
    name="mistral",
    title="Mistral 7B",
    model_types=("mistral",),
    architectures=("MistralForCausalLM",),
    read=read,
    write=write,
    rules=RULES,
    ignored=IGNORED,
    copies=COPIES,
    special_ids=SpecialIds(bos=1, eos=(2,)),
    native="MistralForCausalLM",
)
MIXTRAL = Family(
    name="mixtral",
    title="Mixtral 8x7B, 8x22B",
    model_types=("mixtral",),
    architectures=("MixtralForCausalLM",),
    read=read_mixtral,
    write=write_mixtral,
    rules=ATTENTION_RULES + FRAME_RULES + MIXTURE_RULES,
    ignored=IGNORED,
    copies=COPIES,
    special_ids=SpecialIds(bos=1, eos=(2,)),
    native="MixtralForCausalLM",
)
