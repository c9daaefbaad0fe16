"""TensorBoard is optional: absent it costs nothing, present it gets every number of the metrics."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from stemma.train.record import RunRecord


class _Writer:
    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.scalars: list[tuple[str, float, int]] = []
        self.closed = False
        opened.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.closed = True


opened: list[_Writer] = []


def _record(folder: Path) -> None:
    run = RunRecord(folder)
    run.cut_metrics(4)
    run.measure(kind="train", step=5, loss=1.5)
    run.measure(kind="validation", step=5, domain="zh", loss=2.0)
    run.close()


def test_every_number_goes_to_the_board_and_a_resumed_run_purges_what_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = _Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    opened.clear()
    _record(tmp_path)
    [writer] = opened
    assert (writer.folder, writer.purge_step, writer.closed) == (str(tmp_path / "tensorboard"), 5, True)
    assert writer.scalars == [("train/loss", 1.5, 5), ("validation/zh/loss", 2.0, 5)]


def test_without_tensorboard_the_metrics_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    _record(tmp_path)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "tensorboard").exists()
