from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from features import ingest
from features.ingest import otlp
from features.ingest._files import sources as _sources
from features.ingest._otel import otlp_files as _otlp_files
from features.ingest._otel.conventions import observed as observed_span
from features.ingest._otel.genai_records import Records
from features.ingest._otel.otlp_json import items_of
from features.ingest._otel.spans import MalformedSpanError, Record, Span
from features.ingest._spans.observation import Observation, What

Take = Callable[..., Any]
TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "a" * 16
NANOS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
PROMPT = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}])


def value(plain: Any) -> dict[str, Any]:
    """Return the AnyValue of a plain one."""
    match plain:
        case bool():
            return {"boolValue": plain}
        case int():
            return {"intValue": str(plain)}
        case float():
            return {"doubleValue": plain}
        case str():
            return {"stringValue": plain}
        case list():
            return {"arrayValue": {"values": [value(item) for item in plain]}}
        case _:
            return {"kvlistValue": {"values": pairs(plain)}}


def pairs(plain: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": k, "value": value(v)} for k, v in plain.items()]


def span(plain: dict[str, Any] | None = None, /, **more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "chat",
        "startTimeUnixNano": str(NANOS),
        "endTimeUnixNano": str(NANOS + 1_500_000_000),
        "attributes": pairs(plain or {}),
    } | more


def traces(*spans: Any, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    scope = {"scope": {"name": "me", "version": "1"}, "spans": list(spans)}
    of = {"attributes": pairs(resource or {})}
    return {"resourceSpans": [{"resource": of, "scopeSpans": [scope]}]}


def logs(*records: Any) -> dict[str, Any]:
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}


def record(name: str, body: Any = None, **more: Any) -> dict[str, Any]:
    said = {} if body is None else {"body": value(body)}
    at = {"timeUnixNano": str(NANOS)}
    return {"eventName": name, "traceId": TRACE, "spanId": SPAN} | said | at | more


def protobuf(request: dict[str, Any]) -> bytes:
    """Return the same request in protobuf."""
    message = (
        trace_service_pb2.ExportTraceServiceRequest()
        if "resourceSpans" in request
        else logs_service_pb2.ExportLogsServiceRequest()
    )
    _fill(message, _snake(request))
    return bytes(message.SerializeToString())


def _snake(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_snake(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    names = ("".join(f"_{c.lower()}" if c.isupper() else c for c in k) for k in plain)
    return dict(zip(names, map(_snake, plain.values()), strict=True))


def _fill(message: Any, fields: dict[str, Any]) -> None:
    for name, plain in fields.items():
        if name.endswith("_id"):
            setattr(message, name, bytes.fromhex(plain))
        elif isinstance(plain, dict):
            getattr(message, name).SetInParent()
            _fill(getattr(message, name), plain)
        elif isinstance(plain, list):
            for item in plain:
                _fill(getattr(message, name).add(), item)
        else:
            number = name == "int_value" or name.endswith("_nano")
            setattr(message, name, int(plain) if number else plain)


def prefixed(*messages: bytes) -> bytes:
    return b"".join(len(m).to_bytes(4, "big") + m for m in messages)


# --- values and ids ---------------------------------------------------------


def only(request: dict[str, Any]) -> Any:
    (item,) = items_of(request)
    return item


VALUES: dict[str, Any] = {
    "text": "é",
    "truth": True,
    "whole": -(2**62),
    "half": 0.5,
    "list": ["a", 1, [2.5]],
    "object": {"a": {"b": [True]}},
    "odd name.with.dots": "x",
}


def test_json_and_protobuf_tell_the_same_span() -> None:
    """Every kind of value, events, links, status, resource and scope are the same."""
    request = traces(
        span(
            VALUES,
            parentSpanId=PARENT,
            kind=3,
            status={"code": 2, "message": "boom"},
            events=[
                {"name": "e", "timeUnixNano": str(NANOS), "attributes": pairs(VALUES)}
            ],
            links=[{"traceId": TRACE, "spanId": PARENT, "attributes": pairs(VALUES)}],
        ),
        resource=VALUES,
    )
    told = only(request)
    assert isinstance(told, Span)
    assert told.attributes == told.resource == told.events[0].attributes == VALUES
    assert told.links[0].attributes == VALUES
    assert (told.trace_id, told.span_id, told.parent_id) == (TRACE, SPAN, PARENT)
    assert (told.kind, told.failed, told.status) == ("client", True, "boom")
    assert told.scope == {"name": "me", "version": "1"}
    assert told.started is not None
    assert told.ended is not None
    assert told.started.isoformat() == "2026-01-01T00:00:00+00:00"
    assert (told.ended - told.started).total_seconds() == 1.5
    from features.ingest._otel import otlp_protobuf as _otlp_protobuf  # noqa: PLC0415

    assert list(_otlp_protobuf.items_of(protobuf(request))) == [told]


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ({"intValue": "12"}, 12),
        ({"intValue": 12}, 12),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": "9" * 5000}, "9" * 5000),
        ({"intValue": "1.5"}, "1.5"),
        ({"intValue": "9999999999999999999"}, "9999999999999999999"),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"bytesValue": "Zm9v"}, "Zm9v"),
        ({"string_value": "x"}, "x"),
        ({"kvlist_value": {"values": [{"key": "a"}]}}, {"a": None}),
        ({"arrayValue": {}}, []),
        ({}, None),
        ({"newValue": 1}, {"newValue": 1}),
    ],
)
def test_value_in_any_spelling(raw: Any, plain: Any) -> None:
    """Numbers as text, snake case and kinds yet unknown are read or kept."""
    told = only(traces(span(attributes=[{"key": "k", "value": raw}])))
    assert told.attributes == {"k": plain}


def test_bytes_and_numbers_that_json_lacks_come_as_text_from_protobuf() -> None:
    """Bytes are base64; NaN and infinities are OTLP's words for them."""
    request = traces(span({"a": float("nan"), "b": float("inf"), "c": float("-inf")}))
    message = trace_service_pb2.ExportTraceServiceRequest.FromString(protobuf(request))
    told = message.resource_spans[0].scope_spans[0].spans[0]
    told.attributes.add(key="d").value.bytes_value = b"\xff\x00"
    told.attributes.add(key="e").value.SetInParent()
    told.kind = 9
    (one,) = otlp.observations(message.SerializeToString(), is_protobuf=True)
    assert isinstance(one, Observation)
    assert {k: one.extra[k] for k in "abcd"} == {
        "a": "NaN",
        "b": "Infinity",
        "c": "-Infinity",
        "d": "/wA=",
    }


@pytest.mark.parametrize(
    ("change", "kind", "failed"),
    [
        ({"kind": "SPAN_KIND_SERVER"}, "server", False),
        ({"kind": 0}, "", False),
        ({"kind": 77}, "77", False),
        ({"kind": None}, "", False),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, "", True),
        ({"status": {"code": 1}}, "", False),
        ({"status": "odd"}, "", False),
    ],
)
def test_enums_as_numbers_and_names(change: Any, kind: str, failed: Any) -> None:
    """Kind and status are read either way."""
    told = only(traces(span(**change)))
    assert (told.kind, told.failed) == (kind, failed)


def test_time_of_zero_is_not_known() -> None:
    """OTLP has no other word for a time that is missing."""
    told = only(traces(span(startTimeUnixNano="0", endTimeUnixNano=0)))
    assert (told.started, told.ended) == (None, None)


def test_ids_as_hex_and_as_base64() -> None:
    """Generic protobuf tools print ids in base64; upper case is the same id."""
    packed = {
        "traceId": base64.b64encode(bytes.fromhex(TRACE)).decode(),
        "spanId": base64.b64encode(bytes.fromhex(SPAN)).decode(),
    }
    for ids in (packed, {"traceId": TRACE.upper(), "spanId": "0x" + SPAN}):
        told = only(traces(span(**ids)))
        assert (told.trace_id, told.span_id) == (TRACE, SPAN)


def test_snake_case_and_older_names_are_read() -> None:
    """Other spellings of the containers tell the same."""
    told = only(traces(span({"a": 1})))
    assert only(_snake(traces(span({"a": 1})))) == told
    scope = {"instrumentationLibrary": {"name": "me", "version": "1"}}
    older = {"instrumentationLibrarySpans": [scope | {"spans": [span({"a": 1})]}]}
    assert only({"batches": [older]}) == told


# --- what is malformed ------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"traceId": None}, "traceId"),
        ({"traceId": "0" * 32}, "traceId"),
        ({"traceId": TRACE[1:]}, "traceId"),
        ({"traceId": "!" * 24}, "traceId"),
        ({"traceId": 5}, "traceId"),
        ({"spanId": "zz"}, "spanId"),
        ({"parentSpanId": "zz"}, "parentSpanId"),
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano"),
        ({"endTimeUnixNano": -1}, "endTimeUnixNano"),
        ({"endTimeUnixNano": 2**64}, "endTimeUnixNano"),
        ({"endTimeUnixNano": True}, "endTimeUnixNano"),
        ({"attributes": 5}, "attributes"),
        ({"attributes": [5]}, "attributes[0]"),
        ({"attributes": [{"value": {}}]}, "attributes[0].key"),
        ({"attributes": [{"key": "k", "value": 5}]}, "value"),
        ({"attributes": [{"key": "k", "value": {"arrayValue": 5}}]}, "arrayValue"),
        ({"events": [5]}, "events"),
        ({"links": [{"traceId": TRACE}]}, "links.spanId"),
    ],
)
def test_malformed_span_costs_itself_alone(
    take: Take, change: dict[str, Any], field: str
) -> None:
    """The refusal names line and field; the spans beside it land."""
    sound = [span({"a": 1}, spanId=c * 16) for c in "cd"]
    landed = take(
        "otlp", {"resourceSpans": []}, traces(sound[0], span(**change), sound[1])
    )
    (refusal,) = landed.refusals
    assert refusal.line == 2
    assert refusal.field == f"resourceSpans[0].scopeSpans[0].spans[1].{field}"
    assert refusal.expected
    assert refusal.found
    assert len([e for e in landed.events if e.kind == "span"]) == 2


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"resourceSpans": 5}, "resourceSpans"),
        ({"resourceSpans": [5]}, "resourceSpans[0]"),
        ({"resourceSpans": [{"scopeSpans": 5}]}, "resourceSpans[0].scopeSpans"),
        ({"resourceSpans": [{"scopeSpans": [5]}]}, "resourceSpans[0].scopeSpans[0]"),
        (
            {"resourceSpans": [{"scopeSpans": [{"spans": 5}]}]},
            "resourceSpans[0].scopeSpans[0]",
        ),
        ({"resourceLogs": [{"scopeLogs": [{"logRecords": [5]}]}]}, None),
    ],
)
def test_malformed_container_is_refused(request_: Any, field: str | None) -> None:
    """Whatever a container is, it is read or refused."""
    fault = only(request_)
    assert isinstance(fault, MalformedSpanError)
    assert field in (None, fault.field)


def test_deep_value_is_refused() -> None:
    """A value within values is followed to a limit."""
    deep: Any = {"stringValue": "x"}
    for _ in range(80):
        deep = {"arrayValue": {"values": [deep]}}
    fault = only(traces(span(attributes=[{"key": "k", "value": deep}])))
    assert isinstance(fault, MalformedSpanError)
    assert "levels deep" in str(fault)


def test_attributes_given_as_an_object_are_plain() -> None:
    """Some exporters write a plain object; it may be as deep as an event."""
    assert only(traces(span(attributes={"a": 1}))).attributes == {"a": 1}
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    for attributes in ({"a": deep}, [{"key": "a", "value": {"newValue": deep}}]):
        fault = only(traces(span(attributes=attributes)))
        assert isinstance(fault, MalformedSpanError)
        assert "levels of nesting" in str(fault)


def test_body_that_is_no_request_is_a_fault() -> None:
    """JSON that is broken or something else is told; an empty request is none."""
    for body in (b"{", b'{"a": 1}', b"5"):
        (fault,) = otlp.observations(body, is_protobuf=False)
        assert isinstance(fault, MalformedSpanError)
        assert fault.field == "body"
    for body in (b"{}", b"[]"):
        assert list(otlp.observations(body, is_protobuf=False)) == []


# --- protobuf ---------------------------------------------------------------

GOOD = traces(span({"acme": "é"}), span({"a": 1}, spanId="c" * 16))


def faults(body: bytes) -> list[str]:
    told = otlp.observations(body, is_protobuf=True)
    return [str(item) for item in told if isinstance(item, MalformedSpanError)]


def test_span_in_protobuf_with_broken_text_costs_itself_alone() -> None:
    """Text that is no UTF-8 breaks one span, not the request."""
    body = protobuf(GOOD).replace("é".encode(), b"\xff\xfe")
    broken, sound = otlp.observations(body, is_protobuf=True)
    assert isinstance(broken, MalformedSpanError)
    assert "resources[0].scopes[0][0]" in broken.field
    assert isinstance(sound, Observation)


@pytest.mark.parametrize(
    ("ids", "field"),
    [
        ({"traceId": "ab"}, "trace_id"),
        ({"traceId": "0" * 32}, "trace_id"),
        ({"spanId": "ab"}, "span_id"),
        ({"parentSpanId": "ab"}, "parent_span_id"),
        ({"links": [{"traceId": TRACE, "spanId": "ab"}]}, "links.span_id"),
    ],
)
def test_ids_of_another_length_are_refused(ids: Any, field: str) -> None:
    """An id in protobuf has its number of bytes, not all zero."""
    (fault,) = faults(protobuf(traces(span(**ids))))
    assert fault.split("`")[1].endswith(field)


@pytest.mark.parametrize(
    "body",
    [
        b"\n",
        b"\xff" * 11,
        b"\x0f\x00",
        b"\x0a\x05ab",
        b"\x0a\x02\x12\x05",
        b"\x0a\x02\x0a\x01",
        b"\x0a\x04\x12\x02\x12\x07",
        b"\x0a\x05\x0a\x03\x0a\x01\xff",
        b"\x0d\x01",
        b"\x09\x01",
    ],
)
def test_bytes_that_are_no_message_are_a_fault(body: bytes) -> None:
    """Whatever the bytes are, they are told and never raised."""
    (fault,) = faults(body)
    assert "protobuf" in fault


def test_fields_of_other_messages_are_passed_over() -> None:
    """Numbers, fixed words and unknown fields of a request say nothing."""
    body = b"\x10\x01" + b"\x19" + bytes(8) + b"\x25" + bytes(4) + protobuf(GOOD)
    assert len(list(otlp.observations(body, is_protobuf=True))) == 2


# --- files ------------------------------------------------------------------


def kinds(landed: Any) -> list[str]:
    return [str(e.kind) for e in landed.events]


@pytest.mark.parametrize("log_format", ["auto", "otlp"])
@pytest.mark.parametrize(
    "file",
    [
        protobuf(GOOD),
        protobuf(traces(span())) + protobuf(traces(span(spanId="c" * 16))),
        prefixed(protobuf(traces(span())), protobuf(traces(span(spanId="c" * 16)))),
        json.dumps(GOOD).encode(),
        json.dumps(GOOD, indent=2).encode(),
        json.dumps(traces(span())).encode()
        + b"\n"
        + json.dumps(traces(span(spanId="c" * 16)), indent=1).encode(),
        json.dumps([GOOD]).encode(),
        json.dumps([traces(span()), traces(span(spanId="c" * 16))], indent=1).encode(),
        b"\n \n" + json.dumps(GOOD).encode(),
        gzip.compress(protobuf(GOOD)),
    ],
)
def test_file_in_any_container(tmp_path: Path, file: bytes, log_format: str) -> None:
    """Protobuf and JSON, one request or many, packed or laid out, are all told apart."""
    path = tmp_path / "export"
    path.write_bytes(file)
    refused: list[ingest.Refusal] = []
    events = list(ingest.read(log_format, [path], on_refused=refused.append))
    assert refused == []
    assert [str(e.kind) for e in events] == ["task_started", "span", "span"]
    assert ingest.detect(path) == "otlp"


def test_empty_file_holds_nothing(take: Take) -> None:
    """Named as this format, a file without anything is no error."""
    landed = take("otlp")
    assert (landed.events, landed.refusals) == ([], [])


def test_spans_in_two_files_are_one_task(tmp_path: Path) -> None:
    """Log records in one file and spans in another make one log."""
    (tmp_path / "a").write_bytes(
        protobuf(logs(record("gen_ai.user.message", {"content": "hi"})))
    )
    request = traces(span({"gen_ai.operation.name": "chat", "session.id": "c-1"}))
    (tmp_path / "b").write_text(json.dumps(request))
    paths = [tmp_path / "a", tmp_path / "b"]
    events = list(ingest.read("auto", paths, on_refused=print))
    assert {e.task_id for e in events} == {"c-1"}
    assert [e.text for e in events if e.kind == "user_message"] == ["hi"]


def test_document_that_is_broken_costs_itself_alone(take: Take) -> None:
    """Documents over several lines end where the next one begins."""
    broken = b'{"resourceSpans": [\n  5,\n'
    more = json.dumps(traces(span(spanId="c" * 16)), indent=1)
    landed = take("otlp", json.dumps(traces(span())), broken, more, {}, {"a": 1})
    first, second = landed.refusals
    assert (first.line, second.line) == (2, 5 + more.count("\n") + 2)
    assert second.field == "body"
    assert kinds(landed) == ["task_started", "span", "span"]


def test_message_cut_short_is_refused(tmp_path: Path) -> None:
    """What comes before the end of a file that breaks off has landed."""
    whole = protobuf(traces(span()))
    for file, expected in (
        (
            prefixed(whole) + prefixed(whole)[:-3],
            f"{len(whole) - 3} of {len(whole)} bytes",
        ),
        (whole + whole[:-3], "bytes"),
        (whole + b"\x0a", "its end"),
        (whole + b"\xff\x01", "a field of tag 255"),
        (whole + b"\x0a" + b"\xff" * 11, "a number of more than 10 bytes"),
    ):
        path = tmp_path / "export"
        path.write_bytes(file)
        refused: list[ingest.Refusal] = []
        events = list(ingest.read("otlp", [path], on_refused=refused.append))
        (refusal,) = refused
        assert expected in str(refusal.found)
        assert refusal.offset is not None
        assert len(events) == 2


def test_message_too_large_is_read_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message over the limit is refused by its length; the next one lands."""
    monkeypatch.setattr(_otlp_files, "MAX_LINE_BYTES", 1000)
    large = protobuf(traces(span({"a": "x" * 70_000})))
    small = protobuf(traces(span()))
    for file in (prefixed(large, small), large + small):
        path = tmp_path / "export"
        path.write_bytes(file)
        refused: list[ingest.Refusal] = []
        events = list(ingest.read("otlp", [path], on_refused=refused.append))
        (refusal,) = refused
        assert "at most 1000 bytes" in refusal.error
        assert len(events) == 2


def test_document_too_large_is_refused(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document over several lines is held up to the limit and no further."""
    monkeypatch.setattr(_sources, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(otlp, "MAX_LINE_BYTES", 1000)
    large = json.dumps(traces(span({"a": "x" * 100, "b": ["y" * 300] * 9})), indent=1)
    landed = take("otlp", json.dumps(traces(span())), large)
    (refusal,) = landed.refusals
    assert (refusal.line, len(landed.events)) == (2, 2)
    assert "at most 1000 bytes" in refusal.error


# --- requests too large to decode whole -------------------------------------


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any request of more than a few spans be too large for memory."""
    monkeypatch.setattr(_sources, "MAX_WEIGHT", 20_000)
    monkeypatch.setattr(otlp, "MAX_WEIGHT", 20_000)


def many(count: int) -> list[dict[str, Any]]:
    tricky = {"spans": ["[", '"spans": [1]', "]", {"spans": "\\"}]}
    return [span(tricky, spanId=f"{n:016x}") for n in range(1, count + 1)]


@pytest.mark.usefixtures("heavy")
def test_large_request_is_read_span_by_span(take: Take) -> None:
    """What would not fit decoded lands all the same, and tells what it would have."""
    request = traces(*many(30), resource={"service.name": "shop"})
    request["resourceSpans"] += traces(*many(40)[30:])["resourceSpans"]
    request["resourceSpans"][0]["scopeSpans"].insert(0, {"spans": []})
    request |= logs(*[record("gen_ai.user.message", {"content": "hi"})] * 3)
    for text in (json.dumps(request), json.dumps(request, separators=(",", ":"))):
        told = list(otlp.observations(text.encode(), is_protobuf=False))
        assert [t.span_id for t in told[:40]] == [f"{n:016x}" for n in range(1, 41)]  # type: ignore[union-attr]
        whole = [
            observed_span(item) for item in items_of(request) if isinstance(item, Span)
        ]
        assert told[:40] == whole
        assert [len(t.inputs) for t in told[40:]] == [3]  # type: ignore[union-attr]
        landed = take("auto", text)
        assert landed.refusals == []
        assert len([e for e in landed.events if e.kind == "span"]) == 40


@pytest.mark.usefixtures("heavy")
def test_span_too_large_or_broken_costs_itself_alone(take: Take) -> None:
    """Of a request read span by span, too, only what is malformed is refused."""
    spans = many(30)
    spans[3]["attributes"] = [{}] * 500
    text = json.dumps(traces(*spans)).replace('"spanId": "' + f"{9:016x}" + '"', "oops")
    landed = take("otlp", text)
    first, second = landed.refusals
    assert first.field == "resourceSpans[0].scopeSpans[0].spans[3]"
    assert "bytes of memory" in first.error
    assert second.field == "resourceSpans[0].scopeSpans[0].spans[8]"
    assert "JSON" in second.error
    assert len([e for e in landed.events if e.kind == "span"]) == 28


@pytest.mark.usefixtures("heavy")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(traces(*many(30)))[:-5], "JSON"),
        (json.dumps(traces(*many(30)))[:-500], "JSON"),
        (json.dumps(traces(span({"a": ["x"] * 500})))[:-200], "JSON"),
        ('{"spans": [' * 5000, "JSON"),
        ('{"spans": [' + "1," * 5000, "values of no size"),
        ('{"spans": ["' + '\\"' * 50_000, "JSON"),
        (json.dumps({"resourceSpans": [{}] * 500}), "bytes of memory"),
        (
            json.dumps({"context": {"spans": [{"a": "x" * 40}] * 100}}),
            "OTLP export request",
        ),
    ],
)
def test_large_text_that_is_no_request_is_refused(
    take: Take, text: str, expected: str
) -> None:
    """What is broken, or too large even without its spans, is refused as a whole."""
    landed = take("otlp", text)
    (refusal,) = landed.refusals
    assert expected in refusal.error


def test_array_that_is_not_closed_is_refused(take: Take) -> None:
    """What an array held before it broke off has landed."""
    text = json.dumps([traces(span()), 5, 6], indent=1)
    first, second = take("otlp", text[:-2]).refusals
    assert first.field == "body"
    assert second.field == "array"


# --- what an SDK prints -----------------------------------------------------

PRINTED = {
    "name": "chat",
    "context": {"trace_id": "0x" + TRACE, "span_id": "0x" + SPAN, "trace_state": "[]"},
    "kind": "SpanKind.CLIENT",
    "parent_id": "0x" + PARENT,
    "start_time": "2026-01-01T00:00:00.000000Z",
    "end_time": "2026-01-01T00:00:01.500000Z",
    "status": {"status_code": "ERROR", "description": "boom"},
    "attributes": {"a": 1},
    "events": [
        {"name": "e", "timestamp": "2026-01-01T00:00:00Z", "attributes": {"b": 2}}
    ],
    "links": [{"context": {"trace_id": "0x" + TRACE, "span_id": "0x" + PARENT}}],
    "resource": {"attributes": {"service.name": "shop"}, "schema_url": ""},
}
PRINTED_RECORD = {
    "body": {"content": "hi"},
    "attributes": {"event.name": "gen_ai.user.message"},
    "timestamp": None,
    "observed_timestamp": "2026-01-01T00:00:00Z",
    "trace_id": "0x" + TRACE,
    "span_id": "0x" + SPAN,
    "resource": None,
}


def test_printed_span_is_the_exported_one(take: Take) -> None:
    """What the console exporter prints tells what OTLP tells."""
    sent = span(
        {"a": 1},
        kind=3,
        parentSpanId=PARENT,
        status={"code": 2, "message": "boom"},
        events=[{"name": "e", "timeUnixNano": NANOS, "attributes": pairs({"b": 2})}],
        links=[{"traceId": TRACE, "spanId": PARENT}],
    )
    exported = take("otlp", traces(sent, resource={"service.name": "shop"}))
    for printed in (json.dumps(PRINTED), json.dumps(PRINTED, indent=4)):
        landed = take("auto", printed, json.dumps(PRINTED | {"context": {}}))
        assert [e.to_json() for e in landed.events] == [
            e.to_json() for e in exported.events
        ]
        (refusal,) = landed.refusals
        assert refusal.field == "trace_id"


def test_printed_record_is_read(take: Take) -> None:
    """Log records that an SDK prints tell their span's messages."""
    landed = take("auto", PRINTED_RECORD, PRINTED_RECORD | {"span_id": "x"})
    assert [e.text for e in landed.events if e.kind == "user_message"] == ["hi"]
    (refusal,) = landed.refusals
    assert refusal.field == "span_id"
    assert not otlp.fits("x")


def test_printed_span_nested_too_deeply_is_refused(take: Take) -> None:
    """What could not be stored is refused where it is read."""
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    landed = take("otlp", PRINTED | {"attributes": {"a": deep}}, PRINTED)
    (refusal,) = landed.refusals
    assert "levels of nesting" in refusal.error
    assert len(landed.events) == 2


# --- log records ------------------------------------------------------------


def observed(*records: Any) -> list[Observation]:
    told = list(
        otlp.observations(json.dumps(logs(*records)).encode(), is_protobuf=False)
    )
    assert all(isinstance(item, Observation) for item in told)
    return told  # type: ignore[return-value]


def test_records_of_a_span_are_one_piece_of_it() -> None:
    """Messages are gathered until the answer; without one, to the end."""
    ask = record("gen_ai.user.message", {"content": "hi"})
    answer = record("gen_ai.choice", {"index": 0, "message": {"content": "ho"}})
    other = record("gen_ai.user.message", {"content": "yo"}, spanId=PARENT)
    whole, open_ = observed(ask, other, answer)
    assert (whole.span_id, whole.piece, whole.what) == (SPAN, ".log", What.MODEL)
    assert whole.inputs == [{"role": "user", "content": "hi"}]
    assert whole.outputs == [{"role": "assistant", "content": "ho", "index": 0}]
    assert (open_.span_id, open_.outputs) == (PARENT, [])
    body = protobuf(logs(ask, other, answer))
    assert list(otlp.observations(body, is_protobuf=True)) == [whole, open_]


def test_spans_without_an_answer_are_held_up_to_a_number() -> None:
    """Beyond it the oldest tells what it has."""
    records = Records()
    told = []
    for index in range(1, 1003):
        ask = record(
            "gen_ai.user.message", {"content": str(index)}, spanId=f"{index:016x}"
        )
        told += records.add(only(logs(ask)))
    assert [one.inputs[0]["content"] for one in told] == ["1", "2"]
    assert len(list(records.rest())) == 1000
    assert list(records.rest()) == []


def test_record_with_the_time_of_its_collection_alone() -> None:
    """Without a time of its own it has that at which it was seen, in protobuf too."""
    seen = {"timeUnixNano": "0", "observedTimeUnixNano": str(NANOS)}
    ask = record("gen_ai.user.message", {"content": "hi"}, **seen)
    (told,) = observed(ask)
    assert told.started is not None
    assert told.started.year == 2026
    del ask["timeUnixNano"]
    assert list(otlp.observations(protobuf(logs(ask)), is_protobuf=True)) == [told]


def test_details_record_tells_all_messages_of_a_span() -> None:
    """Messages are read, the rest is kept, and usage is left to the span."""
    attributes = {
        "gen_ai.input.messages": PROMPT,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.conversation.id": "c-1",
    }
    (told,) = observed(
        record(
            "gen_ai.client.inference.operation.details", attributes=pairs(attributes)
        )
    )
    assert (told.span_id, told.piece, told.task_id) == (SPAN, ".log", "c-1")
    assert told.inputs == [{"role": "user", "content": "hi"}]
    assert told.usage == {}
    assert told.extra == {"gen_ai.usage.input_tokens": 3}


def test_evaluation_record_is_of_the_span_it_names() -> None:
    """About the span, or the whole trace where it names none; twice is two."""
    attributes = pairs(
        {"gen_ai.evaluation.name": "ok", "gen_ai.evaluation.score.value": 1}
    )
    name = "gen_ai.evaluation.result"
    later = {"timeUnixNano": "0", "observedTimeUnixNano": str(NANOS + 1000)}
    told = observed(
        record(name, attributes=attributes),
        record(name, attributes=attributes, spanId=None),
        record(name, attributes=attributes, **later),
        record(name, attributes=attributes, timeUnixNano=None),
    )
    judged = [one.evaluations[0] for one in told]
    assert [j.about for j in judged] == [SPAN, None, SPAN, SPAN]
    assert judged[3].at is None
    assert len({j.key for j in judged}) == 4
    assert len({(one.span_id, one.piece) for one in told}) == 4


def test_other_records_are_kept_or_are_not_ours() -> None:
    """An event of the conventions is kept; a program's own log is not a task's."""
    raised = record(
        "gen_ai.client.operation.exception", attributes=pairs({"error.type": "X"})
    )
    (told,) = observed(raised, record("http.log"), {"body": value("plain")})
    assert told.what is What.OTHER
    assert told.extra == {"error.type": "X"}
    assert told.piece == ".gen_ai.client.operation.exception"


def test_event_name_as_an_attribute_is_its_name() -> None:
    """Older SDKs put the name into the attributes, in JSON and protobuf."""
    named = record(
        "", {"content": "hi"}, attributes=pairs({"event.name": "gen_ai.user.message"})
    )
    (told,) = observed(named)
    assert told.inputs == [{"role": "user", "content": "hi"}]
    assert list(otlp.observations(protobuf(logs(named)), is_protobuf=True)) == [told]


@pytest.mark.parametrize(
    "ids", [{"traceId": None}, {"traceId": "zz"}, {"spanId": "zz"}]
)
def test_record_without_a_trace_is_refused(ids: dict[str, Any]) -> None:
    """A judgement that names no trace belongs to nobody, and is told so."""
    (fault,) = items_of(logs(record("gen_ai.evaluation.result", **ids)))
    assert isinstance(fault, MalformedSpanError)
    assert fault.field.endswith(next(iter(ids)))


def test_record_in_protobuf_without_a_trace_is_refused() -> None:
    """The same of protobuf; a program's own log is passed over."""
    nobody = record("gen_ai.evaluation.result")
    del nobody["traceId"]
    plain = {"body": value("plain"), "timeUnixNano": str(NANOS)}
    (fault,) = faults(protobuf(logs(nobody, plain)))
    assert "trace_id" in fault


def test_record_is_of_its_resource() -> None:
    """Items keep what their process says of itself."""
    request = logs(record("gen_ai.user.message", {"content": "hi"}))
    request["resourceLogs"][0]["resource"] = {
        "attributes": pairs({"service.version": "7"})
    }
    told = only(request)
    assert isinstance(told, Record)
    assert told.resource == {"service.version": "7"}
