"""Confidence rules: refused until validated, and heard only where they were."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import orjson
import pytest

from serving.policy.inputs import Facts
from serving.policy.rules import Policy, PolicyError, Validation, check
from serving.policy.trigger import evaluate

UNSURE = {
    "name": "unsure",
    "when": "confidence_last < 0.3",
    "says": "the agent called itself unsure: {confidence_last}",
}
TODAY = date(2026, 11, 24)


def validation(**changes: Any) -> dict[str, Any]:
    """Return a positive validation of confidence on agent 3.1, as it is pasted."""
    fields: dict[str, Any] = {
        "signal": "confidence_last",
        "agent_version": "3.1",
        "validated": True,
        "reason": "it ranks: AUROC 0.710 (0.660 to 0.760)",
        "made_on": TODAY,
        "data": "ab" * 32,
        "n_tasks": 400,
        "n_needed": 120,
        "auroc": {"value": 0.71, "low": 0.66, "high": 0.76},
    }
    return Validation.named(**{**fields, **changes}).model_dump(mode="json")


Make = Callable[..., Policy]


@pytest.fixture
def policy(document: dict[str, Any]) -> Make:
    """Return a maker of policies with a confidence rule and these validations."""

    def made(*held: dict[str, Any], rule: dict[str, Any]) -> Policy:
        rules = [*document["rules"], {**UNSURE, **rule}]
        whole = {**document, "rules": rules, "validations": list(held)}
        return Policy.parse(orjson.dumps(whole).decode())

    return made


def test_a_confidence_rule_is_refused_without_a_validation(policy: Make) -> None:
    """The refusal names the signal and the command that makes a validation."""
    with pytest.raises(PolicyError) as refusal:
        policy(rule={})
    (fault,) = refusal.value.faults
    assert "rule 'unsure': reads confidence_last" in fault
    assert "escalon evaluate --confidence" in fault


def test_a_confidence_rule_loads_once_it_is_validated(policy: Make) -> None:
    """A positive validation of the signal it reads lifts the refusal."""
    held = validation()
    assert policy(held, rule={"validated": [held["id"]]}).rules[2].validated


@pytest.mark.parametrize(
    ("held", "named", "fault"),
    [
        ([], ["confidence_last/3.1/0123"], "which is not under `validations`"),
        (
            [validation(validated=False, reason="too few labels")],
            None,
            "which says no: too few labels",
        ),
        ([validation(signal="confidence_min")], None, "reads confidence_last"),
        (
            [{**validation(), "auroc": {"value": 0.9, "low": 0.8, "high": 0.95}}],
            None,
            "paste it anew, unchanged",
        ),
        ([validation(), validation()], None, "stands there twice"),
    ],
)
def test_a_validation_that_does_not_carry_the_rule_is_refused(
    policy: Make, held: list[dict[str, Any]], named: list[str] | None, fault: str
) -> None:
    """Unknown, negative, of another signal, changed by hand, or doubled: no load."""
    names = named or [held[0]["id"]]
    with pytest.raises(PolicyError) as refusal:
        policy(*held, rule={"validated": names})
    assert fault in str(refusal.value)


def test_a_rule_over_two_signals_needs_both_on_one_version(policy: Make) -> None:
    """Validations of two signals on different agent versions do not add up."""
    last, apart, same = (
        validation(),
        validation(signal="confidence_min", agent_version="3.0"),
        validation(signal="confidence_min"),
    )
    rule = {"when": "confidence_last < 0.3 && confidence_min < 0.1"}
    with pytest.raises(PolicyError, match="on the same agent"):
        policy(last, apart, rule={**rule, "validated": [last["id"], apart["id"]]})
    names = [last["id"], same["id"]]
    assert policy(last, same, rule={**rule, "validated": names}).rules[2].validated


@pytest.mark.parametrize(
    ("version", "fires"), [("3.1", True), ("3.2", False), ("", False)]
)
def test_a_confidence_rule_speaks_only_of_the_versions_it_was_validated_on(
    policy: Make, version: str, *, fires: bool
) -> None:
    """On a new or unknown agent version the rule is silent; others go on."""
    held = validation()
    found = policy(held, rule={"validated": [held["id"]]})
    signals = {"confidence_last": 0.1, "asks_for_human": 1.0}
    fired = evaluate(signals, Facts(agent_version=version), None, found, None)
    names = [firing.trigger for firing in fired]
    assert names == ["user_asks_for_human"] + ["unsure"] * fires


def test_the_owner_is_told_of_whom_a_confidence_rule_speaks(policy: Make) -> None:
    """`policy check` names the agent versions, and a validation that grew old."""
    held = validation(made_on=date(2026, 1, 2))
    told = check(policy(held, rule={"validated": [held["id"]]}), today=TODAY)
    assert any("speaks only of agent version 3.1" in note for note in told)
    assert any("was made on 2026-01-02" in note for note in told)


def test_a_validation_comes_back_as_it_was_written(policy: Make) -> None:
    """Written out and read again it keeps its name and its figures."""
    held = validation()
    found = policy(held, rule={"validated": [held["id"]]}).validations[0]
    assert found.model_dump(mode="json") == held
    assert found.id == found.expected_id
    assert held["id"].startswith("confidence_last/3.1/")
