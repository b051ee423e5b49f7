"""The logistic twin: what the booster learns, learned by a weighted sum."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from features.signals import SIGNALS
from training.bundle.scorer import Floats, Twin, logarithmic, standardised
from training.dataset import Snapshots

# Pull of each weight to nothing, in tasks per squared standard deviation.
_RIDGE = 20.0
_MOST_STEPS = 40  # more of them change no figure
_ROWS_OF_TASK = 5
_SURELY = 1e-9


def fit(data: Snapshots) -> Twin:
    """Return the twin for `data`: no signal counts the wrong way round.

    A ridge-penalised logistic regression, whose weights have the sign that the
    signal's direction asks for.
    """
    data = data.thinned(_ROWS_OF_TASK)
    centre, scale = _spread(data.x)
    unknown = np.isnan(data.x).astype(np.float64)
    design = np.concatenate(
        [
            standardised(data.x, centre, scale),
            unknown - unknown.mean(axis=0),
            np.ones((len(data), 1)),
        ],
        axis=1,
    )
    # Signals that never change say nothing, and cost as much as the others.
    used = np.ptp(design, axis=0) > _SURELY
    used[-1] = True
    weights = np.zeros(design.shape[1])
    weights[used] = _weights(design[:, used], data, _bounds(used))
    n = len(SIGNALS)
    of_value, of_unknown, intercept = weights[:n], weights[n:-1], weights[-1]
    return Twin(
        centre=tuple(centre.tolist()),
        scale=tuple(scale.tolist()),
        weight=tuple(of_value.tolist()),
        if_unknown=tuple(of_unknown.tolist()),
        intercept=float(intercept - of_unknown @ unknown.mean(axis=0)),
    )


def without(twin: Twin, signals: tuple[int, ...]) -> Twin:
    """Return the twin that reads nothing of some signals, given by place."""
    weight, if_unknown = list(twin.weight), list(twin.if_unknown)
    for place in signals:
        weight[place] = if_unknown[place] = 0.0
    return Twin(
        centre=twin.centre,
        scale=twin.scale,
        weight=tuple(weight),
        if_unknown=tuple(if_unknown),
        intercept=twin.intercept,
    )


def _spread(x: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each known signal, (0, 1) elsewhere."""
    values = logarithmic(x)
    known = ~np.isnan(values)
    n = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, values, 0.0)
    centre = filled.sum(axis=0) / n
    square = np.where(known, (values - centre) ** 2, 0.0).sum(axis=0) / n
    scale = np.sqrt(square)
    return centre, np.where(scale > _SURELY, scale, 1.0)


def _bounds(used: np.ndarray) -> list[tuple[float | None, float | None]]:
    by_direction = {1: (0.0, None), -1: (None, 0.0), 0: (None, None)}
    free = (None, None)
    every = [by_direction[signal.direction] for signal in SIGNALS]
    every += [free] * (len(used) - len(every))
    return [bound for bound, is_used in zip(every, used, strict=True) if is_used]


def _weights(
    design: Floats, data: Snapshots, bounds: list[tuple[float | None, float | None]]
) -> Floats:
    total = data.weight * (data.n_tasks / data.weight.sum())
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[-1] = 0.0

    def loss(beta: Floats) -> tuple[float, Floats]:
        z = design @ beta
        each = np.logaddexp(0.0, z) - data.y * z
        slope = total * (expit(z) - data.y)
        value = float(total @ each + 0.5 * ridge @ beta**2)
        return value, slope @ design + ridge * beta

    start = np.zeros(design.shape[1])
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _MOST_STEPS},
    )
    return np.asarray(found.x)
