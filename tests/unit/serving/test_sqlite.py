"""Tests of the SQLite store: its file and its one writer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.store.sqlite import SqliteStore, read_only
from serving.store.transaction import (
    ConstraintError,
    StoreBusyError,
    StoreError,
    StoreVersionError,
    Transaction,
)

LEAF = bytes(32)
RECORD = "INSERT INTO audit_event (seq, body, leaf) VALUES (:seq, x'00', :leaf)"


def fill(tx: Transaction) -> None:
    """Put two records into the log."""
    for seq in (0, 1):
        tx.run(RECORD, seq=seq, leaf=LEAF)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Open a store in a directory that is made with it."""
    store = SqliteStore(tmp_path / "new" / "store.db")
    yield store
    store.close()


# --- the file ----------------------------------------------------------------


def test_commits_are_synced_and_rules_enforced(store: SqliteStore) -> None:
    """The writing connection has WAL, full sync, and foreign keys on."""

    def pragmas(tx: Transaction) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        rows = [tx.one(f"PRAGMA {name}") for name in names]
        return [row[name] for row, name in zip(rows, names, strict=True) if row]

    assert store.submit(pragmas).result() == ["wal", 2, 1, 0]


@pytest.mark.usefixtures("store")
def test_a_second_writer_is_turned_away(tmp_path: Path) -> None:
    """Another process that opens the store is told who has it, and what to do."""
    code = (
        "import sys, pathlib; from serving.store.sqlite import SqliteStore;"
        "SqliteStore(pathlib.Path(sys.argv[1]))"
    )
    path = tmp_path / "new" / "store.db"
    other = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode != 0
    assert "StoreBusyError: expected to be the only writer of" in other.stderr
    assert "stop that one, or choose another store" in other.stderr
    with pytest.raises(StoreBusyError, match=r"but process \d+ has it open"):
        SqliteStore(path)


def test_a_store_can_be_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    """Closing gives the lock back, and leaves one file without a log beside it."""
    path = tmp_path / "store.db"
    SqliteStore(path).close()
    SqliteStore(path).close()
    assert not path.with_name("store.db-wal").exists()


def test_a_store_that_cannot_be_opened_gives_the_lock_back(tmp_path: Path) -> None:
    """After a refused file the path is free for the right one."""
    path = tmp_path / "store.db"
    path.write_text("certainly no database, and longer than a header of one " * 20)
    with pytest.raises(StoreVersionError, match="SQLite cannot open"):
        SqliteStore(path)
    path.unlink()
    SqliteStore(path).close()


def test_the_file_of_another_version_is_refused(tmp_path: Path) -> None:
    """A newer schema is neither read nor written by this version."""
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store.submit(lambda tx: tx.run("PRAGMA user_version = 1")).result()
    store.close()
    with pytest.raises(
        StoreVersionError, match=r"schema version 3, found .* version 1"
    ):
        SqliteStore(path)
    with (
        pytest.raises(StoreVersionError, match="escalon db upgrade"),
        read_only(path),
    ):
        pass


def test_reading_a_store_that_is_not_there_makes_none(tmp_path: Path) -> None:
    """A wrong path is an error, not an empty store."""
    path = tmp_path / "store.db"
    with pytest.raises(StoreError, match="found none; check the path"), read_only(path):
        pass
    assert not path.exists()


def test_a_reader_cannot_write(store: SqliteStore, tmp_path: Path) -> None:
    """A reading connection refuses every change, so there is one writer."""
    store.submit(fill).result()
    with (
        pytest.raises(StoreError, match="readonly"),
        read_only(tmp_path / "new" / "store.db") as reader,
    ):
        list(reader.all("UPDATE task SET epoch = 9, audit_seq = 1"))


def test_a_lost_transaction_loses_the_whole_group(store: SqliteStore) -> None:
    """Where the database gives a transaction up, nobody of its group is answered."""
    undone: list[str] = []

    def fine(tx: Transaction) -> None:
        tx.on_rollback(lambda: undone.append("fine"))
        tx.run(RECORD, seq=0, leaf=LEAF)

    def fatal(tx: Transaction) -> None:
        tx.run("ROLLBACK")
        tx.run("SELECT no_such_function()")

    first, second = store.submit(fine), store.submit(fatal)
    for future in (first, second):
        with pytest.raises(StoreError):
            future.result()
    assert undone == ["fine"]
    store.submit(fill).result()


def test_a_commit_that_fails_is_answered_to_nobody_as_done(store: SqliteStore) -> None:
    """The whole group hears of it, nothing is kept, and the store goes on."""

    def fine(tx: Transaction) -> None:
        tx.run(RECORD, seq=0, leaf=LEAF)

    def dangling(tx: Transaction) -> None:
        # Foreign keys are looked at only when the group commits.
        tx.run("PRAGMA defer_foreign_keys = ON")
        tx.run("INSERT INTO answer (audit_seq, body) VALUES (99, x'00')")

    first, second = store.submit(fine), store.submit(dangling)
    for future in (first, second):
        with pytest.raises(ConstraintError, match="FOREIGN KEY"):
            future.result()
    store.submit(fill).result()
