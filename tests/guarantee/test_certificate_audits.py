"""Certificates under selective labels keep their word: replays of a simulated policy.

The bound is made from what a service would know; the truth is known to the test alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.certify import Live
from training.certify.replay import Replays, World, observed, replay

REPLAYS = 1000
SMALL = World(n_tasks=2000, audits=200, base_rate=0.2, miss_rate=0.08)


def slack(share: float) -> float:
    """Return three standard errors of a share seen in all replays."""
    return 3 * float(np.sqrt(share * (1 - share) / REPLAYS))


@pytest.mark.parametrize(
    "world",
    [
        SMALL,
        replace(SMALL, noise=1.5),
        replace(SMALL, complaints=0.0),
        replace(SMALL, complaints=0.8),
        replace(SMALL, per_customer=10),
        replace(SMALL, audits=60),
    ],
    ids=[
        "plain",
        "poor model",
        "nobody complains",
        "many complain",
        "customers",
        "few",
    ],
)
def test_the_bound_is_kept_under_selective_labels(world: World) -> None:
    """In at least 1 - delta of the replays the truth lies below the bound.

    And a certified threshold misses more than alpha in at most delta: with a poor
    model, with complaints or none, and where customers come back with like outcomes.
    """
    found = replay(world, replays=REPLAYS)
    assert found.coverage >= 1 - world.delta - slack(world.delta)
    assert found.wrong <= world.delta + slack(world.delta)
    # It is a bound on misses that the labels do not show.
    assert found.naive < found.truth


def test_a_thousand_audits_bound_within_half_of_the_truth() -> None:
    """20,000 tasks, a miss rate of 5.4 %, a quarter of the missed complain."""
    found = replay(replays=400)
    assert found.bound_over_truth < 1.5 + 3 * found.error
    assert found.coverage >= 0.9 - 3 * float(np.sqrt(0.09 / 400))


@pytest.mark.parametrize("per_customer", [1, 6])
def test_the_bound_for_tasks_to_come_is_kept(per_customer: int) -> None:
    """The miss rate of the world, not of the window, whoever comes back."""
    found = replay(
        replace(SMALL, ahead=True, per_customer=per_customer), replays=REPLAYS
    )
    assert found.coverage >= 0.9 - slack(0.1)
    assert found.wrong <= 0.1 + slack(0.1)


def changing(*, lowest: bool) -> float:
    """Return how often the bound holds where the audit rate went up half-way.

    Parameters
    ----------
    lowest : bool
        Count draws below the lowest rate; else take every audit at the highest, as if
        the rate had never been lower.
    """
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(REPLAYS):
        true, risk = SMALL.risks(rng, 2000)
        needed = rng.random(2000) < true
        log = observed(SMALL, 0.3, risk, needed, rng)
        q = np.where(np.arange(2000) < 1000, 0.05, 0.3)
        drawn = log.draw < (q if lowest else 0.05 + 0 * q)
        known = log.escalated | log.complained | drawn
        log = replace(
            log,
            q_uniform=q if lowest else np.full(2000, 0.3),
            uniform=drawn,
            needed=np.where(known, needed, np.nan),
        )
        bound = Live.of(log).bound(np.array([0.3]), 0.1)[0]
        held += (needed & ~log.escalated).sum() / needed.sum() <= bound
    return held / REPLAYS


def test_an_audit_rate_that_changed_is_paid_for() -> None:
    """Draws below the smallest rate are uniform over the whole window."""
    assert changing(lowest=True) >= 0.9 - slack(0.1)


def test_taking_the_wrong_propensity_would_break_it() -> None:
    """Were audits taken for more than they were, the bound would seldom hold."""
    assert changing(lowest=False) < 0.5


def without(found: Replays) -> float:
    """Return how far the naive rate lies below the truth, in shares of it."""
    return 1 - found.naive / found.truth


def test_counting_labels_as_they_come_would_break_it() -> None:
    """The miss rate among labelled tasks is too low by two thirds and more."""
    assert without(replay(replace(SMALL, audits=60), replays=50)) > 0.6
