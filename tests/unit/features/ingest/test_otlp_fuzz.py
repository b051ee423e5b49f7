from __future__ import annotations

import io
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import ingest
from features.events import AgentEvent
from features.ingest import openinference, otlp
from features.ingest._files.intake import Intake
from features.ingest._files.sources import Source
from features.ingest._otel.conventions import observed
from features.ingest._otel.spans import (
    Link,
    MalformedSpanError,
    Moment,
    Span,
)
from features.ingest._spans.observation import Observation

NAMES = [
    *("gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages"),
    *("gen_ai.system_instructions", "gen_ai.prompt", "gen_ai.completion"),
    *("gen_ai.prompt.0.role", "gen_ai.prompt.0.tool_calls.0.name"),
    *("gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.tool.name"),
    *("gen_ai.retrieval.documents", "gen_ai.usage.input_tokens", "gen_ai.usage.x"),
    *("gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "gen_ai.agent.id"),
    *("gen_ai.conversation.id", "gen_ai.response.model", "error.type", "events"),
    *("openinference.span.kind", "input.value", "output.value", "llm.model_name"),
    *("llm.input_messages.0.message", "llm.input_messages.0.message.contents.0"),
    *("llm.output_messages.1.message.tool_calls.0.tool_call", "llm.finish_reason"),
    *(
        "retrieval.documents.0.document",
        "tool.name",
        "tool.id",
        "llm.token_count.prompt",
    ),
    *("annotations.0.annotation.score", "trace.evaluations.0.evaluation", "session.id"),
    *("langfuse.observation.type", "langfuse.observation.usage_details"),
    *("langfuse.observation.cost_details", "langfuse.observation.input"),
    *("mlflow.spanType", "mlflow.spanInputs", "traceloop.entity.output"),
    *("ai.operationId", "ai.prompt", "ai.prompt.messages", "ai.response.toolCalls"),
    *("ai.toolCall.args", "ai.toolCall.result", "ai.usage.promptTokens"),
    *("gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"),
    *("pydantic_ai.all_messages", "final_result", "tool_arguments", "user.id"),
    *("escalation.task.id", "escalation.self.confidence", "escalation.verifier.score"),
]
FIELDS = [
    *(
        "role",
        "parts",
        "content",
        "type",
        "id",
        "name",
        "arguments",
        "response",
        "text",
    ),
    *("tool_calls", "function", "finish_reason", "messages", "contents", "config"),
    *("toolCallId", "toolName", "input", "output", "message", "choices", "logprobs"),
    *(
        "function_call",
        "functionResponse",
        "args",
        "thought",
        "usage_metadata",
        "system",
    ),
    *("input_tokens", "total", "avg_logprobs", "score", "label", "annotator_kind"),
]
WORDS = [
    *("chat", "execute_tool", "retrieval", "invoke_agent", "LLM", "TOOL", "EVALUATOR"),
    *("RETRIEVER", "AGENT", "text", "tool_call", "tool_call_response", "reasoning"),
    *(
        "generation",
        "tool",
        "ai.toolCall",
        "ai.generateText.doGenerate",
        "user",
        "model",
    ),
    *(
        "tool-call",
        "tool-result",
        "[",
        "{",
        "[]",
        '{"messages": [1]}',
        "nan",
        "1e999",
        "",
    ),
]
MOMENTS = [
    *("gen_ai.user.message", "gen_ai.choice", "gen_ai.tool.message", "exception"),
    *("gen_ai.content.prompt", "gen_ai.client.inference.operation.details"),
    *("gen_ai.evaluation.result", "odd"),
]
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(WORDS)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=12,
)


def packed(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


attributes = st.dictionaries(
    st.sampled_from(NAMES), values | values.map(packed), max_size=8
)
moments = st.builds(
    Moment,
    name=st.sampled_from(MOMENTS),
    attributes=attributes
    | st.dictionaries(st.sampled_from(FIELDS), values, max_size=3),
    body=values,
)
spans = st.builds(
    Span,
    trace_id=st.just("t"),
    span_id=st.sampled_from("abc"),
    parent_id=st.sampled_from(["", "p"]),
    attributes=attributes,
    events=st.lists(moments, max_size=3),
    links=st.lists(
        st.builds(Link, trace_id=st.just("T"), span_id=st.just("S")), max_size=2
    ),
    failed=st.booleans(),
    resource=st.dictionaries(st.just("service.name"), values),
)


def run(adapter: Any, log: bytes) -> tuple[list[AgentEvent], list[ingest.Refusal]]:
    refused: list[ingest.Refusal] = []
    source = Source(Path("log"), io.BytesIO(log))
    source.begin()
    events = list(adapter.events(Intake(source=source, on_refused=refused.append)))
    return events, refused


@given(span=spans)
def test_any_attributes_are_told(span: Span) -> None:
    """No type under any name is more than a value; nothing said is lost twice."""
    told = observed(span)
    assert isinstance(told, Observation)
    left = {k: v for k, v in span.attributes.items() if k in told.extra}
    assert all(type(told.extra[k]) is not Moment for k in left)


def any_value(value: Any) -> Any:
    """Return an AnyValue, of plain values or of anything."""
    return {"stringValue": value} if isinstance(value, str) else value


requests = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    inner: st.lists(
                        st.fixed_dictionaries(
                            {},
                            optional={
                                items: st.lists(
                                    st.fixed_dictionaries(
                                        {},
                                        optional={
                                            "traceId": st.just("1" * 32) | leaves,
                                            "spanId": st.just("2" * 16) | leaves,
                                            "startTimeUnixNano": leaves,
                                            "eventName": st.sampled_from(MOMENTS),
                                            "body": values.map(any_value),
                                            "status": values,
                                            "kind": leaves,
                                            "events": values,
                                            "attributes": attributes | values,
                                        },
                                    )
                                    | leaves,
                                    max_size=3,
                                )
                                | leaves
                            },
                        )
                        | leaves,
                        max_size=2,
                    )
                    | leaves
                },
            )
            | leaves,
            max_size=2,
        )
        | leaves
        for name, inner, items in (
            ("resourceSpans", "scopeSpans", "spans"),
            ("resourceLogs", "scopeLogs", "logRecords"),
        )
    },
)


@given(lines=st.lists(requests | values, max_size=3))
@pytest.mark.parametrize("adapter", [otlp, openinference])
def test_any_json_lands_or_is_refused(adapter: Any, lines: list[Any]) -> None:
    """No request crashes the adapters, and all that lands can be written back."""
    log = b"\n".join(orjson.dumps(line) for line in lines)
    events, refused = run(adapter, log)
    assert len({(e.task_id, e.event_id) for e in events}) == len(events)
    for event in events:
        orjson.dumps(event.to_json())
    assert all(refusal.error for refusal in refused)


records = st.fixed_dictionaries(
    {"context": st.just({"trace_id": "a", "span_id": "b"}), "span_kind": leaves},
    optional={
        "attributes": values | attributes,
        "start_time": leaves,
        "events": values,
        "links": values,
        "annotations": values,
        "status_code": leaves,
    },
)


@given(lines=st.lists(records, max_size=3))
def test_any_span_of_phoenix_lands_or_is_refused(lines: list[Any]) -> None:
    """The same of the spans that Phoenix exports."""
    events, refused = run(openinference, b"\n".join(map(orjson.dumps, lines)))
    assert bool(lines) == bool(events or refused)
    for event in events:
        orjson.dumps(event.to_json())


GOOD = bytes.fromhex("0a4b0a0012470a001243") + (
    b"\x0a\x10" + b"\x01" * 16 + b"\x12\x08" + b"\x02" * 8 + b"\x2a\x04chat"
    b"\x4a\x1f\x0a\x15gen_ai.operation.name\x12\x06\x0a\x04chat"
)


def test_sample_of_protobuf_is_sound() -> None:
    """What the next test breaks is a span with an attribute."""
    (told,) = otlp.observations(GOOD, is_protobuf=True)
    assert isinstance(told, Observation)
    assert told.extra == {"gen_ai.operation.name": "chat"}


@given(
    places=st.lists(
        st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4
    ),
    cut=st.integers(0, len(GOOD)),
)
@settings(max_examples=300)
def test_any_bytes_of_protobuf_are_told_or_refused(
    places: list[tuple[int, int]], cut: int
) -> None:
    """A message with any byte changed, or broken off anywhere, never raises."""
    broken = bytearray(GOOD)
    for place, byte in places:
        broken[place] = byte
    body = bytes(broken[:cut])
    for told in otlp.observations(body, is_protobuf=True):
        assert isinstance(told, Observation | MalformedSpanError)
    for file in (body, len(body).to_bytes(4, "big") + body, b"\0" + body):
        run(otlp, file)


# --- size -------------------------------------------------------------------


def span_with(attributes_: str) -> bytes:
    ids = f'"traceId": "{"1" * 32}", "spanId": "{"2" * 16}"'
    span = f'{{{ids}, "attributes": {attributes_}}}'
    return f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{span}]}}]}}]}}'.encode()


LARGE = {
    "a string of 10 MB": span_with(
        '[{"key": "gen_ai.prompt", "value": {"stringValue": "'
        + "x" * 10_000_000
        + '"}}]'
    ),
    "many attributes": span_with(
        "{" + ",".join(f'"k{i}": 1' for i in range(200_000)) + "}"
    ),
    "a long dotted name": span_with(
        '{"llm.input_messages.'
        + "0." * 500_000
        + '": 1, "openinference.span.kind": "LLM"}'
    ),
    "a far index": span_with('{"gen_ai.prompt.999999999.role": "user"}'),
    "deep JSON in text": span_with(
        '{"gen_ai.input.messages": "' + "[" * 500_000 + '"}'
    ),
}


def peak_of(work: Callable[[], Any]) -> int:
    """Return the most memory that `work` held at a time, in bytes."""
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", LARGE)
def test_large_request_is_told_without_copies_of_it(name: str) -> None:
    """Beyond what its decoding takes, no more is held than twice the request."""
    log = LARGE[name]

    def tell() -> None:
        for _ in otlp.observations(log, is_protobuf=False):
            pass

    assert peak_of(tell) < peak_of(lambda: orjson.loads(log)) + 2 * len(log) + 2**16


@pytest.mark.parametrize("name", LARGE)
def test_large_file_lands_or_is_refused_in_time(name: str) -> None:
    """No size or shape makes reading take more than seconds."""
    begun = time.perf_counter()
    events, refused = run(otlp, LARGE[name])
    assert events or refused
    assert time.perf_counter() - begun < 30
