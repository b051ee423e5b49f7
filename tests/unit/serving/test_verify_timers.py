"""Tests of the offline check of deadlines: what is sound, and each forgery it finds."""
# ruff: noqa: S608 - the statements are put together from our own tables

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.store.verify import Report, verify_store
from serving.store.verify_timers import Deadline, Deadlines

ANA, DUTY = "general-1", "duty-1"


def forged(path: Path, *statements: str) -> Report:
    """Change a store as somebody would who owns the file, then check it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
    return verify_store(path)


@pytest.fixture
def lived(desk: Any) -> Path:
    """Make a store in which deadlines were set, passed, put off, renewed and settled."""
    claimed, waits, closed = (desk.hand_over(task) for task in ("a", "b", "c"))
    desk.engine.claim(closed, by=ANA)
    desk.engine.resolve(closed, by=ANA, needed="yes")
    desk.clock.turn(timedelta(minutes=16))
    desk.engine.duties.run()
    assert desk.engine.handoff(waits)["queue"] == "safety"
    desk.engine.claim(claimed, by=DUTY)
    desk.clock.turn(timedelta(minutes=20))
    desk.engine.renew(claimed, by=DUTY)
    desk.engine.duties.run()
    desk.close()
    path: Path = desk.path
    assert verify_store(path).problems == ()
    return path


_CLAIMED = "handoff_id IN (SELECT handoff_id FROM handoff WHERE status = 'CLAIMED')"
_CLOSED = "handoff_id IN (SELECT handoff_id FROM handoff WHERE status = 'RESOLVED')"
_WAITS = "handoff_id IN (SELECT handoff_id FROM handoff WHERE status = 'QUEUED')"
_LATER = "due_at = '2027-01-01T00:00:00.000000Z'"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE timer SET {_LATER} WHERE kind = 'acknowledge' AND {_WAITS}",
        f"UPDATE timer SET {_LATER} WHERE kind = 'resolve' AND {_WAITS}",
        f"UPDATE timer SET {_LATER} WHERE kind = 'lease' AND {_CLAIMED}",
        f"UPDATE timer SET {_LATER} WHERE kind = 'acknowledge' AND {_CLOSED}",
        f"UPDATE timer SET settled_at = due_at WHERE kind = 'acknowledge' AND {_WAITS}",
        f"UPDATE timer SET settled_at = NULL WHERE kind = 'lease' AND {_CLOSED}",
        f"UPDATE timer SET settled_at = due_at WHERE kind = 'resolve' AND {_CLOSED}",
        f"UPDATE timer SET audit_seq = audit_seq - 1 WHERE kind = 'lease' AND {_CLAIMED}",
        f"DELETE FROM timer WHERE kind = 'resolve' AND {_WAITS}",
        (
            "INSERT INTO timer SELECT handoff_id, 'lease', due_at, NULL, audit_seq "
            f"FROM timer WHERE kind = 'acknowledge' AND {_WAITS}"
        ),
    ],
)
def test_a_deadline_that_the_log_does_not_tell_is_found(
    lived: Path, statement: str
) -> None:
    """Put off, silenced, revived, taken away, or made up: none goes unseen."""
    report = forged(lived, statement)
    assert len(report.problems) == 1
    assert "deadline" in report.problems[0]


def test_what_records_say_nothing_of_is_not_held_against_them() -> None:
    """Of before records spoke of deadlines only the terms are known."""
    deadlines = Deadlines()
    held = {"id": "h", "acknowledge_by": "1", "resolve_by": "2"}
    opened = {"type": "handoff.opened", "handoff": held, "seq": 3, "at": "0"}
    deadlines.take(opened)
    assert deadlines.known == {
        ("h", "acknowledge"): Deadline(due="1", settled=None, seq=None),
        ("h", "resolve"): Deadline(due="2", settled=None, seq=None),
    }
    row = {"due_at": "1", "settled_at": "9", "audit_seq": 7}
    assert deadlines.known["h", "acknowledge"].is_of(row)
    assert not deadlines.known["h", "acknowledge"].is_of({**row, "due_at": "5"})
    later = {"type": "handoff.renewed", "handoff": held, "seq": 4, "at": "4"}
    deadlines.take({**later, "timers": {"resolve": "8", "lease": None}})
    assert deadlines.known["h", "resolve"].seq == 4
    # A deadline that never was is not settled.
    assert ("h", "lease") not in deadlines.known
