"""Scoring: risk and reasons for events that are not stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.online import TaskState
from serving.engine.deciding import Case, Judge, Judgement
from serving.policy.trigger import Action, Load
from serving.problems import Problem, ProblemType
from serving.safely import Failure, attempt
from serving.store import log
from serving.store.intake import Batch

# Stands for a task whose events name none.
UNSTORED = "unstored"


def score(judge: Judge, events: Sequence[Any], at: datetime) -> dict[str, Any]:
    """Return what would be decided at `at` on a task that is `events` and no more.

    Raises
    ------
    Problem
        malformed-event; what the good ones give is in `extra`.
    """
    task_id = _task_of(events)
    batch = Batch.read(events, task_id=task_id)
    log_events = [line.event for line in batch.lines]
    judgement = judge.judge(
        Case(
            task_id=task_id,
            signals=attempt(lambda: _signals(batch)),
            started=log.facts_after({}, log_events),
            waiting=Load(),
            at=at,
        )
    )
    answer = _answer(judgement)
    if batch.refused:
        raise _malformed(answer, batch.refused)
    return answer


def _task_of(events: Sequence[Any]) -> str:
    """Return the task that the first event names: the others must name the same."""
    named = (e.get("task_id") for e in events if isinstance(e, dict))
    return next((t for t in named if isinstance(t, str) and t), UNSTORED)


def _signals(batch: Batch) -> NDArray[np.float64]:
    state = TaskState()
    for line in batch.lines:
        state.advance(line.event)
    return state.read()


def _answer(judgement: Judgement) -> dict[str, Any]:
    decision = judgement.decision
    return {
        "risk": decision.risk,
        "between": _between(judgement),
        "threshold": decision.threshold,
        "action": str(decision.action),
        "reasons": [{"trigger": f.trigger, "says": f.says} for f in decision.firings],
        "source": decision.source,
        **_explained(judgement),
        "policy_version": decision.policy_version,
        "model_version": decision.model_version,
        "refused": [],
    }


def _between(judgement: Judgement) -> list[float] | None:
    """Return between which risks the labels behind the model leave it open."""
    bundle, x = judgement.bundle, judgement.case.signals
    if bundle is None or isinstance(x, Failure):
        return None
    found = attempt(lambda: bundle.between(x))
    return None if isinstance(found, Failure) else list(found)


def _explained(judgement: Judgement) -> dict[str, Any]:
    """Return what moved the risk. Dear, so only where the task would be handed over."""
    bundle, x = judgement.bundle, judgement.case.signals
    silent: dict[str, Any] = {"base": None, "contributions": []}
    if (
        bundle is None
        or isinstance(x, Failure)
        or judgement.decision.action is not Action.ESCALATE
    ):
        return silent
    parts = attempt(lambda: bundle.explain(x))
    if isinstance(parts, Failure):
        return silent
    return {
        "base": bundle.base,
        "contributions": [
            {
                "signal": part.signal,
                "value": None if np.isnan(part.value) else part.value,
                "contribution": part.contribution,
            }
            for part in parts
        ],
    }


def _malformed(answer: dict[str, Any], refused: Sequence[Mapping[str, Any]]) -> Problem:
    first = refused[0]
    return Problem(
        ProblemType.MALFORMED_EVENT,
        f"{len(refused)} refused, first the event at index {first['index']}: "
        f"`{first['field']}` must be {first['expected']}, found {first['found']}",
        **{**answer, "refused": list(refused)},
    )
