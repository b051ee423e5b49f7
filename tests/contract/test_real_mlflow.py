"""Traces that MLflow itself recorded, offline, read without being named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

TASK = "session-1"


@pytest.fixture(scope="module")
def log(played: Callable[..., Path]) -> Path:
    """Return the traces of one session."""
    return played("mlflow_agent.py")


@pytest.fixture(scope="module")
def session(log: Path, landed: Callable[[Path], Any]) -> Any:
    """Return what they gave."""
    return landed(log)


def test_session_is_one_task_and_its_conversation_is_told_once(session: Any) -> None:
    """Two traces whose models repeat the history give one log in order."""
    assert (session.format, session.refusals) == ("mlflow", [])
    assert {event.task_id for event in session.events} == {TASK}
    assert session.conversation(TASK) == [
        ("user_message", "Where is order 7?"),
        ("tool_call", "lookup_order"),
        ("tool_result", '{"order":7,"status":"lost"}'),
        ("agent_message", "It is lost."),
        ("user_message", "Then refund it."),
        ("tool_call", "refund_order"),
        ("tool_result", ""),
        ("agent_message", "I could not."),
    ]


def test_calls_have_their_arguments_and_results_their_errors(session: Any) -> None:
    """An exception in a tool is its result, with type, words and stack trace."""
    assert session.one("tool_call", call_id="c2")["arguments"] == {"order": 7}
    error = session.one("tool_result", call_id="c2")["error"]
    assert (error["type"], error["message"]) == (
        "RuntimeError",
        "ledger is closed for 7",
    )
    assert "refund_order" in error["stacktrace"]
    assert session.one("tool_result", call_id="c1")["error"] is False


def test_documents_are_what_the_retriever_found(session: Any) -> None:
    """A retrieval keeps its documents as they came."""
    (document,) = session.one("retrieval")["documents"]
    assert document["page_content"] == "refunds: 30 days"
    assert document["metadata"] == {"score": 0.9}


def test_usage_and_cost_are_those_of_model_calls(session: Any) -> None:
    """The trace repeats their sum, which is not counted again."""
    spent = [
        (e.body["tokens_in"], e.body["tokens_out"], e.body["cost"])
        for e in session.of("usage")
    ]
    assert spent == [(11, 3, 0.75)] * 4


def test_assessments_are_verifiers_verdicts_and_annotations(session: Any) -> None:
    """A judge may feed a signal; what people say is an outcome."""
    polite = session.one("verifier")
    assert (polite["verifier"], polite["score"], polite["by"]) == (
        "polite",
        0.9,
        "scripted",
    )
    verdict = session.one("verdict")
    assert (verdict["needed"], verdict["source"]) == ("yes", "human")
    assert (verdict["by"], verdict["note"]) == ("reviewer", "money")
    expected = session.one("annotation")
    assert expected["verifier"] == "answer"
    packed = expected["extra"]["expectation"]["serialized_value"]["value"]
    assert json.loads(packed) == {"refund": True}


def test_facts_and_confidence_are_read(session: Any) -> None:
    """User, model and instructions are facts; our own attribute is the confidence."""
    facts = session.facts()
    assert (facts["group"], facts["model"]) == ("customer-1", "scripted")
    assert facts["system"] == "Be kind."
    sure = [e.body["confidence"] for e in session.of("agent_message")]
    assert sure == [{"value": 0.8, "source": "verbalized"}] * 2


def test_attributes_that_no_field_tells_are_kept_byte_for_byte(
    session: Any, log: Path
) -> None:
    """An attribute of the agent's own comes through as the text it was stored as."""
    first = json.loads(log.read_text().splitlines()[0])
    stored = {
        span["attributes"]["shop.shelf"]
        for span in first["data"]["spans"]
        if "shop.shelf" in span["attributes"]
    }
    kept = [
        e.body["extra"]["span"]["attributes"]["shop.shelf"]
        for e in session.of("agent_message")
    ]
    assert [json.loads(text) for text in kept] == [{"row": [1, None, "é"]}] * 2
    assert set(kept) == stored
    (trace, _) = [e for e in session.of("span") if e.body["what"] == "other"]
    tags = trace.body["extra"]["tags"]
    assert tags == first["info"]["tags"]
