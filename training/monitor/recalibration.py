"""Recalibration: what the model's own risk says of tasks that nobody spoke about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from training.monitor.estimate import Floats

Mask = NDArray[np.bool_]

_FOLDS = 5
_SEED = 0
# Log-odds beyond these say no more, and a risk of 0 would say it for ever.
_LEAST = 1e-4
# The model's risk is taken at its word (slope 1, shift 0) by as much as so many tasks.
_PRIOR = 2.0
_STEPS = 25
_LONGEST_STEP = 1.0
_CLOSE = 1e-6


def log_odds(risk: Floats) -> Floats:
    """Return the log-odds of each risk; of the mean risk where there is none."""
    known = ~np.isnan(risk)
    mean = float(risk[known].mean()) if known.any() else 0.5
    filled = np.where(known, risk, mean)
    return np.asarray(logit(np.clip(filled, _LEAST, 1 - _LEAST)))


def silent_need(
    z: Floats,
    y: Floats,
    weight: Floats,
    *,
    audited: Mask,
    complained: Mask,
    cluster: NDArray[np.int64],
) -> Floats:
    """Return Pr(needed | risk, nobody complained) of each task, cross-fitted.

    The risk is recalibrated on audits and complaints of other customers, so that what
    is said of a task does not depend on its own label. Of needed tasks a share g
    complains: among the silent a risk p is p(1 - g) / (1 - pg).

    Parameters
    ----------
    z : ndarray of shape (n_tasks,)
        Log-odds of the model's risk.
    y, weight : ndarray of shape (n_tasks,)
        Label, and 1 / propensity; 0 where there is none.
    audited, complained : ndarray of shape (n_tasks,), bool
        How a task that was not handed over came to be labelled.
    cluster : ndarray of shape (n_tasks,), int
        The customer.
    """
    shuffled = np.random.default_rng(_SEED).permutation(cluster.max() + 1)
    fold = (shuffled % _FOLDS)[cluster]
    expected = np.zeros(len(y))
    for i in range(_FOLDS):
        here, rest = fold == i, fold != i
        rows = (audited | complained) & rest
        p = _recalibrated(z[rows], y[rows], weight[rows])(z[here])
        needed = weight * y * rest
        told, silent = needed[complained].sum(), needed[audited].sum()
        g = told / max(told + silent, 1.0)
        expected[here] = p * (1 - g) / (1 - p * g)
    return expected


def _recalibrated(z: Floats, y: Floats, weight: Floats) -> Callable[[Floats], Floats]:
    """Return a map of log-odds to risk: weighted logistic regression with a prior."""
    prior = np.array([0.0, 1.0])
    if not len(z):
        return lambda at: np.asarray(expit(at))
    x = np.stack([np.ones_like(z), z], axis=1)
    scaled = weight / weight.mean()
    theta = prior
    for _ in range(_STEPS):
        p = expit(x @ theta)
        pull = x.T @ (scaled * (y - p)) - _PRIOR * (theta - prior)
        curve = (x.T * (scaled * p * (1 - p))) @ x + _PRIOR * np.eye(2)
        step = np.linalg.solve(curve, pull)
        theta = theta + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        if np.abs(step).max() < _CLOSE:
            break
    shift, slope = theta
    return lambda at: np.asarray(expit(shift + slope * at))
