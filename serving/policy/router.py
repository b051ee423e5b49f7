"""Router: who gets a handoff, by when, and how long that will take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from serving.policy.hours import HORIZON
from serving.policy.queue import OnOverload
from serving.policy.rules import Policy, Priority, Queue
from serving.policy.shed import Shed
from serving.policy.trigger import Decision, Facts, Load

__all__ = [
    "Asked",
    "Destination",
    "Load",
    "choose",
    "expected_wait",
    "first",
    "is_attended",
    "is_open",
    "place",
    "seen",
    "wait_at",
    "wake_at",
]


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
    rungs : tuple of str
        All queues that answer for it, the first one first.
    wake_at : datetime, optional
        When it must be looked at again (`wake_at`).
    shed : Shed, optional
        Where it would have gone but for too much work there.
    """

    queue: str
    is_open: bool
    priority: Priority
    skills: tuple[str, ...]
    acknowledge_by: datetime
    resolve_by: datetime
    expected_wait: timedelta
    chain: tuple[str, ...]
    rungs: tuple[str, ...] = ()
    wake_at: datetime | None = None
    shed: Shed | None = None

    def is_late(self, at: datetime) -> bool:
        """Whether a handoff routed at `at` will miss its first deadline, as expected.

        More work than people shows here first; the decision stands all the same.
        """
        return at + self.expected_wait > self.acknowledge_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A handoff that looks for its place: what it needs, of which queues, and when."""

    priority: Priority
    skills: tuple[str, ...]
    rungs: tuple[str, ...]
    load: Load
    at: datetime


def is_open(queue: Queue, at: datetime) -> bool:
    """Whether somebody is at `queue` at `at` (timezone-aware)."""
    return queue.hours.is_open(at)


def is_attended(name: str, policy: Policy, at: datetime) -> bool:
    """Whether `policy` has a queue called `name`, and somebody is there at `at`."""
    queue = policy.find(name)
    return queue is not None and is_open(queue, at)


def seen(load: Load, policy: Policy, at: datetime) -> Load:
    """Return `load` with the queues where somebody is at `at`, for `decide`."""
    there = frozenset(q.name for q in policy.queues if is_open(q, at))
    return Load(load.queues, there, load.claimed)


# --- how long ----------------------------------------------------------------


def _queueing(queue: Queue, ahead: int, skills: Sequence[str]) -> timedelta:
    """Return how long the next handoff waits while the queue is open.

    By Little's law W = L / rate: those `ahead` and this one, over the rate at which the
    people at work who can take it up get through them. That rate is the policy's, not
    the measured one: what a queue has closed lately says how much came, too, so that a
    quiet queue would look slow. The age of the oldest is left out: it counts hours in
    which nobody was there.

    References
    ----------
    Little. "A Proof for the Queuing Formula: L = λW" (1961).
    """
    people = min(queue.at_work, len(queue.able(skills)) or queue.at_work)
    waits = (ahead + 1) * queue.minutes_per_handoff / people
    # To the whole second: nobody is told more, and a stored wait reads back the same.
    return timedelta(seconds=math.ceil(waits * 60))


def wait_at(queue: Queue, at: datetime, *, ahead: int) -> timedelta | None:
    """Return how long a handoff waits at `queue` from `at` on, with `ahead` before it.

    None where the queue does not open within a year.
    """
    opening = queue.hours.next_opening(at)
    return None if opening is None else opening - at + _queueing(queue, ahead, ())


def expected_wait(
    queue: Queue, load: Load, at: datetime, skills: Sequence[str] = ()
) -> timedelta:
    """Return how long the next handoff that needs `skills` waits at `queue`.

    What waits and what is being worked on there is ahead of it. A queue that does not
    open within a year is said to open after one.
    """
    opening = queue.hours.next_opening(at)
    closed = HORIZON if opening is None else opening - at
    ahead = load.waiting(queue.name) + load.claimed.get(queue.name, 0)
    return closed + _queueing(queue, ahead, skills)


def wake_at(
    queue: str,
    rungs: Sequence[str],
    policy: Policy,
    acknowledge_by: datetime,
    at: datetime,
) -> datetime:
    """Return when a handoff that waits at `queue` must be looked at again, UTC.

    At its first deadline; earlier, if the queue closes before, for then nobody is there
    to keep it; or, while it is closed, if another of its `rungs` opens before.
    """
    if is_attended(queue, policy, at):
        return policy.queue(queue).hours.open_until(at, acknowledge_by)
    others = (policy.find(name) for name in rungs if name != queue)
    openings = (q.hours.next_opening(at) for q in others if q is not None)
    first = min((o for o in openings if o is not None), default=acknowledge_by)
    return min(first, acknowledge_by).astimezone(UTC)


# --- where -------------------------------------------------------------------


def place(name: str, asked: Asked, policy: Policy) -> Destination:
    """Return what is asked at the queue called `name`, one of its rungs."""
    queue, at = policy.queue(name), asked.at.astimezone(UTC)
    opening = queue.hours.next_opening(at)
    # The clock of the deadlines stands still until somebody can keep them. A queue
    # that does not open within a year is told by its deadlines, which run at once.
    start = at if opening is None else opening
    acknowledge_by = start + queue.acknowledge_within
    return Destination(
        queue=name,
        is_open=opening is not None and opening <= at,
        priority=asked.priority,
        skills=asked.skills,
        acknowledge_by=acknowledge_by,
        resolve_by=start + queue.resolve_within,
        expected_wait=expected_wait(queue, asked.load, at, asked.skills),
        chain=asked.rungs[asked.rungs.index(name) + 1 :],
        rungs=asked.rungs,
        wake_at=wake_at(name, asked.rungs, policy, acknowledge_by, at),
    )


def first(names: Sequence[str], asked: Asked, policy: Policy) -> str | None:
    """Return the first of `names` where somebody is, at best who has the skills."""
    there = [name for name in names if is_open(policy.queue(name), asked.at)]
    able = (name for name in there if policy.queue(name).able(asked.skills))
    return next(able, next(iter(there), None))


def _has_room(there: Destination, asked: Asked, policy: Policy) -> bool:
    queue = policy.queue(there.queue)
    is_full = (
        queue.capacity is not None and asked.load.waiting(queue.name) >= queue.capacity
    )
    return not is_full and not there.is_late(asked.at)


def _shed(there: Destination, asked: Asked, policy: Policy) -> Destination:
    """Return the first place up the chain with room, if `there` has none and sheds."""
    queue = policy.queue(there.queue)
    sheds = there.is_open and queue.on_overload is OnOverload.SHED
    if not sheds or _has_room(there, asked, policy):
        return there
    for name in there.chain:
        other = place(name, asked, policy)
        fits = other.is_open and policy.queue(name).able(asked.skills)
        # What is urgent goes nowhere where it would wait longer.
        slower = other.expected_wait >= there.expected_wait
        urgent = asked.priority is Priority.URGENT
        if fits and _has_room(other, asked, policy) and not (urgent and slower):
            shed = Shed(
                queue=there.queue,
                waiting=asked.load.waiting(there.queue),
                wait=there.expected_wait,
            )
            return replace(other, shed=shed)
    return there


def choose(
    decision: Decision, facts: Facts, policy: Policy, load: Load, at: datetime
) -> Destination:
    """Return where `decision` sends the task at `at` (timezone-aware).

    The first route that takes it says which queue. If nobody is there now, or nobody
    with the skills, the first open queue of its chain takes it at once; if none is
    open, it stays, and says so. One that has more work than people passes it on, if
    the policy says so and another has room; else it waits, and the wait is told.
    """
    fired = {firing.trigger for firing in decision.firings}
    values = {**decision.inputs.values(), **facts.known()}
    route = policy.route(fired, policy.bind(values))
    # A safe stop without a firing leaves the user with nobody: that is not normal.
    urgent = min(
        (firing.priority for firing in decision.firings),
        key=lambda priority: priority.rank,
        default=Priority.HIGH,
    )
    rungs = policy.rungs(route.queue)
    asked = Asked(
        priority=route.priority or urgent,
        skills=route.skills,
        rungs=rungs,
        load=load,
        at=at,
    )
    name = first(rungs, asked, policy)
    if name is None:
        able = (rung for rung in rungs if policy.queue(rung).able(route.skills))
        name = next(able, rungs[0])
    return _shed(place(name, asked, policy), asked, policy)
