"""Every way `attend` computes attention is the same function: 16-bit kernels against fp32, forward and backward."""

import pytest
import torch

from stemma.model.attention import attend
from stemma.model.layout import Layout
from stemma.model.spec import AlibiSpec, AttentionSpec, NoPositionSpec, PositionSpec

LENGTH, HEAD_DIM = 24, 16


def _layout(segmented: bool) -> Layout:
    positions = torch.arange(LENGTH).expand(2, LENGTH)
    segments = (torch.arange(LENGTH) // 7 + 1).expand(2, LENGTH) if segmented else None
    return Layout(positions, positions, segments)


def _run(spec: AttentionSpec, dtype: torch.dtype, segmented: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = [
        (2, heads, LENGTH, HEAD_DIM) for heads in (spec.num_heads, spec.num_kv_heads, spec.num_kv_heads)
    ]
    exact = [torch.randn(shape, generator=generator).bfloat16() for shape in shapes]
    inputs = [x.to(dtype).requires_grad_() for x in exact]
    out = attend(inputs[0], inputs[1], inputs[2], spec, _layout(segmented))
    out.float().square().sum().backward()
    return out.detach().float(), [x.grad.float() for x in inputs if x.grad is not None]


@pytest.mark.parametrize("position", [NoPositionSpec(), AlibiSpec()])
@pytest.mark.parametrize("segmented", [False, True])
@pytest.mark.parametrize(("num_kv_heads", "window"), [(4, None), (2, None), (1, 5)])
def test_bf16_attention_is_fp32_attention_within_rounding(
    position: PositionSpec, segmented: bool, num_kv_heads: int, window: int | None
) -> None:
    spec = AttentionSpec(
        num_heads=4, num_kv_heads=num_kv_heads, head_dim=HEAD_DIM, position=position, window=window
    )
    expected, expected_gradients = _run(spec, torch.float32, segmented)
    found, gradients = _run(spec, torch.bfloat16, segmented)
    assert (found - expected).norm() / expected.norm() < 0.01
    assert len(gradients) == 3
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        assert (gradient - reference).norm() / reference.norm() < 0.02
