"""Talk: what the log of a task holds for those who follow it live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from features.events import AgentEvent, EventKind
from serving.store import log
from serving.store.transaction import Reader

SPEAKERS = {
    EventKind.USER_MESSAGE: "user",
    EventKind.AGENT_MESSAGE: "agent",
    EventKind.PERSON_MESSAGE: "person",
}

# Kinds stand here as text: a statement is prepared once, whatever it looks for.
_TOLD = """
SELECT seq, body FROM event WHERE task_id = :task_id AND seq > :after AND kind IN (
  'user_message', 'agent_message', 'person_message', 'handoff', 'claimed', 'returned',
  'resolved'
) ORDER BY seq LIMIT :most
"""
_SAID = """
SELECT seq, body FROM event WHERE task_id = :task_id AND seq > :after
  AND kind IN (
    'user_message', 'agent_message', 'person_message', 'returned', 'resolved'
  ) ORDER BY seq
"""
_PLACE = """
SELECT seq, body FROM event WHERE task_id = :task_id AND event_id = :event_id
"""
_OPENED = """
SELECT seq, body FROM event WHERE task_id = :task_id AND kind = 'handoff'
ORDER BY seq DESC
"""
_STAMP = """
SELECT
  (SELECT max(seq) FROM event WHERE task_id = :task_id) AS place,
  (SELECT epoch FROM task WHERE task_id = :task_id) AS epoch,
  (SELECT max(seen_at) FROM presence WHERE task_id = :task_id) AS seen_at
"""

Stamp = tuple[int | None, int | None, str | None]


@dataclass(frozen=True, slots=True)
class Placed:
    """An event and its place in the log of its task, from 0."""

    place: int
    event: AgentEvent


def told(reader: Reader, task_id: str, *, after: int, most: int) -> Iterator[Placed]:
    """Yield at most `most` events after the place `after` that a follower is told."""
    rows = reader.all(_TOLD, task_id=task_id, after=after, most=most)
    return (Placed(row["seq"], log.stored_event(row)) for row in rows)


def said(reader: Reader, task_id: str, *, after: int) -> Iterator[Placed]:
    """Yield the messages after the place `after`, and the ends of handovers."""
    rows = reader.all(_SAID, task_id=task_id, after=after)
    return (Placed(row["seq"], log.stored_event(row)) for row in rows)


def find(reader: Reader, task_id: str, event_id: str) -> Placed | None:
    """Return the event of this id in the log of a task, or None."""
    row = reader.one(_PLACE, task_id=task_id, event_id=event_id)
    return None if row is None else Placed(row["seq"], log.stored_event(row))


def opening(reader: Reader, task_id: str, handoff_id: str | None = None) -> int | None:
    """Return the place at which a handoff of a task began; the last, if none is named.

    None where there was no handover.
    """
    rows = reader.all(_OPENED, task_id=task_id)
    placed = (Placed(row["seq"], log.stored_event(row)) for row in rows)
    return next(
        (
            one.place
            for one in placed
            if handoff_id in (None, one.event.body.get("handoff_id"))
        ),
        None,
    )


def stamp(reader: Reader, task_id: str) -> Stamp:
    """Return what differs once a follower of the task has anything new to learn.

    Cheap: of log, ownership and presence only what came last is read.
    """
    row = reader.one(_STAMP, task_id=task_id)
    if row is None:
        return None, None, None
    return row["place"], row["epoch"], row["seen_at"]
