"""The behaviour of a Spec's rotary positions as numbers, stored with a checkpoint and compared when it is opened.

A config that lost its base, factor or original length on the way still opens, and answers wrongly past some length.
The fingerprint is what the positions do: every frequency as 32-bit floats in base64, at length 0 and, where they grow
with the length, at four times the trained length. It is compared to a relative 1e-5, not as a hash, because the
last bit of a power differs between machines.
"""

import base64

import torch

from stemma.errors import StemmaError
from stemma.model.position.scaling import depends_on_length, rope_amplitude, rope_frequencies
from stemma.model.spec import RopeSpec, Spec

_TOLERANCE = 1e-5


def rope_fingerprint(spec: Spec) -> str | None:
    """The fingerprint of all distinct rotary settings of a Spec, None when it has none."""
    values = _frequencies(spec)
    if not len(values):
        return None
    return base64.b64encode(values.numpy().astype("<f4").tobytes()).decode()


def check_rope_fingerprint(spec: Spec, stored: str, where: str) -> None:
    """Raise StemmaError when positions no longer do what they did when the checkpoint was written."""
    try:
        raw = bytearray(base64.b64decode(stored, validate=True))
        before = torch.frombuffer(raw, dtype=torch.float32) if raw else torch.empty(0)
    except ValueError:
        raise StemmaError(f"{where}: rope_fingerprint is damaged; restore config.json") from None
    now = _frequencies(spec)
    if len(before) != len(now) or not torch.allclose(before, now, rtol=_TOLERANCE, atol=0.0):
        raise StemmaError(
            f"{where}: the rotary settings do not give the frequencies this checkpoint was written with; restore "
            "rope_theta, rope_scaling and max_position_embeddings, or remove 'rope_fingerprint' if the change is meant"
        )


def _frequencies(spec: Spec) -> torch.Tensor:
    found: dict[tuple[RopeSpec, int], torch.Tensor] = {}
    for block in spec.blocks:
        rope, head_dim = block.attention.position, block.attention.head_dim
        if isinstance(rope, RopeSpec) and (rope, head_dim) not in found:
            lengths = (0, 4 * spec.max_seq_len) if depends_on_length(rope) else (0,)
            tables = [rope_frequencies(rope, int(head_dim * rope.fraction), length) for length in lengths]
            found[rope, head_dim] = torch.cat([*tables, torch.tensor([rope_amplitude(rope)])])
    return torch.cat(list(found.values())) if found else torch.empty(0)
