"""Timers: deadlines of handoffs, as rows that outlive the process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from serving.policy.audit import rfc3339
from serving.store.transaction import Reader, Transaction

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
_PASSED = """
SELECT handoff_id, kind FROM timer
WHERE settled_at IS NULL AND due_at <= :at
ORDER BY due_at, handoff_id, kind LIMIT :limit
"""
_HAS_PASSED = """
SELECT 1 AS passed FROM timer
WHERE handoff_id = :handoff_id AND kind = :kind AND settled_at IS NULL
  AND due_at <= :at
"""
_FIRST = """
SELECT t.handoff_id, t.due_at FROM timer AS t
JOIN handoff AS h ON h.handoff_id = t.handoff_id
WHERE h.status = 'QUEUED' AND t.kind = 'acknowledge' AND t.settled_at IS NULL
ORDER BY t.due_at, t.handoff_id
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


def write(
    tx: Transaction,
    handoff_id: str,
    deadlines: Mapping[str, datetime | None],
    at: datetime,
    *,
    audit_seq: int,
) -> None:
    """Have each of `deadlines` pass when it says, or, where it says None, never.

    The record they are written under must say so, too (`said`).
    """
    for kind, when in deadlines.items():
        if when is None:
            settle(tx, handoff_id, kind, at, audit_seq=audit_seq)
        else:
            due(tx, handoff_id, kind, when, audit_seq=audit_seq)


def said(deadlines: Mapping[str, datetime | None]) -> dict[str, Any]:
    """Return what the record under which `deadlines` are written says of them."""
    if not deadlines:
        return {}
    return {
        "timers": {
            kind: None if when is None else rfc3339(when)
            for kind, when in deadlines.items()
        }
    }


def passed(reader: Reader, at: datetime, *, limit: int) -> list[tuple[str, str]]:
    """Return handoff and kind of the deadlines that have passed by `at`, oldest first.

    Parameters
    ----------
    limit : int
        Most to return.
    """
    rows = reader.all(_PASSED, at=rfc3339(at), limit=limit)
    return [(row["handoff_id"], row["kind"]) for row in rows]


def first_deadlines(reader: Reader) -> list[tuple[str, datetime]]:
    """Return the handoffs that wait, and when each is to be looked at."""
    rows = reader.all(_FIRST)
    return [(row["handoff_id"], datetime.fromisoformat(row["due_at"])) for row in rows]


def has_passed(reader: Reader, handoff_id: str, kind: str, at: datetime) -> bool:
    """Whether the deadline `kind` of a handoff has passed by `at`, and still counts."""
    found = reader.one(_HAS_PASSED, handoff_id=handoff_id, kind=kind, at=rfc3339(at))
    return found is not None
