"""Configs become Specs and back; what is not understood is refused by name."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.errors import StemmaError
from stemma.families import (
    SpecialIds,
    families,
    family_for_spec,
    family_named,
    family_of_config,
    registry,
)
from stemma.families.family import read_special_ids
from stemma.model.spec import (
    AlibiSpec,
    AttentionSpec,
    BlockSpec,
    DynamicScaling,
    FeedForwardSpec,
    HeadSpec,
    LinearScaling,
    Llama3Scaling,
    NormSpec,
    RopeSpec,
    Spec,
    YarnScaling,
)

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
}
BAICHUAN: dict[str, Any] = LLAMA | {"model_type": "baichuan", "architectures": ["BaichuanForCausalLM"]}
del BAICHUAN["max_position_embeddings"]


def spec_of(config: dict[str, Any]) -> Spec:
    return family_of_config(config).spec_of(config)


def position(config: dict[str, Any]) -> Any:
    return spec_of(config).blocks[0].attention.position


SCALINGS = st.one_of(
    st.none(),
    st.builds(LinearScaling, factor=st.floats(1, 64)),
    st.builds(DynamicScaling, factor=st.floats(1, 64), original_max_seq_len=st.sampled_from([64, 128, 256])),
    st.builds(
        YarnScaling,
        factor=st.floats(1, 64),
        original_max_seq_len=st.integers(16, 256),
        attention_factor=st.floats(0.5, 2),
    ),
    st.builds(
        Llama3Scaling,
        factor=st.floats(1, 64),
        low_freq_factor=st.just(1.0),
        high_freq_factor=st.floats(1.5, 8),
        original_max_seq_len=st.integers(16, 256),
    ),
)
POSITIONS = st.one_of(
    st.just(AlibiSpec()),
    st.builds(
        RopeSpec,
        theta=st.floats(100, 1e7),
        fraction=st.sampled_from([0.5, 1.0]),
        interleaved=st.booleans(),
        scaling=SCALINGS,
    ),
)
NORMS = st.builds(NormSpec, kind=st.sampled_from(["rmsnorm", "layernorm"]), eps=st.sampled_from([1e-5, 1e-6]))


@st.composite
def blocks(draw: st.DrawFn) -> BlockSpec:
    kv_heads = draw(st.sampled_from([1, 2, 4]))
    attention = AttentionSpec(
        num_heads=kv_heads * draw(st.sampled_from([1, 2])),
        num_kv_heads=kv_heads,
        head_dim=draw(st.sampled_from([4, 8])),
        position=draw(POSITIONS),
        qkv_bias=draw(st.booleans()),
        output_bias=draw(st.booleans()),
        window=draw(st.sampled_from([None, 16])),
    )
    feed_forward = FeedForwardSpec(
        kind=draw(st.sampled_from(["gated", "plain"])),
        intermediate_size=24,
        activation=draw(st.sampled_from(["silu", "gelu", "gelu_tanh", "relu"])),
        bias=draw(st.booleans()),
    )
    return BlockSpec(attention=attention, feed_forward=feed_forward, norm=draw(NORMS))


SPECS = st.builds(
    Spec,
    vocab_size=st.just(64),
    hidden_size=st.just(16),
    num_layers=st.just(4),
    max_seq_len=st.sampled_from([64, 128]),
    blocks=st.one_of(st.tuples(blocks()), st.tuples(blocks(), blocks())),
    final_norm=NORMS,
    head=st.builds(
        HeadSpec,
        tie_embeddings=st.booleans(),
        normalized=st.booleans(),
        max_z_weight=st.sampled_from([0.0, 0.002]),
    ),
)


@given(spec=SPECS)
def test_every_spec_has_a_layout_that_reads_back_as_the_same_model(spec: Spec) -> None:
    family = family_for_spec(spec)
    config = json.loads(json.dumps(family.config_of(spec, SpecialIds(bos=1, eos=(2, 3)))))
    assert family_of_config(config) is family
    again = family.spec_of(config)
    assert again.layers == spec.layers
    assert (again.final_norm, again.head, again.max_seq_len) == (spec.final_norm, spec.head, spec.max_seq_len)
    assert read_special_ids(config, family, spec) == SpecialIds(bos=1, eos=(2, 3))


@given(spec=SPECS)
def test_a_layout_that_cannot_hold_a_spec_says_what_it_would_lose(spec: Spec) -> None:
    for family in families():
        if family.losses(spec):
            with pytest.raises(StemmaError, match="cannot hold this model"):
                family.config_of(spec, SpecialIds())
    assert not family_named("stemma").losses(spec)


def test_a_model_is_written_in_the_first_published_layout_that_holds_it_and_else_in_ours() -> None:
    spec = spec_of(LLAMA)
    assert family_for_spec(spec).name == "llama"
    assert family_for_spec(_changed(spec, window=8)).name == "mistral"
    assert family_for_spec(_changed(spec, qkv_bias=True)).name == "qwen2"
    assert family_for_spec(_changed(spec, window=8, output_bias=True)).name == "stemma"


def _changed(spec: Spec, **attention: Any) -> Spec:
    block = spec.blocks[0]
    return replace(spec, blocks=(replace(block, attention=replace(block.attention, **attention)),))


def test_both_spellings_of_rope_say_the_same() -> None:
    yarn = {"factor": 4.0, "original_max_position_embeddings": 32}
    old = position(LLAMA | {"rope_theta": 5e5, "rope_scaling": {"type": "yarn", **yarn}})
    new = position(LLAMA | {"rope_parameters": {"rope_theta": 5e5, "rope_type": "yarn", **yarn}})
    assert old == new
    assert old.theta == 5e5
    assert old.scaling.attention_factor == pytest.approx(1.1386294)


def test_dynamic_scaling_takes_the_trained_length_from_the_config() -> None:
    rope = position(LLAMA | {"rope_scaling": {"type": "dynamic", "factor": 2}})
    assert rope.scaling == DynamicScaling(factor=2.0, original_max_seq_len=128)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hiden_size": 16}, "hiden_size.*did you mean 'hidden_size'"),
        ({"num_shared_experts": 2}, "num_shared_experts"),
        ({"hidden_act": "mish"}, "hidden_act 'mish'"),
        ({"rope_scaling": {"type": "longrope", "factor": 2}}, "rope type 'longrope'"),
        ({"rope_scaling": {"type": "linear", "factor": 2, "alpha": 1}}, "alpha"),
        ({"rope_scaling": {"type": "linear"}}, "factor.*missing"),
        ({"rope_scaling": {"type": "linear", "factor": 0.0}}, "factor is 0.0"),
        ({"rope_theta": 1e6, "rope_parameters": {"rope_theta": 1e4}}, "rope_theta"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"sliding_window": 4096}, "sliding_window"),
        ({"num_attention_heads": 3}, "not a multiple"),
        ({"num_key_value_heads": 3}, "not a multiple"),
        ({"vocab_size": None}, "vocab_size"),
        ({"vocab_size": -1}, "vocab_size"),
        ({"hidden_size": "16"}, "expected int"),
        ({"model_type": "lama"}, "did you mean 'llama'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(StemmaError, match=words):
        spec_of(LLAMA | change)


@pytest.mark.parametrize(
    "change",
    [
        {"attention_dropout": 0.1, "pretraining_tp": 2, "use_cache": False, "initializer_range": 0.1},
        {"torch_dtype": "bfloat16", "auto_map": {"AutoModel": "x.Y"}, "transformers_version": "4.1"},
        {"sliding_window": None, "rope_scaling": None, "num_key_value_heads": None, "head_dim": None},
        {"is_encoder_decoder": False, "pruned_heads": {}},
        {"rope_scaling": {"rope_type": "default"}},
    ],
)
def test_what_does_not_change_the_computation_is_accepted(change: dict[str, Any]) -> None:
    assert spec_of(LLAMA | change) == spec_of(LLAMA)


ROPE, ALIBI = RopeSpec(), AlibiSpec()
PUBLISHED_7B = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
PUBLISHED_13B = {"hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40}


@pytest.mark.parametrize(
    ("change", "expected", "normalized"),
    [
        (PUBLISHED_7B | {"vocab_size": 64000, "max_position_embeddings": 4096}, ROPE, False),
        (PUBLISHED_13B | {"vocab_size": 64000, "model_max_length": 4096}, ALIBI, False),
        (
            PUBLISHED_7B
            | {
                "vocab_size": 125696,
                "max_position_embeddings": 4096,
                "model_max_length": 4096,
                "z_loss_weight": 0,
            },
            ROPE,
            True,
        ),
        (PUBLISHED_13B | {"vocab_size": 125696, "model_max_length": 4096}, ALIBI, True),
        # a 13B config with the key other engines want
        (PUBLISHED_13B | {"vocab_size": 125696, "max_position_embeddings": 4096}, ALIBI, True),
        # vocabularies that were changed
        ({"max_position_embeddings": 64, "architectures": ["BaiChuanForCausalLM"]}, ROPE, False),
        ({"max_position_embeddings": 64}, ROPE, True),
        ({"model_max_length": 64, "z_loss_weight": 0}, ALIBI, True),
        ({"model_max_length": 64}, ALIBI, False),
        # explicit keys overrule
        ({"model_max_length": 64, "norm_head": True, "position_embedding": "rope"}, ROPE, True),
        (
            PUBLISHED_7B
            | {
                "vocab_size": 125696,
                "max_position_embeddings": 9,
                "norm_head": False,
                "position_embedding": "alibi",
            },
            ALIBI,
            False,
        ),
    ],
)
def test_the_four_baichuan_models_are_told_apart(
    change: dict[str, Any], expected: Any, normalized: bool
) -> None:
    spec = spec_of(BAICHUAN | change)
    assert spec.blocks[0].attention.position == expected
    assert spec.head.normalized is normalized


def test_published_baichuan_shapes_count_as_published() -> None:
    config = (
        BAICHUAN
        | PUBLISHED_13B
        | {"vocab_size": 125696, "intermediate_size": 13696, "model_max_length": 4096}
    )
    assert spec_of(config).num_parameters() == 13_896_668_160


def test_a_special_id_list_and_a_negative_id_are_read() -> None:
    family, spec = family_named("llama"), spec_of(LLAMA)
    ids = read_special_ids({"bos_token_id": 1, "eos_token_id": [2, 7], "pad_token_id": -1}, family, spec)
    assert ids == SpecialIds(bos=1, eos=(2, 7), pad=None)
    with pytest.raises(StemmaError, match="eos_token_id"):
        read_special_ids({"eos_token_id": "2"}, family, spec)


def test_an_outside_package_can_offer_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = replace(family_named("llama"), name="mine", model_types=("mine",), architectures=())
    point = SimpleNamespace(name="mine", value="mine:FAMILY", load=lambda: outside)
    published = [family.name for family in families()][:-1]
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: [point])
    families.cache_clear()
    try:
        assert family_of_config({"model_type": "mine"}) is outside
        assert [family.name for family in families()] == [*published, "mine", "stemma"]
        families.cache_clear()
        point.load = lambda: "not a family"
        with pytest.raises(StemmaError, match="mine:FAMILY"):
            families()
    finally:
        monkeypatch.undo()
        families.cache_clear()


def test_no_family_is_named_outside_its_room() -> None:
    source = Path(registry.__file__).parent.parent
    names = "|".join(family.name for family in families() if family.name != "stemma")
    quoted = re.compile(rf"""(["'])({names})\1""", re.IGNORECASE)
    outside = [p for p in source.rglob("*.py") if source / "families" not in p.parents]
    assert len(outside) > 20
    naming = [str(p) for p in outside if quoted.search(p.read_text()) and "tokenizer" not in p.parts]
    assert naming == []


@pytest.mark.parametrize("wrong", [5, "BaichuanForCausalLM", [5]])
@pytest.mark.parametrize("model_type", ["baichuan", None])
def test_architectures_that_are_no_list_of_names_are_one_sentence(wrong: object, model_type: object) -> None:
    config = BAICHUAN | {"architectures": wrong, "model_type": model_type}
    with pytest.raises(StemmaError, match=r"^config.json: architectures.*: expected"):
        spec_of(config)
    rope = config | {"position_embedding": "rope"}
    with pytest.raises(StemmaError, match=r"^config.json: architectures.*: expected"):
        family_named("baichuan").spec_of(rope)
