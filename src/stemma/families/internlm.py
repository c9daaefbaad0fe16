"""InternLM 1 and 3: LLaMA's layout with biases of their own.

The first generation has one switch `bias` for query, key, value and output (7B on, 20B off;
tools/transformers/modeling_internlm.py of InternLM/InternLM). The third has `qkv_bias` for query, key and value and
`bias` for all linear layers; both off in what was published. The library that carries it reads one `attention_bias`.
"""

from typing import Any

from stemma.families.config import Config
from stemma.families.family import Family, SpecialIds
from stemma.families.llama import COPIES, IGNORED, RULES, read_decoder, read_gated, write_decoder
from stemma.model.spec import FeedForwardSpec, Spec


def read(config: Config) -> Spec:
    """The Spec of an InternLM 1 config."""
    bias = config.optional("bias", bool, True)
    config.skip("rotary")
    return read_decoder(config, qkv_bias=bias, output_bias=bias)


def write(spec: Spec) -> dict[str, Any]:
    """InternLM 1 config keys for a Spec."""
    config = write_decoder(spec, "InternLMForCausalLM", "internlm")
    return config | {"bias": spec.blocks[0].attention.qkv_bias}


def read_third(config: Config) -> Spec:
    """The Spec of an InternLM 3 config."""
    bias = config.optional("bias", bool, False)
    attention = config.optional("attention_bias", bool, config.optional("qkv_bias", bool, bias) or bias)
    feed_forward = read_gated(config, config.optional("mlp_bias", bool, bias))
    output = config.optional("attention_bias", bool, bias)
    return read_decoder(config, qkv_bias=attention, output_bias=output, feed_forwards=(feed_forward,))


def write_third(spec: Spec) -> dict[str, Any]:
    """InternLM 3 config keys for a Spec."""
    attention, inner = spec.blocks[0].attention, spec.blocks[0].feed_forward
    return write_decoder(spec, "InternLM3ForCausalLM", "internlm3") | {
        "qkv_bias": attention.qkv_bias,
        "bias": attention.output_bias and isinstance(inner, FeedForwardSpec) and inner.bias,
    }


INTERNLM = Family(
    name="internlm",
    title="InternLM 7B, 20B (first generation)",
    model_types=("internlm",),
    architectures=("InternLMForCausalLM",),
    read=read,
    write=write,
    rules=RULES,
    ignored=IGNORED,
    copies=COPIES,
    special_ids=SpecialIds(bos=1, eos=(2,), pad=2),
    chat_template=lambda spec: "internlm" if spec.blocks[0].attention.qkv_bias else "internlm_20b",
)
INTERNLM3 = Family(
    name="internlm3",
    title="InternLM3",
    model_types=("internlm3",),
    architectures=("InternLM3ForCausalLM",),
    read=read_third,
    write=write_third,
    rules=RULES,
    ignored=IGNORED,
    copies=COPIES,
    special_ids=SpecialIds(bos=1, eos=(2,), pad=2),
    chat_template=lambda spec: "chatml",
    native="LlamaForCausalLM",
)
