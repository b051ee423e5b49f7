"""Tests of figures with intervals: sound for few, and for tasks that come together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from training.monitor.estimate import (
    Estimate,
    clustered_error,
    exact,
    on_log_odds,
    share,
    wilson,
)

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_intervals_are_those_of_the_textbook(counts: tuple[int, int]) -> None:
    """Wilson and Clopper-Pearson agree with the library's own."""
    hits, n = counts
    for made, method in ((wilson, "wilson"), (exact, "exact")):
        known = binomtest(hits, n).proportion_ci(0.95, method=method)
        assert made(hits, n) == pytest.approx((known.low, known.high), abs=1e-9)


def test_an_exact_interval_takes_effective_counts() -> None:
    """Half a hit in ten and a half trials has an interval, too."""
    low, high = exact(0.5, 10.5)
    assert low == pytest.approx(beta.ppf(0.025, 0.5, 11))
    assert high == pytest.approx(beta.ppf(0.975, 1.5, 10))


@given(st.floats(0.001, 0.999), st.floats(0, 5))
def test_an_interval_on_log_odds_holds_its_value_and_stays_a_share(
    value: float, error: float
) -> None:
    """However wide, it lies in [0, 1] and around the value."""
    low, high = on_log_odds(value, error)
    assert 0 <= low <= value + 1e-12
    assert value - 1e-12 <= high <= 1


def test_without_clusters_the_error_is_the_usual_one() -> None:
    """Each task by itself: the standard error of a mean."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    found = clustered_error((values - values.mean()) / 400, np.arange(400))
    assert found == pytest.approx(values.std(ddof=1) / 20)


def test_copies_of_a_task_add_nothing() -> None:
    """A customer whose ten tasks are alike counts once."""
    rng = np.random.default_rng(0)
    hits = rng.random(50) < 0.4
    once = share(hits, np.arange(50), missing="")
    tenfold = share(np.repeat(hits, 10), np.repeat(np.arange(50), 10), missing="")
    assert tenfold.n == 500
    assert tenfold.low == pytest.approx(once.low, abs=0.01)
    assert tenfold.high == pytest.approx(once.high, abs=0.01)


def test_of_one_cluster_no_error_is_known() -> None:
    """One customer says nothing of how customers differ."""
    assert clustered_error(np.array([0.1, -0.1]), np.array([0, 0])) == np.inf


def test_small_samples_have_wide_intervals_never_a_bare_number() -> None:
    """Three of three is not a hundred per cent."""
    found = share(np.array([True] * 3), np.arange(3), missing="")
    assert found.value == 1.0
    assert found.low is not None
    assert found.low < 0.5


def test_no_data_says_what_is_missing() -> None:
    """An unknown figure has no number, and names what it would take."""
    found = share(np.zeros(0, dtype=bool), np.zeros(0, dtype=int), missing="verdicts")
    assert found == Estimate.unknown("verdicts")
    assert found.to_json()["value"] is None
    assert found.to_json()["missing"] == "verdicts"


def test_the_interval_of_a_clustered_share_covers() -> None:
    """Over many samples of customers with unlike rates, 95 in 100 hold the truth."""
    rng = np.random.default_rng(4)
    cluster, held = np.repeat(np.arange(60), 8), 0
    for _ in range(300):
        rate = rng.beta(2, 6, 60)
        found = share(rng.random(480) < rate[cluster], cluster, missing="")
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.25 <= found.high
    assert held / 300 >= 0.92
