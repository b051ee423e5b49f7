"""Work on all cores: the same function over many jobs, results in their order."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 2  # jobs per process that are under way or wait


def cores() -> int:
    """Return how many processes can run at once here."""
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else (os.cpu_count() or 1)
    )


def mapped(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, processes: int
) -> Iterator[Result]:
    """Yield `work(job)` for each job, in order.

    Parameters
    ----------
    work : Callable
        A function of a module: processes start anew and import it.
    processes : int
        1 works here, without starting any.
    """
    if processes <= 1:
        yield from map(work, jobs)
        return
    # Not forked: whoever calls may run threads, which a fork would leave half alive.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_stay)
    try:
        waiting: deque[Future[Result]] = deque()
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _stay() -> None:
    """End this process when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
