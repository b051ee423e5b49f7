"""How honest risks are: calibration measures in plain NumPy.

As in `training.evaluate.metrics`, each takes one weight vector or a stack of them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training.evaluate.metrics import Floats, Indices, ratio

# Cells of [0, 1] on which residuals are smoothed; finer than any bandwidth that is
# searched (`_NARROWEST`).
_CELLS = 1024
_NARROWEST = 2e-3


def equal_mass_bins(risk: Floats, weight: Floats, n_bins: int) -> Indices:
    """Return for each row the number of its bin; bins hold about equal weight.

    Parameters
    ----------
    risk, weight : ndarray of shape (n_rows,)
        Equal risks always share a bin, so there may be fewer bins than asked for.
    n_bins : int
        Largest number of bins.

    Returns
    -------
    ndarray of shape (n_rows,), int in [0, n_used)
        Increasing with the risk, without gaps.
    """
    _, group = np.unique(risk, return_inverse=True)
    mass = np.bincount(group, weight)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    _, used = np.unique((middle * n_bins).astype(int), return_inverse=True)
    return np.asarray(used[group], dtype=np.intp)


def ece_debiased(
    y: Floats,
    risk: Floats,
    weight: Floats,
    *,
    cluster: Indices | None = None,
    bins: Indices | None = None,
) -> Floats:
    """Return the root of the debiased squared calibration error.

    Per bin the squared gap between mean outcome and mean risk is reduced by the
    variance of the mean outcome, which is what a perfectly calibrated risk shows by
    chance. With equal weights and no clusters that variance is Kumar's
    ``ybar (1 - ybar) / (n - 1)``; with clusters it is the sum of squared cluster
    totals, because the steps of one task share one outcome.

    In a bootstrap replicate a cluster drawn twice stays one cluster: its variance
    counts fourfold. That is on purpose. A replicate carries the noise of the sample
    and that of the draw, and so both are taken out.

    Parameters
    ----------
    y, risk, weight
        As in `auroc`.
    cluster : ndarray of shape (n_rows,), int, optional
        Rows with an equal number are dependent. Default: every row stands alone.
    bins : ndarray of shape (n_rows,), int, optional
        From `equal_mass_bins`. Default: 15 bins of equal mass.

    Returns
    -------
    ndarray of shape (...), float in [0, 1]
        ``sqrt(max(0, .))``: zero means no error could be told from chance.

    References
    ----------
    Kumar, Liang, Ma. "Verified uncertainty calibration" (2019), section 5, debiased
    estimator. Cluster variance: Liang, Zeger (1986).
    """
    if bins is None:
        mass = weight.reshape(-1, len(risk)).mean(0)
        bins = equal_mass_bins(risk, mass, n_bins=15)
    if cluster is None:
        cluster = np.arange(len(risk))
    order = np.lexsort((cluster, bins))
    cells, cell_starts = _starts(bins[order], cluster[order])
    _, bin_starts = _starts(cells[0], cells[0])
    w = weight[..., order]
    total, needed, expected = (
        np.add.reduceat(w * v[order], cell_starts, axis=-1)
        for v in (np.ones_like(risk), y, risk)
    )
    error = _squared_errors(total, needed, expected, bin_starts)
    return np.asarray(np.sqrt(np.maximum(error, 0.0)))


def _starts(major: Indices, minor: Indices) -> tuple[tuple[Indices, Indices], Indices]:
    """Return the distinct pairs of two sorted arrays and where each begins."""
    change = (major[1:] != major[:-1]) | (minor[1:] != minor[:-1])
    starts = np.flatnonzero(np.append(True, change))
    return (major[starts], minor[starts]), starts


def _squared_errors(
    total: Floats, needed: Floats, expected: Floats, bin_starts: Indices
) -> Floats:
    """Sum over bins: share x (squared gap - variance of the mean outcome)."""

    def per_bin(cells: Floats) -> Floats:
        return np.add.reduceat(cells, bin_starts, axis=-1)

    mass = per_bin(total)
    mean = np.nan_to_num(ratio(per_bin(needed), mass))
    gap = mean - np.nan_to_num(ratio(per_bin(expected), mass))
    n_cells = np.diff(np.append(bin_starts, total.shape[-1]))
    deviation = needed - np.repeat(mean, n_cells, axis=-1) * total
    n_clusters = per_bin((total > 0).astype(np.float64))
    variance = np.nan_to_num(ratio(per_bin(deviation**2), mass**2))
    variance *= n_clusters / np.maximum(n_clusters - 1, 1)
    return ratio((mass * (gap**2 - variance)).sum(-1), mass.sum(-1))


def smece(y: Floats, risk: Floats, weight: Floats) -> Floats:
    """Return the smooth calibration error, at the bandwidth it chooses itself.

    Residuals are smoothed by a Gaussian reflected at 0 and 1; the error is the
    integral of their absolute value, at the bandwidth that equals the error. No bins,
    hence no edges to be lucky with. Reflection makes the smoothing a product of
    cosine coefficients, so all replicates are done by one FFT.

    Parameters as in `auroc`.

    Returns
    -------
    ndarray of shape (...), float in [0, 1]
        Not debiased: a perfect risk shows a small positive error.

    References
    ----------
    Blasiok, Nakkiran. "Smooth ECE: principled reliability diagrams via kernel
    smoothing" (2024), definition 3 and section 4.
    """
    stack = weight.reshape(-1, len(risk))
    residual = (risk - y) * ratio(stack, stack.sum(-1, keepdims=True))
    mass = _on_cells(risk, residual)
    waves = np.fft.rfft(np.concatenate([mass, mass[:, ::-1]], axis=1))
    low, high = np.full(len(stack), _NARROWEST), np.ones(len(stack))
    for _ in range(12):
        middle = (low + high) / 2
        wide = _smoothed(waves, middle) <= middle
        high, low = np.where(wide, middle, high), np.where(wide, low, middle)
    return _smoothed(waves, high).reshape(weight.shape[:-1])


def _on_cells(risk: Floats, residual: Floats) -> Floats:
    """Return residuals (n_stack, n_rows) as sums per cell, split between neighbours."""
    place = np.clip(risk * _CELLS - 0.5, 0, _CELLS - 1)
    left = np.minimum(place.astype(int), _CELLS - 2)
    share = place - left
    cells = np.empty((len(residual), _CELLS))
    for row, values in zip(cells, residual, strict=True):
        right_part = share * values
        row[:] = np.bincount(left, values - right_part, _CELLS)
        row[1:] += np.bincount(left, right_part, _CELLS)[:-1]
    return cells


def _smoothed(waves: NDArray[np.complex128], bandwidth: Floats) -> Floats:
    """Return the integral of the absolute smoothed residual at each bandwidth."""
    frequency = np.pi * np.arange(waves.shape[-1])
    kernel = np.exp(-0.5 * (bandwidth[:, None] * frequency) ** 2)
    curve = np.fft.irfft(waves * kernel, n=2 * _CELLS)[:, :_CELLS]
    return np.asarray(np.abs(curve).sum(-1))


def calibration_line(y: Floats, risk: Floats, weight: Floats) -> Floats:
    """Return intercept and slope of outcome on the log-odds of the risk.

    Perfect is (0, 1). A slope below 1 says the risks are too extreme; a positive
    intercept says they are too low. A stack is fitted at its mean weight and each
    member gets one Newton step from there, which is as exact as its noise deserves.

    Parameters as in `auroc`.

    Returns
    -------
    ndarray of shape (..., 2)
        NaN where no line can be fitted: one class, a constant risk, or classes that
        the risk separates completely.

    References
    ----------
    Cox. "Two further applications of a model for binary regression" (1958).
    One step: Davidson, MacKinnon. "Bootstrap testing in nonlinear models" (1999).
    """
    p = np.clip(risk, 1e-9, 1 - 1e-9)
    z = np.log(p / (1 - p))
    design = np.stack([np.ones_like(z), z])
    mean = weight.reshape(-1, len(z)).mean(0)
    line = np.zeros(2)
    for _ in range(30):
        step = _newton(y, design, mean, line)
        line = line + step
        if not np.abs(step).max() > 1e-10:  # noqa: PLR2004 - also ends on NaN
            break
    else:
        line = np.full(2, np.nan)
    return line + _newton(y, design, weight, line)


def _newton(y: Floats, design: Floats, weight: Floats, line: Floats) -> Floats:
    """Return the Newton step of a weighted logistic regression, shape (..., 2)."""
    p = 0.5 * (1 + np.tanh(0.5 * (line @ design)))
    slope = (y - p) * design
    a, b, c = (
        weight @ (p * (1 - p) * v) for v in (design[0], design[1], design[1] ** 2)
    )
    g, h = weight @ slope[0], weight @ slope[1]
    area = a * c - b * b
    # Singular up to rounding means that the data do not determine a line.
    area = np.where(area > 1e-12 * a * c, area, np.nan)
    return np.stack([c * g - b * h, a * h - b * g], axis=-1) / area[..., None]


def spiegelhalter_z(y: Floats, risk: Floats, weight: Floats) -> tuple[float, float]:
    """Return Spiegelhalter's Z and its two-sided p-value, for independent rows.

    Parameters
    ----------
    y, risk, weight : ndarray of shape (n_rows,)
        One row per task: steps of one task share an outcome and would inflate Z.

    Returns
    -------
    z : float
        Standard normal if the risks are the true probabilities. NaN if every risk
        is 0, 1/2 or 1.
    p_value : float in [0, 1]

    References
    ----------
    Spiegelhalter. "Probabilistic prediction in patient management and clinical
    trials" (1986), Statistics in Medicine 5.
    """
    lean = weight * (1 - 2 * risk)
    variance = float((lean**2 * risk * (1 - risk)).sum())
    if variance <= 0:
        return math.nan, math.nan
    z = float((lean * (y - risk)).sum()) / math.sqrt(variance)
    return z, math.erfc(abs(z) / math.sqrt(2))
