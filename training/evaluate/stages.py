"""The same figures by stage: early, middle and late in a task, and at its end.

A calibrator that is right on average over all steps can be too timid early and too sure
late. Each stage is judged by itself, so that one cannot make up for another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.evaluate import curves
from training.evaluate.intervals import Resampling
from training.evaluate.metrics import Floats
from training.evaluate.report import Stage
from training.evaluate.rows import Rows
from training.evaluate.scoring import Sample, score
from training.evaluate.slices import SMALLEST_SLICE

EARLY, MIDDLE, LATE, END = "early", "middle", "late", "end"


def by_stage(rows: Rows, risk: Floats, resampling: Resampling) -> dict[str, Stage]:
    """Return scores and reliability of each stage.

    The stages are ranges of absolute steps that hold a third of the weight each: of
    how far a task has got, for how long it will be is not known while it runs.

    Parameters
    ----------
    rows : Rows
        Sorted rows.
    risk : ndarray of shape (n_rows,), float in [0, 1]
        In the order of `rows`.
    resampling : Resampling
        Draws of clusters.

    Returns
    -------
    dict of str to Stage
        early, middle, late, end; one that fewer than 30 tasks reached is left out.
    """
    first, second = stage_edges(rows)
    spans = {EARLY: (1, first), MIDDLE: (first + 1, second), LATE: (second + 1, None)}
    found = {}
    for name, (low, high) in spans.items():
        member = (rows.step >= low) & (rows.step <= (high or np.inf))
        if len(np.unique(rows.task[member])) >= SMALLEST_SLICE:
            found[name] = _stage(_rows_of(rows, risk, member), resampling, low, high)
    if rows.n_tasks >= SMALLEST_SLICE:
        found[END] = _stage(Sample.end_of_task(rows, risk), resampling, None, None)
    return found


def stage_edges(rows: Rows) -> tuple[int, int]:
    """Return the last step of early and of middle: thirds of the weight."""
    order = np.argsort(rows.step, kind="stable")
    below = np.cumsum(rows.weight[order])
    # Sums of fractions that should be exactly a third fall short of it, or not.
    thirds = below[-1] * (np.array([1, 2]) / 3 - 1e-9)
    at = np.searchsorted(below, thirds)
    first, second = (int(step) for step in rows.step[order][at])
    return first, max(second, first + 1)


def _rows_of(rows: Rows, risk: Floats, member: NDArray[np.bool_]) -> Sample:
    return Sample(
        y=rows.y[member],
        risk=risk[member],
        weight=rows.weight[member],
        cluster=rows.cluster[member],
        n_tasks=len(np.unique(rows.task[member])),
    )


def _stage(
    sample: Sample, resampling: Resampling, first: int | None, last: int | None
) -> Stage:
    return Stage(
        first_step=first,
        last_step=last,
        n_tasks=sample.n_tasks,
        scores=score(sample, resampling).scores(),
        reliability=tuple(
            curves.reliability(
                sample.y, sample.risk, sample.weight, sample.cluster, resampling
            )
        ),
    )
