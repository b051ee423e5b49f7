"""Drift: which signals of a window of tasks are not what they were in the reference.

A shift is told only if it is large *and* sure. Large: the usual bounds on PSI (0.1 is
noted, 0.25 calls for action), on the distance of Kolmogorov and Smirnov, on missing and
unseen shares. Sure: its p-value holds against the number of tests, so that all signals
of one window together cry wolf with a probability of at most `LEVEL`. PSI alone has a
sampling noise of ``bins * (1/n + 1/m)``: a window of 50 tasks passes 0.1 by chance.

The p-values take tasks for independent; where few customers make up a window they are
too small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, chi2, hypergeom, kstwo

from training.monitor.reference import Histogram, Reference

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]

# Probability of any false shift in one window.
LEVEL = 0.001
# A window, or a reference, with fewer known values says nothing.
FEWEST = 50
_GROUPS = 10
# In a cell, for Pearson's test to hold.
_LEAST_EXPECTED = 5.0


class Kind(StrEnum):
    """What has shifted."""

    PSI = "psi"
    KS = "ks"
    MISSING = "missing"
    UNSEEN = "unseen"


# From where on it is worth a note, and an action.
BOUNDS: Mapping[Kind, tuple[float, float]] = {
    Kind.PSI: (0.1, 0.25),
    Kind.KS: (0.1, 0.25),
    Kind.MISSING: (0.05, 0.15),
    Kind.UNSEEN: (0.01, 0.05),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One signal or category that is not what it was.

    Attributes
    ----------
    kind : Kind
    name : str
        Of the signal or category.
    value : float
        PSI; distance; change of the missing share; share of unseen values.
    p : float
        Probability of at least this without a shift, not corrected.
    n : int
        Tasks of the window it rests on.
    is_large : bool
        Whether it calls for action rather than for a note.
    """

    kind: Kind
    name: str
    value: float
    p: float
    n: int
    is_large: bool


@dataclass(frozen=True, slots=True)
class _Test:
    kind: Kind
    name: str
    value: float
    p: float
    n: int


def shifts(
    reference: Reference,
    signals: Mapping[str, Floats],
    categories: Mapping[str, Texts],
    *,
    level: float = LEVEL,
) -> list[Shift]:
    """Return what is not as in `reference`, the largest first.

    Parameters
    ----------
    reference : Reference
        What was.
    signals : Mapping of str to ndarray of shape (n_tasks,)
        By name, NaN where unknown; those the reference does not know are left out.
    categories : Mapping of str to ndarray of shape (n_tasks,)
        By name, "" where unknown.
    level : float
        Probability of any false shift among all that is returned.
    """
    tests = [*_signal_tests(reference, signals), *_unseen_tests(reference, categories)]
    found = [
        Shift(
            kind=test.kind,
            name=test.name,
            value=test.value,
            p=test.p,
            n=test.n,
            is_large=abs(test.value) >= BOUNDS[test.kind][1],
        )
        for test in tests
        if test.p * len(tests) <= level and abs(test.value) >= BOUNDS[test.kind][0]
    ]
    return sorted(found, key=lambda s: (-_relative(s), s.kind, s.name))


def _relative(shift: Shift) -> float:
    return abs(shift.value) / BOUNDS[shift.kind][1]


def _signal_tests(
    reference: Reference, signals: Mapping[str, Floats]
) -> Iterator[_Test]:
    for name, before in reference.signals.items():
        if name not in signals:
            continue
        after = before.filled(signals[name])
        if min(before.total, after.total) >= FEWEST:
            change, p = missing_change(before, after)
            yield _Test(Kind.MISSING, name, change, p, after.total)
        if min(before.known, after.known) >= FEWEST:
            yield _Test(Kind.PSI, name, *psi(before, after), after.known)
            yield _Test(Kind.KS, name, *distance(before, after), after.known)


def _unseen_tests(
    reference: Reference, categories: Mapping[str, Texts]
) -> Iterator[_Test]:
    for name, before in reference.categories.items():
        values = categories.get(name, np.array([], dtype=np.str_))
        values = values[values != ""]
        if before and len(values) >= FEWEST:
            yield _Test(Kind.UNSEEN, name, *_unseen(before, values), len(values))


def psi(before: Histogram, after: Histogram) -> tuple[float, float]:
    """Return the population stability index, and the p-value of Pearson's test.

    Over groups of neighbouring bins, each with about a tenth of the reference.

    Parameters
    ----------
    before, after : Histogram
        In the same bins.
    """
    was, now = _grouped(before, after)
    size = len(was)
    a, b = (was + 0.5) / (was.sum() + size / 2), (now + 0.5) / (now.sum() + size / 2)
    index = float(((a - b) * np.log(a / b)).sum())
    both = was + now
    share = now.sum() / both.sum()
    spread = ((now - both * share) ** 2 / (both * share * (1 - share))).sum()
    return index, float(chi2.sf(spread, max(size - 1, 1)))


def _grouped(before: Histogram, after: Histogram) -> tuple[Floats, Floats]:
    """Return counts of neighbouring bins, put together until there is enough in each.

    Enough of the reference for a share, and of the window for the test to hold.
    """
    was, now = (np.array(h.counts, dtype=np.float64) for h in (before, after))
    both = (was + now) * min(was.sum(), now.sum()) / (was + now).sum()
    groups, start = [], 0
    for end in range(1, len(was) + 1):
        enough = was[start:end].sum() >= was.sum() / _GROUPS
        if enough and both[start:end].sum() >= _LEAST_EXPECTED:
            groups.append(slice(start, end))
            start = end
    if start < len(was) and groups:
        groups[-1] = slice(groups[-1].start, len(was))
    groups = groups or [slice(0, len(was))]
    sums = np.array(
        [[counts[group].sum() for group in groups] for counts in (was, now)]
    )
    return sums[0], sums[1]


def distance(before: Histogram, after: Histogram) -> tuple[float, float]:
    """Return the distance of Kolmogorov and Smirnov, and its p-value.

    Between bins it is not looked at, so it is rather too small, and the p-value too
    large.
    """
    steps = [np.cumsum(h.counts) / h.known for h in (before, after)]
    far = float(np.abs(steps[0] - steps[1]).max())
    n = before.known * after.known / (before.known + after.known)
    return far, float(kstwo.sf(far, round(n)))


def missing_change(before: Histogram, after: Histogram) -> tuple[float, float]:
    """Return how much the missing share has risen, and Fisher's p-value, two-sided."""
    both, missing = before.total + after.total, before.missing + after.missing
    rise = after.missing / after.total - before.missing / before.total
    law = (both, missing, after.total)
    tail = min(
        hypergeom.cdf(after.missing, *law), hypergeom.sf(after.missing - 1, *law)
    )
    return rise, float(min(1.0, 2 * tail))


def _unseen(before: Mapping[str, int], values: Texts) -> tuple[float, float]:
    """Return the share of values never seen before, and a p-value.

    What was not seen in the reference is expected as often as what was seen in it just
    once (Good and Turing), plus one.
    """
    new = int((~np.isin(values, list(before))).sum())
    once = sum(count == 1 for count in before.values())
    rate = min(1.0, (once + 1) / (sum(before.values()) + 1))
    return new / len(values), float(binom.sf(new - 1, len(values), rate))
