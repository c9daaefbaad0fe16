"""A run that was stopped and continued is, bit for bit, the run that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

STEPS = 6


class Interrupting:
    """Rows that send this process a signal when the `after`-th sample is drawn."""

    def __init__(self, rows, after: int) -> None:
        self.rows, self.after, self.sequence_length = rows, after, rows.sequence_length
        self.bytes_per_target, self.digest = rows.bytes_per_target, rows.digest

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, row: int):
        self.after -= 1
        if self.after == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.rows.sample(row)


def measured(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(na == nb and torch.equal(ta, tb) for (na, ta), (nb, tb) in pairs)


def test_a_run_stopped_at_any_step_ends_as_if_it_had_not_been(tmp_path, spec, documents, train):
    whole = train(tmp_path / "whole", spec, documents, steps=STEPS)
    for step in range(1, STEPS):
        folder = tmp_path / f"stopped-{step}"
        with pytest.raises(KeyboardInterrupt):
            train(folder, spec, Interrupting(documents, 4 * step - 1), steps=STEPS)
        assert [line["step"] for line in measured(folder)] == list(range(1, step + 1))
        resumed = train(folder, spec, documents, steps=STEPS)
        assert same_weights(resumed, whole)
        assert measured(folder) == measured(tmp_path / "whole")


def test_the_comparison_sees_one_step_left_out(tmp_path, spec, documents, train):
    whole = train(tmp_path / "whole", spec, documents, steps=STEPS)
    shorter = train(tmp_path / "shorter", spec, documents, steps=STEPS - 1)
    assert not same_weights(shorter, whole)


@pytest.mark.slow
def test_twenty_kills_lose_and_change_nothing(tmp_path):
    program = Path(__file__).with_name("killed_run.py")
    done = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 20
    assert len(set(found["steps_seen"])) > 3, "the kills all came at the same place"
    assert all(found["same_weights"])
    for run in range(1, found["runs"] + 1):
        assert measured(tmp_path / f"killed-{run}") == measured(tmp_path / "whole")


@pytest.mark.slow
def test_two_ranks_train_what_one_process_trains(tmp_path):
    program = Path(__file__).with_name("ranks_run.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for command in ([*torchrun, program, tmp_path / "two"], [sys.executable, program, tmp_path / "one"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / name / "gradient.pt", weights_only=True) for name in ("one", "two"))
    difference = float((two["gradient"] - one["gradient"]).norm() / one["gradient"].norm())
    weights = float((two["weights"] - one["weights"]).norm() / one["weights"].norm())
    print(f"relative difference {difference:.2e} of gradients, {weights:.2e} of weights")
    assert difference < 1e-6
    assert weights < 1e-5  # Adam divides by small moments
    losses = [[line["loss"] for line in measured(tmp_path / name)] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
