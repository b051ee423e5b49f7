"""Detectors: evidence against a promise, gathered task by task, valid at every look.

Each is an e-detector of Shiryaev-Roberts form. Under the promise a task's factor
``1 + bet * x`` has mean at most 1, whatever came before, so that

    total = (total + 1) * factor

has mean at most the number of tasks seen. An alarm at ``total >= alarm_at`` therefore
comes at the earliest after `alarm_at` tasks on average, and within n tasks with a
probability of at most ``n / alarm_at``; in whatever order bets were chosen, as long as
none looks ahead. Every state is a value: `advance` gives the next one, in constant
time. The forms over many replicates at once stand in `training.monitor.paths`.

References
----------
Shin, Ramdas, Rinaldo. "E-detectors: a nonparametric framework for sequential change
detection" (2023): definitions 2.2 and 2.5, and their bound on the average run length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.monitor.evidence import ALARM_AT, Detector

# Bets, as shares of the largest one that cannot lose everything.
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)


class BetError(ValueError):
    """A value below what a detector was told is the least: its bets would be unsafe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture(Detector):
    """Evidence that the mean of x, promised to be at most 0, is above it.

    The average of e-detectors over a grid of bets: of them one is about right whatever
    the size of the breach.

    Attributes
    ----------
    least : float
        Below 0; no x is lower.
    totals : tuple of float
        One per bet of the grid.
    """

    least: float
    totals: tuple[float, ...] = (0.0,) * len(SHARES)

    def advance(self, x: float, at: float = 0.0) -> Self:
        """Return the state after one task.

        Parameters
        ----------
        x : float
            What the promise says has a mean of at most 0; 0 where nothing is known.
        at : float
            When, s since 1970.

        Raises
        ------
        BetError
            If x is lower than `least`.
        """
        if self.has_fired:
            return self
        totals = self._next(x)
        return replace(
            self,
            totals=totals,
            n=self.n + 1,
            fired=at if _mean(totals) >= self.alarm_at else math.nan,
            change=self.change.advance(1 - SHARES[2] * x / self.least, at),
        )

    def _next(self, x: float) -> tuple[float, ...]:
        if x < self.least:
            msg = (
                f"expected x of at least {self.least}, found {x}; name the true least "
                "value when the detector is made"
            )
            raise BetError(msg)
        share = -x / self.least
        pairs = zip(SHARES, self.totals, strict=True)
        return tuple((total + 1) * (1 + bet * share) for bet, total in pairs)

    @property
    def total(self) -> float:
        """The evidence: an alarm at `alarm_at`."""
        return _mean(self.totals)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissDetector(Detector):
    """Evidence that the miss rate is above the certified `alpha`.

    Of a task, x is ``w * needed * (missed - alpha)``: its mean is at most 0 if, and
    only if, at most the share `alpha` of the tasks in need is missed. w is 1 for a
    task that a human saw, and 1 / propensity for one that was drawn for review. Since
    x >= -alpha, bets below 1 / alpha are safe whatever the propensities.

    A drawn miss at 2 % audits multiplies the evidence by ten or more, so a fixed bet
    overshoots the alarm and wastes what lies above it. The bet therefore depends on
    what was reached: far away it grows fastest at a threefold breach; close by it is
    what the next miss needs to reach the alarm, and no more.

    Attributes
    ----------
    alpha : float
        What is promised.
    total : float
        The evidence: an alarm at `alarm_at`.
    passed : int
        Tasks nobody was called to.
    chance : float
        Sum of their propensities.
    reported, drawn : int
        Misses found by a complaint, and by a draw.
    bet, jump : float
        The bet far from the alarm, and the x of a drawn miss, as of `passed`.

    References
    ----------
    Waudby-Smith, Ramdas. "Estimating means of bounded random variables by betting"
    (2024): any bet that does not look ahead keeps the evidence valid.
    """

    alpha: float
    total: float = 0.0
    passed: int = 0
    chance: float = 0.0
    reported: int = 0
    drawn: int = 0
    bet: float = math.nan
    jump: float = math.nan

    @classmethod
    def begin(cls, alpha: float, alarm_at: float = ALARM_AT) -> Self:
        """Return the state before the first task."""
        bet, jump = plan(alpha, EXPECTED_RATE)
        return cls(alpha=alpha, alarm_at=alarm_at, bet=bet, jump=jump)

    def advance(self, x: float, propensity: float, at: float = 0.0) -> Self:
        """Return the state after one task.

        Parameters
        ----------
        x : float
            As above; 0 where the task has no label.
        propensity : float
            Of its review; NaN where a human was called to it.
        at : float
            When, s since 1970.

        Raises
        ------
        BetError
            If x is lower than ``-alpha``.
        """
        if self.has_fired:
            return self
        if x < -self.alpha:
            msg = f"expected x of at least {-self.alpha}, found {x}; weigh it by 1"
            raise BetError(msg)
        total = (self.total + 1) * (1 + self.next_bet() * x)
        fired = at if total >= self.alarm_at else math.nan
        change = self.change.advance(1 + self.bet * x, at)
        after = replace(self, total=total, n=self.n + 1, fired=fired, change=change)
        return after._count(x, propensity)  # noqa: SLF001 (its own)

    def next_bet(self) -> float:
        """Return the bet on the next task."""
        missing = self.alarm_at / (self.total + 1) - 1
        if self.total <= NEAR * self.alarm_at or missing <= 0:
            return self.bet
        by_report = missing / (1 - self.alpha)
        if self.reported > self.drawn and by_report <= BOLDEST_REPORT / self.alpha:
            return by_report * ENOUGH
        return min(missing / self.jump * ENOUGH, BOLDEST_DRAW / self.alpha)

    def _count(self, x: float, propensity: float) -> Self:
        """Return the state with what the next bets go by."""
        if math.isnan(propensity):
            return self
        passed, chance = self.passed + 1, self.chance + propensity
        is_due = passed >= FEWEST_PASSED and passed & (passed - 1) == 0
        rate = chance / passed if is_due else 0.0
        bet, jump = plan(self.alpha, rate) if rate > 0 else (self.bet, self.jump)
        return replace(
            self,
            passed=passed,
            chance=chance,
            reported=self.reported + (0 < x <= 1 - self.alpha),
            drawn=self.drawn + (x > 1 - self.alpha),
            bet=bet,
            jump=jump,
        )


# Found by simulation at 2 % audits; they decide how soon a breach is found, and
# nothing about how seldom a false alarm comes.
EXPECTED_RATE = 0.02
FEWEST_PASSED = 64
NEAR = 0.04
BOLDEST_REPORT = 0.5
BOLDEST_DRAW = 0.12
ENOUGH = 1 + 1e-9
_BREACH = 3.0
_REPORTED = 0.25
_HALVINGS = 40


def plan(alpha: float, rate: float) -> tuple[float, float]:
    """Return the bet that grows fastest at a threefold breach, and a drawn miss's x.

    Parameters
    ----------
    alpha : float
        What is promised of the miss rate.
    rate : float
        Audits per task that nobody was called to.

    Examples
    --------
    >>> [round(value, 2) for value in plan(0.1, 0.02)]
    [0.25, 45.0]
    """
    jump = (1 - alpha) / rate
    missed = min(_BREACH * alpha, 0.9)
    found = missed * (1 - _REPORTED) * rate
    told = missed * _REPORTED

    def slope(bet: float) -> float:
        loss = (1 - missed) * alpha / (1 - bet * alpha)
        report = told * (1 - alpha) / (1 + bet * (1 - alpha))
        return found * jump / (1 + bet * jump) + report - loss

    low, high = 0.0, 0.5 / alpha
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return low, jump


def through(
    detector: Mixture, x: NDArray[np.float64], at: NDArray[np.float64]
) -> Mixture:
    """Return the state of `detector` after the tasks `x` at the times `at`."""
    for value, when in zip(x.tolist(), at.tolist(), strict=True):
        detector = detector.advance(value, when)
    return detector


def _mean(totals: tuple[float, ...]) -> float:
    return sum(totals) / len(totals)
