"""Tests of the bets: means of at most 0 under the promise, however labels came."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.monitor import bets
from training.monitor.outcome import Outcomes, TaskOutcome

ALPHA = 0.1


def task(**said: object) -> TaskOutcome:
    """Return a task of which only what matters is said."""
    known: dict[str, object] = {"group": "g", "at": 0.0, "escalated": False}
    return TaskOutcome(**{"task_id": "t", **known, **said})  # type: ignore[arg-type]


def x_of(**said: object) -> float:
    """Return the bet of one task on the miss rate."""
    return float(bets.misses(Outcomes.of([task(**said)]), ALPHA)[0][0])


def test_a_caught_task_in_need_speaks_for_the_promise() -> None:
    """It weighs alpha; one that was not in need weighs nothing."""
    assert x_of(escalated=True, needed=True) == -ALPHA
    assert x_of(escalated=True, needed=False) == 0.0


def test_a_handover_nobody_resolved_counts_as_needed() -> None:
    """Otherwise slow desks would look like misses."""
    assert x_of(escalated=True, needed=None) == -ALPHA


def test_a_drawn_miss_weighs_by_both_streams() -> None:
    """One over the probability that either stream selects it."""
    x = x_of(needed=True, uniform=True, q_uniform=0.02, q_targeted=0.5)
    assert x == pytest.approx(0.9 / (1 - 0.98 * 0.5))


def test_a_complaint_leaves_the_audit_frame() -> None:
    """It weighs 1, drawn or not: the draw adds nothing."""
    said = {"needed": True, "complained": True, "q_uniform": 0.02}
    assert x_of(**said) == x_of(**said, uniform=True) == 1 - ALPHA


def test_a_verdict_nobody_drew_is_no_miss_by_design() -> None:
    """What was looked at for its own sake cannot be weighed."""
    assert x_of(needed=True, q_uniform=0.02) == 0.0


def test_what_the_model_would_have_escalated_is_not_missed() -> None:
    """In shadow the policy lets it go on; that is not the certificate's fault."""
    above = {"risk": 0.8, "threshold": 0.5, "needed": True, "uniform": True}
    assert x_of(**above, q_uniform=0.02) == -ALPHA


def test_propensity_is_told_of_tasks_nobody_was_called_to() -> None:
    """Only there bets must know how much a draw weighs."""
    outcomes = Outcomes.of([task(escalated=True), task(task_id="u", q_uniform=0.3)])
    chance = bets.misses(outcomes, ALPHA)[1]
    assert math.isnan(chance[0])
    assert chance[1] == pytest.approx(0.3)


def drawn(n: int, seed: int, *, missed: float, told: float) -> Outcomes:
    """Return tasks with labels selected as in production."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        needed = rng.random() < 0.3
        caught = needed and rng.random() >= missed
        complains = needed and not caught and rng.random() < told
        uniform, targeted = rng.random() < 0.1, rng.random() < 0.2
        known = caught or complains or uniform or targeted
        made.append(
            task(
                task_id=f"{i:06}",
                at=float(i),
                escalated=caught,
                needed=needed if known else None,
                complained=complains,
                uniform=uniform,
                targeted=targeted,
                q_uniform=0.1,
                q_targeted=0.2,
                risk=0.3,
                confidence=0.7,
            )
        )
    return Outcomes.of(made)


@pytest.mark.parametrize("told", [0.0, 0.5])
def test_the_mean_is_nought_at_the_limit(told: float) -> None:
    """Whatever share complains, draws and complaints together weigh as all tasks."""
    x = bets.misses(drawn(40_000, 1, missed=ALPHA, told=told), ALPHA)[0]
    assert abs(x.mean()) < 4 * x.std() / math.sqrt(len(x))


def test_the_mean_is_above_nought_beyond_the_limit() -> None:
    """By what the miss rate is over alpha."""
    x = bets.misses(drawn(40_000, 2, missed=0.4, told=0.25), ALPHA)[0]
    assert x.mean() == pytest.approx(0.3 * (0.4 - ALPHA), abs=0.01)


def test_calibration_takes_labels_that_came_by_design() -> None:
    """A complaint alone says nothing of those who did not complain."""
    outcomes = Outcomes.of(
        [
            task(needed=True, complained=True),
            task(task_id="u", needed=True, uniform=True),
            task(task_id="v", needed=False, escalated=True),
        ]
    )
    low, high = bets.calibration(outcomes, np.array([0.4, 0.4, 0.4]), 0.05)
    assert low.tolist() == [0.0, pytest.approx(0.55), pytest.approx(-0.45)]
    assert high.tolist() == [0.0, pytest.approx(-0.65), pytest.approx(0.35)]


def test_calibration_is_fair_to_a_risk_that_holds() -> None:
    """Though complaints and handovers are labelled more often than others."""
    outcomes = drawn(40_000, 3, missed=1.0, told=0.5)
    low, high = bets.calibration(outcomes, outcomes.risk, 0.0)
    for x in (low, high):
        assert abs(x.mean()) < 4 * x.std() / math.sqrt(len(x))


def test_a_task_without_a_risk_says_nothing_of_calibration() -> None:
    """Rules judged it."""
    outcomes = Outcomes.of([task(needed=True, uniform=True)])
    assert not bets.calibration(outcomes, outcomes.risk, 0.0).any()


def test_inflation_weighs_a_rare_draw_as_the_rarest() -> None:
    """Handovers, which are all labelled, count for little."""
    outcomes = Outcomes.of(
        [
            task(needed=True, uniform=True, q_uniform=0.02, confidence=0.9),
            task(task_id="u", needed=True, escalated=True, confidence=0.9),
            task(task_id="v", needed=True, uniform=True, q_uniform=0.02),
        ]
    )
    x = bets.inflation(outcomes, 0.1, 0.02)
    assert x.tolist() == [pytest.approx(0.8), pytest.approx(0.016), 0.0]
