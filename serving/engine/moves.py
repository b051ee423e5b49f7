"""Moves: one move of a handoff and of its task's ownership, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.events import AgentEvent, EventKind
from serving.engine.handover import add_history
from serving.policy.audit import AuditType, rfc3339
from serving.policy.handoff import Handoff
from serving.store import handoffs, ledger, log, tasks
from serving.store.intake import Line
from serving.store.log import Entry
from serving.store.tasks import OwnerKind, new_id
from serving.store.transaction import Transaction

_SETTLE = """
UPDATE timer SET settled_at = :at, audit_seq = :audit_seq
WHERE handoff_id = :handoff_id AND kind = :kind
"""


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
        Deadlines that end (True) or run again (False).
    """

    handoff: Handoff
    audit_type: AuditType
    owner: tuple[OwnerKind, str]
    by: str
    at: datetime
    events: Mapping[EventKind, Mapping[str, Any]] = field(default_factory=dict)
    timers: Mapping[str, bool] = field(default_factory=dict)

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
    for kind, is_over in move.timers.items():
        _settle(tx, move, seq, kind, is_over=is_over)
    add_history(tx, moved.handoff_id, seq, move.at, by=move.by, what=move.verb)


def _settle(tx: Transaction, move: Move, seq: int, kind: str, *, is_over: bool) -> None:
    tx.run(
        _SETTLE,
        handoff_id=move.handoff.handoff_id,
        kind=kind,
        at=rfc3339(move.at) if is_over else None,
        audit_seq=seq,
    )


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
