from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from features.signals import NAMES, SIGNALS
from training.dataset import Snapshots, folds
from training.model import Recipe, cross_fit, describe, fit, score

MakeRows = Callable[..., Snapshots]
Floats = NDArray[np.float64]

CONSTRAINED = [(i, s.direction) for i, s in enumerate(SIGNALS) if s.direction]


@pytest.fixture(scope="module")
def booster(simulated: Snapshots, quick: Recipe) -> lightgbm.Booster:
    """Return a booster grown on the simulated tasks."""
    return fit(simulated, quick)


@pytest.fixture(scope="module")
def misled(rows: MakeRows, quick: Recipe) -> lightgbm.Booster:
    """Return a booster grown on tasks in which every direction is turned round."""
    rng = np.random.default_rng(0)
    x = np.round(rng.exponential(2.0, (4000, len(NAMES))), 1)
    x[rng.random(x.shape) < 0.1] = np.nan
    pull = sum(direction * np.nan_to_num(x[:, i]) for i, direction in CONSTRAINED)
    free = np.nan_to_num(x[:, NAMES.index("steps")])
    y = (rng.random(4000) < expit(-0.2 * (pull - np.mean(pull)) + free - 2)).astype(
        float
    )
    return fit(rows(4000, x=x, y=y), quick)


# --- directions --------------------------------------------------------------


def swept(x: Floats, column: int, levels: Floats) -> Floats:
    """Return every row of `x` at every level of a column, (n_rows * n_levels, …)."""
    repeated = np.repeat(x, len(levels), axis=0)
    repeated[:, column] = np.tile(levels, len(x))
    return repeated


@pytest.mark.parametrize(("column", "direction"), CONSTRAINED)
@pytest.mark.parametrize("which", ["booster", "misled"])
def test_a_direction_is_never_gone_against(
    which: str,
    column: int,
    direction: int,
    simulated: Snapshots,
    request: pytest.FixtureRequest,
) -> None:
    """Whatever the other signals say, more of a signal moves the score its way."""
    grown = request.getfixturevalue(which)
    rng = np.random.default_rng(column)
    x = simulated.x[rng.integers(len(simulated), size=60)]
    mixed = rng.permuted(x, axis=0)  # signals that no task has ever shown together
    levels = np.array([-1.0, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 2.0, 3.0, 5.0, 20.0])
    scores = score(grown, swept(np.vstack([x, mixed]), column, levels))
    steps = np.diff(scores.reshape(-1, len(levels)), axis=1) * direction
    assert steps.min() >= -1e-9


def test_directions_bind_only_what_they_name(misled: lightgbm.Booster) -> None:
    """A signal without a direction is learned as it is."""
    column = NAMES.index("steps")
    plain = np.full((1, len(NAMES)), 2.0)
    low, high = score(misled, swept(plain, column, np.array([0.0, 6.0])))
    assert high > low + 1


values = st.floats(-10, 1e6, allow_nan=False) | st.sampled_from([0.0, 0.5, 1.0, 2.0])


@given(st.data())
def test_one_more_of_a_signal_never_lowers_the_score(
    booster: lightgbm.Booster, simulated: Snapshots, data: st.DataObject
) -> None:
    """For any row, signal with a direction, and two of its values, order is kept."""
    row = simulated.x[data.draw(st.integers(0, len(simulated) - 1))]
    column, direction = data.draw(st.sampled_from(CONSTRAINED))
    low, high = sorted(data.draw(st.tuples(values, values)))
    before, after = score(booster, swept(row[None], column, np.array([low, high])))
    assert (after - before) * direction >= -1e-9


# --- what is grown -----------------------------------------------------------


def test_the_score_is_a_log_odds(
    booster: lightgbm.Booster, simulated: Snapshots
) -> None:
    """The sigmoid of the score is the booster's own probability."""
    x = simulated.x[:500]
    np.testing.assert_allclose(expit(score(booster, x)), booster.predict(x))
    assert score(booster, x).shape == (500,)


def test_a_booster_knows_signals_by_name(booster: lightgbm.Booster) -> None:
    """Names and constraints in the model's text are those of the catalogue."""
    assert booster.feature_name() == list(NAMES)
    text = booster.model_to_string()
    directions = " ".join(str(signal.direction) for signal in SIGNALS)
    assert f"monotone_constraints={directions}" in text


def test_the_same_seed_gives_the_same_model(
    booster: lightgbm.Booster, simulated: Snapshots, quick: Recipe
) -> None:
    """Growing twice gives the same text to the byte; another seed gives another."""
    text = booster.model_to_string()
    assert fit(simulated, quick).model_to_string() == text
    other = fit(simulated, replace(quick, seed=1)).model_to_string()
    assert other.split("\nparameters:")[0] != text.split("\nparameters:")[0]


def test_the_scale_of_weights_does_not_matter(
    simulated: Snapshots, quick: Recipe
) -> None:
    """Only how weights compare matters, so audits at 1 % grow the same trees."""
    recipe = replace(quick, rounds=10)
    scaled = replace(simulated, weight=128 * simulated.weight)
    assert (
        fit(scaled, recipe).model_to_string()
        == fit(simulated, recipe).model_to_string()
    )


def test_weights_are_learned_by(rows: MakeRows, quick: Recipe) -> None:
    """Of rows that look alike, the heavier ones decide."""
    y = np.tile([1.0, 0.0], 300)
    weight = np.tile([3.0, 1.0], 300)
    data = rows(600, y=y, weight=weight, steps=np.arange(600) % 7)
    risk = expit(score(fit(data, quick), data.x))
    assert risk.mean() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(("n_rows", "least"), [(100, 5), (3000, 30), (10**6, 200)])
def test_leaves_are_as_large_as_the_data_allow(n_rows: int, least: int) -> None:
    """A small data set gets smaller leaves, a large one no larger than asked."""
    assert Recipe().scaled_to(n_rows).least_in_leaf == least
    assert replace(Recipe().scaled_to(n_rows), least_in_leaf=200) == Recipe()


def test_a_recipe_is_told_in_flat_values() -> None:
    """What is logged of a recipe are plain values, the constraints as their number."""
    told = describe(Recipe(rounds=7, seed=5))
    assert told["rounds"] == 7
    assert told["seed"] == 5
    assert told["constrained_signals"] == len(CONSTRAINED)
    assert all(isinstance(value, str | int | float) for value in told.values())


# --- out of fold -------------------------------------------------------------


@pytest.fixture(scope="module")
def memorable(rows: MakeRows) -> Snapshots:
    """Return customers whose identity tells all in sample and nothing outside it."""
    rng = np.random.default_rng(0)
    customer = np.repeat(np.arange(240), 10)
    marks = rng.normal(size=(240, len(NAMES)))
    return rows(
        2400,
        groups=np.array([f"g{i}" for i in customer]),
        y=np.repeat((rng.random(240) < 0.5).astype(float), 10),
        x=marks[customer],
    )


def test_no_row_is_scored_by_who_has_seen_its_group(memorable: Snapshots) -> None:
    """Out of fold, what can only be memorised is worth nothing; in sample, much."""
    recipe = Recipe(rounds=60, rate=0.2)
    inside = score(fit(memorable, recipe), memorable.x)
    outside = cross_fit(memorable, recipe)
    assert roc_auc_score(memorable.y, inside) > 0.95
    assert 0.4 < roc_auc_score(memorable.y, outside) < 0.6


def test_each_fold_is_scored_by_the_booster_of_the_others(
    memorable: Snapshots, quick: Recipe
) -> None:
    """A fold's scores are those of a booster grown on exactly the other folds."""
    scores = cross_fit(memorable, quick, k=3)
    fold = folds(memorable.groups, k=3, seed=quick.seed)
    for i in range(3):
        grown = fit(memorable.where(fold != i), quick)
        np.testing.assert_array_equal(
            scores[fold == i], score(grown, memorable.x[fold == i])
        )


def test_progress_is_told_per_booster(memorable: Snapshots, quick: Recipe) -> None:
    """Each booster is announced once it is grown."""
    told: list[str] = []
    scores = cross_fit(memorable, replace(quick, rounds=1), k=4, progress=told.append)
    assert [f"booster {i} of 4" in line for i, line in enumerate(told, 1)] == [True] * 4
    assert np.isfinite(scores).all()
