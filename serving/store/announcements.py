"""Announcements: transfers that agents announced, and those nothing came of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import orjson

from serving.policy.audit import AuditType, rfc3339
from serving.store import ledger
from serving.store.tasks import Task
from serving.store.transaction import Reader, Transaction

# A record that speaks of an announcement holds this.
MARK = b'"announced":'

_DECIDED = """
SELECT decision_id, body FROM decision WHERE task_id = :task_id
ORDER BY position DESC, audit_seq DESC
"""
_HANDED = """
SELECT decision.decision_id AS decision_id, decision.body AS body
FROM handoff JOIN decision ON decision.decision_id = handoff.decision_id
WHERE handoff.task_id = :task_id ORDER BY handoff.epoch DESC
"""
_FIND = """
SELECT 1 AS found FROM announcement WHERE task_id = :task_id AND epoch = :epoch
"""
_ADD = """
INSERT INTO announcement
  (task_id, epoch, decision_id, promises, calls, hands_over, seen_at, audit_seq)
VALUES
  (:task_id, :epoch, :decision_id, :promises, :calls, :hands_over, :seen_at,
   :audit_seq)
"""
_COUNT = """
SELECT count(*) AS n, min(seen_at) AS first FROM announcement WHERE seen_at >= :since
"""


def said(signals: Mapping[str, float]) -> dict[str, Any]:
    """Return what a record says of the transfers announced so far; nothing of none."""
    announced = Announced.of(signals)
    return {"announced": announced.to_json()} if announced.total else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """How often an agent announced a transfer in a task, up to a decision.

    Attributes
    ----------
    promises, calls : int
        In words; by tools of its own that hand over.
    decision_id : str
        The decision that knew of it; "" for none.
    """

    promises: int = 0
    calls: int = 0
    decision_id: str = ""

    @classmethod
    def of(cls, signals: Mapping[str, float], decision_id: str = "") -> Self:
        """Return what `signals` count; those that are not known count as none."""
        return cls(
            promises=int(signals.get("transfer_promises", 0.0)),
            calls=int(signals.get("transfer_calls", 0.0)),
            decision_id=decision_id,
        )

    @property
    def total(self) -> int:
        """Announcements of either kind."""
        return self.promises + self.calls

    def to_json(self) -> dict[str, int]:
        """Return the counts as records hold them."""
        return {"promises": self.promises, "calls": self.calls}


def of_task(reader: Reader, task_id: str) -> Announced:
    """Return what the agent has announced in a task, as its last decision knew."""
    return _read(reader, _DECIDED, task_id)


def handed_over(reader: Reader, task_id: str) -> Announced:
    """Return what of that was known to the decision behind the last handover."""
    return _read(reader, _HANDED, task_id)


def _read(reader: Reader, query: str, task_id: str) -> Announced:
    row = reader.one(query, task_id=task_id)
    if row is None:
        return Announced()
    signals = orjson.loads(bytes(row["body"]))["inputs"]["signals"]
    return Announced.of(signals, row["decision_id"])


def is_known(reader: Reader, task: Task) -> bool:
    """Whether it is recorded already, of this epoch, that nothing was recorded."""
    found = reader.one(_FIND, task_id=task.task_id, epoch=task.epoch)
    return found is not None


def add(
    tx: Transaction,
    task: Task,
    announced: Announced,
    at: datetime,
    *,
    mode: str,
    hands_over: bool,
) -> None:
    """Record that a transfer was announced and no handover recorded."""
    seq = ledger.append(
        tx,
        AuditType.HANDOVER_NOT_RECORDED,
        at,
        task=task.task_id,
        epoch=task.epoch,
        decision={"id": announced.decision_id},
        announced=announced.to_json(),
        mode=mode,
        hands_over=hands_over,
    )
    tx.run(
        _ADD,
        task_id=task.task_id,
        epoch=task.epoch,
        decision_id=announced.decision_id,
        promises=announced.promises,
        calls=announced.calls,
        hands_over=int(hands_over),
        seen_at=rfc3339(at),
        audit_seq=seq,
    )


def counted(
    reader: Reader, at: datetime, *, within: timedelta | None = None
) -> tuple[int, datetime | None]:
    """Return how many were found, and when the first; `within` a span before `at`."""
    since = "" if within is None else rfc3339(at - within)
    row = reader.one(_COUNT, since=since)
    if row is None or row["first"] is None:
        return 0, None
    return int(row["n"]), datetime.fromisoformat(row["first"])


def announcing(
    reader: Reader, start: int, limit: int
) -> Iterator[tuple[int, str, datetime]]:
    """Yield place, task and time of the records from `start` on that announce."""
    for row in reader.all(ledger.RECORDS, start=start, limit=limit):
        body = bytes(row["body"])
        if MARK in body:
            record = orjson.loads(body)
            at = datetime.fromisoformat(record["at"])
            if record["type"] == AuditType.STEP_SCORED and "announced" in record:
                yield row["seq"], record["task"], at
