"""A tiny model and tiny data for the checks that must hold exactly: RoPE and ALiBi, fp32, CPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stemma.data.causal import CausalRows
from stemma.data.pack import PackedRows
from stemma.data.shards import Item, TokenShards, write_shards
from stemma.model.init import initialize
from stemma.model.spec import AlibiSpec, AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, RopeSpec, Spec
from stemma.model.transformer import Transformer
from stemma.train.loop import Plan, fit
from stemma.train.record import RunRecord
from stemma.train.settings import LoopSettings, OptimizerSettings

VOCAB = 61


@pytest.fixture(params=["rope", "alibi"])
def spec(request: pytest.FixtureRequest) -> Spec:
    position = RopeSpec() if request.param == "rope" else AlibiSpec()
    attention = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8, position=position)
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=48))
    head = HeadSpec(tie_embeddings=True, max_z_weight=2e-4)
    return Spec(vocab_size=VOCAB, hidden_size=32, num_layers=2, max_seq_len=64, blocks=(block,), head=head)


@pytest.fixture
def sessions(tmp_path: Path) -> TokenShards:
    """Sessions of unequal lengths, one to four answers each."""
    return write_shards(tmp_path / "sessions", _sessions(), key="sessions", vocab_size=VOCAB)


@pytest.fixture
def packed(sessions: TokenShards) -> PackedRows:
    return PackedRows(sessions, 48)


@pytest.fixture
def documents(tmp_path: Path) -> CausalRows:
    """Rows of 24 tokens over documents of 3 to 40 tokens."""
    draw = np.random.default_rng(3)
    sizes = draw.integers(3, 40, 60).tolist()
    items = [Item(token_ids=[*draw.integers(1, VOCAB, size).tolist(), 0], num_bytes=size) for size in sizes]
    return CausalRows(write_shards(tmp_path / "documents", items, key="documents", vocab_size=VOCAB), 24)


def _sessions() -> list[Item]:
    draw = np.random.default_rng(5)
    items = []
    for _ in range(30):
        mask: list[bool] = []
        for _ in range(draw.integers(1, 5)):
            mask += [False] * int(draw.integers(2, 5)) + [True] * int(draw.integers(1, 6))
        items.append(
            Item(token_ids=draw.integers(1, VOCAB, len(mask)).tolist(), num_bytes=len(mask), target_mask=mask)
        )
    return items


Train = Callable[..., Transformer]


@pytest.fixture
def train() -> Train:
    return train_run


def train_run(
    folder: Path,
    spec: Spec,
    rows: object,
    *,
    steps: int = 1,
    limit: int | None = None,
    writes: bool = True,
    **loop: object,
) -> Transformer:
    """`fit` from fixed weights; gradients are left unclipped in `.grad`."""
    model = initialize(Transformer(spec), 0, std=0.2)
    optimizer = OptimizerSettings(learning_rate=1e-2, warmup_steps=2, clip_norm=1e9)
    settings = LoopSettings(
        **{"batch_size": 4, "micro_batch_size": 2, "precision": "float32", "device": "cpu"} | loop
    )
    run = RunRecord(folder, writes=writes)
    run.folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(rows=rows, validation={}, steps=steps, seed=9, limit=limit)
    fit(model, plan, run, optimizer, settings, torch.device("cpu"))
    return model


def gradient(model: torch.nn.Module) -> torch.Tensor:
    """All gradients as one fp64 vector."""
    return torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """|a - b| / |b|."""
    return float((a - b).norm() / b.norm())


@pytest.fixture
def gradient_of() -> Callable[[torch.nn.Module], torch.Tensor]:
    return gradient


@pytest.fixture
def relative_difference(
    record_property: Callable[[str, object], None],
) -> Callable[[torch.Tensor, torch.Tensor], float]:
    def measured(a: torch.Tensor, b: torch.Tensor) -> float:
        value = relative(a, b)
        record_property("relative difference", value)
        print(f"relative difference {value:.2e}")
        return value

    return measured
