"""Channels: how each does, as all workers see it."""

from __future__ import annotations

from datetime import datetime

from serving.policy.audit import rfc3339
from serving.policy.breaker import Breaker
from serving.store.transaction import Reader, Row, Transaction

_FIND = "SELECT * FROM channel WHERE channel = :channel"
_ALL = "SELECT * FROM channel ORDER BY channel"
_KEEP = """
INSERT INTO channel (channel, failures, open_until, recovered_at, changed_at)
VALUES (:channel, :failures, :open_until, :recovered_at, :changed_at)
ON CONFLICT (channel) DO UPDATE SET failures = excluded.failures,
  open_until = excluded.open_until, recovered_at = excluded.recovered_at,
  changed_at = excluded.changed_at
"""


def get(reader: Reader, channel: str) -> Breaker:
    """Return how `channel` does; one never heard of is well."""
    row = reader.one(_FIND, channel=channel)
    return Breaker() if row is None else _breaker(row)


def every(reader: Reader) -> dict[str, Breaker]:
    """Return how each channel does that has ever failed."""
    return {row["channel"]: _breaker(row) for row in reader.all(_ALL)}


def keep(tx: Transaction, channel: str, breaker: Breaker, at: datetime) -> None:
    """Keep how `channel` does since `at`."""
    tx.run(
        _KEEP,
        channel=channel,
        failures=breaker.failures,
        open_until=_written(breaker.open_until),
        recovered_at=_written(breaker.recovered_at),
        changed_at=rfc3339(at),
    )


def _breaker(row: Row) -> Breaker:
    return Breaker(
        failures=row["failures"],
        open_until=_read(row["open_until"]),
        recovered_at=_read(row["recovered_at"]),
    )


def _written(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _read(at: str | None) -> datetime | None:
    return None if at is None else datetime.fromisoformat(at)
