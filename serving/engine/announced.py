"""Announced: "I am transferring you" must become true.

The agent's words, or a call of its own tools, announced a handover; the log of the
store has none. The user believes that a person is coming and nobody is. A rule of the
policy catches that at the step; here it is caught where the rule was waived, where the
policy does not act on the task, and where a decision went wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from serving.engine.ways import Ways
from serving.policy import trigger
from serving.policy.rules import Mode, Policy, Priority
from serving.policy.trigger import Firing
from serving.store import announcements, ledger, tasks
from serving.store.announcements import Announced
from serving.store.transaction import Reader, Transaction

# The rule of the policy that says the same at the step.
RULE = "announced_transfer"
# An agent may say it first, and ask for the handover in its next call.
GRACE = timedelta(seconds=30)
# Records looked back at when a service starts, and taken in one reading.
_LOOK_BACK = 100_000
_SLICE = 5_000


class Reconciler:
    """Finds announced handovers that were not recorded, records them, makes them true.

    Where it stands in the log is in memory: it reads what a service wrote last again
    when that starts. Several may run at once; each task is recorded once an epoch.

    Parameters
    ----------
    ways : Ways
        The engine's.
    """

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._cursor: int | None = None

    def look(self, at: datetime) -> None:
        """Take in the log as far as it is older than `GRACE` at `at`."""
        size = self._ways.read(ledger.size)
        cursor = self._cursor
        if cursor is None:
            cursor = max(0, size - _LOOK_BACK)
        while cursor < size:
            found, until = self._slice(cursor, at)
            self._settle(found, at)
            self._cursor = until
            if until < min(cursor + _SLICE, size):
                return
            cursor = until
        self._cursor = min(cursor, size)

    def _slice(self, start: int, at: datetime) -> tuple[set[str], int]:
        """Return the tasks announced from `start` on, and how far that was read."""
        found: set[str] = set()
        read = partial(announcements.announcing, start=start, limit=_SLICE)
        for seq, task_id, said_at in self._ways.read(lambda reader: list(read(reader))):
            if said_at > at - GRACE:
                return found, seq
            found.add(task_id)
        return found, start + _SLICE

    def _settle(self, task_ids: Iterable[str], at: datetime) -> None:
        for task_id in sorted(task_ids):
            if self._ways.read(partial(_broken, task_id=task_id)) is not None:
                self._ways.do(partial(self._record, task_id=task_id, at=at))

    def _record(self, tx: Transaction, task_id: str, at: datetime) -> None:
        """Record the broken word of a task; hand over what the policy acts on."""
        found, policy = _broken(tx, task_id), self._ways.policy
        if found is None:
            return
        task, announced = found
        hands_over = _acts_on(policy, task_id)
        mode = str(policy.mode)
        announcements.add(tx, task, announced, at, mode=mode, hands_over=hands_over)
        if hands_over:
            take = self._ways.steps.take
            take(tx, task, task_id, (), at=at, accepted=(), wishes=(_wish(policy),))


def _broken(reader: Reader, task_id: str) -> tuple[tasks.Task, Announced] | None:
    """Return the task and what was announced in it, if nothing came of that."""
    task = tasks.find(reader, task_id)
    if task is None or not task.may_act(None) or announcements.is_known(reader, task):
        return None
    announced = announcements.of_task(reader, task_id)
    handed_over = announcements.handed_over(reader, task_id)
    return (task, announced) if announced.total > handed_over.total else None


def _acts_on(policy: Policy, task_id: str) -> bool:
    """Whether decisions on this task take effect."""
    if policy.mode is Mode.CANARY:
        return trigger.canary_of(task_id) < policy.canary_share
    return policy.mode is Mode.ENFORCE


def _wish(policy: Policy) -> Firing:
    rule = next((rule for rule in policy.rules if rule.name == RULE), None)
    return Firing(
        trigger=RULE,
        says="the agent announced a transfer, and none was recorded",
        priority=Priority.NORMAL if rule is None else rule.priority,
        asks="what the agent meant to pass on" if rule is None else rule.asks,
    )
