"""Tests of outcomes that systems of record report."""

from __future__ import annotations

from typing import Any

import pytest

from serving.engine import Problem
from serving.store.log import read_log


def refused(call: Any) -> Problem:
    """Return the problem that `call` is refused with."""
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("complaint", {"verified": True, "text": "wrong amount"}),
        ("reopened", {"text": "still broken"}),
        ("completed", {"success": True}),
        ("verdict", {"needed": "yes", "by": "auditor"}),
        ("audit_verdict", {"needed": "no", "propensity": 0.02}),
    ],
)
def test_an_outcome_is_appended_whoever_owns_the_task(
    desk: Any, kind: str, body: dict[str, Any]
) -> None:
    """What became of a task is kept, and changes neither owner nor epoch."""
    desk.begin("t")
    desk.hand_over("u")
    events = [desk.event(kind, task_id=task, **body) for task in ("t", "u")]
    answer = desk.engine.outcomes(events)
    assert answer == {"accepted": [e["event_id"] for e in events], "refused": []}
    assert desk.engine.task("t")["epoch"] == 1
    assert desk.engine.task("u")["epoch"] == 2
    assert [e.kind for e in read_log(desk.path)].count(kind) == 2


def test_the_same_outcome_again_changes_nothing(desk: Any) -> None:
    """A system of record may repeat itself."""
    desk.begin()
    events = [desk.event("complaint", task_id="t")]
    first = desk.engine.outcomes(events)
    size = len(desk.records())
    assert desk.engine.outcomes(events) == first
    assert len(desk.records()) == size


def test_an_outcome_with_other_content_is_a_conflict(desk: Any) -> None:
    """What was reported does not change afterwards."""
    desk.begin()
    event = desk.event("complaint", task_id="t")
    desk.engine.outcomes([event])
    other = {**event, "text": "another"}
    assert refused(lambda: desk.engine.outcomes([other])).kind.slug == "event-conflict"


def test_an_outcome_of_an_unknown_task_is_refused(desk: Any) -> None:
    """A task begins with its agent's events, not with its end."""
    event = desk.event("complaint", task_id="x")
    problem = refused(lambda: desk.engine.outcomes([event]))
    assert (problem.kind.slug, problem.status) == ("unknown-task", 404)


def test_the_good_ones_of_a_bad_batch_are_kept(desk: Any) -> None:
    """Each bad one is named in its place: form, kind, or task."""
    desk.begin()
    events = [
        desk.event("complaint", task_id="x"),
        desk.event("complaint", task_id="t"),
        {"event_id": "no kind"},
        desk.event("user_message", task_id="t", text="not an outcome"),
        desk.event("resolved", task_id="t", by="me"),
    ]
    problem = refused(lambda: desk.engine.outcomes(events))
    assert problem.kind.slug == "malformed-event"
    assert problem.extra["accepted"] == [events[1]["event_id"]]
    places = [(one["index"], one["field"]) for one in problem.extra["refused"]]
    assert places == [(0, "task_id"), (2, "task_id"), (3, "kind"), (4, "kind")]
    assert "one of audit_verdict, complaint" in problem.extra["refused"][2]["expected"]


def test_no_outcomes_is_malformed(desk: Any) -> None:
    """A call that reports nothing is the caller's mistake."""
    problem = refused(lambda: desk.engine.outcomes([]))
    assert problem.kind.slug == "malformed-request"
