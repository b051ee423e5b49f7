"""Tests of decisions held against the certificate of the task's segment."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from serving.policy.decision import Decision
from serving.policy.rules import Policy
from serving.policy.trigger import Threshold, replay
from serving.store.sqlite import read_only

OWN = Threshold(threshold=0.7, segment="domain=retail")


def stored(desk: Any) -> list[dict[str, Any]]:
    """Return the decisions in the store, as JSON."""
    with read_only(desk.path) as reader:
        rows = reader.all("SELECT body FROM decision ORDER BY audit_seq")
        return [orjson.loads(row["body"]) for row in rows]


def test_a_task_is_held_against_its_own_segment(desk: Any) -> None:
    """What would be escalated under all tasks' threshold goes on under its own."""
    desk.model.segments = (OWN,)
    desk.model.value = 0.6
    assert desk.begin()["decision"]["action"] == "CONTINUE"
    decision = Decision.from_json(stored(desk)[-1])
    assert (decision.threshold, decision.segment) == (0.7, "domain=retail")
    desk.model.value = 0.75
    assert desk.say("Still waiting.")["decision"]["action"] == "ESCALATE"


def test_a_task_of_no_segment_is_held_against_all_tasks(desk: Any) -> None:
    """The certificate of all tasks has no segment, and the decision says so."""
    desk.model.segments = (Threshold(threshold=0.7, segment="domain=airline"),)
    desk.model.value = 0.6
    assert desk.begin()["decision"]["action"] == "ESCALATE"
    decision = Decision.from_json(stored(desk)[-1])
    assert (decision.threshold, decision.segment) == (0.5, "")


def test_a_decision_says_whose_certificate_it_used_and_replays(desk: Any) -> None:
    """It survives the store, and deciding again on what it holds gives it again."""
    desk.model.segments = (OWN,)
    desk.begin()
    (body, *_) = stored(desk)
    assert body["inputs"]["segment"] == "domain=retail"
    decision = Decision.from_json(body)
    assert replay(decision, Policy.default()) == decision


def test_a_decision_from_before_segments_can_be_read(desk: Any) -> None:
    """Stored without one, it was held against the certificate of all tasks."""
    desk.begin()
    (body, *_) = stored(desk)
    del body["inputs"]["segment"]
    decision = Decision.from_json(body)
    assert decision.segment == ""
    assert replay(decision, Policy.default()) == decision


@pytest.mark.parametrize("tier", ["gold", "silver"])
def test_facts_reach_the_model_by_the_names_of_segments(desk: Any, tier: str) -> None:
    """Domain, agent version and tier are what a model is asked by."""
    asked: list[dict[str, str]] = []

    def certificate_for(facts: dict[str, str]) -> Threshold:
        asked.append(facts)
        return OWN

    desk.source.model = Asking(desk.model, certificate_for)
    started = desk.event(
        "task_started",
        domain="retail",
        agent_version="v2",
        account={"id": "a", "tier": tier},
    )
    desk.engine.observe("t", [started])
    assert asked[-1] == {"domain": "retail", "agent_version": "v2", "tier": tier}


class Asking:
    """A model that tells what it is asked by."""

    def __init__(self, model: Any, certificate_for: Any) -> None:
        self._model = model
        self.certificate_for = certificate_for

    def __getattr__(self, name: str) -> Any:
        """Be the model in all else."""
        return getattr(self._model, name)
