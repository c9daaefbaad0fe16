"""The bytes of a cleaning depend on the input and the settings alone: not on who works, nor on how often it is killed."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cleaning_corpus import SETTINGS, contents, write_corpus

from stemma.corpus.clean import WaitingForRanksError, clean


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def alone(corpus: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes of it."""
    out = tmp_path_factory.mktemp("alone") / "out"
    summary = clean(corpus, out, SETTINGS)
    assert len(list((out / "documents").iterdir())) >= 4
    assert summary.by_rule["exact_duplicate"] > 50
    assert summary.by_rule["near_duplicate"] > 50
    assert summary.bad_records == {"not JSON": 2}
    return contents(out)


def test_two_worker_processes_write_the_same_bytes(
    corpus: list[Path], alone: dict[str, bytes], tmp_path: Path
) -> None:
    clean(corpus, tmp_path / "out", SETTINGS, num_workers=2)
    assert contents(tmp_path / "out") == alone


def test_two_ranks_at_once_write_the_same_bytes(
    corpus: list[Path], alone: dict[str, bytes], tmp_path: Path
) -> None:
    program = "import sys; from stemma.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "clean", *map(str, corpus), "--out", str(tmp_path / "out")]
    command += [
        "--workers",
        "1",
        "--part-megabytes",
        "1",
        "--on-error",
        "skip",
        "--world-size",
        "2",
        "--rank",
    ]
    ranks = [subprocess.Popen([*command, rank], stderr=subprocess.PIPE) for rank in "01"]
    assert [rank.communicate()[1] and rank.returncode for rank in ranks] == [0, 0]
    assert contents(tmp_path / "out") == alone


@pytest.mark.parametrize("world_size", [2, 5])
def test_ranks_one_after_the_other_write_the_same_bytes(
    corpus: list[Path], alone: dict[str, bytes], tmp_path: Path, world_size: int
) -> None:
    calls = 0
    while not (tmp_path / "out").exists():
        for rank in range(world_size):
            calls += 1
            try:
                clean(corpus, tmp_path / "out", SETTINGS, rank=rank, world_size=world_size, wait=False)
            except WaitingForRanksError:
                continue
    assert calls > world_size  # there was something to wait for
    assert contents(tmp_path / "out") == alone


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_ray_writes_the_same_bytes(corpus: list[Path], alone: dict[str, bytes], tmp_path: Path) -> None:
    clean(corpus, tmp_path / "out", SETTINGS, num_workers=2, engine="ray")
    assert contents(tmp_path / "out") == alone


def test_twenty_kills_at_any_instant_change_nothing(tmp_path: Path) -> None:
    program = Path(__file__).with_name("killed_cleaning.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(program.parent)])}
    run = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["kills"] == 20
    assert result["same_bytes"]
    assert all(result["same_bytes"])
    assert result["left"] == []
    assert len(set(result["files_seen"])) >= 5  # the kills fell at different places
