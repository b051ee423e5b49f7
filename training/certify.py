"""Thresholds with a certificate: a bound on missed escalations, or a refusal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from training.bundle import Certificate

METHOD = "exact binomial order statistic on running maxima, one task per group"


class CertificateError(ValueError):
    """A level that no certificate can have."""


def least_needed(alpha: float, delta: float) -> int:
    """Return how many needed tasks, none of them missed, certify `alpha` at `delta`.

    Examples
    --------
    >>> least_needed(0.05, 0.1), least_needed(0.1, 0.1)
    (45, 22)
    """
    return math.ceil(math.log(delta) / math.log1p(-alpha))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a certificate is made from: one entry per task set aside for it.

    Attributes
    ----------
    highest : ndarray of shape (n_tasks,), float in [0, 1]
        Highest risk the task reached: "escalate at any step" as one number.
    needed : ndarray of shape (n_tasks,), bool
        Whether the task needed a human.
    group : ndarray of shape (n_tasks,), str
        Customer. Tasks of one customer are not independent, so one needed task is
        drawn from each.
    is_even : bool
        Whether every task had the same chance of being labelled. Where it had not,
        counting tasks says little of how many are missed.
    """

    highest: NDArray[np.float64]
    needed: NDArray[np.bool_]
    group: NDArray[np.str_]
    is_even: bool = True

    def independent(self, seed: int) -> NDArray[np.float64]:
        """Return the highest risk of one needed task per group, drawn by `seed`."""
        order = np.random.default_rng(seed).permutation(len(self.needed))
        order = order[self.needed[order]]
        _, first = np.unique(self.group[order], return_index=True)
        return self.highest[order[np.sort(first)]]


def certify(
    evidence: Evidence, *, alpha: float, delta: float, seed: int = 0
) -> Certificate:
    """Return the certificate of the largest threshold with miss rate <= `alpha`.

    Holds with probability 1 - `delta` over the draw of the tasks, for tasks of the
    same kind. Where too few tasks needed a human the certificate is a refusal: its
    threshold is None and its reason says how many there are and how many it takes.

    Parameters
    ----------
    evidence : Evidence
        Tasks that neither the model nor its calibrator has seen. To be used once.
    alpha : float in (0, 1)
        Largest tolerated share of needed tasks that are never escalated.
    delta : float in (0, 1)
        Probability that the certificate is wrong.

    Raises
    ------
    CertificateError
        If `alpha` or `delta` is not inside (0, 1).
    """
    for name, level in (("alpha", alpha), ("delta", delta)):
        if not 0 < level < 1:
            msg = f"`{name}` must be inside (0, 1), found {level}; 0.1 is a usual level"
            raise CertificateError(msg)
    highest = np.sort(evidence.independent(seed))
    n = len(highest)
    allowed = misses_allowed(n, alpha, delta)
    threshold, rate = None, None
    if not evidence.is_even:
        reason = (
            "the labels were chosen with unequal chances, and the exact count needs "
            "equal ones: a log labelled throughout, or uniform audits alone"
        )
    elif allowed < 0:
        least = least_needed(alpha, delta)
        reason = (
            f"too few labels: have {n} of {least} independent tasks that needed a "
            f"human; {least - n} more are needed to certify a miss rate <= {alpha:g} "
            f"with confidence {1 - delta:g}"
        )
    else:
        threshold = float(highest[allowed])
        rate = float((evidence.highest >= threshold).mean())
        reason = (
            f"at most {100 * alpha:g}% of the tasks that need a human are missed, with "
            f"confidence {100 * (1 - delta):g}% and each customer counted once; it "
            f"costs escalating {rate:.0%} of all tasks"
        )
    return Certificate(
        alpha=alpha,
        delta=delta,
        n_needed=n,
        n_tasks=len(evidence.needed),
        misses_allowed=max(allowed, 0),
        method=METHOD,
        threshold=threshold,
        escalation_rate=rate,
        reason=reason,
    )
