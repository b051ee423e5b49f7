"""One task's log, put together once from spans that tell it many times over.

A model's span repeats the whole conversation so far, and the tool that it asks for is
told by the model's answer, by the tool's own span and by the model's next input. What
is new in a span is found by laying its messages beside what was said before:

* Its last message of the agent that is known already is the *anchor*. What follows it
  is new unless it was said since; what precedes it is new only if it was never said.
* Without an anchor, one message of the user alone in a new trace is a new turn, however
  often the same words were said before.
* Messages that share nothing with the conversation, in a trace that has already spoken,
  are those of a sub-agent if a call is under way or the instructions are others: its
  words are the agent's reasoning, not the user's. A router or guard that comes first
  quotes the user; who is quoted is no sub-agent.

The same fold serves a file and a live receiver, span by span as each one ends. It can
be resumed from the events it made, so a restarted receiver says nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from features.events import AgentEvent, EventKind
from features.ingest._spans.judgements import judgement
from features.ingest._spans.observation import (
    LATER,
    Evaluation,
    Observation,
    What,
)
from features.ingest._spans.said import (
    OF_AGENT,
    Calls,
    Refuse,
    Said,
    Thread,
    digest,
    key_of,
)
from features.ingest._talk.content import is_write, text_of
from features.ingest._talk.messages import (
    EPOCH,
    OTHER,
    SYSTEM_ROLES,
    MessageReader,
    Wire,
    without_null,
)

SPAN = "span"  # kind of a span that nothing else is told of; feeds no signal

_SPOKEN = frozenset({EventKind.USER_MESSAGE, EventKind.AGENT_MESSAGE})
_SAID = _SPOKEN | OF_AGENT | {EventKind.TOOL_RESULT, OTHER}
_THREADS = 8  # remembered at a time: each holds a conversation
_QUOTES = 8  # latest words of the user that a quotation is looked for in
# What a span's extra goes with, the best first.
_MAIN = (
    EventKind.TOOL_RESULT,
    EventKind.AGENT_MESSAGE,
    EventKind.TOOL_CALL,
    EventKind.PLAN,
    EventKind.RETRIEVAL,
    EventKind.USAGE,
)


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in SYSTEM_ROLES


def _system(told: Observation) -> str | None:
    """Return the instructions that a span's model was given."""
    given = (text_of(m.get("content")) for m in told.inputs if _is_system(m))
    return told.system or "\n".join(given) or None


def _inner(wire: Wire) -> Wire:
    """Return an event of a sub-agent's talk as the agent's own reasoning."""
    if wire["kind"] == EventKind.USER_MESSAGE:
        return wire | {"kind": OTHER, "author": "agent"}
    if wire["kind"] == EventKind.AGENT_MESSAGE:
        return wire | {"kind": EventKind.PLAN, "reasoning": True}
    return wire


@dataclass(slots=True)
class Conversation:
    """The log of one task; feed it the task's observations in the order they end.

    Attributes
    ----------
    task_id : str
        The task.
    refuse : Callable
        Told of each message that is malformed, and why.
    """

    task_id: str
    refuse: Refuse = lambda *_: None
    _said: Said = field(default_factory=Said)
    _calls: Calls = field(default_factory=Calls)
    _facts: Wire = field(default_factory=dict)
    _began: dict[str, int] = field(default_factory=dict)  # trace -> place in said
    _spoken: set[str] = field(default_factory=set)  # traces with a model's messages
    _spans: set[str] = field(default_factory=set)
    _answered: set[str] = field(default_factory=set)  # spans whose output was told
    _quotable: list[str] = field(default_factory=list)
    _threads: dict[str, Thread] = field(default_factory=dict)
    _latest: datetime | None = None
    _is_started: bool = False

    def resume(self, events: Iterable[AgentEvent]) -> Self:
        """Return the conversation as `events`, the task's log so far, leave it."""
        for event in events:
            wire = {"kind": event.kind, "event_id": event.event_id, **event.body}
            trace_id = str(wire.get("trace_id"))
            self._began.setdefault(trace_id, len(self._said.keys))
            self._note(wire)
            if not event.is_outcome and not wire.get("at_synthetic"):
                self._see(event.at)
        return self

    def take(self, told: Observation) -> list[Wire]:
        """Return the events that `told` adds to the log, in wire form and in order.

        A span that was taken before adds nothing.
        """
        place = f"{told.trace_id}/{told.span_id}{told.piece}"
        if place in self._spans or told.what is What.JUDGEMENT:
            return []
        self._spans.add(place)
        self._began.setdefault(told.trace_id, len(self._said.keys))
        wires = self._with_extra(told, list(self._told(told)))
        if told.what is What.MODEL and (told.inputs or told.outputs):
            self._spoken.add(told.trace_id)
        wires = [*self._facts_of(told, wires), *wires]
        self._see(told.ended or told.started)
        for wire in wires:
            self._note(wire)
        return wires

    def judge(self, told: Evaluation, trace_id: str) -> list[Wire]:
        """Return the event of a judgement, if it is new."""
        place = f"{trace_id}/{told.key}"
        if place in self._spans:
            return []
        self._spans.add(place)
        span = {"trace_id": trace_id, "span_id": told.key}
        return [self._head(told.key, told.at) | span | judgement(told, self._latest)]

    # --- what a span tells --------------------------------------------------

    def _told(self, told: Observation) -> Iterator[Wire]:
        """Yield the events of a span that are new."""
        is_run = told.what is What.AGENT
        match told.what:
            case What.MODEL:
                yield from self._exchange(told)
            case What.TOOL:
                yield from self._tool(told)
            case What.RETRIEVAL:
                body = {"documents": list(told.documents or ())}
                yield self._wire(told, ".found", EventKind.RETRIEVAL, body)
            case _:
                # What a run was asked and answered, unless its model's spans tell it.
                if told.trace_id not in self._spoken:
                    yield from self._exchange(told)
        # What a run spent in all is what its model's spans spent.
        if told.usage and (not is_run or told.trace_id not in self._spoken):
            yield self._wire(told, ".usage", EventKind.USAGE, dict(told.usage))

    def _with_extra(self, told: Observation, wires: list[Wire]) -> list[Wire]:
        """Return `wires` with the span's extra on the one it is most about."""
        error = None if told.what is What.TOOL else told.error
        extra = without_null({**told.extra, "error": error})
        heard = f"{told.span_id}{told.piece}.in"
        mine = {w["kind"]: w for w in wires if not w["event_id"].startswith(heard)}
        main = next((mine[kind] for kind in _MAIN if kind in mine), None)
        if extra and main is not None:
            main["extra"] = {**main.get("extra", {}), "span": extra}
        elif extra or not (wires or told.evaluations):
            body = {"what": str(told.what), "name": told.name, "extra": extra}
            wires.append(self._wire(told, "", SPAN, body))
        return wires

    def _exchange(self, told: Observation) -> Iterator[Wire]:
        """Yield what is new in a span's input, and all of its output."""
        heard = self._heard(told)
        wires, keys = heard.wires, heard.keys
        users = [key for key in keys if key[0] == EventKind.USER_MESSAGE]
        is_inner = bool(users) and self._is_inner(told, heard)
        if is_inner:
            wires = [_inner(wire) for wire in wires]
            keys = [key_of(wire) for wire in wires]
        since = self._began[told.trace_id] if len(users) == 1 else 0
        fresh = self._said.fresh(keys, since)
        new = [w for w, is_new in zip(wires, fresh, strict=True) if is_new]
        time = self._time(told.started or told.ended)
        for index, wire in enumerate(new):
            yield self._placed(wire | time, told, f".in{index}")
        yield from self._answer(told, is_inner=is_inner)

    def _heard(self, told: Observation) -> Thread:
        """Return all input messages as a thread, reading only what it adds to one."""
        name = digest(next((m for m in told.inputs if not _is_system(m)), None))
        thread = self._threads.pop(name, None)
        inputs = list(told.inputs)
        if thread is None or inputs[: len(thread.messages)] != thread.messages:
            thread = Thread(MessageReader(self.task_id))
        time = self._time(told.started or told.ended)
        for message in inputs[len(thread.messages) :]:
            thread.add(message, time, self.refuse)
        self._threads[name] = thread
        if len(self._threads) > _THREADS:
            del self._threads[next(iter(self._threads))]
        return thread

    def _is_inner(self, told: Observation, heard: Thread) -> bool:
        """Return whether a sub-agent speaks; see the module's third rule."""
        if len(self._said.keys) == self._began[told.trace_id]:
            return False
        if any(key in self._said.place for key in heard.keys):
            return False
        if not self._calls.open and _system(told) == self._facts.get("system"):
            return False
        spoken = [w for w in heard.wires if w["kind"] == EventKind.USER_MESSAGE]
        texts = [text for w in spoken if (text := w.get("text"))]
        return not any(text in quoted for text in texts for quoted in self._quotable)

    def _answer(self, told: Observation, *, is_inner: bool) -> Iterator[Wire]:
        """Yield the events of a span's output, unless a piece of it told them."""
        if f"{told.trace_id}/{told.span_id}" in self._answered:
            return
        time = self._time(told.ended or told.started)
        sure = without_null(
            {"confidence": told.confidence, "interpretations": told.interpretations}
        )
        thread = Thread(MessageReader(self.task_id))
        thread.times.update(self._calls.times)
        for message in told.outputs:
            thread.add(message, time, self.refuse)
        for index, wire in enumerate(thread.wires):
            if sure and wire["kind"] in OF_AGENT - {EventKind.PLAN}:
                wire.update(sure)
                sure = {}
            shown = _inner(wire) if is_inner else wire
            yield self._placed(shown, told, f".out{index}")

    def _tool(self, told: Observation) -> Iterator[Wire]:
        """Yield the call, unless the model told it, and the result, likewise."""
        tool = without_null({"tool": told.name or None} | told.tool)
        given = tool.pop("call_id", None) or self._calls.answered_by(tool)
        call_id = {"call_id": str(given or self._calls.next_id(tool))}
        if key_of({"kind": EventKind.TOOL_CALL} | call_id) not in self._said.place:
            called = {n: tool.get(n) for n in ("tool", "arguments")} | call_id
            called["is_write"] = is_write(tool.get("tool"))
            wire = self._wire(told, ".call", EventKind.TOOL_CALL, called)
            yield wire | self._time(told.started or told.ended)
        tool.pop("arguments", None)
        if key_of({"kind": EventKind.TOOL_RESULT} | call_id) not in self._said.place:
            error = {"error": tool.get("error") or told.error or False}
            result = tool | error | call_id
            yield self._wire(told, ".result", EventKind.TOOL_RESULT, result)

    def _facts_of(self, told: Observation, wires: Sequence[Wire]) -> Iterator[Wire]:
        """Yield `task_started`: at first, and again for facts that come later."""
        said = (w.get("text") for w in wires if w["kind"] == EventKind.USER_MESSAGE)
        asked = {"text": next(filter(None, said), None), "system": _system(told)}
        known = without_null({**told.facts, **asked})
        facts = {k: v for k, v in known.items() if k not in self._facts}
        self._facts |= facts
        if self._is_started and not facts:
            return
        body = facts | {"kind": EventKind.TASK_STARTED, "trace_id": told.trace_id}
        place = f"{told.span_id}{told.piece}{LATER}" if self._is_started else "start"
        yield body | self._head(place, told.started or told.ended)

    # --- bookkeeping --------------------------------------------------------

    def _note(self, wire: Mapping[str, Any]) -> None:
        """Remember one event of the log."""
        kind, trace_id = wire["kind"], str(wire.get("trace_id"))
        self._is_started = True
        if "span_id" in wire:
            span = f"{trace_id}/{wire['span_id']}"
            piece = str(wire.get("piece", ""))
            self._spans.add(span + piece)
            if wire["event_id"].startswith(f"{wire['span_id']}{piece}.out"):
                self._answered.add(span)
        if kind == EventKind.TASK_STARTED:
            self._facts = {**wire, **self._facts}
        if kind in _SAID:
            self._said.add(key_of(wire))
            self._calls.note(wire)
        if kind in _SPOKEN:
            self._spoken.add(trace_id)
        if kind == EventKind.USER_MESSAGE:
            self._quotable = [*self._quotable, str(wire.get("text", ""))][-_QUOTES:]

    def _see(self, at: datetime | None) -> None:
        if at is not None and (self._latest is None or at > self._latest):
            self._latest = at

    def _time(self, at: datetime | None) -> Wire:
        if at is not None:
            return {"at": at.isoformat()}
        made_up = (self._latest or EPOCH) + timedelta(seconds=1)
        return {"at": made_up.isoformat(), "at_synthetic": True}

    def _head(self, event_id: str, at: datetime | None) -> Wire:
        return {"task_id": self.task_id, "event_id": event_id} | self._time(at)

    def _wire(self, told: Observation, suffix: str, kind: str, body: Wire) -> Wire:
        head = self._head(told.span_id + suffix, told.ended or told.started)
        return self._placed(without_null(body) | head | {"kind": kind}, told, suffix)

    def _placed(self, wire: Wire, told: Observation, suffix: str) -> Wire:
        """Return an event under a name that its span gives it."""
        event_id = told.span_id + told.piece + suffix
        span = {"trace_id": told.trace_id, "span_id": told.span_id}
        if told.piece:
            span["piece"] = told.piece
        return wire | {"task_id": self.task_id, "event_id": event_id} | span
