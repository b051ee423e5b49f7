"""What was said in a conversation: telling a repetition from something new."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from features.events import ContractError, EventKind
from features.ingest._talk.messages import MessageReader, Wire

Refuse = Callable[[ContractError, str | None], None]  # what is wrong, which event
Key = tuple[str, str]
OF_AGENT = frozenset({EventKind.AGENT_MESSAGE, EventKind.TOOL_CALL, EventKind.PLAN})
_ABOUT_CALLS = frozenset({EventKind.TOOL_CALL, EventKind.TOOL_RESULT})


def digest(*parts: Any) -> str:
    try:
        canonical = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=str)
    except orjson.JSONEncodeError:  # too deep or too large; refused when it lands
        canonical = str(len(parts)).encode()
    return hashlib.blake2b(canonical, digest_size=12).hexdigest()


def key_of(wire: Mapping[str, Any]) -> Key:
    """Return what tells one thing said from another, wherever it is told."""
    kind = str(wire["kind"])
    if kind in _ABOUT_CALLS and wire.get("call_id"):
        return kind, str(wire["call_id"])
    return kind, digest(wire.get("text"), wire.get("attachments"), wire.get("tool"))


def _beyond(keys: Sequence[Key], known: Mapping[Key, int]) -> Iterator[bool]:
    """Yield whether each key stands there more often, so far, than is known."""
    times: Counter[Key] = Counter()
    for key in keys:
        times[key] += 1
        yield times[key] > known.get(key, 0)


@dataclass(slots=True)
class Said:
    """What was said so far, in order."""

    keys: list[Key] = field(default_factory=list)
    place: dict[Key, int] = field(default_factory=dict)  # of the latest of its like
    count: Counter[Key] = field(default_factory=Counter)

    def add(self, key: Key) -> None:
        self.place[key] = len(self.keys)
        self.count[key] += 1
        self.keys.append(key)

    def fresh(self, keys: Sequence[Key], since: int) -> Iterator[bool]:
        """Yield whether each of `keys` is new; without an anchor, new since `since`."""
        known = (
            i
            for i in range(len(keys) - 1, -1, -1)
            if keys[i][0] in OF_AGENT and keys[i] in self.place
        )
        anchor = next(known, -1)
        if anchor >= 0:
            since = self.place[keys[anchor]] + 1
            yield from _beyond(keys[: anchor + 1], self.count)
        yield from _beyond(keys[anchor + 1 :], Counter(self.keys[since:]))


@dataclass(slots=True)
class Calls:
    """Calls by id. One that its log gives no id is named by its content and turn."""

    times: Counter[str] = field(default_factory=Counter)
    open: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def note(self, wire: Mapping[str, Any]) -> None:
        call_id = str(wire.get("call_id"))
        if wire["kind"] == EventKind.TOOL_CALL:
            self.open[call_id] = wire
            self.times[_content(wire)] += call_id.startswith("~")
        elif wire["kind"] == EventKind.TOOL_RESULT:
            self.open.pop(call_id, None)

    def next_id(self, call: Mapping[str, Any]) -> str:
        return _call_id(call, self.times[_content(call)])

    def answered_by(self, tool: Wire) -> str | None:
        """Return the id of the open call that a tool's span answers, if any."""
        name, asked = tool.get("tool"), tool.get("arguments")
        same = [i for i, c in self.open.items() if c.get("tool") == name]
        exact = (i for i in same if self.open[i].get("arguments") == asked)
        return next(exact, next(iter(same), None))


def _content(call: Mapping[str, Any]) -> str:
    return digest(call.get("tool"), call.get("arguments"))


def _call_id(call: Mapping[str, Any], before: int) -> str:
    return f"~{_content(call)}.{before}"


@dataclass(slots=True)
class Thread:
    """Messages that later inputs will most likely begin with, and their events."""

    reader: MessageReader
    messages: list[Any] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    times: Counter[str] = field(default_factory=Counter)
    _names: dict[str, str] = field(default_factory=dict)

    def add(self, message: Any, time: Wire, refuse: Refuse) -> None:
        """Read one more message; one that is malformed costs itself alone."""
        name = f"in{len(self.messages)}"
        self.messages.append(message)
        try:
            wires = self.reader.read(name, message, time)
        except ContractError as error:
            refuse(error, error.event_id)
            return
        for wire in wires:
            self._name(wire)
            self.wires.append(wire)
            self.keys.append(key_of(wire))

    def _name(self, wire: Wire) -> None:
        """Name a call without an id, and its result, as a repetition will too."""
        call_id = str(wire.get("call_id"))
        if wire["kind"] == EventKind.TOOL_CALL and call_id == wire["event_id"]:
            content = _content(wire)
            self._names[call_id] = _call_id(wire, self.times[content])
            self.times[content] += 1
        if call_id in self._names:
            wire["call_id"] = self._names[call_id]
