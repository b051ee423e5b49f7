"""Router: who gets a handoff, by when, and how long that will take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from serving.policy.rules import Policy, Priority, Queue
from serving.policy.trigger import Decision, Facts, Load

__all__ = ["Destination", "Load", "choose", "is_open", "rung_up", "seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a handoff goes.

    Attributes
    ----------
    queue : str
        Where it waits.
    is_open : bool
        Whether somebody is there now.
    priority : Priority
        How soon a human must look.
    skills : tuple of str
        What that human must be able to do.
    acknowledge_by, resolve_by : datetime
        Deadlines, UTC.
    expected_wait : timedelta
        Until somebody takes it up.
    chain : tuple of str
        Queues that take over in turn when a deadline passes. Empty: this is the
        terminal rung, it waits here until somebody comes.
    """

    queue: str
    is_open: bool
    priority: Priority
    skills: tuple[str, ...]
    acknowledge_by: datetime
    resolve_by: datetime
    expected_wait: timedelta
    chain: tuple[str, ...]

    def is_late(self, at: datetime) -> bool:
        """Whether a handoff routed at `at` will miss its first deadline, as expected.

        More work than people shows here first; the decision stands all the same.
        """
        return at + self.expected_wait > self.acknowledge_by


def is_open(queue: Queue, at: datetime) -> bool:
    """Whether somebody is at `queue` at `at` (timezone-aware)."""
    return queue.hours.is_open(at)


def seen(load: Load, policy: Policy, at: datetime) -> Load:
    """Return `load` with the queues where somebody is at `at`, for `decide`."""
    there = frozenset(q.name for q in policy.queues if is_open(q, at))
    return Load(load.queues, there)


def _queueing(queue: Queue, load: Load) -> timedelta:
    """Return how long the next handoff waits while the queue is open.

    By Little's law W = L / rate: those who wait and this one, over the rate at which
    the people at work take them up. The age of the oldest is left out: it counts
    hours in which nobody was there.

    References
    ----------
    Little. "A Proof for the Queuing Formula: L = λW" (1961).
    """
    per_minute = queue.at_work / queue.minutes_per_handoff
    waits = (load.waiting(queue.name) + 1) / per_minute
    # To the whole second: nobody is told more, and a stored wait reads back the same.
    return timedelta(seconds=math.ceil(waits * 60))


def _at(
    queue: Queue,
    at: datetime,
    load: Load,
    *,
    priority: Priority,
    skills: tuple[str, ...],
    chain: tuple[str, ...],
) -> Destination:
    at = at.astimezone(UTC)
    opening = queue.hours.next_opening(at)
    # The clock of the deadlines stands still until somebody can keep them. A queue
    # that does not open within a year is told by its deadlines, which run at once.
    start = at if opening is None else opening
    return Destination(
        queue=queue.name,
        is_open=opening is not None and opening <= at,
        priority=priority,
        skills=skills,
        acknowledge_by=start + queue.acknowledge_within,
        resolve_by=start + queue.resolve_within,
        expected_wait=start - at + _queueing(queue, load),
        chain=chain,
    )


def choose(
    decision: Decision, facts: Facts, policy: Policy, load: Load, at: datetime
) -> Destination:
    """Return where `decision` sends the task at `at` (timezone-aware).

    The first route that takes it says which queue. If nobody is there now, the first
    open queue of its chain takes it at once; if none is open, it stays, and says so.
    """
    fired = {firing.trigger for firing in decision.firings}
    values = {**decision.inputs.values(), **facts.known()}
    route = policy.route(fired, policy.bind(values))
    rungs = policy.queue(route.queue).rungs
    place = next(
        (n for n, name in enumerate(rungs) if is_open(policy.queue(name), at)), 0
    )
    # A safe stop without a firing leaves the user with nobody: that is not normal.
    urgent = min(
        (firing.priority for firing in decision.firings),
        key=lambda priority: priority.rank,
        default=Priority.HIGH,
    )
    return _at(
        policy.queue(rungs[place]),
        at,
        load,
        priority=route.priority or urgent,
        skills=route.skills,
        chain=rungs[place + 1 :],
    )


def rung_up(
    chain: tuple[str, ...],
    policy: Policy,
    load: Load,
    at: datetime,
    *,
    priority: Priority,
    skills: tuple[str, ...],
) -> Destination | None:
    """Return where a handoff goes whose deadline passed; None: it is on the last rung.

    Queues where nobody is are passed over, but for the last: it is where a handoff
    stays in sight until somebody comes.

    Parameters
    ----------
    chain : tuple of str
        What is left of the handoff's chain.
    policy, load, at
        As for `choose`.
    priority, skills
        Of the handoff; they stay what they are.
    """
    if not chain:
        return None
    *between, last = range(len(chain))
    place = next((n for n in between if is_open(policy.queue(chain[n]), at)), last)
    return _at(
        policy.queue(chain[place]),
        at,
        load,
        priority=priority,
        skills=skills,
        chain=chain[place + 1 :],
    )
