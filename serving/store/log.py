"""Log: a task's events in the store, in the order in which they arrived."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import orjson

from features.events import AgentEvent, EventKind
from features.history import head_of
from serving.policy import audit
from serving.store import attachments
from serving.store.intake import Line
from serving.store.opening import reading
from serving.store.transaction import Reader, Row, Transaction
from serving.where import Where

SALT_BYTES = 32
_FACTS = (
    "domain",
    "channel",
    "locale",
    "agent_id",
    "agent_version",
    "model",
    "account",
    "group",
    "tenant",
    "task_type",
)

LENGTH = """
SELECT coalesce(max(seq), -1) + 1 AS length FROM event WHERE task_id = :task_id
"""
HISTORY = """
SELECT body FROM event
WHERE task_id = :task_id AND seq >= :first AND seq < :until ORDER BY seq
"""
LATEST = """
SELECT body FROM event WHERE task_id = :task_id AND kind = :kind ORDER BY seq DESC
"""
EVERYTHING = "SELECT body FROM event ORDER BY task_id, seq"
_ADD = """
INSERT INTO event
  (task_id, seq, event_id, kind, digest, body, salt, decision_id, audit_seq)
VALUES
  (:task_id, :seq, :event_id, :kind, :digest, :body, :salt, :decision_id, :audit_seq)
"""


# --- what is kept ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """Lines about to be appended to a task's log under one audit record.

    The record holds one hash over the salted commitments of all of them: it says
    nothing of their content to whoever lacks the salts, which lie beside the events.
    """

    task_id: str
    first: int
    lines: tuple[Line, ...]
    salts: tuple[bytes, ...]

    @classmethod
    def of(cls, task_id: str, first: int, lines: Iterable[Line]) -> Self:
        """Return an entry with fresh salts, to stand from place `first` on."""
        kept = tuple(lines)
        salts = tuple(os.urandom(SALT_BYTES) for _ in kept)
        return cls(task_id, first, kept, salts)

    @property
    def until(self) -> int:
        """The length of the log with this entry."""
        return self.first + len(self.lines)

    def summary(self) -> dict[str, Any]:
        """Return what the audit record says of the events."""
        bodies = (line.body for line in self.lines)
        return summary(self.first, zip(self.salts, bodies, strict=True))

    def write(
        self, tx: Transaction, *, audit_seq: int, decision_id: str | None = None
    ) -> None:
        """Append the lines, under the audit record `audit_seq`."""
        attachments.use(tx, self.task_id, self.first, self.lines)
        tx.many(
            _ADD,
            (
                {
                    "task_id": self.task_id,
                    "seq": self.first + offset,
                    "event_id": line.event.event_id,
                    "kind": str(line.event.kind),
                    "digest": line.digest,
                    "body": line.body,
                    "salt": salt,
                    "decision_id": decision_id,
                    "audit_seq": audit_seq,
                }
                for offset, (line, salt) in enumerate(
                    zip(self.lines, self.salts, strict=True)
                )
            ),
        )


def summary(first: int, salted: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Return what an audit record says of events with these salts and bodies."""
    leaves = [audit.leaf_hash(audit.commitment(salt, body)) for salt, body in salted]
    return {
        "first": first,
        "count": len(leaves),
        "commit": audit.root_of(leaves).hex(),
    }


def length(reader: Reader, task_id: str) -> int:
    """Return how many events the log of `task_id` has."""
    row = reader.one(LENGTH, task_id=task_id)
    return 0 if row is None else int(row["length"])


def history(
    reader: Reader, task_id: str, *, first: int = 0, until: int
) -> Iterator[AgentEvent]:
    """Yield the events of `task_id` in ``[first, until)``, in log order."""
    for row in reader.all(HISTORY, task_id=task_id, first=first, until=until):
        yield stored_event(row)


def latest(reader: Reader, task_id: str, kind: EventKind) -> Iterator[AgentEvent]:
    """Yield the events of one kind, the newest first."""
    for row in reader.all(LATEST, task_id=task_id, kind=str(kind)):
        yield stored_event(row)


def stored_event(row: Row) -> AgentEvent:
    """Return the event in `row`; it was checked before it was stored."""
    wire = orjson.loads(row["body"])
    return AgentEvent(
        task_id=wire.pop("task_id"),
        event_id=wire.pop("event_id"),
        at=datetime.fromisoformat(wire.pop("at")),
        kind=wire.pop("kind"),
        body=wire,
    )


def read_log(where: Where) -> Iterator[AgentEvent]:
    """Yield every event of the store at `where`: task by task, each in log order.

    Raises
    ------
    StoreError
        If there is no store there.
    """
    with reading(where) as reader:
        for row in reader.all(EVERYTHING):
            yield stored_event(row)


# --- what is known of a task -------------------------------------------------


def facts_after(
    facts: Mapping[str, Any], events: Iterable[AgentEvent]
) -> Mapping[str, Any]:
    """Return what is known of a task once `events` have followed.

    What `task_started` says of domain, agent and account; and `request`, the head of
    what the user asked for first.
    """
    known = dict(facts)
    for event in events:
        if event.kind == EventKind.TASK_STARTED:
            known |= {k: event.body[k] for k in _FACTS if event.body.get(k) is not None}
        if event.kind in (EventKind.TASK_STARTED, EventKind.USER_MESSAGE):
            words = head_of(event.text)
            if words and "request" not in known:
                known["request"] = words
    return known
