"""TensorBoard, where it is installed: the numbers of metrics.jsonl once more, under `tensorboard/` of the run folder."""

from pathlib import Path
from typing import Any


class Board:
    """Writes every number of a metrics line as a scalar; a resumed run's later points are purged first."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def measure(self, line: dict[str, Any]) -> None:
        """Add the numbers of one line of metrics under `KIND/[DOMAIN/]NAME`."""
        parts = [str(line[key]) for key in ("kind", "domain") if key in line]
        for name, value in line.items():
            if name not in ("kind", "domain", "step"):
                self._writer.add_scalar("/".join([*parts, name]), value, line["step"])

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


def open_board(run_folder: Path, step: int) -> Board | None:
    """A board that goes on after `step`, or None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # pyright: ignore[reportPrivateImportUsage]
    except ImportError:
        return None
    return Board(SummaryWriter(str(run_folder / "tensorboard"), purge_step=step + 1))
