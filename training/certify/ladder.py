"""Several bounds that hold at once: what each has to be tested at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

from training.certify.basis import Floats

_STEPS = 24  # halvings of the doubt: to a ten-millionth of it
_REACH = 9.0  # standard deviations: beyond lies less than a float can tell from 1


def misses_allowed(n_needed: int, alpha: float, delta: float) -> int:
    """Return the most misses among `n_needed` that still certify; -1 if none do.

    References
    ----------
    Angelopoulos, Bates, Candes, Jordan, Lei. "Learn then Test" (2021): fixed-sequence
    testing with the exact binomial p-value. The miss rate rises with the threshold, so
    no price is paid for choosing among thresholds.

    Examples
    --------
    >>> misses_allowed(100, 0.05, 0.1), misses_allowed(44, 0.05, 0.1)
    (1, -1)
    """
    counts = np.arange(n_needed + 1)
    return int((binom.cdf(counts, n_needed, alpha) <= delta).sum()) - 1


def any_fails(n_needed: int, alphas: tuple[float, ...], delta: float) -> float:
    """Return P(some bound is false), each of them made at `delta` from one sample.

    Exact where risks have no ties, an upper bound where they have: bound j is false if
    at most `misses_allowed` of n uniforms lie below alpha j, and from one alpha to the
    next their number is a Markov chain of binomials.

    Parameters
    ----------
    alphas : tuple of float in (0, 1)
        In any order.

    Examples
    --------
    >>> round(any_fails(100, (0.1,), 0.1), 4), round(float(binom.cdf(5, 100, 0.1)), 4)
    (0.0576, 0.0576)
    """
    counts, mass, at = np.array([0]), np.array([1.0]), 0.0
    for alpha in sorted(alphas):
        reached = _within(n_needed, alpha)
        step = (alpha - at) / (1 - at)
        moves = reached[None, :] - counts[:, None]
        mass = mass @ binom.pmf(moves, n_needed - counts[:, None], step)
        held = reached > misses_allowed(n_needed, alpha, delta)
        counts, mass, at = reached[held], mass[held], alpha
    return float(1 - mass.sum())


def _within(n: int, alpha: float) -> NDArray[np.int64]:
    middle, sd = n * alpha, np.sqrt(n * alpha * (1 - alpha))
    low = max(0, int(middle - _REACH * sd) - 1)
    return np.arange(low, min(n, int(middle + _REACH * sd) + 1) + 1)


def together(n_needed: int, alphas: tuple[float, ...], delta: float) -> float:
    """Return the doubt at which each bound is made so that all hold at 1 - `delta`.

    Between `delta` over their number (Bonferroni) and `delta`: the bounds are made
    from the same tasks, so that one which is false is seldom alone.
    """
    low, high = delta / len(alphas), delta
    if any_fails(n_needed, alphas, high) <= delta:
        return high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        fits = any_fails(n_needed, alphas, middle) <= delta
        low, high = (middle, high) if fits else (low, middle)
    return low


def upper(misses: NDArray[np.int64], n_needed: int, delta: float) -> Floats:
    """Return the exact upper bound of a miss rate (Clopper and Pearson), by count."""
    found = beta.ppf(1 - delta, misses + 1, np.maximum(n_needed - misses, 1e-300))
    return np.where(misses >= n_needed, 1.0, found)
