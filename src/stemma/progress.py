"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

_PLAIN_SECONDS = 15.0


class Progress:
    """A bar with a free-text status, used as a context manager; `advance` is cheap enough for every step."""

    def __init__(self, label: str, total: int | None, *, start: int = 0) -> None:
        self.label, self.total, self.done, self.status = label, total, start, ""
        self._bar: Any = None
        self._next_line = 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[status]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._bar.add_task(self.label, total=self.total, completed=self.done, status="")
        self._next_line = time.monotonic() + _PLAIN_SECONDS
        return self

    def advance(self, amount: int = 1, status: str = "") -> None:
        """Count `amount` more units done and show `status` beside the bar."""
        self.done += amount
        self.status = status or self.status
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, status=self.status)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _PLAIN_SECONDS
            self._line()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._line()

    def _line(self) -> None:
        share = f"{self.done}/{self.total}" if self.total else str(self.done)
        print(f"{self.label}: {share} {self.status}".rstrip(), file=sys.stderr, flush=True)


def say(text: str = "") -> None:
    """Talk to the user: stderr, so that stdout stays data."""
    print(text, file=sys.stderr, flush=True)
