from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from features.ingest import openinference
from features.ingest._otel.conventions import observed
from features.ingest._otel.spans import Link, Span
from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)

Take = Callable[..., Any]
T0 = datetime(2026, 1, 1, tzinfo=UTC)
T1 = T0 + timedelta(seconds=2)
LLM = {"openinference.span.kind": "LLM"}
IN, OUT = "llm.input_messages.", "llm.output_messages."


def tell(attributes: Mapping[str, Any], **more: Any) -> Observation:
    span = {"trace_id": "t", "span_id": "s", "started": T0, "ended": T1} | more
    return observed(Span(attributes=dict(attributes), **span))


# --- model spans ------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("LLM", What.MODEL),
        ("llm", What.MODEL),
        ("TOOL", What.TOOL),
        ("RETRIEVER", What.RETRIEVAL),
        ("RERANKER", What.RETRIEVAL),
        ("AGENT", What.AGENT),
        ("CHAIN", What.AGENT),
        ("EMBEDDING", What.OTHER),
        ("GUARDRAIL", What.OTHER),
        ("EVALUATOR", What.OTHER),
        ("PROMPT", What.OTHER),
        ("UNKNOWN", What.OTHER),
    ],
)
def test_kind_says_what_a_span_did(kind: str, what: What) -> None:
    """Every kind of the convention is one of ours, and stays where it is."""
    told = tell({"openinference.span.kind": kind, "acme": 1})
    assert told.what is what
    assert told.extra == {"openinference.span.kind": kind, "acme": 1}
    assert tell({"openinference.span.kind": 3}).what is What.OTHER


def test_flattened_messages_become_chat_messages() -> None:
    """Text, tool calls, a tool's answer and names are lifted; the rest stays on them."""
    call = f"{IN}1.message.tool_calls.0.tool_call."
    told = tell(
        LLM
        | {
            f"{IN}0.message.role": "user",
            f"{IN}0.message.content": "hi",
            f"{IN}0.message.name": "ann",
            f"{IN}1.message.role": "assistant",
            f"{call}id": "c1",
            f"{call}function.name": "look",
            f"{call}function.arguments": '{"n": 1}',
            f"{call}reasoning_signature": "Zm9v",
            f"{IN}2.message.role": "tool",
            f"{IN}2.message.tool_call_id": "c1",
            f"{IN}2.message.content": "here",
            f"{IN}10.message.function_call_name": "old",
            f"{IN}10.message.function_call_arguments_json": "{}",
            f"{OUT}0.message.role": "assistant",
            f"{OUT}0.message.content": "there",
            f"{OUT}0.message.mood": "glad",
            "llm.finish_reason": "stop",
        }
    )
    function = {"name": "look", "arguments": '{"n": 1}'}
    assert told.inputs == [
        {"role": "user", "content": "hi", "name": "ann"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "function": function, "reasoning_signature": "Zm9v"}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "here"},
        {"role": "user", "function_call": {"name": "old", "arguments": "{}"}},
    ]
    assert told.outputs == [
        {
            "role": "assistant",
            "content": "there",
            "mood": "glad",
            "finish_reason": "stop",
        }
    ]


def test_contents_of_a_message_stay_parts() -> None:
    """Pictures stay parts; reasoning is lifted, and kept whole where it is signed."""
    part = f"{OUT}0.message.contents."
    attributes = {
        f"{part}0.message_content.type": "reasoning",
        f"{part}0.message_content.text": "hm",
        f"{part}1.message_content.type": "text",
        f"{part}1.message_content.text": "Look:",
        f"{part}2.message_content.type": "image",
        f"{part}2.message_content.image.image.url": "https://example.com/a.png",
        f"{part}3.message_content.type": "tool_use",
    }
    picture = {
        "type": "image",
        "image": {"image": {"url": "https://example.com/a.png"}},
    }
    (plain,) = tell(LLM | attributes).outputs
    assert plain == {
        "role": "assistant",
        "content": [{"type": "text", "text": "Look:"}, picture],
        "reasoning": "hm",
    }
    signed = {f"{part}0.message_content.signature": "Zm9v"}
    (message,) = tell(LLM | attributes | signed).outputs
    assert message["contents"][0] == {
        "type": "reasoning",
        "text": "hm",
        "signature": "Zm9v",
    }
    assert message["contents"][3] == {"type": "tool_use"}


def test_raw_request_is_dropped_only_where_messages_told_it() -> None:
    """The request repeats the conversation; the raw answer is kept for what it adds."""
    raw = {"input.value": '{"messages": []}', "output.value": '{"id": "r"}'}
    message = {f"{IN}0.message.content": "hi", f"{OUT}0.message.content": "ho"}
    told = tell(LLM | raw | message)
    assert "input.value" not in told.extra
    assert told.extra["output.value"] == '{"id": "r"}'
    values = {
        "input.value": "hi",
        "output.value": "ho",
        "input.mime_type": "text/plain",
    }
    alone = tell(LLM | values)
    assert alone.inputs == [{"role": "user", "content": "hi"}]
    assert alone.outputs == [{"role": "assistant", "content": "ho"}]
    assert alone.extra["input.mime_type"] == "text/plain"


def test_prompts_and_completions_are_messages() -> None:
    """A text completion's prompt is the user's, its choice the agent's."""
    told = tell(
        LLM
        | {
            "llm.prompts.0.prompt.text": "Once",
            "llm.choices.0.completion.text": " upon",
        }
    )
    assert told.inputs == [{"role": "user", "content": "Once"}]
    assert told.outputs == [{"role": "assistant", "content": " upon"}]


@pytest.mark.parametrize(
    ("raw", "confidence"),
    [
        ('{"choices": [{"logprobs": {"content": [{"logprob": 0.0}]}}]}', 1.0),
        ('{"choices": [{"logprobs": null}]}', None),
        ('{"choices": [], "x": {"logprobs": 1}}', None),
        ('["logprobs"]', None),
        ('{"logprobs"', None),
    ],
)
def test_logprobs_of_the_raw_answer_are_a_confidence(
    raw: str, confidence: float | None
) -> None:
    """They are read off the first choice, wherever it has any."""
    told = tell(LLM | {f"{OUT}0.message.content": "x", "output.value": raw})
    expected = confidence and {"value": confidence, "source": "logprob"}
    assert told.confidence == expected


def test_model_tokens_cost_session_and_user() -> None:
    """Counts and costs are usage; the names are facts of the task."""
    counted = {
        "llm.token_count.prompt": 3,
        "llm.token_count.completion": 4,
        "llm.token_count.total": 7,
        "llm.token_count.prompt_details.cache_read": 2,
        "llm.cost.total": 0.5,
    }
    told = tell(
        LLM
        | counted
        | {
            "llm.model_name": "m",
            "agent.name": "helper",
            "session.id": "s-1",
            "user.id": "ann",
            "metadata": '{"k": 1}',
        }
    )
    assert told.usage == {
        "tokens_in": 3,
        "tokens_out": 4,
        "cost": 0.5,
        "extra": counted,
    }
    assert told.task_id == "s-1"
    assert told.facts == {"model": "m", "agent_id": "helper", "group": "ann"}
    assert told.extra["metadata"] == '{"k": 1}'


def test_span_of_two_conventions_is_told_once() -> None:
    """OpenInference comes before GenAI, whose messages stay as they came."""
    other = '[{"role": "user", "parts": []}]'
    told = tell(
        LLM
        | {
            f"{IN}0.message.content": "hi",
            f"{OUT}0.message.content": "ho",
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": other,
            "gen_ai.output.messages": other,
            "gcp.vertex.agent.llm_response": '{"content": {"parts": []}}',
            "ai.prompt": "x",
            "ai.response.text": "y",
            "gen_ai.usage.input_tokens": 9,
            "llm.token_count.prompt": 3,
        }
    )
    assert told.inputs == [{"role": "user", "content": "hi"}]
    assert told.usage["tokens_in"] == 3
    assert told.extra["gen_ai.input.messages"] == other
    assert told.outputs == [{"role": "assistant", "content": "ho"}]
    assert told.extra["gen_ai.output.messages"] == other
    assert told.extra["gen_ai.usage.input_tokens"] == 9
    assert told.extra["ai.prompt"] == "x"
    assert told.extra["ai.response.text"] == "y"


def test_flattened_names_that_clash_or_break_off_land_all_the_same() -> None:
    """A name that is both value and branch keeps both; odd items keep their value."""
    told = tell(
        LLM
        | {
            f"{IN}0": "plain",
            f"{IN}1.message": "bare",
            f"{IN}2.message.content": "x",
            f"{IN}2.message.content.y": 1,
            f"{IN}2.message.tool_calls.0.tool_call": "odd",
            f"{IN}2.message.content.z": 2,
            f"{IN}3.message.name.first": "a",
            f"{IN}3.message.name": "b",
            f"{OUT}a.b": 1,
        }
    )
    assert told.inputs == [
        {"role": "user", "content": "plain"},
        {"role": "user", "content": "bare"},
        {
            "role": "user",
            "content": {"": "x", "y": 1, "z": 2},
            "tool_calls": [{"tool_call": "odd"}],
        },
        {"role": "user", "name": {"first": "a", "": "b"}},
    ]
    assert told.outputs == []


# --- tools, retrieval, agents -----------------------------------------------


def test_tool_span() -> None:
    """Name, id, arguments and result, as JSON or text."""
    told = tell(
        {
            "openinference.span.kind": "TOOL",
            "tool.name": "look",
            "tool.id": "c1",
            "input.value": '{"n": 1}',
            "output.value": "here",
            "tool.parameters": "{}",
            "tool.description": "d",
        }
    )
    assert told.tool == {
        "tool": "look",
        "call_id": "c1",
        "arguments": {"n": 1},
        "text": "here",
        "error": False,
        "latency_ms": 2000.0,
    }
    assert told.extra["tool.parameters"] == "{}"


def test_kind_among_the_attributes_is_the_spans(take: Take) -> None:
    """An export may tell the kind twice, or only in the attributes."""
    attributes = {"openinference.span.kind": "TOOL"}
    for kind in ("TOOL", None):
        landed = take(
            "openinference", RECORD | {"attributes": attributes, "span_kind": kind}
        )
        assert "tool_result" in landed.kinds()


@pytest.mark.parametrize("kind", ["RETRIEVER", "RERANKER"])
def test_documents(kind: str) -> None:
    """Documents keep id, score and content, and their metadata as an object."""
    name = "retrieval.documents" if kind == "RETRIEVER" else "reranker.output_documents"
    told = tell(
        {
            "openinference.span.kind": kind,
            f"{name}.0.document.id": "d1",
            f"{name}.0.document.score": 0.5,
            f"{name}.0.document.metadata": '{"page": 3}',
            f"{name}.1": "bare",
        }
    )
    assert told.documents == [
        {"id": "d1", "score": 0.5, "metadata": {"page": 3}},
        {"content": "bare"},
    ]
    plain = tell({"openinference.span.kind": kind, "output.value": '["a"]'})
    assert plain.documents == [{"content": "a"}]
    assert tell({"openinference.span.kind": kind}).documents is None


def test_agent_span_tells_request_and_answer() -> None:
    """Input and output of any vocabulary are messages; what stood beside is kept."""
    told = tell(
        {
            "openinference.span.kind": "AGENT",
            "input.value": '{"messages": [{"role": "user", "content": "hi"}], "k": 1}',
            "output.value": '{"output": "ho"}',
        }
    )
    assert told.inputs == [{"role": "user", "content": "hi"}]
    assert told.outputs == [{"role": "assistant", "content": "ho"}]
    assert told.extra["input.rest"] == {"k": 1}


# --- feedback ---------------------------------------------------------------


def feedback(prefix: str, inner: str, /, **fields: Any) -> dict[str, Any]:
    return {f"{prefix}.0.{inner}.{key}": value for key, value in fields.items()}


def test_annotation_on_a_span_is_of_that_span() -> None:
    """Name, score, label, why and who; people are told from models."""
    told = tell(
        LLM
        | feedback(
            "annotations",
            "annotation",
            name="helpful",
            score=0.25,
            label="low",
            explanation="curt",
            annotator_kind="HUMAN",
            identifier="ann",
            metadata="{}",
        )
    )
    assert told.evaluations == [
        Evaluation(
            name="helpful",
            key="s.annotations.0",
            score=0.25,
            label="low",
            text="curt",
            by="ann",
            is_human=True,
            at=T1,
            about="s",
            extra={"annotator_kind": "HUMAN", "identifier": "ann", "metadata": "{}"},
        )
    ]


@pytest.mark.parametrize(
    ("scope", "about"), [("", "s"), ("trace.", None), ("session.", None)]
)
def test_both_words_for_feedback_are_one(scope: str, about: str | None) -> None:
    """Annotations and evaluations that say the same are one judgement."""
    fields = {"name": "ok", "score": True, "annotator_kind": "LLM"}
    both = feedback(f"{scope}annotations", "annotation", **fields) | feedback(
        f"{scope}evaluations", "evaluation", **fields
    )
    (judged,) = tell(LLM | both).evaluations
    assert (judged.score, judged.about, judged.by) == (True, about, "LLM")
    assert not judged.is_human
    other = feedback(f"{scope}evaluations", "evaluation", name="ok", score="high")
    first, second = tell(LLM | both | other).evaluations
    assert (first.score, second.score, second.extra) == (
        True,
        None,
        {"score": "high", "annotator_kind": "LLM"},
    )


def test_carrier_tells_of_what_it_links_to() -> None:
    """Feedback that comes later is of the linked span and trace, never of its carrier."""
    carried = {"openinference.span.kind": "EVALUATOR"} | feedback(
        "annotations", "annotation", name="ok", label="pass"
    )
    trace = carried | feedback("trace.annotations", "annotation", name="all", label="x")
    link = Link(trace_id="T", span_id="S")
    told = tell(trace, links=[link], parent_id="p")
    assert told.trace_id == "T"
    assert [(j.name, j.about) for j in told.evaluations] == [("ok", "S"), ("all", None)]
    for links in ([], [link, link]):
        lone = tell(carried | {"session.id": "c-1"}, links=links)
        assert (lone.trace_id, lone.task_id) == ("t", "c-1")
        assert [judged.about for judged in lone.evaluations] == [None]


# --- Phoenix ----------------------------------------------------------------

CONTEXT = {"trace_id": "abc", "span_id": "def"}
RECORD = {
    "name": "ChatCompletion",
    "context": CONTEXT,
    "span_kind": "LLM",
    "parent_id": None,
    "start_time": "2026-01-01T00:00:00+00:00",
    "end_time": "2026-01-01T00:00:02+00:00",
    "status_code": "OK",
    "status_message": "",
    "attributes": {
        "llm": {
            "input_messages": [{"message": {"role": "user", "content": "hi"}}],
            "output_messages": [{"message.role": "assistant", "message.content": "ho"}],
            "model_name": "m",
        },
        "metadata": {"shop": {"id": 7}},
        "tag": {"tags": ["a", "b"]},
        "session.id": "c-1",
    },
    "events": [],
}
ROW = {
    "name": "ChatCompletion",
    "context.trace_id": "abc",
    "context.span_id": "def",
    "span_kind": "LLM",
    "start_time": 1767225600000,
    "end_time": 1767225602000,
    "status_code": "OK",
    "attributes.llm.input_messages": [
        {"message.role": "user", "message.content": "hi"}
    ],
    "attributes.llm.output_messages": [
        {"message.role": "assistant", "message.content": "ho"}
    ],
    "attributes.llm.model_name": "m",
    "attributes.session.id": "c-1",
    "attributes.metadata": {"shop": {"id": 7}},
    "attributes.tag.tags": ["a", "b"],
    "attributes.output.value": None,
}


@pytest.mark.parametrize("log_format", ["auto", "openinference"])
@pytest.mark.parametrize(
    "record", [RECORD, ROW, [RECORD], {"data": [RECORD], "next_cursor": None}]
)
def test_exports_of_phoenix(take: Take, record: Any, log_format: str) -> None:
    """Spans of its API and rows of its tables tell the same conversation."""
    landed = take(log_format, record)
    assert landed.refusals == []
    assert [(str(e.kind), e.text) for e in landed.events] == [
        ("task_started", "hi"),
        ("user_message", "hi"),
        ("agent_message", "ho"),
    ]
    assert {e.task_id for e in landed.events} == {"c-1"}
    extra = landed.events[-1].body["extra"]["span"]
    assert extra["metadata"] == {"shop": {"id": 7}}
    assert extra["tag.tags"] == ["a", "b"]
    assert landed.events[0].at == T0


def test_file_that_is_an_array_over_many_lines(take: Take) -> None:
    """A JSON array of spans is read element by element."""
    landed = take(
        "auto", json.dumps([RECORD, ROW | {"context.span_id": "x"}], indent=1)
    )
    assert landed.refusals == []
    assert len(landed.events) == 4


def test_failed_tool_span_with_events_and_links(take: Take) -> None:
    """Status, exception and links of an export are those of the span."""
    landed = take(
        "openinference",
        RECORD
        | {
            "span_kind": "TOOL",
            "name": "look",
            "status_code": "ERROR",
            "status_message": "boom",
            "attributes": None,
            "links": [{"context": {"trace_id": "0xa", "span_id": "0xb"}}],
            "events": [{"name": "exception", "attributes": None}],
        },
    )
    result = landed["def.result"].body
    assert result["error"] == {"type": "error", "message": "boom"}
    assert result["extra"]["span"]["links"] == [{"trace_id": "a", "span_id": "b"}]


ANNOTATION = {
    "id": "a1",
    "name": "helpful",
    "annotator_kind": "LLM",
    "result": {"label": "low", "score": 0.25, "explanation": "curt"},
    "updated_at": "2026-01-01T00:00:05+00:00",
}


def test_annotations_in_a_span_and_on_their_own(take: Take) -> None:
    """Both become a verifier's event of the span that they name."""
    inside = RECORD | {"annotations": [ANNOTATION]}
    apart = ANNOTATION | CONTEXT
    for records in ([inside], [RECORD, apart]):
        landed = take("openinference", *records)
        assert landed.refusals == []
        (judged,) = (e for e in landed.events if e.kind == "verifier")
        assert judged.body["about"] == "def"
        assert judged.body["score"] == 0.25
        assert judged.body["text"] == "curt"
        assert judged.at == T0 + timedelta(seconds=5)


def test_verdict_of_people(take: Take) -> None:
    """An annotation that asks whether a human was needed is the task's verdict."""
    verdict = ANNOTATION | {
        "name": "needed_human",
        "annotator_kind": "HUMAN",
        "result": {"label": "yes"},
    }
    landed = take("openinference", RECORD | {"span_annotations": [verdict]})
    assert landed.events[-1].kind == "verdict"
    assert landed.events[-1].body["needed"] == "yes"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"context": 3}, "context"),
        ({"context": {"trace_id": "a"}}, "context.span_id"),
        ({"context": {"span_id": [], "trace_id": "a"}}, "context.span_id"),
        ({"attributes": [1]}, "attributes"),
        ({"events": {"a": 1}}, "events"),
        ({"links": [{}]}, "links.trace_id"),
        ({"annotations": 1}, "annotations"),
    ],
)
def test_malformed_span_costs_itself_alone(take: Take, change: Any, field: str) -> None:
    """A refusal names field, expected and found; the next span lands."""
    landed = take("openinference", RECORD | change, RECORD, 5)
    first, second = landed.refusals
    assert f"`{field}`" in first.error
    assert (first.line, second.line) == (1, 3)
    assert len(landed.events) == 3


def test_names_larger_than_an_event_are_refused(take: Take) -> None:
    """Nesting that multiplies long names is refused before they are made."""
    wide: Any = {f"k{i}": 1 for i in range(3000)}
    for _ in range(8):
        wide = {"n" * 1000: wide}
    landed = take("openinference", RECORD | {"attributes": wide})
    (refusal,) = landed.refusals
    assert "names of at most" in refusal.error


def test_fits_only_its_own() -> None:
    """Spans of an SDK, and other objects with a context, are of another format."""
    assert openinference.fits(RECORD)
    assert not openinference.fits({"data": []})
    assert not openinference.fits({"data": [{"object": "trace"}]})
    assert not openinference.fits({"context": {}, "start_time": ""})
    assert not openinference.fits([])
    assert not openinference.fits("x")
