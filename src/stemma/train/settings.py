"""Settings of the optimiser and the loop that all recipes share.

Defaults: AdamW betas (0.9, 0.95), weight decay 0.1, clip 1.0, cosine to a tenth (LLaMA; Baichuan 2 clips at 0.5).
"""

from dataclasses import dataclass, field
from typing import Literal

from stemma.errors import StemmaError


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """AdamW and its learning rate; see `schedule` for the meaning of warm-up and floor."""

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    warmup_steps: int = 0
    floor_ratio: float = 0.1

    def __post_init__(self) -> None:
        _within("learning_rate", self.learning_rate, 0.0, 10.0, open_low=True)
        _within("eps", self.eps, 0.0, 1.0, open_low=True)
        _within("weight_decay", self.weight_decay, 0.0, 10.0)
        _within("clip_norm", self.clip_norm, 0.0, float("inf"), open_low=True)
        _within("warmup_steps", self.warmup_steps, 0, 2**31)
        _within("floor_ratio", self.floor_ratio, 0.0, 1.0)
        for beta in self.betas:
            _within("betas", beta, 0.0, 0.999999)


def native_precision() -> Literal["bfloat16", "float32"]:
    """bfloat16 where a GPU or the processor multiplies in it; a processor without AVX-512 is many times slower that way."""
    import torch

    if torch.cuda.is_available():
        return "bfloat16"
    return "bfloat16" if torch.backends.cpu.get_cpu_capability() == "AVX512" else "float32"


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How the steps are carried out.

    `batch_size` counts sequences per optimiser step, over all ranks; `micro_batch_size` those of one pass. Steps
    between metrics lines, validations and checkpoints: `log_every`, `validate_every`, `checkpoint_every`.
    `validation_rows` bounds what one validation reads of each domain. `precision` is that of the matrix products, by
    default what the machine computes in; a run records it, so that a machine without it refuses to go on otherwise.
    """

    batch_size: int
    micro_batch_size: int = 16
    precision: Literal["bfloat16", "float32"] = field(default_factory=native_precision)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    log_every: int = 1
    validate_every: int = 200
    validation_rows: int = 256
    checkpoint_every: int = 200
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        for name in (
            "batch_size",
            "micro_batch_size",
            "log_every",
            "validate_every",
            "validation_rows",
            "checkpoint_every",
            "keep_checkpoints",
        ):
            _within(name, getattr(self, name), 1, 2**31)


FREE_KEYS = (
    "train.log_every",
    "train.validate_every",
    "train.validation_rows",
    "train.checkpoint_every",
    "train.keep_checkpoints",
)
"""What may differ when a run is continued, because no weight depends on it."""


def _within(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    if not low <= value <= high or (open_low and value == low):
        raise StemmaError(f"{name} is {value}; it must lie between {low} and {high}")
