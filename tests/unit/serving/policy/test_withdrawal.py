"""Tests of what the policy does once its certificate was found not to hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from serving.policy.document import Costs, Learned, OnWithdrawal
from serving.policy.rules import Policy, PolicyError, check
from serving.policy.trigger import Action, Decision, replay

Decided = Callable[..., Decision]
PolicyOf = Callable[..., Policy]
COSTS = Costs()


@pytest.mark.parametrize("threshold", ["certified", "cost", 0.7])
def test_by_default_every_risk_is_too_high(threshold: Any) -> None:
    """Whichever threshold the owner had chosen: the safe side is to escalate."""
    learned = Learned(threshold=threshold)
    assert learned.held_against(COSTS, 0.4, 0.0, withdrawn=True) == 0.0


def test_rules_only_switches_the_trigger_off() -> None:
    """It is held against nothing."""
    learned = Learned(on_withdrawal=OnWithdrawal.RULES_ONLY)
    assert learned.held_against(COSTS, 0.4, 0.0, withdrawn=True) is None


def test_keep_goes_on_as_before() -> None:
    """Under the same threshold, whether it is promised or not."""
    learned = Learned(on_withdrawal=OnWithdrawal.KEEP)
    assert learned.held_against(COSTS, 0.4, 0.0, withdrawn=True) == 0.4


@pytest.mark.parametrize("wish", OnWithdrawal)
def test_a_trigger_that_is_off_stays_off(wish: OnWithdrawal) -> None:
    """A withdrawal does not switch on what the owner has switched off."""
    learned = Learned(enabled=False, on_withdrawal=wish)
    assert learned.held_against(COSTS, 0.4, 0.0, withdrawn=True) is None


def test_the_safe_side_says_why(decided: Decided, policy_of: PolicyOf) -> None:
    """Not that a risk of nearly nought is at or above a threshold of nought."""
    decision = decided(policy=policy_of(), risk=0.01, certified=0.5, withdrawn=True)
    assert decision.action is Action.ESCALATE
    assert decision.threshold == 0.0
    assert "no longer holds" in decision.firings[-1].says


def test_a_kept_trigger_says_what_it_always_did(
    decided: Decided, policy_of: PolicyOf
) -> None:
    """Its words are the owner's."""
    policy = policy_of(learned={"on_withdrawal": "keep"})
    plain = decided(policy=policy, risk=0.9, certified=0.5)
    kept = decided(policy=policy, risk=0.9, certified=0.5, withdrawn=True)
    assert kept.firings == plain.firings


def test_a_withdrawn_decision_can_be_replayed(
    decided: Decided, policy_of: PolicyOf
) -> None:
    """Through JSON and back, and under another policy."""
    decision = decided(policy=policy_of(), risk=0.2, certified=0.5, withdrawn=True)
    stored = Decision.from_json(orjson.loads(orjson.dumps(decision.to_json())))
    assert replay(stored, policy_of()) == decision
    kept = policy_of(learned={"on_withdrawal": "keep"})
    assert replay(stored, kept).action is Action.CONTINUE


def test_a_decision_stored_before_there_were_withdrawals_had_none(
    decided: Decided, policy_of: PolicyOf
) -> None:
    """The key is new."""
    stored = decided(policy=policy_of(), risk=0.2, certified=0.5).to_json()
    del stored["inputs"]["withdrawn"]
    assert Decision.from_json(stored).inputs.withdrawn is False


@pytest.mark.parametrize("wish", ["keep", "rules_only"])
def test_the_owner_is_told_of_a_side_that_is_not_safe(
    policy_of: PolicyOf, wish: str
) -> None:
    """A policy that goes on after a withdrawal may go live, and not in silence."""
    policy = policy_of(learned={"on_withdrawal": wish})
    assert any(f"on_withdrawal is {wish}" in says for says in check(policy))
    assert not any("on_withdrawal" in says for says in check(policy_of()))


def test_another_side_is_refused(policy_of: PolicyOf) -> None:
    """The document knows three."""
    with pytest.raises(PolicyError, match="on_withdrawal"):
        policy_of(learned={"on_withdrawal": "ignore"})
