"""Messages API logs, and the transcripts of agents built on it.

A record is an object with ``messages`` (and ``system``), as in `_talk.lists`;
``request`` may hold them, and the answer of the last call, an object of ``type``
``message``, adds itself to the end: under ``response``, or as the record itself.
Transcripts have a turn per line instead, see `_talk.transcript`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from features.events import AgentEvent
from features.ingest._files.intake import Intake
from features.ingest._talk import transcript
from features.ingest._talk.blocks import chat_messages, has_blocks
from features.ingest._talk.lists import list_events
from features.ingest._talk.messages import Wire, without_null

LOOKS_FOR = (
    "an object with a list `messages` of content blocks (tool_use, tool_result, "
    "thinking) or a `response` of type `message`; or one with `type`, `message` and "
    "a session id (one turn per line)"
)

_ANSWERS = ("response", "message", "output")
_OF_ANSWER = ("role", "type", "content", "stop_reason", "stop_sequence", "stop_details")


def fits(value: Any) -> bool:
    """Return whether `value` looks like a record of this format."""
    record = value[0] if isinstance(value, list) and value else value
    if not isinstance(record, dict):
        return False
    if has_blocks(record):  # a list of messages
        return isinstance(value, list)
    return transcript.is_line(record) or _is_record(record)


def _is_record(record: Wire) -> bool:
    asked = record.get("request")
    messages = (asked if isinstance(asked, dict) else record).get("messages")
    return isinstance(messages, list) and (
        any(map(has_blocks, messages))
        or _is_answer(record)
        or any(_is_answer(record.get(name)) for name in _ANSWERS)
    )


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file: task by task, or turn by turn of a transcript."""
    if transcript.is_transcript(intake.source):
        yield from transcript.turn_events(intake)
    else:
        yield from list_events(intake, _pop_messages)


def _is_answer(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") == "message"
        and value.get("role") == "assistant"
    )


def _pop_messages(left: Wire) -> Any:
    """Take the messages, instructions first and the answer last."""
    if isinstance(asked := left.get("request"), dict):
        del left["request"]
        left |= asked | left
    messages, system = left.pop("messages", None), left.get("system")
    answer = _pop_answer(left)
    if not isinstance(messages, list):
        messages = None if messages is not None or not answer else []
    if messages is None:
        return messages
    if isinstance(system, str | list):
        del left["system"]
        messages = [{"role": "system", "content": system}, *messages]
    return [part for m in [*messages, *answer] for part in chat_messages(m)]


def _pop_answer(left: Wire) -> list[Wire]:
    for name in _ANSWERS:
        if _is_answer(left.get(name)):
            return [without_null(left.pop(name))]
    if not _is_answer(left):
        return []
    told = {name: left.pop(name, None) for name in (*_OF_ANSWER, "usage")}
    return [without_null(told)]
