"""Attendance: the proof that somebody is there, or that it was said nobody would be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta

from serving.policy.advice import LOOKED_AHEAD
from serving.policy.hours import first_gap
from serving.policy.queue import Queue
from serving.policy.rules import Policy, PolicyError


def first_absence(
    policy: Policy, queue: str, start: datetime, *, ahead: timedelta = LOOKED_AHEAD
) -> tuple[datetime, datetime] | None:
    """Return when, from `start` on, nobody is first there for `queue`; None: never.

    Nobody is there while the queue is closed and so is all that takes over for it. In
    UTC; looked `ahead` so far, and exact.
    """
    rungs = [policy.queue(name).hours for name in policy.rungs(queue)]
    return first_gap(rungs, start, start + ahead)


def absences(policy: Policy, start: datetime) -> Iterator[str]:
    """Yield a sentence for each queue that a route leads to and that breaks its word.

    It must have somebody on its rungs at every moment of 14 days from `start` on, or
    be declared `unattended`.
    """
    for name in dict.fromkeys(route.queue for route in policy.routes):
        queue = policy.queue(name)
        gap = first_absence(policy, name, start)
        if gap is not None and not queue.unattended:
            yield _told(queue, policy, gap)


def _told(queue: Queue, policy: Policy, gap: tuple[datetime, datetime]) -> str:
    begin, end = (queue.hours.local(at) for at in gap)
    return (
        f"queue {queue.name!r}: nobody is there from {begin:%a %Y-%m-%d %H:%M} to "
        f"{end:%a %Y-%m-%d %H:%M} ({queue.hours.timezone}), neither at it nor at what "
        f"takes over ({', '.join(policy.rungs(queue.name)[1:]) or 'nothing does'}); "
        "put a queue that is open then on its chain, name one as `fallback_queue`, or "
        "declare it `unattended: true`: then agents are stopped safely meanwhile"
    )


def attended(policy: Policy, today: date) -> Policy:
    """Return `policy`, if somebody is there at every moment of 14 days from `today` on.

    Raises
    ------
    PolicyError
        If it leads to a queue where nobody is, undeclared; names each one's first gap.
    """
    found = tuple(absences(policy, datetime.combine(today, time(0), UTC)))
    if found:
        raise PolicyError(found)
    return policy


def next_absences(policy: Policy, at: datetime) -> Mapping[str, datetime | None]:
    """Return from when on nobody is there for each queue, within 14 days of `at`."""
    gaps = {q.name: first_absence(policy, q.name, at) for q in policy.queues}
    return {name: None if gap is None else gap[0] for name, gap in gaps.items()}
