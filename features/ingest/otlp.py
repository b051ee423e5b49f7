"""OpenTelemetry traces and logs: export requests of OTLP, and what SDKs print.

A file holds export requests in JSON (one per line, as the Collector's file exporter
writes, or one laid out over many lines), requests in protobuf (one, or each after its
length in four bytes, as the Collector writes), or spans and log records as the Python
SDK's console exporters print them. The spans of one task may be in several files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from features.events import AgentEvent
from features.ingest import _otlp_json, _sdk_json
from features.ingest._genai_records import Records
from features.ingest._intake import Intake
from features.ingest._observation import Observation
from features.ingest._otel import observed
from features.ingest._sources import MAX_LINE_BYTES, Line, Source
from features.ingest._spans import Item, MalformedSpanError, Record
from features.ingest._traces import traced

LOOKS_FOR = (
    "an object with `resourceSpans` or `resourceLogs`, a span of an OpenTelemetry SDK "
    "(`context`, `start_time`), or OTLP in protobuf"
)

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # none of which is in JSON
_LOOKED_AT = 256
_PREFIX = 4  # bytes of a length
_FIRST_FIELD = b"\n"  # tag of the first field, and only one, of a request


def fits(value: Any) -> bool:
    """Return whether `value` looks like a record of this format."""
    first = value[0] if isinstance(value, list) and value else value
    return _otlp_json.is_request(first) or _sdk_json.is_told(first)


def fits_binary(source: Source) -> bool:
    """Return whether a file looks like OTLP in protobuf, by its first bytes."""
    first = (source.blank + source.head[:1])[:1]
    if not first or first > _FIRST_FIELD:
        return False
    begin = source.beginning(_LOOKED_AT)
    tag = first if first == _FIRST_FIELD else begin[_PREFIX : _PREFIX + 1]
    return tag == _FIRST_FIELD and _CONTROL.search(begin) is not None


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file's spans, gathered by task."""
    is_binary = fits_binary(intake.source)
    items = _binary_items(intake) if is_binary else _json_items(intake)
    yield from traced(intake, _observed(intake, items))


def observations(
    body: bytes, *, is_protobuf: bool
) -> Iterator[Observation | MalformedSpanError]:
    """Yield what one export request tells, and what in it is malformed.

    Parameters
    ----------
    body : bytes
        The request, of traces or of logs, unpacked.
    is_protobuf : bool
        Whether it is protobuf; else JSON.
    """
    records = Records()
    for item in _items_of(body, is_protobuf=is_protobuf):
        if isinstance(item, MalformedSpanError):
            yield item
        else:
            yield from (
                records.add(item) if isinstance(item, Record) else [observed(item)]
            )
    yield from records.rest()


def _items_of(body: bytes, *, is_protobuf: bool) -> Iterator[Item]:
    if is_protobuf:
        # Half of the time that this package takes to import; most logs are JSON.
        from features.ingest import _otlp_protobuf  # noqa: PLC0415

        yield from _otlp_protobuf.items_of(body)
        return
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        yield MalformedSpanError(place="body", expected="JSON", found=str(error))
        return
    if _otlp_json.is_request(request):
        yield from _otlp_json.items_of(request)
    elif request != {}:
        yield _no_request(request)


def _no_request(value: Any) -> MalformedSpanError:
    expected = "an OTLP export request, with `resourceSpans` or `resourceLogs`"
    return MalformedSpanError(place="body", expected=expected, found=value)


# --- files ------------------------------------------------------------------


def _observed(
    intake: Intake, items: Iterable[tuple[int, Item]]
) -> Iterator[tuple[int, Observation]]:
    """Yield (line, what is told there); log records tell with the last of theirs."""
    records, line = Records(), intake.source.number
    for line, item in items:
        if isinstance(item, MalformedSpanError):
            intake.refuse(line, item)
        elif isinstance(item, Record):
            yield from ((line, told) for told in records.add(item))
        else:
            yield line, observed(item)
    yield from ((line, told) for told in records.rest())


def _json_items(intake: Intake) -> Iterator[tuple[int, Item]]:
    for line, value in _documents(intake):
        values = value if isinstance(value, list) else [value]
        for document in values:
            for item in _items_in(document):
                yield line, item


def _items_in(document: Any) -> Iterator[Item]:
    if _otlp_json.is_request(document):
        yield from _otlp_json.items_of(document)
    elif _sdk_json.is_told(document):
        yield from _sdk_json.items_of(document)
    elif document != {}:
        yield _no_request(document)


def _documents(intake: Intake) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) of each JSON document, on one line or on many."""
    if intake.source.is_array:
        yield from intake.records()
    else:
        yield from intake.decoded(_joined(intake.source.lines()))


def _joined(lines: Iterable[tuple[Line, bytes]]) -> Iterator[tuple[Line, bytes]]:
    """Yield (line, text) of documents, each of which begins at a line's first byte.

    Lines that begin with a blank or close a bracket belong to the document before.
    """
    begun, text = Line(1), bytearray()
    for line, piece in lines:
        if text and piece[:1] not in (b" ", b"\t", b"}", b"]"):
            yield begun, bytes(text)
            text.clear()
        if not text:
            begun = line
        text += piece[: MAX_LINE_BYTES + 1 - len(text)]
    if text:
        yield begun, bytes(text)


def _binary_items(intake: Intake) -> Iterator[tuple[int, Item]]:
    """Yield (number of the message, item) of a file in protobuf."""
    from features.ingest import _otlp_files as files  # noqa: PLC0415

    source = intake.source
    has_lengths = (source.blank + source.head[:1])[:1] != _FIRST_FIELD
    stream = files.Bytes(source.everything())
    messages = files.prefixed(stream) if has_lengths else files.fields_in(stream)
    for number, (offset, items) in enumerate(messages, start=1):
        for item in items:
            yield Line(number, offset), item
