"""Steps: events are appended, a decision is made on them, and the answer is kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from serving.engine import replies
from serving.engine.deciding import Case, Judge, Judgement
from serving.engine.handover import Handover, hand_over
from serving.engine.kinship import Kinship
from serving.engine.memory import LastModel, States, Waiting
from serving.policy.audit import AuditType, ppm
from serving.policy.trigger import Action, Firing, Settled
from serving.store import announcements, handoffs, ledger, log
from serving.store.handoffs import commitment_of
from serving.store.intake import Line
from serving.store.log import SALT_BYTES, Entry
from serving.store.tasks import Task, new_id
from serving.store.transaction import Transaction

_ADD_DECISION = """
INSERT INTO decision
  (decision_id, task_id, position, action, effective, selected, body, salt, audit_seq)
VALUES
  (:decision_id, :task_id, :position, :action, :effective, :selected, :body, :salt,
   :audit_seq)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Append:
    """Lines about to be appended, and the task as it stands with them."""

    task: Task
    entry: Entry
    is_new: bool
    is_changed: bool

    @classmethod
    def of(
        cls, tx: Transaction, task: Task | None, task_id: str, lines: Iterable[Line]
    ) -> _Append:
        first = 0 if task is None else log.length(tx, task_id)
        entry = Entry.of(task_id, first, lines)
        events = (line.event for line in entry.lines)
        facts = log.facts_after({} if task is None else task.facts, events)
        if task is None:
            begun = Task.begun(task_id, facts)
            return cls(task=begun, entry=entry, is_new=True, is_changed=True)
        changed = facts != task.facts
        known = replace(task, facts=facts)
        return cls(task=known, entry=entry, is_new=False, is_changed=changed)

    def audited(self) -> dict[str, Any]:
        """Return what the record says; it names an owner if it writes the task."""
        said = {"task": self.task.task_id, "epoch": self.task.epoch}
        return {
            **(self.task.audited() if self.is_changed else said),
            "events": self.entry.summary(),
        }

    def write_task(self, tx: Transaction, seq: int) -> None:
        """Write the task's row, where it says something new."""
        if self.is_new:
            self.task.add(tx, audit_seq=seq)
        elif self.is_changed:
            self.task.update(tx, audit_seq=seq)


class Steps:
    """Takes steps of tasks, each inside the transaction it is given.

    Parameters
    ----------
    judge : Judge
        Decides.
    waiting : Waiting
        What waits at the queues.
    """

    def __init__(self, judge: Judge, waiting: Waiting) -> None:
        self.judge = judge
        self.model = LastModel()
        self._waiting = waiting
        self._states = States()
        self._kinship = Kinship()

    def take(
        self,
        tx: Transaction,
        task: Task | None,
        task_id: str,
        lines: Iterable[Line],
        *,
        at: datetime,
        accepted: Sequence[str],
        wishes: tuple[Firing, ...] = (),
    ) -> dict[str, Any]:
        """Append `lines`, decide, hand over if that is decided; return the answer.

        Parameters
        ----------
        task : Task or None
            As it stands; None: it begins with these lines.
        lines : iterable of Line
            What is new. May be empty where there is a wish.
        at : datetime
            Now.
        accepted : sequence of str
            Ids to name in the answer.
        wishes : tuple of Firing
            Explicit wishes for a human.
        """
        known = {} if task is None else task.facts
        stamped = self._kinship.stamped(tx, task_id, known, tuple(lines))
        append = _Append.of(tx, task, task_id, stamped)
        self.judge.withdrawals.refresh(tx)
        judgement = self.judge.judge(
            Case(
                task_id=task_id,
                signals=self._states.signals(tx, append.entry),
                started=append.task.facts,
                waiting=self._waiting.at(tx, at),
                at=at,
                wishes=wishes,
                settled=_settled(tx, task),
            )
        )
        self.model.note(tx, judgement.model, at)
        decision_id = new_id("dec")
        seq = _store(tx, append, judgement, decision_id)
        done = self._act(tx, append, judgement, decision_id)
        answer = {
            **replies.standing(append.task if done is None else done.task, accepted),
            "decision": replies.decided(decision_id, judgement.decision),
            "handoff": None if done is None else replies.handed_over(done),
            "message": None if done is None else done.notice.text,
            "message_id": None if done is None else done.notice.message_id,
        }
        replies.keep(tx, seq, answer)
        return answer

    def keep(
        self,
        tx: Transaction,
        task: Task | None,
        task_id: str,
        lines: Iterable[Line],
        *,
        at: datetime,
        accepted: Sequence[str],
    ) -> dict[str, Any]:
        """Append `lines` on which nothing is to be decided; return the answer."""
        append = _Append.of(tx, task, task_id, lines)
        seq = ledger.append(tx, AuditType.EVENTS_APPENDED, at, **append.audited())
        append.write_task(tx, seq)
        append.entry.write(tx, audit_seq=seq)
        answer = replies.undecided(append.task, accepted)
        replies.keep(tx, seq, answer)
        return answer

    def _act(
        self,
        tx: Transaction,
        append: _Append,
        judgement: Judgement,
        decision_id: str,
    ) -> Handover | None:
        decision = judgement.decision
        # A safe stop too: an agent that stops leaves a task that somebody must see.
        if not decision.effective or decision.action is Action.CONTINUE:
            return None
        self._waiting.changed(tx)
        return hand_over(
            tx,
            append.task,
            judgement,
            decision_id=decision_id,
            until=append.entry.until,
            policy=self.judge.policy,
        )


def _settled(tx: Transaction, task: Task | None) -> Settled:
    # The epoch rises with each change of owner: a task at its first was never returned.
    if task is None or task.epoch == 1:
        return Settled()
    return handoffs.settled(tx, task.task_id)


def begin(tx: Transaction, steps: Steps, at: datetime) -> dict[str, Any]:
    """Audit what a service starts with: its policy, the waivers in it, its model."""
    policy = steps.judge.policy
    if ledger.size(tx) == 0:
        ledger.append(tx, AuditType.LOG_CREATED, at)
    ledger.append(
        tx,
        AuditType.POLICY_LOADED,
        at,
        policy={"version": policy.version, "sha256": policy.digest},
        mode=str(policy.mode),
        waived=[
            {"rule": rule.name, "by": rule.waived.by, "until": str(rule.waived.until)}
            for rule in policy.rules
            if rule.waived is not None
        ],
    )
    _, model = steps.judge.model(at)
    steps.model.note(tx, model, at)
    return {}


# --- rows --------------------------------------------------------------------


def _store(
    tx: Transaction, append: _Append, judgement: Judgement, decision_id: str
) -> int:
    """Store task, decision and events under one record; return its place."""
    decision = judgement.decision
    body = orjson.dumps(decision, default=sorted, option=orjson.OPT_SORT_KEYS)
    salt = os.urandom(SALT_BYTES)
    seq = ledger.append(
        tx,
        AuditType.STEP_SCORED,
        judgement.case.at,
        **append.audited(),
        **_audited(judgement, decision_id, commitment_of(salt, body)),
    )
    append.write_task(tx, seq)
    tx.run(
        _ADD_DECISION,
        decision_id=decision_id,
        task_id=append.task.task_id,
        position=append.entry.until,
        action=str(decision.action),
        effective=int(decision.effective),
        selected=int(decision.selection.is_any),
        body=body,
        salt=salt,
        audit_seq=seq,
    )
    append.entry.write(tx, audit_seq=seq, decision_id=decision_id)
    return seq


def _audited(
    judgement: Judgement, decision_id: str, commitment: str
) -> Mapping[str, Any]:
    """Return what the log says of a decision: no word of a person, all else."""
    decision = judgement.decision
    return {
        "decision": {
            "id": decision_id,
            "action": str(decision.action),
            "effective": decision.effective,
            "triggers": [firing.trigger for firing in decision.firings],
            "risk_ppm": ppm(decision.risk),
            "threshold_ppm": ppm(decision.threshold),
            "source": decision.source,
            "mode": str(decision.mode),
            "draw_ppm": [ppm(decision.draw.uniform), ppm(decision.draw.targeted)],
            "propensity_ppm": ppm(decision.propensity),
            "selected": decision.selection.is_any,
            "faults": list(judgement.faults),
            "commit": commitment,
        },
        **announcements.said(decision.inputs.signals),
        "model": judgement.model.audited(),
        "policy": {
            "version": decision.policy_version,
            "sha256": decision.policy_digest,
        },
    }
