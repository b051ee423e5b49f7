"""One span of an MLflow trace, of any schema, as an observation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from features.ingest._files.records import check_depth, objects
from features.ingest._files.sources import RecordError
from features.ingest._spans.fields import (
    documents_of,
    spent_ms,
    tool_of,
    usage_of,
)
from features.ingest._spans.observation import Observation, What
from features.ingest._spans.own import own
from features.ingest._talk.content import arguments_of, identifier, time_of
from features.ingest._talk.messages import Wire, taken, without_null
from features.ingest._talk.vocabulary import exchange

REQUEST = "mlflow.traceRequestId"

_KINDS = {
    "LLM": What.MODEL,
    "CHAT_MODEL": What.MODEL,
    "TOOL": What.TOOL,
    "RETRIEVER": What.RETRIEVAL,
    "AGENT": What.AGENT,
}
_GIVEN, _ANSWERED = "mlflow.spanInputs", "mlflow.spanOutputs"
_USAGE, _COST = "mlflow.chat.tokenUsage", "mlflow.llm.cost"
_READ = {
    _ANSWERED,
    _COST,
    _GIVEN,
    _USAGE,
    REQUEST,
    "mlflow.llm.model",
    "mlflow.spanType",
    "session.id",
    "user.id",
}
_TIMES = {
    "start_time_unix_nano",
    "end_time_unix_nano",
    "start_time",
    "end_time",
}
_PLACE = {"context", "name", "span_id", "trace_id"}
_NANOS = 1e9
_ID_LENGTH = 12  # of eight bytes in base64


def observed(trace_id: str, raw: Any) -> Observation:
    """Return what the span `raw` of a trace tells.

    Raises
    ------
    RecordError
        If it is no object, has no id or attributes, or is nested too deeply.
    """
    span_id, attributes = _identified(raw)
    said = {name: arguments_of(value) for name, value in attributes.items()}
    check_depth([raw, said], "span")
    started = _time(taken(raw, ("start_time_unix_nano", "start_time")))
    ended = _time(taken(raw, ("end_time_unix_nano", "end_time")))
    is_root = not taken(raw, ("parent_span_id", "parent_id"))
    ours = own(said, span_id, ended)
    told = _told(said, raw, is_root=is_root)
    if told["what"] is What.TOOL:
        told["tool"] |= spent_ms(started, ended)
    extra = _extra(raw, attributes) | told.pop("extra", {})
    facts = {
        "group": identifier(said.get("user.id")),
        "model": identifier(said.get("mlflow.llm.model")),
    }
    return Observation(
        trace_id=trace_id,
        span_id=span_id,
        task_id=ours.task_id or identifier(said.get("session.id")),
        name=str(raw.get("name") or ""),
        started=started,
        ended=ended,
        facts=without_null(facts) | ours.facts,
        confidence=ours.confidence,
        interpretations=ours.interpretations,
        evaluations=ours.evaluations,
        error=_error(raw),
        extra=extra,
        **told,
    )


def _identified(raw: Any) -> tuple[str, Wire]:
    """Return a span's id and attributes.

    Raises
    ------
    RecordError
        If there are none.
    """
    fields = raw if isinstance(raw, dict) else {}
    context = fields.get("context")
    place = context if isinstance(context, dict) else fields
    span_id, attributes = _hex(place.get("span_id")), fields.get("attributes")
    if span_id is None or not isinstance(attributes, dict):
        raise RecordError(
            field="span",
            expected="an object with a `span_id` and `attributes`",
            found=f"{type(raw).__name__} with {sorted(fields)[:10]}",
        )
    return span_id, attributes


def _hex(value: Any) -> str | None:
    """Return an id in hexadecimal, as assessments refer to it."""
    span_id = identifier(value)
    if span_id is None or len(span_id) != _ID_LENGTH or not span_id.endswith("="):
        return span_id and span_id.removeprefix("0x")
    try:
        return base64.b64decode(span_id, validate=True).hex()
    except binascii.Error:
        return span_id


def _time(nanos: Any) -> datetime | None:
    """Return a time told in nanoseconds, as a number or as its digits."""
    if isinstance(nanos, str) and nanos.isdecimal():
        nanos = float(nanos)
    if isinstance(nanos, bool) or not isinstance(nanos, int | float):
        return None
    return time_of(nanos / _NANOS) if nanos else None


def _told(said: Wire, raw: Wire, *, is_root: bool) -> Wire:
    """Return the fields that the span's type tells."""
    kind = said.get("mlflow.spanType")
    what = _KINDS.get(kind, What.OTHER) if isinstance(kind, str) else What.OTHER
    given, answered = said.get(_GIVEN), said.get(_ANSWERED)
    match what:
        case What.MODEL:
            return _talked(said, what)
        case What.TOOL:
            name = str(said.get("mlflow.spanFunctionName") or raw.get("name") or "")
            tool = tool_of(name, given, answered, _error(raw))
            return {"what": what, "tool": tool}
        case What.RETRIEVAL:
            beside = without_null({"inputs": given})
            return {
                "what": what,
                "documents": documents_of(answered),
                "extra": beside,
            }
        case _ if is_root:
            return _talked(said, What.AGENT)
        case _:
            beside = without_null({"inputs": given, "outputs": answered})
            return {"what": what, "extra": beside}


def _talked(said: Wire, what: What) -> Wire:
    """Return what a model, or the outermost run, was given and answered."""
    given, answered, beside, counted = exchange(said.get(_GIVEN), said.get(_ANSWERED))
    told = {"what": what, "inputs": given, "outputs": answered, "extra": beside}
    if what is not What.MODEL:
        return told
    return told | {"usage": _usage(said) or usage_of(counted)}


def _usage(said: Wire) -> Wire:
    tokens, cost = said.get(_USAGE), said.get(_COST)
    usage = usage_of(tokens)
    if isinstance(cost, dict):
        usage["cost"] = cost.get("total_cost")
        usage["extra"] = usage.get("extra", {}) | cost
    return without_null(usage)


def _error(raw: Wire) -> Wire | None:
    """Return the error of a failed span, as its exception event tells it."""
    status = raw.get("status")
    code = status.get("code") if isinstance(status, dict) else raw.get("status_code")
    if not isinstance(code, str) or not code.endswith("ERROR"):
        return None
    words = status.get("message") if isinstance(status, dict) else None
    told = _exception(raw.get("events"))
    error = {
        "type": told.get("exception.type") or "error",
        "message": told.get("exception.message") or words or raw.get("status_message"),
        "stacktrace": told.get("exception.stacktrace"),
    }
    return without_null(error)


def _exception(moments: Any) -> Mapping[str, Any]:
    for moment in objects(moments):
        attributes = arguments_of(moment.get("attributes"))
        if moment.get("name") == "exception" and isinstance(attributes, dict):
            return attributes
    return {}


def _extra(raw: Wire, attributes: Wire) -> Wire:
    left = {k: v for k, v in attributes.items() if k not in _READ}
    known = {"attributes", *_TIMES, *_PLACE}
    rest = {k: v for k, v in raw.items() if k not in known and v not in (None, [], "")}
    return rest | ({"attributes": left} if left else {})
