"""Tests of what people and programs read: tasks, queues, handoffs, health, records."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from serving.engine import Problem
from serving.policy import audit

ANA = "general-1"


def refused(call: Any) -> Problem:
    """Return the problem that `call` is refused with."""
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


def test_a_task_shows_owner_facts_and_last_decision(desk: Any) -> None:
    """What is known of a task is in one place."""
    begun = desk.begin()
    task = desk.engine.task("t")
    assert (task["owner"], task["epoch"]) == ({"kind": "agent", "id": "bot"}, 1)
    assert (task["request"], task["domain"]) == ("Where is my parcel?", "retail")
    assert task["account"] == {"id": "a-1", "value": 10.0, "tier": "gold"}
    assert task["events"] == 3  # with the stamp of its history
    assert task["decision"] == begun["decision"]
    assert (task["handoff_id"], task["message"], task["guidance"]) == (None,) * 3


def test_a_task_of_outcomes_has_no_decision(desk: Any) -> None:
    """Nothing was decided, and the answer does not pretend it was."""
    desk.engine.observe("t", [desk.event("completed")])
    assert desk.engine.task("t")["decision"] is None


def test_a_request_is_the_first_thing_asked_in_short(desk: Any) -> None:
    """The start text comes before the first message; later words change nothing."""
    text = "  My parcel\n is late.  " + "Really. " * 50
    desk.engine.observe("t", [desk.event("task_started", text=text)])
    desk.say("And another thing")
    request = desk.engine.task("t")["request"]
    assert request.startswith("My parcel is late. Really.")
    assert len(request) == 200


def test_what_is_learnt_later_of_a_task_is_kept(desk: Any) -> None:
    """A second start adds facts; the agent that began keeps the ownership."""
    desk.begin()
    desk.engine.observe("t", [desk.event("task_started", domain="billing")])
    task = desk.engine.task("t")
    assert (task["domain"], task["agent_id"]) == ("billing", "bot")
    assert task["epoch"] == 1


# --- queues ------------------------------------------------------------------


def test_queues_show_who_is_there_and_what_waits(desk: Any) -> None:
    """Waiting, claimed, and the age of the oldest, for each queue of the policy."""
    desk.hand_over("t")
    desk.clock.turn(timedelta(seconds=90))
    claimed = desk.hand_over("u")
    desk.engine.claim(claimed, by=ANA)
    queues = {queue["queue"]: queue for queue in desk.engine.queues()["queues"]}
    assert list(queues) == [queue.name for queue in desk.policy.queues]
    general = queues["general"]
    assert (general["waiting"], general["claimed"]) == (1, 1)
    assert general["oldest_s"] == 90.0
    assert general["is_open"] is True
    assert ANA in general["members"]
    assert general["acknowledge_within_s"] == 900.0
    assert (queues["vip"]["waiting"], queues["vip"]["oldest_s"]) == (0, 0.0)


def test_a_clock_that_went_back_makes_nothing_younger_than_now(desk: Any) -> None:
    """An age is never negative."""
    desk.hand_over()
    desk.clock.turn(timedelta(minutes=-5))
    assert desk.engine.queues()["queues"][0]["oldest_s"] == 0.0


def test_the_load_of_a_decision_is_the_one_at_its_time(desk: Any) -> None:
    """Each handover finds what the handovers and claims before it left waiting."""

    def message(task_id: str) -> str:
        desk.begin(task_id)
        answer = desk.engine.escalate(task_id, by="user", reason="x")
        desk.last = answer["handoff"]["handoff_id"]
        return str(answer["message"])

    assert "4 minutes" in message("t")
    assert "8 minutes" in message("u")
    desk.engine.claim(desk.last, by=ANA)
    # One waits, one is worked on: three times eight minutes for two people.
    assert "15 minutes" in message("v")


# --- handoffs ----------------------------------------------------------------


def test_open_handoffs_come_first_and_the_urgent_before_the_others(desk: Any) -> None:
    """Then by the time they have waited; those that are closed stand last."""
    closed = desk.hand_over("closed")
    desk.engine.claim(closed, by=ANA)
    desk.engine.resolve(closed, by=ANA, needed="yes")
    order = [closed]
    for task_id in ("second", "third"):
        desk.clock.turn(timedelta(minutes=1))
        order.insert(-1, desk.hand_over(task_id))
    desk.clock.turn(timedelta(minutes=1))
    desk.begin("first")
    urgent = desk.say("There is a gas leak and someone may die", "first")
    assert urgent["handoff"]["priority"] == "urgent"
    order.insert(0, urgent["handoff"]["handoff_id"])
    listed = desk.engine.handoffs()["handoffs"]
    assert [item["handoff_id"] for item in listed] == order


def test_handoffs_are_filtered_and_paged(desk: Any) -> None:
    """By queue, by status, and a page at a time."""
    ids = [desk.hand_over(task_id) for task_id in ("a", "b", "c")]
    desk.engine.claim(ids[0], by=ANA)

    def listed(**query: Any) -> list[str]:
        page = desk.engine.handoffs(**query)["handoffs"]
        return [item["handoff_id"] for item in page]

    assert listed(status="CLAIMED") == ids[:1]
    assert sorted(listed(queue="general", status="QUEUED")) == sorted(ids[1:])
    assert listed(queue="vip") == []
    assert listed(limit=2) + listed(limit=2, offset=2) == listed()


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ({"queue": "nowhere"}, "no-such-queue"),
        ({"status": "LOST"}, "malformed-request"),
        ({"limit": 0}, "malformed-request"),
        ({"limit": 201}, "malformed-request"),
        ({"offset": -1}, "malformed-request"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(
    desk: Any, query: dict[str, Any], slug: str
) -> None:
    """It says what was expected."""
    problem = refused(lambda: desk.engine.handoffs(**query))
    assert problem.kind.slug == slug
    assert "expected" in problem.detail or "must be" in problem.detail


def test_a_handoff_shows_everything_of_its_life(desk: Any) -> None:
    """Package, why, rating, resolution, and who did what."""
    desk.begin()
    desk.model.value = 0.9
    handoff_id = desk.say("Hello?")["handoff"]["handoff_id"]
    desk.engine.claim(handoff_id, by=ANA)
    desk.engine.rate(handoff_id, by=ANA, sufficient=False, missing=["other"])
    desk.engine.resolve(handoff_id, by=ANA, needed="uncertain", note="who knows")
    handoff = desk.engine.handoff(handoff_id)
    assert (handoff["status"], handoff["risk"]) == ("RESOLVED", 0.9)
    assert handoff["triggers"][0]["trigger"] == "learned"
    assert handoff["package"]["score"] == 1.0
    assert handoff["package"]["reasons"][0]["contribution"] == 2.0
    assert len(handoff["package_sha256"]) == 64
    assert handoff["rating"]["missing"] == ["other"]
    assert handoff["resolution"]["needed"] == "uncertain"
    assert handoff["resolution"]["note"] == "who knows"
    assert [(h["what"], h["by"]) for h in handoff["history"]] == [
        ("opened", "escalon"),
        ("claimed", ANA),
        ("rated", ANA),
        ("resolved", ANA),
    ]
    unknown = refused(lambda: desk.engine.handoff("hnd_x"))
    assert (unknown.kind.slug, unknown.status) == ("unknown-handoff", 404)


def test_each_handoff_shows_its_own_closing(desk: Any) -> None:
    """Of two returns of one task, each handoff shows the guidance given with it."""
    ids = []
    for guidance in ("first", "second"):
        desk.begin()
        answer = desk.engine.escalate("t", by="user", reason="x")
        ids.append(answer["handoff"]["handoff_id"])
        assert desk.engine.handoff(ids[-1])["resolution"] is None
        desk.engine.claim(ids[-1], by=ANA)
        desk.engine.return_(ids[-1], by=ANA, guidance=guidance)
    said = [desk.engine.handoff(i)["resolution"]["guidance"] for i in ids]
    assert said == ["first", "second"]


# --- health and records ------------------------------------------------------


def test_health_tells_model_policy_and_log(desk: Any) -> None:
    """All well is ok; without a sound model the service is degraded and says why."""
    health = desk.engine.health()
    assert health["status"] == "ok"
    assert health["model"]["version"] == "7"
    assert health["policy"]["sha256"] == desk.policy.digest
    assert health["store"]["records"] == len(desk.records())
    desk.source.problem = "the new bundle does not load"
    assert desk.engine.health()["status"] == "degraded"
    assert "does not load" in desk.engine.health()["model"]["problem"]
    desk.source.problem, desk.source.model = None, None
    assert desk.engine.health()["model"]["fault"] == "absent"


def test_audit_records_hash_to_the_root_that_is_shown(desk: Any) -> None:
    """Leaves over all pages give the root; a page beyond the end is empty."""
    desk.hand_over()
    whole = desk.engine.audit_records(0, 1_000)
    leaves = [bytes.fromhex(record["leaf"]) for record in whole["records"]]
    assert audit.root_of(leaves).hex() == whole["root"]
    assert whole["size"] == len(leaves)
    assert [r["seq"] for r in desk.engine.audit_records(2, 3)["records"]] == [2, 3, 4]
    assert desk.engine.audit_records(whole["size"], 5)["records"] == []
    for start, limit in ((-1, 5), (0, 0), (0, 1_001)):
        problem = refused(lambda s=start, n=limit: desk.engine.audit_records(s, n))
        assert problem.kind.slug == "malformed-request"


def test_a_problem_has_the_form_of_rfc_9457(desk: Any) -> None:
    """Type, title, status and detail, and what goes with them."""
    problem = refused(lambda: desk.engine.task("x"))
    assert problem.to_json() == {
        "type": "urn:escalon:problem:unknown-task",
        "title": "No such task",
        "status": 404,
        "detail": problem.detail,
        "task_id": "x",
    }
    assert str(problem) == f"unknown-task: {problem.detail}"


# --- scoring -----------------------------------------------------------------


def test_scoring_stores_nothing(desk: Any) -> None:
    """Risk, reasons and action come back; the store is as it was."""
    size = len(desk.records())
    answer = desk.engine.score([desk.event(text="Hello")])
    assert (answer["risk"], answer["threshold"]) == (0.1, 0.5)
    assert (answer["action"], answer["contributions"]) == ("CONTINUE", [])
    assert answer["source"] == "model"
    assert len(desk.records()) == size
    assert desk.count("task") == 0


def test_scoring_explains_what_would_be_handed_over(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contributions and base come with an escalation, or not if they fail."""
    desk.model.value = 0.9
    answer = desk.engine.score([desk.event(text="Hello", task_id="t")])
    assert answer["action"] == "ESCALATE"
    assert answer["reasons"][0]["trigger"] == "learned"
    assert answer["base"] == -1.0
    assert answer["contributions"][0]["contribution"] == 2.0
    monkeypatch.setattr(type(desk.model), "explain", lambda *_: 1 / 0)
    assert desk.engine.score([desk.event(text="Hello")])["contributions"] == []
    desk.source.model = None
    answer = desk.engine.score([desk.event(text="Get me a human agent")])
    assert (answer["action"], answer["contributions"]) == ("ESCALATE", [])


def test_scoring_names_bad_events(desk: Any) -> None:
    """The answer on the good ones comes with the problem; one task at a time."""
    events = [desk.event(task_id="t"), desk.event(task_id="u"), 7]
    problem = refused(lambda: desk.engine.score(events))
    assert problem.kind.slug == "malformed-event"
    assert problem.extra["risk"] == 0.1
    assert [one["index"] for one in problem.extra["refused"]] == [1, 2]
    assert refused(lambda: desk.engine.score([])).kind.slug == "malformed-request"
