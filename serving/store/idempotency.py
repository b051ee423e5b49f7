"""Idempotency: what a call under a key was answered, kept with the call's effect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from serving.policy.audit import rfc3339
from serving.store.transaction import Reader, Transaction

_FIND = """
SELECT * FROM idempotency
WHERE scope = :scope AND key = :key AND expires_at > :at
"""
_SET = """
INSERT INTO idempotency
  (scope, key, fingerprint, status, body, created_at, expires_at)
VALUES (:scope, :key, :fingerprint, :status, :body, :created_at, :expires_at)
ON CONFLICT (scope, key) DO UPDATE SET fingerprint = excluded.fingerprint,
  status = excluded.status, body = excluded.body, created_at = excluded.created_at,
  expires_at = excluded.expires_at
"""
_SWEEP = """
DELETE FROM idempotency WHERE (scope, key) IN (
  SELECT scope, key FROM idempotency WHERE expires_at <= :at
  ORDER BY expires_at LIMIT :limit
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a call was answered.

    Attributes
    ----------
    fingerprint : str
        SHA-256 (hex) of what was asked.
    status : int
        HTTP status.
    body : bytes
        JSON.
    """

    fingerprint: str
    status: int
    body: bytes


def find(reader: Reader, scope: str, key: str, at: datetime) -> Kept | None:
    """Return what was answered under `key`, unless that is over at `at`."""
    row = reader.one(_FIND, scope=scope, key=key, at=rfc3339(at))
    if row is None:
        return None
    return Kept(
        fingerprint=row["fingerprint"],
        status=row["status"],
        body=bytes(row["body"]),
    )


def keep(
    tx: Transaction,
    scope: str,
    key: str,
    kept: Kept,
    at: datetime,
    *,
    until: datetime,
) -> None:
    """Keep the answer to a call, in the transaction of its effect."""
    tx.run(
        _SET,
        scope=scope,
        key=key,
        fingerprint=kept.fingerprint,
        status=kept.status,
        body=kept.body,
        created_at=rfc3339(at),
        expires_at=rfc3339(until),
    )


def sweep(tx: Transaction, at: datetime, *, limit: int) -> int:
    """Delete at most `limit` answers that are over; return how many there were."""
    return tx.run(_SWEEP, at=rfc3339(at), limit=limit)
