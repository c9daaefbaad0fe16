"""AdamW (arXiv 1711.05101) with decay on matrices only: norms' gains and biases are left out.

Weights and moments are fp32 whatever the precision of the products. The fused kernel does one pass over memory and is
deterministic.
"""

from collections.abc import Iterable, Mapping

import torch

from stemma.train.settings import OptimizerSettings

MOMENTS = ("exp_avg", "exp_avg_sq")


def build_optimizer(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], settings: OptimizerSettings
) -> torch.optim.AdamW:
    """AdamW over named parameters, matrices in the group that decays."""
    named = list(parameters)
    matrices = [p for _, p in named if p.ndim >= 2]
    vectors = [p for _, p in named if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        fused=True,
    )


def optimizer_tensors(
    optimizer: torch.optim.AdamW, names: Mapping[str, torch.nn.Parameter]
) -> dict[str, torch.Tensor]:
    """The moments as `exp_avg.NAME` and `exp_avg_sq.NAME`; empty before the first step."""
    return {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in names.items()
        if parameter in optimizer.state
        for moment in MOMENTS
    }


def load_optimizer_tensors(
    optimizer: torch.optim.AdamW,
    names: Mapping[str, torch.nn.Parameter],
    tensors: Mapping[str, torch.Tensor],
    step: int,
) -> None:
    """Put stored moments and the number of steps taken back."""
    for name, parameter in names.items():
        state = {moment: tensors[f"{moment}.{name}"].to(parameter.device) for moment in MOMENTS}
        count = torch.tensor(float(step), dtype=torch.float32, device=parameter.device)
        optimizer.state[parameter] = {"step": count, **state}
