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

from features.batch.workers import Pool
from features.signals import NAMES, SIGNALS
from training import model
from training.bundle import MOST_SAID, WORDS
from training.dataset import Snapshots, folds
from training.model import (
    SHARES,
    Model,
    Recipe,
    Scores,
    best_share,
    chosen,
    cross_fit,
    describe,
    fit,
    loss_out_of_fold,
    score,
)

MakeRows = Callable[..., Snapshots]
Floats = NDArray[np.float64]

PARTS = ("booster", "twin", "floor", "floor_twin")
CONSTRAINED = [(i, s.direction) for i, s in enumerate(SIGNALS) if s.direction]


@pytest.fixture(scope="module")
def booster(simulated: Snapshots, quick: Recipe) -> lightgbm.Booster:
    """Return a booster grown on the simulated tasks."""
    return fit(simulated, quick)


@pytest.fixture(scope="module")
def simulated_model(simulated: Snapshots, quick: Recipe) -> Model:
    """Return booster, twin and floor of the simulated tasks."""
    return Model.grown(simulated, replace(quick, rounds=40))


@pytest.fixture(scope="module")
def x(simulated: Snapshots) -> Floats:
    """Return rows of signals."""
    return simulated.x[::53]


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


@pytest.mark.parametrize(("n_rows", "least"), [(100, 5), (3000, 30), (10**6, 80)])
def test_leaves_are_as_large_as_the_data_allow(n_rows: int, least: int) -> None:
    """A small data set gets smaller leaves, a large one no larger than asked."""
    scaled = Recipe().scaled_to(n_rows, len(NAMES))
    assert scaled.least_in_leaf == least
    assert replace(scaled, least_in_leaf=80) == Recipe()


@pytest.mark.parametrize(("n_signals", "share"), [(1, 1.0), (24, 0.5), (150, 0.3)])
def test_a_tree_sees_enough_of_the_signals_that_say_anything(
    n_signals: int, share: float
) -> None:
    """Where few signals vary, each tree draws more of them, never fewer than asked."""
    assert Recipe().scaled_to(10**6, n_signals).share_of_signals == share


@pytest.mark.parametrize(("n_tasks", "rows"), [(10, 12), (10_000, 10), (10**6, 5)])
def test_many_tasks_are_learned_from_with_fewer_rows_each(
    n_tasks: int, rows: int
) -> None:
    """The table stays of a size that can be learned from, but no task is a row only."""
    assert Recipe().rows_for(n_tasks) == rows


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
    recipe = Recipe(rounds=60, rate=0.2, random_cuts=False)
    inside = score(fit(memorable, recipe), memorable.x)
    outside = cross_fit(memorable, recipe)
    assert roc_auc_score(memorable.y, inside) > 0.95
    for share in (0.0, 0.5, 1.0):
        assert 0.4 < roc_auc_score(memorable.y, outside.at(share)) < 0.6


def test_each_fold_is_scored_by_the_model_of_the_others(
    memorable: Snapshots, quick: Recipe
) -> None:
    """A fold's scores are those of a model grown on exactly the other folds."""
    recipe = replace(quick, rounds=20)
    scores = cross_fit(memorable, recipe, k=3)
    fold = folds(memorable.groups, k=3, seed=recipe.seed)
    for i in range(3):
        grown = Model.grown(memorable.where(fold != i), recipe)
        expected = grown.scores(memorable.x[fold == i])
        for part in PARTS:
            found = getattr(scores, part)[fold == i]
            np.testing.assert_array_equal(found, getattr(expected, part))


def test_progress_is_told_per_fold(memorable: Snapshots, quick: Recipe) -> None:
    """Each fold is announced once its boosters are grown."""
    told: list[str] = []
    scores = cross_fit(memorable, replace(quick, rounds=1), k=4, progress=told.append)
    assert [f"boosters {i} of 4" in line for i, line in enumerate(told, 1)] == [
        True
    ] * 4
    assert np.isfinite(scores.at(0.5)).all()


def test_processes_give_what_one_alone_gives(
    memorable: Snapshots, quick: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rows are so many that processes are started, no bit of a score changes."""
    recipe = replace(quick, rounds=5)
    few = memorable.where(np.arange(len(memorable)) % 10 < 2)
    alone = cross_fit(few, recipe, k=4)
    started: list[int] = []

    def pool(processes: int) -> Pool:
        started.append(processes)
        return Pool(processes)

    monkeypatch.setattr(model, "Pool", pool)
    monkeypatch.setattr(model, "cores", lambda: 2)
    monkeypatch.setattr(model, "_WORTH_PROCESSES", 10)
    together = cross_fit(few, recipe, k=4)
    assert started == [2]
    for part in PARTS:
        np.testing.assert_array_equal(getattr(together, part), getattr(alone, part))


# --- booster and twin --------------------------------------------------------


def test_the_parts_of_a_model_are_weighed(simulated_model: Model, x: Floats) -> None:
    """At a share the score is that of both parts, and is held near the floor's."""
    parts = simulated_model.scores(x)
    for share in SHARES:
        score_of_all = (1 - share) * parts.booster + share * parts.twin
        floor = (1 - share) * parts.floor + share * parts.floor_twin
        expected = np.clip(score_of_all, floor, floor + MOST_SAID)
        np.testing.assert_allclose(parts.at(share), expected, rtol=1e-12)
        scorer, low = simulated_model.weighed(share)
        assert low is not None
        np.testing.assert_allclose(scorer.scores(x), score_of_all, rtol=1e-12)
        np.testing.assert_allclose(low.scores(x), floor, rtol=1e-12)


def test_no_word_moves_the_floor(simulated_model: Model, x: Floats) -> None:
    """Whatever stands in the signals of the agent's words, the floor is the same."""
    rng = np.random.default_rng(0)
    spoken = x.copy()
    for place in WORDS:
        spoken[:, place] = rng.choice([np.nan, -5.0, 0.0, 0.5, 1.0, 1e6], len(x))
    before, after = simulated_model.scores(x), simulated_model.scores(spoken)
    np.testing.assert_array_equal(before.floor, after.floor)
    np.testing.assert_array_equal(before.floor_twin, after.floor_twin)
    assert np.abs(before.booster - after.booster).max() > 0.5


def test_the_floor_reads_all_the_rest(simulated_model: Model, x: Floats) -> None:
    """Without the agent's words the floor still tells tasks apart."""
    assert np.std(simulated_model.scores(x).floor) > 0.5


def test_a_silent_agent_needs_no_floor(rows: MakeRows, quick: Recipe) -> None:
    """Where the agent says nothing in any row, there is nothing to bound."""
    rng = np.random.default_rng(1)
    y = (rng.random(300) < 0.5).astype(float)
    silent = rows(300, y=y, steps=y + rng.random(300))
    grown = Model.grown(silent, replace(quick, rounds=5))
    assert grown.floor is None
    assert grown.weighed(0.5)[1] is None
    parts = grown.scores(silent.x)
    np.testing.assert_allclose(parts.at(0.5), (parts.booster + parts.twin) / 2)
    scores = cross_fit(silent, replace(quick, rounds=2), k=3)
    np.testing.assert_array_equal(scores.floor, scores.booster)
    np.testing.assert_array_equal(scores.floor_twin, scores.twin)


def test_a_fold_without_words_bounds_nothing(rows: MakeRows, quick: Recipe) -> None:
    """Where only one customer's agent ever speaks, its own fold has no floor."""
    rng = np.random.default_rng(2)
    y = (rng.random(300) < 0.5).astype(float)
    groups = np.array([f"g{i % 10}" for i in range(300)])
    confidence = np.where(groups == "g0", 1 - 0.9 * y * rng.random(300), np.nan)
    data = rows(300, y=y, groups=groups, confidence_last=confidence, steps=y)
    scores = cross_fit(data, replace(quick, rounds=5), k=5)
    fold = folds(groups, k=5, seed=quick.seed)
    is_bare = fold == fold[groups == "g0"][0]
    # The model that scores this fold never saw an agent speak.
    np.testing.assert_array_equal(scores.floor[is_bare], scores.booster[is_bare])
    assert (scores.floor_twin != scores.twin)[~is_bare].any()
    for share in SHARES:
        unbounded = (1 - share) * scores.booster + share * scores.twin
        np.testing.assert_allclose(scores.at(share)[is_bare], unbounded[is_bare])


def linear(make: MakeRows, n_tasks: int, *, seed: int) -> Snapshots:
    """Return tasks whose log-odds are a sum over many signals."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_tasks, len(NAMES)))
    x[:, list(WORDS)] = np.nan
    free = [i for i, s in enumerate(SIGNALS) if not s.direction and i not in WORDS][:40]
    z = 0.35 * x[:, free] @ rng.choice([-1, 1], len(free))
    return make(n_tasks, x=x, y=(rng.random(n_tasks) < expit(z)).astype(float))


def crossed(make: MakeRows, n_tasks: int, *, seed: int) -> Snapshots:
    """Return tasks that need a human where one of two signals is high, not both."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n_tasks))
    y = (rng.random(n_tasks) < np.where((a > 0) != (b > 0), 0.9, 0.1)).astype(float)
    return make(n_tasks, steps=a, tool_calls=b, y=y)


def test_few_tasks_and_a_sum_call_for_the_twin(rows: MakeRows, quick: Recipe) -> None:
    """With 250 tasks whose risk is a weighted sum, most weight goes to the twin."""
    data = linear(rows, 250, seed=0)
    assert best_share(cross_fit(data, quick), data) >= 0.5


def test_what_no_sum_can_tell_calls_for_the_booster(
    rows: MakeRows, quick: Recipe
) -> None:
    """Where two signals tell only together, the twin gets no weight."""
    data = crossed(rows, 1500, seed=0)
    recipe = replace(quick, share_of_signals=1.0, random_cuts=False)
    assert best_share(cross_fit(data, recipe), data) == 0.0


def test_the_share_has_the_least_loss_of_all(rows: MakeRows) -> None:
    """Of the weights that are tried, the one taken has the least weighted log-loss."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=3000)
    y = (rng.random(3000) < expit(truth)).astype(float)
    noise = rng.normal(size=(2, 3000))
    for spread, share in (((1.0, 1.0), 0.5), ((0.05, 3.0), 0.0), ((3.0, 0.05), 1.0)):
        booster, other = (truth + s * e for s, e in zip(spread, noise, strict=True))
        scores = Scores(booster=booster, twin=other, floor=booster, floor_twin=other)
        assert best_share(scores, rows(3000, y=y)) == share
    # Rows that weigh nothing say nothing.
    is_first = np.arange(3000) < 1500
    right, wrong = np.where(is_first, [truth, -truth], [-truth, truth])
    mixed = Scores(booster=right, twin=wrong, floor=right, floor_twin=wrong)
    for heavy, share in ((is_first, 0.0), (~is_first, 1.0)):
        assert best_share(mixed, rows(3000, y=y, weight=heavy.astype(float))) == share


# --- what a recipe leaves open -----------------------------------------------


def test_a_decided_recipe_is_left_alone(simulated: Snapshots) -> None:
    """Nothing is tried where nothing is open."""
    for at_random in (True, False):
        recipe = Recipe(random_cuts=at_random)
        assert chosen(simulated, recipe) is recipe


def test_cuts_are_drawn_or_not_by_what_does_better(
    rows: MakeRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe with the lower loss out of fold is taken, whichever it is."""
    data = rows(50)
    for drawn, sought, better in ((0.3, 0.4, True), (0.4, 0.3, False)):

        def loss(
            few: Snapshots, recipe: Recipe, drawn: float = drawn, sought: float = sought
        ) -> float:
            assert len(few) == 50
            return drawn if recipe.random_cuts else sought

        monkeypatch.setattr(model, "loss_out_of_fold", loss)
        assert chosen(data, Recipe(rounds=7)) == Recipe(rounds=7, random_cuts=better)


def test_a_sharp_edge_calls_for_the_best_cut(rows: MakeRows, quick: Recipe) -> None:
    """Where one value of a signal decides, a cut at random would blur it."""
    rng = np.random.default_rng(4)
    value = rng.random(1200)
    y = (rng.random(1200) < np.where((value * 50) % 1 < 0.5, 0.97, 0.03)).astype(float)
    data = rows(1200, steps=value, y=y)
    recipe = replace(quick, random_cuts=None, share_of_signals=1.0)
    assert chosen(data, recipe).random_cuts is False


def test_many_tasks_are_compared_by_whole_customers(
    rows: MakeRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more rows than it takes, some customers are compared by all of their rows."""
    n = 20_000
    groups = np.repeat([f"g{i}" for i in range(n // 20)], 40)
    data = rows(2 * n, groups=groups, position=np.tile(np.arange(40), n // 20))
    seen: list[Snapshots] = []

    def loss(few: Snapshots, _recipe: Recipe) -> float:
        seen.append(few)
        return 0.0

    monkeypatch.setattr(model, "loss_out_of_fold", loss)
    chosen(data, Recipe())
    one, two = seen
    np.testing.assert_array_equal(one.groups, two.groups)
    names, counts = np.unique(one.groups, return_counts=True)
    assert set(counts.tolist()) == {40}
    assert len(names) == pytest.approx(500, abs=2)
    # Drawn, not the first of them.
    assert len(set(names.tolist()) & set(groups[:n].tolist())) < 400


def test_the_loss_is_that_of_unseen_groups(memorable: Snapshots) -> None:
    """What can only be memorised costs more than saying nothing, however sharp."""
    recipe = Recipe(rounds=30, rate=0.2, random_cuts=False)
    assert loss_out_of_fold(memorable, recipe) > 0.69
    inside = score(fit(memorable, recipe), memorable.x)
    assert (np.logaddexp(0, inside) - memorable.y * inside).mean() < 0.5


def test_the_loss_is_of_every_step_and_of_the_end(rows: MakeRows) -> None:
    """Half of the loss is that of last rows, so a recipe that fails there is dear."""
    rng = np.random.default_rng(6)
    y = np.repeat((rng.random(400) < 0.5).astype(float), 4)
    within = np.tile(np.arange(4), 400)
    told = {
        when: rows(
            1600,
            task_ids=np.repeat([f"t{i}" for i in range(400)], 4),
            groups=np.repeat([f"g{i}" for i in range(400)], 4),
            position=within,
            y=y,
            weight=np.full(1600, 0.25),
            steps=np.where(within == at, y, np.nan),
        )
        for when, at in (("early", 0), ("at the end", 3))
    }
    recipe = Recipe(rounds=30, rate=0.2, random_cuts=False)
    losses = {when: loss_out_of_fold(data, recipe) for when, data in told.items()}
    assert losses["at the end"] == pytest.approx(np.log(2) * 3 / 8, abs=0.06)
    assert losses["early"] == pytest.approx(np.log(2) * 7 / 8, abs=0.06)


def test_the_loss_is_weighted(rows: MakeRows, quick: Recipe) -> None:
    """Of rows that look alike, those of weight say what a constant costs."""
    y = np.tile([1.0, 0.0], 300)
    weight = np.tile([9.0, 1.0], 300)
    found = loss_out_of_fold(rows(600, y=y, weight=weight), quick)
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert found == pytest.approx(entropy, abs=0.01)
