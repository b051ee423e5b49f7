"""What an evaluation found, as values; `to_json` is the content of report.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from training.costs import Costs
from training.evaluate.decisions import Decisions
from training.evaluate.intervals import Estimate

SCHEMA = "escalon.report/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How well risks rank and how honest they are; see `training.evaluate.metrics`."""

    auroc: Estimate
    auprc: Estimate
    brier: Estimate
    log_loss: Estimate
    ece_debiased: Estimate
    smece: Estimate
    calibration_intercept: Estimate
    calibration_slope: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The model's metric minus a baseline's, on the same bootstrap draws.

    AUROC is better when higher, the other two when lower.
    """

    auroc: Estimate
    brier: Estimate
    log_loss: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineResult:
    """A baseline, judged as the model is."""

    says: str
    every_step: Scores
    end_of_task: Scores
    decisions: Decisions
    model_minus_baseline: Mapping[str, Difference]

    def to_json(self) -> dict[str, Any]:
        """Return the result with its decisions beside its scores."""
        found = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        decisions = found.pop("decisions")
        return {**found, **decisions}


@dataclass(frozen=True, slots=True, kw_only=True)
class AtStep:
    """Tasks that got as far as an absolute step, judged by the risk they had there."""

    n_tasks: int
    base_rate: Estimate
    scores: Scores

    def to_json(self) -> dict[str, Any]:
        """Return the scores beside the number of tasks."""
        return {
            "n_tasks": self.n_tasks,
            "base_rate": plain(self.base_rate),
            **plain(self.scores),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A range of absolute steps, or the end of the tasks, judged by itself.

    Attributes
    ----------
    first_step, last_step : int or None
        1-based, both included; None: without a bound, and both None: the last step.
    n_tasks : int
        Tasks that got there.
    reliability : tuple of mapping
        Points as in `training.evaluate.curves.reliability`.
    """

    first_step: int | None
    last_step: int | None
    n_tasks: int
    scores: Scores
    reliability: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One value of one grouping, at the end of its tasks.

    Attributes
    ----------
    n : int
        Tasks.
    suppressed : str
        Why no figure is shown, or empty.
    calibration_gap : Estimate or None
        Mean risk minus base rate; positive where the model sees too much risk.
    auroc_every_step : Estimate or None
        As `auroc`, over every step; each task weighs the same.
    """

    n: int
    suppressed: str = ""
    base_rate: Estimate | None = None
    auroc: Estimate | None = None
    auroc_every_step: Estimate | None = None
    brier: Estimate | None = None
    miss_rate: Estimate | None = None
    escalation_rate: Estimate | None = None
    calibration_gap: Estimate | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the figures, or only n and why there are none."""
        if self.suppressed:
            return {"n": self.n, "suppressed": True, "why": self.suppressed}
        found = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        return {**found, "suppressed": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How the figures were made, so that they can be made again."""

    replicates: int
    seed: int
    n_clusters: int
    interval: str = "95 % percentile interval of a bootstrap over whole clusters"
    weighting: str = "each task weighs 1 / propensity of its label, over all its steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An evaluation of one model on labelled tasks it has not learned from.

    Attributes
    ----------
    threshold : float or None
        Threshold of the bundle; None where its certificate was refused. Everything in
        `decisions` is undefined then.
    alpha, delta : float
        Tolerated miss rate, and the doubt left in the bound drawn beside it.
    spiegelhalter : mapping
        Z and two-sided p-value at the end of the task.
    within_strata : mapping
        AUROC over pairs of the same agent version and domain, per scope.
    by_stage : mapping of str to Stage
        Early, middle and late in a task, and at its end.
    by_group : mapping of str to mapping of str to Slice
        Per grouping and value.
    curves : mapping
        Points of every picture; see `training.evaluate.curves`.
    notes : tuple of str
        What limits the figures, in words.
    """

    n_tasks: int
    n_rows: int
    base_rate: float
    base_rate_interval: Estimate
    threshold: float | None
    alpha: float
    delta: float
    costs: Costs
    every_step: Scores
    end_of_task: Scores
    decisions: Decisions
    spiegelhalter: Mapping[str, float]
    within_strata: Mapping[str, Estimate]
    at_steps: Mapping[str, AtStep]
    by_stage: Mapping[str, Stage]
    baselines: Mapping[str, BaselineResult]
    by_group: Mapping[str, Mapping[str, Slice]]
    curves: Mapping[str, Any]
    setting: Setting
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; null stands for what the data do not define."""
        found = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        decisions = found.pop("decisions")
        return {"schema": SCHEMA, **found, **decisions}


def plain(value: Any) -> Any:
    """Return a value of a report as JSON data: dicts, lists, numbers, text, null."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
