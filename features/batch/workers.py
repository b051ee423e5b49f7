"""Work on all cores: the same function over many jobs, results in their order."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from typing import Self, TypeVar

import pyarrow as pa

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 2  # jobs per process that are under way or wait
# Of the GNU C library, malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_WORTH = 4  # jobs below which processes cost more time than they save


def cores() -> int:
    """Return how many processes can run at once here."""
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else (os.cpu_count() or 1)
    )


class Pool:
    """Processes of this machine, started when they are first worth it.

    Leave it (`with`) to end them.

    Parameters
    ----------
    processes : int
        How many there are; 1 works here, without starting any.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._started: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._started is not None:
            self._started.shutdown(cancel_futures=True)

    def run(
        self, work: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Iterator[Result]:
        """Yield `work(job)` for each job, in order.

        Parameters
        ----------
        work : Callable
            A function of a module: processes start anew and import it.
        """
        if self._processes <= 1 or len(jobs) < _WORTH:
            yield from map(work, jobs)
            return
        waiting: deque[Future[Result]] = deque()
        for job in jobs:
            waiting.append(self._executor().submit(work, job))
            if len(waiting) >= _AHEAD * self._processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _executor(self) -> ProcessPoolExecutor:
        if self._started is None:
            # Not forked: whoever calls may run threads, and a fork would leave them
            # half alive.
            context = multiprocessing.get_context("spawn")
            self._started = ProcessPoolExecutor(
                self._processes, mp_context=context, initializer=_begin
            )
        return self._started


def _begin() -> None:
    """Make a process ready that works for another one, and ends with it."""
    _keep_memory()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _keep_memory() -> None:
    """Keep what is freed for the next block, which will ask for just that much.

    Given back to the system and asked for again, it is cleared page by page: a third
    of a block's time.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError, OSError, TypeError):  # other C libraries
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, 1 << 30)
        mallopt(_MMAP_THRESHOLD, 1 << 25)


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
