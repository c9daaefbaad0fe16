"""fit: optimiser steps until the last one, from wherever the run folder stands.

Step s trains on batch_items(s): nothing but (seed, step) decides what is read, so a state is weights, moments and
counters. After a signal the step in progress is finished and saved. A loss or gradient that is not finite stops the run
before it can touch the weights.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from stemma.data.batch import Batch, Rows, make_batch
from stemma.data.order import batch_items
from stemma.data.sample import Sample
from stemma.errors import CheckFailed, StemmaError
from stemma.model.transformer import Transformer
from stemma.progress import Progress, say
from stemma.storage import remove_leftovers
from stemma.train.allocator import keep_freed_memory
from stemma.train.checkpoints import State, newest_state, save_state
from stemma.train.loss import LossParts, Normaliser, language_model_loss
from stemma.train.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors
from stemma.train.parallel import Ranks, join_ranks
from stemma.train.record import RunRecord
from stemma.train.schedule import learning_rate
from stemma.train.settings import LoopSettings, OptimizerSettings
from stemma.train.signals import StopRequest


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train on and for how long. `limit` bounds the rows drawn in all: the last batch may be short.

    `after_step` is called after these steps and before their state is saved, by the first rank; what it does must bear
    being done twice.
    """

    rows: Rows
    validation: Mapping[str, Rows]
    steps: int
    seed: int
    limit: int | None = None
    after_step: Mapping[int, Callable[[], None]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """Counts of the whole run, resumed parts included; `final_loss` is the last step's, in nats per target."""

    steps: int
    tokens: int
    seconds: float
    final_loss: float


class Trainer:
    """One run in progress. `fit` is the way in."""

    def __init__(
        self,
        model: Transformer,
        plan: Plan,
        run: RunRecord,
        optimizer: OptimizerSettings,
        loop: LoopSettings,
        device: torch.device,
    ) -> None:
        self.model = model.to(device).train()
        self.plan, self.run, self.device = plan, run, device
        self.settings, self.loop = optimizer, loop
        self.ranks: Ranks = join_ranks(device)
        self.parameters = dict(model.named_parameters())
        self.optimizer = build_optimizer(self.parameters.items(), optimizer)
        self.step, self.tokens, self.seconds, self.loss = 0, 0, 0.0, math.nan
        self.saved_step = -1

    def resume(self) -> None:
        """Load the newest state, if there is one, and cut the metrics back to it."""
        if self.ranks.first:
            remove_leftovers(self.run.checkpoints, "step-*")
        self.ranks.wait()
        state = newest_state(self.run.checkpoints)
        if state is not None:
            if state.counters["data"] != self.plan.rows.digest():
                raise StemmaError(
                    f"{self.run.folder}: the training data changed since the run began; choose another --out"
                )
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(state.model[name])
            if state.step:
                load_optimizer_tensors(self.optimizer, self.parameters, state.optimizer, state.step)
            self.step = self.saved_step = state.step
            self.tokens, self.seconds = state.counters["tokens"], state.counters["seconds"]
            self.loss = state.counters["loss"] if state.step else math.nan
            say(f"continuing after step {self.step} of {self.plan.steps}")
        self.run.cut_metrics(self.step)

    def save(self) -> None:
        """Write the state of the last step taken, once."""
        if self.saved_step != self.step:
            self._check_weights()
        if self.ranks.first and self.saved_step != self.step:
            counters = {
                "tokens": self.tokens,
                "seconds": self.seconds,
                "loss": self.loss,
                "data": self.plan.rows.digest(),
            }
            moments = optimizer_tensors(self.optimizer, self.parameters)
            state = State(step=self.step, model=self.parameters, optimizer=moments, counters=counters)
            save_state(self.run.checkpoints, state, self.loop.keep_checkpoints, last=self.saved_step)
        self.saved_step = self.step

    def train_step(self) -> None:
        """One optimiser step, measured."""
        started = time.perf_counter()
        number = self.step + 1
        items = batch_items(
            self.step, self.loop.batch_size, len(self.plan.rows), self.plan.seed, self.plan.limit
        )
        mine = np.array_split(items, self.ranks.size)[self.ranks.rank]
        samples = [self.plan.rows.sample(int(item)) for item in mine]
        weight, positions, num_targets = self.ranks.sum(_sums(samples), self.device)
        if weight == 0:
            raise StemmaError(f"step {number}: no token of the batch has a loss; look at the data")
        loss, nll = self._gradients(samples, Normaliser(weight, positions))
        self.ranks.sum_gradients(self.parameters.values())
        loss, nll = self.ranks.sum((loss, nll), self.device)
        norm = float(
            torch.nn.utils.get_total_norm([p.grad for p in self.parameters.values() if p.grad is not None])
        )
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise CheckFailed(
                f"step {number}: the loss is {loss} and the gradient norm {norm}; the state after step "
                f"{max(self.saved_step, 0)} is kept in {self.run.checkpoints}: lower the learning rate or look at the data"
            )
        rate = self._update(number, norm)
        elapsed = time.perf_counter() - started
        self.step, self.loss = number, loss
        self.tokens, self.seconds = self.tokens + int(positions), self.seconds + elapsed
        if number % self.loop.log_every == 0 or number == self.plan.steps:
            self.run.measure(
                kind="train",
                step=number,
                tokens=self.tokens,
                loss=loss,
                bits_per_byte=nll / num_targets / math.log(2) / self.plan.rows.bytes_per_target,
                learning_rate=rate,
                grad_norm=norm,
                tokens_per_second=round(positions / elapsed, 1),
                seconds=round(self.seconds, 3),
            )

    def validate(self) -> None:
        """Mean loss and bits per byte of each domain, on the same rows every time."""
        for domain, rows in self.plan.validation.items():
            count = min(len(rows), self.loop.validation_rows)
            nll = targets = 0.0
            mine = np.array_split(np.arange(count), self.ranks.size)[self.ranks.rank]
            for start in range(0, len(mine), self.loop.micro_batch_size):
                samples = [rows.sample(int(i)) for i in mine[start : start + self.loop.micro_batch_size]]
                with torch.no_grad():
                    parts = self._loss(make_batch(samples, self.device), Normaliser(1.0, 1.0))
                nll += float(parts.nll)
                targets += sum(s.num_targets for s in samples)
            nll, targets = self.ranks.sum((nll, targets), self.device)
            num_bytes = targets * rows.bytes_per_target
            self.run.measure(
                kind="validation",
                step=self.step,
                domain=domain,
                loss=nll / targets,
                bits_per_byte=nll / math.log(2) / num_bytes,
                tokens=int(targets),
                bytes=round(num_bytes),
            )

    def _check_weights(self) -> None:
        for name, parameter in self.parameters.items():
            if not bool(torch.isfinite(parameter).all()):
                raise CheckFailed(
                    f"step {self.step}: {name} is not finite after the update; the state after step "
                    f"{max(self.saved_step, 0)} is kept in {self.run.checkpoints}: lower the learning rate"
                )

    def _gradients(self, samples: Sequence[Sample], normaliser: Normaliser) -> tuple[float, float]:
        """Leave the gradient of the whole step's loss in `.grad`, micro-batch by micro-batch."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = nll = 0.0
        for start in range(0, len(samples), self.loop.micro_batch_size):
            batch = make_batch(samples[start : start + self.loop.micro_batch_size], self.device)
            parts = self._loss(batch, normaliser)
            parts.objective.backward()
            loss, nll = loss + float(parts.loss), nll + float(parts.nll)
        return loss, nll

    def _loss(self, batch: Batch, normaliser: Normaliser) -> LossParts:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.loop.precision == "bfloat16"):
            return batch_loss(self.model, batch, normaliser)

    def _update(self, number: int, norm: float) -> float:
        """Clip, step, and return the learning rate used."""
        s = self.settings
        rate = learning_rate(
            number,
            peak=s.learning_rate,
            warmup_steps=s.warmup_steps,
            steps=self.plan.steps,
            floor_ratio=s.floor_ratio,
        )
        torch.nn.utils.clip_grads_with_norm_(self.parameters.values(), s.clip_norm, torch.tensor(norm))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return rate


def batch_loss(model: Transformer, batch: Batch, normaliser: Normaliser) -> LossParts:
    """The loss of one micro-batch under the model and its own max-z weight."""
    hidden = model.hidden(
        batch.token_ids,
        position_ids=batch.position_ids,
        segment_ids=batch.segment_ids,
        prefix_lengths=batch.prefix_lengths,
    )
    weight = model.spec.head.max_z_weight
    return language_model_loss(
        hidden, model.head.matrix(), batch.targets, batch.weights, batch.real, normaliser, weight
    )


def fit(
    model: Transformer,
    plan: Plan,
    run: RunRecord,
    optimizer: OptimizerSettings,
    loop: LoopSettings,
    device: torch.device,
) -> FitResult:
    """Train `model` in place to step `plan.steps`, from the newest state in the run folder.

    Raises KeyboardInterrupt after SIGINT or SIGTERM, with the state saved; CheckFailed when a loss is not finite;
    StemmaError when the data is not what the state was trained on, or less than one batch.
    """
    check_sizes(plan, loop)
    keep_freed_memory()
    trainer = Trainer(model, plan, run, optimizer, loop, device)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
    with contextlib.closing(run), StopRequest() as stop:
        trainer.resume()
        quiet = contextlib.nullcontext(None)
        bar = Progress("train", plan.steps, start=trainer.step) if trainer.ranks.first else quiet
        with bar as progress:
            while trainer.step < plan.steps:
                trainer.train_step()
                _after_step(trainer, stop)
                if progress is not None:
                    rate = trainer.tokens / max(trainer.seconds, 1e-9)
                    progress.advance(status=f"loss {trainer.loss:.4f}, {rate:,.0f} tokens/s")
        trainer.ranks.wait()
    return FitResult(
        steps=trainer.step, tokens=trainer.tokens, seconds=round(trainer.seconds, 3), final_loss=trainer.loss
    )


def _after_step(trainer: Trainer, stop: StopRequest) -> None:
    loop, last = trainer.loop, trainer.step == trainer.plan.steps
    if last or trainer.step % loop.validate_every == 0:
        trainer.validate()
    if trainer.ranks.first and trainer.step in trainer.plan.after_step:
        trainer.plan.after_step[trainer.step]()
    stopping = trainer.ranks.sum((float(stop.asked),), trainer.device)[0] > 0
    if last or stopping or trainer.step % loop.checkpoint_every == 0:
        trainer.save()
    if stopping and not last:
        trainer.run.update(status="interrupted")
        raise KeyboardInterrupt


def _sums(samples: Sequence[Sample]) -> tuple[float, float, float]:
    weight = sum(float(s.weights.sum(dtype=np.float64)) for s in samples)
    positions = sum(int(np.count_nonzero(s.segment_ids)) for s in samples)
    return weight, float(positions), float(sum(s.num_targets for s in samples))


def check_sizes(plan: Plan, loop: LoopSettings) -> None:
    """Refuse data that does not fill a batch."""
    if len(plan.rows) == 0:
        raise StemmaError(
            f"the training data fills no row of {plan.rows.sequence_length} tokens; shorten data.sequence_length"
        )
    if loop.batch_size > len(plan.rows):
        raise StemmaError(
            f"train.batch_size is {loop.batch_size} and the data has {len(plan.rows)} rows; lower it or add data"
        )
