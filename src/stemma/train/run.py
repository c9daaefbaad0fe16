"""What pretraining and fine-tuning have in common: claim the folder, prepare, fit, write the model, be done.

Every part can be repeated: token files are reused, training continues from its newest state, and a finished run gives
its result back without doing anything.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.data.shards import TokenShards
from stemma.errors import StemmaError
from stemma.model.spec import Spec
from stemma.model.transformer import Transformer
from stemma.progress import say
from stemma.storage import remove_leftovers
from stemma.train.loop import Plan, check_sizes, fit
from stemma.train.parallel import Ranks, join_ranks, training_device
from stemma.train.record import RunRecord
from stemma.train.settings import LoopSettings, OptimizerSettings

if TYPE_CHECKING:
    from stemma.families import SpecialIds


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run. `tokens` were processed (padding not counted), `final_loss` is in nats per target."""

    run_folder: Path
    model_folder: Path
    steps: int
    tokens: int
    seconds: float
    final_loss: float
    num_parameters: int


class Job:
    """What a recipe's `prepare` works with: it builds the model and the token files and names what goes with them."""

    def __init__(self, run: RunRecord, ranks: Ranks) -> None:
        self.run, self.ranks = run, ranks
        self.built: Transformer | None = None
        self.special_ids: SpecialIds | None = None
        self.tokenizer_folder: Path | None = None

    def model(self, spec: Spec | None, init: Path | None, seed: int) -> Transformer:
        """The model to train, fp32: new from `spec` and `seed`, or the checkpoint `init`."""
        from stemma.checkpoint import load_model
        from stemma.model.init import initialize

        if init is not None:
            self.built = load_model(init)
        else:
            assert spec is not None
            self.built = initialize(Transformer(spec), seed)
        self.built.spec.check_decoder("training")
        if self.built.spec.two_positions:
            raise StemmaError(
                "this model has two positions a token and learns by filling blanks, and training here makes causal samples; "
                "choose a causal model"
            )
        return self.built

    def shards(self, name: str, build: Callable[[Path], TokenShards]) -> TokenShards:
        """Token files under `tokens/NAME` of the run folder, made by the first rank."""
        folder = self.run.folder / "tokens" / name
        if self.ranks.first:
            build(folder)
        self.ranks.wait()
        return TokenShards(folder)

    def write_model(self, folder: Path) -> None:
        """The model as it is now, as a checkpoint folder with its tokenizer."""
        from stemma.checkpoint import ModuleSource, write_checkpoint

        assert self.built is not None
        assert self.special_ids is not None
        write_checkpoint(
            folder,
            self.built.spec,
            ModuleSource(self.built),
            special_ids=self.special_ids,
            copy_from=self.tokenizer_folder,
            replace=True,
        )

    def tell_counts(self, name: str, counts: Mapping[str, int]) -> None:
        """Say what was read, cut and left out."""
        if self.ranks.first:
            text = ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counts.items())
            say(f"{name}: {text}")
            self.run.update(**{f"{name}_counts": dict(counts)})


def carry_out(
    settings: Any,
    run_folder: Path,
    command: str,
    free_keys: Sequence[str],
    optimizer: OptimizerSettings,
    loop: LoopSettings,
    prepare: Callable[[Job], Plan],
) -> RunResult:
    """Bring a run to its end. `prepare` is called when there is something left to do."""
    device = training_device(loop.device)
    ranks = join_ranks(device)
    if loop.batch_size < ranks.size:
        raise StemmaError(
            f"train.batch_size is {loop.batch_size} for {ranks.size} ranks; every rank needs at least one sequence"
        )
    run = RunRecord(run_folder, writes=ranks.first)
    if ranks.first:  # one rank alone: the others could take its first files for another's
        run.claim(settings, command, free_keys)
        remove_leftovers(run_folder, "config.toml", "run.json", "metrics.jsonl", "model")
        for name in ("tokens", "epochs"):
            remove_leftovers(run_folder / name, "*")
    ranks.wait()
    facts = run.facts()
    if facts["status"] == "finished":
        return _result(run, facts)
    job = Job(run, ranks)
    try:
        plan = prepare(job)
        check_sizes(plan, loop)
    except (StemmaError, OSError):
        run.release()
        raise
    model = job.built
    assert model is not None
    run.update(
        status="running", num_parameters=model.spec.num_parameters(), device=str(device), ranks=ranks.size
    )
    try:
        result = fit(model, plan, run, optimizer, loop, device)
        if ranks.first:
            job.write_model(run.model_folder)
    except (StemmaError, OSError) as error:
        with contextlib.suppress(OSError):  # the disk that is full may refuse this too
            run.update(status="failed", error=str(error))
        raise
    run.update(
        status="finished",
        steps=result.steps,
        tokens=result.tokens,
        seconds=result.seconds,
        final_loss=result.final_loss,
    )
    ranks.wait()
    return _result(run, run.facts())


def check_length(sequence_length: int, spec: Spec) -> None:
    """Refuse rows longer than what the model is made for."""
    if not 1 <= sequence_length <= spec.max_seq_len:
        raise StemmaError(
            f"data.sequence_length is {sequence_length}; it must lie between 1 and the model's max_seq_len {spec.max_seq_len}"
        )


def _result(run: RunRecord, facts: Mapping[str, Any]) -> RunResult:
    return RunResult(
        run_folder=run.folder,
        model_folder=run.model_folder,
        steps=facts["steps"],
        tokens=facts["tokens"],
        seconds=facts["seconds"],
        final_loss=facts["final_loss"],
        num_parameters=facts["num_parameters"],
    )
