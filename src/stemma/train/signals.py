"""SIGINT and SIGTERM as a request to stop after the step in progress; a second one stops at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from stemma.progress import say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, `asked` tells whether a signal came. Python takes signals in the main thread only."""

    def __init__(self) -> None:
        self.asked = False
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = [signal.signal(number, self._ask) for number in _SIGNALS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in zip(_SIGNALS, self._before, strict=False):
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("stopping after this step; the same command continues")
