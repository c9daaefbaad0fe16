"""Operations: what they claim about functions, checked on random models, head counts and groups."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.checkpoint import MemorySource, ModuleSource, build_model
from stemma.errors import StemmaError
from stemma.families.source import TensorSource
from stemma.model.init import initialize
from stemma.model.spec import (
    AlibiSpec,
    AttentionSpec,
    BlockSpec,
    FeedForwardSpec,
    HeadSpec,
    LinearScaling,
    RopeSpec,
    Spec,
)
from stemma.model.transformer import Transformer
from stemma.upgrade.operation import Step
from stemma.upgrade.path import path
from stemma.upgrade.stream import streamed

IDS = torch.arange(24).reshape(2, 12) % 31


def make_spec(
    num_heads: int = 4,
    num_kv_heads: int = 4,
    *,
    bias: bool = True,
    num_layers: int = 2,
    head: HeadSpec | None = None,
) -> Spec:
    attention = AttentionSpec(
        num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=8, position=RopeSpec(), qkv_bias=bias
    )
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=24))
    return Spec(
        vocab_size=31,
        hidden_size=16,
        num_layers=num_layers,
        max_seq_len=32,
        blocks=(block,),
        head=head or HeadSpec(),
    )


def with_kv_heads(spec: Spec, count: int) -> Spec:
    block = spec.blocks[0]
    attention = dataclasses.replace(block.attention, num_kv_heads=count)
    return dataclasses.replace(spec, blocks=(dataclasses.replace(block, attention=attention),))


def random_weights(spec: Spec, seed: int) -> dict[str, torch.Tensor]:
    model = initialize(Transformer(spec), seed, std=0.3)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def equal_groups(weights: dict[str, torch.Tensor], num_groups: int, head_dim: int) -> dict[str, torch.Tensor]:
    """The same weights with the key and value heads of every group made equal to its first."""
    result = dict(weights)
    for name, tensor in weights.items():
        if ".key." in name or ".value." in name:
            heads = tensor.reshape(num_groups, -1, head_dim, *tensor.shape[1:])
            result[name] = heads[:, :1].expand_as(heads).reshape(tensor.shape).clone()
    return result


def logits(spec: Spec, source: TensorSource) -> torch.Tensor:
    with torch.inference_mode():
        return build_model(spec, source)(IDS)


def convert(steps: list[Step], source: TensorSource) -> TensorSource:
    for step in steps:
        source = step.convert(source)
    return source


def names(steps: list[Step]) -> list[str]:
    return [step.operation.name for step in steps]


@given(
    groups=st.sampled_from([1, 2, 3, 4]),
    group=st.sampled_from([2, 3, 4]),
    queries=st.sampled_from([1, 2]),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=10, deadline=None)
def test_grouping_equal_heads_changes_no_logit(
    groups: int, group: int, queries: int, bias: bool, seed: int
) -> None:
    before = make_spec(groups * group * queries, groups * group, bias=bias)
    source = MemorySource(equal_groups(random_weights(before, seed), groups, 8))
    after = with_kv_heads(before, groups)
    steps = path(before, after)
    assert names(steps) == ["group_heads"]
    assert steps[0].exact_on(source)
    grouped = convert(steps, source)
    assert grouped.info("layers.0.attention.key.weight").shape == (groups * 8, 16)
    assert torch.allclose(logits(after, grouped), logits(before, source), atol=1e-5)


@given(groups=st.sampled_from([1, 2, 4]), group=st.sampled_from([2, 3]), seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_expanding_then_grouping_gives_back_the_very_bits(groups: int, group: int, seed: int) -> None:
    few = make_spec(groups * group, groups)
    weights = random_weights(few, seed)
    many = with_kv_heads(few, groups * group)
    expanded = convert(path(few, many), MemorySource(weights))
    assert torch.allclose(logits(many, expanded), logits(few, MemorySource(weights)), atol=1e-5)
    back = convert(path(many, few), expanded)
    assert all(torch.equal(back.read(name), weights[name]) for name in weights)
    assert back.names() == list(weights)


def test_grouping_unequal_heads_is_their_mean_and_not_claimed_exact() -> None:
    before = make_spec(4, 4)
    weights = random_weights(before, 1)
    (step,) = path(before, with_kv_heads(before, 2))
    source = MemorySource(weights)
    assert not step.exact_on(source)
    pooled = step.convert(source).read("layers.1.attention.value.weight")
    heads = weights["layers.1.attention.value.weight"].reshape(4, 8, 16)
    assert torch.allclose(pooled[:8], (heads[0] + heads[1]) / 2, atol=1e-6)
    assert torch.allclose(pooled[8:], (heads[2] + heads[3]) / 2, atol=1e-6)
    difference = logits(step.after, step.convert(source)) - logits(before, source)
    assert difference.abs().max() > 0.01


def test_one_unequal_bias_makes_grouping_approximate() -> None:
    before = make_spec(4, 4)
    weights = equal_groups(random_weights(before, 2), 2, 8)
    weights["layers.1.attention.value.bias"][3] += 1e-6
    (step,) = path(before, with_kv_heads(before, 2))
    assert not step.exact_on(MemorySource(weights))


def test_counts_that_do_not_divide_each_other_go_through_all_heads() -> None:
    before = make_spec(12, 4)
    steps = path(before, with_kv_heads(before, 6))
    assert names(steps) == ["expand_heads", "group_heads"]
    source = MemorySource(random_weights(before, 3))
    assert convert(steps, source).info("layers.0.attention.key.weight").shape == (48, 16)


def test_folding_a_norm_head_changes_no_logit_and_leaves_unit_rows() -> None:
    before = make_spec(head=HeadSpec(normalized=True, max_z_weight=0.002))
    after = make_spec()
    source = MemorySource(random_weights(before, 4))
    steps = path(before, after)
    assert names(steps) == ["fold_head", "max_z"]
    folded = convert(steps, source)
    assert torch.allclose(folded.read("head.weight").norm(dim=-1), torch.ones(31), atol=1e-6)
    assert torch.equal(logits(after, folded), logits(before, source))


def test_a_tied_norm_head_is_untied_before_it_is_folded_and_the_embedding_stays() -> None:
    before = make_spec(head=HeadSpec(tie_embeddings=True, normalized=True))
    source = MemorySource(random_weights(before, 5))
    steps = path(before, make_spec())
    assert names(steps) == ["untie_head", "fold_head"]
    folded = convert(steps, source)
    assert torch.equal(folded.read("embedding.weight"), source.read("embedding.weight"))
    assert torch.equal(logits(make_spec(), folded), logits(before, source))


def test_patterns_of_different_length_meet_layer_by_layer() -> None:
    spec = make_spec(4, 4)
    other = with_kv_heads(spec, 2).blocks[0]
    alternating = dataclasses.replace(spec, blocks=(spec.blocks[0], other))
    (step,) = path(spec, alternating)
    converted = step.convert(MemorySource(random_weights(spec, 6)))
    assert converted.info("layers.0.attention.key.weight").shape == (32, 16)
    assert converted.info("layers.1.attention.key.weight").shape == (16, 16)


def test_equal_specs_need_no_operation() -> None:
    assert path(make_spec(), make_spec()) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"vocab_size": 40}, "vocab_size: 31 -> 40"),
        ({"num_layers": 4}, "num_layers: 2 -> 4"),
        ({"head": HeadSpec(normalized=True)}, "head.normalized: False -> True"),
        ({"head": HeadSpec(tie_embeddings=True)}, "head.tie_embeddings: False -> True"),
    ],
)
def test_what_no_operation_covers_is_refused_by_the_name_of_the_field(
    change: dict[str, object], field: str
) -> None:
    after = dataclasses.replace(make_spec(), **change)  # type: ignore[arg-type]
    with pytest.raises(StemmaError, match=field.replace(".", r"\.")):
        path(make_spec(), after)


def test_rope_to_alibi_has_no_exact_map() -> None:
    spec = make_spec()
    attention = dataclasses.replace(spec.blocks[0].attention, position=AlibiSpec())
    block = dataclasses.replace(spec.blocks[0], attention=attention)
    with pytest.raises(StemmaError, match=r"position\.kind: rope -> alibi: no exact map"):
        path(spec, dataclasses.replace(spec, blocks=(block,)))


def test_a_change_of_rotary_settings_is_approximate_and_says_how_it_heals() -> None:
    spec = make_spec()
    position = RopeSpec(theta=500000.0, scaling=LinearScaling(factor=2.0))
    attention = dataclasses.replace(spec.blocks[0].attention, position=position, window=8)
    block = dataclasses.replace(spec.blocks[0], attention=attention)
    steps = path(spec, dataclasses.replace(spec, blocks=(block,), max_seq_len=64))
    assert names(steps) == ["max_seq_len", "rope_base", "rope_scaling", "window"]
    assert [step.operation.exactness for step in steps] == ["exact", *["approximate"] * 3]
    assert all("train" in step.operation.healing for step in steps)


@pytest.mark.parametrize("tied", [False, True])
def test_the_streamed_forward_pass_is_the_forward_pass(tied: bool) -> None:
    spec = make_spec(4, 2, head=HeadSpec(tie_embeddings=tied))
    model = initialize(Transformer(spec), 7, std=0.3)
    with torch.inference_mode():
        assert torch.equal(streamed(spec, ModuleSource(model))(IDS), model(IDS))


def test_the_streamed_forward_pass_holds_no_weight_between_calls() -> None:
    spec = make_spec()
    model = streamed(spec, MemorySource(random_weights(spec, 8)))
    with torch.inference_mode():
        model(IDS)
    assert all(parameter.is_meta for parameter in model.parameters())
