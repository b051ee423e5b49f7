"""The overview for whoever answers for the risk: load, what decides, the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from serving.console.words import say, span
from serving.engine.models import ModelSource
from serving.policy.rules import Policy
from serving.safely import Failure, attempt

Answer = Mapping[str, Any]


def shown(
    queues: Answer, health: Answer, policy: Policy, model: ModelSource
) -> dict[str, Any]:
    """Return what the overview needs.

    Parameters
    ----------
    queues, health : Mapping
        The engine's answers.
    policy : Policy
        In force.
    model : ModelSource
        Whose certificate is shown.
    """
    return {
        "queues": [_queue(queue) for queue in queues["queues"]],
        "decides": tuple(_decides(health["model"], policy, model)),
        "audit": (
            (say("records"), f"{health['store']['records']:,}"),
            (say("root"), health["store"]["root"]),
        ),
    }


def _queue(queue: Answer) -> dict[str, Any]:
    oldest = (
        span(timedelta(seconds=queue["oldest_s"])) if queue["waiting"] else say("none")
    )
    return {**queue, "oldest": oldest}


def _decides(
    state: Answer, policy: Policy, model: ModelSource
) -> Iterator[tuple[str, str]]:
    yield say("model"), state["version"] if state["used"] else say("rules_only")
    if problem := state["problem"]:
        yield say("model_problem"), problem
    yield say("certificate"), _certificate(model)
    yield say("policy"), policy.version
    yield say("mode"), str(policy.mode)
    yield say("policy_owner"), policy.owner
    yield say("review_by"), policy.review_by.isoformat()
    yield say("digest"), policy.digest


def _certificate(model: ModelSource) -> str:
    """Return what is promised of the model in force, or why nothing is."""
    bundle = attempt(model.current)
    if bundle is None or isinstance(bundle, Failure):
        return say("no_certificate")
    return str(getattr(bundle.certificate, "reason", "")) or say("no_certificate")
