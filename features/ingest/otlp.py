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

from features.events import AgentEvent
from features.ingest._files.arrays import elements
from features.ingest._files.intake import Intake
from features.ingest._files.sources import (
    MAX_LINE_BYTES,
    MAX_WEIGHT,
    Line,
    MalformedLineError,
    Source,
    decode,
)
from features.ingest._files.weight import is_heavy
from features.ingest._otel import otlp_json, sdk_json
from features.ingest._otel.conventions import observed
from features.ingest._otel.genai_records import Records
from features.ingest._otel.otlp_parts import parts_of
from features.ingest._otel.spans import Item, MalformedSpanError, Record
from features.ingest._spans.observation import Observation
from features.ingest._spans.traces import traced

LOOKS_FOR = (
    "an object with `resourceSpans` or `resourceLogs`, a span of an OpenTelemetry SDK "
    "(`context`, `start_time`), or OTLP in protobuf"
)

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # none of which is in JSON
_REQUEST = re.compile(rb'\s*\{\s*"resource_?(?:Spans|Logs|spans|logs)"')
_LOOKED_AT = 256
_PREFIX = 4  # bytes of a length
_FIRST_FIELD = b"\n"  # tag of the first field, and only one, of a request


def fits(value: Any) -> bool:
    """Return whether `value` looks like a record of this format."""
    first = value[0] if isinstance(value, list) and value else value
    return otlp_json.is_request(first) or sdk_json.is_told(first)


def fits_bytes(source: Source) -> bool:
    """Return whether a file is of this format by its first bytes, undecoded.

    So are protobuf, and a request in JSON that is too large to be decoded whole.
    """
    return _REQUEST.match(source.head[:_LOOKED_AT]) is not None or _is_binary(source)


def _is_binary(source: Source) -> bool:
    first = (source.blank + source.head[:1])[:1]
    if not first or first > _FIRST_FIELD:
        return False
    begin = source.beginning(_LOOKED_AT)
    tag = first if first == _FIRST_FIELD else begin[_PREFIX : _PREFIX + 1]
    return tag == _FIRST_FIELD and _CONTROL.search(begin) is not None


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file's spans, gathered by task."""
    is_binary = _is_binary(intake.source)
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
        from features.ingest._otel import otlp_protobuf  # noqa: PLC0415

        yield from otlp_protobuf.items_of(body)
        return
    try:
        yield from _items_in(body)
    except MalformedLineError as error:
        yield MalformedSpanError(
            place="body", expected=error.expected, found=error.found
        )


def _items_in(text: bytes) -> Iterator[Item]:
    """Yield what the JSON `text` holds; of a large request, span by span.

    Raises
    ------
    MalformedLineError
        If it is no JSON, or too large.
    """
    if is_heavy(text, MAX_WEIGHT):
        parts = parts_of(text)
        if otlp_json.is_request(parts.request):
            yield from otlp_json.items_of(parts.request, parts.item)
        else:
            yield _no_request(parts.request)
        return
    value = decode(text)
    for document in value if isinstance(value, list) else [value]:
        if otlp_json.is_request(document):
            yield from otlp_json.items_of(document)
        elif sdk_json.is_told(document):
            yield from sdk_json.items_of(document)
        elif document != {}:
            yield _no_request(document)


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
    source, line = intake.source, Line(intake.source.number)
    try:
        for line, text in elements(source) if source.is_array else _joined(source):
            try:
                for item in _items_in(text):
                    yield line, item
            except MalformedLineError as error:
                intake.refuse(line, error)
    except MalformedLineError as error:  # of the array itself
        intake.refuse(line, error)


def _joined(source: Source) -> Iterator[tuple[Line, bytes]]:
    """Yield (line, text) of documents, each of which begins at a line's first byte.

    Lines that begin with a blank or close a bracket belong to the document before.
    """
    pieces: list[bytes] = []
    begun, size = Line(1), 0
    for line, piece in source.lines():
        if pieces and piece[:1] not in (b" ", b"\t", b"}", b"]"):
            yield begun, _whole(pieces)
            pieces, size = [], 0
        begun = begun if pieces else line
        if size <= MAX_LINE_BYTES:  # one piece more suffices to refuse it
            pieces.append(piece)
        size += len(piece)
        del piece  # held once, however large
    if pieces:
        yield begun, _whole(pieces)


def _whole(pieces: list[bytes]) -> bytes:
    """Return `pieces` joined, and let go of them."""
    whole = pieces.pop() if len(pieces) == 1 else b"".join(pieces)
    pieces.clear()
    return whole


def _binary_items(intake: Intake) -> Iterator[tuple[int, Item]]:
    """Yield (number of the message, item) of a file in protobuf."""
    from features.ingest._otel import otlp_files as files  # noqa: PLC0415

    source = intake.source
    has_lengths = (source.blank + source.head[:1])[:1] != _FIRST_FIELD
    stream = files.Bytes(source.everything())
    messages = files.prefixed(stream) if has_lengths else files.fields_in(stream)
    for number, (offset, items) in enumerate(messages, start=1):
        for item in items:
            yield Line(number, offset), item
