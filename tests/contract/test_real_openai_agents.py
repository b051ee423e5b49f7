"""Traces that the OpenAI Agents SDK itself made, offline, read without being named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

DESK = "openai_support_desk.py"
TASK = "conversation-1"


@pytest.fixture(scope="module", params=["chat", "responses"])
def vocabulary(request: pytest.FixtureRequest) -> str:
    """Return which of its two APIs the SDK spoke."""
    return str(request.param)


@pytest.fixture(scope="module")
def log(vocabulary: str, played: Callable[..., Path]) -> Path:
    """Return the traces of one conversation."""
    return played(DESK, vocabulary)


@pytest.fixture(scope="module")
def desk(log: Path, landed: Callable[[Path], Any]) -> Any:
    """Return what they gave."""
    return landed(log)


def test_group_is_one_task_and_its_conversation_is_told_once(
    desk: Any, vocabulary: str
) -> None:
    """Two traces that each repeat the history give one log in order."""
    assert (desk.format, desk.refusals) == ("openai-agents", [])
    assert {event.task_id for event in desk.events} == {TASK}
    thought = [("plan", "Look first.")] if vocabulary == "responses" else []
    assert desk.conversation(TASK) == [
        ("user_message", "Where is order 7?"),
        *thought,
        ("tool_call", "lookup_order"),
        ("tool_result", "{'order': 7, 'status': 'lost'}"),
        ("tool_call", "transfer_to_billing"),
        ("tool_result", '{"assistant": "billing"}'),
        ("agent_message", "Trying."),
        ("tool_call", "refund_order"),
        (
            "tool_result",
            "An error occurred while running the tool. Please try again.",
        ),
        ("agent_message", "I could not refund it."),
    ]


def test_calls_have_their_arguments_and_results_their_errors(desk: Any) -> None:
    """A tool's own span and the model's call of it are one call."""
    call = desk.one("tool_call", tool="refund_order")
    assert (call["arguments"], call["call_id"]) == ({"order": 7}, "c3")
    failed = desk.one("tool_result", call_id="c3")
    assert failed["error"]["type"] == "error"
    assert failed["error"]["data"]["tool_name"] == "refund_order"
    assert failed["latency_ms"] > 0
    assert desk.one("tool_result", call_id="c1")["error"] is False


def test_model_calls_alone_count_tokens(desk: Any) -> None:
    """A turn and a task repeat the sum of what their calls spent."""
    spent = [(e.body["tokens_in"], e.body["tokens_out"]) for e in desk.of("usage")]
    assert spent == [(11, 3)] * 4


def test_guardrail_is_a_verifier_that_agrees_until_it_trips(desk: Any) -> None:
    """The second turn tripped it, before any model was asked."""
    judged = [(e.body["by"], e.body["agree"]) for e in desk.of("verifier")]
    assert judged == [("no_threats", True), ("no_threats", False)]


def test_facts_come_from_agents_models_and_metadata(desk: Any) -> None:
    """What the trace, its agents and its models say of the task is told of it."""
    facts = desk.facts()
    assert facts["agent_id"] == "triage"
    assert facts["model"] == "scripted"
    assert facts["domain"] == "retail"
    assert facts["system"] == "Sort."
    assert facts["text"] == "Where is order 7?"


def test_what_no_field_tells_is_kept(desk: Any, log: Path) -> None:
    """Handoffs, turns and the settings of a model call stay as they came."""
    raw = [json.loads(line) for line in log.read_text().splitlines()]
    spans = [s for record in raw for s in record.get("data", [record])]
    kept = {e.body["span_id"]: e.body.get("extra", {}) for e in desk.of("span")}
    named = [s for s in spans if s.get("span_data", {}).get("type") == "custom"]
    named += [s for s in spans if s.get("span_data", {}).get("type") == "handoff"]
    assert len(named) == 8
    for span in named:
        told = {k: v for k, v in span["span_data"].items() if v is not None}
        assert kept[span["id"]]["span_data"] == told
    traces = {s["id"]: s["metadata"] for s in spans if s["object"] == "trace"}
    assert {i: kept[i]["metadata"] for i in traces} == traces


def test_log_probabilities_and_sealed_reasoning_survive(
    desk: Any, vocabulary: str
) -> None:
    """Responses carry confidence in their text, and reasoning that only they read."""
    if vocabulary == "chat":  # which have neither, so none is made up
        assert all("confidence" not in e.body for e in desk.of("agent_message"))
        assert "encrypted_content" not in repr([e.body for e in desk.events])
        return
    sure = [e.body["confidence"] for e in desk.of("agent_message")]
    assert [s["value"] for s in sure] == [pytest.approx(0.7788, abs=1e-4)] * 2
    item = desk.one("plan")["extra"]["items"][0]
    assert item["encrypted_content"] == "c2VhbGVk"
