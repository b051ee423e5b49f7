"""What the exports of products have in common: each is known, none can do harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.ingest import FORMATS, UnknownFormatError, detect

Take = Callable[..., Any]
Json = dict[str, Any]

SAID: Json = {"role": "user", "content": "hi"}
WHEN = "2026-01-01T00:00:00Z"
MLFLOW_SPAN: Json = {
    "span_id": "a",
    "attributes": {"mlflow.traceRequestId": '"tr"', "mlflow.spanInputs": '"hi"'},
}
RUN: Json = {
    "id": "a",
    "trace_id": "a",
    "run_type": "llm",
    "start_time": WHEN,
    "inputs": {"messages": [SAID]},
    "feedback_stats": {"k": {"avg": 1}},
}
OBSERVATION: Json = {
    "id": "a",
    "traceId": "t",
    "type": "GENERATION",
    "startTime": WHEN,
    "input": [SAID],
    "usageDetails": {"input": 1},
    "costDetails": {"input": 1},
}
SPAN: Json = {
    "object": "trace.span",
    "id": "a",
    "trace_id": "t",
    "started_at": WHEN,
    "span_data": {"type": "generation", "input": [SAID], "usage": {"input_tokens": 1}},
}

# One record of each shape that each format comes in.
RECORDS: dict[str, list[Json]] = {
    "openai-agents": [
        SPAN,
        {"object": "trace", "id": "t", "group_id": "g", "metadata": {"a": 1}},
        {"data": [SPAN]},
    ],
    "mlflow": [
        {
            "info": {"trace_id": "tr", "request_time": WHEN, "assessments": []},
            "data": {"spans": [MLFLOW_SPAN]},
        },
        {"info": {"request_id": "tr"}, "data": {"spans": []}},
        {"spans": [MLFLOW_SPAN]},
    ],
    "langsmith": [
        RUN,
        {"key": "k", "run_id": "a", "score": 1, "created_at": WHEN},
        {"post": [RUN], "patch": []},
    ],
    "langfuse": [
        OBSERVATION,
        {"id": "t", "timestamp": WHEN, "userId": "u", "observations": [OBSERVATION]},
        {"id": "s", "name": "k", "value": 1, "dataType": "NUMERIC", "traceId": "t"},
        {"batch": [{"type": "generation-create", "body": OBSERVATION}]},
    ],
}
SHAPES = [(name, record) for name, found in RECORDS.items() for record in found]


@pytest.mark.parametrize(("name", "record"), SHAPES)
def test_every_shape_is_told_from_every_other(
    name: str, record: Json, tmp_path: Path
) -> None:
    """A line, a list on a line and an array over many lines are all recognised."""
    path = tmp_path / "log"
    for text in (
        json.dumps(record),
        json.dumps([record]),
        json.dumps([record], indent=1),
        json.dumps(record, indent=1),
    ):
        path.write_text(text)
        assert detect(path) == name
    assert set(RECORDS) <= set(FORMATS)


@pytest.mark.parametrize(("name", "record"), SHAPES)
def test_every_shape_lands(name: str, record: Json, take: Take) -> None:
    """Nothing of what is recognised is refused, and the words are heard."""
    landed = take(name, record)
    assert landed.refusals == []
    assert landed.events
    if "hi" in json.dumps(record):
        assert "hi" in [event.text for event in landed.events]


def test_what_is_none_of_them_is_not_guessed(tmp_path: Path) -> None:
    """An object like theirs without what makes it theirs is unknown."""
    path = tmp_path / "log"
    unknown: list[Json] = [{"id": "a"}, {"data": []}, {"batch": []}, {"info": {}}]
    for record in unknown:
        path.write_text(json.dumps(record))
        with pytest.raises(UnknownFormatError):
            detect(path)


# --- hostile input ----------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "x", "\0", "2026-01-01T00:00:00Z", "{", '{"a":', "[[1]]", "9e9"]
    ),
    st.lists(st.integers(0, 2), max_size=3),
    st.dictionaries(st.sampled_from(["id", "role", "type", "a"]), st.integers(0, 2)),
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside `value`."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = value
    elif isinstance(value, list):
        keys = range(len(value))
    return [way, *(found for k in keys for found in places(value[k], (*way, k)))]


def changed(value: Any, way: tuple[Any, ...], odd: Any) -> Any:
    """Return `value` with `odd` at the end of the way."""
    if not way:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = changed(value[way[0]], way[1:], odd)
    return copy


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_field_may_be_anything(data: st.DataObject, take: Take) -> None:
    """Whatever stands anywhere, the record lands or is refused, and its neighbour lands."""
    name, record = data.draw(st.sampled_from(SHAPES))
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from(places(record)))
        record = changed(record, way, data.draw(ODD))
    good = {
        "openai-agents": {**SPAN, "id": "good", "trace_id": "good"},
        "mlflow": {
            "info": {"trace_id": "good"},
            "data": {"spans": [{**MLFLOW_SPAN, "span_id": "b"}]},
        },
        "langsmith": {**RUN, "id": "good", "trace_id": "good"},
        "langfuse": {**OBSERVATION, "id": "good", "traceId": "good"},
    }[name]
    landed = take(name, record, good)
    assert "hi" in [e.text for e in landed.events if e.task_id == "good"]
    assert all(refusal.error for refusal in landed.refusals)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(data=st.data())
def test_any_bytes_are_refused_line_by_line(data: st.DataObject, take: Take) -> None:
    """Invalid UTF-8, NaN and half a value cost their line alone."""
    name = data.draw(st.sampled_from(sorted(RECORDS)))
    noise = data.draw(st.binary(max_size=20).filter(lambda b: b"\n" not in b))
    broken = [b'{"a": NaN}', b"\xff\xfe", b'{"a": "\\ud800', noise]
    landed = take(name, RECORDS[name][0], *broken)
    assert "hi" in [event.text for event in landed.events]
    assert len(landed.refusals) >= 3


def test_long_text_and_many_attributes_land_or_are_refused(take: Take) -> None:
    """Ten million characters are over the limit of an event; 1e5 attributes are not."""
    long = {**SPAN, "id": "long", "trace_id": "long"}
    long["span_data"] = {"type": "generation", "input": "x" * 10**7}
    many = {**RUN, "id": "many", "extra": {str(n): n for n in range(10**5)}}
    landed = take("openai-agents", SPAN, long)
    assert {refusal.field for refusal in landed.refusals} == {"event"}
    assert landed["a.in0"].text == "hi"
    assert take("langsmith", many).refusals == []
