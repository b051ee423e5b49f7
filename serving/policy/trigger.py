"""Trigger evaluator: what fires at a step, and what is decided of it."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

from serving.policy.conditions import outcome
from serving.policy.decision import (
    Action,
    Certified,
    Decision,
    Selection,
    Threshold,
)
from serving.policy.inputs import Draw, Facts, Firing, Inputs, Load, Settled
from serving.policy.rules import (
    AGENT_ASKS,
    LEARNED,
    SAFE_STOP,
    USER_ASKS,
    Mode,
    OnWithdrawal,
    Policy,
    Priority,
    Rule,
    Unstaffed,
)
from serving.policy.words import fill

__all__ = [
    "Action",
    "Decision",
    "Draw",
    "Facts",
    "Firing",
    "Inputs",
    "Load",
    "Selection",
    "Settled",
    "Threshold",
    "canary_of",
    "decide",
    "evaluate",
    "replay",
    "wish",
]


def canary_of(task_id: str) -> float:
    """Return the place of a task in [0, 1): below the canary share it takes part.

    A hash, so that a task is in or out at all its steps, on every host, and stays in
    when the share grows.
    """
    head = hashlib.sha256(b"canary:" + task_id.encode()).digest()[:8]
    return (int.from_bytes(head) >> 11) / 2.0**53


def wish(by: str, reason: str, policy: Policy) -> Firing:
    """Return the firing of an explicit wish for a human.

    Parameters
    ----------
    by : str
        ``"user"``, or whoever else asks (the agent, or an operator by name).
    reason : str
        In their words; may be empty.
    policy : Policy
        Its rule for users who ask says how urgent a wish is.
    """
    rule = next((r for r in policy.rules if r.name == USER_ASKS), None)
    return Firing(
        trigger=USER_ASKS if by == "user" else AGENT_ASKS,
        says=f"{by} asked for a human" + (f": {reason}" if reason.strip() else ""),
        priority=Priority.NORMAL if rule is None else rule.priority,
        asks="" if rule is None else rule.asks,
    )


# --- what fires --------------------------------------------------------------


def _fired(rule: Rule, values: Mapping[str, str | float], *, sure: bool) -> Firing:
    says = fill(rule.says, values)
    return Firing(
        trigger=rule.name,
        says=says if sure else f"the rule could not be evaluated, so it holds: {says}",
        priority=rule.priority,
        asks=rule.asks,
    )


def _rules_fired(
    policy: Policy, facts: Facts, values: Mapping[str, str | float]
) -> Iterator[Firing]:
    bound = policy.bind(values)
    for rule in policy.rules:
        if policy.can_fire(rule, on=facts.on, agent_version=facts.agent_version):
            held = outcome(policy.conditions[rule.when], bound)
            # A hard rule that fails must not be a silent no.
            if held is not False:
                yield _fired(rule, values, sure=held is True)


def _learned_fired(
    policy: Policy,
    risk: float,
    threshold: float,
    values: Mapping[str, str | float],
) -> Firing:
    known = {**values, "risk": risk, "threshold": threshold}
    return Firing(
        trigger=LEARNED,
        says=fill(policy.learned.says, known),
        priority=policy.learned.priority,
        asks=policy.learned.asks,
    )


def evaluate(
    signals: Mapping[str, float],
    facts: Facts,
    risk: float | None,
    policy: Policy,
    threshold: float | None,
) -> tuple[Firing, ...]:
    """Return what fires: hard rules in the order of the document, then the learned.

    A hard rule never asks what the risk says, and the risk never asks a rule.

    Parameters
    ----------
    signals : Mapping of str to float
        By name; NaN, or not there, is unknown.
    facts : Facts
        Of the task.
    risk : float or None
        In [0, 1]; None: no usable model.
    policy : Policy
        Which triggers there are.
    threshold : float or None
        The learned trigger fires at it and above; None: it does not fire.
    """
    seen = {} if risk is None else {"risk": risk}
    values = {**signals, **facts.known(), **seen}
    firings = tuple(_rules_fired(policy, facts, values))
    if risk is None or threshold is None or risk < threshold:
        return firings
    return (*firings, _learned_fired(policy, risk, threshold, values))


# --- what is decided ---------------------------------------------------------


def _is_stuck(policy: Policy, inputs: Inputs, firings: tuple[Firing, ...]) -> bool:
    """Whether nobody is there for these firings, and the policy says to stop then."""
    route = policy.route(
        {firing.trigger for firing in firings}, policy.bind(inputs.values())
    )
    stops = policy.unstaffed is Unstaffed.SAFE_STOP
    return (stops or policy.queue(route.queue).unattended) and not any(
        inputs.load.is_staffed(rung) for rung in policy.rungs(route.queue)
    )


def _action(
    policy: Policy, inputs: Inputs, firings: tuple[Firing, ...], *, by_model: bool
) -> Action:
    if inputs.wishes:
        return Action.ESCALATE
    if firings:
        stuck = _is_stuck(policy, inputs, firings)
        return Action.SAFE_STOP if stuck else Action.ESCALATE
    blind = policy.learned.enabled and not by_model
    on, version = inputs.facts.on, inputs.facts.agent_version
    if blind and not any(
        policy.can_fire(rule, on=on, agent_version=version) for rule in policy.rules
    ):
        return Action.SAFE_STOP
    return Action.CONTINUE


def _takes_effect(policy: Policy, inputs: Inputs) -> bool:
    if inputs.wishes or policy.mode is Mode.ENFORCE:
        return True
    return policy.mode is Mode.CANARY and inputs.draw.canary < policy.canary_share


def _news(
    policy: Policy, inputs: Inputs, threshold: float | None
) -> tuple[Firing, ...]:
    """Return what fires, without what a human has answered already.

    A rule is heard again once it says something new, the learned trigger once the risk
    is higher than any a human has looked at.
    """
    risk, settled = inputs.risk, inputs.settled
    heard = None if risk is not None and settled.covers_risk(risk) else threshold
    fired = evaluate(inputs.signals, inputs.facts, risk, policy, heard)
    # The learned trigger is judged by its risk: its words round it.
    return tuple(f for f in fired if f.trigger == LEARNED or not settled.covers(f))


def _worded(
    policy: Policy, inputs: Inputs, firings: tuple[Firing, ...]
) -> tuple[Firing, ...]:
    """Return `firings`, the learned one saying why where its promise was withdrawn."""
    if not inputs.withdrawn or policy.learned.on_withdrawal is OnWithdrawal.KEEP:
        return firings
    return tuple(
        replace(f, says=_WITHDRAWN) if f.trigger == LEARNED else f for f in firings
    )


_WITHDRAWN = (
    "what was promised of missed tasks no longer holds, so every task goes to a human "
    "until it does"
)


def _stopped() -> Firing:
    return Firing(
        trigger=SAFE_STOP,
        says="neither a model nor a rule is able to decide, so the agent was stopped",
        priority=Priority.HIGH,
        asks="whether the task can go on",
    )


def _decided(policy: Policy, inputs: Inputs) -> Decision:
    risk = inputs.risk
    threshold = policy.learned.held_against(
        policy.costs,
        inputs.certified,
        inputs.account_value,
        withdrawn=inputs.withdrawn,
    )
    firings = inputs.wishes + _worded(policy, inputs, _news(policy, inputs, threshold))
    by_model = risk is not None and threshold is not None
    action = _action(policy, inputs, firings, by_model=by_model)
    effective = _takes_effect(policy, inputs)
    selection = Selection.drawn(policy.audit, risk, inputs.draw)
    if action is Action.SAFE_STOP and not firings:
        firings = (_stopped(),)
    # A safe stop is handed over too: somebody must see what the agent left.
    handed_over = effective and action is not Action.CONTINUE
    return Decision(
        action=action,
        firings=firings,
        threshold=threshold,
        source="model" if by_model else "rules",
        mode=policy.mode,
        effective=effective,
        policy_version=policy.version,
        policy_digest=policy.digest,
        selection=selection,
        propensity=1.0 if handed_over else selection.propensity,
        expected_loss=(
            None if risk is None else risk * policy.costs.saved(inputs.account_value)
        ),
        inputs=inputs,
    )


def _known(signals: Mapping[str, float]) -> dict[str, float]:
    """Return the signals that are known; for infinity, the largest JSON can carry."""
    known = {n: float(value) for n, value in signals.items() if math.isfinite(value)}
    for name, value in signals.items():
        if math.isinf(value):
            known[name] = math.copysign(sys.float_info.max, value)
    return known


def decide(  # noqa: PLR0917 (all that is decided on)
    signals: Mapping[str, float],
    facts: Facts,
    risk: float | None,
    policy: Policy,
    load: Load,
    draw: Draw,
    *,
    certificate: Certified | None,
    model_version: str | None,
    wishes: tuple[Firing, ...] = (),
    settled: Settled | None = None,
    withdrawn: bool = False,
) -> Decision:
    """Return the decision at one step of a task. Pure: the same again for the same.

    What fires escalates, however much is waiting already: under load nothing is
    dropped here. The decision carries the load it saw and the loss a human's look is
    expected to save, by which those who wait can be put in order.

    Parameters
    ----------
    signals : Mapping of str to float
        By name; NaN, or not there, is unknown.
    facts : Facts
        Of the task.
    risk : float or None
        Calibrated, in [0, 1]; None, NaN or anything else: no usable model, the rules
        decide.
    policy : Policy
        Under which is decided.
    load : Load
        What waits at the queues (`router.seen` adds who is there).
    draw : Draw
        Chance.
    certificate : Certified or None
        The model's, of the task's segment; None is the same as a refused one.
    model_version : str or None
        For the record.
    wishes : tuple of Firing
        Explicit wishes for a human (`wish`). Always honoured, in every mode.
    settled : Settled, optional
        What a human has answered by returning the task; None: nothing yet.
    withdrawn : bool
        Whether monitors found that the certificate does not hold: the policy says what
        becomes of the learned trigger then.
    """
    usable = float(risk) if risk is not None and 0 <= risk <= 1 else None
    return _decided(
        policy,
        Inputs(
            signals=_known(signals),
            facts=facts,
            risk=usable,
            load=load,
            draw=draw,
            certified=None if certificate is None else certificate.threshold,
            model_version=model_version,
            wishes=wishes,
            settled=settled or Settled(),
            segment="" if certificate is None else certificate.segment,
            withdrawn=withdrawn,
        ),
    )


def replay(decision: Decision, policy: Policy) -> Decision:
    """Return what `policy` decides on what `decision` was made on.

    Under the policy it was made under, the result equals `decision`.
    """
    return _decided(policy, decision.inputs)
