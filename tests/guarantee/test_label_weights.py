"""Tests that labels chosen by how tasks went teach the rate of need there was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from training.labels import Evidence, Label, Statement, settled

AT = datetime(2026, 1, 31, 9, tzinfo=UTC)
N_TASKS = 1_500
REPLAYS = 200
COMPLAINS = 0.25


def said(
    task: int, evidence: Evidence, *, needed: bool, propensity: float
) -> Statement:
    """Return one statement on a task."""
    return Statement(
        task_id=str(task),
        by="ann" if evidence is Evidence.AUDIT else "",
        needed=needed,
        evidence=evidence,
        source="human",
        propensity=propensity,
        at=AT,
        verified=evidence is Evidence.COMPLAINT,
    )


def heard(
    rng: np.random.Generator, p: np.ndarray, need: np.ndarray
) -> Iterator[Statement]:
    """Yield what is heard of tasks of risk `p`: handovers, audits, complaints."""
    q = 0.05 + 0.3 * np.sqrt(p * (1 - p))
    complains = need & (rng.random(len(p)) < COMPLAINS)
    drawn = rng.random(len(p)) < q
    for i in range(len(p)):
        needed = bool(need[i])
        if p[i] > 0.6:
            yield said(i, Evidence.RESOLUTION, needed=needed, propensity=1.0)
            continue
        if complains[i]:
            yield said(i, Evidence.COMPLAINT, needed=True, propensity=1.0)
        if drawn[i]:
            yield said(i, Evidence.AUDIT, needed=needed, propensity=float(q[i]))


def rate(labels: dict[str, Label], weight: Callable[[Label], float]) -> float:
    """Return the share that needed a human, each label with its weight (Hajek)."""
    weights = [weight(label) for label in labels.values()]
    needed = [label.needed for label in labels.values()]
    return float(np.average(needed, weights=weights))


def replay(weight: Callable[[Label], float]) -> np.ndarray:
    """Return by how much the learned rate is off, in each replay."""
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(REPLAYS):
        p = rng.beta(0.6, 2.4, N_TASKS)
        need = rng.random(N_TASKS) < p
        labels = settled(heard(rng, p, need))
        errors.append(rate(labels, weight) - need.mean())
    return np.array(errors)


def test_the_learned_base_rate_is_unbiased() -> None:
    """Handovers, complaints and audits, weighed by 1 / propensity, give the truth."""
    errors = replay(lambda label: 1 / label.propensity)
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(REPLAYS)
    assert errors.std() < 0.02


@pytest.mark.parametrize(
    "weight",
    [lambda _: 1.0, lambda label: 1 / (label.drawn or label.propensity)],
    ids=["as they come", "complaints left in the audit frame"],
)
def test_other_weights_learn_too_high_a_rate(weight: Callable[[Label], float]) -> None:
    """Unweighted, or with complaints counted twice, need looks more common than it is."""
    errors = replay(weight)
    assert errors.mean() > 0.02
