"""From scores to probabilities: candidates, and a choice that does no harm.

All candidates are weighted logistic regressions on the score z (the raw margin):
smooth, of low capacity, and able to carry sample weights. See METHODS §2 for why
neither isotonic regression nor binning is among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from training.bundle import Calibrator
from training.dataset import splits

Floats = NDArray[np.float64]

# A task says more the longer it has run, so a score means another risk early and late.
STAGE_EDGES = (4, 10, 20, 40)
# Standard errors by which a candidate must win. With one, and four candidates, one try
# in ten at 80 tasks takes a calibrator that makes calibrated scores worse.
_CLEARLY = 1.5
_RIDGE = 2.0  # pull of each coefficient to "leave the score as it is", in tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Out-of-fold scores with their labels; arrays of shape (n_rows,).

    Attributes
    ----------
    score : ndarray of float
        Raw margin (log-odds), from a booster that has not seen the row's group.
    steps : ndarray of float
        Events so far: the stage of the task.
    y, weight : ndarray of float
        Label 0 or 1; weights that add up to the number of tasks.
    groups : ndarray of str
        Customer.
    """

    score: Floats
    steps: Floats
    y: Floats
    weight: Floats
    groups: NDArray[np.str_]

    def where(self, rows: NDArray[np.bool_]) -> Sample:
        """Return the rows for which `rows`, shape (n_rows,), is true."""
        return Sample(
            score=self.score[rows],
            steps=self.steps[rows],
            y=self.y[rows],
            weight=self.weight[rows],
            groups=self.groups[rows],
        )


Kind = Literal["raw", "temperature", "platt", "quadratic", "platt by stage"]
KINDS: tuple[Kind, ...] = ("raw", "temperature", "platt", "quadratic", "platt by stage")


def _raw() -> Calibrator:
    return Calibrator(kind="raw", edges=(), a=(1.0,), b=(0.0,), c=(0.0,))


def _design(kind: Kind, score: Floats, steps: Floats) -> Floats:
    """Return the columns whose coefficients are fitted, beyond the score itself."""
    one = np.ones_like(score)
    columns = {
        "raw": [],
        "temperature": [score],
        "platt": [score, one],
        "quadratic": [score, one, score**2],
    }
    if kind != "platt by stage":
        return np.column_stack([*columns[kind], np.empty((len(score), 0))])
    stage = np.searchsorted(STAGE_EDGES, steps, side="left")
    member = stage[:, None] == np.arange(len(STAGE_EDGES) + 1)
    return np.column_stack([score, one, member * score[:, None], member])


def _coefficients(kind: Kind, sample: Sample) -> Floats:
    """Return the ridge-penalised coefficients that correct the score, (n_columns,)."""
    # `einsum`, not BLAS: its threads wait for each other by spinning, which on a busy
    # machine makes a fit of milliseconds take seconds, and add in another order.
    design = _design(kind, sample.score, sample.steps)

    def loss(beta: Floats) -> tuple[float, Floats]:
        z = sample.score + np.einsum("ij,j->i", design, beta)
        each = np.logaddexp(0.0, z) - sample.y * z
        slope = sample.weight * (expit(z) - sample.y)
        value = float((sample.weight * each).sum() + 0.5 * _RIDGE * (beta**2).sum())
        return value, np.einsum("ij,i->j", design, slope) + _RIDGE * beta

    start = np.zeros(design.shape[1])
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


def fit(kind: Kind, sample: Sample) -> Calibrator:
    """Return the calibrator of one kind, fitted to `sample`."""
    if kind == "raw":
        return _raw()
    beta = _coefficients(kind, sample)
    a, c = 1.0 + beta[0], beta[1] if len(beta) > 1 else 0.0
    if kind == "platt by stage":
        n = len(STAGE_EDGES) + 1
        slopes, offsets = beta[2 : 2 + n], beta[2 + n :]
        return Calibrator(
            kind=kind,
            edges=STAGE_EDGES,
            a=tuple((a + slopes).tolist()),
            b=(0.0,) * n,
            c=tuple((c + offsets).tolist()),
        )
    curve = float(beta[2]) if kind == "quadratic" else 0.0
    return Calibrator(kind=kind, edges=(), a=(float(a),), b=(curve,), c=(float(c),))


def _losses(calibrator: Calibrator, sample: Sample) -> Floats:
    """Return the weighted log-loss of each row, shape (n_rows,)."""
    risk = calibrator.risks(sample.score, sample.steps).clip(1e-12, 1 - 1e-12)
    each = -np.where(sample.y > 0, np.log(risk), np.log1p(-risk))
    return np.asarray(sample.weight * each)


def _held_out(kind: Kind, sample: Sample, seed: int) -> Floats:
    losses = np.empty(len(sample.y))
    for train, test in splits(sample.groups, k=5, seed=seed):
        losses[test] = _losses(fit(kind, sample.where(train)), sample.where(test))
    return losses


def choose(sample: Sample, *, seed: int = 0) -> Calibrator:
    """Return the best calibrator, or none ("raw") unless one clearly helps.

    Each candidate is judged by its log-loss on groups it was not fitted to. The best
    is taken only if its gain over the raw score exceeds 1.5 standard errors, so that
    calibrating does no harm where there is little to calibrate with. One that turns
    the score round, so that more of it means less risk, is not taken at all.

    Parameters
    ----------
    sample : Sample
        Out-of-fold scores: scores of rows the booster has learned from are too sure.
    """
    raw = _held_out("raw", sample, seed)
    _, group = np.unique(sample.groups, return_inverse=True)
    best: tuple[float, Kind] = (0.0, "raw")
    for kind in KINDS[1:]:
        gain = np.bincount(group, raw - _held_out(kind, sample, seed))
        error = float(gain.std(ddof=1) * np.sqrt(len(gain))) if len(gain) > 1 else 0.0
        if gain.sum() > _CLEARLY * error and _rises(fit(kind, sample)):
            best = max(best, (float(gain.sum()), kind))
    return fit(best[1], sample)


def _rises(calibrator: Calibrator) -> bool:
    """Return whether a higher score never means a lower risk."""
    # A parabola is followed on its rising side only, see `Calibrator`.
    slopes = zip(calibrator.a, calibrator.b, strict=True)
    return all(a >= 0 or b != 0 for a, b in slopes)
