"""The same figures for parts of the tasks: by group, and at absolute steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.costs import Costs
from training.evaluate.decisions import Alarms, decisions
from training.evaluate.intervals import Estimate, Resampling, Statistic
from training.evaluate.metrics import Floats, auroc, base_rate, brier, ratio
from training.evaluate.report import AtStep, Slice
from training.evaluate.rows import Rows
from training.evaluate.scoring import Sample, score

AT_STEPS = (4, 8, 12, 16)
SMALLEST_SLICE = 30


def by_group(
    rows: Rows,
    risk: Floats,
    alarms: Alarms | None,
    by: Mapping[str, NDArray[Any]],
    resampling: Resampling,
) -> dict[str, dict[str, Slice]]:
    """Return figures for every value of every grouping, largest first.

    Parameters
    ----------
    rows : Rows
        Sorted rows.
    risk : ndarray of shape (n_rows,), float in [0, 1]
        In the order of `rows`.
    alarms : Alarms or None
        First alarms; None where there is no threshold.
    by : mapping of str to ndarray of shape (n_rows,)
        Values of each grouping in the order of `rows`, the same in all rows of a task.
    resampling : Resampling
        Draws of clusters.

    Returns
    -------
    dict of str to dict of str to Slice
        A slice of fewer than 30 tasks, or of one class only, says so instead.
    """
    found: dict[str, dict[str, Slice]] = {}
    for name, values in by.items():
        texts = np.asarray(values, dtype=np.str_)
        kinds, n = np.unique(texts[rows.last], return_counts=True)
        found[name] = {
            str(kinds[i]): _slice(rows, risk, alarms, texts == kinds[i], resampling)
            for i in np.argsort(-n, kind="stable")
        }
    return found


def _slice(
    rows: Rows,
    risk: Floats,
    alarms: Alarms | None,
    member: NDArray[np.bool_],
    resampling: Resampling,
) -> Slice:
    tasks = member[rows.last]
    n = int(tasks.sum())
    if n < SMALLEST_SLICE:
        return Slice(n=n, suppressed=f"fewer than {SMALLEST_SLICE} tasks")
    last = rows.last[tasks]
    y, end = rows.y[last], risk[last]
    weight, cluster = rows.task_weight[tasks], rows.cluster[last]

    def estimate(of: Statistic) -> Estimate:
        return resampling.estimate(of, weight, cluster, n=n)

    # Costs are not part of a slice, so any will do.
    decided = alarms and decisions(alarms.where(tasks), Costs(), resampling)
    return Slice(
        n=n,
        base_rate=estimate(partial(base_rate, y)),
        auroc=estimate(partial(auroc, y, end)),
        auroc_every_step=resampling.estimate(
            partial(auroc, rows.y[member], risk[member]),
            rows.weight[member],
            rows.cluster[member],
            n=n,
        ),
        brier=estimate(partial(brier, y, end)),
        calibration_gap=estimate(lambda w: ratio(w @ (end - y), w.sum(-1))),
        miss_rate=decided.miss_rate if decided else None,
        escalation_rate=decided.escalation_rate if decided else None,
    )


def at_steps(rows: Rows, risk: Floats, resampling: Resampling) -> dict[str, AtStep]:
    """Return scores at absolute steps, for the tasks that got that far.

    At a fraction of a task the risk would profit from knowing how long the task will
    be; at an absolute step it knows only what had happened. Where a task has no row
    at the step itself, the last one before it counts.

    Parameters as in `by_group`.

    Returns
    -------
    dict of str to AtStep
        Keys "4", "8", "12", "16"; a step that fewer than 30 tasks reached is left out.
    """
    n_steps = rows.step[rows.last]
    found = {}
    for step in AT_STEPS:
        reached = n_steps >= step
        if reached.sum() < SMALLEST_SLICE:
            continue
        seen = np.add.reduceat((rows.step <= step).astype(np.intp), rows.first)
        at = (rows.first + seen - 1)[reached]
        sample = Sample.one_row_per_task(rows, risk, at)
        y = sample.y
        found[str(step)] = AtStep(
            n_tasks=sample.n_tasks,
            base_rate=resampling.estimate(
                partial(base_rate, y),
                sample.weight,
                sample.cluster,
                n=sample.n_tasks,
            ),
            scores=score(sample, resampling).scores(),
        )
    return found
