"""Spans and log records as the Python SDK of OpenTelemetry prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from features.ingest._otel.otlp_values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    as_list,
    as_object,
    as_text,
    identifier_of,
    shallow,
)
from features.ingest._otel.spans import (
    Item,
    Link,
    MalformedSpanError,
    Moment,
    Record,
    Span,
)
from features.ingest._talk.content import time_of
from features.ingest._talk.messages import Wire


def is_told(value: Any) -> bool:
    """Return whether `value` is a span or a log record of an SDK."""
    if not isinstance(value, dict):
        return False
    is_span = isinstance(value.get("context"), dict) and "start_time" in value
    is_record = {"body", "trace_id", "observed_timestamp"} <= value.keys()
    return is_record or (is_span and "span_kind" not in value)


def items_of(value: Mapping[str, Any]) -> Iterator[Item]:
    """Yield the span or log record that `value` is, or what is wrong with it."""
    try:
        shallow(value, "span")
        yield _span(value) if "context" in value else _record(value)
    except MalformedSpanError as error:
        yield error


def _span(fields: Mapping[str, Any]) -> Span:
    context = as_object(fields["context"], "context")
    status = fields.get("status")
    status = status if isinstance(status, dict) else {}
    parent = fields.get("parent_id")
    return Span(
        trace_id=identifier_of(context.get("trace_id"), TRACE_ID_BYTES, "trace_id"),
        span_id=identifier_of(context.get("span_id"), SPAN_ID_BYTES, "span_id"),
        parent_id=identifier_of(parent, SPAN_ID_BYTES, "parent_id") if parent else "",
        name=as_text(fields.get("name")),
        kind=as_text(fields.get("kind")).removeprefix("SpanKind.").lower(),
        started=time_of(fields.get("start_time")),
        ended=time_of(fields.get("end_time")),
        attributes=_attributes(fields),
        events=[_event(item) for item in as_list(fields.get("events"), "events")],
        links=[_link(item) for item in as_list(fields.get("links"), "links")],
        failed=status.get("status_code") == "ERROR",
        status=as_text(status.get("description")),
        resource=_resource(fields),
    )


def _record(fields: Mapping[str, Any]) -> Record:
    span_id, attributes = fields.get("span_id"), _attributes(fields)
    name = fields.get("event_name") or attributes.pop("event.name", None)
    at = fields.get("timestamp") or fields.get("observed_timestamp")
    return Record(
        trace_id=identifier_of(fields.get("trace_id"), TRACE_ID_BYTES, "trace_id"),
        span_id=identifier_of(span_id, SPAN_ID_BYTES, "span_id") if span_id else "",
        said=Moment(
            name=as_text(name),
            at=time_of(at),
            attributes=attributes,
            body=fields.get("body"),
        ),
        resource=_resource(fields),
    )


def _attributes(fields: Mapping[str, Any]) -> Wire:
    given = fields.get("attributes")
    return {} if given is None else dict(as_object(given, "attributes"))


def _resource(fields: Mapping[str, Any]) -> Wire:
    resource = fields.get("resource")
    return _attributes(resource) if isinstance(resource, dict) else {}


def _event(raw: Any) -> Moment:
    fields = as_object(raw, "events")
    return Moment(
        name=as_text(fields.get("name")),
        at=time_of(fields.get("timestamp")),
        attributes=_attributes(fields),
    )


def _link(raw: Any) -> Link:
    fields = as_object(raw, "links")
    context = as_object(fields.get("context"), "links.context")
    return Link(
        trace_id=identifier_of(context.get("trace_id"), TRACE_ID_BYTES, "links"),
        span_id=identifier_of(context.get("span_id"), SPAN_ID_BYTES, "links"),
        attributes=_attributes(fields),
    )
