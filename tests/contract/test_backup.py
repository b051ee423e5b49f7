"""The drill: a store copied while it is written to, lost, and brought back."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from serving.policy.audit import AuditType
from serving.store import ledger
from serving.store.backup import BackupError, backup, manifest_of, restore
from serving.store.opening import open_store, reading
from serving.store.transaction import Store, Transaction
from serving.where import PostgresAddress, Where, where_of

COUNT = "SELECT count(*) AS n FROM channel WHERE channel <> ''"
NOTE = "INSERT INTO channel (channel, changed_at) VALUES (:name, 'at')"


@pytest.fixture(params=["sqlite", "postgres"])
def where(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Where:
    """Return a place of each kind; the programs of PostgreSQL are on the path."""
    if request.param == "sqlite":
        return tmp_path / "store.db"
    url = request.getfixturevalue("postgres_url")
    programs = request.getfixturevalue("postgres_programs")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return where_of(url)


@pytest.fixture
def store(where: Where) -> Iterator[Store]:
    """Open a store with a log in it."""
    store = open_store(where)
    for _ in range(5):
        store.submit(record).result()
    yield store
    store.close()


def record(tx: Transaction) -> None:
    """Append a record to the log, and something that it need not speak of."""
    seq = ledger.append(tx, AuditType.LOG_CREATED, datetime(2026, 11, 24, tzinfo=UTC))
    tx.run(NOTE, name=f"n{seq}")


def noted(where: Where) -> int:
    """Return how many rows a store has of those that were written beside records."""
    with reading(where) as reader:
        row = reader.one(COUNT)
    return 0 if row is None else int(row["n"])


def emptied(where: Where) -> Where:
    """Lose the store at `where`, and return an empty place of the same kind."""
    if isinstance(where, PostgresAddress):
        with psycopg.connect(where.url, autocommit=True) as admin:
            admin.execute("DROP SCHEMA public CASCADE")
            admin.execute("CREATE SCHEMA public")
        return where
    for path in where.parent.glob(f"{where.name}*"):
        path.unlink()
    return where


def test_what_was_lost_comes_back(store: Store, where: Where, tmp_path: Path) -> None:
    """A copy made under writes holds one moment, and is proven when it is back."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.submit(record).result()

    writer = threading.Thread(target=write)
    writer.start()
    made = backup(where, tmp_path / "kept")
    stop.set()
    writer.join()
    written = noted(where)
    store.close()
    report = restore(tmp_path / "kept", emptied(where))
    assert report.problems == ()
    assert made.size <= report.size == noted(where) <= written
    again = open_store(where)
    again.submit(record).result()
    again.close()


def test_attachments_go_with_it(store: Store, where: Where, tmp_path: Path) -> None:
    """The files that events name are copied, brought back, and read for the proof."""
    body = b"a screenshot"
    digest = hashlib.sha256(body).hexdigest()
    files = tmp_path / "files"
    (files / digest[:2]).mkdir(parents=True)
    (files / digest[:2] / digest).write_bytes(body)
    store.close()
    assert backup(where, tmp_path / "kept", attachments=files).files == 1
    report = restore(tmp_path / "kept", emptied(where), attachments=tmp_path / "again")
    assert report.problems == ()
    assert (tmp_path / "again" / digest[:2] / digest).read_bytes() == body


def test_a_checkpoint_noted_elsewhere_shows_an_old_backup(
    store: Store, where: Where, tmp_path: Path
) -> None:
    """Who brings back less than was known is told, although it is whole in itself."""
    backup(where, tmp_path / "kept")
    for _ in range(3):
        store.submit(record).result()
    later = backup(where, tmp_path / "later")
    store.close()
    place = emptied(where)
    report = restore(tmp_path / "kept", place, expect=(later.size, later.root))
    assert not report.is_sound
    assert "the log was cut" in " ".join(report.problems)


def test_nothing_is_overwritten(store: Store, where: Where, tmp_path: Path) -> None:
    """Neither a backup nor a store that is there."""
    backup(where, tmp_path / "kept")
    with pytest.raises(BackupError, match="choose another directory"):
        backup(where, tmp_path / "kept")
    with pytest.raises(BackupError, match="restore to an empty place"):
        restore(tmp_path / "kept", where)
    assert noted(where) == 5
    store.close()


def test_a_backup_that_was_changed_is_refused(
    store: Store, where: Where, tmp_path: Path
) -> None:
    """One byte is enough, and nothing is written."""
    backup(where, tmp_path / "kept")
    store.close()
    (copy,) = (p for p in (tmp_path / "kept").iterdir() if p.suffix != ".json")
    held = bytearray(copy.read_bytes())
    held[len(held) // 2] ^= 1
    copy.write_bytes(held)
    with pytest.raises(BackupError, match="it was changed, or cut short"):
        restore(tmp_path / "kept", emptied(where))


def test_a_backup_goes_to_its_own_kind(tmp_path: Path) -> None:
    """A file is not brought back to a server."""
    open_store(tmp_path / "store.db").close()
    backup(tmp_path / "store.db", tmp_path / "kept")
    assert manifest_of(tmp_path / "kept").revision == "0003"
    with pytest.raises(BackupError, match="other kind"):
        restore(tmp_path / "kept", PostgresAddress("postgresql://h/d"))
    with pytest.raises(BackupError, match=r"found no manifest\.json"):
        restore(tmp_path, tmp_path / "again.db")


def test_a_missing_program_is_named(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the client of PostgreSQL it says what to install, and leaves nothing."""
    address = PostgresAddress(postgres_url)
    open_store(address).close()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="pg_dump is not on the PATH"):
        backup(address, tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []
