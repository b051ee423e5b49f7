"""Handoffs: their rows, and what the audit log says of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from serving.policy import audit
from serving.policy.audit import rfc3339
from serving.policy.handoff import Handoff, HandoffStatus
from serving.policy.inputs import Firing, Settled
from serving.policy.rules import Priority
from serving.policy.shed import Shed
from serving.problems import Problem, ProblemType
from serving.store import ledger
from serving.store.transaction import Reader, Row, Transaction

FIND = "SELECT * FROM handoff WHERE handoff_id = :handoff_id"
OF_TASK = "SELECT * FROM handoff WHERE task_id = :task_id ORDER BY epoch DESC"
LIST = """
SELECT * FROM handoff
WHERE (:queue IS NULL OR queue = :queue) AND (:status IS NULL OR status = :status)
ORDER BY status IN ('RESOLVED', 'RETURNED'), urgency, queued_at, handoff_id
LIMIT :limit OFFSET :offset
"""
_ADD = """
INSERT INTO handoff
  (handoff_id, task_id, epoch, decision_id, queue, status, urgency, queued_at, chain,
   climbs, acknowledge_by, resolve_by, claimed_by, claimed_at, lease_until, body, salt,
   audit_seq)
VALUES
  (:handoff_id, :task_id, :epoch, :decision_id, :queue, :status, :urgency, :queued_at,
   :chain, :climbs, :acknowledge_by, :resolve_by, :claimed_by, :claimed_at,
   :lease_until, :body, :salt, :audit_seq)
"""
_UPDATE = """
UPDATE handoff SET queue = :queue, status = :status, chain = :chain,
  acknowledge_by = :acknowledge_by, resolve_by = :resolve_by, climbs = :climbs,
  claimed_by = :claimed_by, claimed_at = :claimed_at, lease_until = :lease_until,
  audit_seq = :audit_seq
WHERE handoff_id = :handoff_id
"""


def terms(handoff: Handoff, message: str) -> bytes:
    """Return what never changes of `handoff`, with what the user was told, as JSON."""
    fixed = {
        "priority": handoff.priority,
        "skills": handoff.skills,
        "firings": handoff.firings,
        "risk": handoff.risk,
        "threshold": handoff.threshold,
        "request": handoff.request,
        "domain": handoff.domain,
        "account": handoff.account,
        "rungs": handoff.rungs,
        "shed": None if handoff.shed is None else handoff.shed.to_json(),
        "message": message,
    }
    return orjson.dumps(fixed, option=orjson.OPT_SORT_KEYS)


def standing(handoff: Handoff) -> dict[str, Any]:
    """Return what may change of `handoff`, as columns and as audit records hold it."""
    return {
        "queue": handoff.queue,
        "status": str(handoff.status),
        "chain": list(handoff.chain),
        "acknowledge_by": rfc3339(handoff.acknowledge_by),
        "resolve_by": rfc3339(handoff.resolve_by),
        "claimed_by": handoff.claimed_by,
        "claimed_at": _written(handoff.claimed_at),
        "lease_until": _written(handoff.lease_until),
        "climbs": handoff.climbs,
    }


def _written(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _read(at: str | None) -> datetime | None:
    return None if at is None else datetime.fromisoformat(at)


def standing_of(row: Row) -> dict[str, Any]:
    """Return what `standing` says of the handoff in `row`."""
    columns = (
        "queue",
        "status",
        "acknowledge_by",
        "resolve_by",
        "claimed_by",
        "claimed_at",
        "lease_until",
        "climbs",
    )
    return {"chain": orjson.loads(row["chain"])} | {c: row[c] for c in columns}


def audited(handoff: Handoff) -> dict[str, Any]:
    """Return what the record that a changed row points at must say of it."""
    return {"handoff": {"id": handoff.handoff_id, **standing(handoff)}}


def settled(reader: Reader, task_id: str) -> Settled:
    """Return what a human has answered by returning the task to its agent."""
    returned = [
        orjson.loads(row["body"])
        for row in reader.all(OF_TASK, task_id=task_id)
        if row["status"] == HandoffStatus.RETURNED
    ]
    risks = [body["risk"] for body in returned if body["risk"] is not None]
    return Settled(
        firings=tuple(
            Firing.from_json(f) for body in returned for f in body["firings"]
        ),
        risk=max(risks, default=None),
    )


def add(
    tx: Transaction,
    handoff: Handoff,
    *,
    decision_id: str,
    body: bytes,
    salt: bytes,
    audit_seq: int,
) -> None:
    """Insert `handoff`, whose terms are `body`, under its audit record."""
    tx.run(
        _ADD,
        **_columns(handoff),
        task_id=handoff.task_id,
        epoch=handoff.epoch,
        decision_id=decision_id,
        urgency=handoff.priority.rank,
        queued_at=rfc3339(handoff.queued_at),
        body=body,
        salt=salt,
        audit_seq=audit_seq,
    )


def update(tx: Transaction, handoff: Handoff, *, audit_seq: int) -> None:
    """Update the row of `handoff`, under its audit record."""
    tx.run(_UPDATE, **_columns(handoff), audit_seq=audit_seq)


def _columns(handoff: Handoff) -> dict[str, Any]:
    now = standing(handoff)
    chain = orjson.dumps(now["chain"])
    return {**now, "chain": chain, "handoff_id": handoff.handoff_id}


def get(reader: Reader, handoff_id: str) -> Handoff:
    """Return the handoff called `handoff_id`, without its package.

    Raises
    ------
    Problem
        unknown-handoff, if there is none.
    """
    return _handoff(_found(reader, handoff_id))


def _found(reader: Reader, handoff_id: str) -> Row:
    row = reader.one(FIND, handoff_id=handoff_id)
    if row is None:
        raise Problem(
            ProblemType.UNKNOWN_HANDOFF,
            f"expected a handoff known here, found {handoff_id!r}; "
            "GET /v1/handoffs lists them",
            handoff_id=handoff_id,
        )
    return row


def as_of(reader: Reader, handoff_id: str, seq: int) -> Handoff:
    """Return a handoff as the audit record at `seq` says it stood, without its package.

    Raises
    ------
    Problem
        unknown-handoff, if there is none.
    """
    row = _found(reader, handoff_id)
    said = ledger.record_at(reader, seq)["handoff"]
    fixed = ("handoff_id", "task_id", "epoch", "queued_at", "body")
    stood = {**said, "chain": orjson.dumps(said["chain"])}
    return _handoff({**stood, **{column: row[column] for column in fixed}})


def record_of(reader: Reader, handoff_id: str) -> int:
    """Return the place of the last audit record that speaks of how a handoff stands.

    Raises
    ------
    Problem
        unknown-handoff, if there is none.
    """
    return int(_found(reader, handoff_id)["audit_seq"])


def listed(
    reader: Reader, *, queue: str | None, status: str | None, limit: int, offset: int
) -> Iterator[Handoff]:
    """Yield handoffs: those still open first, then by urgency, then by time."""
    rows = reader.all(LIST, queue=queue, status=status, limit=limit, offset=offset)
    return (_handoff(row) for row in rows)


def last_of(reader: Reader, task_id: str) -> Row | None:
    """Return the row of the latest handoff of a task, or None."""
    return reader.one(OF_TASK, task_id=task_id)


def message_of(row: Row | None) -> str | None:
    """Return what the user was told at the handover in `row`."""
    return None if row is None else orjson.loads(row["body"])["message"]


def is_active(row: Row | None) -> bool:
    """Whether the handoff in `row` waits for, or is with, a person."""
    active = (HandoffStatus.QUEUED, HandoffStatus.CLAIMED)
    return row is not None and HandoffStatus(row["status"]) in active


def commitment_of(salt: bytes, body: bytes) -> str:
    """Return the commitment (hex) by which a record knows these bytes."""
    return audit.commitment(salt, body).hex()


def _handoff(row: Row) -> Handoff:
    fixed = orjson.loads(row["body"])
    chain, shed = tuple(orjson.loads(row["chain"])), fixed.get("shed")
    # A handoff of before there were rungs in its terms knows what is left of them.
    rungs = fixed.get("rungs") or (row["queue"], *chain)
    return Handoff(
        handoff_id=row["handoff_id"],
        task_id=row["task_id"],
        epoch=row["epoch"],
        queue=row["queue"],
        status=HandoffStatus(row["status"]),
        chain=chain,
        rungs=tuple(rungs),
        shed=None if shed is None else Shed.from_json(shed),
        queued_at=datetime.fromisoformat(row["queued_at"]),
        acknowledge_by=datetime.fromisoformat(row["acknowledge_by"]),
        resolve_by=datetime.fromisoformat(row["resolve_by"]),
        claimed_by=row["claimed_by"],
        claimed_at=_read(row["claimed_at"]),
        lease_until=_read(row["lease_until"]),
        climbs=row["climbs"],
        priority=Priority(fixed["priority"]),
        skills=tuple(fixed["skills"]),
        firings=tuple(Firing.from_json(firing) for firing in fixed["firings"]),
        risk=fixed["risk"],
        threshold=fixed["threshold"],
        request=fixed["request"],
        domain=fixed["domain"],
        account=fixed["account"],
    )
