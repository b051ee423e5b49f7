"""Calls: what an agent, a user or a system of record may ask, and what they are told.

A use case here returns its answer, or a `Problem` where something was kept all the
same (the good events of a batch, what a user said after the handover); it raises a
`Problem` where nothing was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from features.events import OUTCOME_KINDS, AgentEvent, ContractError, EventKind
from serving.engine import aftermath, batches, fencing, replies
from serving.engine.aftermath import Late
from serving.engine.noticing import Telling, telling
from serving.engine.steps import Steps
from serving.policy import acts, trigger
from serving.problems import Problem
from serving.store import agent_leases, handoffs, intake, tasks
from serving.store.intake import Batch, Line, Sorted
from serving.store.tasks import OwnerKind, Task
from serving.store.transaction import Reader, Transaction

Clock = Callable[[], datetime]
Answer = dict[str, Any]

# Written by this service, when ownership changes; nobody else may say it has.
_OURS = frozenset(
    {
        EventKind.PERSON_MESSAGE,
        EventKind.PACKAGE_RATING,
        EventKind.HANDOFF,
        EventKind.CLAIMED,
        EventKind.RETURNED,
        EventKind.RESOLVED,
    }
)
# Judgements of the agent's work: an agent that could write them would label itself.
_VERDICTS = frozenset({EventKind.VERDICT, EventKind.AUDIT_VERDICT})


def check_from_agent(event: AgentEvent) -> None:
    """Return if an agent may send `event`.

    Raises
    ------
    ContractError
        If it says who owns the task, how earlier ones ended, judges the agent, or says
        what came of a complaint about it.
    """
    kind, finding = event.kind, event.body.get("verified")
    if kind in _OURS | _VERDICTS | {EventKind.HISTORY}:
        expected = "a kind an agent may send (verdicts go to /v1/outcomes)"
        raise _refused(event, "kind", expected, kind)
    # "Found wrong" would take a complaint back: not for whom it is about to say.
    if kind == EventKind.COMPLAINT and finding is not None:
        expected = "absent from an agent (findings go to /v1/outcomes)"
        raise _refused(event, "verified", expected, finding)


def _refused(event: AgentEvent, field: str, expected: str, found: Any) -> ContractError:
    said = repr(str(found) if field == "kind" else found)
    return ContractError(
        event_id=event.event_id, field=field, expected=expected, found=said
    )


def check_outcome(event: AgentEvent) -> None:
    """Return if `event` may be reported as an outcome.

    Raises
    ------
    ContractError
        If it is no outcome, or one that only this service can bring about.
    """
    allowed = OUTCOME_KINDS - _OURS
    if event.kind not in allowed:
        raise _refused(
            event, "kind", "one of " + ", ".join(sorted(allowed)), event.kind
        )


class Calls:
    """The calls that bring events.

    Parameters
    ----------
    steps : Steps
        Takes the steps.
    clock : callable
        Returns the time, timezone-aware.
    """

    def __init__(self, steps: Steps, clock: Clock) -> None:
        self._steps = steps
        self._clock = clock

    def observe(
        self,
        tx: Transaction,
        task_id: str,
        batch: Batch,
        epoch: int | None,
        *,
        hears: bool = True,
    ) -> Answer | Problem:
        """Append the events of `batch` to a task, and decide.

        An agent that names no epoch is taken to know the present one. Outcomes alone
        are kept without a decision: they never feed a signal.

        Parameters
        ----------
        hears : bool
            Whether the agent itself hears the answer.

        Raises
        ------
        Problem
            event-conflict or unknown-task; nothing was kept.
        """
        task = tasks.find(tx, task_id)
        seen = intake.sort(tx, task_id, batch.lines)
        if not batch.lines:
            answer = batches.nothing(task, task_id)
        elif not seen.new:
            answer = replies.answered(tx, seen.answered_by or 0)
        elif task is not None and not task.may_act(epoch):
            late = Late(task=task, epoch=epoch, hears=hears, at=self._clock())
            return self._after_handover(tx, late, batch, seen)
        else:
            _check_first(task, task_id, epoch)
            answer = self._appended(tx, task, task_id, batch, seen)
        return batches.with_refused(answer, batch)

    def _appended(
        self,
        tx: Transaction,
        task: Task | None,
        task_id: str,
        batch: Batch,
        seen: Sorted,
    ) -> Answer:
        at, told = self._clock(), all(line.event.is_outcome for line in seen.new)
        append = self._steps.keep if told else self._steps.take
        answer = append(tx, task, task_id, seen.new, at=at, accepted=batch.event_ids)
        _note_lease(tx, task_id, seen.new, at)
        return answer

    def _after_handover(
        self, tx: Transaction, late: Late, batch: Batch, seen: Sorted
    ) -> Answer | Problem:
        """Keep what the human must see; refuse what the agent did without the task.

        The user does not know of the handover and goes on talking: that reaches
        whoever has the task now, under any epoch. The agent's own events do not; that
        they came is kept beside the log.
        """
        task = late.task
        heard = [line for line in seen.new if _is_for_the_owner(task, line)]
        kept = tuple(line.event.event_id for line in heard)
        answer = replies.undecided(task, ())
        if heard:
            answer = self._steps.keep(
                tx, task, task.task_id, heard, at=self._clock(), accepted=kept
            )
        if len(heard) == len(seen.new):
            return batches.with_refused({**answer, "accepted": batch.event_ids}, batch)
        aftermath.keep(tx, late, (line for line in seen.new if line not in heard))
        return fencing.stale(
            task,
            late.epoch,
            self._told(tx, task),
            accepted=kept,
            refused=batch.refused,
        )

    def _told(self, reader: Reader, task: Task) -> Telling:
        """Return what the user of a task that was handed over is to be told now."""
        return telling(reader, self._steps.judge.policy, task, self._clock())

    def escalate(
        self, tx: Transaction, task_id: str, *, by: str, reason: str
    ) -> Answer:
        """Hand a task over because somebody wishes it; always, and only once.

        Whatever the epoch: who asks for a human gets one, be it an agent that has lost
        the task or a user whose task was closed. While a handoff is open the answer
        to the wish is the answer that opened it, with the owner of now.

        Raises
        ------
        Problem
            unknown-task.
        """
        task = tasks.get(tx, task_id)
        last = handoffs.last_of(tx, task_id)
        if last is not None and handoffs.is_active(last):
            said = replies.answer_of(tx, last["decision_id"])
            told = self._told(tx, task).to_json()
            return {**said, **told, "owner": task.owner, "epoch": task.epoch}
        wish = trigger.wish(by, reason, self._steps.judge.policy)
        return self._steps.take(
            tx, task, task_id, (), at=self._clock(), accepted=(), wishes=(wish,)
        )

    def outcomes(self, tx: Transaction, batch: Batch) -> Answer | Problem:
        """Append outcomes, each to the log of its task, whoever owns that.

        Raises
        ------
        Problem
            unknown-task, if every task named is; event-conflict.
        """
        unknown: list[Line] = []
        by_task: dict[str, list[Line]] = {}
        for line in batch.lines:
            by_task.setdefault(line.event.task_id, []).append(line)
        for task_id, lines in by_task.items():
            task = tasks.find(tx, task_id)
            if task is None:
                unknown += lines
                continue
            if new := intake.sort(tx, task_id, lines).new:
                ids = [line.event.event_id for line in new]
                at = self._clock()
                self._steps.keep(tx, task, task_id, new, at=at, accepted=ids)
                _note_lease(tx, task_id, new, at)
        return batches.of_outcomes(batch, unknown)


# --- who may do what ---------------------------------------------------------


def _check_first(task: Task | None, task_id: str, epoch: int | None) -> None:
    """Raise unless a task can begin: nobody was given another epoch than the first."""
    if task is None and epoch not in (None, 1):
        raise tasks.unknown(task_id)


def _note_lease(
    tx: Transaction, task_id: str, lines: Iterable[Line], at: datetime
) -> None:
    """Take what the agent did as a beat; a task that is complete needs none."""
    events = [line.event for line in lines]
    if any(event.kind == EventKind.COMPLETED for event in events):
        agent_leases.settle(tx, task_id, at)
    elif any(map(acts.is_of_the_agent, events)):
        agent_leases.heard(tx, task_id, at)


def _is_for_the_owner(task: Task, line: Line) -> bool:
    heard = line.event.kind == EventKind.USER_MESSAGE or line.event.is_outcome
    return heard and task.owner_kind is not OwnerKind.AGENT
