"""The loss of one optimiser step: sum_i w_i * nll_i / W + max_z_weight * mean_j (max_v logit_jv)^2.

W is the weight of the whole step: all micro-batches, all ranks, the last window however short, so that no way of
cutting a batch changes the gradient. The max-z mean (arXiv 2309.10305, eq. 1) is taken over all positions of the step
that hold a token, targets or not; padding is left out, so that packing does not change it. The gradient of max-z touches
one logit per position.

Head and loss are one function that works through the positions in pieces and forms the gradients on the way: the logits
of all positions never exist at once. Logits are in the working dtype, their log-sum-exp in fp32 at least.
"""

from typing import Any, NamedTuple

import torch

_SLAB_ELEMENTS = 1 << 25  # logits kept for one gradient product: 64 MiB in bf16
_PIECE_TOKENS = 512  # fastest of 32 .. 4096 on CPU for vocabularies of 2048 and 8192


class Normaliser(NamedTuple):
    """Sums over the whole optimiser step: target weights, and positions that hold a token."""

    weight: float
    positions: float


class LossParts(NamedTuple):
    """Scalars of one micro-batch, ready to be added up: the `objective` to differentiate, its cross-entropy share
    `loss`, and the plain sum `nll` of -log p over the targets, in nats."""

    objective: torch.Tensor
    loss: torch.Tensor
    nll: torch.Tensor


def language_model_loss(
    hidden: torch.Tensor,
    matrix: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    real: torch.Tensor,
    normaliser: Normaliser,
    max_z_weight: float = 0.0,
) -> LossParts:
    """Loss of hidden states (B, T, C) under the head `matrix` (V, C); `targets`, `weights`, `real` are (B, T).

    Works in autocast's dtype when that is on, else in the dtype of `hidden`.
    """
    flat = hidden.flatten(0, -2)  # (N, C)
    device = flat.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else flat.dtype
    scales = weights.flatten() / normaliser.weight
    z_scales = real.flatten() * (max_z_weight / normaliser.positions) if max_z_weight else None
    return LossParts(*_HeadLoss.apply(flat, matrix, targets.flatten(), scales, z_scales, dtype))


class _HeadLoss(torch.autograd.Function):
    """Forward computes d objective / d hidden and d matrix as well; backward hands them out."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        matrix: torch.Tensor,
        targets: torch.Tensor,
        scales: torch.Tensor,
        z_scales: torch.Tensor | None,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        h, w = hidden.to(dtype), matrix.to(dtype)
        slab_tokens = max(1, min(len(h), max(_PIECE_TOKENS, _SLAB_ELEMENTS // len(w))))
        need = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        sums = torch.zeros(3, dtype=wide, device=h.device)  # cross entropy, max-z, plain nll
        slab = torch.empty(slab_tokens, len(w), dtype=dtype, device=h.device)
        piece = torch.empty(min(_PIECE_TOKENS, slab_tokens), len(w), dtype=wide, device=h.device)
        grad_hidden = torch.empty_like(h) if need else None
        grad_matrix = torch.zeros_like(matrix, dtype=wide) if need else None
        for begin in range(0, len(h), slab_tokens):
            end = min(begin + slab_tokens, len(h))
            for start in range(begin, end, _PIECE_TOKENS):
                part = slice(start, min(start + _PIECE_TOKENS, end))
                logits = slab[part.start - begin : part.stop - begin]
                torch.mm(h[part], w.t(), out=logits)  # (piece, V)
                z = None if z_scales is None else z_scales[part, None]
                _piece(logits, piece[: len(logits)], targets[part, None], scales[part, None], z, sums, need)
            if grad_hidden is not None and grad_matrix is not None:
                gradient = slab[: end - begin]
                torch.mm(gradient, w, out=grad_hidden[begin:end])
                grad_matrix += gradient.t() @ h[begin:end]
        ctx.save_for_backward(grad_hidden, grad_matrix)
        ctx.dtypes = hidden.dtype, matrix.dtype
        objective, loss, nll = sums[0] + sums[1], sums[0].clone(), sums[2].clone()
        ctx.mark_non_differentiable(loss, nll)
        return objective, loss, nll

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_matrix = ctx.saved_tensors
        hidden_dtype, matrix_dtype = ctx.dtypes
        scale = grads[0]
        return (
            grad_hidden.to(hidden_dtype) * scale,
            grad_matrix.to(matrix_dtype) * scale,
            None,
            None,
            None,
            None,
        )


def _piece(
    logits: torch.Tensor,
    work: torch.Tensor,
    targets: torch.Tensor,
    scales: torch.Tensor,
    z_scales: torch.Tensor | None,
    sums: torch.Tensor,
    need_gradient: bool,
) -> None:
    """Add one piece's losses to `sums` and turn its `logits` (n, V) into d objective / d logits, in place."""
    work.copy_(logits)
    largest, place = work.max(dim=-1, keepdim=True)  # (n, 1)
    nll = largest - work.gather(1, targets)
    total = work.sub_(largest).exp_().sum(dim=-1, keepdim=True)
    nll += total.log()
    sums[0] += (nll * scales).sum()
    sums[2] += (nll * (scales > 0)).sum()
    if z_scales is not None:
        sums[1] += (largest.square() * z_scales).sum()
    if need_gradient:
        work.mul_(scales / total)
        work.scatter_add_(1, targets, -scales.to(work.dtype))
        if z_scales is not None:
            work.scatter_add_(1, place, 2 * z_scales * largest)
        logits.copy_(work)
