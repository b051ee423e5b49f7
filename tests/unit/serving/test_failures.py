"""Tests of failures inside: each becomes a safe decision, and is audited."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from features.online import TaskState
from serving.engine.preparing import LAST_WORDS
from serving.policy import fallback, package, router, trigger
from serving.policy.rules import Mode, Policy
from training.bundle import BundleError


class BrokenError(Exception):
    """What a part fails with in these tests."""


def fail(*_: Any, **__: Any) -> Any:
    """Fail as whatever part this stands for."""
    raise BrokenError


def states(desk: Any) -> list[tuple[str, str | None]]:
    """Return the changes of model in the log, with their faults."""
    return [
        (record["type"], record["model"]["fault"])
        for record in desk.records()
        if record["type"].startswith("model.")
    ]


def last_step(desk: Any) -> dict[str, Any]:
    """Return the audit record of the last step."""
    steps = [r for r in desk.records() if r["type"] == "step.scored"]
    return dict(steps[-1])


# --- the model ---------------------------------------------------------------


def test_without_a_model_the_rules_decide(desk: Any) -> None:
    """No risk, source rules, and hard rules that still fire."""
    desk.source.model = None
    decision = desk.begin()["decision"]
    assert (decision["source"], decision["risk"]) == ("rules", None)
    assert decision["model_version"] is None
    answer = desk.say("Give me a human agent")
    assert answer["decision"]["action"] == "ESCALATE"


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1])
def test_a_risk_that_is_none_counts_as_none(desk: Any, value: float) -> None:
    """Something that is no probability is not acted on; the rules decide."""
    desk.model.value = value
    decision = desk.begin()["decision"]
    assert (decision["source"], decision["risk"]) == ("rules", None)
    assert states(desk)[-1] == ("model.fallback_entered", "RiskError")


def test_each_change_of_model_is_audited_once(desk: Any) -> None:
    """Steps in between say nothing new; the way back is audited too."""
    desk.begin()
    desk.say("one")
    desk.model.is_broken = True
    desk.say("two")
    desk.say("three")
    desk.source.error = BundleError("gone")
    desk.say("four")
    desk.source.model, desk.source.error = None, None
    desk.say("five")
    desk.source.model, desk.model.is_broken = desk.model, False
    desk.say("six")
    desk.source.problem = "the new one does not load"
    desk.say("seven")
    assert states(desk) == [
        ("model.loaded", None),
        ("model.fallback_entered", "RuntimeError"),
        ("model.fallback_entered", "BundleError"),
        ("model.fallback_entered", "absent"),
        ("model.loaded", None),
        ("model.rejected", "refused"),
    ]


def test_a_model_without_a_certificate_leaves_it_to_the_rules(desk: Any) -> None:
    """A refused certificate gives no threshold, so the learned trigger is silent."""
    desk.model.certificate = replace(desk.model.certificate, threshold=None)
    desk.model.value = 0.99
    decision = desk.begin()["decision"]
    assert (decision["action"], decision["source"]) == ("CONTINUE", "rules")


NO_RULE = """
version: "1"
owner: someone
review_by: 2099-01-01
rules:
  - name: user_asks_for_human
    when: asks_for_human >= 1.0
    says: "the user asked for a person, messages: {asks_for_human}"
    waived: {by: someone, why: nobody is there this week, until: 2099-01-01}
queues:
  - {name: general, owner: lead, members: [ana]}
routes:
  - {queue: general}
messages:
  default: {en: {open: "wait {wait}", closed: "wait {wait}"}}
"""


def test_no_model_and_no_rule_is_a_safe_stop(make_desk: Any) -> None:
    """Where nothing is able to decide, the agent stops and a human sees the task."""
    blind = make_desk(Policy.parse(NO_RULE))
    blind.source.model = None
    answer = blind.begin()
    assert answer["decision"]["action"] == "SAFE_STOP"
    assert answer["owner"]["kind"] == "queue"
    assert answer["message"] is not None


def test_a_waiver_is_audited_when_the_policy_loads(make_desk: Any) -> None:
    """The log names the rule that is off, who switched it off, and until when."""
    loaded = make_desk(Policy.parse(NO_RULE)).records()[1]
    assert loaded["type"] == "policy.loaded"
    assert loaded["waived"] == [
        {"rule": "user_asks_for_human", "by": "someone", "until": "2099-01-01"}
    ]


# --- policy and signals ------------------------------------------------------


def test_a_policy_that_fails_stops_the_agent(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never an error, never a silent CONTINUE: the fault is audited, a human is told."""
    monkeypatch.setattr(trigger, "decide", fail)
    answer = desk.begin()
    assert answer["decision"]["action"] == "SAFE_STOP"
    assert answer["decision"]["effective"] is True
    assert answer["owner"] == {"kind": "queue", "id": "general"}
    assert answer["decision"]["reasons"][0]["trigger"] == "safe_stop"
    assert last_step(desk)["decision"]["faults"] == ["policy:BrokenError"]


def test_signals_that_cannot_be_read_stop_the_agent(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events are kept; what they say is not guessed."""
    monkeypatch.setattr(TaskState, "advance", fail)
    answer = desk.begin()
    assert answer["decision"]["action"] == "SAFE_STOP"
    assert answer["accepted"] == ["e1", "e2"]
    assert last_step(desk)["decision"]["faults"] == ["signals:BrokenError"]


def test_a_failing_policy_in_shadow_is_recorded_only(
    make_desk: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mode that only watches does not stop an agent."""
    shadow = make_desk(desk.policy.model_copy(update={"mode": Mode.SHADOW}))
    monkeypatch.setattr(trigger, "decide", fail)
    answer = shadow.begin()
    assert answer["decision"]["action"] == "SAFE_STOP"
    assert answer["decision"]["effective"] is False
    assert answer["owner"]["kind"] == "agent"


def test_a_wish_is_honoured_whatever_fails(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With policy, router, packager and words all broken a human still gets the task."""
    desk.begin()
    for module, name in (
        (trigger, "decide"),
        (router, "choose"),
        (package, "pack"),
        (fallback, "respond"),
    ):
        monkeypatch.setattr(module, name, fail)
    answer = desk.engine.escalate("t", by="user", reason="help")
    assert answer["decision"]["action"] == "ESCALATE"
    assert answer["message"] == LAST_WORDS
    handoff = desk.engine.handoff(answer["handoff"]["handoff_id"])
    assert (handoff["queue"], handoff["priority"]) == ("general", "high")
    assert [e["event_id"] for e in handoff["package"]["record"]][:2] == ["e1", "e2"]
    assert "could not be packed" in handoff["package"]["missing"][0]
    opened = next(r for r in desk.records() if r["type"] == "handoff.opened")
    assert opened["faults"] == [
        "router:BrokenError",
        "package:BrokenError",
        "fallback:BrokenError",
    ]


def test_a_model_that_cannot_explain_itself_does_not_stop_a_handover(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package lacks the model's reasons, says so, and has all else."""
    monkeypatch.setattr(type(desk.model), "explain", fail)
    package_ = desk.engine.handoff(desk.hand_over())["package"]
    assert package_["reasons"] == []
    assert any("contributions" in missing for missing in package_["missing"])
    assert package_["conversation"][0]["text"] == "Where is my parcel?"


def test_contributions_that_do_not_add_up_are_left_out(desk: Any) -> None:
    """A false explanation is worse than none."""
    desk.model.base = 5.0
    package_ = desk.engine.handoff(desk.hand_over())["package"]
    assert package_["reasons"] == []
    opened = next(r for r in desk.records() if r["type"] == "handoff.opened")
    assert opened["faults"] == ["explain:PackageError"]


# --- what is rolled back -----------------------------------------------------


def test_signals_are_read_again_after_a_rollback(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events of a transaction that failed leave no trace in the signals."""
    desk.begin()
    with monkeypatch.context() as patched:
        patched.setattr("serving.engine.steps.hand_over", fail)
        desk.model.value = 0.9
        with pytest.raises(BrokenError):
            desk.say("This is lost")
        desk.model.value = 0.1
    desk.say("This is kept")
    answer = desk.engine.escalate("t", by="user", reason="now")
    package_ = desk.engine.handoff(answer["handoff"]["handoff_id"])["package"]
    assert package_["signals"]["user_messages"] == 2.0
    assert states(desk) == [("model.loaded", None)]


def test_a_change_of_model_that_was_rolled_back_is_audited_next_time(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of the change is not lost with the step that failed."""
    desk.begin()
    desk.model.is_broken = True
    with monkeypatch.context() as patched:
        patched.setattr("serving.engine.replies.keep", fail)
        with pytest.raises(BrokenError):
            desk.say("one")
    assert states(desk) == [("model.loaded", None)]
    desk.say("two")
    assert states(desk)[-1] == ("model.fallback_entered", "RuntimeError")
