"""Miss rate: what share of the tasks that needed a human did not get one.

Whoever was handed over is known. Of the others few have a label: those drawn for an
audit, with a known propensity, and those who complained. The share among all of these
is far from the truth; weighed by how they came to be labelled, it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.monitor.estimate import (
    LEVEL,
    Estimate,
    Floats,
    clustered_error,
    exact,
    on_log_odds,
)
from training.monitor.maturity import Maturity
from training.monitor.outcome import Outcomes
from training.monitor.recalibration import log_odds, silent_need

Mask = NDArray[np.bool_]

# So much of the labels that ever come must have come at a task's age.
_LEAST_MATURED = 0.2
# With fewer audited misses a normal interval promises too much.
_FEW = 10


class Method(StrEnum):
    """How the silent misses are estimated."""

    LABELLED = "labelled only"
    IPW = "IPW"
    IPW_COMPLAINTS = "IPW + complaints"
    AIPW = "AIPW + complaints"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tasks:
    """Tasks by how they come to be labelled; every array (n_tasks,).

    Attributes
    ----------
    escalated, known, silent : ndarray of bool
        Handed over; labelled by a complaint; neither.
    weight : ndarray of float
        1 / Pr(labelled by now), 0 where there is no label.
    y : ndarray of float
        1 needed, 0 not or not known.
    z : ndarray of float
        Log-odds of the risk; of the mean where there is none.
    cluster : ndarray of int
        The customer.
    """

    escalated: Mask
    known: Mask
    silent: Mask
    weight: Floats
    y: Floats
    z: Floats
    cluster: NDArray[np.int64]

    @classmethod
    def of(cls, outcomes: Outcomes, now: float | None, *, leave: bool) -> Self:
        """Return the tasks; those with a complaint `leave` the audit frame, or stay."""
        escalated = outcomes.escalated
        known = outcomes.complained & ~escalated & outcomes.labelled & leave
        q = 1 - (1 - outcomes.q_uniform) * (1 - outcomes.q_targeted)
        drawn = (outcomes.uniform | outcomes.targeted) & (q > 0)
        silent = ~escalated & ~known
        chance = np.where(silent, np.where(drawn, q, np.nan), 1.0)
        for part in (escalated, silent & drawn):
            chance[part] *= _matured(outcomes, part, now)
        has = outcomes.labelled & (chance > 0)
        return cls(
            escalated=escalated,
            known=known,
            silent=silent,
            weight=np.divide(1.0, chance, out=np.zeros(len(q)), where=has),
            y=np.where(outcomes.labelled, outcomes.needed, 0.0),
            z=log_odds(outcomes.risk),
            cluster=np.unique(outcomes.group, return_inverse=True)[1],
        )

    @property
    def audited(self) -> Mask:
        """Whether a silent task was drawn and has been judged."""
        return self.silent & (self.weight > 0)


def _matured(outcomes: Outcomes, part: Mask, now: float | None) -> Floats:
    """Return Pr(labelled by now) of a part of the tasks, by their age.

    Without a time every label is taken to have come: what has none never gets one.
    """
    has = outcomes.labelled[part]
    if now is None:
        return np.full(len(has), has.mean() if len(has) else 1.0)
    age = now - outcomes.at[part]
    return Maturity.seen(age, has).by(age)


def _old_enough(outcomes: Outcomes, now: float) -> Mask:
    """Return which tasks have been waited for: others would weigh beyond measure."""
    silent = ~outcomes.escalated & ~outcomes.complained
    drawn = silent & (outcomes.uniform | outcomes.targeted)
    age = now - outcomes.at
    old = np.ones(len(outcomes), dtype=np.bool_)
    for part in (outcomes.escalated, drawn):
        curve = Maturity.seen(age[part], outcomes.labelled[part])
        old &= curve.by(age) >= _LEAST_MATURED * curve.ever
    return old


# --- misses and catches, task by task ------------------------------------------


def _hajek(part: Mask, weight: Floats, y: Floats) -> Floats:
    """Return what each task of `part` adds to the estimated count of needed ones.

    Weights are scaled to sum to the number of tasks there are, which is known; the
    values are so written that their spread is the estimate's.
    """
    n, total = part.sum(), (weight * part).sum()
    if not total:
        return np.zeros(len(y))
    scaled = weight * part * (n / total)
    mean = (scaled * y).sum() / n
    return np.asarray(part * (mean + scaled * (y - mean)))


def _missed(tasks: _Tasks, method: Method) -> Floats:
    """Return what each task adds to the estimated count of misses."""
    if method is Method.LABELLED:
        return np.where(tasks.escalated, 0.0, tasks.y * (tasks.weight > 0))
    if method is not Method.AIPW:
        return tasks.y * tasks.known + _hajek(tasks.silent, tasks.weight, tasks.y)
    expected = silent_need(
        tasks.z,
        tasks.y,
        tasks.weight,
        audited=tasks.audited,
        complained=tasks.known,
        cluster=tasks.cluster,
    )
    corrected = expected + tasks.weight * (tasks.y - expected)
    return np.where(tasks.silent, corrected, tasks.y * tasks.known)


# --- the estimate ----------------------------------------------------------------


def miss_rate(
    outcomes: Outcomes,
    *,
    method: Method = Method.AIPW,
    now: float | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Return the miss rate with its interval; `n` is the number of labels used.

    Parameters
    ----------
    outcomes : Outcomes
        Tasks of some window, with the propensities that were logged.
    method : Method
        IPW weighs audits by 1 / propensity (Hajek). With complaints, those known by
        one leave the audit frame and count for themselves. AIPW also uses the model's
        risk for the rest, and stays unbiased where that is wrong.
    now : float, optional
        s since 1970. With it, labels that have not come yet are allowed for by the
        share labelled at each age, and tasks so young that it is below a fifth of its
        height are left out; without, a task without a label never gets one.
    level : float
        Of the interval: influence functions of the ratio, by customer, on log-odds;
        with fewer than ten audited misses an exact one for the effective counts.

    References
    ----------
    Robins, Rotnitzky, Zhao. "Estimation of regression coefficients when some
    regressors are not always observed" (1994): AIPW. Korn, Graubard (1998).
    """
    if now is not None:
        outcomes = outcomes.where(_old_enough(outcomes, now))
    if lacking := _lacking(outcomes):
        return Estimate.unknown(lacking, n=int(outcomes.labelled.sum()))
    complaints_leave = method in (Method.IPW_COMPLAINTS, Method.AIPW)
    tasks = _Tasks.of(outcomes, now, leave=complaints_leave)
    missed = _missed(tasks, method)
    needed = missed + _hajek(tasks.escalated, tasks.weight, tasks.y)
    n = int((tasks.weight > 0).sum())
    if needed.sum() <= 0:
        return Estimate.unknown("at least one task known to have needed a human", n=n)
    value = float(np.clip(missed.sum() / needed.sum(), 0.0, 1.0))
    low, high = _interval(tasks, missed, needed, value, level)
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=n,
        method=f"{method}, by customer",
        missing=_left_out(outcomes),
    )


def _left_out(outcomes: Outcomes) -> str:
    """Return which tasks no draw could have shown; "" if there are none."""
    silent = ~outcomes.escalated & ~outcomes.complained
    never = int((silent & (outcomes.q_uniform + outcomes.q_targeted <= 0)).sum())
    if not never:
        return ""
    return (
        f"{never} of {int(silent.sum())} silent tasks could not be drawn; they are "
        "taken to be like the others"
    )


def _lacking(outcomes: Outcomes) -> str:
    """Return what it would take to say anything; "" if nothing is lacking."""
    if not len(outcomes):
        return "tasks that were decided on"
    silent = ~outcomes.escalated & ~outcomes.complained
    drawn = silent & (outcomes.uniform | outcomes.targeted)
    if silent.any() and not (drawn & outcomes.labelled).any():
        n = int(drawn.sum())
        return f"reviewers' verdicts on audited tasks: none of {n} drawn has one"
    if outcomes.escalated.any() and not outcomes.labelled[outcomes.escalated].any():
        n = int(outcomes.escalated.sum())
        return f"verdicts on handed-over tasks: none of {n} has one"
    return ""


def _interval(
    tasks: _Tasks, missed: Floats, needed: Floats, value: float, level: float
) -> tuple[float, float]:
    audited = tasks.audited
    if (tasks.y[audited] > 0).sum() < _FEW:
        low, high = _few(tasks, missed, needed, level)
        return min(low, value), max(high, value)
    influence = (missed - value * needed) / needed.sum()
    return on_log_odds(value, clustered_error(influence, tasks.cluster), level=level)


def _few(
    tasks: _Tasks, missed: Floats, needed: Floats, level: float
) -> tuple[float, float]:
    """Return an interval from the exact one of the share among the silent tasks."""
    weight = tasks.weight[tasks.audited]
    n_silent, certain = tasks.silent.sum(), missed[tasks.known].sum()
    caught = needed[tasks.escalated].sum()
    if not len(weight):
        rate = float(certain / max(certain + caught, 1.0))
        return rate, rate
    found = (weight * tasks.y[tasks.audited]).sum() / weight.sum()
    worth = weight.sum() ** 2 / np.square(weight).sum()
    shares = exact(found * worth, worth, level=level)
    low, high = (certain + n_silent * one for one in shares)
    return float(low / max(low + caught, 1e-9)), float(high / (high + caught))


def upper_bound(
    outcomes: Outcomes, *, delta: float = 0.05, now: float | None = None
) -> Estimate:
    """Return a bound that the miss rate of these tasks exceeds with probability delta.

    From the uniform stream alone, exact at every number of audits: of n drawn and
    judged silent tasks x were missed, so of all silent ones at most the Clopper-Pearson
    share was. A drawn task that has no label yet counts as missed; with `now`, tasks as
    young as `miss_rate` leaves out are left out.
    """
    if now is not None:
        outcomes = outcomes.where(_old_enough(outcomes, now))
    silent = ~outcomes.escalated & ~outcomes.complained
    drawn = silent & outcomes.uniform
    n = int(drawn.sum())
    if n == 0:
        return Estimate.unknown("tasks drawn by the uniform stream")
    if len(np.unique(outcomes.q_uniform[silent])) > 1:
        return Estimate.unknown("one share of uniform audits for all tasks", n=n)
    found = int((drawn & (outcomes.needed != 0)).sum())
    _, share = exact(found, n, level=1 - 2 * delta)
    known = (outcomes.needed == 1) & ~silent & ~outcomes.escalated
    missed = known.sum() + silent.sum() * share
    caught = (outcomes.escalated & (outcomes.needed == 1)).sum()
    bound = float(missed / (missed + caught)) if missed + caught else 1.0
    return Estimate(
        value=bound, low=0.0, high=bound, n=n, method=f"exact at {1 - delta:.0%}"
    )
