"""Tests of observing: what is appended, decided, answered, and refused."""

from __future__ import annotations

from typing import Any

import pytest

from features.events import parse
from serving.engine import Problem
from serving.policy.rules import Mode
from serving.store.log import read_log


def refused(call: Any) -> Problem:
    """Return the problem that `call` is refused with."""
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


def test_a_first_event_begins_a_task_of_its_agent(desk: Any) -> None:
    """The task belongs to the agent it names, under the first epoch."""
    answer = desk.begin()
    assert answer["owner"] == {"kind": "agent", "id": "bot"}
    assert answer["epoch"] == 1
    assert answer["accepted"] == ["e1", "e2"]
    assert answer["refused"] == []
    assert answer["decision"]["action"] == "CONTINUE"
    assert (answer["handoff"], answer["message"]) == (None, None)


def test_a_decision_says_on_what_it_was_made(desk: Any) -> None:
    """Risk, threshold, source, versions and the propensity are in the answer."""
    decision = desk.begin()["decision"]
    assert decision["risk"] == 0.1
    assert decision["threshold"] == 0.5
    assert decision["source"] == "model"
    assert decision["mode"] == "enforce"
    assert decision["policy_version"] == desk.policy.version
    assert decision["model_version"] == "7"
    assert 0 < decision["audit"]["propensity"] < 0.1


def test_a_risk_at_the_threshold_hands_over(desk: Any) -> None:
    """The learned trigger escalates, the queue owns the task, the user is told once."""
    desk.begin()
    desk.model.value = 0.5
    answer = desk.say("Still nothing", epoch=1)
    assert answer["decision"]["action"] == "ESCALATE"
    assert [r["trigger"] for r in answer["decision"]["reasons"]] == ["learned"]
    assert answer["decision"]["audit"]["propensity"] == 1.0
    assert answer["owner"] == {"kind": "queue", "id": "general"}
    assert answer["epoch"] == 2
    assert answer["handoff"]["queue"] == "general"
    assert "colleague" in answer["message"]


def test_a_hard_rule_needs_no_model(desk: Any) -> None:
    """Who asks for a person in words gets one, whatever the risk is."""
    desk.begin()
    desk.model.value = 0.0
    answer = desk.say("I want to talk to a human being")
    assert answer["decision"]["action"] == "ESCALATE"
    assert answer["decision"]["reasons"][0]["trigger"] == "user_asks_for_human"


def test_a_handover_is_whole(desk: Any) -> None:
    """Handoff, package, deadlines, notice and the log's own event come together."""
    desk.hand_over()
    tables = ("handoff", "package", "timer", "notice", "handoff_history")
    assert [desk.count(table) for table in tables] == [1, 1, 2, 1, 1]
    desk.close()
    kinds = [event.kind for event in read_log(desk.path)]
    assert kinds == ["task_started", "user_message", "history", "handoff"]


# --- the same again ----------------------------------------------------------


def test_the_same_event_again_gets_the_same_answer(desk: Any) -> None:
    """A repeated call changes nothing, and is told what the first one was told."""
    desk.begin()
    event = desk.event(text="Hello?")
    first = desk.engine.observe("t", [event], epoch=1)
    size = len(desk.records())
    desk.model.value = 0.9
    assert desk.engine.observe("t", [event], epoch=1) == first
    assert len(desk.records()) == size


def test_a_repeated_handover_is_told_again_and_made_once(desk: Any) -> None:
    """An agent that missed the answer asks again under its old epoch and gets it."""
    desk.begin()
    event = desk.event(text="A human, please! I want a human agent.")
    first = desk.engine.observe("t", [event], epoch=1)
    assert first["handoff"] is not None
    assert desk.engine.observe("t", [event], epoch=1) == first
    assert desk.count("handoff") == 1


def test_the_answer_is_the_one_of_the_last_call(desk: Any) -> None:
    """Events of two earlier calls sent together get the later call's answer."""
    one, two = desk.event(text="One"), desk.event(text="Two")
    desk.engine.observe("t", [one])
    last = desk.engine.observe("t", [two])
    assert desk.engine.observe("t", [one, two]) == last


def test_only_what_is_new_is_appended(desk: Any) -> None:
    """A batch that overlaps an earlier one appends the rest, once."""
    one, two = desk.event(text="One"), desk.event(text="Two")
    desk.engine.observe("t", [one])
    answer = desk.engine.observe("t", [one, two, two])
    assert answer["accepted"] == ["e1", "e2"]
    assert desk.sent_events() == 2


def test_an_event_with_other_content_is_a_conflict(desk: Any) -> None:
    """The id was taken: both hashes are shown, and nothing of the batch is kept."""
    one = desk.event(text="One")
    desk.engine.observe("t", [one])
    other, new = {**one, "text": "Another"}, desk.event(text="New")
    problem = refused(lambda: desk.engine.observe("t", [new, other]))
    assert (problem.kind.slug, problem.status) == ("event-conflict", 409)
    assert problem.extra["stored_sha256"] == parse(one, task_id="t").digest()
    assert problem.extra["sent_sha256"] == parse(other, task_id="t").digest()
    assert desk.sent_events() == 1


def test_two_contents_under_one_id_in_a_batch_are_a_conflict(desk: Any) -> None:
    """A batch that contradicts itself begins no task."""
    one = desk.event(text="One")
    problem = refused(lambda: desk.engine.observe("t", [one, {**one, "text": "Two"}]))
    assert problem.kind.slug == "event-conflict"
    assert desk.count("task") == 0


def test_the_same_id_in_another_task_is_another_event(desk: Any) -> None:
    """Ids are unique in a task, not among tasks."""
    one = desk.event(text="One")
    assert desk.engine.observe("t", [one])["accepted"] == ["e1"]
    assert desk.engine.observe("u", [one])["accepted"] == ["e1"]


# --- what is wrong -----------------------------------------------------------


def test_the_good_events_of_a_bad_batch_are_kept_and_decided_on(desk: Any) -> None:
    """The problem names each bad event, and holds the answer to the good ones."""
    good = desk.event(text="I want to speak to a human")
    bad = {"event_id": "x", "kind": "user_message", "at": "yesterday"}
    problem = refused(lambda: desk.engine.observe("t", [bad, good, "no object"]))
    assert (problem.kind.slug, problem.status) == ("malformed-event", 422)
    assert problem.extra["accepted"] == ["e1"]
    assert problem.extra["decision"]["action"] == "ESCALATE"
    assert problem.extra["handoff"] is not None
    assert [one["index"] for one in problem.extra["refused"]] == [0, 2]
    first = problem.extra["refused"][0]
    assert (first["event_id"], first["field"]) == ("x", "at")
    assert "RFC 3339" in first["expected"]
    assert first["found"] == "'yesterday'"


def test_a_bad_batch_again_gets_the_same_problem(desk: Any) -> None:
    """What was kept is not kept twice; sent alone it is answered without problem."""
    batch = [desk.event(text="Hello"), {"event_id": "x"}]
    first = refused(lambda: desk.engine.observe("t", batch))
    second = refused(lambda: desk.engine.observe("t", batch))
    assert first.to_json() == second.to_json()
    alone = desk.engine.observe("t", batch[:1])
    assert alone["refused"] == []
    assert alone["decision"] == first.extra["decision"]


def test_a_bad_event_begins_no_task(desk: Any) -> None:
    """Where nothing could be kept there is no task, and the answer says so."""
    problem = refused(lambda: desk.engine.observe("t", [{"event_id": "x"}]))
    assert problem.extra["accepted"] == []
    assert (problem.extra["owner"], problem.extra["epoch"]) == (None, None)
    assert desk.count("task") == 0
    assert refused(lambda: desk.engine.task("t")).kind.slug == "unknown-task"


def test_a_bad_event_of_a_known_task_changes_nothing(desk: Any) -> None:
    """The answer tells how the task stands."""
    desk.begin()
    problem = refused(lambda: desk.engine.observe("t", [{"event_id": "x"}]))
    assert problem.extra["owner"] == {"kind": "agent", "id": "bot"}
    assert desk.sent_events() == 2


@pytest.mark.parametrize("value", [2**70, "\ud800"])
def test_what_has_no_json_form_is_refused(desk: Any, value: Any) -> None:
    """Numbers beyond 64 bits and broken text are a bad event, not a failure."""
    event = desk.event(extra=value)
    problem = refused(lambda: desk.engine.observe("t", [event]))
    assert problem.extra["refused"][0]["event_id"] == "e1"
    assert "64 bits" in problem.extra["refused"][0]["expected"]


@pytest.mark.parametrize("kind", ["handoff", "claimed", "returned", "resolved"])
def test_an_agent_cannot_write_who_owns_the_task(desk: Any, kind: str) -> None:
    """Ownership is not a matter of the agent's words."""
    problem = refused(lambda: desk.engine.observe("t", [desk.event(kind, by="me")]))
    assert problem.extra["refused"][0]["field"] == "kind"


@pytest.mark.parametrize("kind", ["verdict", "audit_verdict"])
def test_an_agent_cannot_write_its_own_label(desk: Any, kind: str) -> None:
    """A verdict in the agent's stream is refused, and told where verdicts go."""
    event = desk.event(kind, needed="no", propensity=1.0)
    problem = refused(lambda: desk.engine.observe("t", [event]))
    assert "/v1/outcomes" in problem.extra["refused"][0]["expected"]


@pytest.mark.parametrize(("task_id", "events"), [("t", []), ("", [{}])])
def test_a_call_of_nothing_is_malformed(desk: Any, task_id: str, events: Any) -> None:
    """No events, or no task, is the caller's mistake."""
    problem = refused(lambda: desk.engine.observe(task_id, events))
    assert (problem.kind.slug, problem.status) == ("malformed-request", 422)


def test_a_task_does_not_begin_under_a_later_epoch(desk: Any) -> None:
    """Nobody was ever given that epoch: the task must be another store's."""
    event = desk.event(text="Hello")
    problem = refused(lambda: desk.engine.observe("t", [event], epoch=2))
    assert problem.kind.slug == "unknown-task"
    assert desk.engine.observe("t", [event], epoch=1)["epoch"] == 1


# --- outcomes in the agent's stream ------------------------------------------


def test_outcomes_alone_are_kept_without_a_decision(desk: Any) -> None:
    """What became of a task feeds no signal, so there is nothing to decide."""
    desk.begin()
    event = desk.event("completed", success=True)
    answer = desk.engine.observe("t", [event], epoch=1)
    assert answer["decision"] is None
    assert answer["owner"] == {"kind": "agent", "id": "bot"}
    assert desk.engine.observe("t", [event], epoch=1) == answer
    assert desk.types()[-1] == "events.appended"


def test_an_outcome_can_begin_a_task(desk: Any) -> None:
    """A task of which only the end was logged is a task all the same."""
    answer = desk.engine.observe("t", [desk.event("completed")])
    assert (answer["decision"], answer["epoch"]) == (None, 1)


# --- modes -------------------------------------------------------------------


def test_in_shadow_nothing_acts(make_desk: Any, desk: Any) -> None:
    """The decision is made, recorded and has no effect."""
    policy = desk.policy.model_copy(update={"mode": Mode.SHADOW})
    shadow = make_desk(policy)
    shadow.model.value = 0.9
    answer = shadow.begin()
    assert answer["decision"]["action"] == "ESCALATE"
    assert answer["decision"]["effective"] is False
    assert answer["owner"]["kind"] == "agent"
    assert shadow.count("handoff") == 0
