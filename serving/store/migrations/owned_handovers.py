"""Owned handovers: how the rows of version 2 stand in version 3, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
from sqlalchemy import Connection

from serving.policy.audit import AuditType, rfc3339
from serving.policy.delivery import OPENED, Delivery
from serving.store import handoffs, ledger
from serving.store.migrations.rebuild import columns, insert, rebuild, schema_of
from serving.store.outbox import body_of
from serving.store.sqlite import session_on
from serving.store.versions import WouldLoseError

# Claims of version 2 ended only by whoever held them: they get this long.
LEASE = timedelta(hours=8)
_BY = "escalon"
_CLAIMED = """
SELECT handoff.*, task.epoch AS task_epoch FROM handoff JOIN task USING (task_id)
WHERE status = 'CLAIMED' ORDER BY handoff_id
"""
_RECORDS = "SELECT body FROM audit_event ORDER BY seq"
# What version 2 has no place for, by what it is called.
_LOST = {
    "claims that end": "SELECT count(*) FROM handoff WHERE lease_until IS NOT NULL",
    "messages to users": "SELECT count(*) FROM notice",
    "later deliveries": "SELECT count(*) FROM outbox WHERE place > 0 OR attempts > 0",
    "violations": "SELECT count(*) FROM violation",
    "attachments": "SELECT count(*) FROM attachment",
    "answers under an idempotency key": "SELECT count(*) FROM idempotency",
}
# The records that version 2 can read.
_KNOWN = frozenset(
    {
        "log.created", "policy.loaded", "model.loaded", "model.rejected",
        "model.fallback_entered", "step.scored", "events.appended", "handoff.opened",
        "handoff.claimed", "handoff.released", "handoff.resolved", "handoff.returned",
        "handoff.rated", "alarm.raised", "alarm.cleared", "certificate.withdrawn",
        "certificate.restored",
    }
)  # fmt: skip


def upgrade(bind: Connection) -> None:
    """Bring a SQLite store from version 2 to version 3."""
    connection = _raw(bind)
    fills = {"handoff": _fill_handoffs, "outbox": _fill_outbox}
    rebuild(connection, schema_of("0003"), fills)
    at = max(datetime.now(UTC), _last_at(connection))
    for row in connection.execute(_CLAIMED).fetchall():
        _lease(connection, row, at)


def downgrade(bind: Connection, *, loses: bool) -> None:
    """Bring a SQLite store from version 3 to version 2.

    Raises
    ------
    WouldLoseError
        If something has no place there, unless it is known that it `loses` that.
    """
    if bind.dialect.name != "sqlite":
        msg = "PostgreSQL stores begin with version 3: there is nothing to go back to"
        raise WouldLoseError(msg)
    connection = _raw(bind)
    lost = list(_losses(connection))
    if lost and not loses:
        msg = f"version 2 has no place for {', '.join(lost)}; say that it may be lost"
        raise WouldLoseError(msg)
    fills = {"timer": _fill_old_timers, "outbox": _fill_old_outbox}
    rebuild(connection, schema_of("0002"), fills)


def _raw(bind: Connection) -> sqlite3.Connection:
    raw = bind.connection.dbapi_connection
    if not isinstance(raw, sqlite3.Connection):
        msg = f"expected a connection to SQLite, found {type(raw).__name__}"
        raise TypeError(msg)
    return raw


def _last_at(connection: sqlite3.Connection) -> datetime:
    last = ledger.last_at(session_on(connection))
    return datetime.min.replace(tzinfo=UTC) if last is None else last


# --- to version 3 ------------------------------------------------------------


def _fill_handoffs(connection: sqlite3.Connection, before: str) -> None:
    """Copy handoffs; a claim's lease is recorded once all tables are there."""
    names = columns(connection, before)
    for row in connection.execute(f"SELECT * FROM {before} ORDER BY rowid").fetchall():  # noqa: S608
        is_claimed = row["status"] == "CLAIMED"
        lease = row["resolve_by"] if is_claimed else None
        insert(
            connection, "handoff", {c: row[c] for c in names} | {"lease_until": lease}
        )


def _fill_outbox(connection: sqlite3.Connection, before: str) -> None:
    """Copy what was to be told, under the ids that are stable over retries."""
    opened = f"""
        SELECT {before}.*, handoff.queued_at AS queued_at FROM {before}
        JOIN handoff USING (handoff_id) ORDER BY {before}.rowid
    """  # noqa: S608
    for row in connection.execute(opened).fetchall():
        at = datetime.fromisoformat(row["queued_at"])
        known = Delivery.queued(row["handoff_id"], row["target"], 0, kind=OPENED, at=at)
        kept = known.audited()["delivery"]
        says = {"at": row["queued_at"], "by": _BY}
        status = "pending" if row["status"] == "sending" else row["status"]
        insert(
            connection,
            "outbox",
            {c: kept[c] for c in columns(connection, "outbox") if c in kept}
            | {
                "status": status,
                "attempts": row["attempts"],
                "next_at": row["next_at"],
                "body": body_of(says, row["audit_seq"]),
                "audit_seq": row["audit_seq"],
            },
        )


def _lease(connection: sqlite3.Connection, row: sqlite3.Row, at: datetime) -> None:
    """Give the claim in `row` the lease it now needs, under a record of its own."""
    tx = session_on(connection)
    until = rfc3339(at + LEASE)
    handoff_id = row["handoff_id"]
    standing = {"id": handoff_id, **handoffs.standing_of(row), "lease_until": until}
    seq = ledger.append(
        tx,
        AuditType.HANDOFF_RENEWED,
        at,
        task=row["task_id"],
        epoch=row["task_epoch"],
        handoff=standing,
        timers={"lease": until},
        by=_BY,
    )
    tx.run(
        "UPDATE handoff SET lease_until = :until, audit_seq = :seq "
        "WHERE handoff_id = :handoff_id",
        until=until,
        seq=seq,
        handoff_id=handoff_id,
    )
    insert(
        connection,
        "timer",
        {"handoff_id": handoff_id, "kind": "lease", "due_at": until, "audit_seq": seq},
    )
    insert(
        connection,
        "handoff_history",
        {
            "handoff_id": handoff_id,
            "audit_seq": seq,
            "at": rfc3339(at),
            "by": _BY,
            "what": "renewed",
        },
    )


# --- to version 2 ------------------------------------------------------------


def _losses(connection: sqlite3.Connection) -> Iterator[str]:
    for called, query in _LOST.items():
        n = connection.execute(query).fetchone()[0]
        if n:
            yield f"{n} {called}"
    records = (orjson.loads(row[0]) for row in connection.execute(_RECORDS))
    unknown = sum(record["type"] not in _KNOWN for record in records)
    if unknown:
        yield f"{unknown} records of the log, which its audit cannot read"


def _fill_old_timers(connection: sqlite3.Connection, before: str) -> None:
    connection.execute(
        f"INSERT INTO timer SELECT * FROM {before} WHERE kind <> 'lease'"  # noqa: S608
    )


def _fill_old_outbox(connection: sqlite3.Connection, before: str) -> None:
    kept = "outbox_id, handoff_id, channel, status, attempts, next_at, audit_seq"
    connection.execute(
        f"INSERT INTO outbox SELECT {kept} FROM {before} WHERE place = 0"  # noqa: S608
    )
