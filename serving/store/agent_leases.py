"""Agent leases: agents that said they would go on beating, and until when they count.

A beat is no change of what anybody owns, and comes often: it leaves no record. That a
lease ran out does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from serving.policy.audit import rfc3339
from serving.policy.silence import MISSED_BEATS
from serving.store.transaction import Reader, Row, Transaction

_FIND = "SELECT * FROM agent_lease WHERE task_id = :task_id AND settled_at IS NULL"
_SET = """
INSERT INTO agent_lease (task_id, epoch, beat_s, due_at, settled_at)
VALUES (:task_id, :epoch, :beat_s, :due_at, NULL)
ON CONFLICT (task_id) DO UPDATE SET epoch = excluded.epoch, beat_s = excluded.beat_s,
  due_at = excluded.due_at, settled_at = NULL
"""
_SETTLE = """
UPDATE agent_lease SET settled_at = :at
WHERE task_id = :task_id AND settled_at IS NULL
"""
_DUE = """
SELECT * FROM agent_lease WHERE settled_at IS NULL AND due_at <= :at
ORDER BY due_at LIMIT :limit
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLease:
    """An agent that goes on beating.

    Attributes
    ----------
    epoch : int
        Under which it has the task.
    every : timedelta
        Between two beats.
    due_at : datetime
        When it counts as gone, unless it is heard of before.
    """

    task_id: str
    epoch: int
    every: timedelta
    due_at: datetime

    @classmethod
    def beaten(
        cls, task_id: str, epoch: int, every: timedelta, at: datetime
    ) -> AgentLease:
        """Return the lease of an agent that was heard of at `at`."""
        due_at = at + MISSED_BEATS * every
        return cls(task_id=task_id, epoch=epoch, every=every, due_at=due_at)

    @property
    def heard_at(self) -> datetime:
        """When the agent was heard of last."""
        return self.due_at - MISSED_BEATS * self.every

    def is_fresh(self, at: datetime) -> bool:
        """Whether the agent was heard of so lately that a beat would say nothing."""
        return at - self.heard_at < self.every / 2

    def write(self, tx: Transaction) -> None:
        """Write the row, in place of the task's earlier one."""
        tx.run(
            _SET,
            task_id=self.task_id,
            epoch=self.epoch,
            beat_s=self.every.total_seconds(),
            due_at=rfc3339(self.due_at),
        )


def find(reader: Reader, task_id: str) -> AgentLease | None:
    """Return the lease that counts for a task, or None."""
    row = reader.one(_FIND, task_id=task_id)
    return None if row is None else _lease(row)


def heard(tx: Transaction, task_id: str, at: datetime) -> None:
    """Take any call of the agent as a beat, if it goes on beating."""
    lease = find(tx, task_id)
    if lease is not None and not lease.is_fresh(at):
        AgentLease.beaten(task_id, lease.epoch, lease.every, at).write(tx)


def settle(tx: Transaction, task_id: str, at: datetime) -> None:
    """Have the agent of a task no longer be waited for."""
    tx.run(_SETTLE, task_id=task_id, at=rfc3339(at))


def due(reader: Reader, at: datetime, *, limit: int) -> Iterator[AgentLease]:
    """Yield the leases that have run out, the oldest first."""
    rows = reader.all(_DUE, at=rfc3339(at), limit=limit)
    return (_lease(row) for row in rows)


def _lease(row: Row) -> AgentLease:
    return AgentLease(
        task_id=row["task_id"],
        epoch=row["epoch"],
        every=timedelta(seconds=row["beat_s"]),
        due_at=datetime.fromisoformat(row["due_at"]),
    )
