"""Messages of the OpenTelemetry GenAI conventions as chat messages.

A message is a list of parts. Text and attachments stay parts, verbatim; calls, answers
and reasoning become the fields that a chat message has for them. Where a part says
more than those fields hold, all parts are kept beside them under ``parts``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from features.ingest._otel.draft import parsed
from features.ingest._talk.content import identifier
from features.ingest._talk.messages import Wire, without_null

_CALL = frozenset({"type", "id", "name", "arguments"})
_ANSWER = frozenset({"type", "id", "response", "result"})
_THOUGHT = frozenset({"type", "content", "text"})
_PLAIN_TEXT = ({"type", "content"}, {"type", "text"}, {"text"})
_FLAGS = ("is_error", "isError", "error", "status", "status_code")


@dataclass(slots=True)
class _Parts:
    """The parts of one message, sorted."""

    content: list[Any] = field(default_factory=list)
    calls: list[Wire] = field(default_factory=list)
    answers: list[Wire] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    is_lossy: bool = False  # whether a part says more than a chat message can

    def add(self, part: Any) -> None:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "tool_call":
            self._call(part, part.get("arguments"), _CALL)
        elif kind == "server_tool_call":
            self._call(part, part.get(kind), _CALL - {"arguments"} | {kind})
        elif kind == "tool_call_response":
            answer = part.get("response", part.get("result"))
            self._answer(part, answer, _ANSWER)
        elif kind == "server_tool_call_response":
            self._answer(part, part.get(kind), _ANSWER | {kind})
        elif (
            kind in ("reasoning", "thinking") and (thought := _words(part)) is not None
        ):
            self.thoughts.append(thought)
            self.is_lossy |= not part.keys() <= _THOUGHT
        else:
            self.content.append(part)

    def _call(self, part: Wire, arguments: Any, known: frozenset[str]) -> None:
        function = without_null({"name": part.get("name"), "arguments": arguments})
        call = {"id": identifier(part.get("id")), "function": function}
        self.calls.append(without_null(call))
        self.is_lossy |= not part.keys() <= known

    def _answer(self, part: Wire, answer: Any, known: frozenset[str]) -> None:
        said: Wire = {"tool_call_id": identifier(part.get("id")), "content": answer}
        flags = {name: part[name] for name in _FLAGS if name in part}
        if not part.keys() <= known | set(flags):
            said["parts"] = [part]
        self.answers.append({"role": "tool"} | without_null(said) | flags)

    def said(self) -> Any:
        """Return the content: None, the text where there is only text, or the parts."""
        if len(self.content) != 1:
            return self.content or None
        only = self.content[0]
        is_plain = isinstance(only, dict) and set(only) in _PLAIN_TEXT
        if is_plain and only.get("type", "text") == "text":
            return self.content if (text := _words(only)) is None else text
        return self.content


def _words(part: Mapping[str, Any]) -> str | None:
    text = part.get("content", part.get("text"))
    return text if isinstance(text, str) else None


def _of_parts(message: Mapping[str, Any], role: str) -> list[Wire]:
    parts = _Parts()
    for part in message["parts"]:
        parts.add(part)
    said = parts.said()
    rest = {k: v for k, v in message.items() if k not in ("role", "parts")}
    spoken = {
        "content": said,
        "tool_calls": parts.calls or None,
        "reasoning": "\n".join(parts.thoughts) or None,
        "parts": message["parts"] if parts.is_lossy else None,
    }
    if parts.answers and not any(value is not None for value in spoken.values()):
        parts.answers[0].update({k: v for k, v in rest.items() if k != "name"})
        return parts.answers
    if role == "tool":  # an answer told as plain text
        rest["tool_call_id"] = identifier(rest.pop("id", rest.get("tool_call_id")))
    return [*parts.answers, {"role": role} | without_null(rest | spoken)]


def chat_messages(raw: Any, role: str) -> list[Any]:
    """Return the chat messages that `raw` tells, in order.

    Parameters
    ----------
    raw : Any
        A list of messages or its JSON: of parts, of chat messages, or of plain text.
        Anything else is the content of one message.
    role : str
        Of messages that name none.
    """
    given = parsed(raw)
    if given is None or given == []:
        return []
    if isinstance(given, dict) and isinstance(given.get("messages"), list):
        given = given["messages"]
    if isinstance(given, dict) and ("role" in given or "parts" in given):
        given = [given]
    if not is_messages(given):
        return [{"role": role, "content": raw}]
    return [m for item in given for m in _one(item, role)]


def is_messages(raw: Any) -> bool:
    """Return whether `raw` is a list of messages with roles or parts, or its JSON."""
    given = parsed(raw)
    return isinstance(given, list) and any(map(_is_message, given))


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and ("role" in value or "parts" in value)


def _one(message: Any, role: str) -> list[Any]:
    if not isinstance(message, dict):
        return [{"role": role, "content": message}] if message else []
    named = message.get("role")
    role = named if isinstance(named, str) and named else role
    role = "assistant" if role in ("model", "ai", "AI") else role
    role = "user" if role == "human" else role
    if isinstance(message.get("parts"), list):
        return _of_parts(message, role)
    return [{**message, "role": role}]


def one_answer(messages: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the answer, and the alternatives to it that were asked for beside.

    Messages that each say why they finished are choices of one answer; others are one
    answer in several messages.
    """
    finished = [isinstance(m, dict) and "finish_reason" in m for m in messages]
    if len(messages) > 1 and all(finished):
        return messages[:1], messages[1:]
    return messages, []


def instructions_of(raw: Any) -> str | None:
    """Return the text of system instructions, given as text, parts or messages."""
    given = parsed(raw)
    if isinstance(given, str):
        return given or None
    texts = _texts(given if isinstance(given, list) else [given])
    return "\n".join(texts) or None


def _texts(parts: Iterable[Any]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            text = part.get("content", part.get("text"))
            inner = part.get("parts") if text is None else text
            yield from [inner] if isinstance(inner, str) else _inner_texts(inner)


def _inner_texts(parts: Any) -> Iterable[str]:
    for part in parts if isinstance(parts, list) else []:
        text = part.get("content", part.get("text")) if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text
