"""Moves: one move of a handoff and of its task's ownership, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from features.events import AgentEvent, EventKind
from serving.engine.handover import add_history
from serving.policy.audit import AuditType, rfc3339
from serving.policy.handoff import Handoff
from serving.store import handoffs, ledger, log, outbox, tasks, timers
from serving.store.intake import Line
from serving.store.log import Entry
from serving.store.tasks import OwnerKind, new_id
from serving.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move of a handoff, and all that goes with it.

    Attributes
    ----------
    owner : tuple
        Kind and id of the task's next owner.
    events : Mapping
        Outcome events for the task's log, body by kind.
    timers : Mapping
        Deadlines by kind: when each is due from now on; None: it is settled.
    channels : tuple of str
        To be told of the handoff from its opening, beside those told before.
    """

    handoff: Handoff
    audit_type: AuditType
    owner: tuple[OwnerKind, str]
    by: str
    at: datetime
    events: Mapping[EventKind, Mapping[str, Any]] = field(default_factory=dict)
    timers: Mapping[str, datetime | None] = field(default_factory=dict)
    channels: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """What happened, in one word."""
        return self.audit_type.rpartition(".")[2]


def make(tx: Transaction, move: Move) -> None:
    """Make `move`: handoff, task, log, deadlines, history, under one record."""
    moved = move.handoff
    task = tasks.get(tx, moved.task_id).owned_by(*move.owner)
    entry = Entry.of(task.task_id, log.length(tx, task.task_id), _lines(move))
    said = {"events": entry.summary()} if entry.lines else {}
    seq = ledger.append(
        tx,
        move.audit_type,
        move.at,
        **task.audited(),
        **handoffs.audited(moved),
        **said,
        by=move.by,
    )
    task.update(tx, audit_seq=seq)
    handoffs.update(tx, moved, audit_seq=seq)
    entry.write(tx, audit_seq=seq)
    for kind, due in move.timers.items():
        if due is None:
            timers.settle(tx, moved.handoff_id, kind, move.at, audit_seq=seq)
        else:
            timers.due(tx, moved.handoff_id, kind, due, audit_seq=seq)
    _tell(tx, move, seq)
    add_history(tx, moved.handoff_id, seq, move.at, by=move.by, what=move.verb)


def _tell(tx: Transaction, move: Move, seq: int) -> None:
    """Have channels told: those that know the handoff of the move, new ones of all."""
    handoff_id = move.handoff.handoff_id
    says = {"at": rfc3339(move.at), "by": move.by}
    known = outbox.told(tx, handoff_id)
    new = [channel for channel in move.channels if channel not in known]
    add = partial(outbox.add, tx, handoff_id, says=says, at=move.at, audit_seq=seq)
    add(new, kind="opened")
    add(known, kind=move.verb)


def _lines(move: Move) -> list[Line]:
    """Return the move's outcome events, as the task's log gets them."""
    common = {"handoff_id": move.handoff.handoff_id, "by": move.by}
    return [
        Line.of(
            AgentEvent(
                task_id=move.handoff.task_id,
                event_id=new_id("evt"),
                at=move.at,
                kind=kind,
                body={**common, **body},
            )
        )
        for kind, body in move.events.items()
    ]
