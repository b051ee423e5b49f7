"""What a streaming evaluation found, at absolute steps and at the end.

Figures are those of the later tasks. They stand at absolute steps: at a fraction of a
task the risk would profit from knowing how long the task will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluate.intervals import Estimate, Resampling
from training.evaluate.metrics import Floats, Indices, auroc_within, base_rate
from training.evaluate.report import Difference, Scores, plain
from training.evaluate.rows import Rows
from training.evaluate.scoring import Sample, score
from training.evaluate.slices import AT_STEPS, SMALLEST_SLICE
from training.evaluate.stream import Streamed


@dataclass(frozen=True, slots=True, kw_only=True)
class AtStreamStep:
    """The tasks that got as far as a step, judged by the risk they had there.

    Attributes
    ----------
    model_minus_table : Difference
        On the same draws of customers.
    within_strata : Estimate
        AUROC among tasks of one agent version and domain: the table has 0.5.
    """

    n_tasks: int
    base_rate: Estimate
    model: Scores
    table: Scores
    model_minus_table: Difference
    within_strata: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}


def at_stream_steps(
    streamed: Streamed,
    *,
    steps: Sequence[int] = AT_STEPS,
    step: NDArray[np.int64] | None = None,
    replicates: int = 300,
    seed: int = 0,
) -> dict[str, AtStreamStep]:
    """Return figures at absolute steps and at the end, with intervals over customers.

    Parameters
    ----------
    steps : sequence of int
        One that fewer than 30 tasks reached is left out.
    step : ndarray of int, shape (n_rows,), optional
        Step of each row, rising in a task, where a log's steps are not its events.
        Default: 1 at the task's first event.

    Returns
    -------
    dict of str to AtStreamStep
        Keys "4", "8", …, and "end": the last row of every task.
    """
    rows = Rows.of(streamed.rows)
    if step is not None:
        rows = replace(rows, step=rows.sorted(step, "step"))
    risk = rows.risks(streamed.risk, "risk")
    table = rows.risks(streamed.table, "table")
    draws = Resampling.draw(rows.n_clusters, replicates=replicates, seed=seed)
    places = {str(s): _reached(rows, s) for s in steps} | {"end": rows.last}
    return {
        name: _figures(rows, (risk, table), at, draws)
        for name, at in places.items()
        if len(at) >= SMALLEST_SLICE
    }


def _reached(rows: Rows, step: int) -> Indices:
    """Return the last row up to `step` of each task that got that far."""
    seen = np.add.reduceat((rows.step <= step).astype(np.intp), rows.first)
    return (rows.first + seen - 1)[(rows.step[rows.last] >= step) & (seen > 0)]


def _figures(
    rows: Rows, risks: tuple[Floats, Floats], at: Indices, draws: Resampling
) -> AtStreamStep:
    model, table = (Sample.one_row_per_task(rows, risk, at) for risk in risks)
    scored, tabled = score(model, draws), score(table, draws)
    _, stratum = np.unique(rows.stratum[at], return_inverse=True)
    return AtStreamStep(
        n_tasks=model.n_tasks,
        base_rate=draws.estimate(
            partial(base_rate, model.y), model.weight, model.cluster, n=model.n_tasks
        ),
        model=scored.scores(),
        table=tabled.scores(),
        model_minus_table=scored.minus(tabled),
        within_strata=draws.estimate(
            partial(auroc_within, model.y, model.risk, strata=stratum),
            model.weight,
            model.cluster,
            n=model.n_tasks,
        ),
    )
