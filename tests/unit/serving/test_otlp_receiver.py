"""The OTLP addresses: what an exporter may send, and what it is answered."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from serving.api.app import make_api

with warnings.catch_warnings():
    # The test client would rather have another HTTP library, and says so.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

LIMIT = 4096
JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}
TASK = "conversation-1"


@pytest.fixture
def client(desk: Any) -> Iterator[TestClient]:
    """Call a receiver over the engine of the desk."""
    api = make_api(desk.engine, max_export_bytes=LIMIT)
    with TestClient(api, base_url="http://127.0.0.1:3000") as client:
        yield client


def request(trace_id: str = "1" * 32) -> dict[str, Any]:
    """Return an export of one model's span."""
    said = '[{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]'
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": TASK,
        "gen_ai.input.messages": said,
    }
    span = {
        "traceId": trace_id,
        "spanId": "2" * 16,
        "name": "chat",
        "attributes": [
            {"key": key, "value": {"stringValue": value}} for key, value in told.items()
        ],
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def protobuf(trace_id: bytes = b"\1" * 16) -> bytes:
    """Return the same in protobuf."""
    export = ExportTraceServiceRequest()
    span = export.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = trace_id, b"\2" * 8, "chat"
    for pair in request()["resourceSpans"][0]["scopeSpans"][0]["spans"][0][
        "attributes"
    ]:
        told = span.attributes.add()
        told.key, told.value.string_value = pair["key"], pair["value"]["stringValue"]
    return export.SerializeToString()


def texts(desk: Any) -> list[str]:
    """Return what the user said in the task."""
    return [e.text for e in desk.engine.log(TASK) if e.kind == "user_message"]


def refused(answer: Any, status: int, slug: str) -> str:
    """Return why a request was refused, held against status and type."""
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert problem["type"] == f"urn:escalon:problem:{slug}"
    return str(problem["detail"])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_export_is_taken_and_answered_in_its_own_form(
    desk: Any, client: TestClient, form: str, *, packed: bool
) -> None:
    """JSON or protobuf, gzipped or not: the span lands and the answer is empty."""
    body = orjson.dumps(request()) if form == "json" else protobuf()
    headers = dict(JSON if form == "json" else PROTOBUF)
    if packed:
        body, headers = gzip.compress(body), headers | {"content-encoding": "gzip"}
    answer = client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == headers["content-type"]
    assert answer.content == (b"{}" if form == "json" else b"")
    assert texts(desk) == ["hi"]


def test_rejected_span_is_told_in_json(client: TestClient) -> None:
    """The answer counts it and names the field, what it must be and what it is."""
    answer = client.post("/v1/traces", json=request(trace_id="zz"))
    (partial,) = answer.json().values()
    assert partial["rejectedSpans"] == "1"
    assert "traceId` must be an id of 32 hex digits" in partial["errorMessage"]
    assert "found zz" in partial["errorMessage"]


def test_rejected_span_is_told_in_protobuf(client: TestClient) -> None:
    """An exporter that speaks protobuf reads the same of it."""
    answer = client.post("/v1/traces", content=protobuf(b"short"), headers=PROTOBUF)
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_spans == 1
    assert "trace_id` must be an id of 16 bytes" in told.error_message


def test_rejected_log_records_are_told_as_such(client: TestClient) -> None:
    """The address of logs answers with log records."""
    record = {"traceId": "zz", "eventName": "gen_ai.evaluation.result"}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    (partial,) = client.post("/v1/logs", json=logs).json().values()
    assert partial["rejectedLogRecords"] == "1"
    empty = client.post("/v1/logs", content=b"", headers=PROTOBUF)
    assert ExportLogsServiceResponse.FromString(empty.content).partial_success == (
        ExportLogsServiceResponse().partial_success
    )


def test_agent_that_lost_its_task_is_told_so(desk: Any, client: TestClient) -> None:
    """After the handover the exporter hears who has the task."""
    client.post("/v1/traces", json=request())
    desk.engine.escalate(TASK, by="user", reason="wants a person")
    later = request(trace_id="3" * 32)
    span = later["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["spanId"] = "4" * 16
    span["attributes"].append(
        {
            "key": "gen_ai.output.messages",
            "value": {"stringValue": '[{"role": "assistant", "content": "ok"}]'},
        }
    )
    (partial,) = client.post("/v1/traces", json=later).json().values()
    assert "stop: task 'conversation-1' belongs to queue" in partial["errorMessage"]


def test_other_content_is_refused(client: TestClient) -> None:
    """What is neither JSON nor protobuf is turned away, and told what would do."""
    answer = client.post("/v1/traces", content=b"x", headers={"content-type": "a/b"})
    says = refused(answer, 415, "not-json")
    assert (
        says
        == "expected content-type application/json or application/x-protobuf, found a/b"
    )


@pytest.mark.parametrize(
    ("body", "packing", "says"),
    [
        (b"no gzip", "gzip", "expected gzip, found"),
        (gzip.compress(b"{}" * 50)[:-9], "gzip", "expected the whole gzip"),
        (b"{}", "zstd", "expected content-encoding gzip or none, found 'zstd'"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(
    client: TestClient, body: bytes, packing: str, says: str
) -> None:
    """A broken or unknown compression is a problem that says what was expected."""
    headers = JSON | {"content-encoding": packing}
    answer = client.post("/v1/traces", content=body, headers=headers)
    assert says in refused(answer, 400, "malformed-export")


@pytest.mark.parametrize("packed", [False, True])
def test_export_over_the_limit_is_refused(client: TestClient, *, packed: bool) -> None:
    """The limit counts what was unpacked, so a small bomb does not pass it."""
    body: bytes = b" " * (LIMIT + 1)
    headers = JSON | ({"content-encoding": "gzip"} if packed else {})
    sent = gzip.compress(body) if packed else body
    answer = client.post("/v1/traces", content=sent, headers=headers)
    refused(answer, 413, "body-too-large")
    assert answer.json()["limit_bytes"] == LIMIT


def test_body_that_is_no_json_is_told(client: TestClient) -> None:
    """A request that cannot be read is rejected in the protocol's own words."""
    answer = client.post("/v1/traces", content=b"{no", headers=JSON)
    (partial,) = answer.json().values()
    assert "`body` must be one JSON value in UTF-8" in partial["errorMessage"]


def test_page_of_another_site_cannot_export(desk: Any, client: TestClient) -> None:
    """A browser that some page makes send spans is turned away."""
    headers = JSON | {
        "origin": "https://elsewhere.example",
        "sec-fetch-site": "cross-site",
    }
    answer = client.post("/v1/traces", json=request(), headers=headers)
    refused(answer, 403, "foreign-page")
    assert texts(desk) == []
