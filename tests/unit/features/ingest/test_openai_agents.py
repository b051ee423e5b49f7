from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from features.ingest import openai_agents

Take = Callable[..., Any]
Json = dict[str, Any]

TRACE: Json = {
    "object": "trace",
    "id": "trace_1",
    "workflow_name": "support",
    "group_id": "g",
    "metadata": {"shop": "north", "escalation.account.tier": "gold"},
}


def span(name: str, second: int, data: Json, **beside: Any) -> Json:
    return {
        "object": "trace.span",
        "id": name,
        "trace_id": "trace_1",
        "parent_id": "root",
        "started_at": f"2026-01-01T00:00:{second:02}.000000+00:00",
        "ended_at": f"2026-01-01T00:00:{second:02}.500000+00:00",
        "span_data": data,
        "error": None,
        **beside,
    }


def root(**beside: Any) -> Json:
    data = {"type": "agent", "name": "triage", "tools": ["f"], "output_type": "str"}
    return span("root", 9, data, **{"parent_id": None, **beside})


def generation(second: int = 1, **data: Any) -> Json:
    said = {
        "input": [{"role": "user", "content": "hi"}],
        "output": [{"role": "assistant", "content": "yo"}],
    }
    return span("gen", second, {"type": "generation", "model": "m", **said, **data})


def test_export_and_lines_of_its_objects_are_the_same(take: Take) -> None:
    """What the exporter posts and its objects one a line give the same events."""
    objects = [TRACE, generation(), root()]
    exported = take("openai-agents", {"data": objects})
    assert take("openai-agents", *objects).events == exported.events
    assert take("openai-agents", objects).events == exported.events
    assert exported.refusals == []


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 2, 0], [1, 0, 2]])
def test_trace_has_the_time_of_its_root(take: Take, order: list[int]) -> None:
    """A trace tells no time of its own, wherever in the log it stands."""
    objects = [TRACE, generation(), root()]
    landed = take("openai-agents", *(objects[place] for place in order))
    event = landed["trace_1"]
    assert event.at == landed["root"].at
    assert event.body["name"] == "support"
    assert event.body["extra"]["metadata"] == TRACE["metadata"]
    assert {e.task_id for e in landed.events} == {"g"}
    facts = {k: v for e in landed.events for k, v in e.body.items() if e.kind != "x"}
    assert facts["account"] == {"tier": "gold"}


def test_trace_without_spans_still_lands(take: Take) -> None:
    """A run that ended at once is a task with nothing said."""
    landed = take("openai-agents", TRACE)
    assert landed.kinds() == ["task_started", "span"]


def test_function_tells_call_result_and_error(take: Take) -> None:
    """Input is the arguments; an error of the span is that of the result."""
    data = {"type": "function", "name": "f", "input": '{"n": 1}', "output": "out"}
    mcp = {"mcp_data": {"server": "s"}}
    error = {"message": "Error running tool", "data": {"tool_name": "f"}}
    ok = span("ok", 1, {**data, **mcp})
    bad = span("bad", 2, {**data, "output": None}, error=error)
    text = span("txt", 3, {**data, "output": "Error: none"}, error="broken")
    landed = take("openai-agents", ok, bad, text)
    call = landed["ok.call"].body
    assert (call["tool"], call["arguments"]) == ("f", {"n": 1})
    result = landed["ok.result"].body
    assert (result["text"], result["error"]) == ("out", False)
    assert result["latency_ms"] == 500.0
    assert result["extra"]["span"]["span_data"] == mcp
    assert landed["bad.result"].body["error"] == {"type": "error", **error}
    assert landed["txt.result"].body["error"]["message"] == "broken"


def test_generation_tells_conversation_usage_and_model(take: Take) -> None:
    """Its settings stay; usage is in tokens, as the span says it."""
    usage = {"input_tokens": 3, "output_tokens": 2, "requests": 1}
    config = {"temperature": 0.5}
    landed = take("openai-agents", generation(usage=usage, model_config=config))
    assert landed["gen.in0"].text == "hi"
    assert landed["gen.out0"].text == "yo"
    assert landed["gen.usage"].body["tokens_in"] == 3
    assert landed["gen.usage"].body["extra"] == usage
    assert landed["start"].body["model"] == "m"
    extra = landed["gen.out0"].body["extra"]["span"]
    assert extra["span_data"] == {"model_config": config}


def test_response_may_or_may_not_have_content(take: Take) -> None:
    """Without it a response still counts tokens; with it it speaks."""
    usage = {"input_tokens": 3, "output_tokens": 2}
    bare = span("bare", 1, {"type": "response", "response_id": "r", "usage": usage})
    text = {"type": "output_text", "text": "yo", "annotations": []}
    answer = {"type": "message", "role": "assistant", "id": "m", "content": [text]}
    response = {
        "object": "response",
        "model": "m",
        "instructions": "Be.",
        "output": [answer],
        "usage": usage,
    }
    data = {"type": "response", "response_id": "r", "input": "hi", "response": response}
    landed = take("openai-agents", bare, span("full", 2, data))
    assert landed["bare.usage"].body["tokens_out"] == 2
    assert landed["full.in0"].text == "hi"
    said = landed["full.out0"].body
    assert (said["text"], said["content"]) == ("yo", [text])
    assert landed["full.usage"].body["tokens_in"] == 3
    facts = {k: v for e in landed.events for k, v in e.body.items()}
    assert facts["system"] == "Be."


def test_turn_counts_tokens_only_where_its_calls_do_not(take: Take) -> None:
    """An exporter that strips usage from calls leaves it on their turns."""
    inner = {"sdk_span_type": "turn", "turn": 1, "usage": {"input_tokens": 3}}
    turn = span("turn", 2, {"type": "custom", "name": "turn", "data": inner})
    stripped = take("openai-agents", {"data": [generation(), turn]})
    assert [e.event_id for e in stripped.events if e.kind == "usage"] == ["turn.usage"]
    counted = generation(usage={"input_tokens": 3})
    whole = take("openai-agents", {"data": [counted, turn]})
    assert [e.event_id for e in whole.events if e.kind == "usage"] == ["gen.usage"]
    assert whole["turn"].body["extra"]["span_data"]["data"] == inner


def test_guardrail_is_a_judgement_under_any_name(take: Take) -> None:
    """Passed is agreement; what it guards against does not turn that around."""
    names = ("no_jailbreak", "jailbreak_check", None)
    data = [{"type": "guardrail", "name": n, "triggered": n is None} for n in names]
    spans = [span(f"g{i}", i, d) for i, d in enumerate(data)]
    odd = span("odd", 5, {"type": "guardrail", "name": "x", "triggered": "maybe"})
    landed = take("openai-agents", *spans, odd)
    judged = [e.body for e in landed.events if e.kind == "verifier"]
    assert [j["agree"] for j in judged] == [True, True, False]
    assert [j.get("by") for j in judged] == list(names)
    assert {j["about"] for j in judged} == {"root"}


@pytest.mark.parametrize(
    "data",
    [
        {"type": "handoff", "from_agent": "a", "to_agent": "b"},
        {"type": "mcp_tools", "server": "s", "result": ["f"]},
        {"type": "custom", "name": "mine", "data": {"k": [1]}},
        {
            "type": "transcription",
            "input": {"data": "", "format": "pcm"},
            "output": "x",
        },
        {"type": "speech_group", "input": "x"},
        {"type": "tomorrow", "k": 1},
        {"type": ["no", "text"], "k": 1},
        {"k": 1},
    ],
)
def test_other_spans_are_kept_as_they_came(take: Take, data: Json) -> None:
    """What no signal reads is a span event with all of its data."""
    landed = take("openai-agents", span("s", 1, data, metadata={"m": 1}))
    body = landed["s"].body
    assert landed.refusals == []
    assert body["extra"] == {
        "parent_id": "root",
        "metadata": {"m": 1},
        "span_data": data,
    }


def test_agent_names_the_task_and_keeps_its_tools(take: Take) -> None:
    """The first agent is the one that the task is of."""
    landed = take("openai-agents", root())
    assert landed["start"].body["agent_id"] == "triage"
    kept = landed["root"].body["extra"]["span_data"]
    assert kept == {"tools": ["f"], "output_type": "str"}


def test_error_of_a_span_stays_with_it(take: Take) -> None:
    """A model call or a turn that failed says with what."""
    landed = take("openai-agents", {**generation(), "error": {"message": "no"}})
    error = landed["gen.out0"].body["extra"]["span"]["error"]
    assert error == {"type": "error", "message": "no"}


def test_our_own_words_stand_in_metadata(take: Take) -> None:
    """A span's metadata may carry confidence and a task of its own."""
    metadata = {"escalation.self.confidence": 0.5, "escalation.task.id": "t"}
    landed = take("openai-agents", {**generation(), "metadata": metadata})
    assert landed["gen.out0"].body["confidence"]["value"] == 0.5
    assert landed["gen.out0"].task_id == "t"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (5, "record"),
        ({"data": 5}, "record.object"),
        ({"object": "trace"}, "trace.id"),
        ({"object": "trace", "id": 5}, "trace.id"),
        ({"object": "other", "id": "x"}, "object"),
        ({**generation(), "id": None}, "trace.span.id"),
        ({**generation(), "trace_id": ""}, "trace.span.trace_id"),
        ({**generation(), "span_data": 5}, "trace.span.span_data"),
        ({**generation(), "deep": nested(200)}, "record"),
    ],
)
def test_malformed_object_costs_itself_alone(take: Take, bad: Any, field: str) -> None:
    """The refusal names the field; the spans around it land."""
    landed = take("openai-agents", generation(), bad, root())
    (refusal,) = landed.refusals
    assert (refusal.line, refusal.field) == (2, field)
    assert landed["gen.out0"].text == "yo"
    assert landed["root"].body["name"] == "triage"


def test_own_kind_of_record_is_told_apart() -> None:
    """Traces, spans and exports fit; other objects with the same names do not."""
    assert openai_agents.fits(TRACE)
    assert openai_agents.fits([generation()])
    assert openai_agents.fits({"data": [TRACE]})
    assert not openai_agents.fits({"data": [{"id": "x"}]})
    assert not openai_agents.fits({"object": "chat.completion"})
    assert not openai_agents.fits([])
    assert not openai_agents.fits(None)
