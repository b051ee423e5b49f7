"""Notices: the one message of each handover to the user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from serving.policy.audit import AuditType, rfc3339
from serving.policy.handoff import Handoff
from serving.store import ledger
from serving.store.transaction import Reader, Row, Transaction

_ADD = """
INSERT INTO notice (handoff_id, message_id, text, wait_s, said_at, audit_seq)
VALUES (:handoff_id, :message_id, :text, :wait_s, :said_at, :audit_seq)
"""
_FIND = "SELECT * FROM notice WHERE handoff_id = :handoff_id"
_OF_TASK = """
SELECT notice.* FROM notice JOIN handoff ON handoff.handoff_id = notice.handoff_id
WHERE handoff.task_id = :task_id AND notice.message_id = :message_id
"""
_SHOW = """
UPDATE notice SET shown_at = :shown_at, audit_seq = :audit_seq
WHERE handoff_id = :handoff_id AND shown_at IS NULL
"""
# Those of its queue that are being worked on, or that a person will find above it.
_AHEAD = """
SELECT count(*) AS ahead FROM handoff WHERE queue = :queue AND (
  status = 'CLAIMED' OR (status = 'QUEUED' AND (
    urgency < :urgency OR (urgency = :urgency AND queued_at < :queued_at)
  ))
)
"""


class Shown(StrEnum):
    """Whether the user has seen the message."""

    PENDING = "pending"
    SHOWN = "shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What the user is told at a handover; shown once, under its id.

    Attributes
    ----------
    wait : timedelta or None
        Until somebody takes it up, as it was promised; None: nothing was.
    handoff_id : str
        Of the handover; empty until it is stored.
    said_at, shown_at : datetime or None
        When it was made, and when the host application said that the user saw it.
    """

    message_id: str
    text: str
    wait: timedelta | None = None
    handoff_id: str = ""
    said_at: datetime | None = None
    shown_at: datetime | None = None

    @property
    def state(self) -> Shown:
        """Whether the user has seen it."""
        return Shown.PENDING if self.shown_at is None else Shown.SHOWN

    def audited(self) -> dict[str, Any]:
        """Return what the record of its handover says of it."""
        wait = None if self.wait is None else round(self.wait.total_seconds() * 1_000)
        return {"notice": {"message": self.message_id, "wait_ms": wait}}

    def add(
        self, tx: Transaction, handoff_id: str, at: datetime, *, audit_seq: int
    ) -> None:
        """Insert the notice of a handoff, under its audit record."""
        tx.run(
            _ADD,
            handoff_id=handoff_id,
            message_id=self.message_id,
            text=self.text,
            wait_s=None if self.wait is None else self.wait.total_seconds(),
            said_at=rfc3339(at),
            audit_seq=audit_seq,
        )

    def show(self, tx: Transaction, task_id: str, at: datetime) -> Notice:
        """Return the notice as one the user has seen; the first time it is audited."""
        if self.shown_at is not None:
            return self
        seq = ledger.append(
            tx,
            AuditType.NOTICE_SHOWN,
            at,
            task=task_id,
            shown={"handoff": self.handoff_id, "message": self.message_id},
        )
        tx.run(_SHOW, handoff_id=self.handoff_id, shown_at=rfc3339(at), audit_seq=seq)
        return replace(self, shown_at=at)


def find(reader: Reader, handoff_id: str) -> Notice | None:
    """Return the notice of a handoff, or None."""
    row = reader.one(_FIND, handoff_id=handoff_id)
    return None if row is None else _notice(row)


def of_task(reader: Reader, task_id: str, message_id: str) -> Notice | None:
    """Return the notice of this id, if it is of a handover of this task, or None."""
    row = reader.one(_OF_TASK, task_id=task_id, message_id=message_id)
    return None if row is None else _notice(row)


def ahead_of(reader: Reader, handoff: Handoff) -> int:
    """Return how many in the queue of `handoff` keep its people before it."""
    row = reader.one(
        _AHEAD,
        queue=handoff.queue,
        urgency=handoff.priority.rank,
        queued_at=rfc3339(handoff.queued_at),
    )
    return 0 if row is None else int(row["ahead"])


def _notice(row: Row) -> Notice:
    wait, shown_at = row["wait_s"], row["shown_at"]
    return Notice(
        message_id=row["message_id"],
        text=row["text"],
        wait=None if wait is None else timedelta(seconds=wait),
        handoff_id=row["handoff_id"],
        said_at=datetime.fromisoformat(row["said_at"]),
        shown_at=None if shown_at is None else datetime.fromisoformat(shown_at),
    )
