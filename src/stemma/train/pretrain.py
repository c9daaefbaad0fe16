"""Pretraining: documents and a Spec (or a checkpoint to go on from) to a base model in a run folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stemma.data.mixture import Mixture
from stemma.errors import StemmaError
from stemma.model.spec import Spec
from stemma.train.settings import FREE_KEYS, LoopSettings, OptimizerSettings

if TYPE_CHECKING:
    from stemma.tokenizer.tokenizer import Tokenizer
    from stemma.train.run import RunResult


@dataclass(frozen=True, kw_only=True)
class PretrainData:
    """Files or folders of documents; validation files by the name of their domain; tokens per row; how often which
    document is seen, None being as often as all others."""

    train: tuple[Path, ...]
    validation: Mapping[str, Path] = field(default_factory=dict)
    sequence_length: int
    mixture: Mixture | None = None


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """A pretraining recipe. Exactly one of `model` (random weights from `seed`) and `init` (a checkpoint folder)."""

    seed: int
    steps: int
    tokenizer: Path
    model: Spec | None = None
    init: Path | None = None
    data: PretrainData
    optimizer: OptimizerSettings
    train: LoopSettings

    def __post_init__(self) -> None:
        if (self.model is None) == (self.init is None):
            raise StemmaError(
                "give either 'model' (a new Spec) or 'init' (a checkpoint folder), not both or none"
            )
        if self.steps < 1 or not 0 <= self.seed < 2**63:
            raise StemmaError("steps must be at least 1 and seed between 0 and 2^63")


def pretrain(settings: PretrainSettings, run_folder: Path, command: str = "stemma pretrain") -> "RunResult":
    """Carry the run in `run_folder` to its end and return what it is; a finished run is returned at once.

    Raises StemmaError for settings, data or folders that do not fit together, KeyboardInterrupt after a signal (the
    state is saved and the same call continues). A large corpus is tokenized by several processes: a script must guard
    its main module, as for any process pool.
    """
    from stemma.data.causal import CausalRows, tokenize_documents
    from stemma.families import SpecialIds
    from stemma.tokenizer.load import load_tokenizer
    from stemma.train.loop import Plan
    from stemma.train.run import Job, carry_out, check_length

    def prepare(job: Job) -> Plan:
        data = settings.data
        tokenizer = load_tokenizer(settings.tokenizer)
        model = job.model(settings.model, settings.init, settings.seed)
        check_vocabulary(tokenizer, settings, model.spec)
        check_length(data.sequence_length, model.spec)
        num_tokens = settings.steps * settings.train.batch_size * data.sequence_length
        train = job.shards(
            "train",
            lambda folder: tokenize_documents(
                folder, data.train, tokenizer, data.mixture, num_tokens=num_tokens
            ),
        )
        validation = {
            name: job.shards(
                f"validation-{name}", lambda folder, path=path: tokenize_documents(folder, [path], tokenizer)
            )
            for name, path in data.validation.items()
        }
        eos = () if tokenizer.eos_id is None else (tokenizer.eos_id,)
        job.special_ids = SpecialIds(bos=tokenizer.bos_id, eos=eos, pad=tokenizer.pad_id)
        job.tokenizer_folder = settings.tokenizer
        return Plan(
            rows=CausalRows(train, data.sequence_length),
            validation={n: CausalRows(s, data.sequence_length, whole=True) for n, s in validation.items()},
            steps=settings.steps,
            seed=settings.seed,
        )

    return carry_out(settings, run_folder, command, FREE_KEYS, settings.optimizer, settings.train, prepare)


def check_vocabulary(tokenizer: "Tokenizer", settings: PretrainSettings, spec: Spec) -> None:
    """Refuse a tokenizer with ids the model has no row for, or one that is not the checkpoint's own."""
    from stemma.tokenizer.load import load_tokenizer

    if tokenizer.vocab_size > spec.vocab_size:
        raise StemmaError(
            f"{settings.tokenizer}: the tokenizer has {tokenizer.vocab_size} ids and the model's vocab_size is "
            f"{spec.vocab_size}; raise vocab_size or choose another tokenizer"
        )
    if settings.init is not None and any(settings.init.glob("tokenizer*")):
        own = load_tokenizer(settings.init)
        if own.fingerprint != tokenizer.fingerprint:
            raise StemmaError(
                f"{settings.tokenizer}: is not the tokenizer of {settings.init}; its ids would mean other tokens to "
                "the model: use the one in the checkpoint folder"
            )
