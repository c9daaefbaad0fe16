"""Mixture of experts: y = sum over the chosen experts e of w_e(x) expert_e(x), plus a gated shared expert (arXiv 2401.04088).

The router is a linear layer; its softmax is taken over all experts in fp32. Every expert runs once on the tokens sent to
it, so the cost is that of the chosen experts.
"""

from collections.abc import Callable

import torch
from torch import nn

from stemma.model.spec import FeedForwardSpec, MixtureSpec


class Mixture(nn.Module):
    """Input and output (..., C). `build` makes the module of one expert."""

    def __init__(
        self, spec: MixtureSpec, hidden_size: int, build: Callable[[FeedForwardSpec, int], nn.Module]
    ) -> None:
        super().__init__()
        self.spec = spec
        self.router = nn.Linear(hidden_size, spec.num_experts, bias=False)
        self.experts = nn.ModuleList(build(spec.expert, hidden_size) for _ in range(spec.num_experts))
        if spec.shared is not None:
            self.shared = build(spec.shared, hidden_size)
            self.shared_gate = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(0, -2)  # (N, C)
        weights, chosen = self.route(tokens)
        mixed = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rows, places = torch.where(chosen == number)
            if len(rows):
                share = expert(tokens[rows]) * weights[rows, places, None]
                mixed = mixed.index_add(0, rows, share.to(mixed.dtype))
        if self.spec.shared is not None:
            mixed = mixed + self.shared_gate(tokens).sigmoid() * self.shared(tokens)
        return mixed.view_as(x)

    def route(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and numbers of the chosen experts, both (N, experts_per_token), for tokens (N, C)."""
        shares = self.router(tokens).softmax(dim=-1, dtype=torch.float32)  # (N, num_experts)
        weights, chosen = shares.topk(self.spec.experts_per_token, dim=-1)
        if self.spec.renormalized:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights.to(tokens.dtype), chosen
