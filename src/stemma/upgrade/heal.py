"""Healing: continued pretraining of an upgraded checkpoint, to give back what an approximate operation lost.

The recipe of arXiv 2305.13245, section 3.3: the same objective for a small share of the original compute. The run is
an ordinary training run in a folder of its own; calling again continues it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stemma.checkpoint import describe
from stemma.corpus.files import find_files
from stemma.errors import StemmaError
from stemma.storage import sha256
from stemma.train.pretrain import PretrainData, PretrainSettings, pretrain
from stemma.train.settings import LoopSettings, OptimizerSettings, native_precision


@dataclass(frozen=True, kw_only=True)
class HealSettings:
    """Documents to train on and how long; `sequence_length` is never more than the trained length."""

    data: tuple[Path, ...]
    steps: int
    learning_rate: float = 1e-4
    batch_size: int = 16
    sequence_length: int = 256
    precision: Literal["bfloat16", "float32"] = field(default_factory=native_precision)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.data or self.steps < 1:
            raise StemmaError("healing needs both documents and steps: --heal-data FILE and --heal-steps N")


@dataclass(frozen=True, kw_only=True)
class Healed:
    """The trained checkpoint folder, the tokens it took, and the digests of the documents."""

    folder: Path
    tokens: int
    data_sha256: dict[str, str]


def heal(upgraded: Path, run: Path, settings: HealSettings) -> Healed:
    """Train the checkpoint in `upgraded` in the run folder `run` and return the trained one.

    Raises StemmaError when it has no tokenizer or the documents cannot be read, KeyboardInterrupt after a signal (the
    same call continues).
    """
    files, _ = find_files(list(settings.data))
    length = min(settings.sequence_length, describe(upgraded).spec.max_seq_len)
    recipe = PretrainSettings(
        seed=settings.seed,
        steps=settings.steps,
        tokenizer=upgraded,
        init=upgraded,
        data=PretrainData(train=settings.data, sequence_length=length),
        optimizer=OptimizerSettings(
            learning_rate=settings.learning_rate, warmup_steps=max(1, settings.steps // 20)
        ),
        train=LoopSettings(
            batch_size=settings.batch_size,
            micro_batch_size=min(settings.batch_size, 16),
            precision=settings.precision,
        ),
    )
    trained = pretrain(recipe, run, command="stemma upgrade")
    digests = {str(file.path): sha256(file.path) for file in files}
    return Healed(folder=trained.model_folder, tokens=trained.tokens, data_sha256=digests)
