"""Messages as LangChain serialises them, as chat messages.

Three forms of one message: the constructor (``lc``, ``id``, ``kwargs``), a type with
its ``data``, and a type beside the fields. Fields that a chat message has no name for
stay under their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.ingest._talk.messages import Wire, taken, without_null

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "function",
}
_READ = {"type", "tool_calls", "tool_call_id", "status"}


def role_of(value: Mapping[str, Any]) -> str | None:
    """Return the chat role of the message that `value` is; None if it is none."""
    if isinstance(value.get("kwargs"), dict) and isinstance(value.get("id"), list):
        return _role(_class(value), value["kwargs"])
    kind = value.get("type")
    if not isinstance(kind, str) or ("role" in value and kind != "chat"):
        return None
    if isinstance(value.get("data"), dict):
        return _role(kind, value["data"])
    return _role(kind, value) if "content" in value else None


def _class(value: Mapping[str, Any]) -> str:
    name = value["id"][-1] if value["id"] else None
    if not isinstance(name, str):
        return ""
    words = name.removesuffix("Chunk")
    return words.removesuffix("Message").lower() if words.endswith("Message") else ""


def _role(kind: str, fields: Mapping[str, Any]) -> str | None:
    kind = kind.removesuffix("MessageChunk").lower()
    if kind == "chat":
        given = fields.get("role")
        return given if isinstance(given, str) else None
    return _ROLES.get(kind)


def message_of(value: Wire, role: str) -> Wire:
    """Return `value`, whose role is known, as a chat message."""
    fields = taken(value, ("kwargs", "data")) if "content" not in value else value
    fields = fields if isinstance(fields, dict) else value
    message = {k: v for k, v in fields.items() if k not in _READ}
    return message | {"role": role} | without_null(_lifted(fields))


def _lifted(fields: Mapping[str, Any]) -> Wire:
    aside = _object(fields, "additional_kwargs")
    answer = _object(fields, "response_metadata")
    return {
        "tool_calls": _calls(fields.get("tool_calls")) or aside.get("tool_calls"),
        "function_call": aside.get("function_call"),
        "tool_call_id": fields.get("tool_call_id"),
        "error": True if fields.get("status") == "error" else None,
        "reasoning": aside.get("reasoning_content"),
        "logprobs": answer.get("logprobs"),
    }


def _object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _calls(given: Any) -> Any:
    """Return tool calls in the chat form; whatever is no call stays as it is."""
    if not isinstance(given, list):
        return given
    return [_call(call) if isinstance(call, dict) else call for call in given]


def _call(call: Wire) -> Wire:
    if "args" not in call:
        return call
    rest = {k: v for k, v in call.items() if k not in {"name", "args"}}
    return rest | {"function": {"name": call.get("name"), "arguments": call["args"]}}
