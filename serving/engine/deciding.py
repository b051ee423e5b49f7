"""Deciding: model and policy at one step, and what is decided when one of them fails.

Whatever goes wrong here becomes a decision that is safe, says so, and is audited: with
no usable risk the rules decide; with no usable policy the agent is told to stop and
a human sees the task. Nothing raises, and nothing turns into a silent CONTINUE.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.signals import NAMES
from serving.engine.models import Model, ModelSource, made_at
from serving.engine.withdrawals import Withdrawals
from serving.policy import router, trigger
from serving.policy.audit import AuditType
from serving.policy.decision import Certified
from serving.policy.rules import SAFE_STOP, Mode, Policy, Priority
from serving.policy.trigger import (
    Action,
    Decision,
    Draw,
    Facts,
    Firing,
    Inputs,
    Load,
    Selection,
    Settled,
)
from serving.safely import Failure, attempt

_log = logging.getLogger(__name__)

_NO_SELECTION = Selection(uniform=False, targeted=False, q_uniform=0.0, q_targeted=0.0)


class RiskError(ValueError):
    """A model gave something that is no probability."""


def draw_of(secret: bytes, task_id: str) -> Draw:
    """Return the audit draw of a task: the same at each step, no agent can know it.

    Parameters
    ----------
    secret : bytes
        The server's; who has it can tell which tasks will be audited.
    task_id : str
        The task.
    """
    digest = hmac.digest(secret, b"audit-draw:" + task_id.encode(), "sha256")
    return Draw(
        uniform=_unit(digest[:8]),
        targeted=_unit(digest[8:16]),
        canary=trigger.canary_of(task_id),
    )


def _unit(head: bytes) -> float:
    """Return 8 bytes as a float in [0, 1), all 53 bits of it."""
    return (int.from_bytes(head) >> 11) / 2.0**53


@dataclass(frozen=True, slots=True)
class ModelState:
    """What decides: a model, or the rules because of a fault.

    Attributes
    ----------
    version, digest : str or None
        Of the bundle; None where there is none.
    fault : str or None
        ``"absent"``, ``"refused"`` (a newer one did not load), ``"too_old"``, or the
        class of what was raised. No message: it is audited.
    made_at : datetime or None
        When the bundle was made; None: it does not say.
    """

    version: str | None = None
    digest: str | None = None
    fault: str | None = None
    is_used: bool = False
    made_at: datetime | None = None

    @property
    def rung(self) -> int:
        """Step of the degradation ladder: 0 model, 1 last good model, 2 rules alone."""
        if not self.is_used:
            return 2
        return 0 if self.fault is None else 1

    @property
    def audit_type(self) -> AuditType:
        """The record that says this state was entered."""
        if not self.is_used:
            return AuditType.MODEL_FALLBACK_ENTERED
        return AuditType.MODEL_REJECTED if self.fault else AuditType.MODEL_LOADED

    def audited(self) -> dict[str, Any]:
        """Return what records say of the model."""
        return {"version": self.version, "sha256": self.digest, "fault": self.fault}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is to be decided on.

    Attributes
    ----------
    signals : ndarray of shape (n_signals,) or Failure
        In catalogue order, NaN where unknown; a failure of reading them.
    waiting : Load
        What waits at the queues, and is worked on there.
    settled : Settled
        What a human has answered by returning the task.
    """

    task_id: str
    signals: NDArray[np.float64] | Failure
    started: Mapping[str, Any]
    waiting: Load
    at: datetime
    wishes: tuple[Firing, ...] = ()
    settled: Settled = field(default_factory=Settled)

    def named(self) -> dict[str, float]:
        """Return the signals by name; none if they could not be read."""
        if isinstance(self.signals, Failure):
            return {}
        return dict(zip(NAMES, self.signals.tolist(), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A decision and how it came about.

    Attributes
    ----------
    bundle : Model or None
        The model that gave the risk.
    faults : tuple of str
        What failed on the way, such as ``"policy:KeyError"``.
    """

    case: Case
    decision: Decision
    model: ModelState
    bundle: Model | None = None
    faults: tuple[str, ...] = field(default=())


class Judge:
    """Decides under one policy, with whatever model there is.

    Parameters
    ----------
    policy : Policy
        In force.
    model : ModelSource
        Where the model comes from.
    secret : bytes
        Key of the audit draw.
    """

    def __init__(self, policy: Policy, model: ModelSource, secret: bytes) -> None:
        self.policy = policy
        self.withdrawals = Withdrawals()
        self._model = model
        self._secret = secret
        self._most_age = timedelta(days=policy.learned.max_age_days)

    def model(self, at: datetime) -> tuple[Model | None, ModelState]:
        """Return the model in force at `at`, or None, and what is to be said of it."""
        bundle = attempt(self._model.current)
        if isinstance(bundle, Failure):
            return None, ModelState(fault=bundle.name)
        if bundle is None:
            return None, ModelState(fault="absent")
        fault = None if self._model.problem is None else "refused"
        made = made_at(bundle)
        state = ModelState(bundle.version, bundle.digest, fault, True, made)
        # One that does not say when it was made may decide; /readyz says that it does
        # not.
        if made is not None and at - made > self._most_age:
            return None, replace(state, fault="too_old", is_used=False)
        return bundle, state

    def judge(self, case: Case) -> Judgement:
        """Return the decision on `case`. Never raises."""
        bundle, model = self.model(case.at)
        risk: float | Failure | None = None
        if bundle is not None and not isinstance(case.signals, Failure):
            x, used = case.signals, bundle
            risk = attempt(lambda: _checked(used.risk(x)))
        if isinstance(risk, Failure):
            model = replace(model, fault=risk.name, is_used=False)
            bundle, risk = None, None
        decided = attempt(lambda: self._decide(case, bundle, risk))
        if isinstance(decided, Failure):
            return self._safe(case, model, decided)
        return Judgement(case=case, decision=decided, model=model, bundle=bundle)

    def _decide(self, case: Case, bundle: Model | None, risk: float | None) -> Decision:
        if isinstance(case.signals, Failure):
            raise case.signals.error
        facts = Facts.of(case.started, case.at)
        certificate, withdrawn = None, False
        if bundle is not None:
            promised = _certificate(bundle, facts)
            certificate, withdrawn = self.withdrawals.standing(bundle, promised)
        return trigger.decide(
            case.named(),
            facts,
            risk,
            self.policy,
            router.seen(case.waiting, self.policy, case.at),
            draw_of(self._secret, case.task_id),
            certificate=certificate,
            model_version=None if bundle is None else bundle.version,
            wishes=case.wishes,
            settled=case.settled,
            withdrawn=withdrawn,
        )

    def _safe(self, case: Case, model: ModelState, failure: Failure) -> Judgement:
        """Return what is decided when nothing can be: stop, or honour the wish."""
        place = "signals" if isinstance(case.signals, Failure) else "policy"
        fault = f"{place}:{failure.name}"
        _log.error("no decision: %s", fault, extra={"action": "decision_failed"})
        stop = Firing(
            trigger=SAFE_STOP,
            says=f"no decision could be made ({fault}), so the agent was stopped",
            priority=Priority.HIGH,
            asks="whether the task can go on, and what the agent left half done",
        )
        # In shadow nothing acts, but for what somebody asked for.
        effective = bool(case.wishes) or self.policy.mode is not Mode.SHADOW
        decision = Decision(
            action=Action.ESCALATE if case.wishes else Action.SAFE_STOP,
            firings=case.wishes or (stop,),
            threshold=None,
            source="rules",
            mode=self.policy.mode,
            effective=effective,
            policy_version=self.policy.version,
            policy_digest=self.policy.digest,
            selection=_NO_SELECTION,
            propensity=1.0 if effective else 0.0,
            expected_loss=None,
            inputs=Inputs(
                signals={},
                facts=Facts(),
                risk=None,
                load=case.waiting,
                draw=draw_of(self._secret, case.task_id),
                certified=None,
                model_version=None,
                wishes=case.wishes,
            ),
        )
        return Judgement(case=case, decision=decision, model=model, faults=(fault,))


def _certificate(bundle: Model, facts: Facts) -> Certified:
    """Return what the model promises for the task's segment, else for all tasks."""
    return bundle.certificate_for(
        {
            "domain": facts.domain,
            "agent_version": facts.agent_version,
            "tier": facts.account_tier,
        }
    )


def _checked(risk: float) -> float:
    """Return `risk` if it is a probability; NaN is none."""
    if not 0.0 <= risk <= 1.0:
        msg = f"expected a risk in [0, 1], found {risk!r}; rebuild the bundle"
        raise RiskError(msg)
    return float(risk)
