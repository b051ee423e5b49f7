"""Scored rows of labelled tasks, checked once and put in order for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.evaluate.metrics import Floats, Indices


class EvaluationError(ValueError):
    """Rows or risks that no honest report can be made from."""


class LabelledRows(Protocol):
    """What evaluation needs of `training.dataset.Snapshots`; every array (n_rows,)."""

    @property
    def task_ids(self) -> NDArray[Any]:
        """Task of each row."""

    @property
    def groups(self) -> NDArray[Any]:
        """Customer of each row: what is drawn as a whole in a bootstrap."""

    @property
    def domain(self) -> NDArray[Any]:
        """Domain of the task."""

    @property
    def agent_version(self) -> NDArray[Any]:
        """Version of the agent."""

    @property
    def tier(self) -> NDArray[Any]:
        """Tier of the account, "?" where it is not known."""

    @property
    def position(self) -> NDArray[Any]:
        """Place of the row in its task; a task's first event has the smallest."""

    @property
    def y(self) -> NDArray[Any]:
        """Whether the task needed a human; the same in all rows of a task."""

    @property
    def weight(self) -> NDArray[Any]:
        """1 / rows of the task, times 1 / propensity of its label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows sorted by task and step, with tasks and clusters as numbers.

    Attributes
    ----------
    order : ndarray of shape (n_rows,), int
        ``risk[order]`` puts an array of the caller in the order of the rest.
    y, weight : ndarray of shape (n_rows,), float
        Label, and weight: 1 in total per task where every task was labelled.
    task, cluster : ndarray of shape (n_rows,), int
        Numbers from 0, without gaps.
    step : ndarray of shape (n_rows,), int
        1 at the task's first event.
    first, last : ndarray of shape (n_tasks,), int
        Row at which each task begins and ends.
    stratum : ndarray of shape (n_rows,), str
        Agent version and domain: the cells of the base-rate table.
    """

    order: Indices
    y: Floats
    weight: Floats
    task: Indices
    cluster: Indices
    step: Indices
    first: Indices
    last: Indices
    stratum: NDArray[np.str_]

    @classmethod
    def of(cls, rows: LabelledRows) -> Rows:
        """Return `rows` in order.

        Raises
        ------
        EvaluationError
            If there is no row, a weight is not positive, or the rows of a task
            disagree about its label.
        """
        if len(rows.y) == 0:
            msg = "expected labelled tasks to evaluate on, found none; label some first"
            raise EvaluationError(msg)
        _, task = np.unique(rows.task_ids, return_inverse=True)
        _, cluster = np.unique(rows.groups, return_inverse=True)
        position = np.asarray(rows.position, dtype=np.intp)
        order = np.lexsort((position, task))
        task = task[order]
        first = np.flatnonzero(np.append(True, task[1:] != task[:-1]))
        last = np.append(first[1:], len(task)) - 1
        return cls(
            order=order,
            y=_one_label(np.asarray(rows.y, dtype=np.float64)[order], first, last),
            weight=_positive(np.asarray(rows.weight, dtype=np.float64)[order]),
            task=task,
            cluster=cluster[order],
            step=position[order] - position[order][first][task] + 1,
            first=first,
            last=last,
            stratum=strata(rows)[order],
        )

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.first)

    @property
    def n_clusters(self) -> int:
        """Number of clusters (customers, or tasks where none is known)."""
        return int(self.cluster.max()) + 1

    @property
    def task_weight(self) -> Floats:
        """Total weight of each task, shape (n_tasks,)."""
        return np.add.reduceat(self.weight, self.first)

    def sorted(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        """Return an array of the caller in the order of these rows.

        Raises
        ------
        EvaluationError
            If it has another length.
        """
        if len(values) != len(self.order):
            msg = (
                f"`{name}` must have one entry per row, {len(self.order)}, "
                f"found {len(values)}"
            )
            raise EvaluationError(msg)
        return np.asarray(values)[self.order]

    def risks(self, values: NDArray[Any], name: str) -> Floats:
        """Return risks of the caller in the order of these rows.

        Raises
        ------
        EvaluationError
            If a risk is not in [0, 1], or the length is wrong.
        """
        risk = self.sorted(values, name).astype(np.float64)
        outside = ~((risk >= 0) & (risk <= 1))
        if outside.any():
            msg = (
                f"`{name}` must be probabilities in [0, 1], found "
                f"{risk[outside][0]} and {int(outside.sum()) - 1} more; "
                "calibrate scores before they are evaluated"
            )
            raise EvaluationError(msg)
        return risk

    def highest(self, risk: Floats) -> Floats:
        """Return the highest risk each task reached, shape (n_tasks,)."""
        return np.maximum.reduceat(risk, self.first)


def strata(rows: LabelledRows) -> NDArray[np.str_]:
    """Return agent version and domain of each row as one text."""
    version = np.asarray(rows.agent_version, dtype=np.str_)
    domain = np.asarray(rows.domain, dtype=np.str_)
    return np.strings.add(np.strings.add(version, " \u00d7 "), domain)


def _one_label(y: Floats, first: Indices, last: Indices) -> Floats:
    per_task = np.minimum.reduceat(y, first), np.maximum.reduceat(y, first)
    mixed = int((per_task[0] != per_task[1]).sum())
    if mixed or not np.isin(y, (0.0, 1.0)).all():
        msg = (
            "each task must have one label, 0 or 1, in all its rows; found "
            f"{mixed} of {len(last)} tasks with several, values {np.unique(y)[:5]}"
        )
        raise EvaluationError(msg)
    return y


def _positive(weight: Floats) -> Floats:
    if not (np.isfinite(weight) & (weight > 0)).all():
        msg = (
            f"weights must be positive numbers, found {weight.min()}; leave rows "
            "without a label out instead of weighing them 0"
        )
        raise EvaluationError(msg)
    return weight
