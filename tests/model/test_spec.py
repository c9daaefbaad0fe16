"""A Spec counts right, round-trips, and says what differs."""

import json
import tomllib
from typing import Any

import pytest
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemma.config import parse, plain
from stemma.errors import StemmaError
from stemma.model.init import initialize
from stemma.model.spec import (
    AlibiSpec,
    AttentionSpec,
    BlockSpec,
    Change,
    DynamicScaling,
    FeedForwardSpec,
    HeadSpec,
    HeadTransformSpec,
    InputSpec,
    LearnedPositionSpec,
    LinearScaling,
    Llama3Scaling,
    NoPositionSpec,
    NormSpec,
    RopeSpec,
    Spec,
    YarnScaling,
    difference,
)
from stemma.model.transformer import Transformer

SCALINGS = st.sampled_from(
    [
        None,
        LinearScaling(factor=2.5),
        DynamicScaling(factor=2.0, original_max_seq_len=16),
        YarnScaling(factor=2.0, original_max_seq_len=16, attention_factor=1.07),
        Llama3Scaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_seq_len=16),
    ]
)
POSITIONS = st.one_of(
    st.builds(RopeSpec, theta=st.floats(100, 1e7), interleaved=st.booleans(), scaling=SCALINGS),
    st.builds(AlibiSpec, before_scaling=st.booleans(), rounded=st.booleans()),
    st.just(NoPositionSpec()),
)
NORMS = st.builds(NormSpec, kind=st.sampled_from(["rmsnorm", "layernorm"]))
BLOCKS = st.builds(
    BlockSpec,
    attention=st.builds(
        AttentionSpec,
        num_heads=st.sampled_from([2, 4]),
        num_kv_heads=st.sampled_from([1, 2]),
        head_dim=st.sampled_from([2, 6]),
        position=POSITIONS,
        qkv_bias=st.booleans(),
        output_bias=st.booleans(),
        window=st.sampled_from([None, 4]),
        scaled=st.booleans(),
        qk_norm=st.none() | NORMS,
        logn=st.sampled_from([None, 4]),
    ),
    feed_forward=st.builds(
        FeedForwardSpec,
        kind=st.sampled_from(["gated", "plain"]),
        intermediate_size=st.sampled_from([3, 8]),
        activation=st.sampled_from(["silu", "gelu", "gelu_tanh", "relu"]),
        bias=st.booleans(),
    ),
    norm=NORMS,
    residual=st.sampled_from(["pre", "post", "sandwich", "normed", "parallel", "parallel_two"]),
)
INPUTS = st.builds(
    InputSpec,
    width=st.sampled_from([None, 4]),
    scale=st.sampled_from([1.0, 2.0]),
    positions=st.none()
    | st.builds(LearnedPositionSpec, num_rows=st.just(20), offset=st.sampled_from([0, 2])),
    norm=st.just(NormSpec(kind="none")) | NORMS,
)
HEADS = st.builds(
    HeadSpec,
    tie_embeddings=st.booleans(),
    normalized=st.booleans(),
    bias=st.booleans(),
    scale=st.sampled_from([1.0, 0.5]),
    transform=st.none() | st.builds(HeadTransformSpec, norm=NORMS),
)
SPECS = st.builds(
    Spec,
    vocab_size=st.just(11),
    hidden_size=st.just(6),
    num_layers=st.just(4),
    max_seq_len=st.just(16),
    blocks=st.one_of(st.tuples(BLOCKS), st.tuples(BLOCKS, BLOCKS)),
    final_norm=NORMS,
    inputs=INPUTS,
    head=HEADS,
)


@given(spec=SPECS)
def test_a_spec_survives_json_and_toml(spec: Spec) -> None:
    assert parse(Spec, json.loads(json.dumps(plain(spec)))) == spec
    assert parse(Spec, tomllib.loads(tomli_w.dumps(plain(spec)))) == spec


@given(spec=SPECS)
def test_the_counted_parameters_are_those_of_the_model_and_every_one_is_used(spec: Spec) -> None:
    model = initialize(Transformer(spec), seed=0)
    assert spec.num_parameters() == sum(p.numel() for p in model.parameters())
    assert spec.weight_bytes("bfloat16") == 2 * spec.num_parameters()
    logits = model(torch.arange(8)[None])
    assert logits.shape == (1, 8, 11)
    assert bool(torch.isfinite(logits).all())
    logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@given(one=SPECS, other=SPECS)
def test_the_difference_is_empty_exactly_for_equal_layers(one: Spec, other: Spec) -> None:
    assert difference(one, one) == []
    frames = [(spec.inputs, spec.final_norm, spec.head) for spec in (one, other)]
    same = one.layers == other.layers and frames[0] == frames[1]
    assert (difference(one, other) == []) is same
    assert {c.path for c in difference(one, other)} == {c.path for c in difference(other, one)}


def test_a_difference_names_the_place() -> None:
    before = parse(Spec, BASE)
    data = json.loads(json.dumps(BASE))
    data["blocks"][0]["attention"]["num_kv_heads"] = 1
    data["blocks"][0]["attention"]["position"] = {"kind": "alibi"}
    changes = difference(before, parse(Spec, data))
    assert Change("blocks[0].attention.num_kv_heads", 2, 1) in changes
    assert str(changes[0]) == "blocks[0].attention.num_kv_heads: 2 -> 1"
    assert Change("blocks[0].attention.position.kind", "rope", "alibi") in changes


BASE: dict[str, Any] = {
    "vocab_size": 11,
    "hidden_size": 8,
    "num_layers": 2,
    "max_seq_len": 16,
    "blocks": [
        {
            "attention": {"num_heads": 2, "num_kv_heads": 2, "head_dim": 4, "position": {"kind": "rope"}},
            "feed_forward": {"intermediate_size": 8},
        }
    ],
}


BOTH_WAYS: dict[str, Any] = BASE["blocks"][0]["attention"] | {"causal": False}
LEARNED_BIAS: dict[str, Any] = BASE["blocks"][0] | {
    "attention": BASE["blocks"][0]["attention"] | {"position": {"kind": "relative"}}
}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("hiden_size",), 4, "did you mean 'hidden_size'"),
        (("blocks", 0, "attention", "num_head"), 4, r"blocks\[0\]\.attention.*did you mean 'num_heads'"),
        (("blocks", 0, "attention", "position"), {"kind": "ropee"}, "did you mean 'rope'"),
        (("blocks", 0, "attention", "num_kv_heads"), 3, "not a multiple"),
        (("blocks", 0, "attention", "head_dim"), 3, "even share"),
        (("blocks", 0, "attention", "window"), 0, "at least 1"),
        (("blocks", 0, "attention"), BOTH_WAYS | {"window": 4}, "window.*causal"),
        (("blocks",), [BASE["blocks"][0], LEARNED_BIAS], "relative positions share one table"),
        (("num_layers",), 0, "num_layers is 0"),
        (("num_layers",), True, "expected int"),
        (("blocks",), [], "pattern"),
        (("blocks", 0, "feed_forward", "activation"), "swish", "silu"),
    ],
)
def test_a_wrong_spec_is_refused_naming_the_place(path: tuple[Any, ...], value: Any, words: str) -> None:
    data = json.loads(json.dumps(BASE))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(StemmaError, match=words):
        parse(Spec, data)


def of_shape(hidden: int, layers: int, heads: int, kv: int, inner: int, vocab: int) -> Spec:
    attention = AttentionSpec(num_heads=heads, num_kv_heads=kv, head_dim=hidden // heads, position=RopeSpec())
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=inner))
    return Spec(vocab_size=vocab, hidden_size=hidden, num_layers=layers, max_seq_len=2048, blocks=(block,))


def test_kv_bytes_are_the_published_ones() -> None:
    assert of_shape(4096, 28, 32, 32, 16384, 130528).kv_bytes_per_token("float16") == 458752
    assert of_shape(4096, 28, 32, 2, 13696, 65024).kv_bytes_per_token("float16") == 28672
    assert of_shape(4096, 28, 32, 2, 13696, 65024).kv_bytes_per_token("float32") == 2 * 28672


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((4096, 32, 32, 32, 11008, 32000), 6_738_415_616),  # LLaMA 7B
        ((8192, 80, 64, 8, 28672, 32000), 68_976_648_192),  # LLaMA 2 70B
        ((4096, 32, 32, 4, 11008, 64000), 6_061_035_520),  # Yi-6B
    ],
)
def test_published_models_have_their_published_size(shape: tuple[int, ...], parameters: int) -> None:
    assert of_shape(*shape).num_parameters() == parameters


def test_flops_count_the_matrix_products_of_one_token() -> None:
    spec = of_shape(32, 3, 4, 2, 40, 50)
    per_layer = 2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 40)
    assert spec.flops_per_token(0) == 3 * per_layer + 2 * 50 * 32
    assert spec.flops_per_token(10) - spec.flops_per_token(0) == 3 * 4 * 10 * 32


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(StemmaError, match="int3"):
        of_shape(32, 3, 4, 2, 40, 50).kv_bytes_per_token("int3")
