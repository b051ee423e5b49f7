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
from serving.store import (
    agent_leases,
    attachments,
    handoffs,
    ledger,
    log,
    outbox,
    timers,
)
from serving.store.intake import Line
from serving.store.log import SALT_BYTES, Entry
from serving.store.notices import Notice
from serving.store.tasks import OwnerKind, Task, new_id
from serving.store.transaction import Transaction

SYSTEM = "escalon"

_ADD_PACKAGE = """
INSERT INTO package (handoff_id, digest, body, salt, audit_seq)
VALUES (:handoff_id, :digest, :body, :salt, :audit_seq)
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
    notice : Notice
        The one message for the user.
    lacking : tuple of str
        Parts of the package that are poorer than they should be.
    """

    task: Task
    handoff: Handoff
    notice: Notice
    lacking: tuple[str, ...] = ()


def hand_over(
    tx: Transaction,
    task: Task,
    judgement: Judgement,
    *,
    decision_id: str,
    until: int,
    policy: Policy,
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
        In force; its queues say which channels are told.
    """
    at = judgement.case.at
    events = list(log.history(tx, task.task_id, until=until))
    stored = attachments.stored_of(tx, events)
    plan = planned(task, judgement, events, policy, stored)
    moved = task.owned_by(OwnerKind.QUEUE, plan.handoff.queue)
    entry = Entry.of(task.task_id, until, [_told(plan.handoff, at)])
    channels = channels_of(policy, plan.handoff.queue)
    _store(tx, plan, moved, entry, at, decision_id=decision_id, channels=channels)
    agent_leases.settle(tx, task.task_id, at)
    return Handover(
        task=moved,
        handoff=plan.handoff,
        notice=plan.notice,
        lacking=plan.package.lacking,
    )


def channels_of(policy: Policy, queue: str) -> tuple[str, ...]:
    """Return the channels that are told of handoffs to `queue`, beside the console."""
    return next((q.notify for q in policy.queues if q.name == queue), ())


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
    channels: Sequence[str],
) -> None:
    handoff = plan.handoff
    body, packed = handoffs.terms(handoff, plan.notice.text), plan.package.canonical()
    salts = os.urandom(SALT_BYTES), os.urandom(SALT_BYTES)
    seq = ledger.append(
        tx,
        AuditType.HANDOFF_OPENED,
        at,
        **task.audited(),
        **handoffs.audited(handoff),
        **_why(plan, decision_id),
        **plan.notice.audited(),
        events=entry.summary(),
        outbox=list(channels),
        **timers.said(plan.deadlines),
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
    _store_duties(tx, plan, at, seq, channels)


def _why(plan: Plan, decision_id: str) -> dict[str, Any]:
    return {
        "decision": {"id": decision_id},
        "priority": str(plan.handoff.priority),
        "triggers": [firing.trigger for firing in plan.handoff.firings],
        "risk_ppm": ppm(plan.handoff.risk),
        "faults": list(plan.faults),
        "lacking": list(plan.package.lacking),
        "shed": None if plan.handoff.shed is None else plan.handoff.shed.to_json(),
    }


def _store_duties(
    tx: Transaction, plan: Plan, at: datetime, seq: int, channels: Sequence[str]
) -> None:
    """Store deadlines, notice, outbox rows and the first line of the history."""
    handoff = plan.handoff
    handoff_id = handoff.handoff_id
    timers.write(tx, handoff_id, plan.deadlines, at, audit_seq=seq)
    plan.notice.add(tx, handoff_id, at, audit_seq=seq)
    says = {"at": rfc3339(at), "by": SYSTEM}
    outbox.add(tx, handoff_id, channels, kind="opened", says=says, at=at, audit_seq=seq)
    add_history(tx, handoff_id, seq, at, by=SYSTEM, what="opened")


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
