"""Handover: decision, owner, package, queue item, deadlines and outbox, all at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from features.events import AgentEvent, EventKind
from serving.engine.deciding import Judgement
from serving.engine.preparing import Plan, planned
from serving.policy.audit import AuditType, ppm, rfc3339
from serving.policy.handoff import Handoff
from serving.policy.rules import Policy
from serving.store import handoffs, ledger, log
from serving.store.intake import Line
from serving.store.log import SALT_BYTES, Entry
from serving.store.tasks import OwnerKind, Task, new_id
from serving.store.transaction import Transaction

# Outside systems that are told of every handover.
TARGETS = ("webhook",)
SYSTEM = "escalon"

_ADD_PACKAGE = """
INSERT INTO package (handoff_id, digest, body, salt, audit_seq)
VALUES (:handoff_id, :digest, :body, :salt, :audit_seq)
"""
_ADD_TIMER = """
INSERT INTO timer (handoff_id, kind, due_at, audit_seq)
VALUES (:handoff_id, :kind, :due_at, :audit_seq)
"""
_ADD_OUTBOX = """
INSERT INTO outbox (outbox_id, handoff_id, target, status, next_at, audit_seq)
VALUES (:outbox_id, :handoff_id, :target, 'pending', :next_at, :audit_seq)
"""
_ADD_HISTORY = """
INSERT INTO handoff_history (handoff_id, audit_seq, at, by, what)
VALUES (:handoff_id, :audit_seq, :at, :by, :what)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What a handover made.

    Attributes
    ----------
    task : Task
        In its queue, under the next epoch.
    message : str
        The one message for the user.
    """

    task: Task
    handoff: Handoff
    message: str


def hand_over(
    tx: Transaction,
    task: Task,
    judgement: Judgement,
    *,
    decision_id: str,
    until: int,
    policy: Policy,
    targets: Sequence[str] = TARGETS,
) -> Handover:
    """Hand `task` to the queue its policy chooses; all of it in this transaction.

    Routing, packing and wording can fail; the handover cannot (see `preparing`). What
    failed is audited.

    Parameters
    ----------
    task : Task
        As it stands, stored.
    judgement : Judgement
        Why it is handed over.
    decision_id : str
        The stored decision.
    until : int
        Length of the task's log.
    policy : Policy
        In force.
    targets : sequence of str
        Outside systems to tell; each gets a row of the outbox.
    """
    at = judgement.case.at
    events = list(log.history(tx, task.task_id, until=until))
    plan = planned(task, judgement, events, policy)
    moved = task.owned_by(OwnerKind.QUEUE, plan.handoff.queue)
    entry = Entry.of(task.task_id, until, [_told(plan.handoff, at)])
    _store(tx, plan, moved, entry, at, decision_id=decision_id, targets=targets)
    return Handover(task=moved, handoff=plan.handoff, message=plan.message)


def _told(handoff: Handoff, at: datetime) -> Line:
    """Return the outcome event that the task's log gets."""
    return Line.of(
        AgentEvent(
            task_id=handoff.task_id,
            event_id=new_id("evt"),
            at=at,
            kind=EventKind.HANDOFF,
            body={
                "handoff_id": handoff.handoff_id,
                "triggers": [firing.trigger for firing in handoff.firings],
                "by": SYSTEM,
            },
        )
    )


# --- the rows ----------------------------------------------------------------


def _store(
    tx: Transaction,
    plan: Plan,
    task: Task,
    entry: Entry,
    at: datetime,
    *,
    decision_id: str,
    targets: Sequence[str],
) -> None:
    handoff = plan.handoff
    body, packed = handoffs.terms(handoff, plan.message), plan.package.canonical()
    salts = os.urandom(SALT_BYTES), os.urandom(SALT_BYTES)
    seq = ledger.append(
        tx,
        AuditType.HANDOFF_OPENED,
        at,
        **task.audited(),
        **handoffs.audited(handoff),
        **_why(plan, decision_id),
        events=entry.summary(),
        outbox=list(targets),
        commit={
            "handoff": handoffs.commitment_of(salts[0], body),
            "package": handoffs.commitment_of(salts[1], packed),
        },
    )
    task.update(tx, audit_seq=seq)
    handoffs.add(
        tx, handoff, decision_id=decision_id, body=body, salt=salts[0], audit_seq=seq
    )
    tx.run(
        _ADD_PACKAGE,
        handoff_id=handoff.handoff_id,
        digest=hashlib.sha256(packed).hexdigest(),
        body=packed,
        salt=salts[1],
        audit_seq=seq,
    )
    entry.write(tx, audit_seq=seq, decision_id=decision_id)
    _store_duties(tx, handoff, at, seq, targets)


def _why(plan: Plan, decision_id: str) -> dict[str, Any]:
    return {
        "decision": {"id": decision_id},
        "priority": str(plan.handoff.priority),
        "triggers": [firing.trigger for firing in plan.handoff.firings],
        "risk_ppm": ppm(plan.handoff.risk),
        "faults": list(plan.faults),
    }


def _store_duties(
    tx: Transaction, handoff: Handoff, at: datetime, seq: int, targets: Sequence[str]
) -> None:
    """Store deadlines, outbox rows and the first line of the history."""
    due = {"acknowledge": handoff.acknowledge_by, "resolve": handoff.resolve_by}
    common = {"handoff_id": handoff.handoff_id, "audit_seq": seq}
    tx.many(
        _ADD_TIMER,
        ({**common, "kind": k, "due_at": rfc3339(by)} for k, by in due.items()),
    )
    tx.many(
        _ADD_OUTBOX,
        (
            {**common, "outbox_id": new_id("out"), "target": t, "next_at": rfc3339(at)}
            for t in targets
        ),
    )
    add_history(tx, handoff.handoff_id, seq, at, by=SYSTEM, what="opened")


def add_history(
    tx: Transaction, handoff_id: str, seq: int, at: datetime, *, by: str, what: str
) -> None:
    """Add a line to what people read of a handoff's life."""
    tx.run(
        _ADD_HISTORY,
        handoff_id=handoff_id,
        audit_seq=seq,
        at=rfc3339(at),
        by=by,
        what=what,
    )
