"""GLM-4-9B (`glm`) and GLM-4-0414 (`glm4`) in the form a stock transformers carries.

LLaMA's block with interleaved RoPE on half of the head, biases on query, key and value, gate and up in one matrix, and,
in the 0414 models, a norm before and after each branch, of which `post_attention_layernorm` is the one before the MLP.
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
    read_decoder,
    read_max_seq_len,
    write_decoder,
)
from stemma.families.rope import read_rope, rope_of
from stemma.families.rules import fuse, rename, renames
from stemma.model.spec import Spec

RULES = (
    *ATTENTION_RULES,
    *FRAME_RULES,
    fuse(f"{LAYER}.mlp.gate_up_proj", f"{OURS}.feed_forward.gate", f"{OURS}.feed_forward.up"),
    rename(f"{LAYER}.mlp.down_proj", f"{OURS}.feed_forward.down"),
    *renames(
        f"{LAYER}.post_",
        f"{OURS}.",
        attention_post_norm="self_attn_layernorm",
        feed_forward_post_norm="mlp_layernorm",
    ),
)


def _read(residual: str) -> Any:
    def read(config: Config) -> Spec:
        """The Spec of a GLM-4 config."""
        rope = read_rope(config, read_max_seq_len(config), fraction=0.5, interleaved=True)
        bias = config.optional("attention_bias", bool, True)
        if not config.has("head_dim"):
            config = config.with_default("head_dim", 128)
        return read_decoder(config, qkv_bias=bias, eps=1.5625e-07, rope=rope, residual=residual)

    return read


def _write(architecture: str, model_type: str) -> Any:
    def write(spec: Spec) -> dict[str, Any]:
        """GLM-4 config keys for a Spec."""
        config = write_decoder(spec, architecture, model_type)
        fraction = rope_of(spec.blocks[0]).fraction
        return config | {
            "attention_bias": spec.blocks[0].attention.qkv_bias,
            "partial_rotary_factor": fraction,
        }

    return write


def _family(name: str, title: str, architecture: str, residual: str, **parts: Any) -> Family:
    return Family(
        name=name,
        title=title,
        model_types=(name,),
        architectures=(architecture,),
        read=_read(residual),
        write=_write(architecture, name),
        rules=RULES,
        ignored=IGNORED,
        copies=COPIES,
        special_ids=SpecialIds(eos=(151329, 151336, 151338), pad=151329),
        chat_template=lambda spec: "glm4",
        text_marks=(("[gMASK]", "<sop>"), ()),
        native=architecture,
        **parts,
    )


GLM = _family("glm", "GLM-4-9B", "GlmForCausalLM", "pre", distinctive=("num_hidden_layers",))
GLM4 = _family("glm4", "GLM-4-9B-0414, GLM-4-32B-0414", "Glm4ForCausalLM", "sandwich")
