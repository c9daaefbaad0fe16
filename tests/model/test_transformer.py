"""Properties of the Transformer that hold whatever the weights: positions, masks, caches, heads."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from stemma.model.attention import attend
from stemma.model.cache import KVCache
from stemma.model.head import Head
from stemma.model.layout import Layout
from stemma.model.position.alibi import alibi_slopes
from stemma.model.position.rope import rope_table, rotate
from stemma.model.spec import (
    AlibiSpec,
    AttentionSpec,
    DynamicScaling,
    EncoderSpec,
    HeadSpec,
    LinearScaling,
    Llama3Scaling,
    NoPositionSpec,
    RopeSpec,
    Spec,
    YarnScaling,
)
from stemma.model.transformer import Transformer

MakeSpec = Callable[..., Spec]
MakeModel = Callable[[Spec], Transformer]

SCALINGS: dict[str, Any] = {
    "none": None,
    "linear": LinearScaling(factor=4.0),
    "yarn": YarnScaling(factor=4.0, original_max_seq_len=16, attention_factor=1.13),
    "llama3": Llama3Scaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_seq_len=16),
}
POSITIONS: dict[str, Any] = {
    **{name: RopeSpec(scaling=scaling) for name, scaling in SCALINGS.items()},
    "interleaved half": RopeSpec(fraction=0.5, interleaved=True),
    "alibi": AlibiSpec(),
    "no position": NoPositionSpec(),
}
ROUNDING = 2e-5


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = ROUNDING) -> bool:
    return float((a - b).abs().max()) < tolerance


@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
def test_logits_do_not_change_when_all_positions_move(
    position: Any, make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    model = make_model(make_spec(position=position))
    positions = torch.arange(24).expand(2, 24)
    assert close(model(token_ids, position_ids=positions), model(token_ids, position_ids=positions + 37))


@pytest.mark.parametrize("name", ["none", "alibi"])
def test_logits_do_change_when_distances_do(
    name: str, make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    model = make_model(make_spec(position=POSITIONS[name]))
    positions = torch.arange(24).expand(2, 24)
    assert not close(
        model(token_ids, position_ids=positions), model(token_ids, position_ids=2 * positions), 1e-2
    )


def test_rotation_keeps_lengths_and_leaves_the_rest_of_the_head_alone() -> None:
    x = torch.randn(2, 5, 3, 8)
    table = rope_table(RopeSpec(fraction=0.5, interleaved=True), 8, torch.arange(5).expand(2, 5) + 100)
    turned = rotate(x, table, interleaved=True)
    assert torch.equal(turned[..., 4:], x[..., 4:])
    assert close(turned.norm(dim=-1), x.norm(dim=-1))
    assert not close(turned[..., :4], x[..., :4], 1e-2)


def test_rotary_tables_are_float32_whatever_the_model_so_bf16_keeps_positions_apart() -> None:
    positions = torch.tensor([[100_000, 100_001]])
    cos, sin = rope_table(RopeSpec(), 8, positions)
    assert cos.dtype == sin.dtype == torch.float32
    angles = torch.tensor([100_000.0, 100_001.0], dtype=torch.float64)
    expected = torch.stack([angles * 10000.0 ** (-2 * i / 8) for i in range(4)], dim=-1)
    assert close(cos[0, :, 0].double(), expected.cos(), 1e-2)
    query = torch.randn(1, 2, 1, 8).to(torch.bfloat16)
    query[:, 1] = query[:, 0]
    turned = rotate(query, (cos, sin), interleaved=False)
    assert turned.dtype == torch.bfloat16
    assert not torch.equal(turned[:, 0], turned[:, 1])


@pytest.mark.parametrize("position", [RopeSpec(), AlibiSpec()])
def test_a_bf16_model_stays_near_its_float32_self_at_far_positions(
    position: Any, make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    model = make_model(make_spec(position=position))
    positions = torch.arange(24).expand(2, 24)
    exact = model(token_ids, position_ids=positions)
    rough = model.to(torch.bfloat16)
    near = (rough(token_ids, position_ids=positions).float() - exact).abs().mean()
    far = (rough(token_ids, position_ids=positions + 5000).float() - exact).abs().mean()
    assert far < 1.5 * near + 0.01


def published_slopes(heads: int) -> list[float]:
    """The recursive construction of the ALiBi paper's code, written anew."""
    if math.log2(heads).is_integer():
        first = 2 ** (-(2 ** -(math.log2(heads) - 3)))
        return [first ** (i + 1) for i in range(heads)]
    lower = 2 ** math.floor(math.log2(heads))
    return published_slopes(lower) + published_slopes(2 * lower)[0::2][: heads - lower]


@pytest.mark.parametrize("heads", [1, 2, 4, 6, 12, 32, 40, 71, 112])
def test_alibi_slopes_equal_the_published_construction(heads: int) -> None:
    assert alibi_slopes(heads).tolist() == pytest.approx(published_slopes(heads), rel=1e-6)


@pytest.mark.parametrize("position", [RopeSpec(), AlibiSpec()])
def test_a_window_as_long_as_the_text_is_no_window_and_a_shorter_one_hides_what_lies_before(
    position: Any, make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    full = make_model(make_spec(position=position))(token_ids)
    for window in (24, 100):
        assert close(make_model(make_spec(position=position, window=window))(token_ids), full)
    model = make_model(make_spec(position=position, window=4, layers=1))
    changed = token_ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 50
    moved = (model(token_ids) - model(changed)).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.nonzero().flatten().tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
@pytest.mark.parametrize("window", [None, 3])
def test_packed_segments_equal_separate_runs(
    position: Any, window: int | None, make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    model = make_model(make_spec(position=position, window=window))
    lengths = (9, 1, 11)
    segments = torch.cat([torch.full((n,), i + 1) for i, n in enumerate(lengths)] + [torch.zeros(3)]).long()
    positions = torch.cat([torch.arange(n) for n in (*lengths, 3)])
    packed = model(token_ids[:1], position_ids=positions[None], segment_ids=segments[None])
    start = 0
    for n in lengths:
        alone = model(token_ids[:1, start : start + n])
        assert close(packed[:, start : start + n], alone, 1e-5)
        start += n


def test_packed_segments_with_prefixes_equal_separate_runs(
    make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    model = make_model(make_spec())
    parts = [(1, 9, 4), (2, 2, 2), (0, 2, 0), (3, 11, 7)]  # segment, tokens, prefix
    segments = torch.cat([torch.full((n,), segment) for segment, n, _ in parts])
    prefix = torch.cat([torch.full((n,), length) for _, n, length in parts])
    positions = torch.cat([torch.arange(n) for _, n, _ in parts])
    packed = model(
        token_ids[:1],
        position_ids=positions[None],
        segment_ids=segments[None],
        prefix_lengths=prefix[None],
    )
    start = 0
    for segment, n, length in parts:
        if segment:
            ids = token_ids[:1, start : start + n]
            alone = model(ids, prefix_lengths=torch.full_like(ids, length))
            assert close(packed[:, start : start + n], alone, 1e-5)
        start += n


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("padding", [0, 3])
def test_padding_before_a_decoder_and_after_its_source_changes_nothing(
    padding: int, dtype: torch.dtype, make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    spec = make_spec()
    block = spec.blocks[0]
    unplaced = dataclasses.replace(block.attention, position=NoPositionSpec(), causal=False)
    encoder = EncoderSpec(num_layers=1, blocks=(dataclasses.replace(block, attention=unplaced),))
    reading = dataclasses.replace(block, cross_attention=unplaced)
    model = make_model(dataclasses.replace(spec, blocks=(reading,), encoder=encoder)).to(dtype)
    source, segments = token_ids[1:, : 6 + padding], torch.tensor([[1] * 6 + [0] * padding])
    alone = model(token_ids[:1, 3:12], memory=model.encode(source[:, :6]))
    padded = model(
        token_ids[:1, :12],
        position_ids=(torch.arange(12) - 3).clamp(min=0)[None],
        segment_ids=torch.tensor([[0] * 3 + [1] * 9]),
        memory=model.encode(source, segments),
    )
    assert close(padded[:, 3:], alone, 2e-5 if dtype == torch.float32 else 0.1)


def naive_logits(model: Transformer, token_ids: torch.Tensor, prefix: int) -> torch.Tensor:
    """The whole model over again, one score at a time, for RoPE without scaling; every prefix token is seen by all."""
    length, spec = len(token_ids), model.spec
    attention, rope = spec.blocks[0].attention, spec.blocks[0].attention.position
    assert isinstance(rope, RopeSpec)
    half, repeats = attention.head_dim // 2, attention.num_heads // attention.num_kv_heads
    angle = torch.arange(length)[:, None] * rope.theta ** (-torch.arange(half) / half)
    turn = torch.polar(torch.ones_like(angle), angle)[:, None]  # complex: (T, 1, half)

    def rms(x: torch.Tensor, norm: Any) -> torch.Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight

    def rotated(x: torch.Tensor) -> torch.Tensor:
        turned = torch.complex(x[..., :half], x[..., half:]) * turn
        return torch.cat((turned.real, turned.imag), dim=-1)

    x = model.embedding.weight[token_ids]
    for layer in model.layers:
        block: Any = layer
        inner = rms(x, block.attention_norm)
        query = rotated((inner @ block.attention.query.weight.T).view(length, -1, attention.head_dim))
        key = rotated((inner @ block.attention.key.weight.T).view(length, -1, attention.head_dim))
        value = (inner @ block.attention.value.weight.T).view(length, -1, attention.head_dim)
        context = torch.zeros_like(query)
        for head in range(attention.num_heads):
            for i in range(length):
                seen = [j for j in range(length) if j <= i or j < prefix]
                scores = key[seen, head // repeats] @ query[i, head] / math.sqrt(attention.head_dim)
                context[i, head] = scores.softmax(0) @ value[seen, head // repeats]
        x = x + context.flatten(1) @ block.attention.output.weight.T
        inner = rms(x, block.feed_forward_norm)
        gate, up = inner @ block.feed_forward.gate.weight.T, inner @ block.feed_forward.up.weight.T
        x = x + (gate * gate.sigmoid() * up) @ block.feed_forward.down.weight.T
    return rms(x, model.final_norm) @ model.head.weight.T


@pytest.mark.parametrize("prefix", [0, 1, 5, 12])
def test_a_prefix_is_seen_by_all_as_an_independent_computation_says(
    prefix: int, make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    model, ids = make_model(make_spec()), token_ids[:1, :12]
    logits = model(ids, prefix_lengths=torch.full((1, 12), prefix))
    assert close(logits[0], naive_logits(model, ids[0], prefix), 1e-4)


def test_prefix_zero_is_causal_and_a_whole_prefix_is_bidirectional(
    make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    model = make_model(make_spec())
    assert close(model(token_ids, prefix_lengths=torch.zeros_like(token_ids)), model(token_ids))
    changed = token_ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 50
    whole = torch.full_like(token_ids, 24)
    first = [model(ids, prefix_lengths=whole)[:, 0] for ids in (token_ids, changed)]
    assert not close(first[0], first[1], 1e-4)
    assert torch.equal(model(token_ids)[:, :-1], model(changed)[:, :-1])


@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("pieces", [(24,), (1,) * 24, (7, 1, 1, 15)])
def test_cached_decoding_equals_one_pass(
    position: Any,
    window: int | None,
    pieces: tuple[int, ...],
    make_spec: MakeSpec,
    make_model: MakeModel,
    token_ids: torch.Tensor,
) -> None:
    model = make_model(make_spec(position=position, window=window))
    cache = KVCache(model.spec, 2, 24)
    steps = [model(part, cache=cache) for part in token_ids.split(list(pieces), dim=1)]
    assert close(torch.cat(steps, dim=1), model(token_ids), 5e-5)


def test_a_left_padded_batch_with_a_cache_equals_each_row_alone(
    make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    model = make_model(make_spec(position=AlibiSpec()))
    mask = torch.ones_like(token_ids)
    mask[1, :9] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = KVCache(model.spec, 2, 24)
    steps = [
        model(token_ids[:, s], position_ids=positions[:, s], segment_ids=mask[:, s], cache=cache)
        for s in (slice(0, 20), slice(20, 21), slice(21, 24))
    ]
    logits = torch.cat(steps, dim=1)
    assert close(logits[0], model(token_ids[:1])[0], 5e-5)
    assert close(logits[1, 9:], model(token_ids[1:, 9:])[0], 5e-5)


def test_dynamic_scaling_is_plain_up_to_the_trained_length_and_grows_after_it(
    make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    def logits(trained: int) -> torch.Tensor:
        scaling = DynamicScaling(factor=2.0, original_max_seq_len=trained)
        return make_model(make_spec(position=RopeSpec(scaling=scaling)))(token_ids)

    plain = make_model(make_spec())(token_ids)
    assert torch.equal(logits(24), plain)
    assert not close(logits(16), plain, 1e-3)


@pytest.mark.parametrize("position", [RopeSpec(), AlibiSpec()])
def test_grouped_attention_equals_full_attention_with_repeated_heads(
    position: Any, make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    grouped = make_model(make_spec(position=position))
    full = make_model(make_spec(position=position, num_kv_heads=4))
    state = grouped.state_dict()
    for name, value in state.items():
        if ".key." in name or ".value." in name:
            state[name] = value.unflatten(0, (2, 8)).repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    assert close(full(token_ids), grouped(token_ids), 1e-5)


def test_folding_a_normalised_head_changes_nothing_and_evaluating_never_changes_it(
    make_spec: MakeSpec, make_model: MakeModel, token_ids: torch.Tensor
) -> None:
    spec = make_spec(head=HeadSpec(normalized=True))
    model = make_model(spec)
    raw = model.head.weight.clone()
    logits = model(token_ids)
    assert torch.equal(model.head.weight, raw)
    assert torch.equal(model.train()(token_ids), logits)
    plain = Transformer(dataclasses.replace(spec, head=HeadSpec()))
    plain.load_state_dict(model.state_dict() | {"head.weight": model.head.matrix()})
    assert torch.equal(plain(token_ids), logits)
    assert close(model.head.matrix().norm(dim=-1), torch.ones(50))
    model.head.weight.copy_(3.0 * raw)
    assert close(model(token_ids), logits)


def test_a_tied_head_owns_no_weight(make_spec: MakeSpec, make_model: MakeModel) -> None:
    model = make_model(make_spec(head=HeadSpec(tie_embeddings=True)))
    assert isinstance(model.head, Head)
    assert "head.weight" not in dict(model.named_parameters())
    assert model.head.matrix() is model.embedding.weight


def test_16_bit_attention_with_linear_biases_is_the_float32_one_rounded() -> None:
    spec = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8, position=AlibiSpec())
    positions = torch.arange(40)[None]
    query, key, value = torch.randn(1, 4, 40, 8), torch.randn(1, 2, 40, 8), torch.randn(1, 2, 40, 8)
    query, key, value = query.bfloat16(), key.bfloat16(), value.bfloat16()
    exact = attend(query.float(), key.float(), value.float(), spec, Layout(positions, positions))
    rough = attend(query, key, value, spec, Layout(positions, positions))
    assert close(rough.float(), exact, 0.02)
