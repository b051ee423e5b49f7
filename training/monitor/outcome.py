"""What became of the tasks a model has judged: what KPIs and monitors are fed with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """One task that is over, or was handed over, and what is known of it by now.

    Attributes
    ----------
    task_id, group : str
        The task, and its customer: what is drawn as a whole in a bootstrap.
    at : float
        When the last decision on it was made, s since 1970.
    escalated : bool
        Whether it was handed over (or the agent told to stop): a human saw it.
    risk : float in [0, 1]
        The highest risk it reached; NaN where no model gave one.
    threshold : float
        What the risk was held against at that step; NaN where there was none.
    q_uniform, q_targeted : float in [0, 1]
        Propensity of each audit stream, as logged with the last decision.
    uniform, targeted : bool
        Whether the draw selected it for each stream; meaningless where escalated.
    needed : bool or None
        The label; None while there is none. Silence is no label.
    evidence : str
        What the label rests on: "audit", "verdict", "resolution", "complaint",
        "reopened", in lower case; "" where there is none.
    matured : float
        When the label became known, s since 1970; NaN where there is none.
    domain, agent_version, tier, trigger : str
        Segments. `trigger` is the first that fired; "" where none did.
    model_version : str
        The model that judged it last; "" where rules did.
    confidence : float in [0, 1]
        The agent's last word on how sure it is; NaN where it gave none.
    transferred : bool
        Whether the agent itself asked for, or made, a transfer to a human.
    complained : bool
        Whether a complaint that nobody found wrong, or a reopening, came in: the task
        has a label whether or not it was drawn, so it leaves the audit frame.
    draw : float in [0, 1)
        The draw of the uniform stream, as logged: `uniform` is ``draw < q_uniform``.
        NaN where it is not known.
    """

    task_id: str
    group: str
    at: float
    escalated: bool
    risk: float = math.nan
    threshold: float = math.nan
    q_uniform: float = 0.0
    q_targeted: float = 0.0
    uniform: bool = False
    targeted: bool = False
    needed: bool | None = None
    evidence: str = ""
    matured: float = math.nan
    domain: str = ""
    agent_version: str = ""
    tier: str = ""
    trigger: str = ""
    model_version: str = ""
    confidence: float = math.nan
    transferred: bool = False
    complained: bool = False
    draw: float = math.nan


_TEXT = {
    "task_id",
    "group",
    "evidence",
    "domain",
    "agent_version",
    "tier",
    "trigger",
    "model_version",
}
_FLAGS = {"escalated", "uniform", "targeted", "transferred", "complained"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Many `TaskOutcome` as columns, in order of `at`; every array (n_tasks,).

    `needed` is a float: 1, 0, and NaN where there is no label.
    """

    task_id: NDArray[np.str_]
    group: NDArray[np.str_]
    at: NDArray[np.float64]
    escalated: NDArray[np.bool_]
    risk: NDArray[np.float64]
    threshold: NDArray[np.float64]
    q_uniform: NDArray[np.float64]
    q_targeted: NDArray[np.float64]
    uniform: NDArray[np.bool_]
    targeted: NDArray[np.bool_]
    needed: NDArray[np.float64]
    evidence: NDArray[np.str_]
    matured: NDArray[np.float64]
    domain: NDArray[np.str_]
    agent_version: NDArray[np.str_]
    tier: NDArray[np.str_]
    trigger: NDArray[np.str_]
    model_version: NDArray[np.str_]
    confidence: NDArray[np.float64]
    transferred: NDArray[np.bool_]
    complained: NDArray[np.bool_]
    draw: NDArray[np.float64]

    @classmethod
    def of(cls, outcomes: Iterable[TaskOutcome]) -> Self:
        """Return `outcomes` as columns, the earliest decision first."""
        rows = sorted(outcomes, key=lambda one: (one.at, one.task_id))
        return cls(**{f.name: _column(f.name, rows) for f in fields(cls)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the tasks of all `parts`, at least one, as they stand."""
        return cls(
            **{
                f.name: np.concatenate([getattr(part, f.name) for part in parts])
                for f in fields(cls)
            }
        )

    def __len__(self) -> int:
        return len(self.at)

    def where(self, rows: NDArray[Any]) -> Self:
        """Return the tasks that `rows`, a mask or places, names."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whether a task has a label, shape (n_tasks,)."""
        return ~np.isnan(self.needed)

    @property
    def propensity(self) -> NDArray[np.float64]:
        """Probability that the task gets a label, shape (n_tasks,).

        1 where it was handed over, or complained about: no draw was needed.
        """
        drawn = 1 - (1 - self.q_uniform) * (1 - self.q_targeted)
        return np.where(self.escalated | self.complained, 1.0, drawn)


def _column(name: str, rows: list[TaskOutcome]) -> NDArray[Any]:
    values = [getattr(row, name) for row in rows]
    if name in _TEXT:
        return np.array(values, dtype=np.str_)
    if name in _FLAGS:
        return np.array(values, dtype=np.bool_)
    known = [math.nan if value is None else float(value) for value in values]
    return np.array(known, dtype=np.float64)
