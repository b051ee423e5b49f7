"""Looks: what the auditor reads of a store: what is due, stuck, late or unheard."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from serving.policy.audit import rfc3339
from serving.store.transaction import Reader, Row, Transaction

_UNTIMED = """
SELECT handoff.handoff_id AS handoff_id, handoff.status AS status FROM handoff
LEFT JOIN timer ON timer.handoff_id = handoff.handoff_id
  AND timer.settled_at IS NULL
  AND timer.kind
    = CASE handoff.status WHEN 'QUEUED' THEN 'acknowledge' ELSE 'lease' END
WHERE handoff.status IN ('QUEUED', 'CLAIMED') AND timer.handoff_id IS NULL
ORDER BY handoff.handoff_id LIMIT :most
"""
_LATE = """
SELECT count(*) AS n, min(due_at) AS oldest FROM timer
WHERE settled_at IS NULL AND due_at < :before
"""
_STUCK = """
SELECT count(*) AS n, min(leased_until) AS oldest FROM outbox
WHERE status = 'pending' AND leased_until < :before AND next_at < :before
"""
_PENDING = "SELECT count(*) AS n, NULL AS oldest FROM outbox WHERE status = 'pending'"
_PENDING_AT = """
SELECT queued_at AS oldest FROM outbox WHERE status = 'pending'
ORDER BY queued_at LIMIT 1 OFFSET :place
"""
# A dead letter of a handoff that a person has closed no longer keeps anybody waiting.
_DEAD = """
SELECT count(*) AS n, min(outbox.queued_at) AS oldest
FROM handoff JOIN outbox ON outbox.handoff_id = handoff.handoff_id
WHERE handoff.status IN ('QUEUED', 'CLAIMED') AND outbox.status = 'dead'
"""
_WAITING = """
SELECT queue, chain, climbs, queued_at, acknowledge_by,
  (SELECT count(*) FROM outbox WHERE outbox.handoff_id = handoff.handoff_id) AS told,
  (SELECT count(*) FROM outbox
    WHERE outbox.handoff_id = handoff.handoff_id AND outbox.status = 'done') AS heard
FROM handoff WHERE handoff.status = 'QUEUED'
"""
_BEATS = "SELECT seen_at, rounds FROM worker ORDER BY seen_at DESC"
_PROBE = """
INSERT INTO probe (one, room) VALUES (1, :room)
ON CONFLICT (one) DO UPDATE SET room = excluded.room
"""
_CLEAR = "DELETE FROM probe"
# More than a step takes, in bytes: a disk that is full may have room for a row.
_ROOM = 65_536


@dataclass(frozen=True, slots=True)
class Seen:
    """How many of something there are, and since when the oldest is.

    Attributes
    ----------
    n : int
    since : datetime or None
        None where there are none.
    """

    n: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a worker said of itself last.

    Attributes
    ----------
    seen_at : datetime
        When.
    rounds : Mapping
        When each of its rounds last ended well; None: not yet.
    """

    seen_at: datetime
    rounds: Mapping[str, datetime | None]


def untimed(reader: Reader, *, most: int) -> list[str]:
    """Return handoffs, at most so many, of which no deadline can pass any more.

    One that waits needs a deadline to be acknowledged, one that is claimed needs the
    end of its lease: else nothing would ever happen to it by itself.
    """
    return [row["handoff_id"] for row in reader.all(_UNTIMED, most=most)]


def late_timers(reader: Reader, before: datetime) -> Seen:
    """Return the deadlines that should have passed `before` and still stand."""
    return _seen(reader.one(_LATE, before=rfc3339(before)))


def stuck_deliveries(reader: Reader, before: datetime) -> Seen:
    """Return what a worker took, lost `before`, and nobody took up again."""
    return _seen(reader.one(_STUCK, before=rfc3339(before)))


def slowest_deliveries(reader: Reader) -> Seen:
    """Return what is to be told yet, and since when the 99th percentile of it is."""
    pending = _seen(reader.one(_PENDING))
    if not pending.n:
        return pending
    row = reader.one(_PENDING_AT, place=pending.n // 100)
    return Seen(pending.n, _time(row["oldest"] if row is not None else None))


def dead_letters(reader: Reader) -> Seen:
    """Return what was given up of handoffs that are open."""
    return _seen(reader.one(_DEAD))


def unheard(reader: Reader, *, told: datetime, due: datetime) -> Seen:
    """Return waiting handoffs that no channel took and no person saw.

    Parameters
    ----------
    told : datetime
        A channel should have taken what was queued before that.
    due : datetime
        Where there is no channel, a person should have seen what had to be
        acknowledged before that, all rungs of the chain having been asked.
    """
    found = [
        _time(row["queued_at"])
        for row in reader.all(_WAITING)
        if not row["heard"] and _is_late(row, rfc3339(told), rfc3339(due))
    ]
    queued = [at for at in found if at is not None]
    return Seen(len(queued), min(queued, default=None))


def _is_late(row: Row, told: str, due: str) -> bool:
    if row["told"]:
        return bool(row["queued_at"] < told)
    asked_all = not orjson.loads(bytes(row["chain"]))
    return asked_all and bool(row["climbs"] or row["acknowledge_by"] < due)


def beats(reader: Reader) -> Iterator[Beat]:
    """Yield what the workers said of themselves, the latest first."""
    for row in reader.all(_BEATS):
        yield Beat(
            seen_at=datetime.fromisoformat(row["seen_at"]),
            rounds={
                name: _time(end)
                for name, end in orjson.loads(bytes(row["rounds"])).items()
            },
        )


def probe(tx: Transaction) -> None:
    """Write what takes room and means nothing: whether that lasts is what is asked."""
    tx.run(_PROBE, room=os.urandom(_ROOM))


def clear(tx: Transaction) -> None:
    """Take away what `probe` wrote: its room is for what comes next."""
    tx.run(_CLEAR)


def _seen(row: Row | None) -> Seen:
    if row is None or not row["n"]:
        return Seen()
    return Seen(int(row["n"]), _time(row["oldest"]))


def _time(at: str | None) -> datetime | None:
    return None if at is None else datetime.fromisoformat(at)
