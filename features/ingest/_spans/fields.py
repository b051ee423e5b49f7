"""Fields of an `Observation` that the exports of several products tell alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from features.ingest._talk.content import (
    arguments_of,
    attachments_of,
    error_of,
    text_of,
)
from features.ingest._talk.messages import Wire, taken
from features.ingest._talk.vocabulary import said

# --- usage ------------------------------------------------------------------

_IN = ("input_tokens", "prompt_tokens", "input", "promptTokens", "inputTokens")
_OUT = ("output_tokens", "completion_tokens", "output", "completionTokens")
_COST = ("cost", "total_cost")


def usage_of(raw: Any) -> Wire:
    """Return tokens and cost as an event tells them, the log's own words under extra.

    Empty where `raw` counts nothing.
    """
    if not isinstance(raw, dict):
        return {}
    counted = {
        "tokens_in": taken(raw, _IN),
        "tokens_out": taken(raw, _OUT),
        "cost": taken(raw, _COST),
    }
    usage = {name: value for name, value in counted.items() if value is not None}
    return usage | {"extra": raw} if usage else {}


# --- tools and documents ----------------------------------------------------

_TELLING = ("error", "is_error", "isError", "status", "status_code", "statusCode")


def tool_of(name: str, given: Any, answered: Any, error: Wire | None) -> Wire:
    """Return what a tool's span tells, as `Observation.tool`.

    Parameters
    ----------
    name : str
        The tool.
    given, answered : Any
        Its input and output, decoded; a result may be a message of a tool.
    error : dict or None
        Type and message, where the span failed.
    """
    result = _only(answered, ("output", "result"))
    message = next(iter(said(result)), {})
    if message.get("role") == "tool":
        result = message.get("content")
    text = text_of(result)
    beside = {"error": error or message.get("error")}
    tool = {
        "tool": name or message.get("name"),
        "call_id": message.get("tool_call_id"),
        "arguments": arguments_of(_only(given, ("input", "arguments"))),
        "text": text if result is not None else None,
        "error": error_of(beside | _flags(result), text),
        "content": result if isinstance(result, list) else None,
        "attachments": attachments_of(result) or None,
    }
    return {key: value for key, value in tool.items() if value is not None}


def _only(value: Any, names: Sequence[str]) -> Any:
    """Return what `value` wraps, where it is an object of that one field."""
    if isinstance(value, dict) and len(value) == 1:
        return next((value[name] for name in names if name in value), value)
    return value


def _flags(result: Any) -> Wire:
    """Return by what names an object says that it is an error."""
    if not isinstance(result, dict):
        return {}
    return {k: v for k, v in result.items() if k in _TELLING}


def documents_of(answered: Any) -> list[Wire]:
    """Return what a retriever found: objects verbatim, anything else as content."""
    found = _only(answered, ("documents", "output", "results"))
    documents = found if isinstance(found, list) else [found]
    return [
        item if isinstance(item, dict) else {"content": item}
        for item in documents
        if item is not None
    ]


def spent_ms(started: datetime | None, ended: datetime | None) -> Wire:
    """Return the latency of a span, where it tells both times."""
    if started is None or ended is None:
        return {}
    return {"latency_ms": (ended - started).total_seconds() * 1e3}
