"""A small model with a tokenizer of its own, as a checkpoint folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stemma.checkpoint import CastSource, MemorySource, write_checkpoint
from stemma.families import SpecialIds
from stemma.model.init import initialize
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, RopeSpec, Spec
from stemma.model.transformer import Transformer
from stemma.tokenizer.train import TrainSettings, train_tokenizer

Make = Callable[..., Path]


def _small_spec(num_kv_heads: int, head: HeadSpec) -> Spec:
    """Four query heads, 264 ids: a byte tokenizer and its special tokens."""
    attention = AttentionSpec(num_heads=4, num_kv_heads=num_kv_heads, head_dim=8, position=RopeSpec())
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=48))
    return Spec(
        vocab_size=264,
        hidden_size=32,
        num_layers=2,
        max_seq_len=64,
        blocks=(block,),
        head=head,
    )


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Make:
    """Write a checkpoint folder: `make(name, num_kv_heads=..., head=..., dtype=..., change=..., tokenizer=...)`."""

    def make(
        name: str,
        *,
        num_kv_heads: int = 4,
        head: HeadSpec | None = None,
        dtype: torch.dtype = torch.float32,
        change: Callable[[dict[str, torch.Tensor]], None] | None = None,
        tokenizer: bool = True,
    ) -> Path:
        spec = _small_spec(num_kv_heads, head or HeadSpec())
        model = initialize(Transformer(spec), 3, std=0.2)
        weights = {name: p.detach().clone() for name, p in model.named_parameters()}
        if change is not None:
            change(weights)
        folder = tmp_path / name
        source = CastSource(MemorySource(weights), dtype)
        write_checkpoint(folder, spec, source, special_ids=SpecialIds(eos=(0,)))
        if tokenizer:
            train_tokenizer(["a b"], TrainSettings(vocab_size=260)).save(folder)
        return folder

    return make
