from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit

from training.bundle import Calibrator
from training.calibrate import KINDS, RAW, STAGE_EDGES, Kind, Sample, Shape, choose, fit

Floats = NDArray[np.float64]
N_STAGES = len(STAGE_EDGES) + 1


def sample(
    score: Floats,
    risk: Floats,
    *,
    seed: int,
    steps: Floats | None = None,
    expected: Floats | None = None,
) -> Sample:
    """Return labels drawn with probability `risk` for scores, a task and group each."""
    n = len(score)
    return Sample(
        score=score,
        steps=np.full(n, 5.0) if steps is None else steps,
        y=(np.random.default_rng(seed).random(n) < risk).astype(np.float64),
        weight=np.ones(n),
        expected=np.full(n, np.nan) if expected is None else expected,
        spoke=np.random.default_rng([seed, 9]).random(n) < 0.5,
        groups=np.arange(n).astype(str),
    )


def again(rows: Sample, order: NDArray[np.int64], weight: Floats) -> Sample:
    """Return rows in an order, some perhaps more than once, with other weights."""
    names = ("score", "steps", "y", "expected", "spoke", "groups")
    taken = {name: getattr(rows, name)[order] for name in names}
    return Sample(weight=weight, **taken)


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


def skewed(score: Floats) -> Floats:
    """Return what a beta map makes of `score`: steeper below than above."""
    return -1.4 * np.logaddexp(0, -score) + 0.5 * np.logaddexp(0, score) + 0.3


DISTORTED: dict[Shape, Callable[[Floats], Floats]] = {
    Shape.TEMPERATURE: lambda score: 0.5 * score,
    Shape.PLATT: lambda score: 0.6 * score + 1.2,
    Shape.BETA: skewed,
    Shape.QUADRATIC: parabola,
}


@pytest.mark.parametrize("shape", Shape)
def test_a_known_distortion_is_undone(shape: Shape) -> None:
    """From many tasks each shape learns the map from score to risk that it can tell."""
    score = scores(30_000, 0)
    truth = DISTORTED[shape]
    found = fit(Kind(shape), sample(score, expit(truth(score)), seed=1))
    grid = np.linspace(-3, 2, 50)
    risk = found.risks(grid, np.full(50, 5.0))
    assert np.abs(risk - expit(truth(grid))).max() < 0.02


def test_raw_is_the_sigmoid_of_the_score() -> None:
    """The calibrator that does nothing gives the score's own probability."""
    score = scores(50, 0)
    np.testing.assert_allclose(RAW.risks(score, score), expit(score), rtol=1e-14)


def test_a_kind_is_named_by_all_it_looks_at() -> None:
    """Names tell the kinds apart, and the calibrator carries its own."""
    assert len({str(kind) for kind in KINDS}) == len(KINDS)
    staged = Kind(Shape.PLATT, by_stage=True, by_history=True)
    assert str(staged) == "platt by stage and history"
    assert str(Kind(Shape.BETA)) == "beta"
    score = scores(60, 1)
    for kind in KINDS:
        assert fit(kind, sample(score, expit(score), seed=0)).kind == str(kind)


def test_a_bias_of_one_stage_is_undone_in_that_stage() -> None:
    """Where a score means another risk early and late, each stage gets its own map."""
    score = scores(40_000, 2)
    steps = np.random.default_rng(3).choice([2.0, 7.0, 15.0, 30.0, 60.0], 40_000)
    shift = np.where(steps <= STAGE_EDGES[0], 1.5, np.where(steps > 40, -1.0, 0.0))
    drawn = sample(score, expit(score + shift), seed=4, steps=steps)
    staged, pooled = (fit(Kind(Shape.PLATT, stage), drawn) for stage in (True, False))
    for stage in np.unique(steps):
        here = steps == stage
        truth = expit(score + shift)[here].mean()
        risk = staged.risks(score, steps, spoke=drawn.spoke)[here]
        assert risk.mean() == pytest.approx(truth, abs=0.01)
    early = steps <= STAGE_EDGES[0]
    pooled_error = (pooled.risks(score, steps) - expit(score + shift))[early].mean()
    assert pooled_error < -0.1
    few = np.arange(40_000) < 3_000
    assert "by stage" in choose(drawn.where(few)).kind


def levels(n: int) -> Calibrator:
    """Return a calibrator that tells each of `n` stages by its number."""
    return Calibrator(
        kind="platt by stage",
        edges=STAGE_EDGES,
        a=(0.0,) * n,
        b=(0.0,) * n,
        c=tuple(float(i) for i in range(n)),
    )


def test_stages_end_at_their_edges() -> None:
    """An edge belongs to the stage that it ends, in both forms."""
    steps = np.array([0, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 1e9, np.nan])
    expected = expit([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 0])
    found = levels(N_STAGES)
    for spoke in (False, True):
        many = found.risks(np.zeros(13), steps, spoke=np.full(13, spoke))
        np.testing.assert_allclose(many, expected)
        one = [found.risk(0.0, s, spoke=spoke) for s in steps]
        assert one == pytest.approx(expected)


def test_a_stage_may_depend_on_who_spoke_last() -> None:
    """Where there are twice as many coefficients, the second half is the agent's."""
    found = levels(2 * N_STAGES)
    steps, spoke = np.array([1.0, 1.0, 33.0, 33.0]), np.array([False, True] * 2)
    expected = expit([0, N_STAGES, N_STAGES - 1, 2 * N_STAGES - 1])
    np.testing.assert_allclose(found.risks(np.zeros(4), steps, spoke=spoke), expected)
    for s, said, risk in zip(steps, spoke, expected, strict=True):
        assert found.risk(0.0, s, spoke=bool(said)) == pytest.approx(risk)


def test_what_an_answer_means_is_learned() -> None:
    """Where a score means more risk once the agent has spoken, each gets its own map."""
    score = scores(20_000, 20)
    drawn = sample(score, expit(score), seed=21)
    shifted = expit(score + np.where(drawn.spoke, 1.0, -0.5))
    y = (np.random.default_rng(22).random(20_000) < shifted).astype(float)
    found = fit(Kind(Shape.PLATT, by_stage=True), replace(drawn, y=y))
    risk = found.risks(score, drawn.steps, spoke=drawn.spoke)
    for said in (True, False):
        here = drawn.spoke == said
        assert risk[here].mean() == pytest.approx(shifted[here].mean(), abs=0.015)


# --- history -----------------------------------------------------------------


def test_a_segment_with_another_base_rate_is_recalibrated() -> None:
    """Scores that know nothing of a new agent's failures are drawn to its history."""
    n = 6_000
    rng = np.random.default_rng(30)
    score, rate = scores(n, 30), rng.uniform(0.1, 0.6, n)
    truth = expit(score + 0.8 * (logit(rate) - logit(0.3)))
    drawn = sample(score, truth, seed=31, expected=rate)
    found = choose(drawn.where(np.arange(n) < 2_000))
    assert "history" in found.kind
    assert found.expected == pytest.approx(0.8, abs=0.25)
    # A version that came after training and needs a human three times out of four.
    fresh, steps = scores(5_000, 32), np.full(5_000, 5.0)
    real = expit(fresh + 0.8 * (logit(0.75) - logit(0.3)))
    risk = found.risks(fresh, steps, np.full(5_000, 0.75))
    assert risk.mean() == pytest.approx(real.mean(), abs=0.05)
    assert real.mean() - found.risks(fresh, steps).mean() > 0.1
    assert log_loss(risk, real) < log_loss(found.risks(fresh, steps), real) - 0.02


def test_no_history_is_no_news() -> None:
    """Where nothing is expected the history term adds nothing, in both forms."""
    known = replace(RAW, expected=0.7)
    score = scores(20, 33)
    unknown = known.risks(score, score, np.full(20, np.nan))
    np.testing.assert_array_equal(unknown, RAW.risks(score, score))
    np.testing.assert_array_equal(known.risks(score, score), unknown)
    assert known.risk(0.3, 1.0) == RAW.risk(0.3, 1.0)
    assert known.risk(0.3, 1.0, 0.5) == pytest.approx(RAW.risk(0.3, 1.0))
    assert known.risk(0.3, 1.0, 0.9) > RAW.risk(0.3, 1.0)


def test_a_history_that_misleads_is_not_believed() -> None:
    """More needed before never means less risk, whatever the data say."""
    rate = np.random.default_rng(34).uniform(0.1, 0.6, 3_000)
    score = scores(3_000, 34)
    drawn = sample(score, expit(score - logit(rate)), seed=35, expected=rate)
    for kind in KINDS:
        assert fit(kind, drawn).expected >= 0


@pytest.mark.parametrize("expected", [0.0, 1.0])
def test_a_history_of_one_outcome_is_no_certainty(expected: float) -> None:
    """An expectation of none or all is a strong one and neither fails nor decides."""
    known = replace(RAW, expected=0.5)
    one = known.risk(0.0, 1.0, expected)
    many = known.risks(np.zeros(1), np.ones(1), np.array([expected]))
    assert one == pytest.approx(many[0])
    assert 0.001 < one < 0.999
    assert (one > 0.5) is (expected == 1.0)


# --- weights -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_weight_two_counts_like_two_rows(kind: Kind) -> None:
    """Doubling a row's weight is the same as having it twice."""
    score = scores(400, 5)
    once = sample(
        score,
        expit(2 * score),
        seed=6,
        steps=np.arange(400.0) % 60,
        expected=np.random.default_rng(6).uniform(0.1, 0.9, 400),
    )
    heavy = np.arange(400) % 3 == 0
    everyone = np.arange(400)
    weighted = again(once, everyone, 1.0 + heavy)
    order = np.concatenate([everyone, np.flatnonzero(heavy)])
    doubled = again(once, order, np.ones(len(order)))
    one, two = (
        fit(kind, each).risks(score, once.steps, once.expected, spoke=once.spoke)
        for each in (weighted, doubled)
    )
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_weights_undo_a_selection_by_outcome() -> None:
    """Labels that were seen with known propensities teach the rate of all tasks."""
    score = scores(40_000, 7)
    whole = sample(score, expit(score), seed=8)
    propensity = np.where(whole.y > 0, 1.0, 0.2)
    seen = np.random.default_rng(9).random(40_000) < propensity
    part = whole.where(seen)
    naive = fit(Kind(Shape.PLATT), part).risks(score, whole.steps).mean()
    weighted = replace(part, weight=1 / propensity[seen])
    risk = fit(Kind(Shape.PLATT), weighted).risks(score, whole.steps)
    assert risk.mean() == pytest.approx(expit(score).mean(), abs=0.01)
    assert naive > expit(score).mean() + 0.15


# --- do no harm --------------------------------------------------------------


@pytest.mark.parametrize(("n", "tries"), [(80, 30), (200, 40), (1000, 20)])
def test_calibrated_scores_are_left_alone(n: int, tries: int) -> None:
    """Where nothing is wrong, raw is chosen nearly always and little is ever lost."""
    rng = np.random.default_rng(11)
    test, steps = scores(5_000, 10), rng.integers(1, 50, 5_000).astype(np.float64)
    rate, spoke = rng.uniform(0.05, 0.6, 5_000), rng.random(5_000) < 0.5
    truth, kinds, changes = expit(test), [], []
    for seed in range(tries):
        score, draws = scores(n, seed), np.random.default_rng([seed, 2])
        drawn = sample(
            score,
            expit(score),
            seed=seed,
            steps=draws.integers(1, 50, n).astype(np.float64),
            expected=draws.uniform(0.05, 0.6, n),
        )
        found = choose(drawn, seed=seed)
        kinds.append(found.kind)
        loss = log_loss(found.risks(test, steps, rate, spoke=spoke), truth)
        changes.append(1 - loss / log_loss(truth, truth))
    assert kinds.count("raw") >= 0.85 * tries
    assert np.percentile(changes, 5) >= -0.005


@pytest.mark.parametrize("seed", range(3))
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
    for seed in range(12):
        score = scores(80, seed)
        drawn = sample(score, expit(score), seed=seed)
        repeated = again(drawn, np.repeat(np.arange(80), 20), np.full(1600, 1 / 20))
        kinds.append(choose(repeated, seed=seed).kind)
    assert kinds.count("raw") >= 11


def test_a_choice_is_the_same_each_time() -> None:
    """The same sample and seed give the same calibrator, to the bit."""
    score = scores(300, 14)
    drawn = sample(2 * score, expit(score), seed=0)
    assert choose(drawn, seed=3) == choose(drawn, seed=3)


# --- the shape of the map ----------------------------------------------------

coefficient = st.floats(-3, 3)
rising = st.floats(0, 3)


@st.composite
def calibrators(draw: st.DrawFn) -> Calibrator:
    """Return a calibrator as `fit` may make one: of any shape, by stage or not."""
    is_beta = draw(st.booleans())
    n = draw(st.sampled_from([1, N_STAGES, 2 * N_STAGES]))
    curve = draw(rising if is_beta else st.floats(-1, 1))
    slopes = draw(st.lists(rising, min_size=n, max_size=n))
    return Calibrator(
        kind="any",
        edges=() if n == 1 else STAGE_EDGES,
        a=tuple(slopes),
        b=(curve,) * n,
        c=tuple(draw(st.lists(coefficient, min_size=n, max_size=n))),
        expected=draw(st.just(0.0) | rising),
        is_beta=is_beta,
    )


rates = st.floats(0.01, 0.99)
expectations = rates | st.just(float("nan"))
some_scores = st.lists(st.floats(-20, 20), min_size=2, max_size=20)


@given(calibrators(), some_scores, st.floats(0, 90), expectations, st.booleans())
def test_a_higher_score_is_never_a_lower_risk(
    found: Calibrator,
    score: list[float],
    steps: float,
    expected: float,
    said: bool,  # noqa: FBT001
) -> None:
    """Rising is kept by every calibrator, a parabola's falling side being level."""
    ranked = np.sort(np.array(score))
    n = len(ranked)
    risk = found.risks(
        ranked, np.full(n, steps), np.full(n, expected), spoke=np.full(n, said)
    )
    assert (np.diff(risk) >= -1e-15).all()


@given(calibrators(), st.floats(-20, 20), st.tuples(rates, rates))
def test_more_expected_is_never_a_lower_risk(
    found: Calibrator, score: float, pair: tuple[float, float]
) -> None:
    """A history in which more needed a human never lowers the risk."""
    low, high = sorted(pair)
    assert found.risk(score, 5.0, low) <= found.risk(score, 5.0, high) + 1e-15


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_chosen_rises_with_the_score(kind: Kind) -> None:
    """Each kind, fitted to scores that tell something, rises at every stage."""
    score = scores(500, 16)
    drawn = sample(score, expit(2 * score), seed=3, steps=np.arange(500.0) % 60)
    found = fit(kind, drawn)
    grid = np.linspace(-6, 4, 60)
    for steps in (1.0, 3.0, 7.0, 12.0, 20.0, 50.0):
        for said in (False, True):
            risk = found.risks(grid, np.full(60, steps), spoke=np.full(60, said))
            assert (np.diff(risk) >= -1e-15).all()


def test_scores_the_wrong_way_round_are_not_turned() -> None:
    """A score that misleads is not turned into its opposite."""
    score = scores(2_000, 15)
    found = choose(sample(score, expit(-score), seed=2))
    grid = np.linspace(-5, 5, 100)
    assert (np.diff(found.risks(grid, np.full(100, 5.0))) >= 0).all()


any_row = st.tuples(
    st.floats(-800, 800), st.floats(0, 100), expectations, st.booleans()
)


@given(calibrators(), st.lists(any_row, min_size=1))
def test_one_row_and_many_give_one_number(
    found: Calibrator, rows: list[tuple[float, float, float, bool]]
) -> None:
    """`risk` and `risks` agree, however extreme the score, and stay in [0, 1]."""
    score, steps, expected, spoke = map(np.array, zip(*rows, strict=True))
    many = found.risks(score, steps, expected, spoke=spoke)
    one = [found.risk(z, n, e, spoke=said) for z, n, e, said in rows]
    np.testing.assert_allclose(many, one, rtol=1e-12, atol=1e-15)
    assert ((many >= 0) & (many <= 1)).all()


@given(calibrators())
def test_a_calibrator_is_the_same_after_json(found: Calibrator) -> None:
    """Written as JSON and read again, a calibrator is the same to the bit."""
    assert Calibrator.of(orjson.loads(orjson.dumps(asdict(found)))) == found


@given(st.floats(0.001, 0.999))
def test_raw_undoes_the_logit(risk: float) -> None:
    """The raw calibrator gives a log-odds its probability."""
    assert RAW.risk(float(logit(risk)), 1.0) == pytest.approx(risk)


def test_extreme_scores_are_fitted_without_trouble() -> None:
    """Scores of hundreds of log-odds overflow nothing while a map is fitted."""
    score = np.array([-900.0, -800.0, 700.0, 900.0] * 20)
    drawn = sample(score, np.tile([1.0, 0.0, 1.0, 0.0], 20), seed=0)
    for kind in KINDS:
        assert np.isfinite(fit(kind, drawn).risks(score, drawn.steps)).all()
