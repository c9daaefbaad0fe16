"""A small Spec to vary and a model with random weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from stemma.model.init import initialize
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, RopeSpec, Spec
from stemma.model.transformer import Transformer

MakeSpec = Callable[..., Spec]


@pytest.fixture(scope="session")
def make_spec() -> MakeSpec:
    """make_spec(head=..., layers=..., **attention fields) gives a tiny Spec."""

    def make(
        *, head: HeadSpec | None = None, layers: int = 2, max_seq_len: int = 32, **attention: Any
    ) -> Spec:
        fields: dict[str, Any] = {"num_heads": 4, "num_kv_heads": 2, "head_dim": 8, "position": RopeSpec()}
        block = BlockSpec(
            attention=AttentionSpec(**(fields | attention)),
            feed_forward=FeedForwardSpec(intermediate_size=40),
        )
        return Spec(
            vocab_size=50,
            hidden_size=32,
            num_layers=layers,
            max_seq_len=max_seq_len,
            blocks=(block,),
            head=head or HeadSpec(),
        )

    return make


@pytest.fixture(scope="session")
def make_model() -> Callable[[Spec], Transformer]:
    """A model with weights large enough for attention to matter; biases and norms are random too."""

    def make(spec: Spec) -> Transformer:
        model = initialize(Transformer(spec), seed=5, std=0.2).eval().requires_grad_(False)
        generator = torch.Generator().manual_seed(7)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        return model

    return make


@pytest.fixture(scope="session")
def token_ids() -> torch.Tensor:
    return torch.randint(0, 50, (2, 24), generator=torch.Generator().manual_seed(11))
