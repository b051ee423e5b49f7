"""Streaming evaluation: predict, and learn a task's label only once it was known.

Tasks come in the order in which they began. Each is scored, at all its steps, by the
model there was when it began; its label counts, for that model's successors and for the
base-rate table, from the moment it was known. `training.evaluate.streamed` makes the
figures.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.dataset import Snapshots
from training.evaluate.metrics import Floats, Indices
from training.evaluate.rows import EvaluationError, strata

# The risk of each row of some snapshots, shape (n_rows,), in [0, 1].
Predict = Callable[[Snapshots], Floats]
Fit = Callable[[Snapshots], Predict]

# Tasks that the own ones must outweigh before they are believed over the larger group.
_PULL = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When each task began, and when its label was known; of shape (n_tasks,).

    Both by one clock, in s since 1970 or in tasks begun so far. A label serves every
    task that begins at `known` or later.
    """

    began: Floats
    known: Floats

    @classmethod
    def by_count(cls, order: Sequence[int] | Indices, *, delay: int) -> Self:
        """Return tasks one after the other, labels known after `delay` further ones.

        Parameters
        ----------
        order : sequence of int
            Numbers of the tasks, in the order in which they come.
        delay : int
            Tasks that begin after a task and still do not know its label.
        """
        began = np.empty(len(order))
        began[np.asarray(order)] = np.arange(len(order))
        return cls(began=began, known=began + delay + 1)

    def usable(self, moment: float) -> NDArray[np.bool_]:
        """Return which tasks' labels are known at `moment`, shape (n_tasks,)."""
        return np.asarray(self.known <= moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """A model grown anew from what is known by then.

    Attributes
    ----------
    fit : callable
        From snapshots whose labels are known to a model.
    every : int or None
        Tasks between two models; None: one, at the first task that is scored.
    ripe : float
        Only tasks that began at least so long before are learned from, by the clock
        of the timeline. Of the younger ones just the labels that come early are known,
        and those are not like the rest.
    """

    fit: Fit
    every: int | None = None
    ripe: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What was foretold as tasks came in; arrays of shape (n_rows,).

    Attributes
    ----------
    rows : Snapshots
        The tasks that were scored.
    risk : ndarray of float
        The model's risk.
    table : ndarray of float
        Share of needed tasks by agent version and domain, as known when each began.
    models : int
        How many were grown; 0 where the model was given.
    """

    rows: Snapshots
    risk: Floats
    table: Floats
    models: int


def stream(
    data: Snapshots,
    timeline: Timeline,
    model: Predict | Refit,
    *,
    share: float = 0.5,
) -> Streamed:
    """Return what `model` foretells of the later tasks as they come in.

    Parameters
    ----------
    data : Snapshots
        Labelled rows; signals of outcome history must follow the same timeline.
    timeline : Timeline
        Of the tasks of `data`, in their order there.
    model : callable or Refit
        A model as it is, or how to grow one from what is known.
    share : float in (0, 1]
        Of the tasks: those that began last are scored.

    Raises
    ------
    EvaluationError
        If the timeline is of other tasks, or no label is known when a model is grown.
    """
    _check(data, timeline)
    order = np.argsort(timeline.began, kind="stable")
    scored = order[len(order) - max(1, round(share * len(order))) :]
    task = np.repeat(np.arange(data.n_tasks), _lengths(data))
    risk = np.full(len(data), np.nan)
    parts = _parts(scored, model)
    for part in parts:
        at = np.isin(task, part)
        known = data.where(_usable(model, timeline, part[0])[task])
        risk[at] = _grown(model, known)(data.where(at))
    chosen = np.isin(task, scored)
    return Streamed(
        rows=data.where(chosen),
        risk=risk[chosen],
        table=tabulated(data, timeline)[task][chosen],
        models=len(parts) if isinstance(model, Refit) else 0,
    )


def _check(data: Snapshots, timeline: Timeline) -> None:
    if len(timeline.began) != data.n_tasks:
        msg = (
            f"the timeline must have one entry per task, {data.n_tasks}, found "
            f"{len(timeline.began)}; make it from the same snapshots"
        )
        raise EvaluationError(msg)


def _lengths(data: Snapshots) -> Indices:
    return np.diff(np.append(data.starts, len(data)))


def _parts(scored: Indices, model: Predict | Refit) -> list[Indices]:
    """Return the tasks by the model that scores them, in the order they came in."""
    every = model.every if isinstance(model, Refit) else None
    size = every or len(scored)
    return [scored[i : i + size] for i in range(0, len(scored), size)]


def _usable(model: Predict | Refit, timeline: Timeline, task: int) -> NDArray[np.bool_]:
    """Return from which tasks a model for `task` may learn, shape (n_tasks,)."""
    moment = timeline.began[task]
    ripe = model.ripe if isinstance(model, Refit) else 0.0
    return np.asarray(timeline.usable(moment) & (timeline.began <= moment - ripe))


def _grown(model: Predict | Refit, known: Snapshots) -> Predict:
    """Return the model as it is, or grown from what is known."""
    if not isinstance(model, Refit):
        return model
    if len(known) == 0:
        msg = (
            "no label was known when a model had to be grown: the delay is longer than "
            "the tasks before it; shorten it, or score a smaller share of the tasks"
        )
        raise EvaluationError(msg)
    return model.fit(known)


def tabulated(data: Snapshots, timeline: Timeline) -> Floats:
    """Return the base rate of each task's stratum as known when it began, (n_tasks,).

    A stratum (agent version and domain) is drawn to its domain, that to all tasks, by
    ten tasks each. A half where nothing is known.
    """
    first = data.starts
    keys = [
        tuple(k)
        for k in zip(strata(data)[first], data.domain[first].astype(str), strict=True)
    ]
    weight = np.add.reduceat(data.weight, first)
    tally: dict[str, tuple[float, float]] = {}
    coming: list[tuple[float, int]] = []
    found = np.empty(len(first))
    for i in np.argsort(timeline.began, kind="stable"):
        while coming and coming[0][0] <= timeline.began[i]:
            j = heapq.heappop(coming)[1]
            for key in _names(keys[j]):
                needed, n = tally.get(key, (0.0, 0.0))
                known = data.y[first[j]]
                tally[key] = needed + weight[j] * known, n + weight[j]
        found[i] = _rate(tally, keys[i])
        heapq.heappush(coming, (float(timeline.known[i]), int(i)))
    return found


def _names(key: tuple[str, str]) -> tuple[str, str, str]:
    stratum, domain = key
    return "", f"domain {domain}", f"stratum {stratum}"


def _rate(tally: Mapping[str, tuple[float, float]], key: tuple[str, str]) -> float:
    rate = 0.5
    for name in _names(key):
        needed, n = tally.get(name, (0.0, 0.0))
        rate = (needed + _PULL * rate) / (n + _PULL)
    return rate
