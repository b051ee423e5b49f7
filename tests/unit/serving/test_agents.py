"""Tests of agents' beats: who beats keeps the task, who falls silent loses it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.api.actions import BeatAnswer
from serving.api.app import make_api
from serving.engine import Problem
from serving.engine.agents import Agents
from serving.policy.rules import Policy
from serving.policy.silence import AgentSilence, OnSilence
from serving.store import agent_leases
from serving.store.transaction import StoreError
from serving.store.verify import verify_store
from serving.worker import rounds_of

EVERY = 10.0
BEAT = timedelta(seconds=EVERY)
SILENCE = 3 * BEAT


def beat(desk: Any, task_id: str = "t", **more: Any) -> dict[str, Any]:
    """Send a beat of the agent that has a task under its first epoch."""
    said: dict[str, Any] = desk.engine.agents.beat(
        task_id, epoch=1, every=EVERY, **more
    )
    return said


def owner(desk: Any, task_id: str = "t") -> str:
    """Return the kind of owner a task has."""
    return str(desk.engine.task(task_id)["owner"]["kind"])


# --- beating -------------------------------------------------------------------


def test_a_beat_leaves_no_record(desk: Any) -> None:
    """Beats are cheap: whatever comes, the audit log does not grow."""
    desk.begin()
    before = desk.types()
    for _ in range(5):
        beat(desk)
        desk.clock.turn(BEAT)
    assert desk.types() == before
    assert desk.count("agent_lease") == 1


def test_an_agent_that_beats_keeps_its_task(desk: Any) -> None:
    """Two missed beats are none; the third is."""
    desk.begin()
    for _ in range(4):
        beat(desk)
        desk.clock.turn(SILENCE - timedelta(seconds=1))
        assert desk.engine.agents.run() == 0
    assert owner(desk) == "agent"
    desk.clock.turn(timedelta(seconds=1))
    assert desk.engine.agents.run() == 1
    assert owner(desk) == "queue"


def test_nobody_waits_for_an_agent_that_never_beat(desk: Any) -> None:
    """It is the agent's choice to be waited for."""
    desk.begin()
    desk.clock.turn(timedelta(days=1))
    assert desk.engine.agents.run() == 0
    assert owner(desk) == "agent"


@pytest.mark.parametrize("sign", ["event", "token"])
def test_any_call_of_the_agent_is_a_beat(desk: Any, sign: str) -> None:
    """Who sends a step or asks for a token is there."""
    desk.begin()
    beat(desk)
    desk.clock.turn(SILENCE - timedelta(seconds=1))
    if sign == "event":
        desk.engine.observe("t", [desk.event("plan", text="look")], epoch=1)
    else:
        ask = desk.engine.actions.authorize
        ask("t", epoch=1, tool="look_up", args_sha256="a" * 64)
    desk.clock.turn(SILENCE - timedelta(seconds=1))
    assert desk.engine.agents.run() == 0
    desk.clock.turn(timedelta(seconds=1))
    assert desk.engine.agents.run() == 1


def test_what_the_user_says_is_no_beat_of_the_agent(desk: Any) -> None:
    """The user talking to an agent that is gone does not keep it alive."""
    desk.begin()
    beat(desk)
    desk.clock.turn(SILENCE - timedelta(seconds=1))
    desk.say("Hello? Is anybody there?")
    desk.clock.turn(timedelta(seconds=1))
    assert desk.engine.agents.run() == 1


@pytest.mark.parametrize("end", ["last", "completed"])
def test_an_agent_that_is_done_is_not_waited_for(desk: Any, end: str) -> None:
    """It says so, or the task is complete."""
    desk.begin()
    beat(desk)
    if end == "last":
        assert beat(desk, is_last=True)["silent_at"] is None
    else:
        desk.engine.outcomes([desk.event("completed", task_id="t")])
    desk.clock.turn(timedelta(days=1))
    assert desk.engine.agents.run() == 0
    assert owner(desk) == "agent"


# --- falling silent --------------------------------------------------------------


def test_a_silent_agent_hands_over_once(desk: Any) -> None:
    """The person reads since when; the log says that the lease ran out, once."""
    desk.begin()
    beat(desk)
    desk.clock.turn(timedelta(seconds=45))
    assert desk.engine.agents.run() == 1
    assert desk.engine.agents.run() == 0
    (waiting,) = desk.engine.handoffs()["handoffs"]
    (fired,) = waiting["triggers"]
    assert fired["trigger"] == "agent_silent"
    assert "not been heard of for 45 s" in fired["says"]
    assert waiting["priority"] == "normal"
    assert desk.types().count("agent.lease_expired") == 1
    record = next(r for r in desk.records() if r["type"] == "agent.lease_expired")
    assert record["lease"] == {
        "due_at": "2026-11-24T12:00:30.000000Z",
        "every_ms": 10_000,
        "on_silence": "hand_over",
    }
    assert not verify_store(desk.path).problems


def test_a_policy_may_ignore_silence(make_desk: Any) -> None:
    """Then it is audited, and the task stays."""
    ignoring = AgentSilence(on_silence=OnSilence.IGNORE)
    policy = Policy.default().model_copy(
        update={"agent_silence": ignoring.model_dump()}
    )
    desk = make_desk(policy)
    desk.begin()
    beat(desk)
    desk.clock.turn(SILENCE)
    assert desk.engine.agents.run() == 1
    assert owner(desk) == "agent"
    assert desk.types()[-1] == "agent.lease_expired"
    assert desk.engine.agents.run() == 0


def test_a_handover_ends_the_lease(desk: Any) -> None:
    """Nobody waits for an agent that has lost the task, nor beats under its epoch."""
    desk.begin()
    beat(desk)
    desk.engine.escalate("t", by="user", reason="x")
    assert desk.engine.ways.read(lambda r: agent_leases.find(r, "t")) is None
    desk.clock.turn(timedelta(days=1))
    assert desk.engine.agents.run() == 0
    with pytest.raises(Problem) as caught:
        beat(desk)
    assert caught.value.kind.slug == "stale-epoch"
    assert caught.value.extra["epoch"] == 2
    assert desk.types().count("handoff.opened") == 1


def test_nobody_is_blamed_for_beats_that_nobody_heard(desk: Any) -> None:
    """A service that was down for an hour first gives its agents time to be heard."""
    desk.begin()
    beat(desk)
    desk.close()
    desk.clock.turn(timedelta(hours=1))
    desk.open()
    assert desk.engine.agents.run() == 0
    desk.clock.turn(SILENCE - timedelta(seconds=1))
    assert desk.engine.agents.run() == 0
    desk.clock.turn(timedelta(seconds=1))
    assert desk.engine.agents.run() == 1


def test_one_task_that_fails_keeps_no_other(desk: Any) -> None:
    """The others are handed over; the failure is said after that."""
    for task_id in ("a", "b", "c"):
        desk.begin(task_id)
        beat(desk, task_id)
    ways, calls = desk.engine.ways, iter(range(3))

    def do(use_case: Any) -> Any:
        if next(calls) == 1:
            msg = "no"
            raise StoreError(msg)
        return ways.do(use_case)

    agents = Agents(replace(ways, do=do))
    desk.clock.turn(SILENCE)
    with pytest.raises(StoreError):
        agents.run()
    assert sorted(owner(desk, t) for t in ("a", "b", "c")) == [
        "agent",
        "queue",
        "queue",
    ]


def test_a_beat_that_comes_first_wins(desk: Any) -> None:
    """Between the look and the transaction the agent was heard: it keeps its task."""
    desk.begin()
    beat(desk)
    ways = desk.engine.ways

    def do(use_case: Any) -> Any:
        beat(desk)
        return ways.do(use_case)

    agents = Agents(replace(ways, do=do))
    desk.clock.turn(SILENCE)
    assert agents.run() == 0
    assert owner(desk) == "agent"


def test_the_worker_looks_every_second(desk: Any) -> None:
    """The round is one of the worker's."""
    rounds = {one.name: one.every for one in rounds_of(desk.engine, monitor_seconds=0)}
    assert rounds["agents"] == 1.0
    assert "keys" in rounds


# --- over HTTP ---------------------------------------------------------------------


def test_beats_come_over_http(desk: Any) -> None:
    """The answer says until when the agent is believed to be there."""
    desk.begin()
    client = TestClient(make_api(desk.engine))
    path, old = "/v1/tasks/t/heartbeat", {"X-Task-Epoch": "2"}
    answer = client.post(path, json={"epoch": 1, "every_s": 20})
    assert BeatAnswer.model_validate(answer.json()).epoch == 1
    assert answer.json()["silent_at"] == "2026-11-24T12:01:00.000000Z"
    assert client.post(path, json={}, headers=old).status_code == 409
    assert client.post(path, json={}).status_code == 422
    assert client.post(path, json={"epoch": 1, "every_s": 0.5}).status_code == 422
    unknown = client.post("/v1/tasks/u/heartbeat", json={"epoch": 1})
    assert unknown.status_code == 404
