"""From scores to probabilities: candidates, and a choice that does no harm.

All candidates are weighted logistic regressions on the score z (the raw margin):
smooth, of low capacity, and able to carry sample weights. See METHODS §2 for why
neither isotonic regression nor binning is among them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from training.bundle import Calibrator, Sureness
from training.bundle.calibrator import log_odds
from training.dataset import splits

Floats = NDArray[np.float64]

# A task says more the longer it has run, so a score means another risk early and late.
STAGE_EDGES = (2, 4, 8, 16, 32)
# Standard errors by which a candidate must win. With one, and four candidates, one try
# in ten at 80 tasks takes a calibrator that makes calibrated scores worse.
_CLEARLY = 1.5
_MOST_BINS = 100
_NO_WEIGHT = 1e-9  # an empty bin joins its neighbours
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
    expected : ndarray of float in (0, 1)
        Needed share of the task's kin; NaN where it has no history.
    spoke : ndarray of bool
        Whether the latest event is a message of the agent's.
    groups : ndarray of str
        Customer.
    """

    score: Floats
    steps: Floats
    y: Floats
    weight: Floats
    expected: Floats
    spoke: NDArray[np.bool_]
    groups: NDArray[np.str_]

    def where(self, rows: NDArray[np.bool_]) -> Sample:
        """Return the rows for which `rows`, shape (n_rows,), is true."""
        return Sample(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


class Shape(StrEnum):
    """What is fitted to the score, alike at every stage or not."""

    TEMPERATURE = "temperature"
    PLATT = "platt"
    BETA = "beta"
    QUADRATIC = "quadratic"


@dataclass(frozen=True, slots=True)
class Kind:
    """A candidate.

    Attributes
    ----------
    shape : Shape
    by_stage : bool
        Whether slope and intercept differ between stages of the task.
    by_history : bool
        Whether the risk is drawn to the outcome history of the task's kin.
    """

    shape: Shape
    by_stage: bool = False
    by_history: bool = False

    def __str__(self) -> str:
        """Return its name, such as ``"platt by stage and history"``."""
        by = ["stage"] * self.by_stage + ["history"] * self.by_history
        return f"{self.shape} by {' and '.join(by)}" if by else str(self.shape)


KINDS = (
    *map(Kind, Shape),
    *(
        Kind(shape, by_stage, by_history)
        for shape in (Shape.PLATT, Shape.QUADRATIC)
        for by_stage, by_history in ((True, False), (False, True), (True, True))
    ),
)
RAW = Calibrator(kind="raw", edges=(), a=(1.0,), b=(0.0,), c=(0.0,))
_N_STAGES = 2 * (len(STAGE_EDGES) + 1)


def _basis(shape: Shape, score: Floats) -> list[Floats]:
    """Return what the score is bent by; no coefficient leaves it as it is."""
    match shape:
        case Shape.BETA:
            return [-np.logaddexp(0, -score), np.logaddexp(0, score)]
        case Shape.QUADRATIC:
            return [score, score**2]
        case _:
            return [score, np.zeros_like(score)]


def _design(kind: Kind, sample: Sample) -> Floats:
    """Return the columns whose coefficients are fitted, beyond the score itself.

    They are: two of the shape, 1, the log-odds of what is expected, then slope and
    intercept of each stage; columns that the kind lacks are 0.
    """
    score, one = sample.score, np.ones_like(sample.score)
    first, second = _basis(kind.shape, score)
    is_line = kind.shape is not Shape.TEMPERATURE
    expected = log_odds(sample.expected) * kind.by_history
    columns = [first, second, one * is_line, expected]
    if kind.by_stage:
        stage = np.searchsorted(STAGE_EDGES, sample.steps, side="left")
        stage = stage + sample.spoke * (len(STAGE_EDGES) + 1)
        member = stage[:, None] == np.arange(_N_STAGES)
        return np.column_stack([*columns, member * score[:, None], member])
    return np.column_stack(columns)


def _coefficients(kind: Kind, sample: Sample) -> Floats:
    """Return the ridge-penalised coefficients that correct the score, (n_columns,)."""
    # `einsum`, not BLAS: its threads wait for each other by spinning, which on a busy
    # machine makes a fit of milliseconds take seconds, and add in another order.
    design = _design(kind, sample)

    def loss(beta: Floats) -> tuple[float, Floats]:
        z = sample.score + np.einsum("ij,j->i", design, beta)
        each = np.logaddexp(0.0, z) - sample.y * z
        slope = sample.weight * (expit(z) - sample.y)
        value = float((sample.weight * each).sum() + 0.5 * _RIDGE * (beta**2).sum())
        return value, np.einsum("ij,i->j", design, slope) + _RIDGE * beta

    # Both halves of a beta map must rise, and more expected is never less risk.
    lowest: list[float | None] = [None] * design.shape[1]
    lowest[3] = 0.0
    if kind.shape is Shape.BETA:
        lowest[0] = lowest[1] = -1.0
    bounds = [(least, None) for least in lowest]
    start = np.zeros(design.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)


def fit(kind: Kind, sample: Sample) -> Calibrator:
    """Return the calibrator of one kind, fitted to `sample`."""
    first, second, offset, expected, *staged = _coefficients(kind, sample).tolist()
    is_beta = kind.shape is Shape.BETA
    n = _N_STAGES if kind.by_stage else 1
    slopes, offsets = staged[:n] or [0.0], staged[n:] or [0.0]
    return Calibrator(
        kind=str(kind),
        edges=STAGE_EDGES if kind.by_stage else (),
        a=tuple(1.0 + first + slope for slope in slopes),
        b=(second + is_beta,) * n,
        c=tuple(offset + each for each in offsets),
        expected=expected,
        is_beta=is_beta,
    )


def _losses(calibrator: Calibrator, sample: Sample) -> Floats:
    """Return the weighted log-loss of each row, shape (n_rows,)."""
    risk = calibrator.risks(
        sample.score, sample.steps, sample.expected, spoke=sample.spoke
    )
    risk = risk.clip(1e-12, 1 - 1e-12)
    each = -np.where(sample.y > 0, np.log(risk), np.log1p(-risk))
    return np.asarray(sample.weight * each)


def _held_out(kind: Kind, sample: Sample, seed: int) -> Floats:
    """Return the loss of each row under a calibrator that has not seen its group."""
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
    raw = _losses(RAW, sample)
    _, group = np.unique(sample.groups, return_inverse=True)
    best: tuple[float, Calibrator] = (0.0, RAW)
    for kind in KINDS:
        gain = np.bincount(group, raw - _held_out(kind, sample, seed))
        error = float(gain.std(ddof=1) * np.sqrt(len(gain))) if len(gain) > 1 else 0.0
        if gain.sum() > max(_CLEARLY * error, best[0]):
            found = fit(kind, sample)
            best = (float(gain.sum()), found) if _rises(found) else best
    return best[1]


def _rises(calibrator: Calibrator) -> bool:
    """Return whether a higher score never means a lower risk."""
    # A parabola is followed on its rising side only, see `Calibrator`.
    slopes = zip(calibrator.a, calibrator.b, strict=True)
    return calibrator.is_beta or all(a >= 0 or b != 0 for a, b in slopes)


def sureness(sample: Sample, tasks: NDArray[np.str_], *, seed: int = 0) -> Sureness:
    """Return how far the labels leave each score open, from one row of each task.

    Parameters
    ----------
    sample : Sample
        Out-of-fold scores.
    tasks : ndarray of str, shape (n_rows,)
        Task of each row; one row of each is drawn by `seed`.
    """
    order = np.random.default_rng(seed).permutation(len(tasks))
    _, first = np.unique(tasks[order], return_index=True)
    rows = order[first]
    score, y = sample.score[rows], sample.y[rows]
    total = np.bincount(np.unique(tasks, return_inverse=True)[1], sample.weight)
    weight = total * (len(total) / total.sum())
    # As many bins as there are tasks, while they are few: a bin of twenty would look
    # sure of its risk even if no other task were known.
    n_bins = min(_MOST_BINS, len(rows))
    edges = np.unique(np.quantile(score, np.arange(1, n_bins) / n_bins))
    place = np.searchsorted(edges, score, side="right")
    every = np.arange(len(edges) + 1)
    n = np.array([weight[place == k].sum() for k in every])
    needed = np.array([(weight * y)[place == k].sum() for k in every])
    low, high = (
        tuple(_with_one_more(n, needed, at, label) for at in range(len(n)))
        for label in (0.0, 1.0)
    )
    return Sureness(edges=tuple(edges.tolist()), low=low, high=high)


def _with_one_more(n: Floats, needed: Floats, at: int, label: float) -> float:
    """Return the isotonic risk of bin `at` if one more task there had `label`."""
    n, needed = n.copy(), needed.copy()
    n[at] += 1.0
    needed[at] += label
    rate = np.divide(needed, n, out=np.zeros_like(n), where=n > 0)
    return float(isotonic_regression(rate, weights=n + _NO_WEIGHT).x[at])
