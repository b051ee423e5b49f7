"""Evidence: a model, another to hold it against, and tasks it has not learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.bundle import ModelBundle
from training.costs import Costs
from training.dataset import Snapshots
from training.evaluate.intervals import Resampling
from training.evaluate.metrics import Floats
from training.evaluate.rows import Rows
from training.gates.parts import Parts
from training.labels import Label


@dataclass(frozen=True, kw_only=True)
class View:
    """Some of the tasks in order, with what a bootstrap draws.

    Attributes
    ----------
    data : Snapshots
        The tasks.
    rows : Rows
        The same, sorted.
    draws : Resampling
        Of their customers.
    """

    data: Snapshots
    rows: Rows
    draws: Resampling

    @classmethod
    def of(cls, data: Snapshots, *, replicates: int, seed: int) -> View:
        """Return the view of `data`."""
        rows = Rows.of(data)
        draws = Resampling.draw(rows.n_clusters, replicates=replicates, seed=seed)
        return cls(data=data, rows=rows, draws=draws)

    def risks(self, bundle: ModelBundle) -> Floats:
        """Return the risk of each sorted row."""
        return bundle.risks(self.data.x)[self.rows.order]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the gates look at; they compute, and ask nobody else.

    Attributes
    ----------
    bundle : ModelBundle
        The model that wants to be champion.
    data : Snapshots
        Labelled tasks of customers it has not learned from, none labelled because of
        how it went.
    labels : Mapping of str to Label
        Of the tasks in `data`, by task.
    parts : Parts or None
        What its training used its tasks for; None: not recorded.
    champion, champion_parts
        The model in use, and the same of it; None: there is none.
    gaming : Mapping or None
        `training.gaming.Gaming.to_json`, of its training; None: not measured.
    leaks : tuple of str
        Signals that change when outcome events are taken out of the log.
    refit : bool or None
        Whether the same data and seed gave the same model again; None: not tried.
    now : datetime
        When it is asked, UTC.
    costs : Costs
        Prices of a review and of a miss.
    here : tuple of str
        Schema lines of the signals that this version computes.
    """

    bundle: ModelBundle
    data: Snapshots
    labels: Mapping[str, Label]
    parts: Parts | None
    champion: ModelBundle | None = None
    champion_parts: Parts | None = None
    gaming: Mapping[str, Any] | None = None
    leaks: tuple[str, ...] = ()
    refit: bool | None = None
    now: datetime
    costs: Costs = field(default_factory=Costs)
    here: tuple[str, ...]
    replicates: int = 300
    seed: int = 0

    @cached_property
    def view(self) -> View:
        """All the tasks."""
        return View.of(self.data, replicates=self.replicates, seed=self.seed)

    @cached_property
    def risk(self) -> Floats:
        """The model's risk of each row of `view`."""
        return self.view.risks(self.bundle)

    @property
    def is_fresh(self) -> NDArray[np.bool_]:
        """Which rows of `data` the certificate was not made on."""
        if self.parts is None:
            return np.zeros(len(self.data), dtype=bool)
        return ~self.parts.certified.holds(self.data)

    @cached_property
    def unseen(self) -> View | None:
        """The tasks that the champion has not learned from either; None: too few."""
        rows = np.ones(len(self.data), dtype=bool)
        if self.champion_parts is not None:
            rows = ~self.champion_parts.learned.holds(self.data)
        part = self.data.where(rows)
        if not 0 < part.n_needed < part.n_tasks:
            return None
        return View.of(part, replicates=self.replicates, seed=self.seed)
