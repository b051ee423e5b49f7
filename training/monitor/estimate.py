"""Estimates: a figure, how sure it is, and what is missing where there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta

Floats = NDArray[np.float64]

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its interval.

    Attributes
    ----------
    value, low, high : float or None
        None where nothing can be said.
    n : int
        What it rests on: tasks, ratings, pairs, as the figure's name says.
    method : str
        How value and interval were made, in a word or two.
    missing : str
        What it would take, where nothing can be said; else what the figure leaves out.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    missing: str = ""

    @classmethod
    def unknown(cls, missing: str, *, n: int = 0, method: str = "") -> Estimate:
        """Return that nothing can be said, and what it would take."""
        return cls(value=None, low=None, high=None, n=n, method=method, missing=missing)

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as plain JSON data."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "method": self.method,
            "missing": self.missing,
        }


def z_of(level: float) -> float:
    """Return how many standard errors a two-sided interval of `level` spans."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(hits: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson interval of a share: sound for few trials, and at 0 and 1.

    References
    ----------
    Wilson. "Probable inference, the law of succession, and statistical inference"
    (1927).
    """
    z2 = z_of(level) ** 2
    p = hits / n
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2) / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def exact(hits: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share; counts may be effective ones.

    References
    ----------
    Korn, Graubard. "Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data" (1998): effective counts.
    """
    tail = (1 - level) / 2
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def on_log_odds(
    value: float, error: float, *, level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval of a share from its standard error, made on log-odds.

    It stays within [0, 1], and leans to the side on which the share may still lie.
    """
    if not 0 < value < 1:
        return value, value
    half = z_of(level) * error / (value * (1 - value))
    centre = float(logit(value))
    return float(expit(centre - half)), float(expit(centre + half))


def clustered_error(influence: Floats, cluster: NDArray[np.int64]) -> float:
    """Return the standard error of a sum of influences, by whole clusters.

    Parameters
    ----------
    influence : ndarray of shape (n_tasks,)
        What each task adds to the error of the estimate.
    cluster : ndarray of shape (n_tasks,), int
        From 0 without a gap: the customer of each task.
    """
    sums = np.bincount(cluster, weights=influence)
    n = len(sums)
    if n < 2:  # noqa: PLR2004 (of one cluster nothing can be said)
        return math.inf
    return float(np.sqrt(n / (n - 1) * np.square(sums - sums.mean()).sum()))


def share(
    hits: NDArray[np.bool_],
    cluster: NDArray[np.int64],
    *,
    missing: str,
    level: float = LEVEL,
) -> Estimate:
    """Return the share of `hits`, with an interval that knows tasks come in clusters.

    Wilson's interval for as many independent tasks as the tasks are worth: their
    number over the design effect, which is measured and at least 1.

    Parameters
    ----------
    hits : ndarray of shape (n_tasks,), bool
        What is counted.
    cluster : ndarray of shape (n_tasks,), int
        The customer of each task.
    missing : str
        What it would take, where there is no task.
    """
    n = len(hits)
    if n == 0:
        return Estimate.unknown(missing)
    p = float(hits.mean())
    worth = n / _design_effect(hits, p, cluster)
    low, high = wilson(p * worth, worth, level=level)
    return Estimate(
        value=p, low=low, high=high, n=n, method="Wilson, tasks clustered by customer"
    )


def _design_effect(
    hits: NDArray[np.bool_], p: float, cluster: NDArray[np.int64]
) -> float:
    """Return by how much clusters widen the variance of a share; at least 1."""
    n = len(hits)
    codes = np.unique(cluster, return_inverse=True)[1]
    if not 0 < p < 1 or codes.max() == 0:
        return 1.0
    error = clustered_error((hits - p) / n, codes)
    return max(1.0, error**2 / (p * (1 - p) / (n - 1)))
