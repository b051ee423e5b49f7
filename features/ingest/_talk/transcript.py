"""Transcripts of agents built on the Messages API: a turn per line.

The lines of a coding agent's session file, or of an agent SDK's output stream: ``type``
says whose turn it is, ``message`` holds it, ``sessionId`` (``session_id``) is the task.
Sessions may interleave. One answer may come over several lines, each repeating what
the whole of it cost: that is told once, after the last. A turn of a sub-agent is the
agent's reasoning, not a word to the user. Lines without a message become events of
kind `NOTE`, which feeds no signal, except ``result``, the session's outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from features.events import AgentEvent, ContractError, EventKind
from features.ingest._files.intake import Intake
from features.ingest._files.sources import MalformedLineError, Source, decode
from features.ingest._talk.blocks import chat_messages
from features.ingest._talk.content import text_of
from features.ingest._talk.messages import (
    OTHER,
    Clock,
    MessageReader,
    Wire,
    taken,
    without_null,
)

NOTE = "note"

_TURNS = ("user", "assistant")
_SESSION = ("sessionId", "session_id")
_FACTS = ("cwd", "gitBranch", "version", "entrypoint", "userType")
_HEADS = frozenset({"summary", "file-history-snapshot", "queue-operation"})
_READ = frozenset({"type", "message", "timestamp", *_SESSION, *_FACTS})


def is_line(value: Any) -> bool:
    """Return whether `value` looks like a line of a transcript."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    if value["type"] in _TURNS and isinstance(value.get("message"), dict):
        return True
    begins = value["type"] == "system" and "subtype" in value
    return value["type"] in _HEADS or (begins and taken(value, _SESSION) is not None)


def is_transcript(source: Source) -> bool:
    """Return whether `source` begins like one."""
    try:
        return not source.is_array and is_line(decode(source.head))
    except MalformedLineError:
        return False


def turn_events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of each line, in file order."""
    sessions: dict[str, _Session] = {}
    current = intake.source.path.name.partition(".")[0] or "session"
    for line, value in intake.decoded(intake.source.lines()):
        if not isinstance(value, dict):
            error = ContractError(
                field="line", expected="an object", found=type(value).__name__
            )
            intake.refuse(line, error)
            continue
        named = taken(value, _SESSION)
        current = named if isinstance(named, str) and named else current
        session = sessions.setdefault(current, _Session(current))
        try:
            yield from _landed(intake, line, session.read(value))
        except ContractError as error:
            intake.refuse(line, error)
    for session in sessions.values():
        yield from _landed(intake, intake.source.number, session.spent())


def _landed(intake: Intake, line: int, wires: Iterator[Wire]) -> Iterator[AgentEvent]:
    for wire in wires:
        event = intake.event(line, wire)
        if event is not None:
            yield event


@dataclass(slots=True)
class _Session:
    """One task, as far as its lines were read."""

    task_id: str
    position: int = -1
    clock: Clock = field(default_factory=Clock)
    has_started: bool = False
    names: set[str] = field(default_factory=set)
    answer: str | None = None
    usage: list[Wire] = field(default_factory=list)
    reader: MessageReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = MessageReader(self.task_id)

    def read(self, line: Wire) -> Iterator[Wire]:
        """Yield the events of one line; none if it was read before."""
        self.position += 1
        name = line.get("uuid")
        name = name if isinstance(name, str) and name else f"m{self.position}"
        if name in self.names:  # a resumed session repeats what came before
            return
        self.names.add(name)
        time = self.clock.at(self.position, line.get("timestamp"))
        message = line.get("message")
        if line.get("type") not in _TURNS or not isinstance(message, dict):
            yield from self._noted(name, line, time)
            return
        answer = message.get("id")
        if answer is None or answer != self.answer:
            yield from self.spent()
        self.answer = answer if isinstance(answer, str) else None
        if not self.has_started:
            yield self._start(line, message, time)
        yield from self._said(name, line, time)

    def spent(self) -> Iterator[Wire]:
        """Yield what the latest answer cost, now that all of it was read."""
        yield from self.usage
        self.usage = []

    def _said(self, name: str, line: Wire, time: Wire) -> Iterator[Wire]:
        beside = without_null({k: v for k, v in line.items() if k not in _READ})
        message = {"role": line["type"]} | line["message"]
        parts = chat_messages(message)
        is_inner = line.get("isSidechain") is True or bool(
            line.get("parent_tool_use_id")
        )
        for index, part in enumerate(parts):
            suffix = f".{index}" if len(parts) > 1 else ""
            if index == len(parts) - 1:
                part = part | {"line": beside}  # noqa: PLW2901
            for wire in self.reader.read(name + suffix, part, time):
                if wire["kind"] == EventKind.USAGE:
                    self.usage = [wire]
                else:
                    yield _inner(wire) if is_inner else wire

    def _start(self, line: Wire, message: Wire, time: Wire) -> Wire:
        self.has_started = True
        asked = text_of(message.get("content")) if line["type"] == "user" else ""
        facts = {"extra": {n: line[n] for n in _FACTS if line.get(n) is not None}}
        model = message.get("model")
        return self._event("start", EventKind.TASK_STARTED, time) | without_null(
            {
                "text": asked or None,
                "model": model if isinstance(model, str) else None,
                "extra": facts["extra"] or None,
            }
        )

    def _noted(self, name: str, line: Wire, time: Wire) -> Iterator[Wire]:
        if not self.has_started and line.get("subtype") == "init":
            self.has_started = True
            model = line.get("model")
            told = {"model": model if isinstance(model, str) else None, "extra": line}
            yield self._event("start", EventKind.TASK_STARTED, time) | without_null(
                told
            )
            return
        ends = line.get("type") == "result"
        if ends:
            yield from self.spent()
        kind = EventKind.COMPLETED if ends else NOTE
        yield self._event(name, kind, time) | {"extra": line}

    def _event(self, name: str, kind: str, time: Wire) -> Wire:
        return {"task_id": self.task_id, "event_id": name, "kind": kind} | time


def _inner(wire: Wire) -> Wire:
    """Return an event of a sub-agent's talk as the agent's own reasoning."""
    if wire["kind"] == EventKind.USER_MESSAGE:
        return wire | {"kind": OTHER, "author": "agent"}
    if wire["kind"] == EventKind.AGENT_MESSAGE:
        return wire | {"kind": EventKind.PLAN, "reasoning": True}
    return wire
