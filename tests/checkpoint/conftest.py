"""Small models to save, load and damage."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stemma.checkpoint import ModuleSource, write_checkpoint
from stemma.families import SpecialIds
from stemma.model.init import initialize
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, RopeSpec, Spec
from stemma.model.transformer import Transformer

Write = Callable[..., Path]


@pytest.fixture
def spec() -> Spec:
    attention = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=4, position=RopeSpec())
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=24))
    return Spec(vocab_size=32, hidden_size=16, num_layers=2, max_seq_len=64, blocks=(block,))


@pytest.fixture
def folder(spec: Spec, tmp_path: Path) -> Path:
    """A written checkpoint of four shards or so."""
    model = initialize(Transformer(spec), seed=1)
    target = tmp_path / "model"
    write_checkpoint(
        target, spec, ModuleSource(model), special_ids=SpecialIds(bos=1, eos=(2,)), max_shard_bytes=8000
    )
    return target
