"""Presence: who follows a task live. Of the moment, so it is not audited."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from serving.policy.audit import rfc3339
from serving.store.transaction import Reader, Row, Transaction

# Seen within it, somebody is present; the next sign of life comes well before.
PRESENT = timedelta(seconds=30)
BEAT = timedelta(seconds=10)
# A hand that has left the keys does not say so.
TYPING = timedelta(seconds=6)
_FORGOTTEN = timedelta(days=1)

_SEEN = """
INSERT INTO presence (task_id, who, role, doing, seen_at)
VALUES (:task_id, :who, :role, :doing, :seen_at)
ON CONFLICT (task_id, who) DO UPDATE SET role = excluded.role,
  doing = excluded.doing, seen_at = excluded.seen_at
"""
# What somebody is doing stays as they said it; a beat only says that they are there.
_BEAT = """
INSERT INTO presence (task_id, who, role, doing, seen_at)
VALUES (:task_id, :who, :role, '', :seen_at)
ON CONFLICT (task_id, who) DO UPDATE SET role = excluded.role, doing = '',
  seen_at = excluded.seen_at
WHERE presence.seen_at < :since
"""
_THERE = """
SELECT who, role, doing, seen_at FROM presence
WHERE task_id = :task_id AND seen_at > :since ORDER BY role, who
"""
_FORGET = "DELETE FROM presence WHERE seen_at < :since"


class Role(StrEnum):
    """In what part somebody follows a task."""

    USER = "user"
    PERSON = "person"
    AGENT = "agent"


class Doing(StrEnum):
    """What somebody is doing just now."""

    NOTHING = ""
    TYPING = "typing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Somebody who is there.

    Attributes
    ----------
    who : str
        Name, unique in the task.
    """

    who: str
    role: Role
    doing: Doing
    seen_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return what answers say of them."""
        return {
            "who": self.who,
            "role": str(self.role),
            "doing": str(self.doing),
            "seen_at": rfc3339(self.seen_at),
        }


def seen(tx: Transaction, task_id: str, present: Present) -> None:
    """Keep who is there, and what they do."""
    tx.run(_SEEN, task_id=task_id, **present.to_json())


def beat(tx: Transaction, there: Iterable[tuple[str, str, Role]], at: datetime) -> None:
    """Keep that all these are there: task, who, role. Forget those long gone.

    Who has said so within the last beat is left as they are.
    """
    now, since = rfc3339(at), rfc3339(at - BEAT + timedelta(seconds=1))
    tx.many(
        _BEAT,
        (
            {
                "task_id": task_id,
                "who": who,
                "role": str(role),
                "seen_at": now,
                "since": since,
            }
            for task_id, who, role in there
        ),
    )
    tx.run(_FORGET, since=rfc3339(at - _FORGOTTEN))


def there(reader: Reader, task_id: str, at: datetime) -> tuple[Present, ...]:
    """Return who is present at `at`: by role, then name."""
    rows = reader.all(_THERE, task_id=task_id, since=rfc3339(at - PRESENT))
    return tuple(_present(row, at) for row in rows)


def _present(row: Row, at: datetime) -> Present:
    seen_at = datetime.fromisoformat(row["seen_at"])
    doing = Doing(row["doing"]) if seen_at > at - TYPING else Doing.NOTHING
    return Present(who=row["who"], role=Role(row["role"]), doing=doing, seen_at=seen_at)
