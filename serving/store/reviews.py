"""Reviews: tasks that were drawn for a second opinion, as the store has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from features.events import OUTCOME_KINDS, AgentEvent, EventKind
from serving.policy.decision import Decision
from serving.policy.handoff import HandoffStatus
from serving.store import log
from serving.store.transaction import Reader
from training.labels import FROM_HANDOVER, group_of
from training.monitor.agreement import Pair

DRAWN = "SELECT DISTINCT task_id FROM decision WHERE selected = 1"
_RESOLVED = "SELECT DISTINCT task_id FROM handoff WHERE status = 'RESOLVED'"
_HANDOFFS = "SELECT status, claimed_by FROM handoff WHERE task_id = :task_id"
_CLAIMS = """
SELECT DISTINCT by FROM handoff_history
JOIN handoff USING (handoff_id) WHERE task_id = :task_id AND what = 'claimed'
"""
_LAST = """
SELECT decision.body AS body, audit_event.body AS record FROM decision
JOIN audit_event ON audit_event.seq = decision.audit_seq
WHERE task_id = :task_id ORDER BY position DESC, audit_seq DESC
"""
_LATEST = """
SELECT event.kind AS kind, audit_event.body AS record FROM event
JOIN audit_event ON audit_event.seq = event.audit_seq
WHERE task_id = :task_id ORDER BY event.seq DESC
"""
_SAID = """
SELECT body FROM event
WHERE kind IN ('audit_verdict', 'complaint', 'reopened', 'resolved', 'verdict')
  AND task_id = :task_id
ORDER BY seq
"""
_DOUBLE = """
SELECT DISTINCT task_id FROM event
WHERE kind IN ('audit_verdict', 'complaint', 'reopened', 'resolved', 'verdict')
  AND kind = 'audit_verdict'
ORDER BY task_id
"""


# What the agent did not do: a task does not go on with it.
_NO_STEP = OUTCOME_KINDS | {EventKind.HISTORY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewable:
    """A task as the label desk needs to know it; nothing of it is for reviewers.

    Attributes
    ----------
    decision : Decision
        The last one, with the audit draw that counts.
    decided_at, completed_at : datetime
        When this service heard of the last step, and of the task's end; None: it has
        not ended, or has gone on since.
    handed_over, resolved : bool
        Whether a human has, or had, it; whether the last handoff is resolved.
    worked : frozenset of str
        Who has worked on it: its agent, and whoever claimed it.
    said : tuple of AgentEvent
        What was said of its need for a human, in log order.
    """

    task_id: str
    decision: Decision
    decided_at: datetime
    completed_at: datetime | None
    handed_over: bool
    resolved: bool
    worked: frozenset[str]
    said: tuple[AgentEvent, ...]

    @property
    def verdicts(self) -> tuple[AgentEvent, ...]:
        """What reviewers have said at the desk, in log order."""
        return tuple(e for e in self.said if e.kind == EventKind.AUDIT_VERDICT)

    @property
    def answers(self) -> dict[str, str]:
        """The answers that stand, by who gave them; whoever resolved it is one."""
        resolution = (e for e in self.said if e.body.get("source") == FROM_HANDOVER)
        said = [*resolution, *self.verdicts]
        return {str(e.body.get("by")): str(e.body.get("needed")) for e in said}

    @property
    def is_known(self) -> bool:
        """Whether a complaint that was verified, or a reopening, has told already."""
        told = (
            e.kind == EventKind.REOPENED or e.body.get("verified") for e in self.said
        )
        return any(told)


def reviewable(reader: Reader, task_id: str, agent_id: str) -> Reviewable | None:
    """Return a task as the desk needs to know it; None if nothing was decided on it."""
    last = reader.one(_LAST, task_id=task_id)
    if last is None:
        return None
    statuses = [row["status"] for row in reader.all(_HANDOFFS, task_id=task_id)]
    people = {row["by"] for row in reader.all(_CLAIMS, task_id=task_id)}
    said = (log.stored_event(row) for row in reader.all(_SAID, task_id=task_id))
    return Reviewable(
        task_id=task_id,
        decision=Decision.from_json(orjson.loads(last["body"])),
        decided_at=_time(last["record"]),
        completed_at=_completed(reader, task_id),
        handed_over=len(statuses) > 0,
        resolved=HandoffStatus.RESOLVED in statuses,
        worked=frozenset(people | {agent_id}),
        said=tuple(said),
    )


def _time(record: bytes) -> datetime:
    return datetime.fromisoformat(orjson.loads(record)["at"])


def _completed(reader: Reader, task_id: str) -> datetime | None:
    """Return when the end of a task was told, if nothing but outcomes followed."""
    for row in reader.all(_LATEST, task_id=task_id):
        if row["kind"] == EventKind.COMPLETED:
            return _time(row["record"])
        if row["kind"] not in _NO_STEP:
            return None
    return None


def drawn(reader: Reader) -> Iterator[str]:
    """Yield the tasks that an audit stream has selected at one of their steps."""
    return (row["task_id"] for row in list(reader.all(DRAWN)))


def resolved(reader: Reader) -> Iterator[str]:
    """Yield the tasks of which a handover was resolved."""
    return (row["task_id"] for row in list(reader.all(_RESOLVED)))


def before_handover(reader: Reader, task_id: str) -> list[AgentEvent]:
    """Return the log of a task up to its first handover, without outcomes."""
    events: list[AgentEvent] = []
    for event in log.history(reader, task_id, until=log.length(reader, task_id)):
        if event.kind == EventKind.HANDOFF:
            break
        if not event.is_outcome:
            events.append(event)
    return events


# --- two answers on one task -----------------------------------------------------


def pairs(reader: Reader, tasks: frozenset[str] | None = None) -> tuple[Pair, ...]:
    """Return the first answers of two people on each task that was drawn for two.

    Where a second was asked because the first could not tell, or a third because two
    were divided, the task was not drawn for it: such answers are no fair sample.
    """
    found = (row["task_id"] for row in list(reader.all(_DOUBLE)))
    wanted = (task_id for task_id in found if tasks is None or task_id in tasks)
    made = (_pair(reader, task_id) for task_id in wanted)
    return tuple(pair for pair in made if pair is not None)


def _pair(reader: Reader, task_id: str) -> Pair | None:
    said = [log.stored_event(row) for row in reader.all(_SAID, task_id=task_id)]
    first: dict[str, AgentEvent] = {}
    for event in said:
        if _is_answer(event):
            first.setdefault(str(event.body.get("by")), event)
    two = list(first.items())[:2]
    if len(two) < 2 or not two[1][1].body.get("twice"):  # noqa: PLR2004 (a pair)
        return None
    (one, a), (other, b) = two
    facts = reader.one("SELECT facts FROM task WHERE task_id = :id", id=task_id)
    known: dict[str, Any] = {} if facts is None else orjson.loads(facts["facts"])
    return Pair(
        task_id=task_id,
        group=group_of(task_id, known),
        first=str(a.body["needed"]),
        second=str(b.body["needed"]),
        raters=(one, other),
        propensity=float(b.body["propensity"]) * float(b.body["twice"]),
        escalated=a.kind != EventKind.AUDIT_VERDICT,
    )


def _is_answer(event: AgentEvent) -> bool:
    is_desk = event.kind == EventKind.AUDIT_VERDICT and "rubric_version" in event.body
    return is_desk or event.body.get("source") == FROM_HANDOVER
