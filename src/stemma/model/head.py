"""The output head: logits = scale * transform(hidden) W' + b, W's rows divided by their length when `normalized` (NormHead).

NormHead: arXiv 2309.10305, section 2.4. The stored matrix keeps its raw rows; they are normalised at every use, so
evaluating never changes a checkpoint. A tied head uses the embedding's matrix and owns none; where that is narrower than
the hidden state, a projection leads to its width (OPT 350M).
"""

import torch
from torch import nn
from torch.nn import functional

from stemma.model.feed_forward import ACTIVATIONS
from stemma.model.norm import build_norm
from stemma.model.spec import HeadTransformSpec, Spec


class HeadTransform(nn.Module):
    """norm(act(dense x)), what BERT's masked LM head does first. Input and output (..., C)."""

    def __init__(self, spec: HeadTransformSpec, hidden_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation = ACTIVATIONS[spec.activation]
        self.norm = build_norm(spec.norm, hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.activation(self.dense(x)))


class Head(nn.Module):
    """Hidden states (..., C) to logits (..., V)."""

    def __init__(self, spec: Spec, embedding: nn.Embedding) -> None:
        super().__init__()
        self.normalized, self.scale = spec.head.normalized, spec.head.scale
        if spec.head.tie_embeddings:
            self.weight = embedding.weight
        else:
            self.weight = nn.Parameter(torch.empty(spec.vocab_size, spec.embedding_width))
        self.bias = nn.Parameter(torch.empty(spec.vocab_size)) if spec.head.bias else None
        self.transform = HeadTransform(spec.head.transform, spec.hidden_size) if spec.head.transform else None
        self.projection = (
            nn.Linear(spec.hidden_size, spec.embedding_width, bias=False) if spec.inputs.width else None
        )

    def matrix(self) -> torch.Tensor:
        """The matrix in use, (V, C), or (V, width) where the embedding has a width of its own."""
        return functional.normalize(self.weight, dim=-1) if self.normalized else self.weight

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if self.transform is not None:
            hidden = self.transform(hidden)
        if self.projection is not None:
            hidden = self.projection(hidden)
        if self.scale != 1.0:
            hidden = hidden * self.scale
        return functional.linear(hidden, self.matrix(), self.bias)
