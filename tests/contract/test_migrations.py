"""Stores of earlier versions, brought here and back on real data."""
# ruff: noqa: S608 - the statements are put together from our own tables

from __future__ import annotations

import gzip
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.policy import audit
from serving.store import migrations
from serving.store.migrations import owned_handovers
from serving.store.migrations.rebuild import schema_of
from serving.store.opening import open_store, reading
from serving.store.sqlite import SqliteStore
from serving.store.transaction import StoreBusyError, StoreError, StoreVersionError
from serving.store.verify import verify_store
from serving.store.versions import HEAD, WouldLoseError
from serving.where import PostgresAddress
from tests.contract.desks import StoreDesk

# A store that the engine of version 2 wrote: tasks that wait, are claimed, resolved and
# rated, were returned and released.
WRITTEN = Path(__file__).with_name("store_v2.sql.gz")
ANA = "general-1"
MASTER = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
KEPT = (
    "task", "decision", "event", "answer", "package", "audit_event", "audit_node",
)  # fmt: skip


class OopsError(Exception):
    """What a migration of a test fails with."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return the path of a store of version 2 with data in it."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(gzip.decompress(WRITTEN.read_bytes()).decode())
    connection.close()
    return path


def rows(path: Path, query: str) -> list[Any]:
    """Return what `query` finds in a file."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def schema(path: Path) -> dict[tuple[str, str], str]:
    """Return the statements that made what is in a file, by kind and name."""
    return {(kind, name): sql for kind, name, sql in rows(path, MASTER)}


def test_an_old_store_is_refused_with_what_to_do(old: Path) -> None:
    """Neither read nor written before it was upgraded."""
    with pytest.raises(StoreVersionError, match="escalon db upgrade brings it there"):
        SqliteStore(old)
    with pytest.raises(StoreVersionError, match="escalon db upgrade"), reading(old):
        pass
    assert migrations.current(old) == "0002"


def test_an_upgraded_store_is_as_one_that_began_here(old: Path, tmp_path: Path) -> None:
    """Schema to the letter, every row where it was, the log sound."""
    before = {table: rows(old, f"SELECT * FROM {table}") for table in KEPT}
    root = verify_store_of_old(old)
    migrations.upgrade(old)
    assert migrations.current(old) == HEAD
    open_store(tmp_path / "fresh.db").close()
    assert schema(old) == schema(tmp_path / "fresh.db")
    for table in KEPT:
        now = rows(old, f"SELECT * FROM {table}")
        assert now[: len(before[table])] == before[table], table
    report = verify_store(old, expect=root)
    assert report.problems == ()
    (lease,) = rows(old, "SELECT lease_until FROM handoff WHERE status = 'CLAIMED'")
    assert rows(old, "SELECT due_at FROM timer WHERE kind = 'lease'") == [lease]


def verify_store_of_old(path: Path) -> tuple[int, str]:
    """Return size and root of the log before anything was changed."""
    leaves = [row[0] for row in rows(path, "SELECT leaf FROM audit_event ORDER BY seq")]
    return len(leaves), audit.root_of(leaves).hex()


def test_an_upgraded_store_can_be_worked_with(old: Path) -> None:
    """What waited can be claimed, what was claimed closed, by the use cases of now."""
    migrations.upgrade(old)
    desk = StoreDesk(old)
    items = desk.engine.handoffs()["handoffs"]
    (held,) = (item for item in items if item["status"] == "CLAIMED")
    waiting = [item for item in items if item["status"] == "QUEUED"]
    assert waiting
    desk.engine.resolve(held["handoff_id"], by=held["claimed_by"], needed="yes")
    for item in waiting:
        claimed = desk.engine.claim(item["handoff_id"], by=ANA)
        assert claimed["lease_until"] is not None
    desk.begin("new")
    desk.close()
    assert verify_store(old).problems == ()


def test_a_claim_that_was_carried_over_ends_like_any_other(old: Path) -> None:
    """Without a sign of life of whoever had it, it is back in its queue."""
    migrations.upgrade(old)
    desk = StoreDesk(old)
    desk.clock.turn(timedelta(days=3_000))
    while desk.engine.duties.run() > 0:
        pass
    statuses = {item["status"] for item in desk.engine.handoffs()["handoffs"]}
    assert "QUEUED" in statuses
    assert "CLAIMED" not in statuses
    desk.close()
    assert verify_store(old).problems == ()


@pytest.mark.parametrize("to", ["0009", "base", "0001", "3"])
def test_a_version_that_is_none_is_refused(old: Path, to: str) -> None:
    """Both ways, with those that there are; the store stays as it was."""
    with pytest.raises(StoreVersionError, match=f"0002.*0003.*{to!r}"):
        migrations.upgrade(old, to)
    with pytest.raises(StoreVersionError, match=f"0002.*{to!r}"):
        migrations.downgrade(old, to)
    assert migrations.current(old) == "0002"


def test_there_and_back_changes_nothing_that_both_know(old: Path) -> None:
    """Without claims, nothing is lost on the way back, and nothing is asked."""
    connection = sqlite3.connect(old)
    claimed = "SELECT handoff_id FROM handoff WHERE status = 'CLAIMED'"
    (handoff_id,) = connection.execute(claimed).fetchone()
    connection.executescript(
        "DROP TRIGGER handoff_edges; DROP TRIGGER handoff_audited; "
        "UPDATE handoff SET status = 'QUEUED', claimed_by = NULL, claimed_at = NULL "
        f"WHERE handoff_id = '{handoff_id}';"
    )
    connection.close()
    tables = (*KEPT, "handoff", "timer", "rating", "handoff_history")
    before = {table: rows(old, f"SELECT * FROM {table}") for table in tables}
    migrations.upgrade(old)
    migrations.downgrade(old, "0002")
    assert migrations.current(old) == "0002"
    for table in tables:
        assert rows(old, f"SELECT * FROM {table}") == before[table], table
    outbox = rows(old, "SELECT handoff_id, target, status FROM outbox")
    assert len(outbox) == len(before["handoff"])
    fresh = sqlite3.connect(":memory:")
    fresh.executescript(schema_of("0002"))
    wanted = {(k, n): sql for k, n, sql in fresh.execute(MASTER)}
    fresh.close()
    now = schema(old)
    now.pop(("table", "alembic_version"))
    assert now == wanted


def test_what_would_be_lost_is_named_and_kept(old: Path) -> None:
    """A way back that loses something is refused, and goes only when told so."""
    migrations.upgrade(old)
    before = schema(old)
    with pytest.raises(WouldLoseError, match="1 claims that end, 1 records of the log"):
        migrations.downgrade(old, "0002")
    assert (migrations.current(old), schema(old)) == (HEAD, before)
    migrations.downgrade(old, "0002", loses=True)
    assert migrations.current(old) == "0002"
    assert rows(old, "SELECT count(*) FROM timer WHERE kind = 'lease'") == [(0,)]


def test_a_migration_that_fails_changes_nothing(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it or none: half a migration is not left behind."""

    def fail(*_: object) -> None:
        raise OopsError

    monkeypatch.setattr(owned_handovers, "_lease", fail)
    before, log = schema(old), rows(old, "SELECT count(*) FROM audit_event")
    with pytest.raises(OopsError):
        migrations.upgrade(old)
    now = schema(old)
    now.pop(("table", "alembic_version"))
    assert now == before
    assert rows(old, "SELECT count(*) FROM audit_event") == log
    monkeypatch.undo()
    migrations.upgrade(old)
    assert verify_store(old).is_sound


def test_a_store_in_use_is_not_migrated(tmp_path: Path) -> None:
    """The service must be stopped: nobody writes under its feet."""
    store = open_store(tmp_path / "store.db")
    with pytest.raises(StoreBusyError, match="only writer"):
        migrations.upgrade(tmp_path / "store.db")
    store.close()
    migrations.upgrade(tmp_path / "store.db")  # nothing to do


@pytest.mark.parametrize("work", [migrations.current, migrations.upgrade])
def test_what_is_not_there_is_not_migrated(tmp_path: Path, work: Any) -> None:
    """A wrong path is an error and makes nothing."""
    with pytest.raises(StoreError, match="check the path"):
        work(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_postgres_store_begins_with_this_version(postgres_url: str) -> None:
    """It says so, has nothing to upgrade, and no way back."""
    address = PostgresAddress(postgres_url)
    with pytest.raises(StoreError, match="found none"):
        migrations.current(address)
    open_store(address).close()
    assert migrations.current(address) == HEAD
    migrations.upgrade(address)
    with pytest.raises(WouldLoseError, match="begin with version 3"):
        migrations.downgrade(address, "0002", loses=True)
    assert migrations.current(address) == HEAD
    open_store(address).close()
