from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.batch import events_table
from features.events import OUTCOME_KINDS, AgentEvent, EventKind, parse
from training.labels import Evidence, Label, label_of, labels_of, strongest

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


found_labels = st.builds(
    Label,
    task_id=st.sampled_from("abc"),
    needed=st.booleans(),
    evidence=st.sampled_from(Evidence),
    source=st.just("human"),
    propensity=st.floats(0.01, 1),
    matured_at=st.just(T0),
)


@given(st.lists(found_labels))
def test_no_evidence_of_a_task_is_stronger_than_its_label(labels: list[Label]) -> None:
    """The label of each task is one of those found, and none found is stronger."""
    best = strongest(labels)
    assert best.keys() == {found.task_id for found in labels}
    for found in labels:
        assert best[found.task_id] in labels
        assert best[found.task_id].evidence >= found.evidence
