"""OTLP in JSON: export requests, and what the Python SDK writes of a span.

Names are taken in camel and snake case, enums as numbers and names, 64-bit integers as
numbers and text, ids as hex and (as generic protobuf tools print them) base64.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from features.ingest._messages import Wire, without_null
from features.ingest._spans import (
    Export,
    Link,
    MalformedSpanError,
    Moment,
    Record,
    Span,
    time_of_nanos,
)

SPANS = ("resourceSpans", "resource_spans", "batches")
LOGS = ("resourceLogs", "resource_logs")
TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8

_SPAN_SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")
_LOG_SCOPES = ("scopeLogs", "scope_logs", "instrumentationLibraryLogs")
_SCOPES = ("scope", "instrumentationLibrary")
_MAX_DEPTH = 64  # of a value within values
_INT64 = 2**63
_INT64_DIGITS = 20
_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_ERROR_CODES = (2, "STATUS_CODE_ERROR", "ERROR", "StatusCode.ERROR")


def _either(fields: Mapping[str, Any], *names: str) -> Any:
    return next((fields[n] for n in names if fields.get(n) is not None), None)


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedSpanError(place=place, expected="an object", found=value)
    return value


def _list(value: Any, place: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedSpanError(place=place, expected="a list", found=value)
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


# --- values -----------------------------------------------------------------


def number(value: float) -> float | str:
    """Return `value`; where JSON has no word for it, OTLP's: NaN, Infinity."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"


def _whole(value: Any) -> Any:
    """Return an int64 that came as a number or as its digits; else it as it came."""
    if isinstance(value, str) and len(value) <= _INT64_DIGITS:
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdecimal() and int(digits) <= _INT64:
            return int(value)
    return value


def _values(raw: Any, depth: int) -> list[Any]:
    items = _list(_object(raw, "arrayValue").get("values"), "arrayValue.values")
    return [_value(item, depth + 1) for item in items]


_READERS: Mapping[str, Callable[[Any, int], Any]] = {
    "string": lambda raw, _: raw,
    "bool": lambda raw, _: raw,
    "int": lambda raw, _: _whole(raw),
    "double": lambda raw, _: raw,
    "bytes": lambda raw, _: raw,
    "array": _values,
    "kvlist": lambda raw, depth: _attributes(
        _object(raw, "kvlistValue").get("values"), "kvlistValue.values", depth + 1
    ),
}
_BY_NAME = {
    name: read
    for kind, read in _READERS.items()
    for name in (f"{kind}Value", f"{kind}_value")
}


def _value(raw: Any, depth: int = 0) -> Any:
    """Return the plain value of an ``AnyValue``; one of a kind unknown, verbatim."""
    if depth > _MAX_DEPTH:
        raise MalformedSpanError(
            place="value", expected=f"at most {_MAX_DEPTH} levels deep", found="more"
        )
    for name, inner in _object(raw, "value").items():
        if name in _BY_NAME:
            return _BY_NAME[name](inner, depth)
    return raw or None


def _attributes(raw: Any, place: str, depth: int = 0) -> Wire:
    """Return attributes as an object; given as one, they are plain already."""
    if isinstance(raw, dict):
        return raw
    read: Wire = {}
    for index, item in enumerate(_list(raw, place)):
        pair = _object(item, f"{place}[{index}]")
        if not isinstance(pair.get("key"), str):
            raise MalformedSpanError(
                place=f"{place}[{index}].key", expected="text", found=pair.get("key")
            )
        given = pair.get("value")
        read[pair["key"]] = None if given is None else _value(given, depth)
    return read


def _identifier(value: Any, size: int, place: str) -> str:
    """Return an id of `size` bytes as lower-case hex.

    Raises
    ------
    MalformedSpanError
        If it is none, or all zeros.
    """
    text = _text(value).removeprefix("0x")
    found = text.lower() if re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", text) else ""
    if not found and len(text) == 4 * ((size + 2) // 3):
        try:
            found = base64.b64decode(text, validate=True).hex()
        except (binascii.Error, ValueError):
            found = ""
    if not found.strip("0") or len(found) != 2 * size:
        expected = f"an id of {2 * size} hex digits that are not all zero"
        raise MalformedSpanError(place=place, expected=expected, found=value)
    return found


# --- spans and records ------------------------------------------------------


def _event(raw: Any) -> Moment:
    fields = _object(raw, "events")
    at = _either(fields, "timeUnixNano", "time_unix_nano")
    return Moment(
        name=_text(fields.get("name")),
        at=time_of_nanos(at, "events.timeUnixNano"),
        attributes=_attributes(fields.get("attributes"), "events.attributes"),
    )


def _link(raw: Any) -> Link:
    fields = _object(raw, "links")
    trace_id = _either(fields, "traceId", "trace_id")
    span_id = _either(fields, "spanId", "span_id")
    return Link(
        trace_id=_identifier(trace_id, TRACE_ID_BYTES, "links.traceId"),
        span_id=_identifier(span_id, SPAN_ID_BYTES, "links.spanId"),
        attributes=_attributes(fields.get("attributes"), "links.attributes"),
    )


def _kind(value: Any) -> str:
    if type(value) is int:
        return _KINDS[value] if 0 <= value < len(_KINDS) else str(value)
    return _text(value).removeprefix("SPAN_KIND_").removeprefix("SpanKind.").lower()


def _span(raw: Any, resource: Wire, scope: Wire) -> Span:
    fields = _object(raw, "span")
    status = fields.get("status")
    status = status if isinstance(status, dict) else {}
    parent = _either(fields, "parentSpanId", "parent_span_id")
    started = _either(fields, "startTimeUnixNano", "start_time_unix_nano")
    ended = _either(fields, "endTimeUnixNano", "end_time_unix_nano")
    trace_id = _either(fields, "traceId", "trace_id")
    return Span(
        trace_id=_identifier(trace_id, TRACE_ID_BYTES, "traceId"),
        span_id=_identifier(
            _either(fields, "spanId", "span_id"), SPAN_ID_BYTES, "spanId"
        ),
        parent_id=_identifier(parent, SPAN_ID_BYTES, "parentSpanId") if parent else "",
        name=_text(fields.get("name")),
        kind=_kind(fields.get("kind")),
        started=time_of_nanos(started, "startTimeUnixNano"),
        ended=time_of_nanos(ended, "endTimeUnixNano"),
        attributes=_attributes(fields.get("attributes"), "attributes"),
        events=[_event(item) for item in _list(fields.get("events"), "events")],
        links=[_link(item) for item in _list(fields.get("links"), "links")],
        failed=status.get("code") in _ERROR_CODES,
        status=_text(status.get("message")),
        resource=resource,
        scope=scope,
    )


def _record(raw: Any, resource: Wire, _: Wire) -> Record | None:
    """Return a log record that belongs to a trace; None of any other."""
    fields = _object(raw, "logRecord")
    attributes = _attributes(fields.get("attributes"), "attributes")
    name = _either(fields, "eventName", "event_name") or attributes.pop(
        "event.name", None
    )
    trace_id = _either(fields, "traceId", "trace_id")
    span_id = _either(fields, "spanId", "span_id")
    if not trace_id and not _text(name).startswith("gen_ai."):
        return None
    at = _either(fields, "timeUnixNano", "time_unix_nano")
    if at in (None, 0, "0"):
        at = _either(fields, "observedTimeUnixNano", "observed_time_unix_nano")
    body = fields.get("body")
    return Record(
        trace_id=_identifier(trace_id, TRACE_ID_BYTES, "traceId"),
        span_id=_identifier(span_id, SPAN_ID_BYTES, "spanId") if span_id else "",
        said=Moment(
            name=_text(name),
            at=time_of_nanos(at, "timeUnixNano"),
            attributes=attributes,
            body=None if body is None else _value(body),
        ),
        resource=resource,
    )


# --- containers -------------------------------------------------------------


def _groups(
    request: Mapping[str, Any], outer: tuple[str, ...], inner: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield (place, resource, scope with its items) of an export request."""
    name = next(n for n in outer if n in request)
    for index, item in enumerate(_list(request[name], name)):
        place = f"{name}[{index}]"
        resource = _object(item, place)
        scopes = _list(_either(resource, *inner), f"{place}.{inner[0]}")
        for number_, scope in enumerate(scopes):
            at = f"{place}.{inner[0]}[{number_}]"
            yield at, resource, _object(scope, at)


def _resource(fields: Mapping[str, Any]) -> Wire:
    resource = fields.get("resource")
    given = resource.get("attributes") if isinstance(resource, dict) else None
    return _attributes(given, "resource.attributes")


def _scope(fields: Mapping[str, Any]) -> Wire:
    scope = _either(fields, *_SCOPES)
    named = scope if isinstance(scope, dict) else {}
    return without_null({n: named.get(n) or None for n in ("name", "version")})


def _take(
    export: Export,
    groups: Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
    items: tuple[str, ...],
    read: Callable[[Any, Wire, Wire], Any],
) -> Iterator[Any]:
    """Yield all that is sound in `groups`, and put the rest under faults."""
    try:
        for place, outer, inner in groups:
            resource, scope = _resource(outer), _scope(inner)
            found = _list(_either(inner, *items), f"{place}.{items[0]}")
            for index, item in enumerate(found):
                try:
                    yield read(item, resource, scope)
                except MalformedSpanError as error:
                    export.faults.append(f"{place}.{items[0]}[{index}]: {error}")
    except MalformedSpanError as error:
        export.faults.append(str(error))


def is_request(value: Any) -> bool:
    """Return whether `value` is an export request of traces or logs."""
    return isinstance(value, dict) and any(name in value for name in (*SPANS, *LOGS))


def exported(request: Mapping[str, Any]) -> Export:
    """Return what an export request in JSON holds."""
    export = Export()
    if any(name in request for name in SPANS):
        groups = _groups(request, SPANS, _SPAN_SCOPES)
        export.spans.extend(_take(export, groups, ("spans",), _span))
    if any(name in request for name in LOGS):
        groups = _groups(request, LOGS, _LOG_SCOPES)
        found = _take(export, groups, ("logRecords", "log_records", "logs"), _record)
        export.records.extend(record for record in found if record is not None)
    return export
