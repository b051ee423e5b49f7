"""Notices: the one message of each handover to the user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from serving.policy.audit import rfc3339
from serving.store.transaction import Reader, Transaction

_ADD = """
INSERT INTO notice (handoff_id, message_id, text, wait_s, said_at, audit_seq)
VALUES (:handoff_id, :message_id, :text, :wait_s, :said_at, :audit_seq)
"""
_FIND = "SELECT * FROM notice WHERE handoff_id = :handoff_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What the user is told at a handover; shown once, under its id.

    Attributes
    ----------
    wait : timedelta or None
        Until somebody takes it up, as it was promised; None: nothing was.
    """

    message_id: str
    text: str
    wait: timedelta | None = None

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


def find(reader: Reader, handoff_id: str) -> Notice | None:
    """Return the notice of a handoff, or None."""
    row = reader.one(_FIND, handoff_id=handoff_id)
    if row is None:
        return None
    wait = row["wait_s"]
    return Notice(
        message_id=row["message_id"],
        text=row["text"],
        wait=None if wait is None else timedelta(seconds=wait),
    )
