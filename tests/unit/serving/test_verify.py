"""Tests of the offline check: what it proves, and every forgery it must find."""
# ruff: noqa: S608 - the statements are put together from our own tables

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from serving.policy import audit
from serving.store.transaction import StoreError
from serving.store.verify import Report, verify_store

ANA = "general-1"
Forge = Callable[[sqlite3.Connection], object]


def live(desk: Any) -> None:
    """Let a little of everything happen."""
    first = desk.hand_over("a")
    desk.say("Are you there?", "a")
    desk.engine.claim(first, by=ANA)
    desk.engine.release(first, by=ANA)
    desk.engine.claim(first, by="general-2")
    desk.engine.rate(first, by="general-2", sufficient=False, missing=["other"])
    desk.engine.resolve(first, by="general-2", needed="yes", note="done")
    second = desk.hand_over("b")
    desk.engine.claim(second, by=ANA)
    desk.engine.return_(second, by=ANA, guidance="go on")
    desk.say("Thanks", "b")
    desk.hand_over("c")
    desk.begin("d")
    desk.engine.outcomes([desk.event("complaint", task_id="d", text="slow")])


@pytest.fixture(scope="module")
def template() -> list[bytes]:
    """Keep the store that was lived in, to be copied."""
    return []


@pytest.fixture
def lived(
    template: list[bytes], tmp_path: Path, request: pytest.FixtureRequest
) -> Path:
    """Copy a closed store in which a little of everything has happened."""
    if not template:
        desk = request.getfixturevalue("desk")
        live(desk)
        desk.close()
        template.append(desk.path.read_bytes())
    path = tmp_path / "lived.db"
    path.write_bytes(template[0])
    return path


def forge(path: Path, change: Forge) -> None:
    """Change a store as somebody would who owns the file: no trigger stops them."""
    with closing(sqlite3.connect(path)) as connection, connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        change(connection)


def checked(path: Path, change: Forge, **options: Any) -> Report:
    """Forge a store, then check it."""
    forge(path, change)
    return verify_store(path, **options)


def checkpoint(path: Path) -> tuple[int, str]:
    """Return size and root of a sound store."""
    report = verify_store(path)
    assert report.is_sound, report.problems
    return report.size, report.root


# --- what is sound -----------------------------------------------------------


def test_what_the_engine_wrote_is_sound(desk: Any) -> None:
    """Every record, node, row and commitment holds, while the store is open too."""
    live(desk)
    report = verify_store(desk.path)
    assert report.problems == ()
    assert report.is_sound
    shown = desk.engine.audit_records(0, 1)
    assert (report.size, report.root) == (shown["size"], shown["root"])
    assert report.events == desk.count("event")
    assert report.decisions == desk.count("decision")


def test_an_empty_log_is_sound(make_desk: Any) -> None:
    """A service that has done nothing yet has a log that says so."""
    report = verify_store(make_desk().path)
    assert report.is_sound
    assert report.events == 0


def test_every_earlier_checkpoint_holds(desk: Any) -> None:
    """A log that only grew agrees with whatever was noted of it."""
    noted = []
    for task_id in ("a", "b", "c"):
        desk.hand_over(task_id)
        noted.append(checkpoint(desk.path))
    for expect in noted:
        assert verify_store(desk.path, expect=expect).is_sound


def test_checking_changes_nothing(lived: Path) -> None:
    """The file has the same bytes after it was checked."""
    before = hashlib.sha256(lived.read_bytes()).digest()
    verify_store(lived)
    assert hashlib.sha256(lived.read_bytes()).digest() == before


def test_a_report_can_be_sent_on(lived: Path) -> None:
    """As JSON it says sound or not, size and root, and what it was held against."""
    noted = checkpoint(lived)
    report = verify_store(lived, expect=noted).to_json()
    assert report["sound"] is True
    assert (report["size"], report["root"]) == noted
    assert report["compared_with"] == noted
    assert orjson.loads(orjson.dumps(report))["problems"] == []


def test_what_is_no_store_cannot_be_checked(tmp_path: Path) -> None:
    """A wrong path or file is an error, not a finding."""
    with pytest.raises(StoreError, match="found none"):
        verify_store(tmp_path / "nothing.db")
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(StoreError, match="SQLite cannot open"):
        verify_store(tmp_path / "text.db")


# --- what is forged, and found from inside -----------------------------------


COMMITTED = [
    ("audit_event", "body"),
    ("audit_event", "leaf"),
    ("audit_node", "hash"),
    ("task", "owner_id"),
    ("task", "facts"),
    ("event", "event_id"),
    ("event", "kind"),
    ("event", "digest"),
    ("event", "body"),
    ("event", "salt"),
    ("decision", "body"),
    ("decision", "salt"),
    ("handoff", "queue"),
    ("handoff", "chain"),
    ("handoff", "queued_at"),
    ("handoff", "acknowledge_by"),
    ("handoff", "body"),
    ("handoff", "salt"),
    ("package", "digest"),
    ("package", "body"),
    ("package", "salt"),
    ("handoff_history", "at"),
    ("handoff_history", "what"),
    ("timer", "due_at"),
    ("rating", "by"),
    ("rating", "at"),
]


def flipped(value: Any, place: int) -> Any:
    """Return text or bytes with one bit of one byte turned."""
    data = bytearray(value if isinstance(value, bytes) else value.encode())
    data[place % len(data)] ^= 1
    return bytes(data) if isinstance(value, bytes) else data.decode()


@pytest.mark.parametrize(("table", "column"), COMMITTED)
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_turned_bit_is_found(
    lived: Path, table: str, column: str, data: st.DataObject
) -> None:
    """One bit, anywhere in what the log commits to, and the check names it."""
    copy = lived.with_name("copy.db")
    shutil.copy(lived, copy)

    def turn(connection: sqlite3.Connection) -> None:
        query = f"SELECT rowid, {column} FROM {table} WHERE length({column}) > 0"
        if table == "audit_node":
            query = query.replace("rowid", "level * 1000 + idx")
        rows = connection.execute(query).fetchall()
        key, value = data.draw(st.sampled_from(rows))
        forged = flipped(value, data.draw(st.integers(0, 10_000)))
        where = "level * 1000 + idx" if table == "audit_node" else "rowid"
        update = f"UPDATE {table} SET {column} = ? WHERE {where} = ?"
        try:
            connection.execute(update, (forged, key))
        except sqlite3.IntegrityError:
            # Turned into the id of another row, which the schema refuses.
            assume(False)

    report = checked(copy, turn)
    assert not report.is_sound


@pytest.mark.parametrize(
    "table",
    [
        "audit_event",
        "audit_node",
        "task",
        "event",
        "decision",
        "answer",
        "handoff",
        "package",
        "handoff_history",
        "timer",
        "rating",
    ],
)
def test_a_deleted_row_is_found(lived: Path, table: str) -> None:
    """Whatever the log speaks of must be there."""
    middle = f"SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET 2"
    where = f"rowid = ({middle})"
    if table == "audit_node":
        where = "level = 1 AND idx = 1"
    if table == "rating":
        where = "true"
    report = checked(lived, lambda c: c.execute(f"DELETE FROM {table} WHERE {where}"))
    assert not report.is_sound


def test_swapped_records_are_found(lived: Path) -> None:
    """Two records in each other's place are in the wrong place."""

    def swap(connection: sqlite3.Connection) -> None:
        for old, new in ((5, -5), (6, 5), (-5, 6)):
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("UPDATE audit_event SET seq=? WHERE seq=?", (new, old))

    report = checked(lived, swap)
    assert any("says it is record" in problem for problem in report.problems)


def test_an_inserted_record_is_found(lived: Path) -> None:
    """One record more, well-formed and hashed, does not fit the stored nodes."""

    def insert(connection: sqlite3.Connection) -> None:
        (size,) = connection.execute("SELECT count(*) FROM audit_event").fetchone()
        for seq in range(size - 1, 6, -1):
            connection.execute("UPDATE audit_event SET seq=seq+1 WHERE seq=?", (seq,))
        body = b'{"seq":7,"type":"events.appended","task":"a","v":1}'
        connection.execute(
            "INSERT INTO audit_event VALUES (7, ?, ?)", (body, audit.leaf_hash(body))
        )

    assert not checked(lived, insert).is_sound


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE task SET owner_kind='agent', owner_id='bot' WHERE task_id='c'",
        "UPDATE task SET epoch = epoch + 1 WHERE task_id = 'd'",
        "UPDATE task SET audit_seq = 0 WHERE task_id = 'd'",
        "UPDATE handoff SET status = 'RETURNED' WHERE status = 'RESOLVED'",
        "UPDATE handoff SET claimed_by = 'general-3' WHERE claimed_by IS NOT NULL",
        "UPDATE handoff SET urgency = urgency + 1",
        "UPDATE handoff SET epoch = epoch + 10",
        "UPDATE decision SET action = 'CONTINUE' WHERE action = 'ESCALATE'",
        "UPDATE decision SET effective = 0",
        "UPDATE decision SET selected = 1 - selected",
        "UPDATE decision SET position = position + 1",
        "UPDATE event SET decision_id = NULL",
        "UPDATE event SET task_id = 'd', seq = seq + 50 WHERE task_id = 'b'",
        "UPDATE rating SET sufficient = 1",
        "UPDATE timer SET audit_seq = 0",
        "INSERT INTO task VALUES ('z', 'agent', 'bot', 1, x'7b7d', 3)",
        (
            "INSERT INTO event (task_id, seq, event_id, kind, digest, body, salt,"
            " audit_seq) SELECT task_id, 90, 'more', kind, digest, body, salt, 999"
            " FROM event LIMIT 1"
        ),
        (
            "INSERT INTO handoff SELECT 'x', task_id, 99, decision_id, queue, status,"
            " urgency, queued_at, chain, acknowledge_by, resolve_by, climbs,"
            " claimed_by, claimed_at, lease_until, body, salt, audit_seq"
            " FROM handoff WHERE status = 'RESOLVED'"
        ),
        "INSERT INTO audit_node VALUES (9, 0, zeroblob(32))",
        "UPDATE event SET body = x'00' WHERE n = 1",
        "UPDATE handoff SET chain = x'00'",
        "UPDATE audit_event SET body = x'5b5d' WHERE seq = 4",
        "DELETE FROM audit_event WHERE seq = 3",
    ],
)
def test_a_state_that_the_log_does_not_tell_is_found(
    lived: Path, statement: str
) -> None:
    """Owners, verdicts, deadlines, places: none can be had without a record."""

    def change(connection: sqlite3.Connection) -> None:
        assert connection.execute(statement).rowcount > 0

    assert not checked(lived, change).is_sound


def test_many_problems_are_counted_and_some_are_shown(desk: Any) -> None:
    """A log that is wrong from end to end is not printed from end to end."""
    for n in range(120):
        desk.say("Hello", f"task-{n}")
    desk.close()
    report = checked(
        desk.path, lambda c: c.execute("UPDATE audit_event SET leaf = zeroblob(32)")
    )
    assert len(report.problems) == 100
    assert report.found > 120


# --- what only an earlier checkpoint shows -----------------------------------


def test_a_restored_backup_is_found_by_a_checkpoint_alone(desk: Any) -> None:
    """An older copy is sound in itself, and shorter than what was noted."""
    desk.hand_over("a")
    desk.close()
    backup = desk.path.read_bytes()
    desk.open()
    desk.hand_over("b")
    desk.close()
    noted = checkpoint(desk.path)
    desk.path.write_bytes(backup)
    assert verify_store(desk.path).is_sound
    report = verify_store(desk.path, expect=noted)
    assert "the log was cut" in report.problems[0]


def test_a_cut_tail_is_found_by_a_checkpoint_alone(desk: Any) -> None:
    """A last record that no row points at can be removed without a trace inside."""
    desk.hand_over("a")
    desk.close()
    desk.open()
    desk.close()
    noted = checkpoint(desk.path)

    def cut(connection: sqlite3.Connection) -> None:
        (last,) = connection.execute("SELECT max(seq) FROM audit_event").fetchone()
        (kind,) = connection.execute(
            "SELECT body ->> '$.type' FROM audit_event WHERE seq = ?", (last,)
        ).fetchone()
        assert kind == "model.loaded"
        for level in range(1, 20):
            connection.execute(
                "DELETE FROM audit_node WHERE level = ? AND (idx + 1) << ? > ?",
                (level, level, last),
            )
        connection.execute("DELETE FROM audit_event WHERE seq = ?", (last,))

    forge(desk.path, cut)
    assert verify_store(desk.path).is_sound
    assert not verify_store(desk.path, expect=noted).is_sound


def rewritten(connection: sqlite3.Connection) -> None:
    """Rewrite history as the owner of the file can: words, commitments, every hash."""
    n, body, salt, seq = connection.execute(
        "SELECT n, body, salt, audit_seq FROM event WHERE CAST(body AS TEXT) LIKE '%Thanks%'"
    ).fetchone()
    forged = body.replace(b"Thanks", b"Thx!!!")
    connection.execute(
        "UPDATE event SET body = ?, digest = ? WHERE n = ?",
        (forged, hashlib.sha256(forged).hexdigest(), n),
    )
    (stored,) = connection.execute(
        "SELECT body FROM audit_event WHERE seq = ?", (seq,)
    ).fetchone()
    record = orjson.loads(stored)
    leaf = audit.leaf_hash(audit.commitment(salt, forged))
    record["events"]["commit"] = audit.root_of([leaf]).hex()
    connection.execute(
        "UPDATE audit_event SET body = ? WHERE seq = ?",
        (orjson.dumps(record, option=orjson.OPT_SORT_KEYS), seq),
    )
    rehash(connection)


def rehash(connection: sqlite3.Connection) -> None:
    """Hash every record and node anew."""
    nodes: dict[tuple[int, int], bytes] = {}
    rows = connection.execute("SELECT seq, body FROM audit_event ORDER BY seq")
    for seq, body in rows.fetchall():
        leaf = audit.leaf_hash(body)
        connection.execute("UPDATE audit_event SET leaf=? WHERE seq=?", (leaf, seq))
        for level, index, value in audit.append(seq, leaf, lambda *at: nodes[at]):
            nodes[level, index] = value
            connection.execute(
                "UPDATE audit_node SET hash = ? WHERE level = ? AND idx = ?",
                (value, level, index),
            )


def test_a_rewritten_history_is_found_by_a_checkpoint_alone(lived: Path) -> None:
    """Who can write the file can forge all of it, but not what was noted elsewhere."""
    noted = checkpoint(lived)
    forge(lived, rewritten)
    assert verify_store(lived).is_sound
    report = verify_store(lived, expect=noted)
    assert "they were changed since" in report.problems[0]


def test_a_forged_event_without_its_record_is_found(lived: Path) -> None:
    """Hashing the tree anew does not help where the commitment is the old one."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE event SET body ="
            " CAST(replace(CAST(body AS TEXT), 'Thanks', 'Thx!!!') AS BLOB)"
            " WHERE CAST(body AS TEXT) LIKE '%Thanks%'"
        )
        rehash(connection)

    report = checked(lived, change)
    assert any("not those it holds" in problem for problem in report.problems)
