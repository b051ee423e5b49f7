"""All scores of one risk on one set of rows, with the replicates behind them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from training.evaluate.intervals import Estimate, Resampling, centred, interval
from training.evaluate.metrics import Floats, Indices, auprc, auroc, brier, log_loss
from training.evaluate.reliability import (
    calibration_line,
    ece_debiased,
    equal_mass_bins,
    smece,
)
from training.evaluate.report import Difference, Scores
from training.evaluate.rows import Rows

_NAMES = tuple(f.name for f in fields(Scores))
_MOST_BINS = 15
_CLUSTERS_PER_BIN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows that metrics are computed on; every array of shape (n_rows,).

    Attributes
    ----------
    y, risk, weight : ndarray of float
        Label, risk in [0, 1], and weight of each row.
    cluster : ndarray of int
        What is drawn as a whole in a bootstrap.
    n_tasks : int
        Tasks the rows come from.
    """

    y: Floats
    risk: Floats
    weight: Floats
    cluster: Indices
    n_tasks: int

    @classmethod
    def every_step(cls, rows: Rows, risk: Floats) -> Sample:
        """Return all rows: each task weighs the same, however many steps it has."""
        return cls(
            y=rows.y,
            risk=risk,
            weight=rows.weight,
            cluster=rows.cluster,
            n_tasks=rows.n_tasks,
        )

    @classmethod
    def end_of_task(cls, rows: Rows, risk: Floats) -> Sample:
        """Return one row per task: its last."""
        return cls.one_row_per_task(rows, risk, rows.last)

    @classmethod
    def one_row_per_task(cls, rows: Rows, risk: Floats, at: Indices) -> Sample:
        """Return the rows `at`, at most one per task, with their tasks' weights."""
        return cls(
            y=rows.y[at],
            risk=risk[at],
            weight=rows.task_weight[rows.task[at]],
            cluster=rows.cluster[at],
            n_tasks=len(at),
        )

    def merged(self) -> Sample:
        """Return rows of equal cluster, label and risk as one, with their weight.

        No metric changes, and a rule that knows two risks becomes a few rows a task.
        """
        columns = (self.risk, self.y, self.cluster)
        order = np.lexsort(columns)
        change = np.any([np.diff(c[order]) != 0 for c in columns], axis=0)
        starts = np.flatnonzero(np.append(True, change))
        kept = order[starts]
        return Sample(
            y=self.y[kept],
            risk=self.risk[kept],
            weight=np.add.reduceat(self.weight[order], starts),
            cluster=self.cluster[kept],
            n_tasks=self.n_tasks,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores on the sample and on every replicate.

    Attributes
    ----------
    value : ndarray of shape (n_scores,)
        In the order of the fields of `Scores`.
    replicates : ndarray of shape (n_replicates, n_scores)
        On the draws of the resampling.
    n_tasks : int
        Tasks behind them.
    """

    value: Floats
    replicates: Floats
    n_tasks: int

    def scores(self) -> Scores:
        """Return each score with its interval."""
        return Scores(**{name: self._estimate(name) for name in _NAMES})

    def _estimate(self, name: str) -> Estimate:
        i = _NAMES.index(name)
        around = centred if name == "smece" else interval
        return around(float(self.value[i]), self.replicates[:, i], n=self.n_tasks)

    def minus(self, other: Scored) -> Difference:
        """Return how much this differs from `other`, draw by draw."""
        found = {}
        for field in fields(Difference):
            i = _NAMES.index(field.name)
            found[field.name] = interval(
                float(self.value[i] - other.value[i]),
                self.replicates[:, i] - other.replicates[:, i],
                n=self.n_tasks,
            )
        return Difference(**found)


def score(sample: Sample, resampling: Resampling) -> Scored:
    """Return all scores of a sample, and of each replicate of it.

    The bins of the calibration error are those of the sample: up to 15, fewer where a
    bin would hold less than ten clusters.
    """
    s = sample.merged()
    n_bins = len(np.unique(s.cluster)) // _CLUSTERS_PER_BIN
    bins = equal_mass_bins(s.risk, s.weight, n_bins=min(max(n_bins, 2), _MOST_BINS))

    def statistic(weight: Floats) -> Floats:
        found = {
            "auroc": auroc(s.y, s.risk, weight),
            "auprc": auprc(s.y, s.risk, weight),
            "brier": brier(s.y, s.risk, weight),
            "log_loss": log_loss(s.y, s.risk, weight),
            "ece_debiased": ece_debiased(
                s.y, s.risk, weight, cluster=s.cluster, bins=bins
            ),
            "smece": smece(s.y, s.risk, weight),
        }
        line = calibration_line(s.y, s.risk, weight)
        found["calibration_intercept"] = line[..., 0]
        found["calibration_slope"] = line[..., 1]
        return np.stack([found[name] for name in _NAMES], axis=-1)

    return Scored(
        value=statistic(s.weight),
        replicates=resampling.replicate(statistic, s.weight, s.cluster),
        n_tasks=s.n_tasks,
    )
