"""Tests of what the writer's thread remembers, and of the log it reads it from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.events import AgentEvent
from features.online import TaskState
from serving.engine.memory import States
from serving.policy.audit import AuditType
from serving.safely import Failure
from serving.store import ledger
from serving.store.intake import Line
from serving.store.ledger import BrokenLogError
from serving.store.log import Entry, read_log
from serving.store.sqlite import SqliteStore
from serving.store.tasks import Task
from serving.store.transaction import Transaction

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Open a store."""
    store = SqliteStore(tmp_path / "store.db")
    yield store
    store.close()


def lines(task_id: str, first: int, count: int) -> list[Line]:
    """Return events of a task as lines to be stored."""
    return [
        Line.of(
            AgentEvent(
                task_id=task_id,
                event_id=f"e{n}",
                at=START + timedelta(seconds=n),
                kind="user_message",
                body={"text": f"message {n} of {task_id}"},
            )
        )
        for n in range(first, first + count)
    ]


def store_entry(tx: Transaction, entry: Entry) -> None:
    """Store `entry` as a step does."""
    seq = ledger.append(tx, AuditType.EVENTS_APPENDED, START, task=entry.task_id)
    if entry.first == 0:
        Task.begun(entry.task_id, {}).add(tx, audit_seq=seq)
    entry.write(tx, audit_seq=seq)


def from_scratch(task_id: str, count: int) -> Any:
    """Return the signals of a task read from its first event on."""
    state = TaskState()
    for line in lines(task_id, 0, count):
        state.advance(line.event)
    return state.read()


def step(store: SqliteStore, states: States, task_id: str, first: int) -> Any:
    """Append two events; return the signals after them."""
    entry = Entry.of(task_id, first, lines(task_id, first, 2))

    def use_case(tx: Transaction) -> Any:
        signals = states.signals(tx, entry)
        store_entry(tx, entry)
        return signals

    return store.submit(use_case).result()


@pytest.mark.parametrize("capacity", [1, 2, 10])
def test_signals_are_the_same_however_little_is_remembered(
    store: SqliteStore, capacity: int
) -> None:
    """A task that was forgotten is read again from its log."""
    states = States(capacity)
    for first in (0, 2, 4, 6):
        for task_id in ("a", "b", "c"):
            found = step(store, states, task_id, first)
            np.testing.assert_array_equal(found, from_scratch(task_id, first + 2))


def test_events_that_others_appended_are_caught_up_with(store: SqliteStore) -> None:
    """What came in without a decision is in the signals of the next one."""
    states = States()
    step(store, states, "a", 0)
    kept = Entry.of("a", 2, lines("a", 2, 3))
    store.submit(lambda tx: store_entry(tx, kept)).result()
    found = step(store, states, "a", 5)
    np.testing.assert_array_equal(found, from_scratch("a", 7))


def test_a_state_ahead_of_the_log_is_not_used(store: SqliteStore) -> None:
    """Signals of events that were never stored do not stay."""
    states = States()
    step(store, states, "a", 0)
    lost = Entry.of("a", 2, lines("a", 2, 5))
    store.submit(lambda tx: states.signals(tx, lost)).result()
    found = step(store, states, "a", 2)
    np.testing.assert_array_equal(found, from_scratch("a", 4))


def test_a_state_that_failed_is_read_anew(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure half way through an entry is told, and spoils nothing."""
    states = States()
    step(store, states, "a", 0)
    entry = Entry.of("a", 2, lines("a", 2, 2))
    with monkeypatch.context() as patched:
        patched.setattr(TaskState, "read", lambda _: 1 / 0)
        (failed,) = store.submit(lambda tx: (states.signals(tx, entry),)).result()
    assert isinstance(failed, Failure)
    assert failed.name == "ZeroDivisionError"
    found = step(store, states, "a", 2)
    np.testing.assert_array_equal(found, from_scratch("a", 4))


def test_the_log_is_read_back_as_it_was_sent(
    store: SqliteStore, tmp_path: Path
) -> None:
    """Every event comes back equal, task by task, each in its order."""
    sent = {task_id: lines(task_id, 0, 3) for task_id in ("b", "a")}
    for task_id, kept in sent.items():
        entry = Entry.of(task_id, 0, kept)
        store.submit(lambda tx, e=entry: store_entry(tx, e)).result()
    found = list(read_log(tmp_path / "store.db"))
    assert found == [line.event for task in ("a", "b") for line in sent[task]]
    assert [line.digest for line in sent["a"]] == [e.digest() for e in found[:3]]


def test_a_log_with_a_hole_is_not_appended_to(store: SqliteStore) -> None:
    """Where a node is missing the root cannot be known, so nothing is added."""

    def append(tx: Transaction) -> int:
        return ledger.append(tx, AuditType.LOG_CREATED, START)

    for _ in range(3):
        store.submit(append).result()
    store.submit(lambda tx: tx.run("DROP TRIGGER audit_node_stays")).result()
    store.submit(lambda tx: tx.run("DELETE FROM audit_node")).result()
    with pytest.raises(BrokenLogError, match=r"expected node \(1, 0\)"):
        store.submit(append).result()
