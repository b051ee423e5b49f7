"""Workers: who works on this store, by their own beat. Not audited: it passes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import orjson

from serving.policy.audit import rfc3339
from serving.store.transaction import Transaction

# One that has been silent that long is no longer worth a row.
FORGOTTEN_AFTER = timedelta(days=1)

_BEAT = """
INSERT INTO worker (worker_id, started_at, seen_at, rounds)
VALUES (:worker_id, :started_at, :seen_at, :rounds)
ON CONFLICT (worker_id) DO UPDATE SET seen_at = excluded.seen_at,
  rounds = excluded.rounds
"""
_FORGET = "DELETE FROM worker WHERE seen_at < :before"
_GONE = "DELETE FROM worker WHERE worker_id = :worker_id"


def beat(
    tx: Transaction,
    worker_id: str,
    rounds: Mapping[str, datetime | None],
    *,
    started_at: datetime,
    now: datetime,
) -> None:
    """Keep that a worker lives, and when each of its rounds last ended well."""
    ends = {n: None if at is None else rfc3339(at) for n, at in rounds.items()}
    tx.run(
        _BEAT,
        worker_id=worker_id,
        started_at=rfc3339(started_at),
        seen_at=rfc3339(now),
        rounds=orjson.dumps(ends, option=orjson.OPT_SORT_KEYS),
    )
    tx.run(_FORGET, before=rfc3339(now - FORGOTTEN_AFTER))


def gone(tx: Transaction, worker_id: str) -> None:
    """Keep that a worker has ended as it should."""
    tx.run(_GONE, worker_id=worker_id)
