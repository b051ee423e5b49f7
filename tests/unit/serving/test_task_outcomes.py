"""Tests of what the store says became of tasks."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any

import pytest

from serving.engine import Problem
from serving.store.outcomes import outcomes
from serving.store.sqlite import read_only
from training.monitor.outcome import Outcomes, TaskOutcome

ANA = "general-1"


def became(desk: Any, task_id: str = "t", **window: Any) -> TaskOutcome:
    """Return what became of one task."""
    (found,) = (one for one in read(desk, **window) if one.task_id == task_id)
    return found


def read(desk: Any, **window: Any) -> list[TaskOutcome]:
    """Return what became of all tasks."""
    with read_only(desk.path) as reader:
        return outcomes(reader, **window)


def report(desk: Any, kind: str, task_id: str = "t", **body: Any) -> None:
    """Report an outcome of a task."""
    desk.engine.outcomes([desk.event(kind, task_id=task_id, **body)])


def test_a_task_nobody_judged_has_no_label(desk: Any) -> None:
    """Silence, and the agent's own word that it is done, are no label."""
    desk.begin()
    report(desk, "completed", success=True)
    found = became(desk)
    assert found.needed is None
    assert (found.evidence, found.escalated, found.complained) == ("", False, False)
    assert math.isnan(found.matured)


def test_threshold_and_draw_are_of_the_last_decision_risk_is_the_highest(
    desk: Any,
) -> None:
    """A task is held to its worst moment, and audited with its last propensity."""
    desk.model.value = 0.4
    desk.begin()
    desk.clock.turn(timedelta(hours=1))
    desk.model.value = 0.2
    desk.say("Thanks.")
    found = became(desk)
    assert (found.risk, found.threshold) == (0.4, 0.5)
    assert found.at == desk.clock.now.timestamp()
    assert found.q_uniform == 0.02
    assert found.q_targeted == pytest.approx(0.03 * 0.8)
    assert found.model_version == "7"


def test_facts_are_those_the_task_began_with(desk: Any) -> None:
    """Domain, tier and customer come from the start of the task."""
    desk.begin()
    found = became(desk)
    assert (found.domain, found.tier, found.group) == ("retail", "gold", "a-1")


def test_what_fired_first_at_the_handover_is_the_trigger(desk: Any) -> None:
    """A task that was handed over, or was not, says by which trigger."""
    desk.hand_over()
    assert became(desk).escalated
    assert became(desk).trigger == "user_asks_for_human"
    desk.begin("u")
    assert (became(desk, "u").trigger, became(desk, "u").escalated) == ("", False)


def test_a_resolution_labels_the_task_when_it_was_said(desk: Any) -> None:
    """The verdict of whoever resolved a handoff is its label, from that time on."""
    handoff_id = desk.hand_over()
    desk.engine.claim(handoff_id, by=ANA)
    desk.clock.turn(timedelta(hours=2))
    desk.engine.resolve(handoff_id, by=ANA, needed="no")
    found = became(desk)
    assert (found.needed, found.evidence) == (False, "verdict")
    assert found.matured == desk.clock.now.timestamp()
    assert found.at == found.matured - 7200


def test_a_complaint_is_known_beside_an_audit_that_outranks_it(desk: Any) -> None:
    """The audit decides what was needed; that there was a complaint is not lost."""
    desk.begin()
    report(desk, "complaint", verified=True)
    assert (became(desk).needed, became(desk).evidence) == (True, "complaint")
    report(desk, "audit_verdict", needed="no", by="rea", propensity=0.02)
    found = became(desk)
    assert (found.needed, found.evidence, found.complained) == (False, "audit", True)


def test_a_complaint_found_wrong_is_none(desk: Any) -> None:
    """What was looked into and did not hold up neither labels nor takes out."""
    desk.begin()
    report(desk, "complaint")
    report(desk, "complaint", verified=False)
    assert (became(desk).needed, became(desk).complained) == (None, False)


@pytest.mark.parametrize("verified", [True, False])
def test_an_agent_cannot_say_what_came_of_a_complaint(
    desk: Any,
    verified: bool,  # noqa: FBT001
) -> None:
    """Else it could take back what its users complained of."""
    desk.begin()
    report(desk, "complaint")
    with pytest.raises(Problem) as caught:
        desk.engine.observe("t", [desk.event("complaint", verified=verified)])
    assert caught.value.extra["refused"][0]["field"] == "verified"
    assert became(desk).needed


def test_the_agents_own_words_of_a_transfer_are_seen(desk: Any) -> None:
    """An announced transfer shows, and so does the agent's last confidence."""
    desk.begin()
    desk.engine.observe(
        "t",
        [
            desk.event(
                "agent_message",
                text="I am transferring you to a colleague.",
                confidence={"value": 0.7, "source": "verbalized"},
            )
        ],
    )
    found = became(desk)
    assert found.transferred
    assert found.confidence == pytest.approx(0.7)
    assert not became_of_another(desk).transferred


def became_of_another(desk: Any) -> TaskOutcome:
    """Return what became of a task in which nothing was announced."""
    desk.begin("other")
    return became(desk, "other")


def test_a_window_takes_tasks_by_their_last_decision(desk: Any) -> None:
    """From `since` on, before `until`."""
    desk.begin("early")
    noon = desk.clock.now
    desk.clock.turn(timedelta(days=1))
    desk.begin("late")
    later = desk.clock.now
    assert [one.task_id for one in read(desk, since=later)] == ["late"]
    assert [one.task_id for one in read(desk, until=later)] == ["early"]
    assert [one.task_id for one in read(desk, since=noon)] == ["early", "late"]


def test_tasks_without_a_decision_are_no_outcome(desk: Any) -> None:
    """Where nothing was decided there is nothing to be judged by."""
    desk.engine.observe("t", [desk.event("completed")])
    assert read(desk) == []


_MORE = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
"""
_TASKS = f"""{_MORE}
INSERT INTO task SELECT task_id || '-' || i, owner_kind, owner_id, epoch, facts,
  audit_seq FROM task, n WHERE task_id = 't'
"""  # noqa: S608
_DECISIONS = f"""{_MORE}
INSERT INTO decision SELECT decision_id || '-' || i, task_id || '-' || i, position,
  action, effective, selected, body, salt, audit_seq FROM decision, n
WHERE task_id = 't'
"""  # noqa: S608
_EVENTS = f"""{_MORE}
INSERT INTO event (task_id, seq, event_id, kind, digest, body, salt, audit_seq)
SELECT task_id || '-' || i, seq, event_id, kind, digest, body, salt, audit_seq
FROM event, n WHERE task_id = 't'
"""  # noqa: S608


def test_twenty_thousand_tasks_are_read_in_seconds(desk: Any) -> None:
    """A store of 20,000 tasks with four decisions each is read within five seconds."""
    desk.begin()
    for word in ("One.", "Two.", "Three."):
        desk.say(word)
    report(desk, "complaint", verified=True)
    for statement in (_TASKS, _DECISIONS, _EVENTS):
        desk.store.submit(lambda tx, s=statement: tx.run(s)).result()
    began = time.process_time()
    found = Outcomes.of(read(desk))
    assert time.process_time() - began < 5.0
    assert len(found) == 20_001
    assert found.complained.all()
