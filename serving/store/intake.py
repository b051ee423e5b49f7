"""Intake: the events of a call, checked, and told apart from those already kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson

from features.events import AgentEvent, ContractError, parse
from serving.problems import Problem, ProblemType
from serving.store import tasks
from serving.store.transaction import Reader

KNOWN = """
SELECT digest, audit_seq FROM event WHERE task_id = :task_id AND event_id = :event_id
"""


@dataclass(frozen=True, slots=True)
class Line:
    """An event, the bytes that are stored and hashed for it, its place in the call."""

    event: AgentEvent
    body: bytes
    index: int = 0

    @classmethod
    def of(cls, event: AgentEvent, index: int = 0) -> Self:
        """Return `event` with its canonical wire form."""
        body = orjson.dumps(event.to_json(), option=orjson.OPT_SORT_KEYS)
        return cls(event, body, index)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the stored bytes; `AgentEvent.digest` says the same."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of one call: those that can be kept, and what was wrong with others.

    Attributes
    ----------
    lines : tuple of Line
        In the order in which they came.
    refused : tuple of Mapping
        ``{"index", "event_id", "field", "expected", "found"}`` each.
    """

    lines: tuple[Line, ...]
    refused: tuple[Mapping[str, Any], ...]

    @property
    def event_ids(self) -> list[str]:
        """Ids of the events that can be kept, each once."""
        return list(dict.fromkeys(line.event.event_id for line in self.lines))

    @classmethod
    def read(
        cls,
        raw: Sequence[Any],
        *,
        task_id: str | None = None,
        check: Callable[[AgentEvent], None] | None = None,
    ) -> Self:
        """Return the batch that the JSON values `raw` describe.

        Parameters
        ----------
        raw : sequence
            One value for each event, as `features.events.parse` takes them.
        task_id : str, optional
            The task all of them must belong to.
        check : callable, optional
            Raises `ContractError` for an event that may not come this way.
        """
        lines: list[Line] = []
        refused: list[Mapping[str, Any]] = []
        for index, value in enumerate(raw):
            try:
                event = parse(value, task_id=task_id)
                if check is not None:
                    check(event)
                lines.append(Line.of(event, index))
            except ContractError as error:
                refused.append(refusal(index, error))
        return cls(tuple(lines), tuple(refused))


def refusal(index: int, error: ContractError) -> Mapping[str, Any]:
    """Return what an answer says of the event at `index` of its call."""
    return {
        "index": index,
        "event_id": error.event_id,
        "field": error.field,
        "expected": error.expected,
        "found": error.found,
    }


@dataclass(frozen=True, slots=True)
class Sorted:
    """The lines of a batch, told apart by whether the log has them already.

    Attributes
    ----------
    new : tuple of Line
        To be appended.
    answered_by : int or None
        The audit record of the last call that brought one of the others.
    """

    new: tuple[Line, ...]
    answered_by: int | None


def sort(reader: Reader, task_id: str, lines: Iterable[Line]) -> Sorted:
    """Return which of `lines` are new in the log of `task_id`.

    Raises
    ------
    Problem
        event-conflict, if one was sent before under its id with other content.
    """
    new: dict[str, Line] = {}
    answered_by: int | None = None
    for line in lines:
        event_id = line.event.event_id
        stored = reader.one(KNOWN, task_id=task_id, event_id=event_id)
        if stored is not None:
            _check_same(reader, line, stored["digest"])
            answered_by = max(answered_by or 0, stored["audit_seq"])
        elif event_id in new:
            _check_same(reader, line, new[event_id].digest)
        else:
            new[event_id] = line
    return Sorted(tuple(new.values()), answered_by)


def _check_same(reader: Reader, line: Line, stored: str) -> None:
    sent, event = line.digest, line.event
    if stored == sent:
        return
    task = tasks.find(reader, event.task_id)
    raise Problem(
        ProblemType.EVENT_CONFLICT,
        f"event {event.event_id!r} was kept with SHA-256 {stored}, this one has "
        f"{sent}; an event never changes: send what is new under an id of its own",
        event_id=event.event_id,
        stored_sha256=stored,
        sent_sha256=sent,
        owner=None if task is None else task.owner,
        epoch=None if task is None else task.epoch,
    )
