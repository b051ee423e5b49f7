"""What a message of a chat log holds: its text, attachments, errors, verbs, times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

# --- text and attachments ---------------------------------------------------

_ATTACHED = re.compile(r"image|file|audio|video|document|^blob$|^uri$")


def _part_text(part: Any) -> str | None:
    """Return the text of one content part; None where it holds none."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return None
    text = part.get("text", part.get("refusal"))
    if part.get("type") == "search_result":
        text = "\n".join(filter(None, map(_part_text, _listed(part.get("content")))))
    if text is None and part.get("type") == "text":  # OpenTelemetry's word for it
        text = part.get("content")
    if isinstance(text, dict):  # {"text": {"value": …}}
        text = text.get("value")
    return text if isinstance(text, str) else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text_of(content: Any) -> str:
    """Return what `content` says: text parts joined by newlines, other JSON as JSON."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = [text for part in parts if (text := _part_text(part)) is not None]
    if texts or isinstance(content, list):
        return "\n".join(texts)
    return as_json(content)


def as_json(value: Any) -> str:
    """Return `value` as JSON text."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested too deeply; the event will be refused
        return ""


def attachments_of(content: Any) -> list[Mapping[str, Any]]:
    """Return the image, file, audio and video parts of `content`, verbatim."""
    parts = content if isinstance(content, list) else [content]
    return [
        part
        for part in parts
        if isinstance(part, dict)
        and _part_text(part) is None
        and isinstance(kind := part.get("type"), str)
        and _ATTACHED.search(kind)
    ]


# --- tool calls and results -------------------------------------------------


def arguments_of(raw: Any) -> Any:
    """Return a call's arguments: JSON text parsed, any other value verbatim."""
    if not isinstance(raw, str) or (len(raw) > _SCALAR and not _is_nested(raw)):
        return raw
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw


# Longer text is decoded only if it begins like an object or a list, as then it was
# weighed when its line was read (`_weight`).
_SCALAR = 1_000


def _is_nested(text: str) -> bool:
    return text[:_SCALAR].lstrip()[:1] in ("{", "[")


_BAD_STATUS = 400
_STATUS_END = 600
_STATUS = ("status", "status_code", "statusCode", "http_status")
_FLAGS = ("is_error", "isError")


def _says_error(fields: Mapping[str, Any]) -> bool:
    statuses = [fields.get(name) for name in _STATUS]
    return any(fields.get(name) is True for name in _FLAGS) or any(
        type(status) is int and _BAD_STATUS <= status < _STATUS_END
        for status in statuses
    )


def reads_as_error(text: str) -> bool:
    """Return whether a tool's answer is an error by its own words.

    It is when it begins with "error" in any case, or is a JSON object with a truthy
    ``error``, an error flag, or an HTTP status from 400 on.
    """
    words = text.lstrip()
    if words[:5].lower() == "error":
        return True
    if not words.startswith("{"):
        return False
    try:
        fields = orjson.loads(words)
    except orjson.JSONDecodeError:
        return False
    return bool(fields.get("error")) or _says_error(fields)


def error_of(message: Mapping[str, Any], text: str) -> bool | dict[str, Any]:
    """Return the `error` of a tool message: its own account, else true or false.

    An error inside a call that was reported as a success is an error all the same.
    """
    given = message.get("error")
    if isinstance(given, str) and given:
        return {"type": "error", "message": given}
    if isinstance(given, dict) and given:
        return {"type": "error"} | dict(given)
    return bool(given) or _says_error(message) or reads_as_error(text)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WRITE = _words(
    "activate add adjust apply approve archive assign block book buy cancel change "
    "charge checkout close confirm create deactivate delete deploy disable disconnect "
    "edit enable enroll exchange execute extend file grant insert issue make merge "
    "modify move open order pause pay place post publish purchase push put reactivate "
    "reboot rebook refuel refund register reinstate remove rename renew replace "
    "reschedule reseat reserve reset restart resume return revoke save schedule send "
    "set submit subscribe suspend switch terminate toggle transfer unblock "
    "unsubscribe update upgrade upload upsert void withdraw write"
)
_READ = _words(
    "browse calculate can check compare compute count describe diagnose estimate fetch "
    "find get has inspect is list lookup look preview query quote read retrieve search "
    "select show summarize test think validate verify view"
)
_VERBS = _WRITE | _READ
_PEOPLE = frozenset({"human", "humans", "agent", "agents", "operator", "person"})
_LONGEST = 200  # characters of a tool's name that are looked at
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def is_write(tool: Any) -> bool | None:
    """Return whether `tool` changes something, told by the verbs of its name.

    The first verb decides (``orders.cancel``, ``getUser``), except that a name ending
    in a reading verb reads (``book_search``) and one that joins a writing verb by
    "or" or "and" writes (``find_or_create``). None where no verb is known, and for a
    transfer to a person: who handles a task is not the customer's data.
    """
    if not isinstance(tool, str):
        return None
    words = [word.lower() for word in _WORD.findall(tool[:_LONGEST])]
    known = [word for word in words if word in _VERBS]
    if not known or (known[0] == "transfer" and _PEOPLE & set(words)):
        return None
    if known[0] in _READ:
        return bool({"or", "and"} & set(words)) and bool(_WRITE & set(known))
    return words[-1] not in _READ


# --- confidence -------------------------------------------------------------


def _logprobs(raw: Any) -> Iterator[float]:
    if isinstance(raw, dict):
        raw = raw.get("content") or raw.get("token_logprobs")
    for item in raw if isinstance(raw, list) else []:
        value = item.get("logprob") if isinstance(item, dict) else item
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield float(value)


def confidence_of(logprobs: Any) -> dict[str, Any] | None:
    """Return the confidence that token log-probabilities speak of.

    Its value is exp of their mean, in [0, 1]: the geometric mean token probability.
    None where there are none.
    """
    values = list(_logprobs(logprobs))
    if not values:
        return None
    mean = sum(values) / len(values)
    return {"value": math.exp(min(0.0, mean)), "source": "logprob"}


# --- identifiers and times --------------------------------------------------


def identifier(value: Any) -> str | None:
    """Return `value` as an id: text, a whole number, or an object's ``id``."""
    if isinstance(value, dict):
        value = value.get("id")
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value else None


_LAST_YEAR = 9998  # so that an offset or a few seconds more never overflow
_SECONDS_END = 1e11  # larger numbers count milliseconds


def time_of(value: Any) -> datetime | None:
    """Return a log's time in UTC: RFC 3339 text, or seconds or milliseconds of Unix.

    Text without an offset is taken as UTC. None where `value` is no time.
    """
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value if abs(value) < _SECONDS_END else value / 1000
            at = datetime.fromtimestamp(seconds, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    if not 1 < at.year <= _LAST_YEAR:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)


def first_time(values: Iterable[Any]) -> datetime | None:
    """Return the first of `values` that is a time."""
    return next((at for value in values if (at := time_of(value)) is not None), None)
