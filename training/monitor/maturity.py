"""Maturity: how many labels have come by now, and how many still will."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Delays:
    """How long labels take, as far as it can be seen by now.

    Attributes
    ----------
    times : ndarray of shape (n,), s
        Delays that were seen, rising.
    come : ndarray of shape (n,), float in [0, 1]
        Share of the labels that have come after each. What never comes leaves the last
        one below 1.
    """

    times: Floats
    come: Floats

    @classmethod
    def seen(cls, age: Floats, delay: Floats) -> Self:
        """Return the curve that the tasks themselves show (Kaplan-Meier).

        A task without a label says only that its delay is longer than its age: so the
        tasks whose time is not over yet count with what they have shown.

        Parameters
        ----------
        age : ndarray of shape (n_tasks,), s
            Since the last decision, >= 0.
        delay : ndarray of shape (n_tasks,), s
            From the last decision to the label, >= 0; NaN where there is none yet.

        References
        ----------
        Kaplan, Meier. "Nonparametric estimation from incomplete observations" (1958).
        """
        has_come = ~np.isnan(delay)
        shown = np.sort(np.where(has_come, delay, age))
        times, events = np.unique(delay[has_come], return_counts=True)
        at_risk = len(shown) - np.searchsorted(shown, times, side="left")
        left = np.cumprod(1.0 - events / at_risk, dtype=np.float64)
        return cls(times, np.asarray(1.0 - left, dtype=np.float64))

    @property
    def ever(self) -> float:
        """The share of the labels that come at all, as far as it can be seen."""
        return float(self.come[-1]) if len(self.come) else 0.0

    def by(self, age: Floats) -> Floats:
        """Return Pr(the label has come) for tasks of these ages, (n_tasks,)."""
        place = np.searchsorted(self.times, age, side="right")
        return np.concatenate(([0.0], self.come))[place]


@dataclass(frozen=True, slots=True)
class Maturity:
    """Which share of the tasks of an age has its label by now.

    Attributes
    ----------
    ages : ndarray of shape (n_tasks,), s
        Rising.
    come : ndarray of shape (n_tasks,), float in [0, 1]
        Share labelled at each age; it never falls.
    """

    ages: Floats
    come: Floats

    @classmethod
    def seen(cls, age: Floats, labelled: NDArray[np.bool_]) -> Self:
        """Return the curve that tasks show which were all to be labelled (isotonic).

        Of the delays nothing is assumed: reviewers may work in sessions, and take the
        oldest first. Only that who is labelled by now depends on the age, and not on
        what the label says.

        References
        ----------
        Ayer, Brunk, Ewing, Reid, Silverman. "An empirical distribution function for
        sampling with incomplete information" (1955): the isotonic estimate.
        """
        order = np.argsort(age, kind="stable")
        if not len(order):
            return cls(np.zeros(0), np.zeros(0))
        fitted = isotonic_regression(labelled[order].astype(np.float64)).x
        return cls(age[order], np.asarray(fitted, dtype=np.float64))

    @property
    def ever(self) -> float:
        """The share labelled at the highest age that was seen."""
        return float(self.come[-1]) if len(self.come) else 0.0

    def by(self, age: Floats) -> Floats:
        """Return Pr(labelled by now) for tasks of these ages, (n_tasks,).

        Below the lowest age that was seen it is what it was there.
        """
        if not len(self.ages):
            return np.zeros(len(age))
        place = np.searchsorted(self.ages, age, side="right")
        return self.come[np.maximum(place - 1, 0)]
