"""Tests of ownership: epochs, the people's verbs, wishes, and what the log gets."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from importlib.resources import files
from typing import Any

import pytest

from serving.engine import Problem
from serving.engine.actions import Asked
from serving.policy.rules import Mode, Policy
from serving.store.log import read_log

ANA, BEN, STRANGER = "general-1", "general-2", "mallory"


def refused(call: Any) -> Problem:
    """Return the problem that `call` is refused with."""
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


def log_of(desk: Any) -> list[Any]:
    """Return the stored log."""
    return list(read_log(desk.path))


# --- after the handover ------------------------------------------------------


def test_the_agent_must_stop_after_the_handover(desk: Any) -> None:
    """Its next step is refused with the owner, the word to stop, and the message."""
    desk.begin()
    answer = desk.engine.escalate("t", by="agent", reason="I am stuck")
    event = desk.event("agent_message", text="Let me refund that")
    problem = refused(lambda: desk.engine.observe("t", [event], epoch=1))
    assert (problem.kind.slug, problem.status) == ("stale-epoch", 409)
    assert problem.extra["owner"] == {"kind": "queue", "id": "general"}
    assert problem.extra["epoch"] == 2
    assert problem.extra["action"] == "SAFE_STOP"
    assert problem.extra["message"] == answer["message"]
    assert "stop" in problem.detail
    assert "refund" not in [event.text for event in log_of(desk)]


@pytest.mark.parametrize("epoch", [None, 1, 2])
def test_no_epoch_lets_an_agent_act_on_a_humans_task(
    desk: Any, epoch: int | None
) -> None:
    """Neither the old epoch nor the new one nor silence gives the task back."""
    desk.hand_over()
    event = desk.event("tool_call", tool="refund", is_write=True)
    problem = refused(lambda: desk.engine.observe("t", [event], epoch=epoch))
    assert problem.kind.slug == "stale-epoch"
    assert problem.extra["accepted"] == []


@pytest.mark.parametrize("epoch", [None, 1, 2])
def test_what_the_user_says_still_reaches_the_human(
    desk: Any, epoch: int | None
) -> None:
    """User messages and outcomes are appended under any epoch, and not decided on."""
    desk.hand_over()
    events = [desk.event(text="Are you there?"), desk.event("complaint", text="Slow")]
    answer = desk.engine.observe("t", events, epoch=epoch)
    assert answer["accepted"] == [event["event_id"] for event in events]
    assert (answer["decision"], answer["message"]) == (None, None)
    assert answer["owner"]["kind"] == "queue"
    assert [event.kind for event in log_of(desk)][-2:] == ["user_message", "complaint"]
    assert desk.engine.observe("t", events, epoch=epoch) == answer


def test_the_users_words_are_kept_when_the_agents_are_refused(desk: Any) -> None:
    """Of a mixed batch the human gets what the user said; the agent is told to stop."""
    desk.hand_over()
    batch = [desk.event("agent_message", text="One moment"), desk.event(text="Hello?")]
    for _ in range(2):
        problem = refused(lambda: desk.engine.observe("t", batch, epoch=1))
        assert problem.kind.slug == "stale-epoch"
    assert [event.text for event in log_of(desk)].count("Hello?") == 1
    assert "One moment" not in [event.text for event in log_of(desk)]


def test_an_old_epoch_is_refused_after_the_task_came_back(desk: Any) -> None:
    """The run that lost the task stays out; the one that got it back goes on."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    desk.engine.return_(handoff, by=ANA, guidance="Ask for the order number")
    stale = refused(lambda: desk.say("Hello?", epoch=1))
    assert stale.extra["owner"] == {"kind": "agent", "id": "bot"}
    answer = desk.say("Hello?", epoch=stale.extra["epoch"])
    assert answer["decision"] is not None
    assert answer["owner"]["kind"] == "agent"


def test_who_names_no_epoch_is_taken_to_know_it(desk: Any) -> None:
    """On a task that its agent owns the epoch may be left out."""
    desk.begin()
    assert desk.say("Hello?")["epoch"] == 1


def test_a_gateway_learns_whether_an_epoch_may_act(desk: Any) -> None:
    """Only the agent's own, present epoch may."""
    asked = partial(Asked, task_id="t")
    verify = desk.engine.actions.verify
    desk.begin()
    assert verify(asked(epoch=1))["may_act"] is True
    assert verify(asked(epoch=2))["may_act"] is False
    desk.engine.escalate("t", by="user", reason="")
    assert verify(asked(epoch=1)) == {
        "may_act": False,
        "owner": {"kind": "queue", "id": "general"},
        "epoch": 2,
        "token": None,
    }
    assert verify(asked(epoch=2))["may_act"] is False
    unknown = Asked(task_id="x", epoch=1)
    assert refused(lambda: verify(unknown)).kind.slug == "unknown-task"


# --- wishes ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "trigger"),
    [("user", "user_asks_for_human"), ("agent", "agent_asks_for_human")],
)
def test_a_wish_is_honoured(desk: Any, by: str, trigger: str) -> None:
    """Who asks gets a human, whatever the risk, with the reason in their words."""
    desk.model.value = 0.0
    desk.begin()
    answer = desk.engine.escalate("t", by=by, reason="this is going nowhere")
    assert answer["decision"]["action"] == "ESCALATE"
    assert answer["decision"]["reasons"][0]["trigger"] == trigger
    assert "going nowhere" in answer["decision"]["reasons"][0]["says"]
    assert answer["owner"]["kind"] == "queue"
    assert answer["accepted"] == []


def test_a_wish_is_honoured_in_shadow(make_desk: Any, desk: Any) -> None:
    """A mode that only records does not keep a user from a human."""
    shadow = make_desk(desk.policy.model_copy(update={"mode": Mode.SHADOW}))
    handoff = shadow.hand_over()
    assert shadow.engine.handoff(handoff)["status"] == "QUEUED"


def test_a_wish_is_honoured_once_while_it_waits(desk: Any) -> None:
    """Asking again, by whomever and under any epoch, gives the same handoff."""
    desk.begin()
    first = desk.engine.escalate("t", by="user", reason="please")
    again = desk.engine.escalate("t", by="agent", reason="please", epoch=1)
    assert again == first
    desk.engine.claim(first["handoff"]["handoff_id"], by=ANA)
    claimed = desk.engine.escalate("t", by="user", reason="please")
    assert claimed["handoff"] == first["handoff"]
    assert claimed["owner"] == {"kind": "person", "id": ANA}
    assert claimed["epoch"] == 3
    assert desk.count("handoff") == 1


def test_a_wish_after_the_end_opens_a_new_handoff(desk: Any) -> None:
    """Nobody owns a closed task, and its user can still ask for a human."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    desk.engine.resolve(handoff, by=ANA, needed="yes")
    answer = desk.engine.escalate("t", by="user", reason="it broke again")
    assert answer["handoff"]["handoff_id"] != handoff
    assert answer["epoch"] == 5


def test_a_wish_for_an_unknown_task_is_refused(desk: Any) -> None:
    """There is nothing to hand over."""
    problem = refused(lambda: desk.engine.escalate("x", by="user", reason=""))
    assert (problem.kind.slug, problem.status) == ("unknown-task", 404)
    nobody = refused(lambda: desk.engine.escalate("x", by=" ", reason=""))
    assert nobody.kind.slug == "malformed-request"


# --- people ------------------------------------------------------------------


def test_each_change_of_owner_raises_the_epoch_by_one(desk: Any) -> None:
    """Handover, claim, release, claim, return, handover, claim, resolve: 1 to 9."""
    handoff = desk.hand_over()
    seen = [desk.engine.task("t")["epoch"]]
    engine = desk.engine

    def after(call: Any) -> None:
        call()
        task = engine.task("t")
        seen.append(task["epoch"])

    after(lambda: engine.claim(handoff, by=ANA))
    after(lambda: engine.release(handoff, by=ANA))
    after(lambda: engine.claim(handoff, by=BEN))
    after(lambda: engine.return_(handoff, by=BEN, guidance="go on"))
    after(lambda: engine.escalate("t", by="user", reason="no"))
    handoff = engine.task("t")["handoff_id"]
    after(lambda: engine.claim(handoff, by=ANA))
    after(lambda: engine.resolve(handoff, by=ANA, needed="no"))
    assert seen == [2, 3, 4, 5, 6, 7, 8, 9]
    assert engine.task("t")["owner"] == {"kind": "nobody", "id": ""}


def test_a_claim_gives_the_task_to_a_person(desk: Any) -> None:
    """Holder and time are on the item, and the log says so."""
    handoff = desk.hand_over()
    desk.clock.turn(timedelta(minutes=3))
    item = desk.engine.claim(handoff, by=ANA)
    assert (item["status"], item["claimed_by"]) == ("CLAIMED", ANA)
    assert item["claimed_at"] == "2026-11-24T12:03:00Z"
    assert desk.engine.task("t")["owner"] == {"kind": "person", "id": ANA}
    last = log_of(desk)[-1]
    assert last.kind == "claimed"
    assert last.body == {"handoff_id": handoff, "by": ANA}


def test_of_two_who_claim_one_gets_it(desk: Any) -> None:
    """The other learns who has it; for the first, asking again changes nothing."""
    handoff = desk.hand_over()
    item = desk.engine.claim(handoff, by=ANA)
    problem = refused(lambda: desk.engine.claim(handoff, by=BEN))
    assert (problem.kind.slug, problem.status) == ("already-claimed", 409)
    assert problem.extra["holder"] == ANA
    assert desk.engine.claim(handoff, by=ANA) == item
    assert desk.engine.task("t")["epoch"] == 3


@pytest.mark.parametrize("verb", ["claim", "release", "resolve", "return_", "rate"])
def test_only_members_of_the_queue_may_act(desk: Any, verb: str) -> None:
    """Somebody from elsewhere is refused, whatever the state of the handoff."""
    rest = {
        "resolve": {"needed": "yes"},
        "return_": {"guidance": "go on"},
        "rate": {"sufficient": True},
    }.get(verb, {})
    handoff = desk.hand_over()
    act = getattr(desk.engine, verb)
    problem = refused(lambda: act(handoff, by=STRANGER, **rest))
    assert (problem.kind.slug, problem.status) == ("not-a-member", 403)
    unknown = refused(lambda: act("hnd_x", by=ANA, **rest))
    assert (unknown.kind.slug, unknown.status) == ("unknown-handoff", 404)


@pytest.mark.parametrize("verb", ["release", "resolve", "return_"])
def test_only_the_holder_of_a_claimed_handoff_may_move_it(desk: Any, verb: str) -> None:
    """Before a claim it is not possible, after it only for the one who claimed."""
    rest = {"resolve": {"needed": "yes"}, "return_": {"guidance": "x"}}.get(verb, {})
    handoff = desk.hand_over()
    act = getattr(desk.engine, verb)
    early = refused(lambda: act(handoff, by=ANA, **rest))
    assert (early.kind.slug, early.status) == ("illegal-transition", 409)
    assert "claim it first" in early.detail
    desk.engine.claim(handoff, by=ANA)
    assert refused(lambda: act(handoff, by=BEN, **rest)).extra["holder"] == ANA
    act(handoff, by=ANA, **rest)


@pytest.mark.parametrize("verb", ["claim", "release", "resolve", "return_"])
def test_a_closed_handoff_cannot_be_moved(desk: Any, verb: str) -> None:
    """What is resolved is final, for its holder too."""
    rest = {"resolve": {"needed": "yes"}, "return_": {"guidance": "x"}}.get(verb, {})
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    desk.engine.resolve(handoff, by=ANA, needed="no")
    problem = refused(lambda: getattr(desk.engine, verb)(handoff, by=ANA, **rest))
    assert problem.kind.slug == "illegal-transition"


def test_a_released_handoff_waits_again(desk: Any) -> None:
    """It is back in its queue, nobody holds it, and anybody there may claim it."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    item = desk.engine.release(handoff, by=ANA)
    assert (item["status"], item["claimed_by"]) == ("QUEUED", None)
    assert desk.engine.task("t")["owner"] == {"kind": "queue", "id": "general"}
    assert desk.engine.queues()["queues"][0]["waiting"] == 1
    assert desk.engine.claim(handoff, by=BEN)["claimed_by"] == BEN


def test_a_resolution_becomes_a_label(desk: Any) -> None:
    """The log gets what was resolved, and a verdict with its source and propensity."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    desk.engine.resolve(handoff, by=ANA, needed="no", note="was fine", minutes=4.5)
    resolved, verdict = log_of(desk)[-2:]
    said = {"handoff_id": handoff, "by": ANA, "needed": "no", "note": "was fine"}
    assert (resolved.kind, resolved.body) == ("resolved", {**said, "minutes": 4.5})
    assert verdict.kind == "verdict"
    assert verdict.body == {**said, "source": "resolution", "propensity": 1.0}


@pytest.mark.parametrize(
    ("needed", "minutes"), [("maybe", None), ("yes", -1.0), ("yes", float("nan"))]
)
def test_a_resolution_that_says_nothing_usable_is_refused(
    desk: Any, needed: str, minutes: float | None
) -> None:
    """A verdict is yes, no or uncertain; minutes are a number."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    problem = refused(
        lambda: desk.engine.resolve(handoff, by=ANA, needed=needed, minutes=minutes)
    )
    assert problem.kind.slug == "malformed-request"


def test_a_returned_task_goes_on_with_guidance(desk: Any) -> None:
    """The agent finds what it should do under its new epoch, and can be stopped again."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    desk.engine.return_(handoff, by=ANA, guidance="Offer a refund")
    task = desk.engine.task("t")
    assert (task["owner"]["kind"], task["epoch"]) == ("agent", 4)
    assert task["guidance"] == "Offer a refund"
    assert log_of(desk)[-1].body["guidance"] == "Offer a refund"
    assert desk.say("Thanks", epoch=4)["decision"]["action"] == "CONTINUE"
    desk.engine.escalate("t", by="user", reason="still nothing")
    assert desk.engine.task("t")["guidance"] is None
    empty = refused(lambda: desk.engine.return_(handoff, by=ANA, guidance=" "))
    assert empty.kind.slug == "malformed-request"


def test_the_latest_rating_of_each_person_stands(desk: Any) -> None:
    """A package is rated again as often as its receiver likes."""
    handoff = desk.hand_over()
    desk.engine.claim(handoff, by=ANA)
    desk.engine.rate(handoff, by=ANA, sufficient=False, missing=["other"])
    desk.engine.rate(handoff, by=ANA, sufficient=True)
    rating = desk.engine.handoff(handoff)["rating"]
    assert (rating["sufficient"], rating["missing"], rating["note"]) == (True, [], "")
    assert desk.count("rating") == 1


def test_a_handoff_of_a_queue_that_is_gone_can_still_be_worked(desk: Any) -> None:
    """A newer policy without the queue leaves no handoff stuck."""
    handoff = desk.hand_over()
    desk.close()
    default = files("serving.policy").joinpath("default.yaml").read_text("utf-8")
    desk.policy = Policy.parse(default.replace("general", "front"))
    desk.open()
    assert desk.engine.claim(handoff, by="vip-1")["claimed_by"] == "vip-1"
    assert desk.engine.handoffs(queue="general")["handoffs"] != []


def test_deadlines_end_and_run_again_with_the_handoff(desk: Any) -> None:
    """A claim settles the first deadline, a release runs it again, the end the rest."""

    def open_timers() -> list[str]:
        with desk.store.reading() as reader:
            query = "SELECT kind FROM timer WHERE settled_at IS NULL ORDER BY kind"
            return [row["kind"] for row in reader.all(query)]

    handoff = desk.hand_over()
    assert open_timers() == ["acknowledge", "resolve"]
    desk.engine.claim(handoff, by=ANA)
    assert open_timers() == ["lease", "resolve"]
    desk.engine.release(handoff, by=ANA)
    assert open_timers() == ["acknowledge", "resolve"]
    desk.engine.claim(handoff, by=ANA)
    desk.engine.resolve(handoff, by=ANA, needed="yes")
    assert open_timers() == []


def returned(desk: Any, handoff_id: str) -> int:
    """Claim a handoff, return it with guidance, and return the agent's new epoch."""
    member = desk.policy.queue(desk.engine.handoff(handoff_id)["queue"]).members[0]
    desk.engine.claim(handoff_id, by=member)
    desk.engine.return_(handoff_id, by=member, guidance="Offer the refund.")
    return int(desk.engine.task("t")["epoch"])


def test_what_a_human_answered_does_not_hand_the_task_over_again(desk: Any) -> None:
    """After a return the same words of the user are no reason; new ones are."""
    desk.begin()
    handed = desk.say("I want to talk to a human")
    epoch = returned(desk, handed["handoff"]["handoff_id"])
    went_on = desk.say("Fine, what now?", epoch=epoch)
    assert went_on["decision"]["action"] == "CONTINUE"
    assert went_on["decision"]["reasons"] == []
    again = desk.say("No, I do want to talk to a human", epoch=epoch)
    assert again["decision"]["action"] == "ESCALATE"


def test_a_returned_task_is_handed_over_again_at_a_higher_risk(desk: Any) -> None:
    """The learned trigger is silent up to the risk a human has looked at."""
    desk.begin()
    desk.model.value = 0.6
    epoch = returned(desk, desk.say("Hm")["handoff"]["handoff_id"])
    for risk, action in ((0.55, "CONTINUE"), (0.6, "CONTINUE"), (0.61, "ESCALATE")):
        desk.model.value = risk
        answer = desk.say("And now?", epoch=epoch)
        assert answer["decision"]["action"] == action, risk
