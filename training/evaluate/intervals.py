"""Values with intervals: a seeded bootstrap over whole tasks or customers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from training.evaluate.metrics import Floats, Indices

Statistic = Callable[[Floats], Floats]

# Replicates per call of a statistic: a stack of some ten megabytes stays in cache.
_CELLS_AT_ONCE = 1_250_000
# With more undefined replicates than this an interval would flatter.
_MOST_UNDEFINED = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes
    ----------
    value : float
        NaN where the data do not define it.
    low, high : float
        2.5 and 97.5 percentile over bootstrap replicates; NaN if there is none.
    n : int
        How many independent tasks it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | None] | None:
        """Return value, low and high; null for what is undefined."""
        if not math.isfinite(self.value):
            return None
        return {
            "value": float(self.value),
            "low": float(self.low) if math.isfinite(self.low) else None,
            "high": float(self.high) if math.isfinite(self.high) else None,
        }


@dataclass(frozen=True, slots=True)
class Resampling:
    """How often each cluster was drawn, in each replicate.

    One resampling serves every metric, slice and baseline of a report, so that
    differences between two of them are differences on the same draws.

    Attributes
    ----------
    counts : ndarray of shape (n_replicates, n_clusters)
        Each row sums to n_clusters.
    """

    counts: Floats

    @classmethod
    def draw(cls, n_clusters: int, *, replicates: int, seed: int) -> Resampling:
        """Return `replicates` draws of `n_clusters` clusters with replacement."""
        rng = np.random.default_rng(seed)
        even = np.full(n_clusters, 1 / n_clusters)
        return cls(rng.multinomial(n_clusters, even, size=replicates).astype(float))

    def replicate(
        self, statistic: Statistic, weight: Floats, cluster: Indices
    ) -> Floats:
        """Return the statistic of every replicate, first axis n_replicates.

        Parameters
        ----------
        statistic : callable
            From a stack of weights, shape (n, n_rows), to an array of n answers.
        weight : ndarray of shape (n_rows,)
            Weight of each row in the sample itself.
        cluster : ndarray of shape (n_rows,), int in [0, n_clusters)
            Rows of a cluster are drawn together, or not at all.

        References
        ----------
        Davison, Hinkley. "Bootstrap methods and their application" (1997), 3.8.
        """
        step = max(1, _CELLS_AT_ONCE // max(len(weight), 1))
        chunks = [
            statistic(weight * self.counts[start : start + step, cluster])
            for start in range(0, len(self.counts), step)
        ]
        return np.concatenate(chunks)

    def estimate(
        self,
        statistic: Statistic,
        weight: Floats,
        cluster: Indices,
        *,
        n: int,
    ) -> Estimate:
        """Return a scalar statistic with its interval. Parameters as in `replicate`."""
        value = float(statistic(weight))
        return interval(value, self.replicate(statistic, weight, cluster), n=n)


def interval(value: float, replicates: Floats, *, n: int) -> Estimate:
    """Return the value between the percentiles of its replicates.

    Parameters
    ----------
    value : float
        The statistic on the sample itself.
    replicates : ndarray of shape (n_replicates,)
        NaN for a replicate in which it is undefined. Those are left out, and with
        more than 5 % of them there is no interval.
    n : int
        How many independent tasks it rests on.
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) < (1 - _MOST_UNDEFINED) * len(replicates) or len(known) == 0:
        return Estimate(value=value, low=math.nan, high=math.nan, n=n)
    low, high = np.percentile(known, [2.5, 97.5])
    return Estimate(value=value, low=float(low), high=float(high), n=n)


def centred(value: float, replicates: Floats, *, n: int) -> Estimate:
    """Return an interval whose replicates are moved to lie around the value.

    For errors that noise can only raise, such as a smooth calibration error: a
    replicate is noisier than the sample, and a plain interval would lie above it.
    Never below 0. Parameters as in `interval`.

    References
    ----------
    Efron, Tibshirani. "An introduction to the bootstrap" (1993), 10.2: the estimate
    of bias.
    """
    shift = value - float(np.nanmean(replicates)) if len(replicates) else 0.0
    return interval(value, np.maximum(replicates + shift, 0.0), n=n)


def share(estimate: Estimate, *, n_units: float) -> Estimate:
    """Return a share whose interval is not empty just because it is 0 or 1.

    A bootstrap cannot draw what the sample does not hold: of no miss in 50 tasks it
    says [0, 0]. At the bounds the exact binomial interval is taken instead.

    Parameters
    ----------
    estimate : Estimate
        Of a share in [0, 1].
    n_units : float
        Independent units in its denominator; may be an effective number.

    References
    ----------
    Clopper, Pearson. "The use of confidence or fiducial limits illustrated in the
    case of the binomial" (1934).
    """
    if not (estimate.value in {0.0, 1.0} and n_units > 0):
        return estimate
    edge = 0.025 ** (1 / n_units)
    low, high = (0.0, 1 - edge) if estimate.value == 0 else (edge, 1.0)
    return Estimate(value=estimate.value, low=low, high=high, n=estimate.n)


def upper_bound(k: Floats, n: Floats, *, delta: float) -> Floats:
    """Return the exact one-sided upper bound of a binomial share.

    Parameters
    ----------
    k, n : ndarray of shape (...,)
        Hits and trials; effective numbers may be fractions.
    delta : float in (0, 1)
        Probability that the bound is wrong.

    Returns
    -------
    ndarray of shape (...,), float in [0, 1]
        1 where nothing was tried or everything hit.
    """
    open_ended = (n <= 0) | (k >= n)
    a, b = np.where(open_ended, 1.0, k + 1), np.where(open_ended, 1.0, n - k)
    return np.asarray(np.where(open_ended, 1.0, beta.ppf(1 - delta, a, b)))
