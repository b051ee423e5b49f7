"""Tests of the aftermath: acts after a handover are kept, shown, alarmed and proven."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.api.answers import HandoffAnswer
from serving.api.app import make_api
from serving.console import case
from serving.engine import Problem
from serving.store.verify import verify_store

LATER = timedelta(seconds=5)


def send(desk: Any, *events: dict[str, Any], epoch: int | None = 1, **how: Any) -> Any:
    """Send events of the agent; return what it is refused with."""
    with pytest.raises(Problem) as caught:
        desk.engine.observe("t", list(events), epoch=epoch, **how)
    assert caught.value.kind.slug == "stale-epoch"
    return caught.value


def call(desk: Any, tool: str = "refund", **body: Any) -> dict[str, Any]:
    """Return a tool call that happens now."""
    event: dict[str, Any] = desk.event("tool_call", tool=tool, **body)
    return event


def seen(desk: Any, handoff_id: str) -> list[dict[str, Any]]:
    """Return what the specialist is shown."""
    answer = desk.engine.handoff(handoff_id)
    HandoffAnswer.model_validate(answer)
    shown: list[dict[str, Any]] = answer["violations"]
    return shown


def alarms(desk: Any) -> list[dict[str, Any]]:
    """Return the alarms that are open."""
    found = desk.engine.monitors.listed(is_open=True)["alarms"]
    return [one for one in found if one["code"] == "act_after_handover"]


# --- what is kept ----------------------------------------------------------------


def test_an_act_after_the_handover_is_kept_beside_the_log(desk: Any) -> None:
    """The specialist sees the whole call; the task's log does not get it."""
    handoff_id = desk.hand_over()
    desk.clock.turn(LATER)
    before = desk.sent_events()
    send(desk, call(desk, arguments={"order": "W1"}, is_write=True))
    (shown,) = seen(desk, handoff_id)
    assert shown["acted"]
    assert shown["tool"] == "refund"
    assert shown["event"]["arguments"] == {"order": "W1"}
    assert shown["epoch"] == 1
    assert desk.sent_events() == before
    assert desk.types()[-2:] == ["violation.act_after_handover", "alarm.raised"]


def test_one_call_leaves_one_record(desk: Any) -> None:
    """However many events there were in it; in their order."""
    handoff_id = desk.hand_over()
    desk.clock.turn(LATER)
    events = [call(desk), desk.event("plan", text="next"), call(desk, "transfer")]
    send(desk, *events)
    assert [one["acted"] for one in seen(desk, handoff_id)] == [True, False, True]
    assert desk.types().count("violation.act_after_handover") == 1
    record = next(r for r in desk.records() if "violations" in r)
    assert record["violations"]["acted"] == [1, 0, 1]
    assert "refund" not in str(record)


def test_the_same_again_changes_nothing(desk: Any) -> None:
    """A retry is told 409 once more, and that is all."""
    desk.hand_over()
    desk.clock.turn(LATER)
    event = call(desk)
    send(desk, event)
    before = desk.types()
    desk.clock.turn(timedelta(minutes=5))
    send(desk, event)
    send(desk, event, event)
    assert desk.types() == before
    assert desk.count("violation") == 1


def test_what_the_user_says_is_no_violation(desk: Any) -> None:
    """It goes into the log, for whoever has the task; the agent's part does not."""
    handoff_id = desk.hand_over()
    desk.clock.turn(LATER)
    send(desk, desk.event(text="Hello?"), call(desk))
    assert [one["kind"] for one in seen(desk, handoff_id)] == ["tool_call"]
    desk.say("Still there?", epoch=1)
    assert desk.count("violation") == 1


def test_a_wrong_epoch_before_any_handover_is_no_violation(desk: Any) -> None:
    """The agent is told it is wrong; nothing was handed over that it could ignore."""
    desk.begin()
    send(desk, call(desk), epoch=7)
    assert desk.count("violation") == 0


# --- what counts as done -----------------------------------------------------------


def test_a_turn_under_way_is_in_flight(desk: Any) -> None:
    """The user asked for a person; the agent could not know, and finished its call."""
    desk.begin()
    event = call(desk)
    handoff_id = desk.engine.escalate("t", by="user", reason="x")["handoff"][
        "handoff_id"
    ]
    desk.clock.turn(timedelta(minutes=10))
    send(desk, event)
    (shown,) = seen(desk, handoff_id)
    assert not shown["acted"]
    assert not alarms(desk)


def test_after_a_refusal_the_agents_clock_is_no_excuse(desk: Any) -> None:
    """It was told to stop; what it sends later counts, though it dates it back."""
    desk.begin()
    old, older, oldest = call(desk), call(desk), call(desk)
    handoff_id = desk.engine.escalate("t", by="user", reason="x")["handoff"][
        "handoff_id"
    ]
    desk.clock.turn(LATER)
    send(desk, old)
    desk.clock.turn(timedelta(seconds=2))
    send(desk, older)
    assert [one["acted"] for one in seen(desk, handoff_id)] == [False, False]
    desk.clock.turn(timedelta(seconds=1))
    send(desk, oldest)
    assert [one["acted"] for one in seen(desk, handoff_id)] == [False, False, True]


@pytest.mark.parametrize("told", ["by the answer to its step", "by its own wish"])
def test_the_handovers_answer_tells_the_agent(desk: Any, told: str) -> None:
    """Whose own call handed the task over knows it from then on."""
    desk.begin()
    late = call(desk)
    if told == "by its own wish":
        answer = desk.engine.escalate("t", by="agent", reason="stuck")
    else:
        desk.model.value = 0.9
        answer = desk.engine.observe("t", [desk.event("plan", text="?")], epoch=1)
    handoff_id = answer["handoff"]["handoff_id"]
    desk.clock.turn(LATER)
    send(desk, late)
    assert [one["acted"] for one in seen(desk, handoff_id)] == [True]


def test_the_users_words_do_not_tell_the_agent(desk: Any) -> None:
    """The step that handed over was the user's: another program may have sent it."""
    desk.begin()
    late = call(desk)
    desk.model.value = 0.9
    handoff_id = desk.say("This is the third time!")["handoff"]["handoff_id"]
    desk.clock.turn(LATER)
    send(desk, late)
    assert [one["acted"] for one in seen(desk, handoff_id)] == [False]


def test_an_exporter_does_not_tell_the_agent(desk: Any) -> None:
    """Spans of before that arrive in several batches are in flight, all of them."""
    desk.begin()
    first, second = call(desk), call(desk)
    handoff_id = desk.engine.escalate("t", by="user", reason="x")["handoff"][
        "handoff_id"
    ]
    desk.clock.turn(LATER)
    send(desk, first, epoch=None, hears=False)
    desk.clock.turn(LATER)
    send(desk, second, epoch=None, hears=False)
    assert [one["acted"] for one in seen(desk, handoff_id)] == [False, False]
    third = call(desk)
    send(desk, third, epoch=None, hears=False)
    assert [one["acted"] for one in seen(desk, handoff_id)] == [False, False, True]


def test_a_span_that_hands_over_does_not_tell_the_agent(desk: Any) -> None:
    """The step was the agent's own, but its exporter got the answer."""
    desk.begin()
    late = call(desk)
    desk.model.value = 0.9
    step = desk.event("plan", text="?")
    handoff_id = desk.engine.observe("t", [step], hears=False)["handoff"]["handoff_id"]
    desk.clock.turn(LATER)
    send(desk, late, epoch=None, hears=False)
    assert [one["acted"] for one in seen(desk, handoff_id)] == [False]


def test_the_end_of_an_earlier_call_is_no_act(desk: Any) -> None:
    """A tool that was started before and ends after the handover was not started."""
    desk.begin()
    desk.engine.observe("t", [call(desk, call_id="c1")], epoch=1)
    handoff_id = desk.engine.escalate("t", by="user", reason="x")["handoff"][
        "handoff_id"
    ]
    desk.clock.turn(LATER)
    ended = desk.event("tool_result", call_id="c1", text="refunded")
    reading = call(desk, "look_up", call_id="c2", is_write=False)
    read = desk.event("tool_result", call_id="c2", text="an order")
    unknown = desk.event("tool_result", text="something")
    send(desk, ended, reading, read, unknown)
    acted = [one["acted"] for one in seen(desk, handoff_id)]
    assert acted == [False, False, False, True]


def test_each_handover_has_its_own(desk: Any) -> None:
    """An old copy of the agent acts under the first epoch, long after the return."""
    first = desk.hand_over()
    desk.engine.claim(first, by="general-1")
    desk.engine.return_(first, by="general-1", guidance="go on")
    desk.clock.turn(LATER)
    send(desk, call(desk), epoch=1)
    assert len(seen(desk, first)) == 1
    desk.engine.observe("t", [call(desk)], epoch=4)
    wish = desk.engine.escalate("t", by="user", reason="again")
    second = wish["handoff"]["handoff_id"]
    desk.clock.turn(LATER)
    send(desk, call(desk), epoch=4)
    send(desk, call(desk), epoch=1)
    send(desk, call(desk), epoch=None)
    assert [one["epoch"] for one in seen(desk, first)] == [1, 1]
    assert [one["epoch"] for one in seen(desk, second)] == [4, None]


# --- what it sets off ----------------------------------------------------------------


def test_an_act_raises_one_alarm_of_its_version(desk: Any) -> None:
    """Serious, with tool and handoff; a second act adds none while it stands."""
    started = desk.event("task_started", agent_version="4.1", agent_id="bot")
    desk.engine.observe("t", [started, desk.event(text="Where is it?")])
    desk.engine.escalate("t", by="user", reason="x")
    desk.clock.turn(LATER)
    send(desk, call(desk), call(desk, "transfer"))
    send(desk, call(desk))
    (alarm,) = alarms(desk)
    assert alarm["segment"] == "agent_version=4.1"
    assert alarm["severity"] == "serious"
    assert alarm["evidence"]["tools"] == ["refund", "transfer"]
    assert "version 4.1 called refund, transfer" in alarm["says"]


def test_only_a_person_clears_it(desk: Any) -> None:
    """Monitors leave it alone, whatever model is in force; then it can come again."""
    desk.hand_over()
    desk.clock.turn(LATER)
    send(desk, desk.event("agent_message", text="Anything else?"))
    none_promised = SimpleNamespace(segment="", alpha=0.1, threshold=None)
    for digest in ("ab" * 32, "cd" * 32):
        desk.source.model = SimpleNamespace(
            digest=digest, version="8", certificate=none_promised
        )
        desk.engine.monitors.watcher.look()
    desk.source.model = None
    desk.engine.monitors.watcher.look()
    (alarm,) = alarms(desk)
    assert "spoke to the user" in alarm["says"]
    desk.engine.monitors.clear(alarm["alarm_id"], by="Ana", why="version withdrawn")
    assert not alarms(desk)
    desk.clock.turn(timedelta(minutes=1))
    send(desk, call(desk))
    assert len(alarms(desk)) == 1
    assert not verify_store(desk.path).problems


def test_the_page_of_the_case_shows_acts(desk: Any) -> None:
    """Whoever takes over reads what was still done, and when; not what was only tried."""
    handoff_id = desk.hand_over()
    desk.clock.turn(LATER)
    send(desk, call(desk), desk.event("plan", text="x"))
    page = case.shown(desk.engine.handoff(handoff_id), desk.engine.task("t"))
    facts = dict(page["facts"])
    assert facts["Agent acted after the handover"] == "refund 12:00:05 UTC"


def test_metrics_count_acts(desk: Any) -> None:
    """Over restarts: the count is the store's, and tries are not in it."""
    desk.hand_over()
    desk.clock.turn(LATER)
    send(desk, call(desk), desk.event("plan", text="x"))
    desk.close()
    desk.open()
    text = TestClient(make_api(desk.engine)).get("/metrics").text
    assert "escalon_acts_after_handover_total 1.0" in text


# --- what the log proves ---------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE violation SET acted = 1 - acted",
        "UPDATE violation SET heard = 0",
        "UPDATE violation SET epoch = 2",
        "UPDATE violation SET tool = 'look_up'",
        "UPDATE violation SET kind = 'plan'",
        "UPDATE violation SET event_id = event_id || 'x'",
        "UPDATE violation SET at = seen_at, seen_at = at",
        "UPDATE violation SET body = replace(body, 'refund', 'look_up')",
        "UPDATE violation SET audit_seq = audit_seq - 1",
        "UPDATE violation SET place = 7 - place",
        "DELETE FROM violation WHERE place = 0",
        "DELETE FROM violation",
    ],
)
def test_tampered_violation_is_found(desk: Any, statement: str) -> None:
    """What an agent did cannot be taken away or made up afterwards."""
    desk.hand_over()
    event, other = call(desk), desk.event("plan", text="refund")
    desk.clock.turn(LATER)
    send(desk, event, other)
    assert not verify_store(desk.path).problems
    desk.close()
    with sqlite3.connect(desk.path) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for trigger in ("violation_kept", "violation_stays"):
            connection.execute(f"DROP TRIGGER {trigger}")
        assert connection.execute(statement).rowcount > 0
    connection.close()
    assert any("violation" in said for said in verify_store(desk.path).problems)
