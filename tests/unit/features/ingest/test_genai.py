from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from features.ingest._otel.conventions import observed
from features.ingest._otel.spans import Link, Moment, Span
from features.ingest._spans.observation import Observation, What
from features.ingest._talk.genai_messages import (
    chat_messages,
    instructions_of,
    one_answer,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
T1 = T0 + timedelta(milliseconds=1500)


def tell(attributes: Mapping[str, Any], **more: Any) -> Observation:
    span = {"trace_id": "t", "span_id": "s", "started": T0, "ended": T1} | more
    return observed(Span(attributes=dict(attributes), **span))


def chat(**attributes: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat"} | {
        "gen_ai." + name.replace("__", "."): value for name, value in attributes.items()
    }


# --- what a span did --------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        ("chat", What.MODEL),
        ("generate_content", What.MODEL),
        ("text_completion", What.MODEL),
        ("execute_tool", What.TOOL),
        ("retrieval", What.RETRIEVAL),
        ("search_memory", What.RETRIEVAL),
        ("invoke_agent", What.AGENT),
        ("invoke_workflow", What.AGENT),
        ("plan", What.AGENT),
        ("embeddings", What.OTHER),
        ("create_agent", What.OTHER),
        (7, What.OTHER),
    ],
)
def test_operation_says_what_a_span_did(operation: Any, what: What) -> None:
    """The operation's name decides, and stays where it is."""
    told = tell({"gen_ai.operation.name": operation})
    assert told.what is what
    assert told.extra["gen_ai.operation.name"] == operation


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"gen_ai.request.model": "m"}, What.MODEL),
        ({"gen_ai.prompt": "hi"}, What.MODEL),
        ({"gen_ai.tool.call.id": "c"}, What.TOOL),
        ({"mcp.method.name": "tools/call", "gen_ai.tool.name": "x"}, What.TOOL),
        ({"gen_ai.agent.name": "a"}, What.OTHER),
        ({"http.method": "GET"}, What.OTHER),
    ],
)
def test_span_without_an_operation_is_told_by_what_it_carries(
    attributes: dict[str, Any], what: What
) -> None:
    """A model's name or messages make a model's span, a call's id a tool's."""
    assert tell(attributes).what is what


def test_task_user_agent_and_model_are_facts() -> None:
    """The conversation names the task; the response's model beats the request's."""
    told = tell(
        chat(
            conversation__id="c-1",
            request__model="m",
            response__model="m-2",
            agent__id="a-1",
            agent__name="helper",
            agent__version="3",
        )
        | {"user.id": "ann", "session.id": "s-9"}
    )
    assert told.task_id == "c-1"
    assert told.facts == {
        "model": "m-2",
        "agent_id": "a-1",
        "agent_version": "3",
        "group": "ann",
    }
    assert told.extra["session.id"] == "s-9"
    assert told.extra["gen_ai.agent.name"] == "helper"


@pytest.mark.parametrize("name", ["shop", "unknown_service:python"])
def test_service_names_the_agent_at_the_root_alone(name: str) -> None:
    """A root whose process was given a name is that agent; an inner span says nothing."""
    resource = {"service.name": name, "service.version": "7", "host.name": "h"}
    root, inner = (
        tell({}, resource=resource, scope={"name": "i"}, parent_id=parent)
        for parent in ("", "p")
    )
    named = {} if name.startswith("unknown") else {"agent_id": name}
    assert root.facts == named | {"agent_version": "7"}
    assert inner.facts == {"agent_version": "7"}
    assert root.extra == {"resource": resource, "scope": {"name": "i"}}
    assert inner.extra == {}


# --- messages, by generation ------------------------------------------------

PARTS = [
    {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
    {
        "role": "user",
        "parts": [
            {"type": "text", "content": "Look:"},
            {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
            {"type": "blob", "modality": "audio", "content": "UklG", "x": [1]},
            {"type": "odd", "some": {"thing": None}},
        ],
    },
]
ANSWER = {
    "role": "assistant",
    "parts": [
        {"type": "reasoning", "content": "hm"},
        {"type": "text", "content": "One moment."},
        {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"n": 1}},
    ],
    "finish_reason": "tool_calls",
}
GIVEN = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": PARTS[1]["parts"]},
]
ANSWERED = {
    "role": "assistant",
    "content": "One moment.",
    "reasoning": "hm",
    "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": {"n": 1}}}],
    "finish_reason": "tool_calls",
}


@pytest.mark.parametrize("as_text", [True, False])
def test_messages_in_attributes_become_chat_messages(as_text: bool) -> None:  # noqa: FBT001
    """Parts stay verbatim, calls and reasoning are lifted; JSON text or structure."""
    pack = json.dumps if as_text else list
    told = tell(chat(input__messages=pack(PARTS), output__messages=pack([ANSWER])))
    assert told.inputs == GIVEN
    assert told.outputs == [ANSWERED]
    assert told.extra == {"gen_ai.operation.name": "chat"}


def test_details_event_fills_what_the_span_lacks() -> None:
    """An event with all messages tells them; the span's own attributes come first."""
    details = Moment(
        name="gen_ai.client.inference.operation.details",
        attributes={"gen_ai.input.messages": PARTS, "gen_ai.request.model": "other"},
    )
    told = tell(chat(request__model="m"), events=[details])
    assert told.inputs == GIVEN
    assert told.extra == {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
LEGACY = [
    ("gen_ai.system.message", {"content": "Be kind."}),
    ("gen_ai.user.message", {"content": "Where?", "role": "user"}),
    ("gen_ai.assistant.message", {"tool_calls": [CALL]}),
    ("gen_ai.tool.message", {"content": "here", "id": "c1"}),
    (
        "gen_ai.choice",
        {"index": 0, "finish_reason": "stop", "message": {"content": "!"}},
    ),
]
LEGACY_GIVEN = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where?"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "content": "here", "tool_call_id": "c1"},
]
LEGACY_ANSWER = {
    "role": "assistant",
    "content": "!",
    "index": 0,
    "finish_reason": "stop",
}


def in_body(name: str, body: dict[str, Any]) -> Moment:
    return Moment(name=name, body=body)


def in_attributes(name: str, body: dict[str, Any]) -> Moment:
    plain = {k: json.dumps(v) if isinstance(v, list) else v for k, v in body.items()}
    if "message" in plain:
        plain["message"] = json.dumps(plain["message"])
    return Moment(name=name, attributes={"gen_ai.system": "openai"} | plain)


def in_content(name: str, body: dict[str, Any]) -> Moment:
    return Moment(name=name, attributes={"gen_ai.event.content": json.dumps(body)})


@pytest.mark.parametrize("form", [in_body, in_attributes, in_content])
def test_events_of_a_message_each_are_the_exchange(form: Any) -> None:
    """Up to 1.36 each message is an event, with a body, attributes or JSON of both."""
    told = tell(
        {"gen_ai.system": "openai"}, events=[form(*message) for message in LEGACY]
    )
    assert told.what is What.MODEL
    assert told.inputs == LEGACY_GIVEN
    assert told.outputs == [LEGACY_ANSWER]
    assert "events" not in told.extra


def test_events_listed_in_one_attribute_are_read() -> None:
    """A JSON list of the same events as an attribute counts as they do."""
    listed = [{"event.name": name} | body for name, body in LEGACY]
    told = tell({"gen_ai.system": "x", "events": json.dumps(listed)})
    assert told.inputs == LEGACY_GIVEN
    assert told.outputs == [LEGACY_ANSWER]
    assert "events" not in told.extra
    other = tell({"gen_ai.system": "x", "events": '[{"event.name": "odd"}, 3]'})
    assert other.extra["events"] == '[{"event.name": "odd"}, 3]'


def test_content_events_and_attributes_of_the_first_generation() -> None:
    """gen_ai.prompt and gen_ai.completion tell messages, as event or attribute."""
    prompt = json.dumps([{"role": "user", "content": "hi"}])
    events = [
        Moment(name="gen_ai.content.prompt", attributes={"gen_ai.prompt": prompt}),
        Moment(
            name="gen_ai.content.completion", attributes={"gen_ai.completion": "ho"}
        ),
    ]
    for told in (
        tell({"gen_ai.system": "x"}, events=events),
        tell(
            {"gen_ai.system": "x", "gen_ai.prompt": prompt, "gen_ai.completion": "ho"}
        ),
    ):
        assert told.inputs == [{"role": "user", "content": "hi"}]
        assert told.outputs == [{"role": "assistant", "content": "ho"}]


def test_messages_told_field_by_field() -> None:
    """Indexed attributes are messages; a call is its name and arguments there."""
    told = tell(
        {
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": '[{"type": "text", "text": "a"}]',
            "gen_ai.prompt.1.role": "tool",
            "gen_ai.prompt.1.tool_call_id": "c0",
            "gen_ai.prompt.1.content": "[1]",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.finish_reason": "tool_calls",
            "gen_ai.completion.0.tool_calls.0.id": "c1",
            "gen_ai.completion.0.tool_calls.0.name": "look",
            "gen_ai.completion.0.tool_calls.0.arguments": "{}",
        }
    )
    assert told.inputs == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "tool", "tool_call_id": "c0", "content": "[1]"},
    ]
    call = {"id": "c1", "function": {"name": "look", "arguments": "{}"}}
    assert told.outputs == [
        {"role": "assistant", "finish_reason": "tool_calls", "tool_calls": [call]}
    ]


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (Moment(name="gen_ai.user.message", body="hi"), {"content": "hi"}),
        (Moment(name="gen_ai.user.message", body={"message": "hi"}), {"content": "hi"}),
        (Moment(name="gen_ai.user.message"), None),
        (
            Moment(name="gen_ai.user.message", body={"content": "hi", "mood": None}),
            {"content": "hi"},
        ),
    ],
)
def test_event_of_a_message_in_odd_forms(moment: Moment, message: Any) -> None:
    """A body that is text is the content; none at all is no message."""
    told = tell({"gen_ai.system": "x"}, events=[moment])
    assert told.inputs == ([{"role": "user"} | message] if message else [])


def test_messages_nested_too_deeply_stay_text() -> None:
    """What could not be stored as parts is stored as the text it came as."""
    deep = '[{"role": "user", "content": ' + "[" * 120 + "]" * 120 + "}]"
    assert tell(chat(input__messages=deep)).inputs == [
        {"role": "user", "content": deep}
    ]
    many = json.dumps([{"role": "user", "content": "x"}] * 120)
    assert len(tell(chat(input__messages=many)).inputs) == 120


def test_alternatives_to_an_answer_stay_beside_it() -> None:
    """Of several choices the first is the answer; two messages in a row are both."""
    choices = [ANSWER, ANSWER | {"parts": [{"type": "text", "content": "Or so."}]}]
    told = tell(chat(output__messages=json.dumps(choices)))
    assert told.outputs == [ANSWERED]
    (other,) = told.extra["gen_ai.output.messages"]
    assert other["content"] == "Or so."
    legacy = [in_body(*LEGACY[-1])] * 2
    told = tell({"gen_ai.system": "x"}, events=legacy)
    assert told.outputs == [LEGACY_ANSWER]
    assert told.extra["gen_ai.choice"] == [LEGACY_ANSWER]
    row = [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert one_answer(row) == (row, [])


# --- parts ------------------------------------------------------------------


def test_part_that_says_more_than_its_field_is_kept_whole() -> None:
    """A signature on reasoning or on a call keeps all parts, verbatim, beside."""
    parts = [
        {"type": "reasoning", "content": "a", "signature": "Zm9v"},
        {"type": "thinking", "content": "b"},
        {"type": "tool_call", "id": 5, "name": "look"},
    ]
    (message,) = chat_messages([{"role": "assistant", "parts": parts}], "user")
    assert message["parts"] == parts
    assert message["reasoning"] == "a\nb"
    assert message["tool_calls"] == [{"id": "5", "function": {"name": "look"}}]
    assert "content" not in message
    call = {"type": "tool_call", "id": "c", "name": "look", "thought_signature": "Zg"}
    (message,) = chat_messages([{"role": "assistant", "parts": [call]}], "user")
    assert message["parts"] == [call]


def test_tool_answers_become_messages_of_their_own() -> None:
    """Each answer is a tool's message, with its flags; words beside come after."""
    parts = [
        {"type": "tool_call_response", "id": "c1", "response": {"a": 1}},
        {"type": "tool_call_response", "id": "c2", "result": "no", "is_error": True},
        {"type": "tool_call_response", "response": "x", "odd": 1},
    ]
    message = {"role": "tool", "parts": parts, "cached": True}
    assert chat_messages([message], "user") == [
        {"role": "tool", "tool_call_id": "c1", "content": {"a": 1}, "cached": True},
        {"role": "tool", "tool_call_id": "c2", "content": "no", "is_error": True},
        {"role": "tool", "content": "x", "parts": [parts[2]]},
    ]
    spoken = {"role": "user", "parts": [parts[0], {"type": "text", "content": "and?"}]}
    assert chat_messages([spoken], "user") == [
        {"role": "tool", "tool_call_id": "c1", "content": {"a": 1}},
        {"role": "user", "content": "and?"},
    ]


def test_tools_that_the_provider_runs_are_calls_and_answers() -> None:
    """Server tool calls are lifted like others."""
    parts = [
        {
            "type": "server_tool_call",
            "id": "w1",
            "name": "web_search",
            "server_tool_call": {"query": "q"},
        },
        {
            "type": "server_tool_call_response",
            "id": "w1",
            "server_tool_call_response": {"hits": 3},
        },
    ]
    answer, call = chat_messages([{"role": "assistant", "parts": parts}], "user")
    assert answer == {"role": "tool", "tool_call_id": "w1", "content": {"hits": 3}}
    function = {"name": "web_search", "arguments": {"query": "q"}}
    assert call == {
        "role": "assistant",
        "tool_calls": [{"id": "w1", "function": function}],
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, []),
        ("hi", [{"role": "user", "content": "hi"}]),
        ("[not JSON", [{"role": "user", "content": "[not JSON"}]),
        ('{"role": "human", "content": "a"}', [{"role": "user", "content": "a"}]),
        ([{"role": "model", "parts": []}], [{"role": "assistant"}]),
        (
            [{"parts": [{"type": "text", "content": 5}]}],
            [{"role": "user", "content": [{"type": "text", "content": 5}]}],
        ),
        (
            {"messages": [{"role": "ai", "content": 1}]},
            [{"role": "assistant", "content": 1}],
        ),
        (
            [{"role": "user", "content": "a"}, "b", None],
            [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        ),
        (
            [{"role": "tool", "id": 3, "parts": ["x"]}],
            [{"role": "tool", "content": ["x"], "tool_call_id": "3"}],
        ),
    ],
)
def test_messages_in_any_form(raw: Any, expected: Any) -> None:
    """Text, one message, a list of them, of parts or not; roles in our words."""
    assert chat_messages(raw, "user") == expected


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Be kind.", "Be kind."),
        ("", None),
        (None, None),
        ([{"type": "text", "content": "a"}, {"type": "text", "content": "b"}], "a\nb"),
        ('[{"text": "a"}, "b", 3]', "a\nb"),
        ({"parts": [{"text": "a"}, "b", {"x": 1}]}, "a\nb"),
        ([{"content": {"x": 1}}], None),
    ],
)
def test_instructions_in_any_form(raw: Any, text: str | None) -> None:
    """Text, parts, or parts of a message are the instructions."""
    assert instructions_of(raw) == text


def test_instructions_are_the_system_text() -> None:
    """Plain text is taken; parts stay beside, verbatim."""
    plain = tell(chat(system_instructions="Be kind."))
    assert plain.system == "Be kind."
    assert "gen_ai.system_instructions" not in plain.extra
    parts = json.dumps([{"type": "text", "content": "Be kind.", "cache": True}])
    told = tell(chat(system_instructions=parts))
    assert told.system == "Be kind."
    assert told.extra["gen_ai.system_instructions"] == parts


# --- tools, documents, usage, errors ----------------------------------------


@pytest.mark.parametrize("arguments", ['{"n": 1}', {"n": 1}])
@pytest.mark.parametrize("result", ['{"at": "depot"}', {"at": "depot"}])
def test_tool_span_is_the_call_and_its_result(arguments: Any, result: Any) -> None:
    """Arguments and result are objects or JSON; the span's length is the latency."""
    told = tell(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "look",
            "gen_ai.tool.call.id": "c1",
            "gen_ai.tool.call.arguments": arguments,
            "gen_ai.tool.call.result": result,
            "gen_ai.tool.type": "function",
        }
    )
    content = {"content": result} if isinstance(result, dict) else {}
    text = told.tool["text"]
    assert json.loads(text) == {"at": "depot"}
    assert told.tool == content | {
        "tool": "look",
        "call_id": "c1",
        "arguments": {"n": 1},
        "text": text,
        "error": False,
        "latency_ms": 1500.0,
    }
    assert told.extra["gen_ai.tool.type"] == "function"


TOOL = {"gen_ai.operation.name": "execute_tool"}


@pytest.mark.parametrize(
    ("attributes", "more", "error"),
    [
        ({"gen_ai.tool.call.result": '{"isError": true}'}, {}, True),
        ({"gen_ai.tool.call.result": {"status": 503}}, {}, True),
        ({"gen_ai.tool.call.result": '{"status": 200}'}, {}, False),
        ({"error.type": "timeout"}, {}, {"type": "timeout"}),
        ({}, {"failed": True, "status": "boom"}, {"type": "error", "message": "boom"}),
        ({}, {"started": None}, False),
    ],
)
def test_tool_fails_by_its_span_or_by_its_words(
    attributes: dict[str, Any], more: dict[str, Any], error: Any
) -> None:
    """A failed span is an error, and so is one inside a result that succeeded."""
    assert tell(TOOL | attributes, **more).tool["error"] == error


def test_exception_says_why_a_span_failed() -> None:
    """Type and message come from the attribute, the status, else the last exception."""
    raised = Moment(
        name="exception",
        at=T0,
        attributes={"exception.type": "KeyError", "exception.message": "k"},
    )
    told = tell(chat(), failed=True, events=[raised])
    assert told.error == {"type": "KeyError", "message": "k"}
    assert told.extra["events"] == [
        {"name": "exception", "at": T0.isoformat(), "attributes": raised.attributes}
    ]
    assert tell(chat(), events=[raised]).error is None


def test_documents_of_a_retrieval() -> None:
    """Documents are objects; text becomes one, and their JSON is read."""
    found = '[{"id": "d1", "score": 0.5}, "text"]'
    told = tell(
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.retrieval.documents": found,
            "gen_ai.retrieval.query.text": "q",
        }
    )
    assert told.documents == [{"id": "d1", "score": 0.5}, {"content": "text"}]
    assert told.extra["gen_ai.retrieval.query.text"] == "q"
    memory = tell(
        {"gen_ai.operation.name": "search_memory", "gen_ai.memory.records": {"id": 1}}
    )
    assert memory.documents == [{"id": 1}]
    assert tell({"gen_ai.operation.name": "retrieval"}).documents is None


@pytest.mark.parametrize(
    "words",
    [
        {"prompt_tokens": 3, "completion_tokens": 4},
        {"input_tokens": 3, "output_tokens": 4, "cache_read.input_tokens": 2},
        {
            "input_tokens": "3",
            "output_tokens": 4.0,
            "cache_write.input_tokens": 1,
            "reasoning.output_tokens": 2,
        },
    ],
)
def test_usage_of_every_generation(words: dict[str, Any]) -> None:
    """Tokens in our words, and the log's own beside them."""
    named = {"gen_ai.usage." + name: value for name, value in words.items()}
    told = tell(chat() | named | {"gen_ai.usage.cost": 0.5})
    assert told.usage == {
        "tokens_in": 3,
        "tokens_out": 4,
        "cost": 0.5,
        "extra": named | {"gen_ai.usage.cost": 0.5},
    }


@pytest.mark.parametrize("amount", [True, "x", float("inf"), [1]])
def test_amount_that_is_none_is_kept_beside(amount: Any) -> None:
    """What is no finite number counts nothing, and is not lost."""
    usage = tell(chat(usage__input_tokens=amount)).usage
    assert usage == {"extra": {"gen_ai.usage.input_tokens": amount}}


# --- evaluations ------------------------------------------------------------

EVALUATION = {
    "gen_ai.evaluation.name": "helpful",
    "gen_ai.evaluation.score.value": 0.25,
    "gen_ai.evaluation.score.label": "low",
    "gen_ai.evaluation.explanation": "curt",
}


def test_evaluations_come_as_events_and_as_attributes() -> None:
    """Both tell name, score, label and why, of this span."""
    event = Moment(
        name="gen_ai.evaluation.result", at=T0, attributes=EVALUATION | {"judge": "j"}
    )
    told = tell(EVALUATION, events=[event])
    by_event, by_attributes = told.evaluations
    for judged in told.evaluations:
        assert (judged.name, judged.score, judged.label) == ("helpful", 0.25, "low")
        assert (judged.text, judged.about, judged.is_human) == ("curt", "s", False)
    assert (by_event.at, by_attributes.at) == (T0, T1)
    assert by_event.extra == {"judge": "j"}
    assert by_event.key != by_attributes.key
    assert told.extra == {}


@pytest.mark.parametrize(
    ("score", "read"), [(True, True), ("0.5", 0.5), ("high", None), (None, None)]
)
def test_score_that_is_no_number_is_kept(score: Any, read: Any) -> None:
    """A truth value or digits are a score; other words stay beside."""
    told = tell({"gen_ai.evaluation.name": 5, "gen_ai.evaluation.score.value": score})
    (judged,) = told.evaluations
    assert judged.name == "5"
    assert judged.score == read
    kept = {"gen_ai.evaluation.score.value": "high"} if score == "high" else {}
    assert judged.extra == kept


# --- our own ----------------------------------------------------------------


def test_own_attributes_carry_what_no_standard_has() -> None:
    """Task, account, confidence, readings and verifier of ours come first."""
    told = tell(
        chat(conversation__id="c-1")
        | {
            "escalation.task.id": "t-1",
            "escalation.task.domain": "retail",
            "escalation.account.value": 9.5,
            "escalation.self.confidence": 0.75,
            "escalation.self.interpretations": 2,
            "escalation.verifier.name": "checker",
            "escalation.verifier.score": 0.5,
        }
    )
    assert told.task_id == "t-1"
    assert told.facts["domain"] == "retail"
    assert told.facts["account"] == {"value": 9.5}
    assert told.confidence == {"value": 0.75, "source": "verbalized"}
    assert told.interpretations == 2
    (judged,) = told.evaluations
    assert (judged.name, judged.score) == ("checker", 0.5)
    assert told.extra["gen_ai.conversation.id"] == "c-1"


@pytest.mark.parametrize(
    ("agree", "score", "read", "kept"),
    [
        ("True", 0.5, True, {"score": 0.5}),
        (None, "0.5", 0.5, {}),
        ([], 0.5, 0.5, {"agree": []}),
        ("maybe", [], None, {"agree": "maybe", "score": []}),
    ],
)
def test_own_verifier_in_odd_words(
    agree: Any, score: Any, read: Any, kept: Any
) -> None:
    """Whether it agrees comes before how much; what is neither stays beside."""
    told = {"escalation.verifier.agree": agree, "escalation.verifier.score": score}
    (judged,) = tell(told).evaluations
    assert (judged.score, judged.extra) == (read, kept)


def test_links_and_other_events_stay_under_extra() -> None:
    """What nothing reads of a span's events and links is kept as objects."""
    link = Link(trace_id="a", span_id="b", attributes={"k": 1})
    told = tell(
        {"acme": 1},
        parent_id="p",
        links=[link],
        events=[Moment(name="odd", body={"x": 1})],
    )
    assert told.extra == {
        "acme": 1,
        "events": [{"name": "odd", "body": {"x": 1}}],
        "links": [{"trace_id": "a", "span_id": "b", "attributes": {"k": 1}}],
    }


@pytest.mark.parametrize("none", [[], "[]"])
def test_input_without_messages_says_nothing(none: Any) -> None:
    """A conversation that has not begun is no message of the user."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": none}
    span = Span(trace_id="t", span_id="s", attributes=attributes)
    assert observed(span).inputs == []
