from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.batch import events_table
from features.events import OUTCOME_KINDS, AgentEvent, EventKind, parse
from training.labels import (
    Evidence,
    Label,
    Statement,
    group_of,
    label_from,
    label_of,
    labels_of,
    settled,
    standing,
)

T0 = datetime(2026, 1, 31, 9, tzinfo=UTC)

# A body of each kind that says what became of the task, weakest first.
SAYS: dict[str, dict[str, Any]] = {
    "reopened": {},
    "complaint": {"verified": True},
    "resolved": {"needed": "yes", "by": "ann"},
    "verdict": {"needed": "yes", "by": "ann"},
    "audit_verdict": {"needed": "yes", "propensity": 0.1},
}


def label(kind: str, at: datetime = T0, **body: Any) -> Label | None:
    """Return the label that an outcome of task "t" carries."""
    return label_of("t", kind, at, body)


def labelled(*outcomes: tuple[str, dict[str, Any]]) -> Label | None:
    """Return the label of task "t" after `outcomes`, in log order."""
    log = [
        AgentEvent(
            task_id="t",
            event_id=str(i),
            at=T0 + timedelta(hours=i),
            kind=kind,
            body=body,
        )
        for i, (kind, body) in enumerate(outcomes)
    ]
    return labels_of(events_table(log)).get("t")


@pytest.mark.parametrize("kind", ["verdict", "audit_verdict", "resolved"])
def test_a_reviewers_yes_or_no_is_a_label(kind: str) -> None:
    """A reviewer's yes says needed, a no says not needed."""
    yes, no = label(kind, needed="yes"), label(kind, needed="no")
    assert yes is not None
    assert no is not None
    assert (yes.needed, no.needed) == (True, False)
    assert yes.evidence is no.evidence is Evidence[_evidence(kind)]


def _evidence(kind: str) -> str:
    return {"audit_verdict": "AUDIT", "resolved": "RESOLUTION"}.get(kind, "VERDICT")


@pytest.mark.parametrize("kind", ["verdict", "audit_verdict", "resolved"])
@pytest.mark.parametrize("body", [{"needed": "uncertain"}, {}, {"needed": None}])
def test_an_uncertain_reviewer_gives_no_label(kind: str, body: dict[str, Any]) -> None:
    """Uncertain, or nothing, is no label: neither yes nor no."""
    assert label(kind, **body) is None


def test_an_uncertain_answer_hides_no_other() -> None:
    """A task with a complaint and an uncertain verdict is labelled by the complaint."""
    found = labelled(
        ("complaint", {"verified": True}), ("verdict", {"needed": "uncertain"})
    )
    assert found is not None
    assert found.evidence is Evidence.COMPLAINT


def test_a_complaint_counts_unless_it_was_found_wrong() -> None:
    """A complaint says needed; one that did not hold up says nothing."""
    for body in ({"verified": True}, {}, {"verified": None}):
        found = label("complaint", **body)
        assert found is not None
        assert found.needed
    assert label("complaint", verified=False) is None


def test_a_reopened_task_was_needed() -> None:
    """A task that had to be opened again needed a human."""
    found = label("reopened")
    assert found is not None
    assert found.needed


@pytest.mark.parametrize("body", [{}, {"success": True}, {"success": False}])
def test_a_completion_is_never_a_label(body: dict[str, Any]) -> None:
    """That an agent closed a task says nothing of whether it needed a human."""
    assert label("completed", needed="yes", **body) is None
    assert labelled(("completed", body)) is None


def test_only_outcomes_label() -> None:
    """No event but the five kinds of judgement carries a label."""
    everything = {"needed": "yes", "verified": True, "tool": "x", "propensity": 1}
    given_by = {str(kind) for kind in EventKind if label_of("t", kind, T0, everything)}
    assert given_by == SAYS.keys()
    assert SAYS.keys() < {str(kind) for kind in OUTCOME_KINDS}
    assert label("robot_moved", needed="yes") is None


@pytest.mark.parametrize("weak", SAYS)
@pytest.mark.parametrize("strong", SAYS)
def test_the_strongest_evidence_counts(weak: str, strong: str) -> None:
    """Audit beats verdict beats resolution beats complaint beats reopening."""
    ranks = list(SAYS)
    if ranks.index(strong) <= ranks.index(weak):
        return
    pair = [(weak, SAYS[weak]), (strong, SAYS[strong])]
    for outcomes in permutations(pair):
        found = labelled(*outcomes)
        assert found is not None
        assert found.evidence is Evidence(ranks.index(strong) + 1)


def test_a_stronger_no_beats_a_weaker_yes() -> None:
    """An audit that finds no need overrules the complaint that claimed one."""
    audit = ("audit_verdict", {"needed": "no", "propensity": 0.1})
    found = labelled(audit, ("complaint", {"verified": True}), ("reopened", {}))
    assert found is not None
    assert not found.needed


def test_of_equal_evidence_the_latest_word_counts() -> None:
    """A second verdict replaces the first."""
    yes, no = ("verdict", {"needed": "yes"}), ("verdict", {"needed": "no"})
    last_no, last_yes = labelled(yes, no), labelled(no, yes)
    assert last_no is not None
    assert last_yes is not None
    assert (last_no.needed, last_yes.needed) == (False, True)
    assert last_yes.matured_at == T0 + timedelta(hours=1)


def test_a_label_carries_its_propensity() -> None:
    """How likely the task was to be labelled comes with the label; 1 if untold."""
    audit = label("audit_verdict", needed="no", propensity=0.05)
    verdict = label("verdict", needed="no", propensity=0.25)
    assert audit is not None
    assert verdict is not None
    assert (audit.propensity, verdict.propensity) == (0.05, 0.25)
    for kind, body in SAYS.items():
        untold = label(kind, **{k: v for k, v in body.items() if k != "propensity"})
        assert untold is not None
        assert untold.propensity == 1


def test_a_label_says_who_said_so_and_when() -> None:
    """The source is kept, a human where none is named; maturity is the event's time."""
    named, unnamed = (
        label("verdict", T0, needed="no", source="benchmark"),
        label("verdict", T0, needed="no", source=None),
    )
    assert named is not None
    assert unnamed is not None
    assert (named.source, unnamed.source) == ("benchmark", "human")
    assert named.matured_at == T0


@pytest.mark.parametrize(
    ("kind", "body", "selected"),
    [
        ("audit_verdict", {"needed": "no", "propensity": 0.1}, False),
        ("verdict", {"needed": "no"}, False),
        ("verdict", {"needed": "no", "source": "benchmark"}, False),
        ("verdict", {"needed": "no", "source": "resolution"}, True),
        ("resolved", {"needed": "no"}, True),
        ("complaint", {}, True),
        ("reopened", {}, True),
    ],
)
def test_labels_that_depend_on_how_it_went_are_told_apart(
    kind: str,
    body: dict[str, Any],
    selected: bool,  # noqa: FBT001
) -> None:
    """A handover, a complaint or a reopening labels only tasks that went some way."""
    found = label(kind, **body)
    assert found is not None
    assert found.is_selected is selected


def test_each_task_has_one_label_of_its_own() -> None:
    """Labels are by task, and a task without judgement has none."""
    log = [
        parse({"task_id": t, "event_id": k, "at": T0.isoformat(), "kind": k} | body)
        for t, k, body in [
            ("a", "verdict", {"needed": "yes"}),
            ("b", "verdict", {"needed": "no"}),
            ("c", "completed", {}),
            ("b", "user_message", {"text": "needed: yes"}),
        ]
    ]
    labels = labels_of(events_table(log))
    assert {task: found.needed for task, found in labels.items()} == {
        "a": True,
        "b": False,
    }
    assert all(task == found.task_id for task, found in labels.items())
    assert labels_of(events_table([])) == {}


# --- what the words of several people amount to ----------------------------------


def verdicts(kind: str, *words: tuple[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Return outcomes of one kind: who says what."""
    return [
        (kind, {"needed": needed, "by": by, "propensity": 0.1}) for by, needed in words
    ]


@pytest.mark.parametrize("kind", ["verdict", "audit_verdict", "resolved"])
def test_a_later_uncertain_retracts_the_same_raters_word(kind: str) -> None:
    """Who takes back an answer leaves no label, until they give another."""
    ann = verdicts(kind, ("ann", "yes"), ("ann", "uncertain"), ("ann", "no"))
    assert labelled(*ann[:1]) is not None
    assert labelled(*ann[:2]) is None
    again = labelled(*ann)
    assert again is not None
    assert not again.needed


def test_an_uncertain_retracts_a_raters_word_of_every_kind() -> None:
    """A resolution is also a verdict: taking it back takes back both."""
    resolved = ("resolved", {"needed": "yes", "by": "ann"})
    verdict = ("verdict", {"needed": "yes", "by": "ann", "source": "resolution"})
    retracted = ("verdict", {"needed": "uncertain", "by": "ann"})
    assert labelled(resolved, verdict) is not None
    assert labelled(resolved, verdict, retracted) is None


def test_an_uncertain_retracts_nobody_elses_word() -> None:
    """That bob cannot tell does not mean that ann could not."""
    found = labelled(*verdicts("audit_verdict", ("ann", "no"), ("bob", "uncertain")))
    assert found is not None
    assert not found.needed


def test_an_earlier_uncertain_retracts_nothing() -> None:
    """Only what was said before can be taken back."""
    found = labelled(*verdicts("verdict", ("ann", "uncertain"), ("ann", "yes")))
    assert found is not None


def test_raters_who_are_divided_give_no_label_until_a_third_decides() -> None:
    """One yes and one no say nothing; the third makes a majority, and its time."""
    words = verdicts("audit_verdict", ("ann", "yes"), ("bob", "no"), ("cas", "no"))
    assert labelled(*words[:2]) is None
    found = labelled(*words)
    assert found is not None
    assert not found.needed
    assert found.matured_at == T0 + timedelta(hours=2)


def test_a_label_is_known_with_the_first_who_was_never_contradicted() -> None:
    """A second rater who agrees does not make the label younger."""
    words = verdicts("audit_verdict", ("ann", "yes"), ("bob", "yes"))
    found = labelled(*words)
    assert found is not None
    assert found.matured_at == T0


def test_a_word_said_again_is_as_young_as_when_it_was_last_said() -> None:
    """Of ann, bob, and ann again, bob's is the oldest word that stands."""
    words = verdicts("audit_verdict", ("ann", "yes"), ("bob", "yes"), ("ann", "yes"))
    found = labelled(*words)
    assert found is not None
    assert found.matured_at == T0 + timedelta(hours=1)


def test_divided_raters_leave_the_word_to_weaker_evidence() -> None:
    """A tie hides nothing: whoever resolved the handoff is still heard."""
    words = verdicts("audit_verdict", ("ann", "yes"), ("bob", "no"))
    found = labelled(("resolved", {"needed": "yes", "by": "cas"}), *words)
    assert found is not None
    assert (found.needed, found.evidence) == (True, Evidence.RESOLUTION)


def test_a_complaint_found_wrong_takes_back_those_not_looked_into() -> None:
    """What was checked and holds stands; what was not is withdrawn."""
    wrong = ("complaint", {"verified": False})
    assert labelled(("complaint", {}), wrong) is None
    assert labelled(("complaint", {"verified": True}), wrong) is not None
    assert labelled(("reopened", {}), wrong) is not None
    assert labelled(wrong, ("complaint", {})) is not None


def test_no_complaint_is_never_a_negative_label() -> None:
    """Without somebody's "no" no task is ever labelled as not needed."""
    silent: list[tuple[str, dict[str, Any]]] = [
        ("completed", {"success": True}),
        ("complaint", {"verified": False}),
        ("verdict", {"needed": "uncertain", "by": "ann"}),
    ]
    for size in range(len(silent) + 1):
        for outcomes in permutations(silent, size):
            assert labelled(*outcomes) is None


def test_a_second_look_at_a_handover_is_no_draw_among_all_tasks() -> None:
    """It is an audit verdict, and of a task that was labelled as it was handed over."""
    found = label("audit_verdict", needed="no", by="bob", source="second_look")
    assert found is not None
    assert found.is_selected


def test_a_task_that_was_complained_about_leaves_the_audit_frame() -> None:
    """It would have a label anyway: it stands for itself, not for those not drawn."""
    audit = ("audit_verdict", {"needed": "yes", "by": "ann", "propensity": 0.05})
    drawn = labelled(audit)
    assert drawn is not None
    assert (drawn.propensity, drawn.drawn) == (0.05, 0.05)
    known = labelled(audit, ("complaint", {"verified": True}))
    assert known is not None
    assert (known.evidence, known.propensity, known.drawn) == (
        Evidence.AUDIT,
        1.0,
        0.05,
    )


raters = st.sampled_from(["", "ann", "bob", "cas"])
statements = st.builds(
    Statement,
    task_id=st.sampled_from("ab"),
    by=raters,
    needed=st.sampled_from([True, False, None]),
    evidence=st.sampled_from([Evidence.RESOLUTION, Evidence.VERDICT, Evidence.AUDIT]),
    source=st.just("human"),
    propensity=st.floats(0.01, 1),
    at=st.just(T0),
) | st.builds(
    Statement,
    task_id=st.sampled_from("ab"),
    by=st.just(""),
    needed=st.sampled_from([True, None]),
    evidence=st.sampled_from([Evidence.COMPLAINT, Evidence.REOPENED]),
    source=st.just("human"),
    propensity=st.just(1.0),
    at=st.just(T0),
    verified=st.booleans(),
)


@given(st.lists(statements))
def test_a_label_is_somebodys_standing_word(said: list[Statement]) -> None:
    """Each label agrees with most standing answers of its kind of evidence."""
    for task_id, found in settled(said).items():
        own = [one for one in said if one.task_id == task_id]
        raters = [s.needed for s in standing(own) if s.evidence is found.evidence]
        answers = [needed for needed in raters if needed is not None]
        assert 2 * answers.count(found.needed) > len(answers)


@given(st.lists(statements))
def test_no_undivided_evidence_is_stronger_than_the_label(
    said: list[Statement],
) -> None:
    """Whatever is stronger than what decided was divided, or said nothing."""
    labels = settled(said)
    for task_id in {one.task_id for one in said}:
        own = standing([one for one in said if one.task_id == task_id])
        held = labels.get(task_id)
        for evidence in Evidence:
            answers = [s.needed for s in own if s.evidence is evidence]
            if held is None or evidence > held.evidence:
                assert answers.count(True) == answers.count(False)


@given(st.lists(statements), raters)
def test_who_cannot_tell_has_said_nothing(said: list[Statement], rater: str) -> None:
    """A rater's "uncertain" at the end makes it as though they had not spoken."""
    own = [one for one in said if one.task_id == "a"]
    word = Statement(
        task_id="a",
        by=rater,
        needed=None,
        evidence=Evidence.AUDIT,
        source="human",
        propensity=1.0,
        at=T0,
    )
    others = [one for one in own if not one.is_judged or one.by != rater]
    assert label_from([*own, word]) == label_from(others)


# --- whose tasks belong together --------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"group": "g", "account": {"id": "a"}}, "g"),
        ({"account": {"id": "a"}}, "a"),
        ({"account": None}, "t"),
        ({}, "t"),
    ],
)
def test_a_customer_is_the_group_else_the_account(
    facts: dict[str, Any], expected: str
) -> None:
    """Tasks of one customer stay together; a task without one stands alone."""
    assert group_of("t", facts) == expected
