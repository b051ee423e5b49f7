"""Tests of the detectors: their guarantee, their power, and their two forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.monitor import paths
from training.monitor.detectors import BetError, MissDetector, Mixture, plan, through

ALPHA = 0.1
Floats = NDArray[np.float64]


def world(
    seed: int,
    rows: int,
    n: int,
    *,
    missed: float,
    audits: float = 0.05,
    base: float = 0.2,
) -> tuple[Floats, Floats]:
    """Return x and propensity of tasks of which the share `missed` is missed."""
    rng = np.random.default_rng(seed)
    needed = rng.random((rows, n)) < base
    caught = needed & (rng.random((rows, n)) >= missed)
    told = needed & ~caught & (rng.random((rows, n)) < 0.25)
    drawn = needed & ~caught & ~told & (rng.random((rows, n)) < audits)
    x = np.select([caught, told, drawn], [-ALPHA, 1 - ALPHA, (1 - ALPHA) / audits], 0.0)
    return x, np.where(caught, np.nan, audits)


def run(x: Floats, propensity: Floats, alarm_at: float) -> MissDetector:
    """Return the detector after the tasks of one row, timed by their number."""
    detector = MissDetector.begin(ALPHA, alarm_at)
    for place, (value, chance) in enumerate(zip(x, propensity, strict=True), start=1):
        detector = detector.advance(float(value), float(chance), float(place))
    return detector


x_values = st.lists(
    st.one_of(st.just(0.0), st.floats(-1.0, 3.0, allow_nan=False)), max_size=60
)


@given(x_values)
def test_a_mixture_equals_its_path(values: list[float]) -> None:
    """Task by task and all at once give the same evidence."""
    online, totals = Mixture(least=-1.0, alarm_at=math.inf), []
    for value in values:
        online = online.advance(value)
        totals.append(online.total)
    path = paths.mixture_paths(np.array([values], dtype=np.float64), -1.0)
    np.testing.assert_allclose(path[0], totals, rtol=1e-9)


@given(seed=st.integers(0, 10_000), missed=st.sampled_from([0.05, 0.3, 0.9]))
@settings(max_examples=30, deadline=None)
def test_a_miss_detector_equals_its_path(seed: int, missed: float) -> None:
    """Alarms come at the same task, whatever audits and complaints there are."""
    alarm_at = (200.0, 1_000.0, 20_000.0)[seed % 3]
    x, propensity = world(seed, 2, 600, missed=missed, audits=(0.02, 0.5)[seed % 2])
    expected = [run(a, p, alarm_at) for a, p in zip(x, propensity, strict=True)]
    found = paths.miss_alarms(x, propensity, ALPHA, alarm_at)
    assert found.tolist() == [d.fired if d.has_fired else math.inf for d in expected]


def test_paths_follow_propensities_that_change() -> None:
    """The bets of both forms go by the audits so far, not by those to come."""
    x, propensity = world(5, 6, 3_000, missed=0.4)
    propensity[:, 1_500:] = np.where(np.isnan(propensity[:, 1_500:]), np.nan, 0.5)
    expected = [run(a, p, 5_000.0) for a, p in zip(x, propensity, strict=True)]
    found = paths.miss_alarms(x, propensity, ALPHA, 5_000.0)
    assert found.tolist() == [d.fired if d.has_fired else math.inf for d in expected]


def test_tasks_to_a_false_alarm_are_as_many_as_promised() -> None:
    """At a miss rate of exactly alpha the mean is at least `alarm_at`."""
    alarm_at, n = 1_000.0, 12_000
    x, propensity = world(1, 800, n, missed=ALPHA)
    alarms = np.minimum(paths.miss_alarms(x, propensity, ALPHA, alarm_at), n)
    error = alarms.std() / math.sqrt(len(alarms))
    assert alarms.mean() + 3 * error > alarm_at


@pytest.mark.parametrize("n", [100, 400])
def test_a_false_alarm_within_n_tasks_is_as_rare_as_promised(n: int) -> None:
    """Its probability is at most n / alarm_at."""
    alarm_at, rows = 1_000.0, 3_000
    x, propensity = world(2, rows, n, missed=ALPHA)
    share = np.isfinite(paths.miss_alarms(x, propensity, ALPHA, alarm_at)).mean()
    assert share <= n / alarm_at + 3 * math.sqrt(n / alarm_at / rows)


def test_evidence_under_the_promise_grows_no_faster_than_tasks() -> None:
    """The mean of the total is at most the number of tasks seen."""
    rng = np.random.default_rng(3)
    x = np.where(rng.random((40_000, 40)) < 0.3, 0.7, -0.3)
    totals = paths.mixture_paths(x, -0.3)[:, -1]
    assert totals.mean() <= 40 + 3 * totals.std() / math.sqrt(len(totals))


def test_evidence_is_not_thrown_away_under_the_promise() -> None:
    """At its limit the mean of the total is the number of tasks: no bet is idle."""
    rng = np.random.default_rng(4)
    x = np.where(rng.random((40_000, 40)) < 0.3, 0.7, -0.3)
    totals = paths.mixture_paths(x, -0.3)[:, -1]
    assert totals.mean() >= 40 - 4 * totals.std() / math.sqrt(len(totals))


def test_a_breach_is_found() -> None:
    """Half of the tasks in need are missed: most rows say so soon."""
    x, propensity = world(6, 60, 6_000, missed=0.5)
    alarms = paths.miss_alarms(x, propensity, ALPHA, 20_000.0)
    assert np.median(alarms) < 1_000
    assert np.isfinite(alarms).all()


def test_aimed_bets_find_a_breach_sooner_than_fixed_ones() -> None:
    """What the next miss needs beats what would overshoot."""
    x, propensity = world(7, 200, 12_000, missed=0.3, audits=0.02, base=0.07)
    aimed = paths.miss_alarms(x, propensity, ALPHA, 20_000.0)
    fixed = paths.mixture_paths(x, -2 * ALPHA) >= 20_000.0
    plain = np.where(fixed.any(axis=1), fixed.argmax(axis=1), np.inf)
    assert np.median(aimed) < np.median(plain)


def test_a_bet_close_to_the_alarm_is_what_a_drawn_miss_needs() -> None:
    """With it the next one reaches the alarm, and hardly more."""
    detector = MissDetector(alpha=ALPHA, total=99_999.0, bet=0.2, jump=45.0)
    after = detector.advance(45.0, 0.02)
    assert after.has_fired
    assert after.total == pytest.approx(200_000, rel=1e-6)


def test_a_bet_aims_at_complaints_once_they_are_what_finds_misses() -> None:
    """They come more often than draws, so a bolder bet is worth it."""
    state: dict[str, Any] = {"total": 149_999.0, "bet": 0.2, "jump": 45.0}
    by_draw = MissDetector(alpha=ALPHA, **state)
    by_report = MissDetector(alpha=ALPHA, reported=3, drawn=1, **state)
    assert not by_draw.advance(0.9, 0.02).has_fired
    assert by_report.advance(0.9, 0.02).has_fired


@given(total=st.floats(0, 199_999), reported=st.integers(0, 9), drawn=st.integers(0, 9))
def test_no_bet_can_lose_everything(total: float, reported: int, drawn: int) -> None:
    """Whatever was reached, a caught task leaves some of it."""
    detector = MissDetector(
        alpha=ALPHA, total=total, reported=reported, drawn=drawn, bet=0.2, jump=45.0
    )
    assert 0 <= detector.next_bet() < 1 / ALPHA
    assert detector.advance(-ALPHA, math.nan).total > 0


def test_x_below_what_was_said_is_refused() -> None:
    """A bet on it would not be safe."""
    with pytest.raises(BetError, match=r"at least -1\.0, found -1\.5"):
        Mixture(least=-1.0).advance(-1.5)
    with pytest.raises(BetError, match=r"at least -0\.1, found -0\.5"):
        MissDetector.begin(ALPHA).advance(-0.5, 0.02)


def test_advance_changes_nothing_it_was_given() -> None:
    """A state is a value."""
    before = MissDetector.begin(ALPHA)
    kept = before.to_json()
    before.advance(45.0, 0.02, 7.0)
    assert before.to_json() == kept


@given(seed=st.integers(0, 1_000), cut=st.integers(0, 200))
@settings(max_examples=25, deadline=None)
def test_a_stored_state_goes_on_as_if_it_had_not_been(seed: int, cut: int) -> None:
    """Through JSON and back, at any task, nothing is lost."""
    x, propensity = world(seed, 1, 200, missed=0.6)
    detector = MissDetector.begin(ALPHA, 500.0)
    for place, (value, chance) in enumerate(zip(x[0], propensity[0], strict=True), 1):
        if place == cut:
            stored = orjson.loads(orjson.dumps(detector.to_json()))
            detector = MissDetector.from_json(stored)
        detector = detector.advance(float(value), float(chance), float(place))
    assert detector.to_json() == run(x[0], propensity[0], 500.0).to_json()


def test_a_mixture_is_stored_whole() -> None:
    """Its totals come back as they were."""
    detector = through(Mixture(least=-1.0), np.full(9, 0.5), np.arange(9.0))
    stored = orjson.loads(orjson.dumps(detector.to_json()))
    assert Mixture.from_json(stored).advance(0.1) == detector.advance(0.1)


def test_a_detector_that_has_fired_stands_still() -> None:
    """Evidence and time stay those of the alarm."""
    fired = through(
        Mixture(least=-1.0, alarm_at=50.0), np.full(40, 1.0), np.arange(40.0)
    )
    assert fired.has_fired
    assert fired.advance(-1.0, 99.0) == fired
    assert fired.fired < 39


def test_since_says_where_the_excursion_began() -> None:
    """The start of the change, not of the log nor of the alarm."""
    rng = np.random.default_rng(8)
    quiet, bad = rng.random(500) < 0.2, rng.random(500) < 0.9
    x = np.concatenate([quiet, bad]).astype(np.float64) - 0.4
    found = through(Mixture(least=-0.4, alarm_at=1e5), x, np.arange(1000.0))
    assert 480 <= found.change.start <= 520
    assert found.fired > found.change.start


def test_more_audits_allow_larger_bets() -> None:
    """A drawn miss weighs less then, and there are more of them."""
    bets = [plan(ALPHA, rate)[0] for rate in (0.005, 0.02, 0.1, 0.5)]
    assert bets == sorted(bets)


def test_the_plan_follows_the_audits_that_are_seen() -> None:
    """After enough tasks the jump is that of the rate in force."""
    detector = MissDetector.begin(ALPHA)
    for _ in range(64):
        detector = detector.advance(0.0, 0.1)
    assert detector.jump == pytest.approx(9.0)
