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
from serving.store.tasks import OwnerKind, Task, new_id
from serving.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move of a handoff, and all that goes with it.

    Attributes
    ----------
    owner : tuple, optional
        Kind and id of the task's next owner; None: it stays with whom it is, under the
        same epoch.
    events : Mapping
        Outcome events for the task's log, body by kind.
    timers : Mapping
        Deadlines by kind: when each is due from now on; None: it is settled.
    channels : tuple of str
        To be told of the handoff from its opening, beside those told before.
    says : Mapping
        What else records and channels say of it; as canonical as a record.
    is_told : bool
        Whether channels are told at all.
    """

    handoff: Handoff
    audit_type: AuditType
    owner: tuple[OwnerKind, str] | None
    by: str
    at: datetime
    events: Mapping[EventKind, Mapping[str, Any]] = field(default_factory=dict)
    timers: Mapping[str, datetime | None] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    says: Mapping[str, Any] = field(default_factory=dict)
    is_told: bool = True

    @property
    def verb(self) -> str:
        """What happened, in one word."""
        return self.audit_type.rpartition(".")[2]


def make(tx: Transaction, move: Move) -> None:
    """Make `move`: handoff, task, log, deadlines, history, under one record."""
    moved = move.handoff
    stands = tasks.get(tx, moved.task_id)
    task = stands if move.owner is None else stands.owned_by(*move.owner)
    entry = Entry.of(task.task_id, log.length(tx, task.task_id), _lines(move))
    said = {"events": entry.summary()} if entry.lines else {}
    told = _told(tx, move)
    seq = ledger.append(
        tx,
        move.audit_type,
        move.at,
        **_owned(task, move),
        **handoffs.audited(moved),
        **said,
        **({"says": dict(move.says)} if move.says else {}),
        **timers.said(move.timers),
        **{name: list(channels) for name, channels in told.items() if channels},
        by=move.by,
    )
    if move.owner is not None:
        task.update(tx, audit_seq=seq)
    handoffs.update(tx, moved, audit_seq=seq)
    entry.write(tx, audit_seq=seq)
    timers.write(tx, moved.handoff_id, move.timers, move.at, audit_seq=seq)
    _tell(tx, move, told, seq)
    add_history(tx, moved.handoff_id, seq, move.at, by=move.by, what=move.verb)


def _owned(task: Task, move: Move) -> dict[str, Any]:
    """Return what the record says of the task: its owner only if that is new."""
    if move.owner is None:
        return {"task": task.task_id, "epoch": task.epoch}
    return task.audited()


def _told(tx: Transaction, move: Move) -> dict[str, tuple[str, ...]]:
    """Return the channels to be told of the move, and new ones to be told of it all.

    By the names under which records hold them.
    """
    known = outbox.told(tx, move.handoff.handoff_id) if move.is_told else ()
    new = tuple(channel for channel in move.channels if channel not in known)
    return {"told": known, "outbox": new}


def _tell(
    tx: Transaction, move: Move, told: Mapping[str, tuple[str, ...]], seq: int
) -> None:
    says = {**move.says, "at": rfc3339(move.at), "by": move.by}
    handoff_id = move.handoff.handoff_id
    add = partial(outbox.add, tx, handoff_id, says=says, at=move.at, audit_seq=seq)
    add(told["outbox"], kind="opened")
    add(told["told"], kind=move.verb)


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
