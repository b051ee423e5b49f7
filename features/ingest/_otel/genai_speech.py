"""What a model was given and answered, by the OpenTelemetry GenAI conventions.

Messages stand in attributes (as JSON, or field by field), in one event with all of
them, or in one event per message. The first of these that tells any is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.ingest._otel.draft import Draft, nested, parsed, text_or_none
from features.ingest._otel.spans import Moment
from features.ingest._talk.genai_messages import (
    chat_messages,
    instructions_of,
    is_messages,
    one_answer,
)
from features.ingest._talk.messages import Wire, without_null

DETAILS = "gen_ai.client.inference.operation.details"

CHOICE = "gen_ai.choice"
_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    CHOICE: "assistant",
}
_CONTENT = {
    "gen_ai.content.prompt": ("gen_ai.prompt", "user"),
    "gen_ai.content.completion": ("gen_ai.completion", "assistant"),
}
_INPUT = ("gen_ai.input.messages", "gen_ai.prompt")
_OUTPUT = ("gen_ai.output.messages", "gen_ai.completion")
_ABOUT_EVENT = frozenset({"gen_ai.system", "gen_ai.provider.name", "event.name"})


def is_spoken(name: str) -> bool:
    """Return whether an event of this name tells messages."""
    return name in _ROLES or name in _CONTENT or name == DETAILS


def read_messages(draft: Draft) -> None:
    """Read instructions, input and output, from attributes or else from events."""
    for moment in draft.take_moments(lambda m: m.name == DETAILS):
        for name, value in moment.attributes.items():
            draft.left.setdefault(name, value)
    _read_system(draft)
    if not draft.inputs:
        draft.inputs = _told(draft, _INPUT, "user")
    if not draft.outputs:
        _answer(draft, _told(draft, _OUTPUT, "assistant"), _OUTPUT[0])
    given, answered = spoken(_spoken_moments(draft))
    draft.inputs = draft.inputs or given
    if not draft.outputs:
        _answer(draft, answered, CHOICE)


def _answer(draft: Draft, messages: list[Any], name: str) -> None:
    """Note the answer; alternatives to it stay under `name`."""
    draft.outputs, others = one_answer(messages)
    if others:
        draft.left[name] = others


def _read_system(draft: Draft) -> None:
    given = draft.peek("gen_ai.system_instructions")
    if draft.system is None and (told := instructions_of(given)):
        draft.system = told
        if told == given:
            draft.take("gen_ai.system_instructions")


def _told(draft: Draft, names: Sequence[str], role: str) -> list[Any]:
    """Take the messages of the first of `names` that has any.

    The names of the first generation hold values of any vocabulary too, which are read
    after the conventions.
    """
    modern, old = names
    found = draft.take(modern)
    if found is None and is_messages(draft.peek(old)):
        found = draft.take(old)
    if found is None:  # told field by field: gen_ai.prompt.0.content
        found = draft.take_nested(old)
    return [_from_fields(message) for message in chat_messages(found, role)]


def _from_fields(message: Wire) -> Wire:
    """Return a message told field by field as a chat message has it.

    There a call is its name and arguments, without the object around them, and a
    content of parts is the text of their JSON. What a tool answered is its own text,
    whatever that looks like.
    """
    calls, content = message.get("tool_calls"), parsed(message.get("content"))
    is_parts = isinstance(content, list) and content and all(map(_is_part, content))
    if is_parts and message.get("role") != "tool":
        message = message | {"content": content}
    if isinstance(calls, list):
        message = message | {"tool_calls": [_call(c) for c in calls]}
    return message


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def _call(call: Any) -> Any:
    if not isinstance(call, dict) or "function" in call or "name" not in call:
        return call
    inner = {k: call[k] for k in ("name", "arguments") if k in call}
    return {"id": call.get("id"), "function": inner}


def _spoken_moments(draft: Draft) -> list[Moment]:
    moments = draft.take_moments(lambda m: is_spoken(m.name))
    listed = parsed(draft.peek("events"))  # a list of events as one attribute
    if not moments and isinstance(listed, list):
        moments = [
            Moment(name=item["event.name"], body=item)
            for item in listed
            if isinstance(item, dict) and isinstance(item.get("event.name"), str)
        ]
        moments = [moment for moment in moments if is_spoken(moment.name)]
        if moments:
            del draft.left["events"]
    return moments


def spoken(moments: Sequence[Moment]) -> tuple[list[Any], list[Any]]:
    """Return the input and the output that events of a message each tell."""
    given: list[Any] = []
    answered: list[Any] = []
    for moment in moments:
        into = answered if _is_answer(moment.name) else given
        into += _messages_of(moment)
    return given, answered


def _is_answer(name: str) -> bool:
    return name in (CHOICE, "gen_ai.content.completion")


def _messages_of(moment: Moment) -> list[Any]:
    if moment.name in _CONTENT:
        attribute, role = _CONTENT[moment.name]
        return chat_messages(moment.attributes.get(attribute, moment.body), role)
    role = _ROLES[moment.name]
    body = _body(moment)
    if not isinstance(body, dict):
        return chat_messages(body, role)
    if isinstance(message := parsed(body.get("message")), dict):
        body = {k: v for k, v in body.items() if k != "message"} | message
    elif message is not None:
        body = {k: v for k, v in body.items() if k != "message"} | {"content": message}
    said = {k: v for k, v in body.items() if k != "event.name"}
    said["role"] = text_or_none(body.get("role")) or role
    if isinstance(calls := parsed(said.get("tool_calls")), list):
        said["tool_calls"] = calls
    if said["role"] == "tool" and "tool_call_id" not in said:
        said["tool_call_id"] = said.pop("id", None)
    return [without_null(said)]


def _body(moment: Moment) -> Any:
    """Return what a message's event says: its body, or else its attributes."""
    if moment.body is not None:
        return parsed(moment.body)
    content = moment.attributes.get("gen_ai.event.content")
    if content is not None:
        return parsed(content)
    told = [(k, v) for k, v in moment.attributes.items() if k not in _ABOUT_EVENT]
    return nested(told) if told else None
