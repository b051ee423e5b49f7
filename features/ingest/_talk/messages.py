"""Chat messages as events, in wire form.

Each message gives, in this order: a `plan` for its reasoning, the message itself, its
tool calls, its usage. Ids come from the message's name (``m3.plan``, ``m3``,
``m3.call0``, ``m3.usage``), so that reading the same log again gives the same events.
Fields we have no name for are kept verbatim under ``extra``, where no signal looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from features.events import ContractError, EventKind
from features.ingest._talk.content import (
    arguments_of,
    as_json,
    attachments_of,
    confidence_of,
    error_of,
    identifier,
    is_write,
    text_of,
    time_of,
)

Wire = dict[str, Any]
Item = tuple[str, str, Wire]  # suffix of the event id, kind, body

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of logs without any time
SYSTEM_ROLES = ("system", "developer")
OTHER = "message"  # kind of a message whose role we do not know

TIME_FIELDS = ("timestamp", "created_at", "created")
_REASONING = ("reasoning_content", "reasoning", "thinking")
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")
_LATENCY = ("latency_ms", "duration_ms")
_READ_FIELDS = {
    "role",
    "content",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "tool_name",
    "name",
    "error",
    "logprobs",
    "usage",
    "requestor",
    *TIME_FIELDS,
    *_REASONING,
    *_LATENCY,
}


def taken(fields: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the first value under `names` that is not null, else None."""
    return next((fields[n] for n in names if fields.get(n) is not None), None)


def without_null(fields: Mapping[str, Any]) -> Wire:
    """Return `fields` without those that are null."""
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(slots=True)
class Clock:
    """Times of the events of one task; made up where the log has none.

    A made-up time is the last known one (or `EPOCH`) and one second per position
    since. It keeps the order and nothing else; its event says ``at_synthetic``.
    """

    known: datetime = EPOCH
    position: int = -1

    def at(self, position: int, value: Any) -> Wire:
        """Return the time fields of the event at `position`, given the log's value."""
        told = time_of(value)
        if told is not None:
            self.known, self.position = told, position
            return {"at": told.isoformat()}
        made_up = self.known + timedelta(seconds=position - self.position)
        return {"at": made_up.isoformat(), "at_synthetic": True}


@dataclass(slots=True)
class _Calls:
    """Tool calls that still wait for their result."""

    pending: dict[str, str] = field(default_factory=dict)  # call_id -> tool

    def close(self, call_id: str | None, tool: Any) -> Wire:
        """Return `call_id` and `tool` of a result, from whatever the log tells.

        Without an id the result belongs to the oldest open call of that tool, and
        without a tool to the oldest open call.
        """
        if call_id is None:
            open_calls = self.pending.items()
            call_id = next((k for k, t in open_calls if tool in (None, t)), None)
        called = self.pending.pop(call_id, None) if call_id is not None else None
        return without_null({"call_id": call_id, "tool": tool or called})


def _said(message: Mapping[str, Any]) -> Wire:
    """Return text, parts and attachments of a message of any role."""
    content = message.get("content")
    body: Wire = {"text": text_of(content) or text_of(message.get("refusal"))}
    if content is not None and not isinstance(content, str):
        body["content"] = content
    if attached := attachments_of(content):
        body["attachments"] = attached
    return body


def _confidence(message: Mapping[str, Any]) -> Wire:
    return without_null({"confidence": confidence_of(message.get("logprobs"))})


def _usage(message: Mapping[str, Any]) -> Iterator[Item]:
    usage = message.get("usage")
    if isinstance(usage, dict):
        body = {
            "tokens_in": _tokens_in(usage),
            "tokens_out": taken(usage, ("completion_tokens", "output_tokens")),
            "cost": usage.get("cost"),
            "extra": usage,
        }
        yield ".usage", EventKind.USAGE, without_null(body)


def _tokens_in(usage: Mapping[str, Any]) -> Any:
    """Return all tokens given; `input_tokens` leaves out what a cache gave or took."""
    given = taken(usage, ("prompt_tokens", "input_tokens"))
    if usage.get("prompt_tokens") is not None or type(given) is not int:
        return given
    return given + sum(n for name in _CACHED if type(n := usage.get(name)) is int)


@dataclass(slots=True)
class MessageReader:
    """Reads the messages of one task in order; see the module for the rules.

    Attributes
    ----------
    task_id : str
        The task the events belong to.
    """

    task_id: str
    _calls: _Calls = field(default_factory=_Calls)

    def read(self, name: str, message: Any, time: Wire) -> list[Wire]:
        """Return the events of one message, in wire form; none of a system message.

        Parameters
        ----------
        name : str
            Begins the ids of its events.
        message : dict
            The message.
        time : dict
            The time fields of its events, see `Clock.at`.

        Raises
        ------
        ContractError
            If it is not an object with a `role`, or its calls are not a list.
        """
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ContractError(
                event_id=name,
                field="message",
                expected="an object with a text `role`",
                found=type(message).__name__,
            )
        if message["role"] in SYSTEM_ROLES:
            return []
        items = list(self._items(name, message))
        extra = without_null(
            {k: v for k, v in message.items() if k not in _READ_FIELDS}
        )
        main = next((item for item in items if item[0] == ""), items[0])
        for key, value in (
            ("extra", extra),
            ("author", message.get("name") if message["role"] == "user" else None),
        ):
            if value:
                main[2][key] = value
        return [
            {"task_id": self.task_id, "event_id": name + suffix, "kind": kind}
            | time
            | body
            for suffix, kind, body in items
        ]

    def _items(self, name: str, message: Wire) -> Iterator[Item]:
        match message["role"]:
            case "user":
                yield from self._spoken(name, message, EventKind.USER_MESSAGE)
            case "assistant":
                yield from self._spoken(name, message, EventKind.AGENT_MESSAGE)
            case "tool" | "function":
                yield "", EventKind.TOOL_RESULT, self._result(message)
            case role:
                yield "", OTHER, {"author": role} | _said(message)

    def _spoken(self, name: str, message: Wire, kind: EventKind) -> Iterator[Item]:
        """Yield what the user or the agent thought, said, called and spent."""
        thinking = taken(message, _REASONING)
        thought = text_of(thinking)
        said, calls = _said(message), list(self._called(name, message))
        sure = _confidence(message) if kind is EventKind.AGENT_MESSAGE else {}
        is_silent = not said["text"] and "attachments" not in said
        only_thought = is_silent and thinking is not None and "content" in said
        if thought or (only_thought and not calls):
            body = {"text": thought, "reasoning": True}
            if only_thought and not calls:
                body |= {"content": said["content"]} | sure
            yield ".plan", EventKind.PLAN, body
        if is_silent and calls:  # what stands beside the calls stays with them
            calls[0][2].update(without_null({"content": said.get("content")}) | sure)
        elif not only_thought:
            yield "", kind, said | sure
        yield from calls
        yield from _usage(message)

    def _called(self, name: str, message: Wire) -> Iterator[Item]:
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise ContractError(
                event_id=name,
                field="tool_calls",
                expected="a list of calls",
                found=type(calls).__name__,
            )
        if message.get("function_call"):
            calls = [*calls, {"function": message["function_call"]}]
        asker = {"requestor": "user"} if message["role"] == "user" else {}
        for index, call in enumerate(calls):
            suffix = f".call{index}"
            yield suffix, EventKind.TOOL_CALL, self._call(name + suffix, call) | asker

    def _call(self, name: str, raw: Any) -> Wire:
        call = raw if isinstance(raw, dict) else {}
        inner = call.get("function") or call.get("custom") or call
        function = inner if isinstance(inner, dict) else {}
        tool = function.get("name")
        call_id = identifier(call.get("id")) or name
        self._calls.pending[call_id] = tool if isinstance(tool, str) else ""
        body = {
            "tool": tool,
            "arguments": arguments_of(taken(function, ("arguments", "input"))),
            "call_id": call_id,
            "is_write": is_write(tool),
        }
        return without_null(body)

    def _result(self, message: Wire) -> Wire:
        said = _said(message)
        content = message.get("content")
        if not said["text"] and content and "attachments" not in said:
            said["text"] = as_json(content)  # it did answer, if not in words
        body = {
            **self._calls.close(
                identifier(message.get("tool_call_id")),
                taken(message, ("tool_name", "name")),
            ),
            **said,
            "error": error_of(message, said["text"]),
            "latency_ms": taken(message, _LATENCY),
            "requestor": message.get("requestor"),
        }
        return without_null(body)
