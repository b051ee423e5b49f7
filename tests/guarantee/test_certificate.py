"""The certificate keeps its word: thousands of draws with a known miss rate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta, binom

from training.certify import Evidence, certify, misses_allowed

DRAWS = 2000
ALPHA = DELTA = 0.1

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], tuple[Floats, NDArray[np.str_]]]


def slack(share: float) -> float:
    """Return three standard errors of a share seen in all draws."""
    return 3 * float(np.sqrt(share * (1 - share) / DRAWS))


def wrong_share(draw: Draw, miss_rate: Callable[[float], float]) -> float:
    """Return the share of draws whose threshold misses more than `ALPHA`."""
    rng = np.random.default_rng(0)
    wrong = 0
    for seed in range(DRAWS):
        highest, group = draw(rng)
        # One task more, that needed nobody, lies below all others.
        evidence = Evidence(
            highest=np.append(highest, -1.0),
            needed=np.arange(len(highest) + 1) < len(highest),
            group=np.append(group, "nobody"),
        )
        found = certify(evidence, alpha=ALPHA, delta=DELTA, seed=seed)
        assert found.threshold is not None
        wrong += miss_rate(found.threshold) > ALPHA
    return wrong / DRAWS


def names(n: int) -> NDArray[np.str_]:
    """Return n customers."""
    return np.arange(n).astype(np.str_)


@pytest.mark.parametrize("n", [22, 60, 200])
def test_the_miss_rate_is_kept(n: int) -> None:
    """In at most a share delta of draws the true miss rate exceeds alpha.

    And not in far fewer: the test is exact, so the share is the binomial one.
    """
    share = wrong_share(
        lambda rng: (rng.beta(4, 2, n), names(n)),
        lambda threshold: float(beta.cdf(threshold, 4, 2)),
    )
    assert share <= DELTA + slack(DELTA)
    exact = float(binom.cdf(misses_allowed(n, ALPHA, DELTA), n, ALPHA))
    assert share == pytest.approx(exact, abs=slack(exact))


@pytest.mark.parametrize("levels", [2, 5, 30])
def test_ties_do_not_break_it(levels: int) -> None:
    """Where many tasks have the very same risk the bound holds all the same."""
    share = wrong_share(
        lambda rng: (rng.integers(levels, size=80) / levels, names(80)),
        # P(highest < threshold), a multiple of 1 / levels.
        lambda threshold: threshold,
    )
    assert share <= DELTA + slack(DELTA)


def clustered(rng: np.random.Generator) -> tuple[Floats, NDArray[np.str_]]:
    """Return 40 customers whose tasks, 1 to 19 each, share one risk."""
    sizes = rng.integers(1, 20, size=40)
    return np.repeat(rng.beta(4, 2, 40), sizes), np.repeat(names(40), sizes)


def missed_by_beta(threshold: float) -> float:
    """Return the miss rate of tasks drawn from Beta(4, 2)."""
    return float(beta.cdf(threshold, 4, 2))


def test_dependent_tasks_of_a_customer_do_not_break_it() -> None:
    """With tasks that repeat their customer, one task of each keeps the bound."""
    assert wrong_share(clustered, missed_by_beta) <= DELTA + slack(DELTA)


def test_taking_all_tasks_of_a_customer_would_break_it() -> None:
    """Were such tasks taken for independent, the bound would fail several times over."""

    def as_if_independent(
        rng: np.random.Generator,
    ) -> tuple[Floats, NDArray[np.str_]]:
        highest, _ = clustered(rng)
        return highest, names(len(highest))

    assert wrong_share(as_if_independent, missed_by_beta) > 2 * DELTA


def test_a_plain_quantile_would_break_it() -> None:
    """The alpha quantile of the needed tasks misses more than alpha every other time."""
    rng = np.random.default_rng(0)
    quantiles = [float(np.quantile(rng.beta(4, 2, 200), ALPHA)) for _ in range(DRAWS)]
    wrong = np.mean([missed_by_beta(q) > ALPHA for q in quantiles])
    assert wrong > 3 * DELTA
