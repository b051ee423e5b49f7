"""Runs that the LangSmith client itself sent, offline, read without being named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

TASK = "thread-1"


@pytest.fixture(scope="module", params=["sent", "listed"])
def log(request: pytest.FixtureRequest, played: Callable[..., Path]) -> Path:
    """Return what the client sent, and the same runs as it lists them."""
    return played("langsmith_agent.py", request.param)


@pytest.fixture(scope="module")
def thread(log: Path, landed: Callable[[Path], Any]) -> Any:
    """Return what they gave."""
    return landed(log)


def test_thread_is_one_task_and_its_conversation_is_told_once(thread: Any) -> None:
    """Two traces of LangChain messages that repeat the history give one log."""
    assert (thread.format, thread.refusals) == ("langsmith", [])
    assert {event.task_id for event in thread.events} == {TASK}
    assert thread.conversation(TASK) == [
        ("user_message", "Where is order 7?"),
        ("tool_call", "lookup_order"),
        ("tool_result", '{"order":7,"status":"lost"}'),
        ("agent_message", "It is lost."),
        ("user_message", "Then refund it."),
        ("tool_call", "refund_order"),
        ("tool_result", ""),
        ("agent_message", "I could not."),
    ]


def test_calls_have_their_arguments_and_results_their_errors(thread: Any) -> None:
    """A tool that raised says with what, and its call is the model's."""
    assert thread.one("tool_call", call_id="c2")["arguments"] == {"order": 7}
    error = thread.one("tool_result", call_id="c2")["error"]
    assert error["type"] == "RuntimeError"
    assert "ledger is closed for 7" in error["message"]
    assert thread.one("tool_result", call_id="c1")["error"] is False


def test_documents_are_what_the_retriever_found(thread: Any) -> None:
    """A retrieval keeps its documents as they came."""
    assert thread.one("retrieval")["documents"] == [
        {
            "page_content": "refunds: 30 days",
            "type": "Document",
            "metadata": {"score": 0.9},
        }
    ]


def test_model_runs_alone_count_tokens(thread: Any) -> None:
    """Usage is told once for each call of the model."""
    spent = [(e.body["tokens_in"], e.body["tokens_out"]) for e in thread.of("usage")]
    assert spent == [(11, 3)] * 4


def test_feedback_is_a_verifier_or_a_verdict(thread: Any) -> None:
    """A model's judgement may feed a signal; the answer to the question is a label."""
    polite = thread.one("verifier")
    assert (polite["verifier"], polite["score"], polite["by"]) == (
        "polite",
        0.9,
        "model",
    )
    verdict = thread.one("verdict")
    assert (verdict["needed"], verdict["note"]) == ("yes", "money")
    assert verdict["source"] == "log"


def test_facts_and_confidence_are_read(thread: Any) -> None:
    """User, model and instructions are facts; our own metadata is the confidence."""
    facts = thread.facts()
    assert (facts["group"], facts["model"]) == ("customer-1", "scripted")
    assert facts["system"] == "Be kind."
    sure = [e.body["confidence"] for e in thread.of("agent_message")]
    assert sure == [{"value": 0.8, "source": "verbalized"}] * 2


def test_what_no_field_tells_is_kept(thread: Any, log: Path) -> None:
    """Runtime, metadata and what stands beside a message stay as they were sent."""
    for said in thread.of("agent_message"):
        assert said.body["extra"]["generation_info"] == {"shelf": "é"}
    raw = [json.loads(line) for line in log.read_text().splitlines()]
    rows = [row for record in raw for row in record.get("post", [record])]
    extras = {row["id"]: row["extra"] for row in rows if row.get("run_type") == "llm"}
    kept = {
        e.body["span_id"]: e.body["extra"]["span"]["extra"]
        for e in [*thread.of("agent_message"), *thread.of("tool_call")]
    }
    assert kept == extras
