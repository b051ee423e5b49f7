"""Memory: what the writer's thread keeps of the store so as not to read it again.

All of it can be rebuilt from the store, and shows when another process has written
since: logs only grow, and every change of state has a later record than the one before.
Whatever a transaction that rolls back has put here is dropped with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from features.events import AgentEvent
from features.online import TaskState
from serving.engine.deciding import ModelState
from serving.policy.inputs import Load
from serving.safely import Failure, attempt
from serving.store import ledger, log
from serving.store.log import Entry
from serving.store.transaction import Reader, Transaction

CHANGED = "SELECT max(audit_seq) AS seq FROM handoff"
WAITING = """
SELECT queue, count(*) AS waiting, min(queued_at) AS oldest FROM handoff
WHERE status = 'QUEUED' GROUP BY queue
"""
CLAIMED = """
SELECT queue, count(*) AS claimed FROM handoff WHERE status = 'CLAIMED' GROUP BY queue
"""


@dataclass(frozen=True, slots=True)
class _Held:
    state: TaskState = field(default_factory=TaskState)
    position: int = 0


class States:
    """The signal states of the tasks that were active last.

    Parameters
    ----------
    capacity : int
        Most tasks to remember; the one that was idle longest is forgotten first.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def signals(self, tx: Transaction, entry: Entry) -> NDArray[np.float64] | Failure:
        """Return the signals of a task after `entry`, shape (n_signals,).

        `entry` need not be stored yet; what precedes it is read where it is not held.
        A `Failure` is one of reading the signals off the events.
        """
        held = self._held.pop(entry.task_id, None)
        if held is None or held.position > entry.first:
            held = _Held()
        tx.on_rollback(lambda: self.forget(entry.task_id))
        events = [
            *log.history(tx, entry.task_id, first=held.position, until=entry.first),
            *(line.event for line in entry.lines),
        ]
        signals = attempt(lambda: _advanced(held.state, events))
        if not isinstance(signals, Failure):
            # Kept only now: a state that failed half way is never read again.
            self._keep(entry.task_id, _Held(held.state, entry.until))
        return signals

    def _keep(self, task_id: str, held: _Held) -> None:
        self._held[task_id] = held
        while len(self._held) > self._capacity:
            self._held.popitem(last=False)

    def forget(self, task_id: str) -> None:
        """Drop what is held of `task_id`; the stored log says it again."""
        self._held.pop(task_id, None)


def _advanced(state: TaskState, events: Iterable[AgentEvent]) -> NDArray[np.float64]:
    for event in events:
        state.advance(event)
    return state.read()


class Waiting:
    """How many handoffs wait at each queue and since when, and are worked on there."""

    def __init__(self) -> None:
        self._held: tuple[Mapping[str, tuple[int, datetime]], Mapping[str, int]] | None
        self._held = None
        self._as_of: int | None = None

    def at(self, reader: Reader, now: datetime) -> Load:
        """Return how many wait, the age of the oldest in s, how many are claimed."""
        last = reader.one(CHANGED)
        as_of = None if last is None else last["seq"]
        if self._held is None or as_of != self._as_of:
            self._held = (waiting(reader), claimed(reader))
            self._as_of = as_of
        held, in_hand = self._held
        return Load(ages(held, now), claimed=in_hand)

    def changed(self, tx: Transaction) -> None:
        """Read again next time, and again if this transaction is rolled back."""
        self._held = None
        tx.on_rollback(self._forget)

    def _forget(self) -> None:
        self._held = None


def waiting(reader: Reader) -> dict[str, tuple[int, datetime]]:
    """Return how many handoffs wait at each queue, and since when the oldest does."""
    return {
        row["queue"]: (row["waiting"], datetime.fromisoformat(row["oldest"]))
        for row in reader.all(WAITING)
    }


def claimed(reader: Reader) -> dict[str, int]:
    """Return how many handoffs of each queue somebody has in hand."""
    return {row["queue"]: row["claimed"] for row in reader.all(CLAIMED)}


def ages(
    held: Mapping[str, tuple[int, datetime]], now: datetime
) -> dict[str, tuple[int, float]]:
    """Return `held` with ages, in s and never negative, in place of times."""
    return {
        queue: (n, max(0.0, (now - since).total_seconds()))
        for queue, (n, since) in held.items()
    }


class LastModel:
    """What decided last in this process, so that each change in it is audited once.

    Processes that share a store load a new model one after the other, and each says so.
    """

    def __init__(self) -> None:
        self._state: ModelState | None = None

    def note(self, tx: Transaction, state: ModelState, at: datetime) -> None:
        """Append a record if `state` is not what decided last."""
        before = self._state
        if state == before:
            return
        ledger.append(tx, state.audit_type, at, model=state.audited())
        self._state = state
        tx.on_rollback(lambda: self._restore(before))

    def _restore(self, before: ModelState | None) -> None:
        self._state = before
