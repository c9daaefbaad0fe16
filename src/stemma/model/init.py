"""Initial weights: normal(0, std) everywhere, the two matrices that write to the residual stream scaled by 1/sqrt(2L).

The scheme of GPT-2 (section 2.3 of its report) as used by LLaMA-type trainings. Values depend on the seed and the
names of the tensors only, not on the device or the order of creation.
"""

import hashlib
import math

import torch

from stemma.model.transformer import Transformer

_WRITERS = (".output.weight", ".down.weight")


@torch.no_grad()
def initialize(model: Transformer, seed: int, std: float = 0.02) -> Transformer:
    """Fill every parameter in place and return the model: norms 1, biases 0, matrices random."""
    residual_std = std / math.sqrt(2 * model.spec.num_layers)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            parameter.zero_()
        elif parameter.ndim == 1:
            parameter.fill_(1.0)
        else:
            values = torch.empty(parameter.shape, dtype=torch.float32)
            values.normal_(
                0.0, residual_std if name.endswith(_WRITERS) else std, generator=_generator(seed, name)
            )
            parameter.copy_(values)
    return model


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
