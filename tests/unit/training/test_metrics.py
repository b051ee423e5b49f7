from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.metrics.calibration import spiegelhalter_statistic
from relplot import smECE
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    roc_auc_score,
)
from sklearn.metrics import log_loss as sklearn_log_loss

from training.evaluate.intervals import (
    Estimate,
    Resampling,
    centred,
    interval,
    share,
    upper_bound,
)
from training.evaluate.metrics import (
    Floats,
    auprc,
    auroc,
    auroc_within,
    base_rate,
    brier,
    log_loss,
)
from training.evaluate.reliability import (
    calibration_line,
    ece_debiased,
    equal_mass_bins,
    smece,
    spiegelhalter_z,
)

Metric = Callable[[Floats, Floats, Floats], Floats]
METRICS: tuple[Metric, ...] = (auroc, auprc, brier, log_loss, smece)


def drawn(seed: int, n: int = 400) -> tuple[Floats, Floats, Floats]:
    """Return labels, risks with many ties, and weights."""
    rng = np.random.default_rng(seed)
    risk = rng.beta(2, 3, n).round(2)
    y = (rng.random(n) < risk**1.4).astype(float)
    return y, risk, rng.exponential(size=n)


def small_samples() -> st.SearchStrategy[list[tuple[int, int, int]]]:
    """Return a strategy of rows: label, risk in tenths, whole weight."""
    row = st.tuples(st.integers(0, 1), st.integers(0, 10), st.integers(0, 4))
    return st.lists(row, min_size=4, max_size=25)


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_scikit_learn(seed: int) -> None:
    """AUROC, average precision, Brier and log-loss are those of the oracle."""
    y, risk, weight = drawn(seed)
    for ours, oracle in (
        (auroc, roc_auc_score),
        (auprc, average_precision_score),
        (brier, brier_score_loss),
        (log_loss, sklearn_log_loss),
    ):
        expected = oracle(y, risk, sample_weight=weight)
        assert float(ours(y, risk, weight)) == pytest.approx(expected, abs=1e-12)


def test_log_loss_of_certain_and_wrong_equals_scikit_learn() -> None:
    """Risks of exactly 0 and 1 are clipped as scikit-learn clips them."""
    y, risk = np.array([1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0])
    expected = sklearn_log_loss(y, risk)
    assert float(log_loss(y, risk, np.ones(3))) == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(small_samples())
def test_a_weight_of_k_is_k_rows(rows: list[tuple[int, int, int]]) -> None:
    """A row of whole weight counts like that many rows of weight one."""
    y, tenth, weight = (
        np.array(column, dtype=float) for column in zip(*rows, strict=True)
    )
    risk, k = tenth / 10, weight.astype(int)
    for metric in METRICS:
        repeated = (
            metric(np.repeat(y, k), np.repeat(risk, k), np.ones(k.sum()))
            if k.any()
            else np.array(np.nan)
        )
        np.testing.assert_allclose(metric(y, risk, weight), repeated, atol=1e-9)


@pytest.mark.parametrize("metric", [*METRICS, ece_debiased])
def test_a_stack_of_weights_is_its_members(metric: Metric) -> None:
    """A stack gives what each of its weight vectors gives alone."""
    y, risk, _ = drawn(1)
    stack = np.random.default_rng(2).poisson(1.0, (3, 2, len(y))).astype(float)
    if metric is ece_debiased:
        metric = partial(ece_debiased, bins=equal_mass_bins(risk, np.ones(len(y)), 8))
    together = metric(y, risk, stack)
    assert together.shape == (3, 2)
    alone = [[float(metric(y, risk, w)) for w in pair] for pair in stack]
    np.testing.assert_allclose(together, alone, atol=1e-12)


def test_a_constant_risk_knows_nothing() -> None:
    """A constant risk has AUROC one half and the base rate as precision."""
    y = np.array([1.0, 0.0, 0.0, 0.0])
    risk, weight = np.full(4, 0.3), np.ones(4)
    assert float(auroc(y, risk, weight)) == 0.5
    assert float(auprc(y, risk, weight)) == 0.25
    assert float(base_rate(y, weight)) == 0.25


def test_one_class_is_undefined_not_perfect() -> None:
    """Where nobody needed a human, ranking metrics are NaN."""
    y, risk, weight = np.zeros(3), np.array([0.1, 0.2, 0.3]), np.ones(3)
    assert math.isnan(float(auroc(y, risk, weight)))
    assert math.isnan(float(auprc(y, risk, weight)))
    assert np.isnan(calibration_line(y, risk, weight)).all()


def test_within_strata_compares_only_pairs_of_one_stratum() -> None:
    """AUROC within strata is the won share of all pairs inside strata."""
    y, risk, weight = drawn(3, n=60)
    strata = np.arange(60) % 3
    won = pairs = 0.0
    for i in np.flatnonzero(y == 1):
        for j in np.flatnonzero((y == 0) & (strata == strata[i])):
            pairs += weight[i] * weight[j]
            won += (
                weight[i]
                * weight[j]
                * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
            )
    found = float(auroc_within(y, risk, weight, strata=strata))
    assert found == pytest.approx(won / pairs)


@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 99))
def test_bins_hold_equal_mass_and_never_split_ties(
    n: int, n_bins: int, seed: int
) -> None:
    """Bins rise with the risk, have no gaps, keep ties together, and share the mass."""
    rng = np.random.default_rng(seed)
    risk = rng.random(n).round(1 + seed % 3)
    bins = equal_mass_bins(risk, np.ones(n), n_bins)
    order = np.argsort(risk)
    assert (np.diff(bins[order]) >= 0).all()
    assert set(bins) == set(range(bins.max() + 1))
    assert bins.max() < n_bins
    for value in np.unique(risk):
        assert len(set(bins[risk == value])) == 1
    largest_tie = np.unique(risk, return_counts=True)[1].max()
    assert np.bincount(bins).max() <= n / n_bins + largest_tie


def test_debiased_error_is_kumars_formula() -> None:
    """With equal weights and no clusters the error is the published estimator."""
    y, risk, _ = drawn(4)
    bins = equal_mass_bins(risk, np.ones(len(y)), 10)
    squared = 0.0
    for b in range(bins.max() + 1):
        inside = bins == b
        n, mean = inside.sum(), y[inside].mean()
        gap = mean - risk[inside].mean()
        squared += n / len(y) * (gap**2 - mean * (1 - mean) / (n - 1))
    found = float(ece_debiased(y, risk, np.ones(len(y)), bins=bins))
    assert found == pytest.approx(math.sqrt(max(0.0, squared)), abs=1e-12)


def test_debiased_error_of_a_perfect_risk_centres_on_zero() -> None:
    """For true probabilities the plug-in error is biased, the debiased one hardly."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        risk = rng.random(185)
        y = (rng.random(185) < risk).astype(float)
        found.append(float(ece_debiased(y, risk, np.ones(185))))
    assert np.mean(np.array(found) == 0) > 0.4
    assert np.mean(found) < 0.05  # a plug-in error of 15 bins shows .09 (METHODS 13.6)


def test_repeating_the_steps_of_a_task_changes_no_error() -> None:
    """Five equal steps of a task are one observation, not five."""
    y, risk, _ = drawn(5)
    once = ece_debiased(y, risk, np.ones(len(y)))
    five = ece_debiased(
        np.repeat(y, 5),
        np.repeat(risk, 5),
        np.full(5 * len(y), 0.2),
        cluster=np.repeat(np.arange(len(y)), 5),
    )
    assert float(five) == pytest.approx(float(once), abs=1e-12)
    careless = ece_debiased(np.repeat(y, 5), np.repeat(risk, 5), np.ones(5 * len(y)))
    assert float(careless) > float(once)


@pytest.mark.parametrize("seed", range(6))
def test_smooth_error_equals_relplot(seed: int) -> None:
    """The smooth calibration error is that of its authors' package."""
    rng = np.random.default_rng(seed)
    risk = rng.beta(*rng.uniform(0.3, 4, 2), 1500)
    y = (rng.random(1500) < risk ** rng.uniform(0.5, 1.8)).astype(float)
    expected = smECE(risk, y, eps=1e-4)
    assert float(smece(y, risk, np.ones(1500))) == pytest.approx(expected, abs=2e-3)


def test_calibration_line_equals_logistic_regression() -> None:
    """Intercept and slope are those of an unpenalised logistic regression."""
    y, risk, weight = drawn(6)
    risk = np.clip(risk, 0.01, 0.99)
    z = np.log(risk / (1 - risk))[:, None]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    oracle.fit(z, y, sample_weight=weight)
    intercept, slope = calibration_line(y, risk, weight)
    assert intercept == pytest.approx(oracle.intercept_[0], abs=1e-4)
    assert slope == pytest.approx(oracle.coef_[0, 0], abs=1e-4)


def test_one_step_from_the_mean_is_close_to_a_full_fit() -> None:
    """What one step leaves out is small beside the spread that it measures."""
    y, risk, _ = drawn(7, n=1000)
    risk = np.clip(risk, 0.01, 0.99)
    stack = np.random.default_rng(0).multinomial(1000, np.full(1000, 1e-3), size=50)
    quick = calibration_line(y, risk, stack.astype(float))
    full = np.array([calibration_line(y, risk, w.astype(float)) for w in stack])
    left_out = np.sqrt(((quick - full) ** 2).mean(0))
    assert (left_out < 0.15 * full.std(0)).all()
    np.testing.assert_allclose(quick.std(0), full.std(0), rtol=0.1)


def test_separated_classes_have_no_line() -> None:
    """A risk that separates the classes has no finite slope."""
    y, risk = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    assert np.isnan(calibration_line(y, risk, np.ones(4))).all()


def test_spiegelhalter_equals_mapie() -> None:
    """Z is MAPIE's, and its two-sided p-value is that of a normal."""
    y, risk, _ = drawn(8)
    z, p_value = spiegelhalter_z(y, risk, np.ones(len(y)))
    assert z == pytest.approx(spiegelhalter_statistic(y, risk))
    assert p_value == pytest.approx(math.erfc(abs(z) / math.sqrt(2)))
    assert math.isnan(spiegelhalter_z(y, np.full(len(y), 0.5), np.ones(len(y)))[0])


def test_intervals_cover_the_truth_when_whole_tasks_are_drawn() -> None:
    """About 95 % of intervals hold the true value; drawing steps would hold far less.

    Risks are uniform and true, so Brier is 1/6, log-loss 1/2 and AUROC 5/6. Each task
    has six equal steps: it is worth one observation.
    """
    truth = {brier: 1 / 6, log_loss: 1 / 2, auroc: 5 / 6}
    n_tasks, steps, n_draws = 150, 6, 150
    held = dict.fromkeys(truth, 0)
    by_step = 0
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        risk = np.repeat(rng.random(n_tasks), steps)
        needed = rng.random(n_tasks) < risk[::steps]
        y = np.repeat(needed.astype(float), steps)
        weight, task = np.full(len(y), 1 / steps), np.repeat(np.arange(n_tasks), steps)
        draws = Resampling.draw(n_tasks, replicates=150, seed=seed)
        for metric, true in truth.items():
            e = draws.estimate(partial(metric, y, risk), weight, task, n=n_tasks)
            held[metric] += e.low <= true <= e.high
        rows = Resampling.draw(len(y), replicates=150, seed=seed)
        e = rows.estimate(partial(brier, y, risk), weight, np.arange(len(y)), n=n_tasks)
        by_step += e.low <= truth[brier] <= e.high
    for n_held in held.values():
        assert 0.89 <= n_held / n_draws <= 0.99
    assert by_step / n_draws < 0.75


def test_resampling_is_seeded_and_draws_as_many_clusters_as_there_are() -> None:
    """The same seed draws the same; each replicate has as many clusters as the sample."""
    one, two = (Resampling.draw(20, replicates=30, seed=4).counts for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (one.sum(1) == 20).all()
    assert not np.array_equal(one, Resampling.draw(20, replicates=30, seed=5).counts)


def test_rows_of_a_cluster_are_drawn_together() -> None:
    """Rows of one cluster carry the same multiplicity in every replicate."""
    seen = []
    cluster = np.array([0, 1, 0, 2, 1])
    draws = Resampling.draw(3, replicates=10, seed=0)

    def spy(w: Floats) -> Floats:
        """Remember the weights it is called with."""
        seen.append(w)
        return w.sum(-1)

    draws.replicate(spy, np.array([1.0, 1, 2, 1, 3]), cluster)
    stack = np.concatenate(seen)
    np.testing.assert_array_equal(2 * stack[:, 0], stack[:, 2])
    np.testing.assert_array_equal(3 * stack[:, 1], stack[:, 4])


def test_an_undefined_value_is_null() -> None:
    """NaN becomes null, and a missing interval becomes null bounds."""
    assert Estimate(value=math.nan, low=0.0, high=1.0, n=3).to_json() is None
    known = interval(0.5, np.array([np.nan, 0.4, np.nan]), n=3)
    assert known.to_json() == {"value": 0.5, "low": None, "high": None}


def test_a_centred_interval_holds_its_value_and_no_negative_error() -> None:
    """Replicates that noise lifted are moved back around the value."""
    found = centred(0.02, np.linspace(0.03, 0.07, 101), n=10)
    assert 0 <= found.low <= 0.02 <= found.high
    assert found.high == pytest.approx(0.039, abs=1e-3)


def test_no_miss_in_fifty_is_not_certainty() -> None:
    """A share of 0 gets the exact binomial bound, any other stays as it is."""
    zero = share(Estimate(value=0.0, low=0.0, high=0.0, n=50), n_units=50)
    assert binom.cdf(0, 50, zero.high) == pytest.approx(0.025)
    one = share(Estimate(value=1.0, low=1.0, high=1.0, n=50), n_units=50)
    assert one.low == pytest.approx(1 - zero.high)
    half = Estimate(value=0.5, low=0.4, high=0.6, n=50)
    assert share(half, n_units=50) is half


def test_upper_bound_is_the_exact_binomial_one() -> None:
    """At the bound, so few hits have probability delta; without trials it is 1."""
    bound = upper_bound(
        np.array([3.0, 0.0, 7.0]), np.array([40.0, 0.0, 7.0]), delta=0.1
    )
    assert binom.cdf(3, 40, bound[0]) == pytest.approx(0.1)
    assert bound[1:].tolist() == [1.0, 1.0]
