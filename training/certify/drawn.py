"""Exact bounds from a sample in which each task was drawn with a known probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, gamma

from training.certify.basis import Floats

_HALVINGS = 64


def most_missed(
    found: NDArray[np.generic], q: float, delta: float, *, tie: float | Floats = 1.0
) -> Floats:
    """Return upper bounds of m, where Binomial(m, q) of m missed tasks were found.

    The largest m with P(X < found) + tie P(X = found) > delta. It bounds these m tasks
    and no others: with q = 1 it is `found` itself.

    Parameters
    ----------
    found : ndarray of shape (n,), int
        Missed tasks among the drawn.
    q : float in (0, 1]
        Probability with which each task was drawn.
    delta : float in (0, 1)
        P(the bound is too low) is at most this.
    tie : float in (0, 1], or ndarray of shape (n,)
        1: the bound of Clopper and Pearson's kind, too wide as counts are whole. A
        uniform number drawn without regard to the labels: exact to the last digit.
        Anything above that number is valid too.

    References
    ----------
    Clopper, Pearson. "The use of confidence or fiducial limits" (1934). Stevens.
    "Fiducial limits of the parameter of a discontinuous distribution" (1950): ties
    broken by chance.

    Examples
    --------
    >>> most_missed(np.array([0, 3]), 1.0, 0.1), most_missed(np.array([0]), 0.02, 0.1)
    (array([0., 3.]), array([113.]))
    """
    x = np.asarray(found, dtype=np.float64)
    if q >= 1:
        return x
    low = x.copy()  # never fewer than were found
    high = np.ceil(2 * gamma.isf(delta, x + 1) / q) + x + 2
    for _ in range(_HALVINGS):
        middle = np.floor((low + high) / 2)
        likely = binom.cdf(x, middle, q) - (1 - tie) * binom.pmf(x, middle, q) > delta
        low, high = np.where(likely, middle, low), np.where(likely, high, middle)
        if (high - low <= 1).all():
            break
    return low


def share_missed(found: Floats, caught: Floats, q: float, delta: float) -> Floats:
    """Return upper bounds of the share of needed tasks missed, for tasks to come.

    A needed task is caught with probability 1 - M and then known, missed and drawn
    with M q, or missed and never known. Of those known, the missed are a binomial
    share M q / (1 - M + M q): bounded exactly and solved for M, with no need to know
    how many tasks there were and none to part delta.

    Parameters
    ----------
    found, caught : ndarray of shape (n,)
        Needed tasks known: missed and drawn, and caught.
    """
    at_most = beta.ppf(1 - delta, found + 1, np.maximum(caught, 1e-300))
    share = np.where(caught > 0, at_most, 1.0)
    return share / (share + q * (1 - share))
