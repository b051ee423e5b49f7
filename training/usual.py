"""Usual: what tasks were like in training, for the monitors to hold later ones to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.signals import NAMES
from training.dataset import Floats, Mask, Snapshots
from training.monitor.reference import Rates, Reference, reference_of, stops

_CONFIDENCE = NAMES.index("confidence_last")
_TRANSFERS = tuple(NAMES.index(n) for n in ("transfer_promises", "transfer_calls"))


def reference_for(
    data: Snapshots, risk: Floats, threshold: float | None, fired: Mask
) -> Reference:
    """Return the bundle's reference, made from tasks the model has not learned from.

    Each task is taken where it would have been handed over, by the model or by a rule,
    or at its end: there a task ends in production too.

    Parameters
    ----------
    data : Snapshots
        With labels; tasks set aside for the certificate are the right ones.
    risk : ndarray of shape (n_rows,)
        Calibrated, at each of its rows.
    threshold : float or None
        Of the certificate of all tasks; None: it was refused.
    fired : ndarray of shape (n_rows,), bool
        Where some hard rule of the policy fires.
    """
    reached = np.where(fired, np.inf, risk)
    rows = stops(data.task_ids, reached, np.inf if threshold is None else threshold)
    highest = np.array(
        [risk[a : b + 1].max() for a, b in zip(data.starts, rows, strict=True)]
    )
    x, needed = data.x[rows], data.y[rows]
    over = reached[rows] >= (np.inf if threshold is None else threshold)
    return reference_of(
        x,
        NAMES,
        risk=highest,
        needed=needed,
        categories={
            "domain": data.domain[rows],
            "agent_version": data.agent_version[rows],
            "tier": data.tier[rows],
        },
        rates=_rates(x, needed, over),
    )


def _rates(x: Floats, needed: Floats, escalated: NDArray[np.bool_]) -> Rates:
    confidence = x[:, _CONFIDENCE]
    told = ~np.isnan(confidence)
    gap = float((confidence - (1 - needed))[told].mean()) if told.any() else 0.0
    return Rates(
        tasks=len(x),
        escalated=int(escalated.sum()),
        transferred=int((np.nan_to_num(x[:, _TRANSFERS]).sum(axis=1) > 0).sum()),
        labelled=int(told.sum()),
        gap=gap,
    )
