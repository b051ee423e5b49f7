"""Tests that the miss rate is estimated without bias, from labels that were selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from training.monitor.missrate import Method, miss_rate, upper_bound
from training.monitor.outcome import Outcomes, TaskOutcome

N_TASKS = 3_000
REPLAYS = 250
DAY = 86_400.0
UNBIASED = [Method.IPW, Method.IPW_COMPLAINTS, Method.AIPW]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What tasks are like, and what is heard of them."""

    q_uniform: float = 0.05
    q_targeted: float = 0.4
    junk: bool = False
    sure: bool = False
    per_customer: int = 1
    complains: float = 0.25
    by_risk: bool = False
    delay: float = 0.0
    in_sessions: bool = False

    def truth(self, rng: np.random.Generator) -> np.ndarray:
        """Return the true risk of each task: the younger, the riskier."""
        customer = np.arange(N_TASKS) // self.per_customer * self.per_customer
        p = rng.beta(0.5, 4.0, N_TASKS)[customer]
        return np.minimum(1.0, p * np.linspace(0.5, 1.5, N_TASKS))


@cache
def frame() -> Outcomes:
    """Return tasks of which nothing is known yet, one a minute."""
    blank = (
        TaskOutcome(task_id=str(i), group="", at=60.0 * i, escalated=False)
        for i in range(N_TASKS)
    )
    return Outcomes.of(blank)


def lived(world: World, seed: int) -> tuple[Outcomes, float]:
    """Return how it went once, and the miss rate there was."""
    rng = np.random.default_rng(seed)
    p = world.truth(rng)
    n = len(p)
    customer = np.arange(n) // world.per_customer
    # Tasks of one customer go the same way.
    needed = rng.random(n)[customer * world.per_customer] < p
    risk = rng.permutation(p) if world.junk else p
    # Far too low where it is low, and audits too few to teach it better.
    risk = risk**3 if world.sure else risk
    escalated = risk >= 0.3
    told = world.complains * (np.minimum(1.0, 5 * p) if world.by_risk else 1.0)
    complained = needed & ~escalated & (rng.random(n) < told)
    q_targeted = world.q_targeted * np.sqrt(risk * (1 - risk)) / 0.5
    uniform, targeted = rng.random(n) < world.q_uniform, rng.random(n) < q_targeted
    matured = frame().at + world.delay * rng.exponential(size=n)
    now = frame().at[-1]
    if world.in_sessions:
        # All reviews are made today, the oldest first, and the youngest not yet.
        matured = np.where(now - frame().at > world.delay, now, now + 1)
    # A complaint comes when it comes, whoever reviews what and when.
    complained &= frame().at + world.delay * rng.exponential(size=n) <= now
    reviewed = (escalated | uniform | targeted) & (matured <= now)
    has_come = reviewed | complained
    went = replace(
        frame(),
        group=customer.astype(np.str_),
        risk=risk,
        escalated=escalated,
        complained=complained,
        q_uniform=np.full(n, world.q_uniform),
        q_targeted=q_targeted,
        uniform=uniform,
        targeted=targeted,
        needed=np.where(has_come, needed.astype(np.float64), np.nan),
        matured=np.where(has_come, matured, np.nan),
    )
    # Of the youngest, of whose labels less than a fifth has come, nothing can be said.
    cut = world.delay * (1.0 if world.in_sessions else -np.log(0.8))
    old = now - frame().at > cut - 1
    return went, float((needed & ~escalated & old).sum() / (needed & old).sum())


def replayed(world: World, **asked: Any) -> tuple[np.ndarray, float]:
    """Return the errors over many replays, and how often the interval was right."""
    errors, covered = [], 0
    for seed in range(REPLAYS):
        went, truth = lived(world, seed)
        found = miss_rate(went, **asked)
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        errors.append(found.value - truth)
        covered += found.low <= truth <= found.high
    return np.array(errors), covered / REPLAYS


def is_unbiased(errors: np.ndarray) -> bool:
    """Whether the mean error is what chance allows, and a ratio's own small lean."""
    return bool(abs(errors.mean()) < 3 * errors.std() / np.sqrt(len(errors)) + 0.002)


@pytest.mark.parametrize("method", UNBIASED)
def test_weighed_estimates_are_unbiased_and_their_intervals_hold(
    method: Method,
) -> None:
    """Audits by risk, complaints and handovers together give the miss rate."""
    errors, coverage = replayed(World(), method=method)
    assert is_unbiased(errors)
    assert coverage >= 0.93


def test_labels_as_they_come_understate_misses() -> None:
    """The share among labelled tasks is far too low: silence is taken for success."""
    errors, _ = replayed(World(), method=Method.LABELLED)
    assert errors.mean() < -0.15


@pytest.mark.parametrize(
    "world",
    [
        World(junk=True),
        World(sure=True, complains=0.0, q_uniform=0.03, q_targeted=0.1),
        World(by_risk=True),
        World(complains=0.0),
    ],
    ids=[
        "a risk that says nothing",
        "a risk that is far too sure",
        "complaints that follow the risk",
        "no complaints",
    ],
)
def test_a_wrong_model_of_risk_or_complaints_does_no_harm(world: World) -> None:
    """AIPW is unbiased whatever the risk, and whoever complains."""
    errors, coverage = replayed(world, method=Method.AIPW)
    assert is_unbiased(errors)
    assert coverage >= 0.93


def test_complaints_and_the_model_each_make_it_sharper() -> None:
    """More is known with complaints than without, and not less with the model."""
    spread = {m: replayed(World(), method=m)[0].std() for m in UNBIASED}
    assert spread[Method.IPW_COMPLAINTS] < 0.95 * spread[Method.IPW]
    assert spread[Method.AIPW] < 1.01 * spread[Method.IPW_COMPLAINTS]


def test_customers_who_come_again_widen_the_interval() -> None:
    """Ten tasks of one customer that go the same way are not ten observations."""
    errors, coverage = replayed(World(per_customer=10), method=Method.AIPW)
    assert is_unbiased(errors)
    assert coverage >= 0.92
    went, _ = lived(World(per_customer=10), 0)
    alone = replace(went, group=went.task_id)
    widths = [
        found.high - found.low
        for found in map(miss_rate, (went, alone))
        if found.high is not None and found.low is not None
    ]
    assert widths[0] > 1.2 * widths[1]


def test_labels_still_to_come_are_allowed_for() -> None:
    """Where risk has risen, tasks too young for a label must not be left out."""
    world = World(delay=0.5 * DAY)
    now = float(frame().at[-1])
    errors, coverage = replayed(world, method=Method.AIPW, now=now)
    assert is_unbiased(errors)
    assert coverage >= 0.92
    blind, _ = replayed(world, method=Method.IPW_COMPLAINTS)
    assert blind.mean() < -0.01


def test_reviews_in_sessions_leave_the_youngest_out() -> None:
    """Where all was judged at once, the oldest first, the rest is not guessed at."""
    world = World(delay=0.5 * DAY, in_sessions=True)
    now = float(frame().at[-1])
    errors, coverage = replayed(world, method=Method.AIPW, now=now)
    assert is_unbiased(errors)
    assert coverage >= 0.92


def test_weights_are_scaled_to_the_tasks_there_are() -> None:
    """Where every audit finds a miss all silent tasks were missed, however few drawn."""
    went, _ = lived(World(complains=0.0), 3)
    silent = ~went.escalated
    needed = np.where(silent, np.where(np.isnan(went.needed), np.nan, 1.0), went.needed)
    found = miss_rate(replace(went, needed=needed), method=Method.IPW)
    caught = (went.needed[went.escalated] == 1).sum()
    assert found.value == pytest.approx(silent.sum() / (silent.sum() + caught))


def test_few_audits_give_a_wide_interval_that_holds() -> None:
    """With a handful of audited misses the interval is exact, and says how little."""
    _, coverage = replayed(World(q_uniform=0.02, q_targeted=0.02), method=Method.AIPW)
    assert coverage >= 0.93


def test_the_bound_is_exceeded_as_rarely_as_it_says() -> None:
    """In at most delta of the replays the truth lies above the bound."""
    above = 0
    for seed in range(REPLAYS):
        went, truth = lived(World(), seed)
        bound = upper_bound(went, delta=0.1)
        assert bound.value is not None
        above += truth > bound.value
    assert above / REPLAYS <= 0.13
