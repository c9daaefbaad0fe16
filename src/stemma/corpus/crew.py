"""Tasks of a stage, carried out by this process, by worker processes, or by Ray; results come in the order of the tasks.

A task is a pure function of files, so it does not matter who runs it. Of several failures the first in order is raised,
whatever came to light first.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, Self

from stemma.corpus.files import InputFile
from stemma.errors import StemmaError

Engine = Literal["processes", "ray"]


_WORTH_A_PROCESS = 8 << 20  # bytes on disk; starting one takes as long as a few megabytes of work


def default_workers(files: Sequence[InputFile]) -> int:
    """As many as there are processors for this process, but no more than the input keeps busy."""
    size = sum(file.path.stat().st_size for file in files)
    return min(len(os.sched_getaffinity(0)), 1 + size // _WORTH_A_PROCESS)


class Crew(Protocol):
    """Who carries out tasks. A context manager."""

    def run(self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """`function(*task)` for each task, in order; a few tasks are under way at once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def crew(num_workers: int = 1, engine: Engine = "processes") -> Crew:
    """One worker is this process. Raises StemmaError when the engine is not installed."""
    if engine == "ray":
        return _Ray(num_workers)
    return _Alone() if num_workers == 1 else _Processes(num_workers)


class _Alone:
    def run(self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        for task in tasks:
            yield function(*task)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Processes:
    def __init__(self, num_workers: int) -> None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        self._window = num_workers + 2  # tasks handed over; more would only hold memory
        # Spawned: a forked child would inherit the locks of Arrow's threads.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(num_workers, context, _leave_with_parent)

    def run(self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        from concurrent.futures.process import BrokenProcessPool

        waiting: deque[Any] = deque()
        try:
            for task in tasks:
                waiting.append(self._pool.submit(function, *task))
                if len(waiting) >= self._window:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise StemmaError(
                "a worker process was ended from outside, for want of memory perhaps, or could not start; the same "
                "command goes on where it stopped, and with fewer workers it needs less memory"
            ) from None
        finally:
            for future in waiting:
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for tasks for ever."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Ray:
    def __init__(self, num_workers: int) -> None:
        try:
            import ray  # pyright: ignore[reportMissingImports]  # an extra of its own
        except ImportError:
            raise StemmaError("the engine ray needs the package ray: pip install 'stemma-llm[ray]'") from None
        self._ray, self._started = ray, not ray.is_initialized()
        if self._started:
            address = os.environ.get("RAY_ADDRESS")
            cpus = {} if address else {"num_cpus": num_workers}
            ray.init(address=address, log_to_driver=False, include_dashboard=False, **cpus)
        self._window = 2 * int(ray.cluster_resources().get("CPU", 1)) + 2

    def run(self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        remote = self._ray.remote(function)
        waiting: deque[Any] = deque()
        for task in tasks:
            waiting.append(remote.remote(*task))
            if len(waiting) >= self._window:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            self._ray.shutdown()
