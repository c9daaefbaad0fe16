"""Name rules run in both directions and are inverse to each other."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemma.families.rules import Form, Fused, Grouped, Permuted, Rule, Same, Transposed, fuse, rename
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, NoPositionSpec


def block(num_heads: int, num_kv_heads: int, head_dim: int) -> BlockSpec:
    attention = AttentionSpec(
        num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim, position=NoPositionSpec()
    )
    return BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=8))


@pytest.mark.parametrize("form", [Fused(), Grouped(), Transposed(Fused()), Transposed(Grouped())])
@given(groups=st.integers(1, 4), repeats=st.integers(1, 4), half=st.integers(1, 4), bias=st.booleans())
def test_fusing_and_splitting_are_inverse(
    form: Form, groups: int, repeats: int, half: int, bias: bool
) -> None:
    layer = block(groups * repeats, groups, 2 * half)
    rows = [groups * repeats * 2 * half, groups * 2 * half, groups * 2 * half]
    shapes = [(n,) if bias else (n, 5) for n in rows]
    ours = [torch.randn(shape) for shape in shapes]
    theirs = form.to_theirs(ours, layer)
    assert len(theirs) == 1
    again = form.to_ours(theirs, shapes, layer)
    assert all(torch.equal(a, b) for a, b in zip(again, ours, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(form.to_theirs(again, layer), theirs, strict=True))


def test_grouped_rows_are_queries_then_key_then_value_of_each_group() -> None:
    layer = block(4, 2, 1)
    query, key, value = torch.tensor([1.0, 2, 3, 4]), torch.tensor([10.0, 20]), torch.tensor([100.0, 200])
    fused = Grouped().to_theirs([query, key, value], layer)[0]
    assert fused.tolist() == [1, 2, 10, 100, 3, 4, 20, 200]


def test_transposed_stores_in_by_out() -> None:
    weight = torch.randn(6, 4)
    assert torch.equal(Transposed().to_theirs([weight], None)[0], weight.T)
    assert Transposed(Fused()).to_theirs([weight, weight], None)[0].shape == (4, 12)


@given(heads=st.integers(1, 4), half=st.integers(1, 5))
def test_permuting_rotary_pairs_is_inverse_and_moves_neighbours_half_a_head_apart(
    heads: int, half: int
) -> None:
    layer = block(heads, heads, 2 * half)
    file = torch.arange(heads * 2 * half).float()[:, None].repeat(1, 3)
    ours = Permuted().to_ours([file], [tuple(file.shape)], layer)[0]
    assert torch.equal(Permuted().to_theirs([ours], layer)[0], file)
    assert ours[half, 0] == file[1, 0]


def test_a_rule_binds_numbers_and_suffixes_and_nothing_else() -> None:
    rule = fuse("h.{layer}.c_attn", "layers.{layer}.attention.query", "layers.{layer}.attention.key")
    assert rule.bind("layers.12.attention.query.bias") == (
        ["h.12.c_attn.bias"],
        ["layers.12.attention.query.bias", "layers.12.attention.key.bias"],
        12,
    )
    assert rule.bind("layers.x.attention.query.bias") is None
    assert rule.bind("layers.1.attention.query.scale") is None
    assert rule.bind("layers.1.attention.key.weight") is None
    assert rename("{name}", "{name}").bind("a.b.weight") == (["a.b.weight"], ["a.b.weight"], None)
    assert Rule(("x",), ("y",)).form == Same()
