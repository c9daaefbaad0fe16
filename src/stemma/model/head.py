"""The output head: logits = hidden W', with W's rows divided by their length when `normalized` (NormHead).

NormHead: arXiv 2309.10305, section 2.4. The stored matrix keeps its raw rows; they are normalised at every use, so
evaluating never changes a checkpoint. A tied head uses the embedding's matrix and owns none.
"""

import torch
from torch import nn
from torch.nn import functional

from stemma.model.spec import HeadSpec


class Head(nn.Module):
    """Hidden states (..., C) to logits (..., V)."""

    def __init__(self, spec: HeadSpec, embedding: nn.Embedding) -> None:
        super().__init__()
        self.normalized = spec.normalized
        if spec.tie_embeddings:
            self.weight = embedding.weight
        else:
            self.weight = nn.Parameter(torch.empty(embedding.num_embeddings, embedding.embedding_dim))

    def matrix(self) -> torch.Tensor:
        """The (V, C) matrix in use."""
        return functional.normalize(self.weight, dim=-1) if self.normalized else self.weight

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.linear(hidden, self.matrix())
