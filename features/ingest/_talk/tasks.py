"""One task told by one record of a log: its start, its messages, its outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from features.events import AgentEvent, ContractError, EventKind
from features.ingest._files.intake import Intake
from features.ingest._talk.content import first_time, text_of
from features.ingest._talk.messages import (
    EPOCH,
    SYSTEM_ROLES,
    TIME_FIELDS,
    Clock,
    Item,
    MessageReader,
    Wire,
    taken,
    without_null,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """All that one record of a log says of one task.

    Attributes
    ----------
    task_id : str
        The task.
    facts : dict
        Body of `task_started`, except the request text, which the messages give.
    messages : Sequence
        Chat messages, unchecked.
    created : datetime or None
        When the task began, where the record says so.
    outcomes : Sequence of Item
        What became of it: event id, kind and body, after all messages.
    adjust : Callable
        Last word of the format on each event, in wire form.
    """

    task_id: str
    facts: Wire
    messages: Sequence[Any]
    created: datetime | None = None
    outcomes: Sequence[Item] = ()
    adjust: Callable[[Wire], Wire] = dict

    def wires(self, refuse: Callable[[ContractError], None]) -> Iterator[Wire]:
        """Yield the task's events; tell `refuse` of bad messages."""
        sound = [m for m in self.messages if isinstance(m, dict)]
        began = self.created or first_time(taken(m, TIME_FIELDS) for m in sound)
        yield self._start(sound, began)
        clock = Clock(began or EPOCH)
        reader = MessageReader(self.task_id)
        for position, message in enumerate(self.messages):
            told = message if isinstance(message, dict) else {}
            time = clock.at(position, taken(told, TIME_FIELDS))
            try:
                yield from reader.read(f"m{position}", message, time)
            except ContractError as error:
                refuse(error)
        for index, (event_id, kind, body) in enumerate(self.outcomes):
            time = clock.at(len(self.messages) + index, body.get("at"))
            head = {"task_id": self.task_id, "event_id": event_id, "kind": kind}
            yield body | head | time

    def _start(self, messages: Sequence[Wire], told: datetime | None) -> Wire:
        """Return `task_started`; its text is the request, the user's first words."""
        said = [text_of(m.get("content")) for m in messages if m.get("role") == "user"]
        system = [
            text_of(m.get("content")) for m in messages if m.get("role") in SYSTEM_ROLES
        ]
        body = {
            "task_id": self.task_id,
            "event_id": "start",
            "kind": EventKind.TASK_STARTED,
            "at": (told or EPOCH).isoformat(),
            "at_synthetic": None if told else True,
            "text": next(filter(None, said), None),
            "system": "\n".join(system) or None,
        }
        return without_null(self.facts | body)


def task_events(intake: Intake, line: int, record: TaskRecord) -> Iterator[AgentEvent]:
    """Yield the events of one task; refuse what is malformed, and a second record."""
    if not intake.is_new(line, record.task_id):
        return
    for wire in record.wires(partial(intake.refuse, line)):
        event = intake.event(line, record.adjust(wire))
        if event is not None:
            yield event
