"""What alarms do to tasks: caught or missed, how early, and at what cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from training.costs import Costs
from training.evaluate.intervals import Estimate, Resampling, interval, share
from training.evaluate.metrics import Floats, Indices, ratio
from training.evaluate.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """The first alarm of each task; every array of shape (n_tasks,).

    Attributes
    ----------
    needed : ndarray of float, 0 or 1
        Whether the task needed a human.
    step : ndarray of float
        1-based step of the first alarm; NaN if there is none.
    n_steps : ndarray of float
        Steps the task had.
    weight, cluster : ndarray
        Weight of the task, and what it is drawn with in a bootstrap.
    """

    needed: Floats
    step: Floats
    n_steps: Floats
    weight: Floats
    cluster: Indices

    @classmethod
    def of(cls, rows: Rows, alarm: NDArray[np.bool_]) -> Alarms:
        """Return the first alarm of each task.

        Parameters
        ----------
        rows : Rows
            Sorted rows.
        alarm : ndarray of shape (n_rows,), bool
            Whether the rule escalates at this row. Escalating at the first step with
            risk >= threshold is escalating where the running maximum reaches it.
        """
        steps = np.where(alarm, rows.step, np.inf)
        first = np.minimum.reduceat(steps, rows.first)
        return cls(
            needed=rows.y[rows.last],
            step=np.where(np.isfinite(first), first, np.nan),
            n_steps=rows.step[rows.last].astype(np.float64),
            weight=rows.task_weight,
            cluster=rows.cluster[rows.last],
        )

    @property
    def escalated(self) -> NDArray[np.bool_]:
        """Whether the task was escalated."""
        return np.isfinite(self.step)

    def where(self, tasks: NDArray[np.bool_]) -> Alarms:
        """Return the alarms of a slice of the tasks."""
        parts = {f.name: getattr(self, f.name)[tasks] for f in fields(self)}
        return Alarms(**parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What a rule does, each with its interval.

    Attributes
    ----------
    escalation_rate : Estimate
        Escalated / tasks.
    miss_rate : Estimate
        Missed / needed.
    precision : Estimate
        Needed / escalated.
    appropriateness : Estimate
        Verdict yes / escalated with a verdict. Every task here is labelled, so it is
        the precision; live, it rests on the tasks a reviewer judged.
    false_alarm_rate : Estimate
        Escalated / not needed.
    lead_steps_median : Estimate
        Steps from the alarm to the end of the task, over needed tasks that were
        escalated. A missed task has no lead and is counted in the miss rate.
    share_of_task_at_alarm_median : Estimate
        Step of the alarm / steps of the task, over the same tasks.
    cost_per_task : Estimate
        Expected cost per task, in the currency of `Costs`.
    """

    escalation_rate: Estimate
    miss_rate: Estimate
    precision: Estimate
    appropriateness: Estimate
    false_alarm_rate: Estimate
    lead_steps_median: Estimate
    share_of_task_at_alarm_median: Estimate
    cost_per_task: Estimate

    @classmethod
    def undefined(cls) -> Decisions:
        """Return the decisions of a rule that has no threshold: nothing is known."""
        nothing = Estimate(value=math.nan, low=math.nan, high=math.nan, n=0)
        return cls(**{f.name: nothing for f in fields(cls)})


def rates(
    weight: Floats, needed: Floats, escalated: NDArray[np.bool_], costs: Costs
) -> dict[str, Floats]:
    """Return the shares of tasks, and the cost per task, of one or many rules.

    Parameters
    ----------
    weight : ndarray of shape (..., n_tasks)
        One weight vector or a stack of them.
    needed : ndarray of shape (n_tasks,), 0 or 1
        Whether the task needed a human.
    escalated : ndarray of shape (n_tasks, n_rules), bool
        What each rule does, such as the same risk at several thresholds.
    costs : Costs
        Prices of a review and of a miss.

    Returns
    -------
    dict of ndarray of shape (..., n_rules)
        Keys as in `Decisions`; NaN where the denominator is empty.
    """
    yes = needed[:, None] > 0
    alarms = weight @ escalated.astype(np.float64)
    caught = weight @ (yes & escalated).astype(np.float64)
    missed = weight @ (yes & ~escalated).astype(np.float64)
    false = weight @ (~yes & escalated).astype(np.float64)
    total = weight.sum(-1)[..., None]
    n_needed = (weight @ needed)[..., None]
    lost = missed + (1 - costs.fixable) * caught
    return {
        "escalation_rate": ratio(alarms, total),
        "miss_rate": ratio(missed, n_needed),
        "precision": ratio(caught, alarms),
        "false_alarm_rate": ratio(false, total - n_needed),
        "cost_per_task": ratio(costs.review * alarms + costs.miss * lost, total),
    }


def weighted_median(values: Floats, weight: Floats) -> Floats:
    """Return the median of weighted values.

    Parameters
    ----------
    values : ndarray of shape (n,)
        In any order.
    weight : ndarray of shape (..., n), float >= 0
        One weight vector or a stack of them.

    Returns
    -------
    ndarray of shape (...)
        With equal weights, numpy's median. NaN where there is no weight.
    """
    if len(values) == 0:
        return np.full(weight.shape[:-1], np.nan)
    order = np.argsort(values)
    below = np.cumsum(weight[..., order], axis=-1)
    total = below[..., -1:]
    tolerance = 1e-9 * total  # sums of fractions that should be exactly one half
    low = np.argmax(below >= total / 2 - tolerance, axis=-1)
    high = np.argmax(below > total / 2 + tolerance, axis=-1)
    middle = (values[order][low] + values[order][high]) / 2
    return np.asarray(np.where(total[..., 0] > 0, middle, np.nan))


def decisions(
    alarms: Alarms,
    costs: Costs,
    resampling: Resampling,
    *,
    certain: bool = False,
) -> Decisions:
    """Return what a rule does to the tasks, with intervals.

    Parameters
    ----------
    alarms : Alarms
        First alarm of each task.
    costs : Costs
        Prices of a review and of a miss.
    resampling : Resampling
        Draws of clusters.
    certain : bool
        The rule is known to escalate always, or never: a share of 0 or 1 is then a
        fact of the rule and not an observation that needs a margin.
    """
    caught = alarms.escalated & (alarms.needed > 0)
    lead = (alarms.n_steps - alarms.step)[caught]
    consumed = (alarms.step / alarms.n_steps)[caught]

    def statistic(weight: Floats) -> Floats:
        out = rates(weight, alarms.needed, alarms.escalated[:, None], costs)
        columns = {name: column[..., 0] for name, column in out.items()}
        columns["lead_steps_median"] = weighted_median(lead, weight[..., caught])
        columns["share_of_task_at_alarm_median"] = weighted_median(
            consumed, weight[..., caught]
        )
        return np.stack([columns[name] for name in _COLUMNS], axis=-1)

    value = statistic(alarms.weight)
    replicates = resampling.replicate(statistic, alarms.weight, alarms.cluster)
    found = {}
    for i, (name, base) in enumerate(_COLUMNS.items()):
        tasks = base(alarms)
        estimate = interval(float(value[i]), replicates[:, i], n=int(tasks.sum()))
        if name in _SHARES and not certain:
            n_units = len(np.unique(alarms.cluster[tasks]))
            estimate = share(estimate, n_units=n_units)
        found[name] = estimate
    return Decisions(**found, appropriateness=found["precision"])


def _everything(alarms: Alarms) -> NDArray[np.bool_]:
    return np.ones(len(alarms.needed), dtype=bool)


def _caught(alarms: Alarms) -> NDArray[np.bool_]:
    return alarms.escalated & (alarms.needed > 0)


# Each column of the statistic, and the tasks it is a statement about.
_COLUMNS: dict[str, Callable[[Alarms], NDArray[np.bool_]]] = {
    "escalation_rate": _everything,
    "miss_rate": lambda alarms: alarms.needed > 0,
    "precision": lambda alarms: alarms.escalated,
    "false_alarm_rate": lambda alarms: alarms.needed == 0,
    "lead_steps_median": _caught,
    "share_of_task_at_alarm_median": _caught,
    "cost_per_task": _everything,
}
_SHARES = {"escalation_rate", "miss_rate", "precision", "false_alarm_rate"}
