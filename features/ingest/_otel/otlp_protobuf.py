"""OTLP in protobuf: export requests, span by span.

The outer messages are taken apart here, by their wire format alone, so that a span that
is malformed costs itself alone and a large request is not held twice. Requests written
one after the other are one larger request, by the rules of protobuf.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from features.ingest._otel.otlp_json import KINDS
from features.ingest._otel.otlp_values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    number,
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

_VARINT, _FIXED64, LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
VARINT_BYTES, MORE = 10, 0x80  # the last byte has its high bit clear
_RESOURCE, _SCOPED = 1, 2  # fields of ResourceSpans and ResourceLogs
_SCOPE, _ITEMS = 1, 2  # fields of ScopeSpans and ScopeLogs
_ERROR = trace_pb2.Status.STATUS_CODE_ERROR


# --- the wire ---------------------------------------------------------------


def broken(*, found: str, place: str = "message") -> MalformedSpanError:
    """Return the error of bytes that are no OTLP in protobuf."""
    return MalformedSpanError(
        place=place, expected="an OTLP export request in protobuf", found=found
    )


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a varint and where it ends.

    Raises
    ------
    MalformedSpanError
        If the data end within it, or it is too long.
    """
    value = 0
    for shift in range(VARINT_BYTES):
        if at + shift >= len(data):
            raise broken(found="its end within a number")
        byte = data[at + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < MORE:
            return value, at + shift + 1
    raise broken(found=f"a number of more than {VARINT_BYTES} bytes")


def fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (number, wire type, bytes) of each field of a message.

    Raises
    ------
    MalformedSpanError
        If `data` is no protobuf message.
    """
    at = 0
    while at < len(data):
        tag, begin = varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            _, end = varint(data, begin)
        elif wire == LENGTH:
            size, begin = varint(data, begin)
            end = begin + size
        elif wire in _FIXED:
            end = begin + _FIXED[wire]
        else:
            raise broken(found=f"a field of wire type {wire}")
        if end > len(data):
            raise broken(found=f"{len(data) - begin} of a field's {end - begin} bytes")
        yield tag >> 3, wire, data[begin:end]
        at = end


# --- values -----------------------------------------------------------------


def _plain(value: common_pb2.AnyValue) -> Any:
    """Return the plain value; of bytes, their base64, as JSON has it."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_plain(item) for item in inner.values]
    if kind == "kvlist_value":
        return _attributes(inner.values)
    if kind == "bytes_value":
        return base64.b64encode(inner).decode()
    return number(inner) if kind == "double_value" else inner


def _attributes(pairs: Any) -> Wire:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _identifier(value: bytes, size: int, place: str) -> str:
    if len(value) != size or not any(value):
        raise MalformedSpanError(
            place=place,
            expected=f"an id of {size} bytes that are not all zero",
            found=value.hex() or "nothing",
        )
    return value.hex()


def _span(data: bytes, resource: Wire, scope: Wire) -> Span:
    raw = trace_pb2.Span.FromString(data)
    parent = raw.parent_span_id
    return Span(
        trace_id=_identifier(raw.trace_id, TRACE_ID_BYTES, "trace_id"),
        span_id=_identifier(raw.span_id, SPAN_ID_BYTES, "span_id"),
        parent_id=_identifier(parent, SPAN_ID_BYTES, "parent_span_id")
        if parent
        else "",
        name=raw.name,
        kind=KINDS[raw.kind] if 0 <= raw.kind < len(KINDS) else str(raw.kind),
        started=time_of_nanos(raw.start_time_unix_nano, "start_time_unix_nano"),
        ended=time_of_nanos(raw.end_time_unix_nano, "end_time_unix_nano"),
        attributes=_attributes(raw.attributes),
        events=[
            Moment(
                name=event.name,
                at=time_of_nanos(event.time_unix_nano, "events.time_unix_nano"),
                attributes=_attributes(event.attributes),
            )
            for event in raw.events
        ],
        links=[
            Link(
                trace_id=_identifier(link.trace_id, TRACE_ID_BYTES, "links.trace_id"),
                span_id=_identifier(link.span_id, SPAN_ID_BYTES, "links.span_id"),
                attributes=_attributes(link.attributes),
            )
            for link in raw.links
        ],
        failed=raw.status.code == _ERROR,
        status=raw.status.message,
        resource=resource,
        scope=scope,
    )


def _record(data: bytes, resource: Wire, _: Wire) -> Record | None:
    raw = logs_pb2.LogRecord.FromString(data)
    attributes = _attributes(raw.attributes)
    name = raw.event_name or attributes.pop("event.name", None)
    name = name if isinstance(name, str) else ""
    if not raw.trace_id and not name.startswith("gen_ai."):
        return None
    nanos = raw.time_unix_nano or raw.observed_time_unix_nano
    span_id = raw.span_id
    return Record(
        trace_id=_identifier(raw.trace_id, TRACE_ID_BYTES, "trace_id"),
        span_id=_identifier(span_id, SPAN_ID_BYTES, "span_id") if span_id else "",
        said=Moment(
            name=name,
            at=time_of_nanos(nanos, "time_unix_nano"),
            attributes=attributes,
            body=_plain(raw.body),
        ),
        resource=resource,
    )


def _reader(data: memoryview) -> Callable[[bytes, Wire, Wire], Span | Record | None]:
    """Return what reads `data`: a span begins with its id, a log record with a time."""
    first = next(((n, wire) for n, wire, _ in fields(data)), (1, LENGTH))
    is_span = first[1] == LENGTH and first[0] < 5  # noqa: PLR2004 - 5: a log's body
    return _span if is_span else _record


# --- containers -------------------------------------------------------------


def _scope(data: memoryview) -> Wire:
    raw = common_pb2.InstrumentationScope.FromString(bytes(data))
    return without_null({"name": raw.name or None, "version": raw.version or None})


def _scoped(data: memoryview, resource: Wire, place: str) -> Iterator[Item]:
    """Yield the items of one ScopeSpans or ScopeLogs."""
    parts = list(fields(data))
    named = [part for number_, _, part in parts if number_ == _SCOPE]
    scope = _scope(named[-1]) if named else {}
    items = (part for number_, _, part in parts if number_ == _ITEMS)
    for index, item in enumerate(items):
        try:
            read = _reader(item)(bytes(item), resource, scope)
        except MalformedSpanError as error:
            yield error.within(f"{place}[{index}]")
        except (DecodeError, struct.error) as error:
            yield broken(found=str(error), place=f"{place}[{index}]")
        else:
            if read is not None:
                yield read


def items_of_resource(data: memoryview, place: str) -> Iterator[Item]:
    """Yield the items of one ResourceSpans or ResourceLogs, by its bytes."""
    try:
        parts = list(fields(data))
        resources = [part for number_, _, part in parts if number_ == _RESOURCE]
        resource = {}
        if resources:
            raw = resource_pb2.Resource.FromString(bytes(resources[-1]))
            resource = _attributes(raw.attributes)
        scopes = (part for number_, _, part in parts if number_ == _SCOPED)
        for index, scope in enumerate(scopes):
            yield from _scoped(scope, resource, f"{place}.scopes[{index}]")
    except MalformedSpanError as error:
        yield error.within(place)
    except DecodeError as error:
        yield broken(found=str(error), place=place)


def items_of(body: bytes) -> Iterator[Item]:
    """Yield the spans, log records and faults of an export request in protobuf."""
    try:
        for index, (number_, wire, part) in enumerate(fields(memoryview(body))):
            if (number_, wire) == (1, LENGTH):
                yield from items_of_resource(part, f"resources[{index}]")
    except MalformedSpanError as error:
        yield error
