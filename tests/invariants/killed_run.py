"""Train one run whole, and one that is killed (SIGKILL) twenty times at random instants; print what came out.

A program of its own: its children are forks, which share one import of torch, and must be forked before any backward.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from conftest import VOCAB, train_run
from stemma.data.causal import CausalRows
from stemma.data.shards import Item, TokenShards, write_shards
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, RopeSpec, Spec
from stemma.train.checkpoints import State, newest_state

STEPS, KILLS = 60, 20


def spec() -> Spec:
    attention = AttentionSpec(num_heads=2, num_kv_heads=2, head_dim=8, position=RopeSpec())
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=32))
    head = HeadSpec(tie_embeddings=True)
    return Spec(vocab_size=VOCAB, hidden_size=16, num_layers=1, max_seq_len=64, blocks=(block,), head=head)


def import_all() -> None:
    """What the first training step imports, once for all forks."""
    import safetensors.torch  # noqa: F401

    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.zeros(2)
    torch.optim.AdamW([parameter], fused=True).step()


def child(folder: Path, rows: CausalRows) -> int:
    """Start the run in a fork."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            train_run(folder, spec(), rows, steps=STEPS, checkpoint_every=1, keep_checkpoints=2)
            code = 0
        finally:
            os._exit(code)
    return process


def finish(folder: Path, rows: CausalRows) -> float:
    started = time.monotonic()
    _, status = os.waitpid(child(folder, rows), 0)
    if status:
        sys.exit(f"{folder}: the run failed with status {status}")
    return time.monotonic() - started


def let_run(folder: Path, process: int, num_states: int) -> None:
    """Wait until the child has written `num_states` more states, or has ended. A slow machine only takes longer."""

    def newest() -> int:
        names = [path.name for path in (folder / "checkpoints").glob("step-*")]
        return max((int(name[5:]) for name in names), default=0)

    goal = newest() + num_states
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while newest() < goal and os.waitid(os.P_PID, process, ended) is None:
        time.sleep(0.0005)


def same(whole: State | None, killed: State | None) -> bool:
    assert whole is not None
    assert killed is not None
    pairs = ((whole.model, killed.model), (whole.optimizer, killed.optimizer))
    equal = all(a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in pairs)
    return equal and whole.step == killed.step == STEPS


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    draw = random.Random(2)
    items = [
        Item(token_ids=[*(draw.randrange(1, VOCAB) for _ in range(20)), 0], num_bytes=20) for _ in range(30)
    ]
    write_shards(folder / "tokens", items, key="tokens", vocab_size=VOCAB)
    rows = CausalRows(TokenShards(folder / "tokens"), 16)
    import_all()
    seconds = finish(folder / "whole", rows)
    runs, steps, kills = 1, [], 0
    while kills < KILLS:  # a run that gets through is followed by another one
        run = folder / f"killed-{runs}"
        process = child(run, rows)
        let_run(run, process, draw.randrange(5))
        time.sleep(draw.uniform(0.0, 2 * seconds / STEPS))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        kills += os.WIFSIGNALED(status)
        runs += not os.WIFSIGNALED(status)
        state = newest_state(run / "checkpoints")
        steps.append(state.step if state else 0)
    finish(folder / f"killed-{runs}", rows)
    whole = newest_state(folder / "whole" / "checkpoints")
    equal = [
        same(whole, newest_state(folder / f"killed-{run}" / "checkpoints")) for run in range(1, runs + 1)
    ]
    print(json.dumps({"kills": kills, "runs": runs, "steps_seen": steps, "same_weights": equal}))


main(Path(sys.argv[1]))
