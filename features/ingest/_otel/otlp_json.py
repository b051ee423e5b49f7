"""OTLP in JSON: export requests, span by span.

Names are taken in camel and snake case, enums as numbers and names, 64-bit integers as
numbers and text, ids as hex and (as generic protobuf tools print them) base64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from features.ingest._otel.otlp_values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    as_list,
    as_object,
    as_text,
    attributes_of,
    either,
    identifier_of,
    value_of,
)
from features.ingest._otel.spans import (
    Item,
    Link,
    MalformedSpanError,
    Moment,
    Record,
    Span,
    time_of_nanos,
)
from features.ingest._talk.messages import Wire, without_null

SPANS = ("resourceSpans", "resource_spans", "batches")
LOGS = ("resourceLogs", "resource_logs")

_SPAN_SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")
_LOG_SCOPES = ("scopeLogs", "scope_logs", "instrumentationLibraryLogs")
_SCOPES = ("scope", "instrumentationLibrary")
KINDS = ("", "internal", "server", "client", "producer", "consumer")
_ERROR_CODES = (2, "STATUS_CODE_ERROR", "ERROR", "StatusCode.ERROR")


# --- spans and records ------------------------------------------------------


def _event(raw: Any) -> Moment:
    fields = as_object(raw, "events")
    at = either(fields, "timeUnixNano", "time_unix_nano")
    return Moment(
        name=as_text(fields.get("name")),
        at=time_of_nanos(at, "events.timeUnixNano"),
        attributes=attributes_of(fields.get("attributes"), "events.attributes"),
    )


def _link(raw: Any) -> Link:
    fields = as_object(raw, "links")
    trace_id = either(fields, "traceId", "trace_id")
    span_id = either(fields, "spanId", "span_id")
    return Link(
        trace_id=identifier_of(trace_id, TRACE_ID_BYTES, "links.traceId"),
        span_id=identifier_of(span_id, SPAN_ID_BYTES, "links.spanId"),
        attributes=attributes_of(fields.get("attributes"), "links.attributes"),
    )


def _kind(value: Any) -> str:
    if type(value) is int:
        return KINDS[value] if 0 <= value < len(KINDS) else str(value)
    return as_text(value).removeprefix("SPAN_KIND_").removeprefix("SpanKind.").lower()


def _span(raw: Any, resource: Wire, scope: Wire) -> Span:
    fields = as_object(raw, "span")
    status = fields.get("status")
    status = status if isinstance(status, dict) else {}
    parent = either(fields, "parentSpanId", "parent_span_id")
    started = either(fields, "startTimeUnixNano", "start_time_unix_nano")
    ended = either(fields, "endTimeUnixNano", "end_time_unix_nano")
    trace_id = either(fields, "traceId", "trace_id")
    return Span(
        trace_id=identifier_of(trace_id, TRACE_ID_BYTES, "traceId"),
        span_id=identifier_of(
            either(fields, "spanId", "span_id"), SPAN_ID_BYTES, "spanId"
        ),
        parent_id=identifier_of(parent, SPAN_ID_BYTES, "parentSpanId")
        if parent
        else "",
        name=as_text(fields.get("name")),
        kind=_kind(fields.get("kind")),
        started=time_of_nanos(started, "startTimeUnixNano"),
        ended=time_of_nanos(ended, "endTimeUnixNano"),
        attributes=attributes_of(fields.get("attributes"), "attributes"),
        events=[_event(item) for item in as_list(fields.get("events"), "events")],
        links=[_link(item) for item in as_list(fields.get("links"), "links")],
        failed=status.get("code") in _ERROR_CODES,
        status=as_text(status.get("message")),
        resource=resource,
        scope=scope,
    )


def _record(raw: Any, resource: Wire, _: Wire) -> Record | None:
    """Return a log record that belongs to a trace; None of any other."""
    fields = as_object(raw, "logRecord")
    attributes = attributes_of(fields.get("attributes"), "attributes")
    name = either(fields, "eventName", "event_name") or attributes.pop(
        "event.name", None
    )
    trace_id = either(fields, "traceId", "trace_id")
    span_id = either(fields, "spanId", "span_id")
    if not trace_id and not as_text(name).startswith("gen_ai."):
        return None
    at = either(fields, "timeUnixNano", "time_unix_nano")
    if at in (None, 0, "0"):
        at = either(fields, "observedTimeUnixNano", "observed_time_unix_nano")
    body = fields.get("body")
    return Record(
        trace_id=identifier_of(trace_id, TRACE_ID_BYTES, "traceId"),
        span_id=identifier_of(span_id, SPAN_ID_BYTES, "spanId") if span_id else "",
        said=Moment(
            name=as_text(name),
            at=time_of_nanos(at, "timeUnixNano"),
            attributes=attributes,
            body=None if body is None else value_of(body),
        ),
        resource=resource,
    )


# --- containers -------------------------------------------------------------


def _groups(
    request: Mapping[str, Any], outer: tuple[str, ...], inner: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield (place, resource, scope with its items) of an export request."""
    name = next(n for n in outer if n in request)
    for index, item in enumerate(as_list(request[name], name)):
        place = f"{name}[{index}]"
        resource = as_object(item, place)
        scopes = as_list(either(resource, *inner), f"{place}.{inner[0]}")
        for number_, scope in enumerate(scopes):
            at = f"{place}.{inner[0]}[{number_}]"
            yield at, resource, as_object(scope, at)


def _resource(fields: Mapping[str, Any]) -> Wire:
    resource = fields.get("resource")
    given = resource.get("attributes") if isinstance(resource, dict) else None
    return attributes_of(given, "resource.attributes")


def _scope(fields: Mapping[str, Any]) -> Wire:
    scope = either(fields, *_SCOPES)
    named = scope if isinstance(scope, dict) else {}
    return without_null({n: named.get(n) or None for n in ("name", "version")})


def _items(
    groups: Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
    names: tuple[str, ...],
    read: Callable[[Any, Wire, Wire], Span | Record | None],
    item_of: Callable[[Any], Any],
) -> Iterator[Item]:
    """Yield what `groups` hold; one that is malformed costs itself alone."""
    try:
        for place, outer, inner in groups:
            resource, scope = _resource(outer), _scope(inner)
            for index, raw in enumerate(as_list(either(inner, *names), place)):
                try:
                    item = read(item_of(raw), resource, scope)
                except MalformedSpanError as error:
                    yield error.within(f"{place}.{names[0]}[{index}]")
                else:
                    if item is not None:
                        yield item
    except MalformedSpanError as error:
        yield error


def is_request(value: Any) -> bool:
    """Return whether `value` is an export request of traces or logs."""
    return isinstance(value, dict) and any(name in value for name in (*SPANS, *LOGS))


def items_of(
    request: Mapping[str, Any], item_of: Callable[[Any], Any] = lambda raw: raw
) -> Iterator[Item]:
    """Yield the spans, log records and faults of an export request in JSON.

    Parameters
    ----------
    request : Mapping
        The request, decoded.
    item_of : Callable, optional
        Gives the span or log record that an item of it stands for.
    """
    if any(name in request for name in SPANS):
        groups = _groups(request, SPANS, _SPAN_SCOPES)
        yield from _items(groups, ("spans",), _span, item_of)
    if any(name in request for name in LOGS):
        groups = _groups(request, LOGS, _LOG_SCOPES)
        names = ("logRecords", "log_records", "logs")
        yield from _items(groups, names, _record, item_of)
