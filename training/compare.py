"""Two ways to decide, on the same tasks: who is escalated, missed, when, at what cost.

Most tasks have no label, and those that have one were not all equally likely to get it.
So what is missed is estimated: each label weighs 1 / propensity (IPW), and where there
is none a guess stands in, corrected on the labelled (AIPW). Both ways are judged on the
same tasks and the same draws of customers, so the interval is that of the difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.costs import Costs
from training.evaluate.decisions import weighted_median
from training.evaluate.intervals import Estimate, Resampling
from training.evaluate.metrics import Floats, Indices, ratio
from training.evaluate.report import Setting, plain

SCHEMA = "escalon.comparison/1"
_EXAMPLES = 10

Mask = NDArray[np.bool_]


class ComparisonError(ValueError):
    """Tasks on which two ways to decide cannot be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """The tasks, and what is known of them; every array of shape (n_tasks,).

    Attributes
    ----------
    ids, customers : ndarray of str
        The tasks, and what is drawn as a whole in a bootstrap.
    needed : ndarray of float
        1, 0, and NaN where there is no label.
    propensity : ndarray of float in (0, 1]
        Probability that the task has a label; read only where it has one.
    guess : ndarray of float in [0, 1]
        How likely the task needed a human, as far as can be said without its label.
        A bad guess widens the intervals, and does no more.
    n_steps : ndarray of float
        Steps the task had.
    """

    ids: NDArray[np.str_]
    customers: NDArray[np.str_]
    needed: Floats
    propensity: Floats
    guess: Floats
    n_steps: Floats

    @property
    def labelled(self) -> Mask:
        """Whether a task has a label."""
        return np.isfinite(self.needed)

    @property
    def weight(self) -> Floats:
        """1 / propensity where there is a label, else 0."""
        return np.where(self.labelled, 1.0 / self.propensity, 0.0)

    @property
    def corrected(self) -> Floats:
        """The guess, corrected where there is a label: its mean is that of the truth.

        References
        ----------
        Robins, Rotnitzky, Zhao. "Estimation of regression coefficients when some
        regressors are not always observed" (1994): the augmented estimator.
        """
        known = np.where(self.labelled, self.needed, self.guess)
        return self.guess + self.weight * (known - self.guess)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to decide.

    Attributes
    ----------
    name : str
        Model or policy, as it is called.
    step : ndarray of shape (n_tasks,)
        1-based step at which it escalates a task; NaN: never.
    """

    name: str
    step: Floats

    @property
    def escalated(self) -> Mask:
        """Whether it escalates a task."""
        return np.isfinite(self.step)


def compare(
    tasks: Tasks,
    challenger: Way,
    champion: Way,
    *,
    costs: Costs | None = None,
    minutes: float = 0.0,
    replicates: int = 1_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what changes if `challenger` decides in the place of `champion`.

    Parameters
    ----------
    tasks : Tasks
        Stored tasks, labelled or not.
    challenger, champion : Way
        What each does to them.
    costs : Costs, optional
        Prices of a review and of a miss.
    minutes : float
        Of a person's time per escalation, for the workload.

    Returns
    -------
    dict
        Plain JSON data: each way's figures, their differences, and the escalations
        added and removed with examples and the share of them that was needed.

    Raises
    ------
    ComparisonError
        If there is no task.
    """
    if len(tasks.ids) == 0:
        msg = "expected tasks to compare on, found none; give --events or --store"
        raise ComparisonError(msg)
    _, cluster = np.unique(tasks.customers, return_inverse=True)
    n_clusters = int(cluster.max()) + 1
    ground = _Ground(
        tasks=tasks,
        cluster=cluster,
        draws=Resampling.draw(n_clusters, replicates=replicates, seed=seed),
        costs=costs or Costs(),
        minutes=minutes,
    )
    found = {
        "schema": SCHEMA,
        "challenger": challenger.name,
        "champion": champion.name,
        "n_tasks": len(tasks.ids),
        "n_labelled": int(tasks.labelled.sum()),
        "ways": {
            "challenger": ground.figures(challenger),
            "champion": ground.figures(champion),
        },
        "difference": ground.differences(challenger, champion),
        "added": ground.part(challenger.escalated & ~champion.escalated),
        "removed": ground.part(champion.escalated & ~challenger.escalated),
        "setting": Setting(
            replicates=replicates,
            seed=seed,
            n_clusters=n_clusters,
            weighting="a label weighs 1 / propensity; a guess stands in for the rest",
        ),
    }
    told: dict[str, Any] = plain(found)
    return told


Figure = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What both ways are judged on; figures are functions of a stack of weights."""

    tasks: Tasks
    cluster: Indices
    draws: Resampling
    costs: Costs
    minutes: float

    def of(self, way: Way) -> dict[str, Figure]:
        """Return every figure of a way, as a function of task weights (…, n_tasks)."""
        tasks, fired = self.tasks, way.escalated.astype(np.float64)
        truth, labels = tasks.corrected, tasks.weight * np.nan_to_num(tasks.needed)
        lost = truth * (1 - fired) + (1 - self.costs.fixable) * truth * fired
        cost = self.costs.review * fired + self.costs.miss * lost
        one = np.ones_like(fired)
        caught = np.isfinite(way.step) & (tasks.needed == 1)
        lead = (tasks.n_steps - way.step)[caught]
        label = tasks.weight[caught]
        return {
            "escalation_rate": lambda w: ratio(w @ fired, w @ one),
            "miss_rate": lambda w: _share(w @ (truth * (1 - fired)), w @ truth),
            "miss_rate_ipw": lambda w: ratio(w @ (labels * (1 - fired)), w @ labels),
            "precision": lambda w: _share(w @ (truth * fired), w @ fired),
            "cost_per_task": lambda w: ratio(w @ cost, w @ one),
            "minutes_per_1000_tasks": lambda w: ratio(
                w @ (1000 * self.minutes * fired), w @ one
            ),
            "lead_steps_median": lambda w: weighted_median(
                lead, w[..., caught] * label
            ),
        }

    def figures(self, way: Way) -> dict[str, Estimate | None]:
        return {name: self.estimate(figure) for name, figure in self.of(way).items()}

    def differences(self, ours: Way, theirs: Way) -> dict[str, Estimate | None]:
        mine, its = self.of(ours), self.of(theirs)
        return {name: self.estimate(_minus(mine[name], its[name])) for name in mine}

    def part(self, chosen: Mask) -> dict[str, Any]:
        """Return how many tasks were `chosen`, which, and how many needed a human."""
        tasks = self.tasks
        weight = np.where(chosen, tasks.weight, 0.0)
        yes = weight * np.nan_to_num(tasks.needed)
        return {
            "n": int(chosen.sum()),
            "n_labelled": int((weight > 0).sum()),
            "share_needed": self.estimate(lambda w: ratio(w @ yes, w @ weight)),
            "examples": tasks.ids[chosen][:_EXAMPLES].tolist(),
        }

    def estimate(self, figure: Figure) -> Estimate | None:
        one = np.ones(len(self.tasks.ids))
        found = self.draws.estimate(figure, one, self.cluster, n=len(one))
        return found if math.isfinite(found.value) else None


def _share(part: Floats, whole: Floats) -> Floats:
    """Return a share of estimates: among few labels they may leave [0, 1]."""
    return np.clip(ratio(part, whole), 0.0, 1.0)


def _minus(ours: Figure, theirs: Figure) -> Figure:
    return lambda w: np.asarray(ours(w) - theirs(w))
