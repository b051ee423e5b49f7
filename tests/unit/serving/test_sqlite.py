"""Tests of the SQLite store: its file, its one writer, and the rules of its schema."""
# ruff: noqa: S608 - the statements are put together from our own tables

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
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
SALT = bytes(32)
HEX = "0" * 64

RECORD = "INSERT INTO audit_event (seq, body, leaf) VALUES (:seq, x'00', :leaf)"
TASK = """
INSERT INTO task (task_id, owner_kind, owner_id, epoch, facts, audit_seq)
VALUES ('t', 'agent', 'bot', 1, x'7b7d', 0)
"""
DECISION = """
INSERT INTO decision
  (decision_id, task_id, position, action, effective, selected, body, salt, audit_seq)
VALUES ('d', 't', 0, 'CONTINUE', 1, 0, x'7b7d', :salt, 0)
"""
EVENT = """
INSERT INTO event (task_id, seq, event_id, kind, digest, body, salt, audit_seq)
VALUES ('t', :seq, :event_id, 'usage', :digest, x'7b7d', :salt, 0)
"""
HANDOFF = """
INSERT INTO handoff (handoff_id, task_id, epoch, decision_id, queue, status, urgency,
  queued_at, chain, acknowledge_by, resolve_by, body, salt, audit_seq)
VALUES (:handoff_id, 't', :epoch, 'd', 'q', 'QUEUED', 0, 'at', x'5b5d', 'at', 'at',
  x'7b7d', :salt, 0)
"""
TIMER = """
INSERT INTO timer (handoff_id, kind, due_at, audit_seq) VALUES ('h', 'resolve', 'at', 0)
"""
OUTBOX = """
INSERT INTO outbox (outbox_id, handoff_id, target, status, next_at, audit_seq)
VALUES ('o', 'h', 'webhook', 'pending', 'at', 0)
"""
RATING = """
INSERT INTO rating (handoff_id, by, sufficient, missing, at, audit_seq)
VALUES ('h', 'ana', 1, x'5b5d', 'at', 0)
"""
PACKAGE = """
INSERT INTO package (handoff_id, digest, body, salt, audit_seq)
VALUES ('h', :digest, x'7b7d', :salt, 0)
"""
HISTORY = """
INSERT INTO handoff_history (handoff_id, audit_seq, at, by, what)
VALUES ('h', 0, 'at', 'ana', 'opened')
"""
ANSWER = "INSERT INTO answer (audit_seq, body) VALUES (0, x'7b7d')"
NODE = "INSERT INTO audit_node (level, idx, hash) VALUES (1, 0, :leaf)"

Run = Callable[[str], int]


def fill(tx: Transaction) -> None:
    """Put one row into every table, and a second audit record."""
    for seq in (0, 1):
        tx.run(RECORD, seq=seq, leaf=LEAF)
    tx.run(NODE, leaf=LEAF)
    tx.run(TASK)
    tx.run(DECISION, salt=SALT)
    tx.run(EVENT, seq=0, event_id="e", digest=HEX, salt=SALT)
    tx.run(HANDOFF, handoff_id="h", epoch=2, salt=SALT)
    for statement in (TIMER, OUTBOX, RATING, HISTORY, ANSWER):
        tx.run(statement)
    tx.run(PACKAGE, digest=HEX, salt=SALT)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Open a store in a directory that is made with it."""
    store = SqliteStore(tmp_path / "new" / "store.db")
    yield store
    store.close()


@pytest.fixture
def run(store: SqliteStore) -> Run:
    """Run statements on a store that has one row in every table."""
    store.submit(fill).result()
    return lambda statement: store.submit(lambda tx: tx.run(statement)).result()


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
        StoreVersionError, match=r"schema version 2, found .* version 1"
    ):
        SqliteStore(path)
    with (
        pytest.raises(StoreVersionError, match="choose another path"),
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


# --- the rules ---------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        "audit_event",
        "audit_node",
        "event",
        "decision",
        "package",
        "handoff_history",
    ],
)
def test_what_was_logged_neither_changes_nor_goes(run: Run, table: str) -> None:
    """Logs are append-only, whoever asks."""
    column = "hash" if table == "audit_node" else "audit_seq"
    column = "seq" if table == "audit_event" else column
    with pytest.raises(ConstraintError, match=f"{table}: append-only"):
        run(f"UPDATE {table} SET {column} = {column}")
    with pytest.raises(ConstraintError, match=f"{table}: append-only"):
        run(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("task", "owner_id = 'x', epoch = 2"),
        ("handoff", "queue = 'x'"),
        ("outbox", "status = 'done'"),
        ("timer", "settled_at = 'at'"),
        ("rating", "sufficient = 0"),
    ],
)
def test_no_state_changes_without_its_record(run: Run, table: str, change: str) -> None:
    """A change must point at a later record, one that exists."""
    with pytest.raises(ConstraintError, match=f"{table}: a change needs its own audit"):
        run(f"UPDATE {table} SET {change}")
    with pytest.raises(ConstraintError, match="FOREIGN KEY"):
        run(f"UPDATE {table} SET {change}, audit_seq = 99")
    assert run(f"UPDATE {table} SET {change}, audit_seq = 1") == 1


@pytest.mark.parametrize(
    "change",
    [
        "owner_id = 'ana'",
        "owner_kind = 'queue', epoch = 3",
        "epoch = 2",
        "owner_kind = 'queue', epoch = 0",
    ],
)
def test_epoch_rises_by_one_exactly_when_the_owner_changes(
    run: Run, change: str
) -> None:
    """No new owner under an old epoch, no new epoch under the old owner."""
    with pytest.raises(ConstraintError, match="epoch must rise by one"):
        run(f"UPDATE task SET {change}, audit_seq = 1")


@pytest.mark.parametrize("kind", ["somebody", "human", ""])
def test_an_owner_is_of_a_known_kind(run: Run, kind: str) -> None:
    """Agent, queue, person or nobody: the database knows no other."""
    with pytest.raises(ConstraintError, match="CHECK"):
        run(f"UPDATE task SET owner_kind = '{kind}', epoch = 2, audit_seq = 1")


CLAIM = "status = 'CLAIMED', claimed_by = 'ana', claimed_at = 'at'"


@pytest.mark.parametrize("status", ["RESOLVED", "RETURNED"])
def test_a_waiting_handoff_cannot_be_closed(run: Run, status: str) -> None:
    """Somebody must have had it first."""
    closing = CLAIM.replace("CLAIMED", status)
    with pytest.raises(ConstraintError, match="no such edge"):
        run(f"UPDATE handoff SET {closing}, audit_seq = 1")


def test_a_closed_handoff_stays_closed(store: SqliteStore, run: Run) -> None:
    """From the final states there is no way back."""
    store.submit(lambda tx: tx.run(RECORD, seq=2, leaf=LEAF)).result()
    store.submit(lambda tx: tx.run(RECORD, seq=3, leaf=LEAF)).result()
    run(f"UPDATE handoff SET {CLAIM}, audit_seq = 1")
    run("UPDATE handoff SET status = 'RESOLVED', audit_seq = 2")
    with pytest.raises(ConstraintError, match="no such edge"):
        run("UPDATE handoff SET status = 'CLAIMED', audit_seq = 3")


def test_a_claim_names_a_person(run: Run) -> None:
    """A claimed handoff without a holder, or a waiting one with one, cannot be."""
    with pytest.raises(ConstraintError, match="CHECK"):
        run("UPDATE handoff SET status = 'CLAIMED', audit_seq = 1")
    with pytest.raises(ConstraintError, match="CHECK"):
        run("UPDATE handoff SET claimed_by = 'ana', claimed_at = 'at', audit_seq = 1")


def test_the_terms_of_a_handoff_are_fixed(run: Run) -> None:
    """What a handoff was opened with cannot be rewritten."""
    with pytest.raises(ConstraintError, match="terms are fixed"):
        run("UPDATE handoff SET body = x'00', audit_seq = 1")


def test_a_task_has_one_active_handoff(store: SqliteStore, run: Run) -> None:
    """A second one is refused while the first waits or is worked on."""
    again = HANDOFF.replace(":handoff_id", "'h2'").replace(":epoch", "3")
    with pytest.raises(ConstraintError, match=r"handoff\.task_id"):
        store.submit(lambda tx: tx.run(again, salt=SALT)).result()
    run(f"UPDATE handoff SET {CLAIM}, audit_seq = 1")
    with pytest.raises(ConstraintError, match=r"handoff\.task_id"):
        store.submit(lambda tx: tx.run(again, salt=SALT)).result()


@pytest.mark.parametrize("table", ["task", "handoff"])
def test_state_is_closed_and_not_deleted(run: Run, table: str) -> None:
    """Tasks and handoffs stay for whoever asks later."""
    with pytest.raises(ConstraintError, match="closed, not deleted"):
        run(f"DELETE FROM {table}")


@pytest.mark.usefixtures("run")
def test_an_event_is_stored_once(store: SqliteStore) -> None:
    """Neither its id nor its place can be taken twice in one task."""
    for seq, event_id in ((1, "e"), (0, "f")):
        with pytest.raises(ConstraintError, match="UNIQUE"):
            store.submit(
                lambda tx, s=seq, e=event_id: tx.run(
                    EVENT, seq=s, event_id=e, digest=HEX, salt=SALT
                )
            ).result()


@pytest.mark.usefixtures("run")
def test_records_follow_without_a_gap(store: SqliteStore) -> None:
    """A record can be put neither later nor in between."""
    for seq in (1, 3):
        with pytest.raises(ConstraintError, match="without a gap"):
            store.submit(lambda tx, n=seq: tx.run(RECORD, seq=n, leaf=LEAF)).result()
