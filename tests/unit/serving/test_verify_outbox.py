"""Tests of the offline check of deliveries: every forgery it must find."""
# ruff: noqa: S608 - the statements are put together from our own columns

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.policy.delivery import Attempt, Ending
from serving.policy.rules import Policy
from serving.store.verify import Report, verify_store

Forge = Callable[[sqlite3.Connection], object]
TOLD = Attempt(ending=Ending.TOLD, remote_id="remote-1")
REFUSED = Attempt(ending=Ending.REFUSED, fault="status-400")


def live(desk: Any) -> None:
    """Let deliveries be made, fail, fall back, die, and be sent again."""
    routes = {"pager": "tray", "tray": None}
    deliveries = desk.engine.deliveries
    first, second = desk.hand_over("a"), desk.hand_over("b")
    desk.engine.claim(first, by="general-1")
    for _ in range(4):
        for sending in deliveries.take("w", "pager", limit=8):
            is_second = sending.delivery.handoff_id == second
            deliveries.ended(sending, REFUSED if is_second else TOLD)
        deliveries.sweep(routes)
        desk.clock.turn(timedelta(minutes=10))
    for sending in deliveries.take("w", "tray", limit=1):
        deliveries.ended(sending, TOLD)
    (dead,) = deliveries.listed(status="dead")["deliveries"]
    deliveries.redrive(dead["outbox_id"], by="ops")
    desk.engine.release(first, by="general-1")


@pytest.fixture(scope="module")
def template() -> list[bytes]:
    """Keep the store that was lived in, to be copied."""
    return []


@pytest.fixture
def lived(
    template: list[bytes], tmp_path: Path, request: pytest.FixtureRequest
) -> Path:
    """Copy a closed store in which deliveries went every way they can."""
    if not template:
        default = Policy.default()
        queues = [{**q.model_dump(), "notify": ["pager"]} for q in default.queues]
        make = request.getfixturevalue("make_desk")
        desk = make(default.model_copy(update={"queues": queues}))
        live(desk)
        desk.close()
        template.append(desk.path.read_bytes())
    path = tmp_path / "lived.db"
    path.write_bytes(template[0])
    return path


def forged(path: Path, change: Forge) -> Report:
    """Change a copy of a store as its owner could, past every trigger; then check."""
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        change(connection)
    return verify_store(copy)


def rows(path: Path) -> list[tuple[str, str]]:
    """Return id and status of every delivery."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT outbox_id, status FROM outbox").fetchall()


def test_what_the_engine_wrote_is_sound(lived: Path) -> None:
    """Deliveries in each state, under fallbacks and redrives, are as the log says."""
    assert verify_store(lived).problems == ()
    assert {status for _, status in rows(lived)} == {"done", "pending"}
    assert len(rows(lived)) >= 5


CHANGED = [
    ("handoff_id", "'hnd_other'"),
    ("channel", "'fax'"),
    ("place", "place + 7"),
    ("kind", "'resolved'"),
    ("body", "x'7b7d'"),
    ("status", "CASE status WHEN 'done' THEN 'pending' ELSE 'done' END"),
    ("status", "'dead'"),
    ("attempts", "attempts + 1"),
    ("refusals", "refusals + 1"),
    ("queued_at", "'2026-01-01T00:00:00.000000Z'"),
    ("next_at", "'2099-01-01T00:00:00.000000Z'"),
    ("expires_at", "'2099-01-01T00:00:00.000000Z'"),
    ("tried_at", "'2026-01-01T00:00:00.000000Z'"),
    ("fell_back", "1 - fell_back"),
    ("remote_id", "'another'"),
    ("last_error", "'status-999'"),
    ("audit_seq", "audit_seq + 1"),
    ("outbox_id", "'out_other'"),
]


@pytest.mark.parametrize(("column", "value"), CHANGED)
def test_a_changed_column_is_found(lived: Path, column: str, value: str) -> None:
    """Of any delivery, whatever its state."""
    for outbox_id, _ in rows(lived):
        update = f"UPDATE outbox SET {column} = {value} WHERE outbox_id = ?"

        def change(
            connection: sqlite3.Connection,
            update: str = update,
            outbox_id: str = outbox_id,
        ) -> None:
            connection.execute(update, (outbox_id,))

        assert not forged(lived, change).is_sound


def test_a_deleted_delivery_is_found(lived: Path) -> None:
    """What was to be told cannot be forgotten."""
    for outbox_id, _ in rows(lived):

        def change(connection: sqlite3.Connection, outbox_id: str = outbox_id) -> None:
            connection.execute("DELETE FROM outbox WHERE outbox_id = ?", (outbox_id,))

        report = forged(lived, change)
        assert any(outbox_id in problem for problem in report.problems)


def test_an_invented_delivery_is_found(lived: Path) -> None:
    """What nobody was to be told cannot be slipped in."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO outbox SELECT 'out_x', handoff_id, 'fax', 0, kind, body, "
            "'done', 1, 0, queued_at, next_at, expires_at, tried_at, 0, NULL, NULL, "
            "NULL, NULL, audit_seq FROM outbox LIMIT 1"
        )

    assert not forged(lived, change).is_sound


def test_who_leases_it_is_nobodys_record(lived: Path) -> None:
    """A lease is of the moment: it is no part of what is proven."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE outbox SET leased_by = 'w', leased_until = 'x'")

    assert forged(lived, change).is_sound
