from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from features.ingest import mlflow

Take = Callable[..., Any]
Json = dict[str, Any]

NANOS = 1_767_225_600_000_000_000  # 2026-01-01
MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "yo"}}]}


def span(name: str, second: int, kind: str | None = None, **attributes: Any) -> Json:
    """Return a span of the current schema, its attributes as JSON."""
    said = {"mlflow.traceRequestId": "tr-1", "mlflow.spanType": kind, **attributes}
    return {
        "trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==",
        "span_id": name,
        "parent_span_id": "root",
        "name": name,
        "start_time_unix_nano": NANOS + second * 10**9,
        "end_time_unix_nano": NANOS + second * 10**9 + 5 * 10**8,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {k: json.dumps(v) for k, v in said.items() if v is not None},
        "links": [],
    }


def model(**attributes: Any) -> Json:
    said = {"mlflow.spanInputs": MESSAGES, "mlflow.spanOutputs": ANSWER}
    return span("gen", 1, "CHAT_MODEL", **{**said, **attributes})


def trace(*spans: Any, **info: Any) -> Json:
    head = {
        "trace_id": "tr-1",
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
        "execution_duration_ms": 9500,
        "trace_metadata": {
            "mlflow.trace.session": "s",
            "mlflow.trace.user": "u",
            "mlflow.modelId": "m-7",
        },
        "tags": {"mlflow.traceName": "support", "escalation.task.domain": "d"},
    }
    return {"info": {**head, **info}, "data": {"spans": list(spans)}}


def assessment(name: str, kind: str, value: Json, **beside: Any) -> Json:
    return {
        "assessment_id": f"a-{name}",
        "assessment_name": name,
        "trace_id": "tr-1",
        "source": {"source_type": kind, "source_id": "who"},
        "create_time": "2026-01-01T00:00:03Z",
        **value,
        **beside,
    }


def test_trace_tells_its_task_facts_and_all_the_rest(take: Take) -> None:
    """Session is the task, user the group; info nobody reads stays."""
    landed = take("mlflow", trace(model()))
    assert landed.refusals == []
    assert {e.task_id for e in landed.events} == {"s"}
    facts = {k: v for e in landed.events for k, v in e.body.items()}
    assert (facts["group"], facts["agent_version"]) == ("u", "m-7")
    assert facts["domain"] == "d"
    kept = landed["tr-1"].body
    assert kept["name"] == "support"
    assert kept["extra"]["state"] == "OK"
    assert kept["extra"]["tags"]["mlflow.traceName"] == "support"


def test_layouts_of_a_trace_are_the_same(take: Take) -> None:
    """A line, a list, a file over many lines and a row of a table say the same."""
    whole = trace(model())
    events = take("mlflow", whole).events
    assert take("mlflow", [whole]).events == events
    assert take("mlflow", json.dumps(whole, indent=2)).events == events
    assert take("mlflow", {**whole, "data": json.dumps(whole["data"])}).events == events
    row = {"trace_id": "tr-1", "trace": json.dumps(whole), "state": "OK"}
    assert take("mlflow", row).events == events


def test_spans_alone_are_a_trace(take: Take) -> None:
    """The artifact of a trace holds its spans and nothing else."""
    landed = take("mlflow", {"spans": [model()]})
    assert landed["gen.out0"].text == "yo"
    assert {e.task_id for e in landed.events} == {"tr-1"}


def test_model_span_tells_conversation_usage_cost_and_model(take: Take) -> None:
    """Attributes are JSON; those nobody reads are kept as the text they were."""
    landed = take(
        "mlflow",
        trace(
            model(
                **{
                    "mlflow.chat.tokenUsage": {"input_tokens": 3, "output_tokens": 2},
                    "mlflow.llm.cost": {"total_cost": 0.5},
                    "mlflow.llm.model": "m",
                    "mlflow.chat.tools": [{"k": 1}],
                    "escalation.self.confidence": 0.5,
                    "user.id": "v",
                }
            )
        ),
    )
    assert landed["gen.in0"].text == "hi"
    said = landed["gen.out0"].body
    assert (said["text"], said["confidence"]["value"]) == ("yo", 0.5)
    assert said["extra"]["span"]["attributes"] == {
        "mlflow.chat.tools": '[{"k": 1}]',
        "escalation.self.confidence": "0.5",
    }
    usage = landed.body("gen.usage")
    assert (usage["tokens_in"], usage["tokens_out"], usage["cost"]) == (3, 2, 0.5)
    facts = {k: v for e in landed.events for k, v in e.body.items()}
    assert facts["model"] == "m"


def test_usage_of_the_answer_counts_where_no_attribute_does(take: Take) -> None:
    """An OpenAI answer carries its own usage."""
    answer = {**ANSWER, "usage": {"prompt_tokens": 3}}
    landed = take("mlflow", trace(model(**{"mlflow.spanOutputs": answer})))
    assert landed["gen.usage"].body["tokens_in"] == 3


def test_tool_span_tells_call_result_and_exception(take: Take) -> None:
    """An exception event says with what a tool failed; else its status does."""
    inputs = {"mlflow.spanInputs": {"n": 1}}
    ok = span("f", 1, "TOOL", **inputs, **{"mlflow.spanOutputs": "out"})
    raised = {
        "name": "exception",
        "time_unix_nano": NANOS,
        "attributes": {
            "exception.type": "ValueError",
            "exception.message": "no",
            "exception.stacktrace": "at",
        },
    }
    status = {"code": "STATUS_CODE_ERROR", "message": "failed"}
    other = {"name": "log", "attributes": {}}
    bad = {**span("g", 2, "TOOL"), "status": status, "events": [other, raised]}
    worse = {**span("h", 3, "TOOL"), "status": {"code": "ERROR", "message": "no"}}
    landed = take("mlflow", trace(ok, bad, worse))
    assert landed["f.call"].body["arguments"] == {"n": 1}
    result = landed["f.result"].body
    assert (result["text"], result["error"], result["latency_ms"]) == (
        "out",
        False,
        500,
    )
    assert landed["g.result"].body["error"] == {
        "type": "ValueError",
        "message": "no",
        "stacktrace": "at",
    }
    assert landed["h.result"].body["error"] == {"type": "error", "message": "no"}


def test_retriever_tells_documents(take: Take) -> None:
    """What was found is kept; what was looked for too."""
    found = [{"page_content": "p", "metadata": {"score": 0.5}}]
    said = {"mlflow.spanInputs": "q", "mlflow.spanOutputs": found}
    body = take("mlflow", trace(span("r", 1, "RETRIEVER", **said)))["r.found"].body
    assert body["documents"] == found
    assert body["extra"]["span"]["inputs"] == "q"


@pytest.mark.parametrize("kind", ["AGENT", "CHAIN", "WORKFLOW", "UNKNOWN", None])
def test_root_speaks_only_where_no_model_does(take: Take, kind: str | None) -> None:
    """What a run was asked and answered is told by its models if they tell it."""
    said = {"mlflow.spanInputs": {"question": "hey"}, "mlflow.spanOutputs": "ho"}
    root = {**span("root", 9, kind, **said), "parent_span_id": None}
    alone = take("mlflow", trace(root))
    assert [e.text for e in alone.events if e.kind.endswith("_message")] == [
        "hey",
        "ho",
    ]
    both = take("mlflow", trace(root, model()))
    assert [e.text for e in both.events if e.kind.endswith("_message")] == ["hi", "yo"]


@pytest.mark.parametrize(
    "kind", ["CHAIN", "PARSER", "RERANKER", "MEMORY", "GUARDRAIL", "EVALUATOR", "X", 5]
)
def test_inner_spans_are_kept_as_they_came(take: Take, kind: Any) -> None:
    """What no signal reads is a span event with all of its data."""
    said = {"mlflow.spanInputs": {"a": 1}, "mlflow.spanOutputs": [2]}
    landed = take("mlflow", trace(span("x", 1, kind, **said)))
    extra = landed["x"].body["extra"]
    assert (extra["inputs"], extra["outputs"]) == ({"a": 1}, [2])
    assert extra["parent_span_id"] == "root"


def test_assessments_are_read_by_who_made_them(take: Take) -> None:
    """Judges may feed signals; people, and what they expected, are outcomes."""
    made = [
        assessment("polite", "LLM_JUDGE", {"feedback": {"value": 0.9}}, span_id="ff"),
        assessment("tone", "CODE", {"feedback": {"value": "pass"}}, rationale="why"),
        assessment("rubric", "CODE", {"feedback": {"value": {"k": 1}}}),
        assessment("needed_human", "HUMAN", {"feedback": {"value": True}}),
        assessment("fact", "HUMAN", {"expectation": {"value": "x"}}),
        assessment("bug", "LLM_JUDGE", {"issue": {"issue_name": "slow"}}),
        assessment("old", "HUMAN", {"feedback": {"value": 1}}, valid=False),
        "noise",
    ]
    landed = take("mlflow", trace(model(), assessments=made))
    assert landed.refusals == []
    by_name = {e.body.get("verifier"): e for e in landed.events}
    polite = by_name["polite"].body
    assert (polite["score"], polite["about"], polite["by"]) == (0.9, "ff", "who")
    tone = by_name["tone"].body
    assert (tone["agree"], tone["label"], tone["text"]) == (True, "pass", "why")
    assert by_name["rubric"].body["extra"]["feedback"] == {"value": {"k": 1}}
    assert {n: str(by_name[n].kind) for n in ("polite", "fact", "bug")} == {
        "polite": "verifier",
        "fact": "annotation",
        "bug": "annotation",
    }
    (verdict,) = (e.body for e in landed.events if e.kind == "verdict")
    assert (verdict["needed"], verdict["source"]) == ("yes", "human")
    assert landed["tr-1"].body["extra"]["assessments"] == [made[6]]


def test_packed_values_and_older_names_of_assessments_are_read(take: Take) -> None:
    """Lists come as JSON text; times may be in milliseconds."""
    packed = {"value": '["x"]', "serialization_format": "JSON_FORMAT"}
    made = [
        {"name": "kind", "feedback": {"value": 1}, "create_time_ms": NANOS // 10**6},
        {"expectation": {"serialized_value": packed}, "source": 5},
        {"issue": 5},
    ]
    landed = take("mlflow", trace(model(), assessments=made))
    names = [e.body["verifier"] for e in landed.events if "verifier" in e.body]
    assert names == ["kind", "expectation", "issue"]
    assert landed["assessment.kind.None"].at.year == 2026


def test_older_schema_is_read(take: Take) -> None:
    """Version 2 has other names for nearly everything."""
    old = {
        "name": "gen",
        "context": {"trace_id": "0x01", "span_id": "0xab"},
        "parent_id": None,
        "start_time": NANOS,
        "end_time": NANOS + 10**9,
        "status_code": "ERROR",
        "status_message": "broken",
        "attributes": model()["attributes"],
        "events": [],
    }
    info = {
        "request_id": "tr-2",
        "experiment_id": "0",
        "timestamp_ms": NANOS // 10**6,
        "execution_time_ms": 1000,
        "status": "OK",
        "request_metadata": [{"key": "mlflow.trace.session", "value": "s2"}, {}],
        "tags": [],
    }
    data = {"spans": [old], "request": "{}", "response": "{}"}
    landed = take("mlflow", {"info": info, "data": data})
    assert {e.task_id for e in landed.events} == {"s2"}
    said = landed["ab.out0"]
    assert said.text == "yo"
    assert said.body["extra"]["span"]["error"] == {"type": "error", "message": "broken"}
    assert landed["tr-2"].body["extra"]["data"] == {"request": "{}", "response": "{}"}


def test_ids_in_base64_are_those_that_assessments_name(take: Take) -> None:
    """Span ids are hexadecimal wherever they are told."""
    spans = [
        {**model(), "span_id": "nGO+38hT3Qw="},
        {**span("x", 2), "span_id": "?GO+38hT3Qw="},
    ]
    names = {e.body.get("span_id") for e in take("mlflow", trace(*spans)).events}
    assert {"9c63bedfc853dd0c", "?GO+38hT3Qw="} <= names


def test_trace_without_spans_speaks_by_its_preview(take: Take) -> None:
    """A trace exported without spans has only what its info tells."""
    previews = {
        "request_preview": json.dumps(MESSAGES),
        "response_preview": "yo",
        "execution_duration_ms": None,
    }
    for duration in ("1.5s", 1500, "soon", True, 1e300, None):
        info = {**previews, "execution_duration": duration}
        landed = take("mlflow", trace(**info))
        assert landed["tr-1.in0"].text == "hi"
        assert landed["tr-1.out0"].text == "yo"
        second = landed["tr-1.out0"].at.timestamp() - NANOS / 1e9
        assert second == (1.5 if duration in ("1.5s", 1500) else 0)


def test_trace_whose_data_is_none_still_lands(take: Take) -> None:
    """Info alone is a trace with nothing said."""
    landed = take("mlflow", {"info": {"trace_id": "tr-9"}, "data": 5})
    assert landed.refusals == []
    assert landed.kinds() == ["task_started", "span"]


def test_times_may_be_text_or_missing(take: Take) -> None:
    """Nanoseconds as digits are read; what is no time is made up."""
    late = {**model(), "end_time_unix_nano": str(NANOS), "start_time_unix_nano": True}
    assert take("mlflow", trace(late))["gen.out0"].at.timestamp() == NANOS / 1e9
    none = {**model(), "end_time_unix_nano": None, "start_time_unix_nano": 0}
    assert take("mlflow", trace(none))["gen.out0"].body["at_synthetic"] is True


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (5, "span"),
        ({**model(), "span_id": None}, "span"),
        ({**model(), "attributes": "x"}, "span"),
        (model(**{"mlflow.spanInputs": nested(200)}), "span"),
        ({**model(), "events": nested(200)}, "span"),
    ],
)
def test_malformed_span_costs_itself_alone(take: Take, bad: Any, field: str) -> None:
    """The refusal names the field; the spans around it land."""
    root = {**span("root", 9, "AGENT"), "parent_span_id": None}
    landed = take("mlflow", trace(model(), bad, root))
    (refusal,) = landed.refusals
    assert refusal.field == field
    assert landed["gen.out0"].text == "yo"
    assert landed["root"].body["name"] == "root"


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (5, "trace"),
        ({"info": {}, "data": {"spans": []}}, "trace"),
        ({"info": 5, "data": 5}, "trace"),
        ({"trace": "5", "trace_id": "x"}, "trace"),
        ({"spans": [{"attributes": 5}]}, "trace"),
        (trace(deep=nested(200)), "info"),
    ],
)
def test_malformed_trace_costs_itself_alone(take: Take, bad: Any, field: str) -> None:
    """The traces around it land."""
    landed = take("mlflow", trace(model()), bad, trace(model()))
    (refusal,) = landed.refusals
    assert (refusal.line, refusal.field) == (2, field)
    assert landed["gen.out0"].text == "yo"


def test_own_kind_of_record_is_told_apart() -> None:
    """Traces and their spans fit; other objects with the same names do not."""
    assert mlflow.fits(trace())
    assert mlflow.fits([trace()])
    assert mlflow.fits({"spans": [model()]})
    assert mlflow.fits({"trace_id": "x", "trace": "{}", "spans": [model()]})
    assert not mlflow.fits({"info": {"name": "x"}, "data": {}})
    assert not mlflow.fits({"spans": [{"name": "x"}]})
    assert not mlflow.fits(5)
