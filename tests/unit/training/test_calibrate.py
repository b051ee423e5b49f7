from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit

from training.bundle import Calibrator
from training.calibrate import KINDS, STAGE_EDGES, Kind, Sample, choose, fit

Floats = NDArray[np.float64]


def sample(
    score: Floats, risk: Floats, *, seed: int, steps: Floats | None = None
) -> Sample:
    """Return labels drawn with probability `risk` for scores, a task and group each."""
    n = len(score)
    return Sample(
        score=score,
        steps=np.full(n, 5.0) if steps is None else steps,
        y=(np.random.default_rng(seed).random(n) < risk).astype(np.float64),
        weight=np.ones(n),
        groups=np.arange(n).astype(str),
    )


def scores(n: int, seed: int) -> Floats:
    """Return scores as boosters give them: mostly low, spread wide."""
    return np.random.default_rng([seed, 1]).normal(-1.0, 1.5, n)


def log_loss(risk: Floats, truth: Floats) -> float:
    """Return the expected log-loss of `risk` where `truth` is the probability."""
    risk = risk.clip(1e-12, 1 - 1e-12)
    return float(-(truth * np.log(risk) + (1 - truth) * np.log1p(-risk)).mean())


# --- each kind recovers its own distortion -----------------------------------

VERTEX = -8 / 3


def parabola(score: Floats) -> Floats:
    """Return a parabola of `score`, level below its vertex."""
    rising = np.maximum(score, VERTEX)
    return 0.8 * rising - 0.4 + 0.15 * rising**2


DISTORTED: dict[Kind, Callable[[Floats], Floats]] = {
    "temperature": lambda score: 0.5 * score,
    "platt": lambda score: 0.6 * score + 1.2,
    "quadratic": parabola,
}


@pytest.mark.parametrize("kind", DISTORTED)
def test_a_known_distortion_is_undone(kind: Kind) -> None:
    """From many tasks each kind learns the map from score to risk that it can tell."""
    score = scores(30_000, 0)
    found = fit(kind, sample(score, expit(DISTORTED[kind](score)), seed=1))
    grid = np.linspace(-3, 2, 50)
    risk = found.risks(grid, np.full(50, 5.0))
    assert np.abs(risk - expit(DISTORTED[kind](grid))).max() < 0.02


def test_raw_is_the_sigmoid_of_the_score() -> None:
    """The candidate that does nothing gives the score's own probability."""
    score = scores(50, 0)
    found = fit("raw", sample(score, expit(score), seed=0))
    np.testing.assert_allclose(found.risks(score, score), expit(score), rtol=1e-14)


def test_a_bias_of_one_stage_is_undone_in_that_stage() -> None:
    """Where a score means another risk early and late, each stage gets its own map."""
    score = scores(40_000, 2)
    steps = np.random.default_rng(3).choice([2.0, 7.0, 15.0, 30.0, 60.0], 40_000)
    shift = np.where(steps <= STAGE_EDGES[0], 1.5, np.where(steps > 40, -1.0, 0.0))
    drawn = sample(score, expit(score + shift), seed=4, steps=steps)
    staged, pooled = fit("platt by stage", drawn), fit("platt", drawn)
    for stage in np.unique(steps):
        here = steps == stage
        truth = expit(score + shift)[here].mean()
        assert staged.risks(score, steps)[here].mean() == pytest.approx(truth, abs=0.01)
    early = steps <= STAGE_EDGES[0]
    pooled_error = (pooled.risks(score, steps) - expit(score + shift))[early].mean()
    assert pooled_error < -0.1
    assert choose(drawn).kind == "platt by stage"


def test_stages_end_at_their_edges() -> None:
    """An edge belongs to the stage that it ends, in both forms."""
    n = len(STAGE_EDGES) + 1
    levels = Calibrator(
        kind="platt by stage",
        edges=STAGE_EDGES,
        a=(0.0,) * n,
        b=(0.0,) * n,
        c=tuple(float(i) for i in range(n)),
    )
    steps = np.array([0, 4, 5, 10, 11, 20, 21, 40, 41, 1e9, np.nan])
    expected = expit([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0])
    np.testing.assert_allclose(levels.risks(np.zeros(11), steps), expected)
    assert [levels.risk(0.0, s) for s in steps] == pytest.approx(expected)


# --- weights -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_weight_two_counts_like_two_rows(kind: Kind) -> None:
    """Doubling a row's weight is the same as having it twice."""
    score = scores(400, 5)
    once = sample(score, expit(2 * score), seed=6, steps=np.arange(400) % 60.0)
    heavy = np.arange(400) % 3 == 0
    weighted = Sample(
        score=once.score,
        steps=once.steps,
        y=once.y,
        weight=1.0 + heavy,
        groups=once.groups,
    )
    order = np.concatenate([np.arange(400), np.flatnonzero(heavy)])
    doubled = Sample(
        score=once.score[order],
        steps=once.steps[order],
        y=once.y[order],
        weight=np.ones(len(order)),
        groups=once.groups[order],
    )
    np.testing.assert_allclose(
        fit(kind, weighted).risks(score, once.steps),
        fit(kind, doubled).risks(score, once.steps),
        atol=1e-4,
    )


def test_weights_undo_a_selection_by_outcome() -> None:
    """Labels that were seen with known propensities teach the rate of all tasks."""
    score = scores(40_000, 7)
    whole = sample(score, expit(score), seed=8)
    propensity = np.where(whole.y > 0, 1.0, 0.2)
    seen = np.random.default_rng(9).random(40_000) < propensity
    part = whole.where(seen)
    naive = fit("platt", part).risks(score, whole.steps).mean()
    weighted = Sample(
        score=part.score,
        steps=part.steps,
        y=part.y,
        weight=1 / propensity[seen],
        groups=part.groups,
    )
    risk = fit("platt", weighted).risks(score, whole.steps)
    assert risk.mean() == pytest.approx(expit(score).mean(), abs=0.01)
    assert naive > expit(score).mean() + 0.15


# --- do no harm --------------------------------------------------------------


@pytest.mark.parametrize("n", [80, 300])
def test_calibrated_scores_are_left_alone(n: int) -> None:
    """Where nothing is wrong, raw is chosen nearly always and little is ever lost."""
    test = scores(5_000, 10)
    steps = np.random.default_rng(11).integers(1, 50, 5_000).astype(np.float64)
    truth, kinds, changes = expit(test), [], []
    for seed in range(40):
        score = scores(n, seed)
        drawn = np.random.default_rng([seed, 2]).integers(1, 50, n).astype(np.float64)
        found = choose(sample(score, expit(score), seed=seed, steps=drawn), seed=seed)
        kinds.append(found.kind)
        loss = log_loss(found.risks(test, steps), truth)
        changes.append(1 - loss / log_loss(truth, truth))
    assert kinds.count("raw") >= 37
    assert np.percentile(changes, 5) >= -0.005


@pytest.mark.parametrize("seed", range(5))
def test_what_clearly_helps_is_taken(seed: int) -> None:
    """Scores twice too sure are calibrated from a few hundred tasks, to their gain."""
    truth, test = expit(scores(5_000, 12)), 2 * scores(5_000, 12)
    score = scores(500, seed)
    found = choose(sample(2 * score, expit(score), seed=seed), seed=seed)
    assert found.kind != "raw"
    loss = log_loss(found.risks(test, np.full(5_000, 5.0)), truth)
    assert loss < 0.95 * log_loss(expit(test), truth)


def test_many_rows_of_a_customer_are_no_more_sure_than_one() -> None:
    """Steps that repeat their customer's label twenty times make no gain surer."""
    kinds = []
    for seed in range(40):
        score = scores(80, seed)
        drawn = sample(score, expit(score), seed=seed)
        rows = np.repeat(np.arange(80), 20)
        repeated = Sample(
            score=score[rows],
            steps=drawn.steps[rows],
            y=drawn.y[rows],
            weight=np.full(1600, 1 / 20),
            groups=drawn.groups[rows],
        )
        kinds.append(choose(repeated, seed=seed).kind)
    assert kinds.count("raw") >= 37


def test_a_choice_is_the_same_each_time() -> None:
    """The same sample and seed give the same calibrator, to the bit."""
    score = scores(300, 14)
    drawn = sample(2 * score, expit(score), seed=0)
    assert choose(drawn, seed=3) == choose(drawn, seed=3)


# --- the shape of the map ----------------------------------------------------

coefficient = st.floats(-3, 3)


@given(
    coefficient.filter(lambda a: a >= 0),
    st.floats(-1, 1),
    coefficient,
    st.lists(st.floats(-20, 20), min_size=2, max_size=20),
)
def test_a_higher_score_is_never_a_lower_risk(
    a: float, b: float, c: float, score: list[float]
) -> None:
    """Rising is kept by every calibrator, a parabola's falling side being level."""
    found = Calibrator(kind="quadratic", edges=(), a=(a,), b=(b,), c=(c,))
    ranked = np.sort(np.array(score))
    assert (np.diff(found.risks(ranked, np.ones(len(ranked)))) >= -1e-15).all()


def test_scores_the_wrong_way_round_are_not_turned() -> None:
    """A score that misleads is not turned into its opposite."""
    score = scores(2_000, 15)
    found = choose(sample(score, expit(-score), seed=2))
    grid = np.linspace(-5, 5, 100)
    assert (np.diff(found.risks(grid, np.full(100, 5.0))) >= 0).all()


@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.floats(-800, 800), st.floats(0, 100)), min_size=1),
)
def test_one_row_and_many_give_one_number(
    which: int, pairs: list[tuple[float, float]]
) -> None:
    """`risk` and `risks` agree, however extreme the score, and stay in [0, 1]."""
    calibrators = [
        Calibrator(kind="raw", edges=(), a=(1.0,), b=(0.0,), c=(0.0,)),
        Calibrator(kind="quadratic", edges=(), a=(0.7,), b=(0.2,), c=(-1.0,)),
        Calibrator(kind="quadratic", edges=(), a=(0.7,), b=(-0.2,), c=(-1.0,)),
        Calibrator(
            kind="platt by stage",
            edges=STAGE_EDGES,
            a=(1.0, 0.9, 1.1, 0.5, 1.3),
            b=(0.0,) * 5,
            c=(0.1, -0.2, 0.3, 0.0, 2.0),
        ),
    ]
    score, steps = (np.array(column) for column in zip(*pairs, strict=True))
    found = calibrators[which]
    many = found.risks(score, steps)
    one = [
        found.risk(s, n) for s, n in zip(score.tolist(), steps.tolist(), strict=True)
    ]
    np.testing.assert_allclose(many, one, rtol=1e-15, atol=1e-15)
    assert ((many >= 0) & (many <= 1)).all()


@given(st.floats(0.001, 0.999))
def test_raw_undoes_the_logit(risk: float) -> None:
    """The raw calibrator gives a log-odds its probability."""
    raw = Calibrator(kind="raw", edges=(), a=(1.0,), b=(0.0,), c=(0.0,))
    assert raw.risk(float(logit(risk)), 1.0) == pytest.approx(risk)


def test_extreme_scores_are_fitted_without_trouble() -> None:
    """Scores of hundreds of log-odds overflow nothing while a map is fitted."""
    score = np.array([-900.0, -800.0, 700.0, 900.0] * 20)
    drawn = sample(score, np.tile([1.0, 0.0, 1.0, 0.0], 20), seed=0)
    for kind in KINDS:
        assert np.isfinite(fit(kind, drawn).risks(score, drawn.steps)).all()
