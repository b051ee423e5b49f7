from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.signals import SIGNALS
from serving.policy.decision import Selection, Threshold
from serving.policy.rules import Audit, Policy, Priority
from serving.policy.trigger import (
    Action,
    Decision,
    Draw,
    Facts,
    Firing,
    Load,
    Settled,
    canary_of,
    decide,
    evaluate,
    replay,
    wish,
)

Decided = Callable[..., Decision]
PolicyOf = Callable[..., Policy]

WAIVER = {"by": "risk-owner", "why": "no people at night", "until": "2026-12-31"}
DEFAULT = Policy.default()


def waived_rules(policy: Policy) -> list[dict[str, Any]]:
    return [r.model_dump(mode="json") | {"waived": WAIVER} for r in policy.rules]


def names(decision: Decision) -> list[str]:
    return [firing.trigger for firing in decision.firings]


# --- what fires ---------------------------------------------------------------


def test_nothing_known_fires_nothing(policy_of: PolicyOf) -> None:
    """At the start of a task no trigger fires."""
    assert evaluate({}, Facts(), None, policy_of(), 0.5) == ()


def test_a_rule_says_why_with_the_values_it_saw(policy_of: PolicyOf) -> None:
    """A firing carries name, priority, question and the filled sentence."""
    signals = {"asks_for_human": 2.0, "call_repeats": 3.0}
    first, second = evaluate(signals, Facts(domain="orders"), None, policy_of(), None)
    assert first == Firing(
        trigger="user_asks_for_human",
        says="the user asked for a person 2 times",
        priority=Priority.HIGH,
        asks="what the user wants",
    )
    assert second.says == "the same call came again 3 times in orders"


@pytest.mark.parametrize(
    ("risk", "threshold", "fires"),
    [(0.5, 0.5, True), (0.49, 0.5, False), (None, 0.5, False), (0.9, None, False)],
)
def test_the_learned_trigger_fires_at_its_threshold(
    policy_of: PolicyOf, *, risk: float | None, threshold: float | None, fires: bool
) -> None:
    """It fires at the threshold and above, and never without either number."""
    firings = evaluate({}, Facts(), risk, policy_of(), threshold)
    assert [f.trigger for f in firings] == (["learned"] if fires else [])
    if fires:
        assert firings[0].says == (
            "predicted risk 0.5 is at or above the threshold 0.5"
        )


@given(risk=st.floats(0, 1), certified=st.floats(0, 1) | st.none())
def test_a_hard_rule_is_never_overruled(risk: float, certified: float | None) -> None:
    """Whatever the model says, a user who asks for a human gets one."""
    decision = decide(
        {"asks_for_human": 1.0},
        Facts(),
        risk,
        DEFAULT,
        Load(),
        Draw(uniform=0.5, targeted=0.5, canary=0.5),
        certificate=Threshold(threshold=certified),
        model_version="1",
    )
    assert decision.action is Action.ESCALATE
    assert decision.effective
    assert decision.firings[0].trigger == "user_asks_for_human"


def test_a_waived_rule_is_silent_until_its_last_day(
    policy_of: PolicyOf, document: dict[str, Any]
) -> None:
    """It fires again the day after, and where nobody says which day it is."""
    document["rules"][1]["waived"] = WAIVER
    policy = policy_of(rules=document["rules"])
    signals = {"call_repeats": 5.0}

    def fired(on: date | None) -> int:
        return len(evaluate(signals, Facts(on=on), None, policy, None))

    assert fired(date(2026, 12, 31)) == 0
    assert fired(date(2027, 1, 1)) == 1
    assert fired(None) == 1


def test_a_rule_that_cannot_be_evaluated_fires(
    policy_of: PolicyOf, document: dict[str, Any]
) -> None:
    """A failing safeguard is not a silent no, and says that it failed."""
    document["rules"][1]["when"] = "steps > 0.0 && 1 / int(steps) > 0"
    policy = policy_of(rules=document["rules"])
    (firing,) = evaluate({"steps": 0.5}, Facts(), None, policy, None)
    assert firing.says.startswith("the rule could not be evaluated, so it holds: ")


def test_the_fact_is_used_before_the_signal_of_the_same_name(
    policy_of: PolicyOf, document: dict[str, Any], decided: Decided
) -> None:
    """The account's value comes from the task's facts, else from its signal."""
    document["rules"][1]["when"] = "account_value > 100.0"
    policy = policy_of(rules=document["rules"], costs={"miss_per_account_value": 1})
    rich, poor = {"account_value": 200.0}, Facts(account_value=10.0)
    assert names(decided(policy, signals=rich, facts=poor)) == []
    assert names(decided(policy, signals=rich)) == ["loop"]
    assert decided(policy, signals=rich, risk=1.0).expected_loss == 0.8 * 240
    assert decided(policy, facts=poor, risk=1.0).expected_loss == 0.8 * 50


# --- actions ------------------------------------------------------------------


def test_nothing_fires_and_the_agent_goes_on(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Without a firing the decision is to continue."""
    decision = decided(policy_of(), risk=0.2, certified=0.5)
    assert (decision.action, decision.firings) == (Action.CONTINUE, ())
    assert (decision.source, decision.threshold, decision.risk) == ("model", 0.5, 0.2)
    assert decision.model_version == "3"
    assert decision.policy_version == "7"
    assert decision.policy_digest == policy_of().digest


@pytest.mark.parametrize("risk", [None, math.nan, -0.1, 1.1, math.inf])
def test_without_a_usable_risk_the_rules_decide(
    policy_of: PolicyOf, decided: Decided, risk: float | None
) -> None:
    """A broken risk is no risk: rules decide, and the decision says so."""
    decision = decided(policy_of(), risk=risk, certified=0.0)
    assert (decision.action, decision.source) == (Action.CONTINUE, "rules")
    assert decision.risk is None
    assert decision.expected_loss is None
    looping = decided(policy_of(), risk=risk, signals={"call_repeats": 9.0})
    assert looping.action is Action.ESCALATE


def test_a_refused_certificate_leaves_the_rules(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Without a certified threshold the learned trigger has no say."""
    decision = decided(policy_of(), risk=0.99, certified=None)
    assert (decision.action, decision.source) == (Action.CONTINUE, "rules")


def test_no_certificate_is_the_same_as_a_refused_one(policy_of: PolicyOf) -> None:
    """A model without a certificate can be passed as it is."""
    draw = Draw(uniform=0.5, targeted=0.5, canary=0.5)
    decision = decide(
        {},
        Facts(),
        0.99,
        policy_of(),
        Load(),
        draw,
        certificate=None,
        model_version=None,
    )
    assert decision.source == "rules"
    assert decision.draw is draw


def test_where_nothing_can_decide_the_agent_stops(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """No usable model and every rule waived: a safe stop, not a blind go-on."""
    on = Facts(on=date(2026, 12, 1))
    policy = policy_of(rules=waived_rules(policy_of()))
    assert decided(policy, facts=on).action is Action.SAFE_STOP
    assert decided(policy, facts=on, risk=0.1, certified=0.5).action is Action.CONTINUE
    without = policy_of(rules=waived_rules(policy_of()), learned={"enabled": False})
    assert decided(without, facts=on).action is Action.CONTINUE


@pytest.mark.parametrize(
    ("unstaffed", "staffed", "action"),
    [
        ("safe_stop", frozenset[str](), Action.SAFE_STOP),
        ("safe_stop", frozenset({"general"}), Action.ESCALATE),
        ("safe_stop", None, Action.ESCALATE),
        ("wait", frozenset[str](), Action.ESCALATE),
    ],
)
def test_an_unstaffed_chain_stops_the_agent_if_the_policy_says_so(
    policy_of: PolicyOf,
    decided: Decided,
    unstaffed: str,
    staffed: frozenset[str] | None,
    action: Action,
) -> None:
    """It stops only if nobody is there on any rung of the chain it leads to."""
    decision = decided(
        policy_of(unstaffed=unstaffed),
        signals={"call_repeats": 3.0},
        facts=Facts(domain="billing"),
        load=Load({}, staffed),
    )
    assert decision.action is action
    assert names(decision) == ["loop"]


@given(waiting=st.integers(0, 10**6))
def test_load_drops_nothing(waiting: int) -> None:
    """However much waits, what fires escalates, and carries the load it saw."""
    load = Load({"general": (waiting, 1e5)})
    decision = decide(
        {},
        Facts(),
        0.7,
        DEFAULT,
        load,
        Draw(uniform=0.5, targeted=0.5, canary=0.5),
        certificate=Threshold(threshold=0.5),
        model_version="1",
    )
    assert decision.action is Action.ESCALATE
    assert decision.load.waiting("general") == waiting
    assert decision.load.waiting("vip") == 0
    assert decision.expected_loss == 0.7 * 0.8 * 40


# --- wishes -------------------------------------------------------------------


def test_an_explicit_wish_is_honoured_in_every_mode(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """In shadow, with nobody there, and with no rule: who asks is handed over."""
    policy = policy_of(
        mode="shadow", unstaffed="safe_stop", rules=waived_rules(policy_of())
    )
    asked = wish("user", "I want my money back", policy)
    decision = decided(policy, load=Load({}, frozenset()), wishes=(asked,))
    assert (decision.action, decision.effective) == (Action.ESCALATE, True)
    assert names(decision) == ["user_asks_for_human"]
    assert decision.propensity == 1.0


def test_a_wish_says_who_and_why(policy_of: PolicyOf) -> None:
    """A wish is as urgent as the rule for users who ask; an agent's has its own name."""
    by_user = wish("user", " ", policy_of())
    assert by_user.says == "user asked for a human"
    assert (by_user.priority, by_user.asks) == (Priority.HIGH, "what the user wants")
    by_agent = wish("agent", "beyond my tools", policy_of())
    assert by_agent.trigger == "agent_asks_for_human"
    assert by_agent.says == "agent asked for a human: beyond my tools"


# --- modes and draws ----------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "canary", "effective"),
    [
        ("enforce", 0.99, True),
        ("shadow", 0.0, False),
        ("canary", 0.09, True),
        ("canary", 0.1, False),
    ],
)
def test_a_mode_says_how_much_takes_effect(
    policy_of: PolicyOf, decided: Decided, *, mode: str, canary: float, effective: bool
) -> None:
    """What is decided is the same in every mode; whether it takes effect is not."""
    draw = Draw(uniform=0.5, targeted=0.5, canary=canary)
    decision = decided(policy_of(mode=mode), signals={"call_repeats": 3.0}, draw=draw)
    assert (decision.action, decision.effective) == (Action.ESCALATE, effective)
    assert decision.mode == mode
    assert (decision.propensity == 1.0) is effective


def test_the_canary_share_of_tasks_is_its_share() -> None:
    """About a tenth of task ids lies below .1, and the same ones every time."""
    places = [canary_of(f"task-{n}") for n in range(4000)]
    assert all(0 <= place < 1 for place in places)
    assert abs(sum(place < 0.1 for place in places) / 4000 - 0.1) < 0.02
    assert canary_of("task-7") == places[7]


@pytest.mark.parametrize(
    ("risk", "q_targeted"),
    [(0.5, 0.2), (None, 0.2), (0.0, 0.05), (1.0, 0.05), (0.1, 0.12)],
)
def test_the_targeted_rate_is_highest_where_the_risk_is_a_half(
    risk: float | None, q_targeted: float
) -> None:
    """It follows sqrt(p(1-p)), never below the floor; an unknown risk is one half."""
    draw = Draw(uniform=0.0, targeted=0.0, canary=0.0)
    audit = Audit(uniform=0.1, targeted=0.2, floor=0.25)
    selection = Selection.drawn(audit, risk, draw)
    assert selection.q_targeted == pytest.approx(q_targeted)
    assert selection.propensity == pytest.approx(1 - 0.9 * (1 - q_targeted))
    assert selection.uniform
    assert selection.targeted


@given(risk=st.floats(0, 1), uniform=st.floats(0, 1), targeted=st.floats(0, 1))
def test_the_propensity_is_the_share_of_draws_that_select(
    risk: float, uniform: float, targeted: float
) -> None:
    """Over an even grid of draws, the selected share is the stated propensity."""
    audit = Audit(uniform=uniform, targeted=targeted)
    grid = [(k + 0.5) / 40 for k in range(40)]
    drawn = [
        Selection.drawn(audit, risk, Draw(uniform=u, targeted=t, canary=0.0))
        for u in grid
        for t in grid
    ]
    share = sum(selection.is_any for selection in drawn) / len(drawn)
    assert share == pytest.approx(drawn[0].propensity, abs=0.03)


# --- replay -------------------------------------------------------------------

TEXT = st.text(max_size=8)
UNIT = st.floats(0, 1, exclude_max=True)
FACTS = st.builds(
    Facts,
    domain=TEXT | st.just("billing"),
    channel=TEXT,
    locale=TEXT,
    agent_id=TEXT,
    agent_version=TEXT,
    account_tier=TEXT,
    account_value=st.none() | st.floats(0, 1e9),
    hour=st.none() | st.floats(0, 24),
    on=st.none() | st.dates(),
)
SIGNAL_VALUES = st.dictionaries(
    st.sampled_from([s.name for s in SIGNALS]),
    st.floats() | st.integers(0, 9).map(float),
)
QUEUES = st.sampled_from([q.name for q in DEFAULT.queues])
LOAD = st.builds(
    Load,
    st.dictionaries(QUEUES, st.tuples(st.integers(0, 99), st.floats(0, 1e6))),
    st.none() | st.frozensets(QUEUES),
)
DRAW = st.builds(Draw, uniform=UNIT, targeted=UNIT, canary=UNIT)
WISHES = st.lists(st.builds(wish, TEXT, TEXT, st.just(DEFAULT)), max_size=2).map(tuple)
POLICIES = [
    Policy.parse(orjson.dumps(DEFAULT.model_dump(mode="json") | changes).decode())
    for changes in (
        {},
        {"mode": "canary", "unstaffed": "safe_stop"},
        {"mode": "shadow", "learned": {"threshold": "cost"}},
    )
]


@given(
    policy=st.sampled_from(POLICIES),
    signals=SIGNAL_VALUES,
    facts=FACTS,
    risk=st.none() | st.floats(),
    load=LOAD,
    draw=DRAW,
    certified=st.none() | UNIT,
    wishes=WISHES,
)
def test_a_stored_decision_replays_to_itself(
    *,
    policy: Policy,
    signals: dict[str, float],
    facts: Facts,
    risk: float | None,
    load: Load,
    draw: Draw,
    certified: float | None,
    wishes: tuple[Firing, ...],
) -> None:
    """A decision survives JSON, and deciding again on what it holds gives it again."""
    decision = decide(
        signals,
        facts,
        risk,
        policy,
        load,
        draw,
        certificate=Threshold(threshold=certified),
        model_version="7",
        wishes=wishes,
    )
    stored = Decision.from_json(orjson.loads(orjson.dumps(decision.to_json())))
    assert stored == decision
    assert replay(stored, policy) == decision


def test_an_infinite_signal_is_the_largest_number(
    policy_of: PolicyOf, decided: Decided
) -> None:
    """Infinity still fires a rule, and still fits into JSON."""
    decision = decided(
        policy_of(),
        signals={"call_repeats": math.inf, "steps": -math.inf, "cost": math.nan},
    )
    assert names(decision) == ["loop"]
    assert decision.inputs.signals["steps"] < -1e308
    assert "cost" not in decision.inputs.signals


def test_a_replay_under_another_policy_is_that_policys_decision(
    policy_of: PolicyOf, document: dict[str, Any], decided: Decided
) -> None:
    """What a candidate would have decided can be seen on stored decisions."""
    live = decided(policy_of(), signals={"call_repeats": 3.0}, risk=0.2, certified=0.5)
    document["rules"][1]["when"] = "call_repeats >= 9.0"
    candidate = replay(live, policy_of(rules=document["rules"], version="8"))
    assert (live.action, candidate.action) == (Action.ESCALATE, Action.CONTINUE)
    assert candidate.policy_version == "8"
    assert candidate.inputs == live.inputs


# --- facts --------------------------------------------------------------------


def test_facts_are_read_off_the_start_of_a_task() -> None:
    """Domain, account and the rest come from the event; hour and day are in UTC."""
    started = {
        "domain": "billing",
        "locale": "de-AT",
        "agent_version": None,
        "account": {"id": "a", "value": 12, "tier": "pro"},
    }
    at = datetime(2026, 11, 24, 23, 30, tzinfo=UTC).astimezone()
    facts = Facts.of(started, at + timedelta(hours=1))
    assert facts == Facts(
        domain="billing",
        locale="de-AT",
        account_tier="pro",
        account_value=12.0,
        hour=0.5,
        on=date(2026, 11, 25),
    )


def test_a_task_without_an_account_has_no_value() -> None:
    """An absent account is unknown, and not worth nothing."""
    facts = Facts.of({"account": None}, datetime(2026, 1, 1, tzinfo=UTC))
    assert facts.account_value is None
    assert "account_value" not in facts.known()
    assert "hour" not in Facts().known()


# --- what a human has answered ------------------------------------------------


def test_what_is_settled_fires_again_only_with_news(policy_of: PolicyOf) -> None:
    """A rule is silent while it says what a human answered, and heard when it changes."""
    policy = policy_of()

    def asked(times: float, settled: Settled) -> Decision:
        return decide(
            {"asks_for_human": times},
            Facts(),
            None,
            policy,
            Load(),
            Draw(uniform=0.5, targeted=0.5, canary=0.0),
            certificate=None,
            model_version=None,
            settled=settled,
        )

    first = asked(1.0, Settled())
    assert first.action is Action.ESCALATE
    answered = Settled(firings=first.firings)
    assert names(asked(1.0, answered)) == []
    again = asked(2.0, answered)
    assert again.action is Action.ESCALATE
    assert replay(again, policy) == again
    assert Decision.from_json(again.to_json()) == again


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_settled_risk_silences_the_learned_trigger_up_to_itself(
    answered: float, risk: float
) -> None:
    """The learned trigger fires at or above its threshold and above what was answered."""
    decision = decide(
        {},
        Facts(),
        risk,
        DEFAULT,
        Load(),
        Draw(uniform=0.5, targeted=0.5, canary=0.0),
        certificate=Threshold(threshold=0.5),
        model_version="1",
        settled=Settled(risk=answered),
    )
    assert bool(decision.firings) == (risk >= 0.5 and risk > answered)


def test_a_slightly_higher_risk_is_news_though_its_words_are_the_same() -> None:
    """The learned trigger goes by the risk, not by its rounded sentence."""

    def at(risk: float, settled: Settled) -> Decision:
        return decide(
            {},
            Facts(),
            risk,
            DEFAULT,
            Load(),
            Draw(uniform=0.5, targeted=0.5, canary=0.0),
            certificate=Threshold(threshold=0.5),
            model_version="1",
            settled=settled,
        )

    first = at(0.9, Settled())
    answered = Settled(firings=first.firings, risk=0.9)
    assert at(0.9, answered).firings == ()
    again = at(0.9 + 1e-7, answered)
    assert [f.says for f in again.firings] == [f.says for f in first.firings]
