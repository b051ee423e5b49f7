"""Alarms: their rows, and what the audit log says of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

import orjson

from serving.policy.audit import AuditType, rfc3339
from serving.store import ledger
from serving.store.handoffs import commitment_of
from serving.store.log import SALT_BYTES
from serving.store.tasks import new_id
from serving.store.transaction import Reader, Row, Transaction
from training.monitor.alarm import Alarm, Code

# Who clears what has passed by itself, or lost its model: no person may be called so.
MONITOR = "monitor"
_ADD = """
INSERT INTO alarm
  (alarm_id, model, code, segment, severity, withdraws, raised_at, body, salt,
   audit_seq)
VALUES
  (:alarm_id, :model, :code, :segment, :severity, :withdraws, :raised_at, :body, :salt,
   :audit_seq)
"""
_CLEAR = """
UPDATE alarm SET cleared_at = :cleared_at, closing = :closing, audit_seq = :audit_seq
WHERE alarm_id = :alarm_id
"""
_CHANGED = "SELECT coalesce(max(audit_seq), -1) AS seq FROM alarm"
_FIND = "SELECT * FROM alarm WHERE alarm_id = :alarm_id"
_OPEN = "SELECT * FROM alarm WHERE cleared_at IS NULL ORDER BY raised_at, alarm_id"
_WITHDRAWING = "SELECT * FROM alarm WHERE withdraws IS NOT NULL ORDER BY raised_at"
_SAME = """
SELECT alarm_id FROM alarm
WHERE cleared_at IS NULL AND model = :model AND code = :code AND segment = :segment
"""
_OF_MODEL = "SELECT * FROM alarm WHERE model = :model ORDER BY raised_at, alarm_id"
_LIST = """
SELECT * FROM alarm
WHERE (:open IS NULL OR CASE WHEN cleared_at IS NULL THEN 1 ELSE 0 END = :open)
  AND (:since IS NULL OR raised_at >= :since OR cleared_at >= :since)
ORDER BY cleared_at IS NOT NULL, raised_at DESC, alarm_id
LIMIT :limit OFFSET :offset
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An alarm as it is kept.

    Attributes
    ----------
    alarm_id : str
    model : str
        SHA-256 (hex) of the bundle it speaks of; "" where rules decide alone.
    alarm : Alarm
        What was found, as it was found first.
    raised_at, cleared_at : datetime
        None while it is open.
    cleared_by, why : str or None
        Who said that it is over, and for what reason.
    salt : bytes
        Under which the log commits to its words.
    """

    alarm_id: str
    model: str
    alarm: Alarm
    raised_at: datetime
    salt: bytes
    cleared_at: datetime | None = None
    cleared_by: str | None = None
    why: str | None = None

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the alarm in `row`."""
        cleared = row["cleared_at"]
        closing = {} if row["closing"] is None else orjson.loads(row["closing"])
        return cls(
            alarm_id=row["alarm_id"],
            model=row["model"],
            alarm=Alarm.from_json(orjson.loads(row["body"])),
            raised_at=datetime.fromisoformat(row["raised_at"]),
            salt=bytes(row["salt"]),
            cleared_at=None if cleared is None else datetime.fromisoformat(cleared),
            cleared_by=closing.get("by"),
            why=closing.get("why"),
        )

    @property
    def is_withdrawing(self) -> bool:
        """Whether a certificate does not hold because of it.

        Until a person has said otherwise: a model that comes back into force comes
        back without it.
        """
        return self.alarm.withdraws is not None and self.cleared_by in (None, MONITOR)

    @property
    def terms(self) -> bytes:
        """What was found, as stored; it never changes."""
        return _json(self.alarm.to_json())

    @property
    def closing(self) -> bytes | None:
        """Who cleared it and why, as stored; None while it is open."""
        if self.cleared_at is None:
            return None
        return _json({"by": self.cleared_by, "why": self.why})

    def to_json(self) -> dict[str, Any]:
        """Return the alarm as the surface answers it."""
        since = datetime.fromtimestamp(self.alarm.since, UTC)
        return {
            **self.alarm.to_json(),
            "since": rfc3339(since),
            "alarm_id": self.alarm_id,
            "model": self.model,
            "raised_at": rfc3339(self.raised_at),
            "cleared_at": None if self.cleared_at is None else rfc3339(self.cleared_at),
            "cleared_by": self.cleared_by,
            "why": self.why,
        }

    def audited(self) -> dict[str, Any]:
        """Return what the record that its row points at must say of it."""
        closing = self.closing
        return {
            "alarm": {
                "id": self.alarm_id,
                "model": self.model,
                "code": str(self.alarm.code),
                "segment": self.alarm.segment,
                "severity": str(self.alarm.severity),
                "withdraws": self.alarm.withdraws,
                "raised_at": rfc3339(self.raised_at),
                "cleared_at": None
                if self.cleared_at is None
                else rfc3339(self.cleared_at),
                "terms": commitment_of(self.salt, self.terms),
                "closing": None
                if closing is None
                else commitment_of(self.salt, closing),
            }
        }


def standing_of(row: Row) -> dict[str, Any]:
    """Return what the last record about the alarm in `row` must say of it."""
    columns = ("model", "code", "segment", "severity", "withdraws", "raised_at")
    closing = row["closing"]
    return {
        "id": row["alarm_id"],
        "cleared_at": row["cleared_at"],
        "terms": commitment_of(row["salt"], row["body"]),
        "closing": None if closing is None else commitment_of(row["salt"], closing),
        **{column: row[column] for column in columns},
    }


def add(tx: Transaction, model: str, alarm: Alarm, at: datetime) -> Raised:
    """Raise `alarm`, withdraw the certificate it withdraws, and return what is kept."""
    raised = Raised(
        alarm_id=new_id("alm"),
        model=model,
        alarm=alarm,
        raised_at=at,
        salt=os.urandom(SALT_BYTES),
    )
    seq = ledger.append(tx, AuditType.ALARM_RAISED, at, **raised.audited())
    if alarm.withdraws is not None:
        kind = AuditType.CERTIFICATE_WITHDRAWN
        seq = ledger.append(tx, kind, at, **raised.audited())
    tx.run(
        _ADD,
        alarm_id=raised.alarm_id,
        model=model,
        code=str(alarm.code),
        segment=alarm.segment,
        severity=str(alarm.severity),
        withdraws=alarm.withdraws,
        raised_at=rfc3339(at),
        body=raised.terms,
        salt=raised.salt,
        audit_seq=seq,
    )
    return raised


def clear(
    tx: Transaction,
    raised: Raised,
    at: datetime,
    *,
    by: str,
    why: str,
) -> Raised:
    """Clear an open alarm, and return it as it is kept then.

    Cleared by a person, a certificate it had withdrawn holds again; cleared because its
    model is out of force, it does not.
    """
    over = replace(raised, cleared_at=at, cleared_by=by, why=why)
    seq = ledger.append(tx, AuditType.ALARM_CLEARED, at, **over.audited())
    if over.alarm.withdraws is not None and not over.is_withdrawing:
        seq = ledger.append(tx, AuditType.CERTIFICATE_RESTORED, at, **over.audited())
    tx.run(
        _CLEAR,
        alarm_id=over.alarm_id,
        cleared_at=rfc3339(at),
        closing=over.closing,
        audit_seq=seq,
    )
    return over


def changed_at(reader: Reader) -> int:
    """Return the record of the last change of any alarm; -1: there never was one."""
    row = reader.one(_CHANGED)
    return -1 if row is None else int(row["seq"])


def find(reader: Reader, alarm_id: str) -> Raised | None:
    """Return the alarm `alarm_id`, or None."""
    row = reader.one(_FIND, alarm_id=alarm_id)
    return None if row is None else Raised.of(row)


def is_open(reader: Reader, model: str, code: Code, segment: str) -> bool:
    """Whether such an alarm stands already."""
    values = {"model": model, "code": str(code), "segment": segment}
    return reader.one(_SAME, **values) is not None


def standing(reader: Reader) -> Iterator[Raised]:
    """Yield the alarms that are open, of whatever model, the oldest first."""
    return (Raised.of(row) for row in reader.all(_OPEN))


def withdrawing(reader: Reader) -> Iterator[Raised]:
    """Yield the alarms for which a certificate does not hold, of whatever model."""
    found = (Raised.of(row) for row in reader.all(_WITHDRAWING))
    return (raised for raised in found if raised.is_withdrawing)


def of_model(reader: Reader, model: str) -> Iterator[Raised]:
    """Yield every alarm of the bundle with this SHA-256, the oldest first."""
    return (Raised.of(row) for row in reader.all(_OF_MODEL, model=model))


def listed(
    reader: Reader,
    *,
    is_open: bool | None,
    since: datetime | None,
    limit: int,
    offset: int,
) -> list[Raised]:
    """Return a page of alarms, the open ones first, then the latest.

    Parameters
    ----------
    is_open : bool or None
        Only those that are open, or that are not; None: both.
    since : datetime or None
        Only those raised or cleared at that time or later.
    """
    rows = reader.all(
        _LIST,
        open=None if is_open is None else int(is_open),
        since=None if since is None else rfc3339(since),
        limit=limit,
        offset=offset,
    )
    return [Raised.of(row) for row in rows]


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
