"""Paths: the detectors of `training.monitor.detectors` over many replicates at once.

For simulations: one row per replicate, one column per task. Tests hold each equal to
the state that advances task by task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.monitor import detectors
from training.monitor.evidence import ALARM_AT

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


def mixture_paths(x: Floats, least: float) -> Floats:
    """Return the total of a `Mixture` after each task, shape of `x`.

    It goes on past an alarm, where the state would stand still.

    Parameters
    ----------
    x : ndarray of shape (n_rows, n_tasks)
        As `Mixture.advance` takes it.
    least : float
        Of the detector.
    """
    total = np.zeros_like(x)
    for bet in detectors.SHARES:
        grown = np.log1p(-bet * x / least).cumsum(axis=1)
        before = np.concatenate([np.zeros((len(x), 1)), grown[:, :-1]], axis=1)
        total += np.exp(grown + np.logaddexp.accumulate(-before, axis=1))
    return total / len(detectors.SHARES)


def miss_alarms(
    x: Floats, propensity: Floats, alpha: float, alarm_at: float = ALARM_AT
) -> Floats:
    """Return how many tasks a `MissDetector` took to its alarm, shape (n_rows,).

    Infinity where none came. Tasks with an x of 0 only add 1 to the evidence, so whole
    stretches of them are taken at once.

    Parameters
    ----------
    x, propensity : ndarray of shape (n_rows, n_tasks)
        As `MissDetector.advance` takes them.
    alpha, alarm_at : float
        Of the detector.
    """
    n = x.shape[1]
    events = _Events.of(x, propensity)
    bets, jumps = _plans(propensity, alpha)
    rows = _Rows.begin(len(x), alpha, alarm_at)
    for event in range(events.places.shape[1]):
        place = events.places[:, event]
        rows.wait(np.minimum(place, n))
        plan = events.plans[:, event]
        by_row = np.arange(len(x))
        rows.bet(place, events.x[:, event], bets[by_row, plan], jumps[by_row, plan])
    rows.wait(np.full(len(x), n))
    return rows.alarm


@dataclass(frozen=True, slots=True)
class _Events:
    """The tasks whose x is not 0, one row per replicate, padded at its end.

    Attributes
    ----------
    places : ndarray of shape (n_rows, n_events)
        Which task it is; the number of tasks where there is no more.
    x : ndarray of shape (n_rows, n_events)
    plans : ndarray of shape (n_rows, n_events)
        Which plan of the bets was in force.
    """

    places: Places
    x: Floats
    plans: Places

    @classmethod
    def of(cls, x: Floats, propensity: Floats) -> Self:
        row, task = np.nonzero(x)
        count = np.bincount(row, minlength=len(x))
        nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        shape = (len(x), int(count.max(initial=0)))
        places = np.full(shape, x.shape[1], dtype=np.int64)
        values, plans = np.zeros(shape), np.zeros(shape, dtype=np.int64)
        places[row, nth] = task
        values[row, nth] = x[row, task]
        seen = ~np.isnan(propensity)
        passed = seen.cumsum(axis=1) - seen
        plans[row, nth] = _plan_of(passed[row, task])
        return cls(places, values, plans)


def _plan_of(passed: Places) -> Places:
    """Return which plan is in force after so many tasks nobody was called to."""
    power = np.log2(np.maximum(passed, 1) / detectors.FEWEST_PASSED)
    plan: Places = np.maximum(np.floor(power) + 1, 0).astype(np.int64)
    return plan


def _plans(propensity: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Return bet and jump of each row and plan, shape (n_rows, n_plans)."""
    seen = ~np.isnan(propensity)
    passed = seen.cumsum(axis=1)
    chance = np.where(seen, propensity, 0.0).cumsum(axis=1)
    first = detectors.plan(alpha, detectors.EXPECTED_RATE)
    made = [[first] for _ in propensity]
    for row, plans in enumerate(made):
        due = detectors.FEWEST_PASSED
        while due <= passed[row, -1]:
            place = int(np.searchsorted(passed[row], due))
            rate = float(chance[row, place]) / due
            plans.append(detectors.plan(alpha, rate) if rate > 0 else plans[-1])
            due *= 2
    most = max(len(plans) for plans in made)
    full = np.array([plans + plans[-1:] * (most - len(plans)) for plans in made])
    return full[..., 0], full[..., 1]


@dataclass(slots=True, kw_only=True)
class _Rows:
    """The fields of `MissDetector` as arrays, one entry per replicate."""

    alpha: float
    alarm_at: float
    total: Floats
    reported: Floats
    drawn: Floats
    seen: Floats
    alarm: Floats

    @classmethod
    def begin(cls, n: int, alpha: float, alarm_at: float) -> Self:
        return cls(
            alpha=alpha,
            alarm_at=alarm_at,
            total=np.zeros(n),
            reported=np.zeros(n),
            drawn=np.zeros(n),
            seen=np.zeros(n),
            alarm=np.full(n, np.inf),
        )

    def wait(self, until: Places) -> None:
        """Take the tasks before `until`, all of which have an x of 0."""
        short = np.maximum(np.ceil(self.alarm_at - self.total), 0)
        self._note(self.seen + short <= until, self.seen + short)
        self.total += until - self.seen
        self.seen = until.astype(np.float64)

    def bet(self, place: Places, x: Floats, base: Floats, jump: Floats) -> None:
        """Take the task at `place`, where a row has one."""
        live = (place == self.seen) & (x != 0)
        grown = (self.total + 1) * (1 + self._next_bet(base, jump) * x)
        self.total = np.where(live, grown, self.total)
        self.seen += live
        self._note(live & (self.total >= self.alarm_at), self.seen)
        self.reported += live & (x > 0) & (x <= 1 - self.alpha)
        self.drawn += live & (x > 1 - self.alpha)

    def _note(self, found: NDArray[np.bool_], when: Floats) -> None:
        self.alarm = np.where(found & np.isinf(self.alarm), when, self.alarm)

    def _next_bet(self, base: Floats, jump: Floats) -> Floats:
        missing = self.alarm_at / (self.total + 1) - 1
        by_report = missing / (1 - self.alpha)
        bold = detectors.BOLDEST_DRAW / self.alpha
        by_draw = np.minimum(missing / jump * detectors.ENOUGH, bold)
        most = detectors.BOLDEST_REPORT / self.alpha
        told = (self.reported > self.drawn) & (by_report <= most)
        aimed = np.where(told, by_report * detectors.ENOUGH, by_draw)
        is_far = (self.total <= detectors.NEAR * self.alarm_at) | (missing <= 0)
        return np.where(is_far, base, aimed)
