"""A task's log is put together once from spans that tell it many times over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import AgentEvent, parse
from features.ingest._spans.conversation import Conversation
from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)

T0 = datetime(2026, 3, 1, 9, tzinfo=UTC)
Message = dict[str, Any]


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def agent(text: str) -> Message:
    return {"role": "assistant", "content": text}


def asks(tool: str, arguments: Any, call_id: str | None) -> Message:
    call: Message = {"function": {"name": tool, "arguments": arguments}}
    if call_id is not None:
        call["id"] = call_id
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def answers(text: str, call_id: str | None) -> Message:
    named = {} if call_id is None else {"tool_call_id": call_id}
    return {"role": "tool", "content": text, **named}


def model(
    number: int,
    inputs: Sequence[Any],
    outputs: Sequence[Message],
    *,
    trace: str = "t",
    **more: Any,
) -> Observation:
    return Observation(
        trace_id=trace,
        span_id=f"s{number}",
        what=What.MODEL,
        started=T0 + timedelta(seconds=number),
        ended=T0 + timedelta(seconds=number, milliseconds=500),
        inputs=inputs,
        outputs=outputs,
        **more,
    )


def tool_span(
    number: int, *, trace: str = "t", error: Any = None, **tool: Any
) -> Observation:
    return Observation(
        trace_id=trace,
        span_id=f"s{number}",
        what=What.TOOL,
        started=T0 + timedelta(seconds=number),
        ended=T0 + timedelta(seconds=number, milliseconds=500),
        tool=tool,
        error=error,
    )


def log_of(*spans: Observation) -> list[AgentEvent]:
    refused: list[Any] = []
    conversation = Conversation("task", lambda *why: refused.append(why))
    events = [parse(wire) for span in spans for wire in conversation.take(span)]
    assert refused == []
    return events


def said(events: Sequence[AgentEvent]) -> list[tuple[str, Any]]:
    """Return kind and content of what was said and done, in order."""
    kinds = {"user_message", "agent_message", "plan", "message"}
    content = {"tool_call": "tool", "tool_result": "text"} | dict.fromkeys(
        kinds, "text"
    )
    return [
        (str(e.kind), e.body.get(content[e.kind])) for e in events if e.kind in content
    ]


def test_repeated_history_lands_once() -> None:
    """Each model span repeats all that came before; the log holds it once."""
    first = model(1, [user("hi")], [agent("hello")])
    second = model(2, [user("hi"), agent("hello"), user("bye")], [agent("so long")])
    assert said(log_of(first, second)) == [
        ("user_message", "hi"),
        ("agent_message", "hello"),
        ("user_message", "bye"),
        ("agent_message", "so long"),
    ]


def test_task_starts_with_the_request_and_the_instructions() -> None:
    """The first event names the request, the system prompt and the span's facts."""
    system = {"role": "system", "content": "Be kind."}
    span = model(1, [system, user("hi")], [], facts={"agent_id": "a", "model": "m"})
    start = log_of(span)[0]
    assert start.event_id == "start"
    assert start.body == {
        "text": "hi",
        "system": "Be kind.",
        "agent_id": "a",
        "model": "m",
        "trace_id": "t",
    }


def test_facts_that_come_late_are_told_when_they_come() -> None:
    """What only a later span knows of the task is a second `task_started`."""
    first = model(1, [user("hi")], [agent("hello")], facts={"model": "m"})
    second = model(
        2, [user("hi"), agent("hello"), user("x")], [], facts={"domain": "d"}
    )
    started = [e for e in log_of(first, second) if e.kind == "task_started"]
    assert [e.event_id for e in started] == ["start", "s2.facts"]
    assert started[1].body == {"domain": "d", "trace_id": "t"}


def test_same_words_said_twice_are_two_messages() -> None:
    """History that holds a repetition keeps it, and tells it from its own echo."""
    two = [user("yes"), agent("sure?"), user("yes")]
    spans = [
        model(1, two[:1], [agent("sure?")]),
        model(2, two, [agent("done")]),
        model(3, [*two, agent("done"), user("yes")], [agent("done")]),
    ]
    assert [text for _, text in said(log_of(*spans))] == [
        "yes",
        "sure?",
        "yes",
        "done",
        "yes",
        "done",
    ]


def test_retried_model_call_says_nothing_twice() -> None:
    """A call that failed and was sent again has the same input: it lands once."""
    failed = model(1, [user("hi")], [], error={"type": "timeout", "message": "late"})
    again = model(2, [user("hi")], [agent("hello")])
    events = log_of(failed, again)
    assert said(events) == [("user_message", "hi"), ("agent_message", "hello")]
    (span,) = [e for e in events if e.kind == "span"]
    assert span.body["extra"]["error"] == {"type": "timeout", "message": "late"}


def test_history_that_was_cut_loses_nothing_new() -> None:
    """An input from which the oldest messages were dropped still gives what is new."""
    spans = [
        model(1, [user("a")], [agent("b")]),
        model(2, [user("a"), agent("b"), user("a")], [agent("d")]),
        model(3, [agent("d"), user("a")], [agent("f")]),
    ]
    assert [text for _, text in said(log_of(*spans))] == ["a", "b", "a", "d", "a", "f"]


def test_turn_of_a_new_trace_without_history_is_new() -> None:
    """Where the server keeps the history, a turn's input is the user's words alone."""
    spans = [
        model(1, [user("yes")], [agent("sure?")], trace="one"),
        model(2, [user("yes")], [agent("done")], trace="two"),
    ]
    assert [text for _, text in said(log_of(*spans))] == ["yes", "sure?", "yes", "done"]


@pytest.mark.parametrize("call_id", ["c1", None])
@pytest.mark.parametrize("span_has_id", [True, False])
def test_call_told_three_times_lands_once(
    call_id: str | None, *, span_has_id: bool
) -> None:
    """The answer, the tool's span and the next input tell one call and one result."""
    ask, answer = asks("find", {"id": 7}, call_id), answers("found", call_id)
    named = {"call_id": call_id} if span_has_id and call_id else {}
    spans = [
        model(1, [user("hi")], [ask]),
        tool_span(2, tool="find", arguments={"id": 7}, text="found", **named),
        model(3, [user("hi"), ask, answer], [agent("here")]),
    ]
    events = log_of(*spans)
    assert said(events) == [
        ("user_message", "hi"),
        ("tool_call", "find"),
        ("tool_result", "found"),
        ("agent_message", "here"),
    ]
    call, result = (e for e in events if e.kind in {"tool_call", "tool_result"})
    assert call.body["call_id"] == result.body["call_id"]


@pytest.mark.parametrize("call_id", ["c", None])
def test_equal_calls_are_told_apart(call_id: str | None) -> None:
    """The same call made twice is two calls, with and without ids."""
    history: list[Message] = [user("hi")]
    spans = []
    for turn in range(2):
        named = None if call_id is None else f"{call_id}{turn}"
        ask = asks("find", {}, named)
        spans += [
            model(10 * turn, list(history), [ask]),
            tool_span(10 * turn + 1, tool="find", arguments={}, text="none"),
        ]
        history += [ask, answers("none", named)]
    spans.append(model(30, history, [agent("sorry")]))
    kinds = [kind for kind, _ in said(log_of(*spans))]
    assert kinds == [
        "user_message",
        *("tool_call", "tool_result") * 2,
        "agent_message",
    ]


def test_tool_spans_alone_tell_calls_and_results() -> None:
    """Without the model's messages the tool's span gives both, error and all."""
    failed = {"type": "Timeout", "message": "late"}
    span = tool_span(1, tool="cancel_order", arguments={"id": 7}, error=failed)
    call, result = log_of(span)[1:]
    assert (call.kind, call.body["is_write"], call.body["arguments"]) == (
        "tool_call",
        True,
        {"id": 7},
    )
    assert (result.kind, result.body["error"]) == ("tool_result", failed)


def test_sub_agents_talk_is_reasoning() -> None:
    """Messages that share nothing with the conversation are not the user's."""
    spans = [
        model(1, [user("refund me")], [asks("research", {}, "c1")]),
        model(2, [user("Find the policy on refunds.")], [agent("30 days")]),
        tool_span(3, tool="research", arguments={}, text="30 days", call_id="c1"),
    ]
    assert said(log_of(*spans)) == [
        ("user_message", "refund me"),
        ("tool_call", "research"),
        ("message", "Find the policy on refunds."),
        ("plan", "30 days"),
        ("tool_result", "30 days"),
    ]


def test_user_of_a_server_that_remembers_is_no_sub_agent() -> None:
    """In one trace a turn without history is the user's, if no call is under way."""
    spans = [
        model(1, [user("hi")], [agent("hello")]),
        model(2, [user("refund me")], [agent("done")]),
    ]
    assert ("user_message", "refund me") in said(log_of(*spans))


def test_other_instructions_make_a_sub_agent() -> None:
    """A model that is told to be someone else does not talk to the user."""
    spans = [
        model(1, [user("refund me")], [agent("Let me see.")]),
        model(2, [user("Sum this up.")], [agent("A refund.")], system="You sum up."),
    ]
    assert said(log_of(*spans))[2:] == [
        ("message", "Sum this up."),
        ("plan", "A refund."),
    ]


def test_guard_that_quotes_the_user_makes_nobody_a_sub_agent() -> None:
    """A router's prompt holds the user's words; the agent's own call still counts."""
    spans = [
        model(1, [user("Sort: 'refund me now'")], [agent("refund")], system="Sort."),
        model(2, [user("refund me now")], [agent("Of course.")]),
    ]
    assert ("user_message", "refund me now") in said(log_of(*spans))
    assert ("agent_message", "Of course.") in said(log_of(*spans))


def test_run_speaks_only_where_its_model_was_silent() -> None:
    """An agent's span gives request and answer if no model's span gave messages."""
    run = replace(model(9, [user("hi")], [agent("hello")]), what=What.AGENT)
    silent = model(1, [], [], usage={"tokens_in": 3})
    spoken = model(1, [user("hi")], [agent("hello")])
    once = [("user_message", "hi"), ("agent_message", "hello")]
    assert said(log_of(silent, run)) == once
    assert said(log_of(spoken, run)) == once


def test_what_has_no_name_is_kept_with_the_span() -> None:
    """Attributes that nothing reads stand under `extra` of the span's main event."""
    extra = {"vendor.flag": [1, {"x": None}]}
    told = model(1, [user("hi")], [agent("hello")], extra=extra)
    structure = replace(model(2, [], [], extra=extra), what=What.OTHER, name="chain")
    events = log_of(told, structure)
    answer = next(e for e in events if e.kind == "agent_message")
    assert answer.body["extra"]["span"] == extra
    assert events[-1].kind == "span"
    assert events[-1].body["extra"] == extra
    assert events[-1].body["name"] == "chain"


def test_confidence_goes_with_the_answer() -> None:
    """What the agent says of itself stands on its message, or on its call."""
    sure = {"value": 0.4, "source": "verbalized"}
    events = log_of(model(1, [user("hi")], [agent("hello")], confidence=sure))
    assert events[-1].body["confidence"] == sure
    events = log_of(model(1, [user("hi")], [asks("f", {}, "c")], confidence=sure))
    assert events[-1].body["confidence"] == sure


def test_malformed_message_costs_itself_alone() -> None:
    """The rest of the span lands, and the refusal names the message."""
    refused: list[Any] = []
    conversation = Conversation("task", lambda *why: refused.append(why))
    wires = conversation.take(model(1, [user("hi"), 5, user("there")], []))
    texts = [w["text"] for w in wires if w["kind"] == "user_message"]
    assert texts == ["hi", "there"]
    assert len(refused) == 1


# --- judgements -------------------------------------------------------------


def judged(of: dict[str, Any]) -> dict[str, Any]:
    conversation = Conversation("task", lambda *_: None)
    conversation.take(model(1, [user("hi")], [agent("hello")]))
    plain: dict[str, Any] = {"name": "q", "key": "e1", "at": T0 + timedelta(minutes=1)}
    (wire,) = conversation.judge(Evaluation(**plain | of), "t")
    return wire


@pytest.mark.parametrize(
    ("told", "kind", "read"),
    [
        ({"score": 0.25}, "verifier", {"score": 0.25}),
        ({"score": 7.0}, "verifier", {}),
        ({"score": True}, "verifier", {"agree": True}),
        ({"label": "fail"}, "verifier", {"agree": False}),
        ({"label": "teal"}, "verifier", {}),
        ({"score": 0.25, "name": "toxicity"}, "verifier", {"score": 0.75}),
        ({"score": 0.25, "is_human": True}, "annotation", {"score": 0.25}),
        ({"score": 0.25, "at": None}, "annotation", {"score": 0.25}),
        ({"score": 1, "at": T0 + timedelta(hours=1)}, "annotation", {"score": 1}),
        ({"name": "needed_human", "score": True}, "verdict", {"needed": "yes"}),
        ({"name": "needed_human", "score": 0}, "verdict", {"needed": "no"}),
        ({"name": "Need_Human", "label": "No"}, "verdict", {"needed": "no"}),
        ({"name": "needed_human"}, "verdict", {"needed": "uncertain"}),
    ],
)
def test_judgement_is_read_as_what_it_is(
    told: dict[str, Any], kind: str, read: dict[str, Any]
) -> None:
    """In time and by a machine: a verifier. By people: a verdict, or kept unread."""
    wire = judged(told)
    assert wire["kind"] == kind
    fields = {k: wire[k] for k in ("score", "agree", "needed") if k in wire}
    assert fields == read


def test_judgement_lands_once() -> None:
    """The same feedback exported twice is one event."""
    conversation = Conversation("task", lambda *_: None)
    told = Evaluation(name="quality", key="e1", score=1.0, at=T0)
    assert len(conversation.judge(told, "t")) == 1
    assert conversation.judge(told, "t") == []


# --- any conversation, told any way -----------------------------------------


@dataclass
class Agent:
    """Plays a conversation and keeps the truth beside the spans that tell it."""

    ids: bool
    history: list[Message] = field(default_factory=list)
    truth: list[tuple[str, Any]] = field(default_factory=list)
    spans: list[Observation] = field(default_factory=list)

    def turn(self, words: str, calls: Sequence[str], answer: str, trace: str) -> None:
        """Play one turn of the user, with the agent's calls and answer."""
        self.history.append(user(words))
        self.truth.append(("user_message", words))
        for tool in calls:
            self.call(tool, trace)
        self.ask_model([agent(answer)], trace)
        self.history.append(agent(answer))
        self.truth.append(("agent_message", answer))

    def call(self, tool: str, trace: str) -> None:
        """Play one call: the model asks for it, the tool answers."""
        number = len(self.spans)
        call_id = f"c{number}" if self.ids else None
        ask = asks(tool, {}, call_id)
        self.ask_model([ask], trace)
        named = {"call_id": call_id} if call_id else {}
        span = tool_span(
            len(self.spans), trace=trace, tool=tool, arguments={}, text="ok", **named
        )
        self.spans.append(span)
        self.history += [ask, answers("ok", call_id)]
        self.truth += [("tool_call", tool), ("tool_result", "ok")]

    def ask_model(self, outputs: list[Message], trace: str) -> None:
        """Tell one call of the model, which is given all that came before."""
        number = len(self.spans)
        self.spans.append(model(number, list(self.history), outputs, trace=trace))


WORDS = st.sampled_from(["yes", "no", "hi"])
TURNS = st.lists(
    st.tuples(WORDS, st.lists(st.sampled_from(["find", "buy"]), max_size=2), WORDS),
    min_size=1,
    max_size=4,
)


def played(turns: Any, *, ids: bool, traces: bool) -> Agent:
    player = Agent(ids)
    for number, (words, calls, answer) in enumerate(turns):
        player.turn(words, calls, answer, f"t{number}" if traces else "t")
    return player


@given(turns=TURNS, ids=st.booleans(), traces=st.booleans())
def test_log_is_the_conversation(turns: Any, *, ids: bool, traces: bool) -> None:
    """However often spans repeat it, the log is what happened, once and in order."""
    player = played(turns, ids=ids, traces=traces)
    assert said(log_of(*player.spans)) == player.truth


@given(turns=TURNS, ids=st.booleans(), traces=st.booleans(), data=st.data())
def test_resumed_conversation_goes_on_where_it_was(
    turns: Any, *, ids: bool, traces: bool, data: st.DataObject
) -> None:
    """A receiver restarted at any span, sent old spans again, says nothing twice."""
    spans = played(turns, ids=ids, traces=traces).spans
    cut = data.draw(st.integers(0, len(spans)), label="restarted after")
    again = data.draw(st.integers(0, cut), label="sent again from")
    before = log_of(*spans[:cut])
    conversation = Conversation("task", lambda *_: None).resume(before)
    rest = [parse(w) for s in spans[again:] for w in conversation.take(s)]
    assert [e.to_json() for e in [*before, *rest]] == [
        e.to_json() for e in log_of(*spans)
    ]
