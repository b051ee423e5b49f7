"""The rules of the schema, on each database, and that both say the same."""
# ruff: noqa: S608 - the statements are put together from our own tables

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import psycopg
import pytest

from serving.store.opening import open_store
from serving.store.transaction import ConstraintError, Store, Transaction
from serving.store.versions import HEAD
from serving.where import Where, where_of

LEAF = SALT = bytes(32)
HEX = "0" * 64
VALUES = {"leaf": LEAF, "salt": SALT, "digest": HEX, "json": b"{}", "list": b"[]"}

RECORD = "INSERT INTO audit_event (seq, body, leaf) VALUES (:seq, :json, :leaf)"
NODE = "INSERT INTO audit_node (level, idx, hash) VALUES (1, 0, :leaf)"
TASK = """
INSERT INTO task (task_id, owner_kind, owner_id, epoch, facts, audit_seq)
VALUES ('t', 'agent', 'bot', 1, :json, 0)
"""
DECISION = """
INSERT INTO decision
  (decision_id, task_id, position, action, effective, selected, body, salt, audit_seq)
VALUES ('d', 't', 0, 'CONTINUE', 1, 0, :json, :salt, 0)
"""
EVENT = """
INSERT INTO event (task_id, seq, event_id, kind, digest, body, salt, audit_seq)
VALUES ('t', {seq}, '{event_id}', 'usage', :digest, :json, :salt, 0)
"""
HANDOFF = """
INSERT INTO handoff (handoff_id, task_id, epoch, decision_id, queue, status, urgency,
  queued_at, chain, acknowledge_by, resolve_by, body, salt, audit_seq)
VALUES ('{handoff_id}', 't', {epoch}, 'd', 'q', 'QUEUED', 0, 'at', :list, 'at', 'at',
  :json, :salt, 0)
"""
TIMER = """
INSERT INTO timer (handoff_id, kind, due_at, audit_seq) VALUES ('h', 'resolve', 'at', 0)
"""
OUTBOX = """
INSERT INTO outbox (outbox_id, handoff_id, channel, place, kind, body, status,
  queued_at, next_at, expires_at, audit_seq)
VALUES ('o', 'h', 'desk', 0, 'opened', :json, 'pending', 'at', 'at', 'at', 0)
"""
NOTICE = """
INSERT INTO notice (handoff_id, message_id, text, wait_s, said_at, audit_seq)
VALUES ('h', 'm', 'Wait.', 1.5, 'at', 0)
"""
RATING = """
INSERT INTO rating (handoff_id, by, sufficient, missing, at, audit_seq)
VALUES ('h', 'ana', 1, :list, 'at', 0)
"""
PACKAGE = """
INSERT INTO package (handoff_id, digest, body, salt, audit_seq)
VALUES ('h', :digest, :json, :salt, 0)
"""
HISTORY = """
INSERT INTO handoff_history (handoff_id, audit_seq, at, by, what)
VALUES ('h', 0, 'at', 'ana', 'opened')
"""
ANSWER = "INSERT INTO answer (audit_seq, body) VALUES (0, :json)"
ALARM = """
INSERT INTO alarm (alarm_id, model, code, segment, severity, raised_at, body, salt,
  audit_seq)
VALUES ('a', '', 'drift', '', 'notice', 'at', :json, :salt, 0)
"""
CLAIM = "status = 'CLAIMED', claimed_by = 'ana', claimed_at = 'at', lease_until = 'at'"

Run = Callable[[str], int]


def fill(tx: Transaction) -> None:
    """Put one row into every table with rules, and a second audit record."""
    filling = [
        NODE,
        TASK,
        DECISION,
        EVENT.format(seq=0, event_id="e"),
        HANDOFF.format(handoff_id="h", epoch=2),
        *(TIMER, OUTBOX, NOTICE, RATING, PACKAGE, HISTORY, ANSWER, ALARM),
    ]
    for seq in (0, 1):
        tx.run(RECORD, **VALUES, seq=seq)
    for statement in filling:
        tx.run(statement, **VALUES)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """Return a place of each kind, with nothing there."""
    if request.param == "postgres":
        return where_of(request.getfixturevalue("postgres_url"))
    return tmp_path / "store.db"


@pytest.fixture
def store(where: Where) -> Iterator[Store]:
    """Open a store that has one row in every table."""
    store = open_store(where)
    store.submit(fill).result()
    yield store
    store.close()


@pytest.fixture
def run(store: Store) -> Run:
    """Run a statement in a transaction of its own."""
    return lambda statement: store.submit(
        lambda tx: tx.run(statement, **VALUES)
    ).result()


# --- the rules ---------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    ["audit_event", "audit_node", "event", "decision", "package", "handoff_history"],
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
        ("notice", "shown_at = 'at'"),
        ("rating", "sufficient = 0"),
        ("alarm", "cleared_at = 'at', closing = body"),
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


@pytest.mark.parametrize("status", ["RESOLVED", "RETURNED"])
def test_a_waiting_handoff_cannot_be_closed(run: Run, status: str) -> None:
    """Somebody must have had it first."""
    closing = f"status = '{status}', claimed_by = 'ana', claimed_at = 'at'"
    with pytest.raises(ConstraintError, match="no such edge"):
        run(f"UPDATE handoff SET {closing}, audit_seq = 1")


def test_a_closed_handoff_stays_closed(store: Store, run: Run) -> None:
    """From the final states there is no way back."""
    for seq in (2, 3):
        store.submit(lambda tx, n=seq: tx.run(RECORD, **VALUES, seq=n)).result()
    run(f"UPDATE handoff SET {CLAIM}, audit_seq = 1")
    run("UPDATE handoff SET status = 'RESOLVED', lease_until = NULL, audit_seq = 2")
    with pytest.raises(ConstraintError, match="no such edge"):
        run("UPDATE handoff SET status = 'CLAIMED', lease_until = 'at', audit_seq = 3")


@pytest.mark.parametrize(
    "change",
    [
        "status = 'CLAIMED', lease_until = 'at'",
        "claimed_by = 'ana', claimed_at = 'at'",
        "status = 'CLAIMED', claimed_by = 'ana', lease_until = 'at'",
        "status = 'CLAIMED', claimed_by = 'ana', claimed_at = 'at'",
    ],
)
def test_a_claim_names_a_person_and_its_end(run: Run, change: str) -> None:
    """A claim without holder, time or lease cannot be, nor a waiting one with them."""
    with pytest.raises(ConstraintError, match="CHECK"):
        run(f"UPDATE handoff SET {change}, audit_seq = 1")


@pytest.mark.parametrize(
    ("table", "change", "says"),
    [
        ("handoff", "body = :list", "terms are fixed"),
        ("outbox", "kind = 'claimed'", "what is to be told is fixed"),
        ("notice", "text = 'x'", "what the user was told is fixed"),
        ("alarm", "code = 'x'", "what was found is fixed"),
    ],
)
def test_terms_are_fixed(run: Run, table: str, change: str, says: str) -> None:
    """What was said once, even under a record, cannot be rewritten."""
    with pytest.raises(ConstraintError, match=says):
        run(f"UPDATE {table} SET {change}, audit_seq = 1")


def test_a_task_has_one_active_handoff(run: Run) -> None:
    """A second one is refused while the first waits or is worked on."""
    again = HANDOFF.format(handoff_id="h2", epoch=3)
    with pytest.raises(ConstraintError, match=r"UNIQUE .*handoff\.task_id"):
        run(again)
    run(f"UPDATE handoff SET {CLAIM}, audit_seq = 1")
    with pytest.raises(ConstraintError, match=r"UNIQUE .*handoff\.task_id"):
        run(again)


@pytest.mark.parametrize("table", ["task", "handoff", "alarm", "outbox", "notice"])
def test_state_is_closed_and_not_deleted(run: Run, table: str) -> None:
    """Whatever somebody may ask for later stays."""
    with pytest.raises(ConstraintError, match=r"not deleted|is kept"):
        run(f"DELETE FROM {table}")


@pytest.mark.parametrize(("seq", "event_id"), [(1, "e"), (0, "f")])
def test_an_event_is_stored_once(run: Run, seq: int, event_id: str) -> None:
    """Neither its id nor its place can be taken twice in one task."""
    with pytest.raises(ConstraintError, match="UNIQUE"):
        run(EVENT.format(seq=seq, event_id=event_id))


@pytest.mark.parametrize("seq", [1, 3])
def test_records_follow_without_a_gap(store: Store, seq: int) -> None:
    """A record can be put neither later nor in between."""
    with pytest.raises(ConstraintError, match="without a gap"):
        store.submit(lambda tx: tx.run(RECORD, **VALUES, seq=seq)).result()


def test_texts_sort_by_their_bytes(store: Store) -> None:
    """The order of texts, and of times among them, is the same everywhere."""
    names = ["Zoe", "ana", "Bo", "_x", "émile", "2026-01-02T00:00:00Z", "10"]

    def listed(tx: Transaction) -> list[str]:
        for name in names:
            tx.run(
                "INSERT INTO channel (channel, changed_at) VALUES (:name, 'at')",
                name=name,
            )
        return [
            r["channel"] for r in tx.all("SELECT channel FROM channel ORDER BY channel")
        ]

    assert store.submit(listed).result() == sorted(names, key=str.encode)


def test_a_whole_table_cannot_be_emptied(postgres_url: str) -> None:
    """TRUNCATE, which PostgreSQL has beside DELETE, is refused as well."""
    store = open_store(where_of(postgres_url))
    store.submit(fill).result()
    with pytest.raises(ConstraintError, match="append-only"):
        store.submit(lambda tx: tx.run("TRUNCATE audit_event CASCADE")).result()
    store.close()


# --- both say the same -------------------------------------------------------


def tables(url: str) -> dict[str, list[tuple[str, str, bool]]]:
    """Return name, type and whether it may be empty of each column, by table."""
    types = {
        "bigint": "INTEGER",
        "text": "TEXT",
        "bytea": "BLOB",
        "double precision": "REAL",
    }
    found: dict[str, list[tuple[str, str, bool]]] = {}
    query = """
        SELECT table_name, column_name, data_type, is_nullable, collation_name
        FROM information_schema.columns WHERE table_schema = 'public'
        ORDER BY table_name, ordinal_position
    """
    with psycopg.connect(url) as connection:
        for table, column, kind, nullable, collation in connection.execute(query):
            if table == "alembic_version":
                continue
            assert kind != "text" or collation == "C", (table, column)
            found.setdefault(table, []).append((column, types[kind], nullable == "YES"))
    return found


def test_both_databases_have_the_same_columns(
    postgres_url: str, tmp_path: Path
) -> None:
    """Tables, their columns in order, types, and what may be missing are the same."""
    open_store(where_of(postgres_url)).close()
    open_store(tmp_path / "store.db").close()
    ours = tables(postgres_url)
    with sqlite3.connect(tmp_path / "store.db") as connection:
        for table, columns in ours.items():
            rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
            theirs = [(row[1], row[2], not row[3] and not row[5]) for row in rows]
            assert theirs == columns, table
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
        assert {row[0] for row in names} - {"alembic_version"} == set(ours)
    connection.close()


def rules(name: str) -> dict[str, str]:
    """Return what each trigger says, and what each index is over, by name."""
    text = resources.files("serving.store").joinpath(name).read_text("utf-8")
    text = re.sub(r"--[^\n]*", "", text)
    said = re.findall(
        r"CREATE TRIGGER (\w+) BEFORE ([\w\s,]+? ON \w+)\s.*?'(\w+: [^']*)'\)",
        text,
        re.DOTALL,
    )
    over = re.findall(r"CREATE (UNIQUE )?INDEX (\w+) ON ([^;]*);", text)
    found = {name: " ".join(f"{when} {says}".split()) for name, when, says in said}
    return found | {
        name: unique + " ".join(where.split()) for unique, name, where in over
    }


def test_both_databases_have_the_same_rules() -> None:
    """Every trigger says the same in the same case; every index is over the same."""
    theirs, ours = rules("schema.sql"), rules("schema.postgresql.sql")
    whole = {name for name in ours if name.endswith("_whole")}
    kept = (re.match(r"DELETE ON (\w+)", says) for says in theirs.values())
    assert {name.removesuffix("_whole") for name in whole} == {k[1] for k in kept if k}
    assert {k: v for k, v in ours.items() if k not in whole} == theirs
    assert len(theirs) > 60


def test_the_frozen_schema_of_the_newest_version_is_the_schema() -> None:
    """Whoever changes the schema without a new version changes the frozen one too."""
    files = resources.files("serving.store")
    frozen = files.joinpath("migrations", f"schema_{HEAD}.sql").read_text("utf-8")
    assert frozen == files.joinpath("schema.sql").read_text("utf-8")
