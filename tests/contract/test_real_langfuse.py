"""What the Langfuse client itself sent, offline, read without being named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.events import AgentEvent
from features.ingest import Refusal, detect, read

pytestmark = pytest.mark.slow

TASK = "session-1"
CONVERSATION = [
    ("user_message", "Where is order 7?"),
    ("tool_call", "lookup_order"),
    ("tool_result", '{"order":7,"status":"lost"}'),
    ("agent_message", "It is lost."),
    ("user_message", "Then refund it."),
    ("tool_call", "refund_order"),
    ("tool_result", ""),
    ("agent_message", "I could not."),
]


@pytest.fixture(scope="module")
def log(played: Callable[..., Path]) -> Path:
    """Return the session as the public API lists it; beside it lies what was sent."""
    return played("langfuse_agent.py")


@pytest.fixture(scope="module")
def session(log: Path, landed: Callable[[Path], Any]) -> Any:
    """Return what the list gave."""
    return landed(log)


def test_session_is_one_task_and_its_conversation_is_told_once(session: Any) -> None:
    """Two traces whose generations repeat the history give one log in order."""
    assert (session.format, session.refusals) == ("langfuse", [])
    assert {event.task_id for event in session.events} == {TASK}
    assert session.conversation(TASK) == CONVERSATION


def test_calls_have_their_arguments_and_results_their_errors(session: Any) -> None:
    """A tool at level ERROR failed with its status message."""
    assert session.one("tool_call", call_id="c2")["arguments"] == {"order": 7}
    failed = session.one("tool_result", call_id="c2")["error"]
    assert failed == {"type": "error", "message": "ledger is closed for 7"}
    assert session.one("tool_result", call_id="c1")["error"] is False


def test_usage_counts_cached_tokens_and_dollars(session: Any) -> None:
    """Every kind of input is input."""
    spent = [
        (e.body["tokens_in"], e.body["tokens_out"], e.body["cost"])
        for e in session.of("usage")
    ]
    assert spent == [(11, 3, 0.75)] * 4


def test_scores_are_a_verifier_and_a_verdict_of_a_person(session: Any) -> None:
    """An annotation is a label; an evaluator's score may feed a signal."""
    polite = session.one("verifier")
    assert (polite["verifier"], polite["score"]) == ("polite", 0.9)
    verdict = session.one("verdict")
    assert (verdict["needed"], verdict["source"]) == ("yes", "human")
    assert (verdict["by"], verdict["note"]) == ("reviewer", "money")


def test_facts_and_confidence_are_read(session: Any) -> None:
    """User, model and instructions are facts; our own metadata is the confidence."""
    facts = session.facts()
    assert (facts["group"], facts["model"]) == ("customer-1", "scripted")
    assert facts["system"] == "Be kind."
    sure = [e.body["confidence"] for e in session.of("agent_message")]
    assert sure == [{"value": 0.8, "source": "verbalized"}] * 2


def test_metadata_of_the_agents_own_is_kept(session: Any) -> None:
    """What no field tells stands under the observation it came with."""
    kept = [e.body["extra"]["span"]["metadata"] for e in session.of("agent_message")]
    assert kept == [{"escalation.self.confidence": 0.8, "shop.shelf": "é"}] * 2


def test_what_the_client_sent_is_the_same_task_with_its_scores(log: Path) -> None:
    """Its spans are OpenTelemetry's and its scores are not; read together they meet."""
    sent = [*log.parent.glob("spans*.binpb"), *log.parent.glob("scores*.json")]
    assert {detect(path) for path in sent} == {"otlp", "langfuse"}
    refusals: list[Refusal] = []
    events: list[AgentEvent] = list(read("auto", sent, on_refused=refusals.append))
    assert refusals == []
    assert {event.task_id for event in events} == {TASK}
    spoken = [e.text for e in events if e.kind in {"user_message", "agent_message"}]
    told = [text for kind, text in CONVERSATION if kind.endswith("_message")]
    assert spoken == told
    (verdict,) = (e.body for e in events if e.kind == "verdict")
    assert (verdict["needed"], verdict["source"]) == ("yes", "log")
    scores = [json.loads(p.read_bytes()) for p in sent if p.suffix == ".json"]
    assert [s["name"] for page in scores for s in page] == ["polite", "needed_human"]
