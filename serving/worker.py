"""The worker: what has to happen without anybody calling.

Deadlines pass, outside channels are told, what is wrong is repaired or said. Each is a
round of its own. With the embedded store the rounds run beside the service, in its one
process; with PostgreSQL in as many processes, on as many hosts, as one likes: what they
share they take from the store, each piece by one of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from serving.engine import Engine
from serving.rounds import Rounds


def rounds_of(engine: Engine, *, monitor_seconds: float) -> tuple[Rounds, ...]:
    """Return every round there is over `engine`, none begun.

    Parameters
    ----------
    monitor_seconds : float
        Time between two looks of the monitors, in s; 0: they do not run here.
    """
    clock = engine.ways.clock
    found: list[Rounds] = []
    if monitor_seconds > 0:
        look = engine.monitors.watcher.look
        found.append(Rounds("monitors", look, every=monitor_seconds, clock=clock))
    return tuple(found)


@contextlib.contextmanager
def running(rounds: tuple[Rounds, ...]) -> Iterator[None]:
    """Have `rounds` go on inside this context; at its end each ends its last one."""
    with contextlib.ExitStack() as stack:
        for one in rounds:
            stack.enter_context(contextlib.closing(one))
            one.start()
        yield
