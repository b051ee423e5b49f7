"""Aftermath: what agents still sent of tasks they had lost: kept, shown, alarmed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from features.events import AgentEvent, EventKind
from serving.policy import acts
from serving.policy.acts import Lost
from serving.policy.rules import AGENT_ASKS
from serving.store import alarms, handoffs, log, violations
from serving.store.intake import Line
from serving.store.tasks import Task
from serving.store.transaction import Reader, Row, Transaction
from serving.store.violations import Violation
from training.monitor.alarm import Alarm, Code, Severity

_DECIDED_ON = """
SELECT body FROM event WHERE task_id = :task_id AND decision_id = :decision_id
"""
_MOST_TOOLS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A call of an agent on a task it does not own.

    Attributes
    ----------
    task : Task
        As it stands.
    epoch : int or None
        The one the agent named.
    hears : bool
        Whether the agent hears the answer. An exporter of its spans does not tell it.
    at : datetime
        When the call came in.
    """

    task: Task
    epoch: int | None
    hears: bool
    at: datetime


def keep(tx: Transaction, late: Late, lines: Iterable[Line]) -> None:
    """Keep what is new in `lines` of what the agent did; alarm if it acted.

    Where the task was never handed over there is nothing to keep: the agent only named
    a wrong epoch.
    """
    ours = [line for line in lines if acts.is_of_the_agent(line.event)]
    new = violations.new(tx, late.task.task_id, ours)
    lost_by = _handover(tx, late)
    if not new or lost_by is None:
        return
    found = list(_judged(tx, late, lost_by, new))
    handoff_id = lost_by["handoff_id"]
    violations.add(
        tx,
        late.task,
        found,
        late.at,
        handoff_id=handoff_id,
        epoch=late.epoch,
        heard=late.hears,
    )
    acted = [violation for violation in found if violation.acted]
    if acted:
        _alarm(tx, late, acted, handoff_id)


def _handover(reader: Reader, late: Late) -> Row | None:
    """Return the handover by which the agent lost the task under the epoch it named."""
    rows = list(reader.all(handoffs.OF_TASK, task_id=late.task.task_id))
    ended = (row for row in rows if row["epoch"] == (late.epoch or 0) + 1)
    return next(ended, rows[0] if rows else None)


def _judged(
    reader: Reader, late: Late, lost_by: Row, new: Sequence[Line]
) -> Iterable[Violation]:
    at = datetime.fromisoformat(lost_by["queued_at"])
    told_at = _told_at(reader, late, lost_by, at) if late.hears else None
    lost = Lost(at=at, told_at=told_at)
    harmless = _harmless(reader, late.task.task_id, new)
    for line in new:
        is_result = line.event.kind == EventKind.TOOL_RESULT
        known = is_result and line.event.body.get("call_id") in harmless
        acted = not known and acts.acted(line.event, lost, late.at)
        yield Violation(line=line, acted=acted)


def _told_at(reader: Reader, late: Late, lost_by: Row, at: datetime) -> datetime | None:
    """Return when the agent was told first: by the handover's answer, or a refusal."""
    firings = handoffs.get(reader, lost_by["handoff_id"]).firings
    asked = any(firing.trigger == AGENT_ASKS for firing in firings)
    key = {"task_id": late.task.task_id, "decision_id": lost_by["decision_id"]}
    decided_on = map(log.stored_event, reader.all(_DECIDED_ON, **key))
    if asked or any(acts.is_of_the_agent(event) for event in decided_on):
        return at
    return violations.told_at(reader, lost_by["handoff_id"])


def _harmless(reader: Reader, task_id: str, lines: Iterable[Line]) -> frozenset[str]:
    """Return calls whose results are no acts: begun before, or known only to read."""
    events = [line.event for line in lines]
    if not any(event.kind == EventKind.TOOL_RESULT for event in events):
        return frozenset()
    begun = log.latest(reader, task_id, EventKind.TOOL_CALL)
    calls = (event for event in events if event.kind == EventKind.TOOL_CALL)
    reads = (event for event in calls if not acts.has_effect(event))
    return frozenset(map(_call_of, (*begun, *reads))) - {""}


def _call_of(event: AgentEvent) -> str:
    call_id = event.body.get("call_id")
    return call_id if isinstance(call_id, str) else ""


def _alarm(
    tx: Transaction, late: Late, acted: Sequence[Violation], handoff_id: str
) -> None:
    """Raise the alarm of the agent's version, unless it stands already."""
    version = str(late.task.facts.get("agent_version") or "")
    segment = f"agent_version={version}" if version else ""
    code = Code.ACT_AFTER_HANDOVER
    if alarms.is_open(tx, "", code, segment):
        return
    tools = sorted({v.tool for v in acted if v.tool})[:_MOST_TOOLS]
    what = "called " + ", ".join(tools) if tools else "spoke to the user"
    who = f"an agent of version {version}" if version else "an agent"
    alarm = Alarm(
        code=code,
        segment=segment,
        evidence={
            "task": late.task.task_id,
            "handoff": handoff_id,
            "acts": len(acted),
            "tools": tools,
        },
        since=min(violation.line.event.at for violation in acted).timestamp(),
        severity=Severity.SERIOUS,
        withdraws=None,
        says=f"{who} {what} after task {late.task.task_id} had been handed over; "
        f"handoff {handoff_id} shows all that it did. Keep that version away from "
        "tools that change anything until it heeds the answer 409",
    )
    alarms.add(tx, "", alarm, late.at)
