"""The worker: what has to happen without anybody calling.

Deadlines pass, outside channels are told, what is wrong is repaired or said. Each is a
round of its own. With the embedded store the rounds run beside the service, in its one
process; with PostgreSQL in as many processes, on as many hosts, as one likes: what they
share they take from the store, each piece by one of them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Iterator

from serving.channels.config import Channels
from serving.channels.courier import Courier
from serving.channels.heartbeat import Heartbeat
from serving.engine import Engine, auditor, duties
from serving.engine.forgetting import Forgetting
from serving.rounds import Rounds, last_good
from serving.safely import attempt
from serving.store import workers

HOUR = 3600.0
BEAT_EVERY = 10.0
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def at_work(
    engine: Engine,
    channels: Channels,
    *,
    monitor_seconds: float,
    heartbeat_url: str | None = None,
) -> Iterator[str]:
    """Have every round over `engine` go on inside this context; yield who works.

    At its end each round ends its last one, and what is being sent is seen through.

    Parameters
    ----------
    channels : Channels
        Where handoffs are told.
    monitor_seconds, heartbeat_url
        As in `rounds_of`.
    """
    name = worker_name()
    clock = engine.ways.clock
    courier = Courier(engine.deliveries, channels, worker=name, clock=clock)
    rounds = (
        *rounds_of(
            engine, monitor_seconds=monitor_seconds, heartbeat_url=heartbeat_url
        ),
        *courier.rounds(),
    )
    beat = _beat(engine, name, rounds)
    _log.info("worker %s begins", name, extra={"action": "worker_begun"})
    with contextlib.closing(courier), running((*rounds, beat)):
        yield name
    attempt(lambda: engine.ways.do(lambda tx: workers.gone(tx, name)))
    _log.info("worker %s has ended", name, extra={"action": "worker_ended"})


def worker_name() -> str:
    """Return a name for this worker that no other has: host, process, and a draw."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _beat(engine: Engine, name: str, rounds: tuple[Rounds, ...]) -> Rounds:
    """Return the round that says that this worker lives, and how its rounds do."""
    ways, started_at = engine.ways, engine.ways.clock()

    def beat() -> None:
        ends, now = last_good(rounds), ways.clock()
        ways.do(lambda tx: workers.beat(tx, name, ends, started_at=started_at, now=now))

    return Rounds("beat", beat, every=BEAT_EVERY, clock=ways.clock, at_once=True)


def rounds_of(
    engine: Engine, *, monitor_seconds: float, heartbeat_url: str | None = None
) -> tuple[Rounds, ...]:
    """Return every round there is over `engine`, none begun.

    Parameters
    ----------
    monitor_seconds : float
        Time between two looks of the monitors, in s; 0: they do not run here.
    heartbeat_url : str, optional
        Called after each round of the auditor in which all was well.
    """
    clock = engine.ways.clock
    found: list[Rounds] = []
    if monitor_seconds > 0:
        look = engine.monitors.watcher.look
        found.append(Rounds("monitors", look, every=monitor_seconds, clock=clock))
    work = engine.duties
    every = duties.EVERY.total_seconds()
    found.append(Rounds("duties", work.run, every=every, clock=clock, at_once=True))
    every = duties.LOOK_AHEAD_EVERY.total_seconds()
    found.append(Rounds("attendance", work.look_ahead, every=every, clock=clock))
    check = engine.auditor.check
    beat = check if heartbeat_url is None else Heartbeat(heartbeat_url).after(check)
    every = auditor.EVERY.total_seconds()
    found.append(Rounds(auditor.NAME, beat, every=every, clock=clock, at_once=True))
    agents, keys = engine.agents.run, Forgetting(engine.ways).run
    found.append(Rounds("agents", agents, every=1.0, clock=clock))
    found.append(Rounds("keys", keys, every=600.0, clock=clock))
    sweep = engine.attachments.sweep
    found.append(Rounds("attachments", sweep, every=HOUR, clock=clock))
    return tuple(found)


@contextlib.contextmanager
def running(rounds: tuple[Rounds, ...]) -> Iterator[None]:
    """Have `rounds` go on inside this context; at its end each ends its last one."""
    with contextlib.ExitStack() as stack:
        for one in rounds:
            stack.enter_context(contextlib.closing(one))
            one.start()
        yield
