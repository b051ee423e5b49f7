"""Unpacking: the task's log out of a package, event by event; nothing may be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from features.events import AgentEvent, EventKind
from serving.policy.context import SCHEMA

Wire = dict[str, Any]

_KINDS = {
    "user": EventKind.USER_MESSAGE,
    "agent": EventKind.AGENT_MESSAGE,
    "person": EventKind.PERSON_MESSAGE,
}


class UnpackingError(ValueError):
    """A package whose log cannot be given back; the message says why."""


def events_in(package: Mapping[str, Any]) -> list[Wire]:
    """Return the events that a package in its wire form was made of, in log order.

    Parameters
    ----------
    package : Mapping
        As `ContextPackage.to_json` gives it, and as it is stored and answered.

    Raises
    ------
    UnpackingError
        If it is of another schema, or an event of its log is not in it.
    """
    if package.get("schema") != SCHEMA:
        msg = f"expected a package of schema {SCHEMA}, found {package.get('schema')!r}"
        raise UnpackingError(msg)
    found = {event["event_id"]: event for event in _events(package)}
    if absent := [name for name in package["log"] if name not in found]:
        msg = f"the package names event {absent[0]!r} in its log and does not hold it"
        raise UnpackingError(msg)
    return [found[name] for name in package["log"]]


def lost(package: Mapping[str, Any], events: Sequence[AgentEvent]) -> Iterator[str]:
    """Yield what of `events` is not in `package` as it came, or is there in addition.

    Raises
    ------
    UnpackingError
        As `events_in`.
    """
    held = Counter(event["event_id"] for event in _events(package))
    wanted = Counter(event.event_id for event in events)
    for name in (wanted - held) | (held - wanted):
        yield (
            f"event {name!r} stands {held[name]} times in the package and "
            f"{wanted[name]} times in the log"
        )
    if package["log"] != [event.event_id for event in events]:
        yield "the events of the package are not in the order of the log"
        return
    for event, wire in zip(events, events_in(package), strict=True):
        if wire != event.to_json():
            yield (
                f"event {event.event_id!r} is not packed as it came; every field must "
                "be kept byte for byte"
            )


# --- event by event ----------------------------------------------------------


def _events(package: Mapping[str, Any]) -> Iterator[Wire]:
    """Yield each event once, part by part."""
    task_id = package["task_id"]
    for turn in package["conversation"]:
        yield _message(task_id, turn)
    for attempt in package["attempts"]:
        yield from _call_and_result(task_id, attempt)
    for thought in package["reasoning"]:
        # What was thought with another event stands in that event as well.
        if thought["kind"] == EventKind.PLAN:
            yield _event(task_id, thought, EventKind.PLAN, thought["content"])
    yield from package["record"]
    yield from package["background"]


def _event(
    task_id: str, head: Mapping[str, Any], kind: str, body: Mapping[str, Any]
) -> Wire:
    named = {"task_id": task_id, "event_id": head["event_id"], "at": head["at"]}
    return {**named, "kind": str(kind), **body}


def _message(task_id: str, turn: Mapping[str, Any]) -> Wire:
    told = {name: turn[name] for name in ("text", "attachments") if turn[name]}
    return _event(task_id, turn, _KINDS[turn["speaker"]], {**told, **turn["rest"]})


def _call_and_result(task_id: str, attempt: Mapping[str, Any]) -> Iterator[Wire]:
    if attempt["answered_by"] != attempt["event_id"]:
        told = {
            "tool": attempt["tool"],
            "arguments": attempt["arguments"],
            "call_id": attempt["call_id"],
            "is_write": attempt["is_write"] or None,
        }
        body = {**_known(told), **attempt["rest"]}
        yield _event(task_id, attempt, EventKind.TOOL_CALL, body)
    if attempt["answered_by"] is not None:
        head = {"event_id": attempt["answered_by"], "at": attempt["answered_at"]}
        told = {"text": attempt["result"], "error": attempt["error"]}
        body = {**_known(told), **attempt["result_rest"]}
        yield _event(task_id, head, EventKind.TOOL_RESULT, body)


def _known(told: Mapping[str, Any]) -> Wire:
    return {name: value for name, value in told.items() if value is not None}
