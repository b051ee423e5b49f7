from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from features.ingest import langfuse

Take = Callable[..., Any]
Json = dict[str, Any]


def observation(name: str, second: int, kind: str, **beside: Any) -> Json:
    return {
        "id": name,
        "traceId": "t",
        "parentObservationId": "root",
        "type": kind,
        "name": f"{name}'s name",
        "startTime": f"2026-01-01T00:00:{second:02}Z",
        "endTime": f"2026-01-01T00:00:{second:02}.500Z",
        **beside,
    }


def generation(**beside: Any) -> Json:
    said = {
        "input": [{"role": "user", "content": "hi"}],
        "output": {"role": "assistant", "content": "yo"},
    }
    return observation("gen", 1, "GENERATION", **{**said, **beside})


def root(**beside: Any) -> Json:
    place = {"parentObservationId": None}
    return observation("root", 9, "SPAN", **{**place, **beside})


def trace(*observations: Any, **beside: Any) -> Json:
    return {
        "id": "t",
        "timestamp": "2026-01-01T00:00:00Z",
        "name": "support",
        "sessionId": "s",
        "userId": "u",
        "release": "r1",
        "version": "v1",
        "metadata": {"shop": "north", "escalation.task.domain": "d"},
        "tags": ["a"],
        "observations": list(observations),
        **beside,
    }


def score(name: Any = "polite", **beside: Any) -> Json:
    return {
        "id": f"sc-{name}",
        "traceId": "t",
        "name": name,
        "value": 0.5,
        "dataType": "NUMERIC",
        "source": "EVAL",
        "timestamp": "2026-01-01T00:00:03Z",
        **beside,
    }


def snake(row: Json) -> Json:
    """Return a row as exports to storage write it: other names, values as JSON."""
    return {
        re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): (
            json.dumps(value) if isinstance(value, dict | list) else value
        )
        for name, value in row.items()
    }


def said(landed: Any) -> list[str]:
    return [e.text for e in landed.events if e.kind.endswith("_message")]


def test_trace_tells_its_task_facts_and_all_the_rest(take: Take) -> None:
    """Session is the task, user the group, release the version; the rest stays."""
    landed = take("langfuse", trace(generation(), scores=[score(traceId=None)]))
    assert landed.refusals == []
    assert {e.task_id for e in landed.events} == {"s"}
    start = landed["start"].body
    assert (start["group"], start["agent_version"]) == ("u", "r1")
    facts = {k: v for e in landed.events for k, v in e.body.items()}
    assert facts["domain"] == "d"
    extra = landed["t.trace"].body["extra"]
    assert extra["tags"] == ["a"]
    assert extra["metadata"]["shop"] == "north"
    assert landed["score.sc-polite"].body["score"] == 0.5


def test_layouts_of_a_trace_tell_the_same_conversation(take: Take) -> None:
    """Whole, in lines, as pages of a list, and as exports to storage."""
    rows = [trace(), generation(), root(), score()]
    apart = [{k: v for k, v in rows[0].items() if k != "observations"}, *rows[1:]]
    lines = take("langfuse", *apart)
    events = [(e.event_id, e.kind, e.text) for e in lines.events]
    for records in (
        [apart],
        [json.dumps(apart, indent=1)],
        [{"data": [row], "meta": {}} for row in apart],
        list(map(snake, apart)),
    ):
        landed = take("langfuse", *records)
        assert landed.refusals == []
        assert [(e.event_id, e.kind, e.text) for e in landed.events] == events
        assert {e.task_id for e in landed.events} == {"s"}
    whole = take("langfuse", trace(generation(), root(), scores=[score()]))
    assert said(whole) == said(lines) == ["hi", "yo"]


def test_batch_tells_an_observation_at_its_start_and_at_its_end(take: Take) -> None:
    """Create and update are one, also when they are sent apart; logs are passed."""

    def sent(kind: str, body: Any) -> Json:
        return {
            "id": f"event-{kind}",
            "timestamp": f"2026-01-01T00:00:0{1 + kind.endswith('update')}Z",
            "type": kind,
            "body": body,
        }

    begun = {"id": "gen", "traceId": "t", "input": generation()["input"], "type": None}
    ended = {"id": "gen", "output": "yo", "endTime": "2026-01-01T00:00:02Z"}
    events = [
        sent("trace-create", {"id": "t", "sessionId": "s", "timestamp": None}),
        sent("generation-create", begun),
        sent("sdk-log", {"log": "x"}),
        sent("generation-update", ended),
        sent("generation-update", {"id": "gen", "usageDetails": {"input": 3}}),
        sent("event-create", {"id": "ev", "traceId": "t", "input": 1}),
        sent("span-create", {"id": "open", "traceId": "t"}),
        sent("observation-create", {**root(), "type": "AGENT"}),
        sent("score-create", {"name": "polite", "value": 0.5, "traceId": "t"}),
        sent("trace-create", {"id": "t", "userId": "u"}),
    ]
    whole = take("langfuse", {"batch": events})
    assert whole.refusals == []
    assert said(whole) == ["hi", "yo"]
    assert {e.task_id for e in whole.events} == {"s"}
    assert whole["gen.in0"].at.second == 1
    assert whole["gen.1.usage"].body["tokens_in"] == 3
    assert {"ev", "open", "root"} <= {e.event_id for e in whole.events}
    assert whole["score.event-score-create"].body["score"] == 0.5
    facts = {k: v for e in whole.events for k, v in e.body.items()}
    assert facts["group"] == "u"
    apart = take("langfuse", *({"batch": [event]} for event in events))
    assert [e.event_id for e in apart.events] == [e.event_id for e in whole.events]


def test_generation_tells_usage_cost_model_and_prompt(take: Take) -> None:
    """All kinds of input count; money is in dollars."""
    details = {"input": 3, "input_cached_tokens": 4, "output": "2", "total": 9}
    row = generation(
        model="m",
        usageDetails=details,
        costDetails={"input": 0.25, "output": 0.5},
        promptName="p",
        metadata={"attributes": {"escalation.self.confidence": "0.5"}},
    )
    landed = take("langfuse", row)
    usage = landed.body("gen.usage")
    assert (usage["tokens_in"], usage["tokens_out"], usage["cost"]) == (7, 2, 0.75)
    assert usage["extra"]["usageDetails"] == details
    assert landed["start"].body["model"] == "m"
    body = landed["gen.out0"].body
    assert body["confidence"] == {"value": 0.5, "source": "verbalized"}
    assert body["extra"]["span"]["promptName"] == "p"


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"usage": {"input": 3, "output": 2, "totalCost": 0.5}}, (3, 2, 0.5)),
        ({"usage": {"promptTokens": 3, "completionTokens": 2}}, (3, 2, None)),
        ({"promptTokens": 3, "completionTokens": 0}, (3, None, None)),
        ({"totalCost": 0.5, "usageDetails": {}}, (None, None, 0.5)),
        ({"costDetails": {"total": 1.5, "input": 9}}, (None, None, 1.5)),
        ({"usageDetails": {"input": True, "inputCost": 3}}, None),
        ({"costDetails": {"input": "much"}}, None),
        ({"usage": 5, "costDetails": 5}, None),
    ],
)
def test_usage_in_older_words(take: Take, told: Json, usage: Any) -> None:
    """Earlier versions counted under other names."""
    landed = take("langfuse", generation(**told))
    found = [e.body for e in landed.events if e.kind == "usage"]
    names = ("tokens_in", "tokens_out", "cost")
    assert [tuple(b.get(n) for n in names) for b in found] == [usage] * bool(usage)


def test_tool_tells_call_result_and_error(take: Take) -> None:
    """Level ERROR is an error; a warning is kept."""
    ok = observation("f", 1, "TOOL", input={"n": 1}, output="out", level="WARNING")
    words = {"level": "ERROR", "statusMessage": "no"}
    bad = observation("g", 2, "TOOL", **words)
    landed = take("langfuse", ok, bad, observation("h", 3, "TOOL", level="ERROR"))
    assert landed["f.call"].body["arguments"] == {"n": 1}
    result = landed["f.result"].body
    assert (result["text"], result["error"], result["latency_ms"]) == (
        "out",
        False,
        500,
    )
    assert result["extra"]["span"]["level"] == "WARNING"
    assert landed["g.result"].body["error"] == {"type": "error", "message": "no"}
    assert landed["h.result"].body["error"] == {"type": "error"}


def test_retriever_tells_documents(take: Take) -> None:
    """What was found is kept; what was looked for too."""
    row = observation("r", 1, "RETRIEVER", input="q", output=[{"id": 1, "score": 0.5}])
    body = take("langfuse", row)["r.found"].body
    assert body["documents"] == [{"id": 1, "score": 0.5}]
    assert body["extra"]["span"]["input"] == "q"


@pytest.mark.parametrize("kind", ["SPAN", "AGENT", "CHAIN"])
def test_root_speaks_only_where_no_model_does(take: Take, kind: str) -> None:
    """What a run was asked and answered is told by its models if they tell it."""
    row = root(type=kind, input="hey", output={"answer": "ho"})
    assert said(take("langfuse", row)) == ["hey", "ho"]
    assert said(take("langfuse", row, generation())) == ["hi", "yo"]
    logical = root(
        type=kind, parentObservationId="p", isRootObservation=True, input="hey"
    )
    assert said(take("langfuse", logical)) == ["hey"]


def test_observation_may_have_the_id_of_its_trace(take: Take) -> None:
    """Some handlers name the outermost observation so; both land."""
    landed = take("langfuse", trace(root(id="t", input="hey")))
    assert said(landed) == ["hey"]
    assert {"t.in0", "t.trace"} <= {e.event_id for e in landed.events}


def test_trace_speaks_where_it_says_when_it_ended(take: Take) -> None:
    """Without an end it has no place among its observations, and is kept."""
    io = {"input": {"question": "hey"}, "output": "ho"}
    assert said(take("langfuse", trace(root(), **io))) == ["hey", "ho"]
    assert said(take("langfuse", trace(latency=2.5, **io))) == ["hey", "ho"]
    assert said(take("langfuse", trace(generation(), **io))) == ["hi", "yo"]
    for unknown in ({}, {"latency": -1}, {"latency": "x"}, {"latency": True}):
        landed = take("langfuse", trace(**io, **unknown))
        assert said(landed) == []
        extra = landed["t.trace"].body["extra"]
        assert (extra["input"], extra["output"]) == ({"question": "hey"}, "ho")


@pytest.mark.parametrize(
    "kind", ["SPAN", "EVENT", "EVALUATOR", "EMBEDDING", "GUARDRAIL", "CHAIN", "NEW"]
)
def test_inner_observations_are_kept_as_they_came(take: Take, kind: str) -> None:
    """What no signal reads is a span event with all of its data."""
    row = observation("x", 1, kind, input={"a": 1}, output=[2], environment="prod")
    extra = take("langfuse", row)["x"].body["extra"]
    assert (extra["input"], extra["output"]) == ({"a": 1}, [2])
    assert (extra["type"], extra["environment"]) == (kind, "prod")


def test_scores_are_read_by_kind_and_source(take: Take) -> None:
    """Evaluators may feed signals; annotations are outcomes."""
    rows = [
        score(observationId="gen", comment="why", metadata={"k": 1}),
        score("safe", dataType="BOOLEAN", value=0, stringValue="False"),
        score("tone", dataType="CATEGORICAL", value=1, stringValue="pass"),
        score("kind", dataType="CATEGORICAL", value="pass"),
        score("rank", dataType="CATEGORICAL", value=1),
        score("raw", dataType=None, source=None, stringValue="fail", value=None),
        score("liked", source="ANNOTATION", authorUserId="a"),
        score("needed_human", source="ANNOTATION", dataType="BOOLEAN", value=1),
    ]
    landed = take("langfuse", generation(), *rows)
    assert landed.refusals == []
    polite = landed["score.sc-polite"].body
    assert (polite["score"], polite["about"], polite["by"]) == (0.5, "gen", "EVAL")
    assert (polite["text"], polite["extra"]["metadata"]) == ("why", {"k": 1})
    assert landed["score.sc-safe"].body["agree"] is False
    assert landed["score.sc-tone"].body["agree"] is True
    assert "raw_score" not in landed["score.sc-tone"].body
    assert landed["score.sc-rank"].body["raw_score"] == 1
    assert landed["score.sc-kind"].body["agree"] is True
    assert landed["score.sc-raw"].body["agree"] is False
    liked = landed["score.sc-liked"]
    assert (liked.kind, liked.body["by"]) == ("annotation", "a")
    verdict = landed["score.sc-needed_human"].body
    assert (verdict["needed"], verdict["source"]) == ("yes", "human")
    assert "span" not in landed.kinds()


def test_score_is_of_a_session_a_trace_or_an_observation(take: Take) -> None:
    """The newer list names its subject; a session is a task."""
    bare: Json = {"traceId": None, "id": None}
    cases: list[tuple[Json, str, str | None]] = [
        ({"sessionId": "s"}, "s", None),
        ({"subject": {"kind": "session", "id": "s"}}, "s", None),
        ({"subject": {"kind": "trace", "id": "t2"}}, "t2", None),
        ({"subject": {"kind": "observation", "id": "o", "traceId": "t2"}}, "t2", "o"),
    ]
    for subject, task, about in cases:
        (event,) = take("langfuse", score(**bare, **subject)).events
        assert (event.task_id, event.body.get("about")) == (task, about)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (5, "record"),
        ({"k": 1}, "record"),
        ({"data": [5]}, "record"),
        ({"batch": [5]}, "record"),
        ({"batch": [{"type": "span-create", "body": 5}]}, "record"),
        ({"batch": [{"type": ["x"], "body": {}}]}, "record"),
        ({"batch": [{"type": "span-create", "body": {}}]}, "observation.traceId"),
        ({"batch": [{"type": "observation-create", "body": {}}]}, "observation.type"),
        ({**trace(), "id": 5}, "trace.id"),
        (generation(id=""), "observation.id"),
        (generation(id="b", type=5), "observation.type"),
        (generation(id="b", traceId=None), "observation.traceId"),
        (generation(id="b", input=nested(200)), "record"),
        (score(name=5), "score.name"),
        (score(traceId=None), "score.traceId"),
        (score(traceId=None, subject={"kind": "experiment"}), "score.traceId"),
    ],
)
def test_malformed_record_costs_itself_alone(take: Take, bad: Any, field: str) -> None:
    """The refusal names the field; the records around it land."""
    landed = take("langfuse", generation(), bad, root())
    (refusal,) = landed.refusals
    assert (refusal.line, refusal.field) == (2, field)
    assert landed["gen.out0"].text == "yo"
    assert landed["root"].body["what"] == "agent"


def test_malformed_observation_costs_itself_alone_in_a_trace(take: Take) -> None:
    """A trace lands without the one that is wrong."""
    landed = take("langfuse", trace(generation(), {"id": "b"}, "c", scores=[{"a": 1}]))
    assert [r.field for r in landed.refusals] == ["observation.type", "score.name"]
    assert said(landed) == ["hi", "yo"]


def test_own_kind_of_record_is_told_apart() -> None:
    """Each record fits alone, in a list and in a page; others do not."""
    assert langfuse.fits(trace())
    assert langfuse.fits([generation()])
    assert langfuse.fits(snake(generation()))
    assert langfuse.fits(score())
    assert langfuse.fits({"data": [generation()], "meta": {}})
    assert langfuse.fits({"batch": [{"type": "trace-create", "body": {}}]})
    assert langfuse.fits({"id": "t", "timestamp": "x", "userId": None})
    assert not langfuse.fits({"id": "x", "timestamp": "x", "messages": []})
    assert not langfuse.fits({"id": "x", "run_type": "llm", "start_time": "x"})
    assert not langfuse.fits({"batch": [{"id": "x"}]})
    assert not langfuse.fits([[]])
