"""Loads: what there is to do at each queue, and how long it will take."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from serving.engine import memory
from serving.policy import router
from serving.policy.attendance import next_absences
from serving.policy.audit import rfc3339
from serving.policy.rules import Policy, Queue
from serving.policy.trigger import Load
from serving.store.transaction import Reader

_OVERDUE = """
SELECT queue, count(*) AS overdue FROM handoff
WHERE (status = 'QUEUED' AND (climbs > 0 OR acknowledge_by <= :at))
  OR (status IN ('QUEUED', 'CLAIMED') AND resolve_by <= :at)
GROUP BY queue
"""
# A handoff is closed when its last deadline is settled.
_CLOSED = """
SELECT h.queue, count(*) AS closed FROM timer AS t
JOIN handoff AS h ON h.handoff_id = t.handoff_id
WHERE t.kind = 'resolve' AND t.settled_at > :since AND t.settled_at <= :at
GROUP BY h.queue
"""
_LOOKED_BACK = timedelta(hours=24)

Json = dict[str, Any]


def queues(reader: Reader, policy: Policy, at: datetime) -> Json:
    """Return every queue with who is there, what waits, and for how long."""
    waiting = memory.ages(memory.waiting(reader), at)
    load = Load(waiting, claimed=memory.claimed(reader))
    overdue = {r["queue"]: r["overdue"] for r in reader.all(_OVERDUE, at=rfc3339(at))}
    span = {"since": rfc3339(at - _LOOKED_BACK), "at": rfc3339(at)}
    closed = {row["queue"]: row["closed"] for row in reader.all(_CLOSED, **span)}
    absent = next_absences(policy, at)
    return {
        "queues": [
            {
                **_queue(queue, load, at),
                "overdue": overdue.get(queue.name, 0),
                "closed_per_hour": _per_hour(closed.get(queue.name, 0)),
                "absent_from": _sent(absent[queue.name]),
            }
            for queue in policy.queues
        ]
    }


def _per_hour(closed: int) -> float:
    return round(closed / (_LOOKED_BACK / timedelta(hours=1)), 2)


def _sent(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _queue(queue: Queue, load: Load, at: datetime) -> Json:
    waiting, oldest = load.queues.get(queue.name, (0, 0.0))
    return {
        "queue": queue.name,
        "owner": queue.owner,
        "members": list(queue.members),
        "is_open": router.is_open(queue, at),
        "unattended": queue.unattended,
        "waiting": waiting,
        "claimed": load.claimed.get(queue.name, 0),
        "capacity": queue.capacity,
        "expected_wait_s": router.expected_wait(queue, load, at).total_seconds(),
        "oldest_s": oldest,
        "acknowledge_within_s": queue.acknowledge_within.total_seconds(),
        "resolve_within_s": queue.resolve_within.total_seconds(),
        "chain": list(queue.chain),
    }
