"""Points of the pictures: reliability, thresholds, ROC and PR, lead time.

They are part of the report, so that a card can be drawn again from report.json alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from training.costs import Costs
from training.evaluate.decisions import Alarms, rates
from training.evaluate.intervals import Resampling, interval, share, upper_bound
from training.evaluate.metrics import Floats, Indices, ratio
from training.evaluate.reliability import equal_mass_bins

_HISTOGRAM = np.linspace(0, 1, 21)
_SHARES = np.linspace(0, 1, 11)
_MOST_POINTS = 80
_MOST_BINS = 10
_CLUSTERS_PER_BIN = 15
_LONGEST_LEAD = 30


def reliability(
    y: Floats,
    risk: Floats,
    weight: Floats,
    cluster: Indices,
    resampling: Resampling,
) -> list[dict[str, Any]]:
    """Return mean risk and share needed per bin of equal mass, with intervals.

    Parameters
    ----------
    y, risk, weight : ndarray of shape (n_rows,)
        Label, risk in [0, 1], and weight of each row.
    cluster : ndarray of shape (n_rows,), int
        What is drawn as a whole in a bootstrap.
    resampling : Resampling
        Draws of clusters.

    Returns
    -------
    list of dict
        By rising risk, with `n_clusters` behind each: up to ten points, fewer where
        one would rest on less than 15 clusters.
    """
    n_bins = len(np.unique(cluster)) // _CLUSTERS_PER_BIN
    bins = equal_mass_bins(risk, weight, n_bins=min(max(n_bins, 2), _MOST_BINS))
    member = bins[:, None] == np.arange(bins.max() + 1)
    needed, mass = member * y[:, None], member.astype(np.float64)

    def observed(w: Floats) -> Floats:
        return ratio(w @ needed, w @ mass)

    value, replicates = (
        observed(weight),
        resampling.replicate(observed, weight, cluster),
    )
    expected = ratio(weight @ (member * risk[:, None]), weight @ mass)
    points = []
    for i in range(member.shape[1]):
        n = len(np.unique(cluster[member[:, i]]))
        found = share(interval(float(value[i]), replicates[:, i], n=n), n_units=n)
        points.append(
            {"risk": float(expected[i]), "observed": found.to_json(), "n_clusters": n}
        )
    return points


def histogram(y: Floats, risk: Floats, weight: Floats) -> dict[str, list[float]]:
    """Return how much weight (in tasks) lies in each twentieth of the risk axis."""
    needed, _ = np.histogram(risk, _HISTOGRAM, weights=weight * y)
    rest, _ = np.histogram(risk, _HISTOGRAM, weights=weight * (1 - y))
    return {
        "edges": _HISTOGRAM.tolist(),
        "needed": needed.tolist(),
        "not_needed": rest.tolist(),
    }


def thresholds(
    peaks: Floats,
    alarms: Alarms,
    costs: Costs,
    resampling: Resampling,
    *,
    mark: float | None,
    delta: float,
) -> list[dict[str, Any]]:
    """Return what every threshold would do to the tasks.

    Parameters
    ----------
    peaks : ndarray of shape (n_tasks,), float in [0, 1]
        Highest risk each task reached.
    alarms : Alarms
        The same tasks; its alarms are not read.
    costs : Costs
        Prices of a review and of a miss.
    resampling : Resampling
        Draws of clusters.
    mark : float or None
        A threshold that must be among the points.
    delta : float in (0, 1)
        Doubt left in `miss_bound`, the exact upper bound of the miss rate *at that
        one threshold*. A threshold that is chosen by looking needs a certificate.

    Returns
    -------
    list of dict
        By rising threshold: from one that escalates every task to one that escalates
        none (infinite, written as null).
    """
    at = _grid(peaks, mark)
    escalated = peaks[:, None] >= at

    def statistic(weight: Floats) -> Floats:
        found = rates(weight, alarms.needed, escalated, costs)
        return np.stack([found[name] for name in _COLUMNS], axis=-1)

    value = statistic(alarms.weight)
    replicates = resampling.replicate(statistic, alarms.weight, alarms.cluster)
    w = alarms.weight * alarms.needed
    effective = w.sum() ** 2 / max((w**2).sum(), 1e-300)
    bound = upper_bound(
        np.nan_to_num(value[:, 1]) * effective, np.full(len(at), effective), delta=delta
    )
    return [
        {
            "threshold": float(t) if np.isfinite(t) else None,
            "miss_bound": float(bound[i]),
            **{
                name: interval(float(value[i, j]), replicates[:, i, j], n=0).to_json()
                for j, name in enumerate(_COLUMNS)
            },
        }
        for i, t in enumerate(at)
    ]


_COLUMNS = (
    "escalation_rate",
    "miss_rate",
    "precision",
    "false_alarm_rate",
    "cost_per_task",
)


def _grid(peaks: Floats, mark: float | None) -> Floats:
    """Return thresholds worth a point: spread over the tasks, and over the axis."""
    values = np.unique(peaks)
    if len(values) > _MOST_POINTS:
        even = np.linspace(0, 1, _MOST_POINTS // 2)
        by_task = np.quantile(peaks, even)
        by_risk = values[0] + even * (values[-1] - values[0])
        values = np.unique(np.concatenate([by_task, by_risk]))
    marks = [] if mark is None else [mark]
    return np.unique(np.concatenate([[values[0]], values, marks, [np.inf]]))


def operating_points(y: Floats, risk: Floats, weight: Floats) -> dict[str, list[float]]:
    """Return ROC and PR points over rows, at no more than 80 risks.

    Parameters
    ----------
    y, risk, weight : ndarray of shape (n_rows,)
        Label, risk in [0, 1], and weight of each row.

    Returns
    -------
    dict
        Lists of equal length by falling threshold: `recall`, `false_alarm_rate`,
        `precision`.
    """
    at = np.append(_grid(risk, None)[::-1][1:], -np.inf)
    order = np.argsort(risk)
    start = np.searchsorted(risk[order], at)
    needed = np.append(np.cumsum((weight * y)[order][::-1])[::-1], 0.0)
    rest = np.append(np.cumsum((weight * (1 - y))[order][::-1])[::-1], 0.0)
    found, false = needed[start], rest[start]
    return {
        "recall": ratio(found, needed[0]).tolist(),
        "false_alarm_rate": ratio(false, rest[0]).tolist(),
        "precision": ratio(found, found + false).tolist(),
    }


def lead(alarms: Alarms) -> dict[str, list[float]]:
    """Return how early the caught tasks were caught, in tasks per bin.

    Returns
    -------
    dict
        `steps`: tasks by steps left at the alarm, 0 to 30, the last bin holding all
        beyond. `share`: tasks by tenth of the task consumed at the alarm.
    """
    caught = alarms.escalated & (alarms.needed > 0)
    step, n_steps = alarms.step[caught], alarms.n_steps[caught]
    left = np.minimum(n_steps - step, _LONGEST_LEAD).astype(int)
    consumed = np.histogram(step / n_steps, _SHARES, weights=alarms.weight[caught])
    weight = alarms.weight[caught]
    return {
        "steps": np.bincount(left, weight, _LONGEST_LEAD + 1).tolist(),
        "share": consumed[0].tolist(),
    }
