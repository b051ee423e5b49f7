"""How well risks rank and how likely they made the outcomes, in plain NumPy.

Every metric takes one weight vector or a stack of them. A bootstrap replicate is only
another weight vector, so an interval costs no second implementation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# scikit-learn's clipping, so that its log-loss and ours agree to the last digit.
_SMALLEST = float(np.finfo(np.float64).eps)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return the quotient, NaN (undefined) where the denominator is not positive."""
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def base_rate(y: Floats, weight: Floats) -> Floats:
    """Return the share of rows that needed a human; shapes as in `auroc`."""
    return ratio(weight @ y, weight.sum(-1))


def _ranked(y: Floats, risk: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return needed and not-needed weight per distinct risk, highest risk first."""
    order = np.argsort(-risk, kind="stable")
    falling = risk[order]
    starts = np.flatnonzero(np.append(True, falling[1:] != falling[:-1]))
    total = weight[..., order]
    needed = total * y[order]
    if len(starts) < len(risk):
        total = np.add.reduceat(total, starts, axis=-1)
        needed = np.add.reduceat(needed, starts, axis=-1)
    return needed, total - needed


def auroc(y: Floats, risk: Floats, weight: Floats) -> Floats:
    """Return the chance that a needed row has a higher risk than one that is not.

    Ties count one half, so a constant risk has exactly 0.5.

    Parameters
    ----------
    y : ndarray of shape (n_rows,), 0 or 1
        Whether the row's task needed a human.
    risk : ndarray of shape (n_rows,), float in [0, 1]
        Any increasing transform of the risk gives the same answer.
    weight : ndarray of shape (..., n_rows), float >= 0
        One weight vector, or a stack of them (bootstrap replicates).

    Returns
    -------
    ndarray of shape (...), float in [0, 1]
        0-d for one weight vector. NaN where only one class has weight.

    References
    ----------
    Hanley, McNeil. "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve" (1982), Radiology 143.
    """
    needed, rest = _ranked(y, risk, weight)
    rest_above = np.cumsum(rest, axis=-1)
    n_rest = rest_above[..., -1].copy()
    rest_above -= 0.5 * rest
    beaten = n_rest * needed.sum(-1) - np.einsum("...g,...g->...", needed, rest_above)
    return ratio(beaten, n_rest * needed.sum(-1))


def auroc_within(y: Floats, risk: Floats, weight: Floats, *, strata: Indices) -> Floats:
    """Return AUROC over pairs of the same stratum: what base rates cannot explain.

    Parameters
    ----------
    y, risk, weight
        As in `auroc`.
    strata : ndarray of shape (n_rows,), int
        Only rows with an equal number are compared, such as those of one agent
        version in one domain. Each stratum counts by its number of pairs.

    Returns
    -------
    ndarray of shape (...), float in [0, 1]
        NaN where no stratum has both classes.
    """
    shape = weight.shape[:-1]
    won, pairs = np.zeros(shape), np.zeros(shape)
    for stratum in np.unique(strata):
        rows = strata == stratum
        w = weight[..., rows]
        possible = (w @ y[rows]) * (w @ (1 - y[rows]))
        won += np.nan_to_num(auroc(y[rows], risk[rows], w)) * possible
        pairs += possible
    return ratio(won, pairs)


def auprc(y: Floats, risk: Floats, weight: Floats) -> Floats:
    """Return average precision: precision averaged over the needed rows.

    A constant risk has the base rate. Parameters as in `auroc`.

    Returns
    -------
    ndarray of shape (...), float in [0, 1]
        NaN where no needed row has weight.

    References
    ----------
    Davis, Goadrich. "The relationship between precision-recall and ROC curves"
    (2006). No interpolation between thresholds, which would be too kind.
    """
    needed, rest = _ranked(y, risk, weight)
    found = np.cumsum(needed, axis=-1)
    rest += needed
    flagged = np.cumsum(rest, axis=-1)
    np.divide(found, flagged, out=found, where=flagged > 0)
    return ratio(np.einsum("...g,...g->...", found, needed), needed.sum(-1))


def brier(y: Floats, risk: Floats, weight: Floats) -> Floats:
    """Return the mean squared difference of risk and outcome, in [0, 1].

    Parameters as in `auroc`; the answer has shape (...).

    References
    ----------
    Brier. "Verification of forecasts expressed in terms of probability" (1950).
    """
    return ratio(weight @ (risk - y) ** 2, weight.sum(-1))


def log_loss(y: Floats, risk: Floats, weight: Floats) -> Floats:
    """Return the mean negative log-likelihood of the outcomes, in nats.

    Risks of exactly 0 and 1 are moved inward by the spacing of floats, as
    scikit-learn does: a certain forecast that is wrong costs 36 nats, not infinity.
    Parameters as in `auroc`; the answer has shape (...).
    """
    p = np.clip(risk, _SMALLEST, 1 - _SMALLEST)
    return ratio(weight @ -np.log(np.where(y > 0, p, 1 - p)), weight.sum(-1))
