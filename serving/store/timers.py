"""Timers: deadlines of handoffs, as rows that outlive the process."""

from __future__ import annotations

from datetime import datetime

from serving.policy.audit import rfc3339
from serving.store.transaction import Transaction

_SET = """
INSERT INTO timer (handoff_id, kind, due_at, settled_at, audit_seq)
VALUES (:handoff_id, :kind, :due_at, NULL, :audit_seq)
ON CONFLICT (handoff_id, kind) DO UPDATE SET due_at = excluded.due_at,
  settled_at = NULL, audit_seq = excluded.audit_seq
"""
_SETTLE = """
UPDATE timer SET settled_at = :at, audit_seq = :audit_seq
WHERE handoff_id = :handoff_id AND kind = :kind AND settled_at IS NULL
"""


def due(
    tx: Transaction, handoff_id: str, kind: str, at: datetime, *, audit_seq: int
) -> None:
    """Have the deadline `kind` of a handoff pass at `at`, whatever it was before."""
    tx.run(
        _SET, handoff_id=handoff_id, kind=kind, due_at=rfc3339(at), audit_seq=audit_seq
    )


def settle(
    tx: Transaction, handoff_id: str, kind: str, at: datetime, *, audit_seq: int
) -> None:
    """Have the deadline `kind` of a handoff never pass, from `at` on."""
    tx.run(
        _SETTLE, handoff_id=handoff_id, kind=kind, at=rfc3339(at), audit_seq=audit_seq
    )
