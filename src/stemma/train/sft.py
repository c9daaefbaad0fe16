"""Supervised fine-tuning: dialogues and a base model to a chat model in a run folder.

Sessions are single causal samples, packed into rows; the loss is on answers and their stop tokens (arXiv 2307.09288,
section 3.1: two epochs, cosine, loss zero on what the user says). Tokenizer and template are those of the checkpoint.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stemma.errors import StemmaError
from stemma.train.settings import FREE_KEYS, LoopSettings, OptimizerSettings

if TYPE_CHECKING:
    from stemma.train.run import RunResult


@dataclass(frozen=True, kw_only=True)
class SftData:
    """JSON Lines files of dialogues; tokens per row, which also bounds a dialogue.

    `normalise` is what a loss weight of 1 stands for: a target token, a whole session, or an assistant turn.
    """

    train: tuple[Path, ...]
    validation: Path | None = None
    sequence_length: int
    normalise: Literal["token", "sample", "turn"] = "token"


@dataclass(frozen=True, kw_only=True)
class SftSettings:
    """A fine-tuning recipe. `init` is a checkpoint folder with its tokenizer; exactly one of `epochs` and `steps`.

    With `keep_epochs` the model after each epoch but the last is kept as a checkpoint folder `epochs/N`.
    """

    seed: int
    init: Path
    epochs: int | None = None
    steps: int | None = None
    keep_epochs: bool = False
    data: SftData
    optimizer: OptimizerSettings
    train: LoopSettings

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise StemmaError("give either 'epochs' or 'steps', not both or none")
        if (self.epochs or self.steps or 0) < 1 or not 0 <= self.seed < 2**63:
            raise StemmaError("epochs or steps must be at least 1 and seed between 0 and 2^63")


def sft(settings: SftSettings, run_folder: Path, command: str = "stemma sft") -> "RunResult":
    """Carry the run in `run_folder` to its end and return what it is; a finished run is returned at once.

    The last of the steps that `epochs` gives may be short; its loss is divided by its own weight. Raises as `pretrain`.
    """
    from stemma.data.chat import tokenize_dialogues
    from stemma.data.pack import PackedRows
    from stemma.families import SpecialIds
    from stemma.tokenizer.load import load_tokenizer
    from stemma.tokenizer.template import template_of
    from stemma.train.loop import Plan
    from stemma.train.run import Job, carry_out, check_length

    def prepare(job: Job) -> Plan:
        data = settings.data
        tokenizer = load_tokenizer(settings.init)
        template = template_of(tokenizer)
        model = job.model(None, settings.init, settings.seed)
        check_length(data.sequence_length, model.spec)

        def rows(name: str, paths: tuple[Path, ...]) -> PackedRows:
            shards = job.shards(
                name,
                lambda folder: tokenize_dialogues(folder, paths, tokenizer, template, data.sequence_length),
            )
            job.tell_counts(name, shards.index.counts)
            return PackedRows(shards, data.sequence_length, normalise=data.normalise)

        train = rows("train", data.train)
        validation = {} if data.validation is None else {"dialogues": rows("validation", (data.validation,))}
        stops = template.stop_ids(tokenizer)
        eos = tuple(sorted(stops | ({tokenizer.eos_id} if tokenizer.eos_id is not None else set())))
        job.special_ids = SpecialIds(bos=tokenizer.bos_id, eos=eos, pad=tokenizer.pad_id)
        job.tokenizer_folder = settings.init
        limit = None if settings.epochs is None else settings.epochs * len(train)
        steps = settings.steps or -(-(limit or 0) // settings.train.batch_size)
        kept = range(1, settings.epochs or 1) if settings.keep_epochs else ()
        return Plan(
            rows=train,
            validation=validation,
            steps=steps,
            seed=settings.seed,
            limit=limit,
            after_step={
                -(-epoch * len(train) // settings.train.batch_size): partial(
                    job.write_model, run_folder / "epochs" / str(epoch)
                )
                for epoch in kept
            },
        )

    return carry_out(settings, run_folder, command, FREE_KEYS, settings.optimizer, settings.train, prepare)
