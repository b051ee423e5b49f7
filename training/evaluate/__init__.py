"""From scored rows of labelled tasks to a report: metrics, decisions, slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.costs import Costs
from training.evaluate import curves
from training.evaluate.baselines import Baseline
from training.evaluate.decisions import Alarms, Decisions, decisions
from training.evaluate.intervals import Estimate, Resampling
from training.evaluate.metrics import Floats, auroc_within, base_rate
from training.evaluate.reliability import spiegelhalter_z
from training.evaluate.report import BaselineResult, Report, Setting, Slice
from training.evaluate.rows import LabelledRows, Rows
from training.evaluate.scoring import Sample, Scored, score
from training.evaluate.slices import at_steps, by_group
from training.evaluate.stages import by_stage

_FEW = 30


def evaluate(
    snapshots: LabelledRows,
    risk: Floats,
    threshold: float | None,
    *,
    baselines: Mapping[str, Baseline],
    by: Mapping[str, NDArray[Any]] | None = None,
    costs: Costs | None = None,
    alpha: float = 0.1,
    delta: float = 0.1,
    replicates: int = 300,
    seed: int = 0,
) -> Report:
    """Return what a model's risks are worth on tasks it has not learned from.

    Parameters
    ----------
    snapshots : LabelledRows
        Labelled rows, such as `training.dataset.Snapshots`. Rows may come in any order.
    risk : ndarray of shape (n_rows,), float in [0, 1]
        Calibrated risk of each row, out of fold or from a model trained on others.
    threshold : float or None
        Where the model escalates: at a task's first step with risk >= threshold. None
        where the certificate was refused; decisions are undefined then.
    baselines : mapping of str to Baseline
        What it is compared with; see `training.evaluate.baselines.standard_baselines`.
    by : mapping of str to ndarray of shape (n_rows,), optional
        Groupings beside domain, agent version and, where any is known, account tier.
    costs : Costs, optional
        Prices of a review and of a miss, as in the policy.
    alpha, delta : float in (0, 1)
        Tolerated miss rate, and the doubt left in the bound drawn beside it.
    replicates : int
        Bootstrap replicates behind each interval.
    seed : int
        Seed of the bootstrap: the same seed gives the same report.

    Returns
    -------
    Report
        Its `to_json` is the content of report.json.

    Raises
    ------
    EvaluationError
        If there is no row, a task has two labels, a weight is not positive, an array
        has the wrong length, or a risk is not in [0, 1].
    """
    rows = Rows.of(snapshots)
    run = _Run(
        rows=rows,
        risk=rows.risks(risk, "risk"),
        threshold=threshold,
        costs=costs or Costs(),
        draws=Resampling.draw(rows.n_clusters, replicates=replicates, seed=seed),
    )
    slices = run.slices({**_groupings(snapshots), **(by or {})})
    overall, model = run.base_rate(), run.scored(run.risk)
    return Report(
        n_tasks=rows.n_tasks,
        n_rows=len(rows.y),
        base_rate=overall.value,
        base_rate_interval=overall,
        threshold=threshold,
        alpha=alpha,
        delta=delta,
        costs=run.costs,
        every_step=model["every_step"].scores(),
        end_of_task=model["end_of_task"].scores(),
        decisions=run.decided(),
        spiegelhalter=run.spiegelhalter(),
        within_strata=run.within_strata(),
        at_steps=at_steps(rows, run.risk, run.draws),
        by_stage=by_stage(rows, run.risk, run.draws),
        baselines={k: run.baseline(b, model) for k, b in baselines.items()},
        by_group=slices,
        curves=run.curves(delta),
        setting=Setting(replicates=replicates, seed=seed, n_clusters=rows.n_clusters),
        notes=tuple(_notes(rows, threshold, slices)),
    )


def _groupings(snapshots: LabelledRows) -> dict[str, NDArray[Any]]:
    found = {"domain": snapshots.domain, "agent_version": snapshots.agent_version}
    if np.any(snapshots.tier != "?"):
        found["account_tier"] = snapshots.tier
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One evaluation: what all parts of a report are made from."""

    rows: Rows
    risk: Floats
    threshold: float | None
    costs: Costs
    draws: Resampling

    def samples(self, risk: Floats) -> dict[str, Sample]:
        return {
            "every_step": Sample.every_step(self.rows, risk),
            "end_of_task": Sample.end_of_task(self.rows, risk),
        }

    def scored(self, risk: Floats) -> dict[str, Scored]:
        return {
            scope: score(sample, self.draws)
            for scope, sample in self.samples(risk).items()
        }

    def alarms(self) -> Alarms | None:
        if self.threshold is None:
            return None
        return Alarms.of(self.rows, self.risk >= self.threshold)

    def decided(self) -> Decisions:
        alarms = self.alarms()
        if alarms is None:
            return Decisions.undefined()
        return decisions(alarms, self.costs, self.draws)

    def slices(self, by: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, Slice]]:
        values = {name: self.rows.sorted(v, name) for name, v in by.items()}
        return by_group(self.rows, self.risk, self.alarms(), values, self.draws)

    def baseline(
        self, baseline: Baseline, model: Mapping[str, Scored]
    ) -> BaselineResult:
        found = self.scored(self.rows.risks(baseline.risk, baseline.says))
        alarm = self.rows.sorted(baseline.alarm, baseline.says).astype(bool)
        return BaselineResult(
            says=baseline.says,
            every_step=found["every_step"].scores(),
            end_of_task=found["end_of_task"].scores(),
            decisions=decisions(
                Alarms.of(self.rows, alarm),
                self.costs,
                self.draws,
                certain=baseline.certain,
            ),
            model_minus_baseline={
                scope: model[scope].minus(scored) for scope, scored in found.items()
            },
        )

    def base_rate(self) -> Estimate:
        end = Sample.end_of_task(self.rows, self.risk)
        return self.draws.estimate(
            partial(base_rate, end.y), end.weight, end.cluster, n=end.n_tasks
        )

    def within_strata(self) -> dict[str, Estimate]:
        """Return AUROC among tasks of the same agent version and domain, per scope."""
        _, stratum = np.unique(self.rows.stratum, return_inverse=True)
        samples = self.samples(self.risk)
        strata = {"every_step": stratum, "end_of_task": stratum[self.rows.last]}
        return {
            scope: self.draws.estimate(
                partial(auroc_within, s.y, s.risk, strata=strata[scope]),
                s.weight,
                s.cluster,
                n=s.n_tasks,
            )
            for scope, s in samples.items()
        }

    def spiegelhalter(self) -> dict[str, float]:
        end = Sample.end_of_task(self.rows, self.risk)
        z, p_value = spiegelhalter_z(end.y, end.risk, end.weight)
        return {"z": z, "p_value": p_value}

    def curves(self, delta: float) -> dict[str, Any]:
        """Return the points of every picture, by the functions that make them."""
        samples = self.samples(self.risk)
        nobody = np.zeros(len(self.risk), dtype=bool)
        alarms = self.alarms() or Alarms.of(self.rows, nobody)
        return {
            "reliability": {
                scope: curves.reliability(s.y, s.risk, s.weight, s.cluster, self.draws)
                for scope, s in samples.items()
            },
            "histogram": {
                scope: curves.histogram(s.y, s.risk, s.weight)
                for scope, s in samples.items()
            },
            "operating_points": {
                scope: curves.operating_points(s.y, s.risk, s.weight)
                for scope, s in samples.items()
            },
            "thresholds": curves.thresholds(
                self.rows.highest(self.risk),
                alarms,
                self.costs,
                self.draws,
                mark=self.threshold,
                delta=delta,
            ),
            "lead": curves.lead(alarms),
        }


def _notes(
    rows: Rows, threshold: float | None, slices: Mapping[str, Mapping[str, Slice]]
) -> list[str]:
    """Return what limits the figures, in words for a risk owner."""
    notes = []
    if threshold is None:
        notes.append(
            "The certificate was refused, so there is no threshold: escalation rate, "
            "miss rate, precision and lead time are undefined."
        )
    if rows.n_clusters < _FEW:
        notes.append(
            f"Intervals rest on {rows.n_clusters} customers only; expect them to be "
            "too narrow."
        )
    n_needed = int(rows.y[rows.last].sum())
    if min(n_needed, rows.n_tasks - n_needed) < _FEW:
        notes.append(
            f"{n_needed} of {rows.n_tasks} tasks needed a human; with fewer than "
            f"{_FEW} of either kind no figure here is firm."
        )
    weight = rows.task_weight
    if weight.max() > 1.01 * weight.min():
        effective = weight.sum() ** 2 / (weight**2).sum()
        notes.append(
            "Labels were drawn with unequal propensities; the weighted tasks are worth "
            f"{effective:.0f} equally weighted ones."
        )
    for name, values in slices.items():
        hidden = sum(bool(s.suppressed) for s in values.values())
        if hidden:
            notes.append(
                f"{hidden} of {len(values)} values of {name} have too few tasks "
                "to be shown."
            )
    return notes
