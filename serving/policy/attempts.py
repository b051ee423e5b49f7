"""What the agent attempted: tool calls, each with the result that answers it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from features.events import AgentEvent, EventKind


class Outcome(StrEnum):
    """What came of a call."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call of a tool, with what came of it.

    Attributes
    ----------
    number : int
        Place among the attempts, from 1.
    repetition : int
        Which time the same call is made, arguments and all, from 1.
    event_id, at
        Of the call; of the result, where no call was logged.
    answered_by, answered_at
        Event id and time of the result; None while there is none.
    tool : str
        Its name.
    arguments : Any
        As the agent gave them.
    call_id : str, optional
        What ties the result to the call.
    is_write : bool
        Whether it changes something.
    outcome : Outcome
        What came of it.
    result : str, optional
        The tool's words, as they came.
    error : Any
        As it came.
    rest, result_rest : dict
        Whatever else the call carried, and its result, as it came: with what stands
        above they are both events, whole.
    """

    number: int
    repetition: int
    event_id: str
    at: datetime
    tool: str
    arguments: Any
    call_id: str | None
    is_write: bool
    outcome: Outcome = Outcome.UNANSWERED
    result: str | None = None
    error: Any = None
    answered_by: str | None = None
    answered_at: datetime | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    result_rest: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How a person refers to it."""
        return f"`{self.tool}` (attempt {self.number})"


def rest_of(event: AgentEvent, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `event` carries beside the fields told by a value that says so.

    A field that is there and empty is not told by a value that is also that of a field
    that is not there: it stays, so that nothing of the event is lost.
    """
    body = event.body
    return {key: value for key, value in body.items() if not told.get(key)}


def _called(event: AgentEvent, number: int, repetition: int) -> Attempt:
    body, is_call = event.body, event.kind == EventKind.TOOL_CALL
    arguments, call_id = body.get("arguments"), body.get("call_id")
    told = {
        "tool": True,
        "arguments": arguments is not None,
        "call_id": call_id is not None,
        "is_write": body.get("is_write"),
    }
    return Attempt(
        number=number,
        repetition=repetition,
        event_id=event.event_id,
        at=event.at,
        tool=body.get("tool") or "unknown tool",
        arguments=arguments,
        call_id=call_id,
        is_write=bool(body.get("is_write")),
        rest=rest_of(event, told) if is_call else {},
    )


def _answered(attempt: Attempt, event: AgentEvent) -> Attempt:
    text, error = event.body.get("text"), event.body.get("error")
    return replace(
        attempt,
        outcome=Outcome.FAILED if error else Outcome.SUCCEEDED,
        result=text,
        error=error or None,
        answered_by=event.event_id,
        answered_at=event.at,
        result_rest=rest_of(event, {"text": text is not None, "error": error}),
    )


def _answers(event: AgentEvent, attempts: Sequence[Attempt]) -> int | None:
    """Return the place of the call that the result `event` answers.

    By call_id where the result has one; else the oldest unanswered call of that tool
    (of any tool, where it names none).
    """
    call_id, tool = event.body.get("call_id"), event.body.get("tool")
    for place, attempt in enumerate(attempts):
        if attempt.outcome is not Outcome.UNANSWERED:
            continue
        if call_id is not None and attempt.call_id is not None:
            if attempt.call_id == call_id:
                return place
        elif tool in (None, attempt.tool):
            return place
    return None


def _key(event: AgentEvent) -> bytes:
    call = [event.body.get("tool"), event.body.get("arguments")]
    return orjson.dumps(call, option=orjson.OPT_SORT_KEYS)


def attempts_of(events: Iterable[AgentEvent]) -> tuple[Attempt, ...]:
    """Return the attempts in the order of their calls.

    A result that answers no call stands as an attempt of its own: it is not dropped.
    """
    attempts: list[Attempt] = []
    times: Counter[bytes] = Counter()
    for event in events:
        if event.kind == EventKind.TOOL_CALL:
            times[_key(event)] += 1
            attempts.append(_called(event, len(attempts) + 1, times[_key(event)]))
        elif event.kind == EventKind.TOOL_RESULT:
            place = _answers(event, attempts)
            if place is None:
                place = len(attempts)
                attempts.append(_called(event, place + 1, 1))
            attempts[place] = _answered(attempts[place], event)
    return tuple(attempts)
