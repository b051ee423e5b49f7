from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from features.signals import NAMES, SIGNALS
from training import twin
from training.bundle import Twin
from training.bundle.scorer import logarithmic, standardised
from training.dataset import Snapshots

MakeRows = Callable[..., Snapshots]
Floats = NDArray[np.float64]

N = len(NAMES)
DIRECTIONS = np.array([signal.direction for signal in SIGNALS])
FREE = [i for i, direction in enumerate(DIRECTIONS) if direction == 0]
STEPS = NAMES.index("steps")


@pytest.fixture(scope="module")
def found(simulated: Snapshots) -> Twin:
    """Return the twin of the simulated tasks."""
    return twin.fit(simulated)


# --- what it learns ----------------------------------------------------------


def labels(z: NDArray[np.floating], seed: int) -> Floats:
    """Return labels drawn with log-odds `z`."""
    drawn: NDArray[np.bool_] = np.random.default_rng(seed).random(len(z)) < expit(z)
    return drawn.astype(np.float64)


@pytest.mark.parametrize("seed", range(3))
def test_signs_follow_directions(rows: MakeRows, seed: int) -> None:
    """Data that pull every signal the wrong way round leave it at nothing at most."""
    x = np.random.default_rng(seed).normal(size=(2000, N))
    data = rows(2000, x=x, y=labels(-0.5 * x @ DIRECTIONS + x[:, STEPS], seed))
    weight = np.array(twin.fit(data).weight)
    assert (weight * DIRECTIONS >= 0).all()
    assert np.abs(weight[DIRECTIONS != 0]).max() < 0.15
    # What has no direction is learned as it is.
    assert weight[STEPS] > 0.4


def test_data_that_agree_with_directions_are_learned(rows: MakeRows) -> None:
    """Each signal that pulls its own way gets a weight of that sign."""
    x = np.random.default_rng(0).normal(size=(4000, N))
    weight = np.array(
        twin.fit(rows(4000, x=x, y=labels(0.6 * x @ DIRECTIONS, 0))).weight
    )
    assert (weight * DIRECTIONS)[DIRECTIONS != 0].min() > 0.1


def test_signs_hold_on_real_looking_tasks(found: Twin) -> None:
    """On simulated tasks, too, no signal counts against its direction."""
    weight = np.array(found.weight)
    assert (weight * DIRECTIONS >= 0).all()
    assert np.count_nonzero(weight) > N / 3


def test_without_directions_it_is_a_ridge_regression(rows: MakeRows) -> None:
    """Signals without a direction get the weights that scikit-learn finds for them."""
    rng = np.random.default_rng(1)
    x = np.full((800, N), np.nan)
    x[:, FREE] = rng.exponential(3.0, (800, len(FREE)))
    x[rng.random(x.shape) < 0.15] = np.nan
    pull = np.nan_to_num(logarithmic(x[:, FREE]), nan=3.0) @ rng.normal(size=len(FREE))
    weight = rng.uniform(0.2, 3.0, 800)
    data = rows(800, x=x, y=labels(0.3 * (pull - pull.mean()), 2), weight=weight)
    fitted = twin.fit(data)

    z = logarithmic(x[:, FREE])
    centre, scale = np.nanmean(z, axis=0), np.nanstd(z, axis=0)
    value = np.clip(np.nan_to_num((z - centre) / scale), -4, 4)
    unknown = np.isnan(z).astype(float)
    oracle = LogisticRegression(C=1 / 20, tol=1e-8, max_iter=2000).fit(
        np.hstack([value, unknown - unknown.mean(axis=0)]),
        data.y,
        sample_weight=weight * (800 / weight.sum()),
    )
    of_value, of_unknown = np.split(oracle.coef_[0], 2)
    np.testing.assert_allclose(np.array(fitted.weight)[FREE], of_value, atol=2e-3)
    np.testing.assert_allclose(np.array(fitted.if_unknown)[FREE], of_unknown, atol=2e-3)
    np.testing.assert_allclose(np.array(fitted.centre)[FREE], centre)
    np.testing.assert_allclose(np.array(fitted.scale)[FREE], scale)
    design = np.hstack([value, unknown - unknown.mean(axis=0)])
    np.testing.assert_allclose(
        fitted.scores(x), oracle.decision_function(design), atol=1e-2
    )


def test_what_never_changes_says_nothing(rows: MakeRows) -> None:
    """A constant signal, or one that nobody ever saw, gets no weight at all."""
    value = np.arange(300) % 7.0
    fitted = twin.fit(rows(300, steps=value, tokens=3.0, y=labels(value - 3, 0)))
    used = {NAMES[i] for i in np.flatnonzero(fitted.weight)}
    assert used == {"steps"}
    assert not any(fitted.if_unknown)


def test_silence_can_tell(rows: MakeRows) -> None:
    """A signal whose absence tells of trouble weighs where it is unknown."""
    rng = np.random.default_rng(3)
    gone = rng.random(2000) < 0.4
    value = np.where(gone, np.nan, rng.random(2000))
    fitted = twin.fit(rows(2000, tokens=value, y=labels(np.where(gone, 1.5, -1.5), 4)))
    place = NAMES.index("tokens")
    assert fitted.if_unknown[place] > 2
    shown, hidden = np.full((2, 1, N), np.nan)
    shown[0, place] = 0.5
    gap = fitted.scores(hidden) - fitted.scores(shown)
    assert gap[0] == pytest.approx(3, abs=0.6)


def test_a_steps_count_does_not_make_a_task_louder(rows: MakeRows) -> None:
    """A task seen ten times over, with a tenth of the weight each, teaches the same."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, N))
    y = labels(x[:, STEPS], 6)
    again = np.repeat(np.arange(400), 10)
    once = twin.fit(rows(400, x=x, y=y))
    often = twin.fit(
        rows(
            4000,
            x=x[again],
            y=y[again],
            task_ids=np.array([f"t{i}" for i in again]),
            weight=np.full(4000, 0.1),
        )
    )
    np.testing.assert_allclose(often.weight, once.weight, atol=2e-3)


def test_weights_are_learned_by(rows: MakeRows) -> None:
    """Of tasks that look alike the heavier decide, whatever all weights add up to."""
    y, weight = np.tile([1.0, 0.0], 300), np.tile([3.0, 1.0], 300)
    steps = np.arange(600) % 7.0
    found = [
        twin.fit(rows(600, y=y, weight=scale * weight, steps=steps))
        for scale in (1.0, 64.0)
    ]
    risk = expit(found[0].scores(rows(600, steps=steps).x))
    assert risk.mean() == pytest.approx(0.75, abs=0.01)
    assert found[0] == found[1]


def test_the_same_data_give_the_same_twin(simulated: Snapshots, found: Twin) -> None:
    """Fitted again, a twin is the same to the bit."""
    assert twin.fit(simulated) == found


# --- what it makes of a row --------------------------------------------------

numbers = st.floats(-1e9, 1e9) | st.just(float("nan")) | st.floats(allow_nan=False)
some_rows = st.lists(st.tuples(st.integers(0, N - 1), numbers), min_size=1, max_size=30)


def row_of(values: list[tuple[int, float]]) -> Floats:
    """Return a row of signals, unknown but for `values` by place."""
    x = np.full((1, N), np.nan)
    for place, value in values:
        x[0, place] = value
    return x


@given(some_rows)
def test_contributions_add_up(found: Twin, values: list[tuple[int, float]]) -> None:
    """Whatever the signals, unknown or beyond all bounds, nothing is left over."""
    x = row_of(values)
    parts = found.contributions(x)
    assert parts.shape == x.shape
    assert np.isfinite(parts).all()
    total = parts.sum(axis=1) + found.intercept
    np.testing.assert_allclose(total, found.scores(x), rtol=1e-12)
    with_weight = np.abs(found.weight) + np.abs(found.if_unknown)
    assert not parts[0, with_weight == 0].any()


@given(some_rows, st.integers(0, N - 1), st.tuples(numbers, numbers))
def test_more_of_a_signal_moves_the_score_its_way(
    found: Twin,
    values: list[tuple[int, float]],
    place: int,
    pair: tuple[float, float],
) -> None:
    """Of two known values of a signal the larger never moves against its direction."""
    low, high = sorted(np.nan_to_num(pair).tolist())
    x = np.repeat(row_of(values), 2, axis=0)
    x[:, place] = low, high
    before, after = found.scores(x)
    assert (after - before) * DIRECTIONS[place] >= -1e-9


def test_an_unknown_signal_counts_as_average(found: Twin) -> None:
    """Unknown is the mean on the logarithmic scale, plus a weight of its own."""
    mean = np.sign(found.centre) * np.expm1(np.abs(found.centre))
    known = found.contributions(mean[None])
    np.testing.assert_allclose(known, np.zeros((1, N)), atol=1e-9)
    unknown = found.contributions(np.full((1, N), np.nan))
    np.testing.assert_array_equal(unknown[0], found.if_unknown)


def test_the_tenth_of_something_counts_less_than_the_first() -> None:
    """The scale is the logarithm of one more, on both sides of nothing."""
    scaled = logarithmic(np.array([-10.0, -1, 0, 1, 10, 100]))
    np.testing.assert_allclose(
        scaled, [-np.log(11), -np.log(2), 0, np.log(2), np.log(11), np.log(101)]
    )
    steps = np.diff(logarithmic(np.arange(12.0)))
    assert all(later < earlier for earlier, later in pairwise(steps))


def test_beyond_four_deviations_a_signal_says_no_more() -> None:
    """Outliers are cut, infinite ones too, and the unknown is average."""
    one = np.ones(6)
    x = np.expm1(np.array([[1.0, 5.0, 6.0, 50.0, np.inf, np.nan]]))
    found = standardised(x, one, one)
    np.testing.assert_allclose(found, [[0, 4, 4, 4, 4, 0]])
    np.testing.assert_allclose(standardised(-x, -one, one), -found)


# --- parts of it -------------------------------------------------------------


@given(st.lists(st.integers(0, N - 1), unique=True, max_size=20), some_rows, st.data())
def test_a_twin_without_some_signals_never_reads_them(
    found: Twin,
    places: list[int],
    values: list[tuple[int, float]],
    data: st.DataObject,
) -> None:
    """What was taken out changes nothing, and what is left says what it said."""
    less = twin.without(found, tuple(places))
    x = row_of(values)
    other = x.copy()
    for place in places:
        other[0, place] = data.draw(numbers)
    assert less.scores(x) == less.scores(other)
    kept = np.setdiff1d(np.arange(N), places)
    np.testing.assert_array_equal(
        less.contributions(x)[:, kept], found.contributions(x)[:, kept]
    )


def test_a_twin_is_the_same_after_json(found: Twin) -> None:
    """Written as JSON and read again, a twin is the same to the bit."""
    again = Twin.of(orjson.loads(orjson.dumps(asdict(found))))
    assert again == found
    assert replace(again, intercept=again.intercept + 1) != found
