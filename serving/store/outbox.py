"""Outbox: what outside channels must be told of a handoff, in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from serving.policy.audit import rfc3339
from serving.policy.delivery import (
    FALLBACK_AFTER,
    FALLBACK_ATTEMPTS,
    Delivery,
    DeliveryStatus,
)
from serving.problems import Problem, ProblemType
from serving.store.transaction import Reader, Row, Transaction

_TOLD = """
SELECT DISTINCT channel FROM outbox WHERE handoff_id = :handoff_id ORDER BY channel
"""
_PLACE = """
SELECT coalesce(max(place), -1) + 1 AS place FROM outbox
WHERE handoff_id = :handoff_id AND channel = :channel
"""
_ADD = """
INSERT INTO outbox
  (outbox_id, handoff_id, channel, place, kind, body, status, attempts, refusals,
   queued_at, next_at, expires_at, tried_at, fell_back, remote_id, last_error,
   audit_seq)
VALUES
  (:outbox_id, :handoff_id, :channel, :place, :kind, :body, :status, :attempts,
   :refusals, :queued_at, :next_at, :expires_at, :tried_at, :fell_back, :remote_id,
   :last_error, :audit_seq)
"""
_UPDATE = """
UPDATE outbox SET status = :status, attempts = :attempts, refusals = :refusals,
  next_at = :next_at, expires_at = :expires_at, tried_at = :tried_at,
  fell_back = :fell_back, remote_id = :remote_id, last_error = :last_error,
  leased_by = NULL, leased_until = NULL, audit_seq = :audit_seq
WHERE outbox_id = :outbox_id
"""
_FIND = "SELECT * FROM outbox WHERE outbox_id = :outbox_id"
_LEASE = """
UPDATE outbox SET leased_by = :by, leased_until = :until WHERE outbox_id = :outbox_id
"""
# Whoever probes a channel that is down asks for any row of it, due or not.
_DUE = """
SELECT * FROM outbox AS o
WHERE o.status = 'pending' AND o.channel = :channel
  AND (CAST(:probing AS INTEGER) = 1 OR o.next_at <= :now
    OR o.tried_at < :recovered_at)
  AND (o.leased_until IS NULL OR o.leased_until <= :now)
  AND NOT EXISTS (
    SELECT 1 FROM outbox AS e
    WHERE e.handoff_id = o.handoff_id AND e.channel = o.channel
      AND e.place < o.place AND e.status = 'pending')
ORDER BY o.next_at, o.outbox_id LIMIT :limit
"""
_WAITED_FOR = "SELECT DISTINCT channel FROM outbox WHERE status = 'pending'"
_OF_CHANNEL = """
SELECT * FROM outbox WHERE status = 'pending' AND channel = :channel
ORDER BY next_at, outbox_id LIMIT :limit
"""
_EXPIRED = """
SELECT * FROM outbox WHERE status = 'pending' AND expires_at <= :now
  AND (leased_until IS NULL OR leased_until <= :now)
ORDER BY expires_at, outbox_id LIMIT :limit
"""
_UNHEARD = """
SELECT o.* FROM outbox AS o JOIN handoff AS h ON h.handoff_id = o.handoff_id
WHERE o.channel = :channel AND o.kind = 'opened' AND o.status <> 'done'
  AND o.fell_back = 0 AND h.status = 'QUEUED'
  AND (o.status = 'dead' OR o.attempts >= :attempts OR o.queued_at <= :since)
  AND NOT EXISTS (
    SELECT 1 FROM outbox AS e
    WHERE e.handoff_id = o.handoff_id AND e.channel = :fallback)
ORDER BY o.queued_at, o.outbox_id LIMIT :limit
"""
_LIST = """
SELECT * FROM outbox
WHERE (CAST(:status AS TEXT) IS NULL OR status = :status)
  AND (CAST(:channel AS TEXT) IS NULL OR channel = :channel)
  AND (CAST(:handoff_id AS TEXT) IS NULL OR handoff_id = :handoff_id)
ORDER BY queued_at DESC, outbox_id LIMIT :limit OFFSET :offset
"""
_LOAD = """
SELECT channel, status, count(*) AS n, min(queued_at) AS oldest FROM outbox
WHERE status <> 'done' GROUP BY channel, status ORDER BY channel, status
"""


# --- queueing ----------------------------------------------------------------------


def told(reader: Reader, handoff_id: str) -> tuple[str, ...]:
    """Return the channels that were, or will be, told of a handoff."""
    rows = reader.all(_TOLD, handoff_id=handoff_id)
    return tuple(row["channel"] for row in rows)


def add(
    tx: Transaction,
    handoff_id: str,
    channels: Iterable[str],
    *,
    kind: str,
    says: Mapping[str, Any],
    at: datetime,
    audit_seq: int,
    as_of: int | None = None,
) -> None:
    """Have each of `channels` told, after all it is still to be told of this handoff.

    Parameters
    ----------
    kind : str
        What happened, in one word: ``"opened"``, ``"claimed"``, …
    says : mapping
        JSON: what is told of it beside the handoff and its package, which the worker
        adds when it sends.
    as_of : int, optional
        Place of the record that says how the handoff stood, if it is not `audit_seq`.
        What is told is read off that record, so it is the same at every attempt.
    """
    body = body_of(says, audit_seq if as_of is None else as_of)
    for channel in channels:
        row = tx.one(_PLACE, handoff_id=handoff_id, channel=channel)
        place = 0 if row is None else row["place"]
        delivery = Delivery.queued(handoff_id, channel, place, kind=kind, at=at)
        columns = {**delivery.terms(), **delivery.standing()}
        tx.run(_ADD, **columns, body=body, audit_seq=audit_seq)


def body_of(says: Mapping[str, Any], as_of: int) -> bytes:
    """Return what a row holds of what is told, as JSON."""
    return orjson.dumps({**says, "as_of": as_of}, option=orjson.OPT_SORT_KEYS)


# --- reading -----------------------------------------------------------------------


def delivery_of(row: Row) -> Delivery:
    """Return the delivery in `row`."""
    tried = row["tried_at"]
    return Delivery(
        outbox_id=row["outbox_id"],
        handoff_id=row["handoff_id"],
        channel=row["channel"],
        place=row["place"],
        kind=row["kind"],
        queued_at=datetime.fromisoformat(row["queued_at"]),
        next_at=datetime.fromisoformat(row["next_at"]),
        expires_at=datetime.fromisoformat(row["expires_at"]),
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        refusals=row["refusals"],
        tried_at=None if tried is None else datetime.fromisoformat(tried),
        fell_back=bool(row["fell_back"]),
        remote_id=row["remote_id"],
        last_error=row["last_error"],
    )


def find(reader: Reader, outbox_id: str) -> Row:
    """Return the row called `outbox_id`.

    Raises
    ------
    Problem
        unknown-delivery, if there is none.
    """
    row = reader.one(_FIND, outbox_id=outbox_id)
    if row is None:
        raise Problem(
            ProblemType.UNKNOWN_DELIVERY,
            f"expected a delivery known here, found {outbox_id!r}; "
            "GET /v1/deliveries lists them",
            outbox_id=outbox_id,
        )
    return row


def due(
    reader: Reader,
    channel: str,
    now: datetime,
    *,
    recovered_at: datetime | None,
    is_probe: bool,
    limit: int,
) -> list[Delivery]:
    """Return what `channel` is to be told now, nothing before what precedes it.

    Parameters
    ----------
    recovered_at : datetime, optional
        What failed before that is due, too.
    is_probe : bool
        Whether anything will do, due or not.
    """
    rows = reader.all(
        _DUE,
        channel=channel,
        now=rfc3339(now),
        recovered_at="" if recovered_at is None else rfc3339(recovered_at),
        probing=int(is_probe),
        limit=limit,
    )
    return [delivery_of(row) for row in rows]


def waited_for(reader: Reader) -> frozenset[str]:
    """Return the channels that are still to be told something."""
    return frozenset(row["channel"] for row in reader.all(_WAITED_FOR))


def pending(reader: Reader, channel: str, *, limit: int) -> list[Delivery]:
    """Return what `channel` is still to be told, due or not."""
    rows = reader.all(_OF_CHANNEL, channel=channel, limit=limit)
    return [delivery_of(row) for row in rows]


def expired(reader: Reader, now: datetime, *, limit: int) -> list[Delivery]:
    """Return what has been tried for as long as it is worth."""
    rows = reader.all(_EXPIRED, now=rfc3339(now), limit=limit)
    return [delivery_of(row) for row in rows]


def unheard(
    reader: Reader, channel: str, fallback: str, now: datetime, *, limit: int
) -> list[Delivery]:
    """Return the openings that `channel` does not take, and `fallback` knows not of.

    Only of handoffs that still wait: who has claimed one has been told.
    """
    rows = reader.all(
        _UNHEARD,
        channel=channel,
        fallback=fallback,
        attempts=FALLBACK_ATTEMPTS,
        since=rfc3339(now - FALLBACK_AFTER),
        limit=limit,
    )
    return [delivery_of(row) for row in rows]


def listed(
    reader: Reader,
    *,
    status: str | None,
    channel: str | None,
    handoff_id: str | None,
    limit: int,
    offset: int,
) -> Iterator[Delivery]:
    """Yield deliveries, the newest first."""
    rows = reader.all(
        _LIST,
        status=status,
        channel=channel,
        handoff_id=handoff_id,
        limit=limit,
        offset=offset,
    )
    return (delivery_of(row) for row in rows)


def load(reader: Reader) -> list[tuple[str, str, int, datetime]]:
    """Return how many rows each channel has in each state but done, and the oldest."""
    return [
        (row["channel"], row["status"], row["n"], datetime.fromisoformat(row["oldest"]))
        for row in reader.all(_LOAD)
    ]


# --- writing -----------------------------------------------------------------------


def lease(tx: Transaction, outbox_id: str, *, by: str, until: datetime) -> None:
    """Have nobody but `by` try a row, up to `until`."""
    tx.run(_LEASE, outbox_id=outbox_id, by=by, until=rfc3339(until))


def release(tx: Transaction, outbox_id: str) -> None:
    """Have anybody try a row again."""
    tx.run(_LEASE, outbox_id=outbox_id, by=None, until=None)


def update(tx: Transaction, delivery: Delivery, *, audit_seq: int) -> None:
    """Update the row of `delivery`, under its audit record; nobody leases it then."""
    tx.run(
        _UPDATE,
        **delivery.standing(),
        outbox_id=delivery.outbox_id,
        audit_seq=audit_seq,
    )
