"""Tests of the label desk: who judges which task when, and what they see of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest

from serving.engine import Problem
from serving.engine.actions import Asked
from serving.policy.review import is_open
from serving.policy.rules import Policy
from serving.store.log import read_log
from serving.store.outcomes import outcomes
from serving.store.reviews import pairs
from serving.store.sqlite import read_only
from serving.store.verify import verify_store

ANA = "general-1"
LATER = timedelta(days=5)


def audited(**asked: Any) -> Policy:
    """Return the default policy, with other audit rates."""
    policy = Policy.default()
    audit = policy.audit.model_dump() | {"uniform": 1.0, "second_rater": 0.0} | asked
    return policy.model_copy(update={"audit": audit})


@pytest.fixture
def drawn(make_desk: Callable[..., Any]) -> Any:
    """Make a desk at which every task is drawn, for one reviewer."""
    return make_desk(audited())


def done(desk: Any, task_id: str = "t") -> None:
    """Let a task go to its end, and the complaint window pass."""
    desk.begin(task_id)
    desk.engine.observe(task_id, [desk.event("completed", by="agent")])
    desk.clock.turn(LATER)


def due(desk: Any, by: str = "rea") -> list[str]:
    """Return the tasks that a reviewer is shown."""
    listed = desk.engine.oversight.reviews(by=by, limit=50)
    assert listed["due"] == len(listed["reviews"])
    return [item["task_id"] for item in listed["reviews"]]


def judge(
    desk: Any, needed: str, by: str = "rea", task_id: str = "t", **more: Any
) -> Any:
    """Send a verdict."""
    return desk.engine.oversight.review(
        task_id, by=by, needed=needed, **{"rubric_version": "1", **more}
    )


def refused(call: Callable[[], Any]) -> Problem:
    """Return the problem that `call` is refused with."""
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


def label(desk: Any, task_id: str = "t") -> tuple[bool | None, str]:
    """Return label and evidence of a task."""
    with read_only(desk.path) as reader:
        (found,) = (o for o in outcomes(reader) if o.task_id == task_id)
    return found.needed, found.evidence


# --- what is due -------------------------------------------------------------------


def test_a_drawn_task_is_due_once_the_complaint_window_after_its_end_is_over(
    drawn: Any,
) -> None:
    """Not while it runs, not right after its end."""
    drawn.begin()
    assert due(drawn) == []
    drawn.engine.observe("t", [drawn.event("completed", by="agent")])
    drawn.clock.turn(timedelta(days=2, hours=23))
    assert due(drawn) == []
    drawn.clock.turn(timedelta(hours=1))
    assert due(drawn) == ["t"]


def test_a_task_that_fell_silent_is_over_without_a_word(drawn: Any) -> None:
    """Idle for a day, and then the complaint window; a new step begins anew."""
    drawn.begin()
    drawn.clock.turn(timedelta(days=3, hours=23))
    assert due(drawn) == []
    drawn.say("Are you there?")
    drawn.clock.turn(timedelta(days=3, hours=23))
    assert due(drawn) == []
    drawn.clock.turn(timedelta(hours=1))
    assert due(drawn) == ["t"]


def test_an_agent_cannot_put_a_review_off_by_its_clock(drawn: Any) -> None:
    """The time at which this service heard of the end counts, not what events say."""
    drawn.begin()
    far = drawn.event("completed", by="agent") | {"at": "2099-01-01T00:00:00Z"}
    drawn.engine.observe("t", [far])
    drawn.clock.turn(LATER)
    assert due(drawn) == ["t"]


def test_a_task_that_goes_on_after_its_end_is_not_over(drawn: Any) -> None:
    """Completed, and then the user came back."""
    done(drawn)
    drawn.say("One more thing.")
    assert due(drawn) == []


def test_what_no_stream_draws_is_not_due(make_desk: Callable[..., Any]) -> None:
    """Without a draw there is no propensity, and so no label that could be weighed."""
    desk = make_desk(audited(uniform=0.0, targeted=0.0))
    done(desk)
    assert due(desk) == []
    assert "no audit stream" in refused(lambda: judge(desk, "no")).detail


def test_a_verified_complaint_has_told_already(drawn: Any) -> None:
    """Nobody reviews what is known; an unverified complaint is not known."""
    done(drawn, "known")
    done(drawn, "claimed")
    drawn.engine.outcomes(
        [
            drawn.event("complaint", task_id="known", verified=True),
            drawn.event("complaint", task_id="claimed"),
        ]
    )
    assert due(drawn) == ["claimed"]
    problem = refused(lambda: judge(drawn, "no", task_id="known"))
    assert problem.kind.slug == "not-due"


def test_what_has_been_due_longest_comes_first(drawn: Any) -> None:
    """In order of becoming due, a page at a time."""
    for task_id in ("c", "a", "b"):
        done(drawn, task_id)
    assert due(drawn) == ["c", "a", "b"]
    page = drawn.engine.oversight.reviews(by="rea", limit=2)
    assert [item["task_id"] for item in page["reviews"]] == ["c", "a"]
    assert page["due"] == 3


# --- who, and how many -------------------------------------------------------------


def test_one_answer_settles_a_task_and_is_a_label(drawn: Any) -> None:
    """Most tasks are judged once; nobody else is asked then."""
    done(drawn)
    told = judge(drawn, "yes", note="gave a wrong date", seconds=80.0)
    assert (told["needed"], told["by"], told["corrects"]) == ("yes", "rea", False)
    assert label(drawn) == (True, "audit")
    assert due(drawn) == due(drawn, "sam") == []
    assert refused(lambda: judge(drawn, "no", by="sam")).kind.slug == "not-due"


def test_a_task_drawn_for_two_is_judged_by_two_different_people(
    make_desk: Callable[..., Any],
) -> None:
    """The first is not asked again; a third only where the two are divided."""
    desk = make_desk(audited(second_rater=1.0))
    done(desk)
    judge(desk, "yes")
    assert (due(desk), due(desk, "sam")) == ([], ["t"])
    judge(desk, "no", by="sam")
    assert label(desk) == (None, "")
    assert due(desk, "sam") == []
    assert due(desk, "tia") == ["t"]
    judge(desk, "no", by="tia")
    assert label(desk) == (False, "audit")
    assert due(desk, "uma") == []


def test_two_who_agree_need_no_third(make_desk: Callable[..., Any]) -> None:
    """Agreement closes the task."""
    desk = make_desk(audited(second_rater=1.0))
    done(desk)
    judge(desk, "no")
    judge(desk, "no", by="sam")
    assert due(desk, "tia") == []


def test_who_cannot_tell_is_followed_by_another(drawn: Any) -> None:
    """Uncertain is an answer, and no label; at most three people are asked."""
    done(drawn)
    for by in ("rea", "sam", "tia"):
        assert due(drawn, by) == ["t"]
        judge(drawn, "uncertain", by=by)
        assert due(drawn, by) == []
    assert due(drawn, "uma") == []
    assert label(drawn) == (None, "")


@pytest.mark.parametrize("twice", [True, False])
def test_no_more_than_three_are_ever_asked(twice: bool) -> None:  # noqa: FBT001
    """Whatever they answer; and one yes or no is enough where one was wanted."""
    for given in itertools.product(["yes", "no", "uncertain"], repeat=3):
        answers = dict(zip("abc", given, strict=True))
        assert not is_open(answers, twice=twice)
    assert is_open({}, twice=twice)
    assert is_open({"a": "yes"}, twice=twice) is twice
    assert is_open({"a": "yes", "b": "no"}, twice=twice)
    assert not is_open({"a": "yes", "b": "yes"}, twice=twice)
    assert is_open({"a": "uncertain"}, twice=twice)


def test_nobody_judges_what_they_worked_on(drawn: Any) -> None:
    """Neither the agent itself nor whoever had a handover of the task."""
    done(drawn)
    assert due(drawn, "bot") == []
    problem = refused(lambda: judge(drawn, "no", by="bot"))
    assert (problem.kind.slug, problem.status) == ("wrong-reviewer", 403)


def test_only_reviewers_of_the_policy_judge_where_it_names_some(
    make_desk: Callable[..., Any],
) -> None:
    """Others neither see what is due nor judge it."""
    desk = make_desk(audited(reviewers=["rea"]))
    done(desk)
    assert due(desk) == ["t"]
    for call in (lambda: due(desk, "sam"), lambda: judge(desk, "no", by="sam")):
        assert refused(call).kind.slug == "wrong-reviewer"


# --- a verdict ----------------------------------------------------------------------


def test_the_same_verdict_again_changes_nothing(drawn: Any) -> None:
    """A call that is sent twice is one verdict."""
    done(drawn)
    first = judge(drawn, "no", note="fine", seconds=30.0)
    size = len(drawn.records())
    assert judge(drawn, "no", note="fine", seconds=31.0) == first
    assert len(drawn.records()) == size


def test_a_reviewer_may_take_an_answer_back_or_change_it(drawn: Any) -> None:
    """Uncertain retracts it, and another replaces it; every word stays in the log."""
    done(drawn)
    judge(drawn, "yes")
    assert judge(drawn, "uncertain")["corrects"]
    assert label(drawn) == (None, "")
    assert due(drawn, "sam") == ["t"]
    judge(drawn, "no")
    assert label(drawn) == (False, "audit")
    said = [e.body["needed"] for e in read_log(drawn.path) if e.kind == "audit_verdict"]
    assert said == ["yes", "uncertain", "no"]


def test_a_verdict_carries_draw_and_rubric_into_the_log(drawn: Any) -> None:
    """What an estimate, and whoever doubts it, must know of how it came about."""
    done(drawn)
    judge(drawn, "no", note="all good", seconds=12.5)
    (event,) = (e for e in read_log(drawn.path) if e.kind == "audit_verdict")
    assert event.body["propensity"] == 1.0
    assert event.body["stream"][0] == "uniform"
    assert event.body["rubric_version"] == "1"
    assert (event.body["source"], event.body["seconds"]) == ("audit", 12.5)
    assert verify_store(drawn.path).is_sound
    assert "all good" not in orjson.dumps(drawn.records()).decode()


def test_an_old_rubric_is_refused(drawn: Any) -> None:
    """Who read another text has answered another question."""
    done(drawn)
    problem = refused(lambda: judge(drawn, "no", rubric_version="0"))
    assert problem.kind.slug == "malformed-request"
    assert "rubric_version" in problem.detail


def test_an_unknown_task_is_refused(drawn: Any) -> None:
    """A review is of a task that is known here, and was decided on."""
    assert refused(lambda: judge(drawn, "no", task_id="x")).kind.slug == "unknown-task"
    drawn.engine.observe("o", [drawn.event("completed")])
    assert refused(lambda: judge(drawn, "no", task_id="o")).kind.slug == "not-due"


# --- a second look at handovers ------------------------------------------------------


def resolved(desk: Any, needed: str = "yes") -> None:
    """Hand a task over, and have it resolved by ana."""
    handoff_id = desk.hand_over()
    desk.engine.claim(handoff_id, by=ANA)
    desk.engine.resolve(handoff_id, by=ANA, needed=needed)


def test_a_share_of_resolved_handovers_is_judged_again_by_somebody_else(
    make_desk: Callable[..., Any],
) -> None:
    """Whoever resolved it has answered; a third decides where the two are divided."""
    desk = make_desk(audited(second_look=1.0))
    handoff_id = desk.hand_over()
    assert due(desk) == []
    desk.engine.claim(handoff_id, by=ANA)
    desk.engine.resolve(handoff_id, by=ANA, needed="yes")
    assert due(desk, ANA) == []
    assert refused(lambda: judge(desk, "no", by=ANA)).kind.slug == "wrong-reviewer"
    assert due(desk) == ["t"]
    judge(desk, "no")
    assert due(desk, "sam") == ["t"]
    (event,) = (e for e in read_log(desk.path) if e.kind == "audit_verdict")
    assert (event.body["source"], event.body["propensity"]) == ("second_look", 1.0)


def test_without_the_draw_a_handover_is_not_judged_again(
    make_desk: Callable[..., Any],
) -> None:
    """Its label is that of whoever resolved it."""
    desk = make_desk(audited(second_look=0.0))
    resolved(desk)
    assert due(desk) == []
    assert "second look" in refused(lambda: judge(desk, "no")).detail


# --- what a reviewer sees -------------------------------------------------------------

OPINIONS = [
    ("plan", {"text": "SECRET plan: I guess it is a refund"}),
    (
        "agent_message",
        {"text": "Hello.", "confidence": {"value": 0.123456, "source": "verbalized"}},
    ),
    ("verifier", {"score": 0.654321, "text": "SECRET verifier"}),
    (
        "tool_call",
        {"tool": "look", "arguments": {"id": 7}, "reasoning": "SECRET thought"},
    ),
    ("robot_score", {"value": "SECRET score"}),
]


def test_a_review_is_blind(make_desk: Callable[..., Any]) -> None:
    """No risk, decision, stream, verdict of others, nor the agent's own opinion."""
    desk = make_desk(audited(second_rater=1.0))
    desk.model.value = 0.31415926
    desk.begin()
    desk.engine.observe("t", [desk.event(kind, **body) for kind, body in OPINIONS])
    done(desk)
    judge(desk, "yes", note="SECRET note")
    listed = desk.engine.oversight.reviews(by="sam")
    (item,) = listed["reviews"]
    shown = orjson.dumps(item).decode()
    for told in ("SECRET", "0.314", "0.123", "0.654", "uniform", "targeted", "rea"):
        assert told not in shown
    assert set(item) == {
        "task_id",
        "due_at",
        "request",
        "task",
        "conversation",
        "attempts",
        "record",
    }
    assert "agent_id" not in item["task"]
    assert listed["rubric"]["version"] == "1"


def test_a_review_shows_what_was_said_and_done(drawn: Any) -> None:
    """Conversation and attempts as the handoff package gives them, word for word."""
    drawn.begin()
    drawn.engine.observe(
        "t",
        [
            drawn.event("tool_call", tool="find", arguments={"id": 7}, call_id="c"),
            drawn.event("tool_result", call_id="c", text="not found", error=True),
            drawn.event("retrieval", documents=[{"title": "Parcels"}]),
            drawn.event("agent_message", text="It is lost."),
        ],
    )
    done(drawn)
    (item,) = drawn.engine.oversight.reviews(by="rea")["reviews"]
    assert item["request"] == "Where is my parcel?"
    said = [(turn["speaker"], turn["text"]) for turn in item["conversation"]]
    assert ("agent", "It is lost.") in said
    (attempt,) = item["attempts"]
    assert (attempt["tool"], attempt["outcome"]) == ("find", "failed")
    assert item["record"][0]["documents"] == [{"title": "Parcels"}]
    assert item["task"]["account"]["tier"] == "gold"


def test_a_second_look_ends_where_the_handover_began(
    make_desk: Callable[..., Any],
) -> None:
    """That a person took over, and what they said, would give the answer away."""
    desk = make_desk(audited(second_look=1.0))
    resolved(desk)
    (item,) = desk.engine.oversight.reviews(by="rea")["reviews"]
    shown = orjson.dumps(item).decode()
    for told in ("handoff", "wants a person", ANA, "resolution"):
        assert told not in shown


# --- what agents see of it ---------------------------------------------------------------


def test_no_answer_to_an_agent_tells_the_draw(make_desk: Callable[..., Any]) -> None:
    """Whether a task is drawn changes nothing that its agent can see."""
    answers = []
    for uniform in (0.001, 0.999):
        desk = make_desk(audited(uniform=uniform, targeted=0.0))
        begun = desk.begin()
        shown = [
            begun,
            desk.engine.task("t"),
            desk.engine.actions.verify(Asked(task_id="t", epoch=1)),
        ]
        for answer in shown:
            for told in ("draw", "selected", "uniform", "targeted", "stream"):
                assert told not in orjson.dumps(answer).decode()
        answers.append(begun["decision"] | {"decision_id": "", "audit": ""})
    drawn, not_drawn = (a | {"policy_version": ""} for a in answers)
    assert drawn == not_drawn


# --- two answers on one task ---------------------------------------------------------------


def test_pairs_are_first_answers_of_tasks_drawn_for_two(
    make_desk: Callable[..., Any],
) -> None:
    """A third, or one who changes an answer after the fact, makes nobody agree."""
    desk = make_desk(audited(second_rater=0.999999))
    done(desk)
    judge(desk, "yes")
    judge(desk, "no", by="sam")
    judge(desk, "no", by="rea")
    with read_only(desk.path) as reader:
        (pair,) = pairs(reader)
    assert (pair.first, pair.second, pair.raters) == ("yes", "no", ("rea", "sam"))
    assert pair.propensity == pytest.approx(0.999999)
    assert not pair.escalated


def test_the_resolver_and_the_second_look_are_a_pair(
    make_desk: Callable[..., Any],
) -> None:
    """So appropriateness has a kappa too."""
    desk = make_desk(audited(second_look=0.999999))
    resolved(desk, "yes")
    judge(desk, "no")
    with read_only(desk.path) as reader:
        (pair,) = pairs(reader)
    assert (pair.first, pair.second, pair.escalated) == ("yes", "no", True)
    assert pair.propensity == pytest.approx(0.999999)


def test_one_answer_or_an_uncalled_second_is_no_pair(drawn: Any) -> None:
    """Who is asked because the first could not tell is asked on hard tasks only."""
    done(drawn, "once")
    judge(drawn, "yes", task_id="once")
    done(drawn, "hard")
    judge(drawn, "uncertain", task_id="hard")
    judge(drawn, "no", by="sam", task_id="hard")
    with read_only(drawn.path) as reader:
        assert pairs(reader) == ()
