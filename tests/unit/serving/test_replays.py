"""Stored decisions made again under another policy, and what ran without acting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from escalon.cli import app
from escalon.comparing import replayed, trials
from serving.policy.rules import Mode, Policy
from serving.policy.trigger import canary_of
from serving.store.decided import decided
from serving.store.sqlite import read_only

LEARNED_AT = 0.5


def stricter(threshold: float, **changes: Any) -> Policy:
    """Return the default policy with the owner's own threshold."""
    learned = {"threshold": threshold}
    return Policy.default().model_copy(update={"learned": learned, **changes})


def play(desk: Any, risks: dict[str, list[float]]) -> None:
    """Play tasks whose risk at each step is given."""
    for task_id, steps in risks.items():
        for number, risk in enumerate(steps):
            desk.model.value = risk
            if number == 0:
                desk.begin(task_id)
            else:
                desk.say("And then?", task_id)


def test_decisions_are_read_back_task_by_task(desk: Any) -> None:
    """Steps are counted from one; what took effect is told apart from what did not."""
    play(desk, {"a": [0.1, 0.9], "b": [0.1]})
    with read_only(desk.path) as reader:
        a, b = decided(reader)
    assert (a.task_id, a.first, a.handed) == ("a", 2, 2)
    assert (b.task_id, b.first, b.handed) == ("b", None, None)
    assert [d.risk for d in a.decisions] == [0.1, 0.9]


def test_a_lower_threshold_adds_escalations(desk: Any) -> None:
    """Who would be handed over under the candidate, and by what, is told."""
    play(desk, {"low": [0.1], "middle": [0.1, 0.4], "high": [0.8]})
    found = replayed(desk.path, stricter(0.3))
    assert found["n_tasks"] == 3
    assert found["added"]["examples"] == ["middle"]
    assert found["added"]["by_trigger"] == {"learned": 1}
    assert found["removed"]["n"] == 0
    assert found["difference"]["escalation_rate"]["value"] == pytest.approx(1 / 3)


def test_a_rule_that_is_left_out_removes_escalations(desk: Any) -> None:
    """What nobody but that rule would have handed over is removed, by its name."""
    desk.begin("asks")
    desk.say("I want to speak to a human agent.", "asks")
    waiver = {"by": "ana", "why": "a drill", "until": "2027-01-31"}
    rules = [
        r.model_dump() | ({"waived": waiver} if r.name == "user_asks_for_human" else {})
        for r in Policy.default().rules
    ]
    found = replayed(desk.path, Policy.default().model_copy(update={"rules": rules}))
    assert found["removed"]["by_trigger"] == {"user_asks_for_human": 1}
    assert found["added"]["n"] == 0


def test_the_policy_that_decided_changes_nothing(desk: Any) -> None:
    """Replayed under itself, no escalation is added or removed."""
    play(desk, {"low": [0.1], "high": [0.8]})
    found = replayed(desk.path, desk.policy)
    assert found["added"]["n"] == found["removed"]["n"] == 0


def test_labels_say_what_the_added_escalations_are_worth(desk: Any) -> None:
    """Of the tasks that would be added, those judged tell how many were needed."""
    play(desk, {"one": [0.4], "two": [0.4]})
    for task_id, needed in (("one", "yes"), ("two", "no")):
        verdict = {"needed": needed, "by": "rea", "propensity": 0.5}
        desk.engine.outcomes([desk.event("audit_verdict", task_id=task_id, **verdict)])
    found = replayed(desk.path, stricter(0.3))
    assert found["added"]["n_labelled"] == 2
    assert found["added"]["share_needed"]["value"] == pytest.approx(0.5)
    assert found["n_labelled"] == 2


def test_a_shadow_run_is_held_against_what_happened(make_desk: Any) -> None:
    """What shadow mode would have handed over is told; nothing was."""
    desk = make_desk(stricter(0.3, mode=Mode.SHADOW))
    play(desk, {"low": [0.1], "high": [0.8]})
    (run,) = trials(desk.path, desk.policy)
    assert (run["mode"], run["model"], run["n_tasks"]) == ("shadow", "7", 2)
    assert run["n_acted_on"] == 0
    assert run["would_change"]["added"]["examples"] == ["high"]
    assert run["would_change"]["ways"]["champion"]["escalation_rate"]["value"] == 0.0


def test_both_arms_of_a_canary_are_told(make_desk: Any) -> None:
    """Tasks in the canary's share were acted on, the others only decided."""
    desk = make_desk(stricter(0.3, mode=Mode.CANARY, canary_share=0.5))
    names = [f"task-{i}" for i in range(20)]
    play(desk, {name: [0.8] for name in names})
    (run,) = trials(desk.path, desk.policy)
    acted = [name for name in names if canary_of(name) < 0.5]
    assert run["n_acted_on"] == len(acted)
    assert 0 < len(acted) < 20
    assert run["acted_on"]["escalation_rate"]["value"] == 1.0
    assert run["would_change"]["added"]["n"] == 20 - len(acted)


def test_enforced_decisions_are_no_trial(desk: Any) -> None:
    """Where every decision took effect there is nothing to hold against it."""
    play(desk, {"low": [0.1]})
    assert trials(desk.path, desk.policy) == []


def test_the_command_writes_what_it_prints(desk: Any, tmp_path: Path) -> None:
    """`escalon replay` reads a store that is in use, and leaves it as it was."""
    play(desk, {"middle": [0.4], "high": [0.8]})
    before = desk.records()
    policy = tmp_path / "candidate.yaml"
    policy.write_text(stricter(0.3, version="candidate-1").model_dump_json())
    words = ["replay", "--policy", policy, "--store", desk.path]
    target = tmp_path / "replay.json"
    done = CliRunner().invoke(app, [str(w) for w in (*words, "--out", target)])
    assert done.exit_code == 0, done.output
    assert "policy candidate-1 against as decided on 2 tasks" in done.stdout
    assert json.loads(target.read_text())["added"]["examples"] == ["middle"]
    assert desk.records() == before
