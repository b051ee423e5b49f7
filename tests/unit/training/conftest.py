"""One simulated log, trained on once, and labelled rows made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from features.batch import events_table
from features.signals import NAMES
from training.dataset import Snapshots, snapshots
from training.labels import labels_of
from training.model import Recipe
from training.simulate import World
from training.train import Order, Trained, train

N_TASKS = 1500
RULES = ("asks_for_human", "safety_topic", "regulated_topic")

MakeRows = Callable[..., Snapshots]


def hard_rules(data: Snapshots) -> NDArray[np.bool_]:
    """Return where a user has asked for a human or touched a sensitive topic."""
    columns = [NAMES.index(name) for name in RULES]
    return np.asarray((data.x[:, columns] > 0).any(axis=1))


@pytest.fixture(scope="session")
def quick() -> Recipe:
    """Return a recipe that is grown in a second or two."""
    return Recipe(rounds=80, rate=0.1, leaves=8, random_cuts=True)


@pytest.fixture(scope="session")
def log() -> pa.Table:
    """Return the events of simulated tasks, all of them with a verdict."""
    return events_table(World(seed=3).log(N_TASKS))


@pytest.fixture(scope="session")
def simulated(log: pa.Table) -> Snapshots:
    """Return the labelled rows of the simulated log."""
    return snapshots(log, labels_of(log))


@pytest.fixture(scope="session")
def told() -> list[str]:
    """Return what the training says of its progress, as it goes."""
    return []


@pytest.fixture(scope="session")
def order(quick: Recipe, told: list[str]) -> Order:
    """Return the order that `trained` was made to."""
    return Order(rules=hard_rules, recipe=quick, progress=told.append)


@pytest.fixture(scope="session")
def trained(log: pa.Table, order: Order) -> Trained:
    """Return a training on the simulated log."""
    return train(log, order)


@pytest.fixture(scope="session")
def rows() -> MakeRows:
    """Return a maker of labelled rows; what is not given is plain."""

    def make(n_rows: int, **given: Any) -> Snapshots:
        columns: dict[str, Any] = {
            "task_ids": np.array([f"t{i}" for i in range(n_rows)]),
            "groups": np.array([f"g{i}" for i in range(n_rows)]),
            "domain": np.full(n_rows, "retail"),
            "agent_version": np.full(n_rows, "1"),
            "tier": np.full(n_rows, "basic"),
            "started": np.arange(n_rows, dtype=np.float64),
            "position": np.zeros(n_rows, dtype=np.int64),
            "x": np.full((n_rows, len(NAMES)), np.nan),
            "y": np.zeros(n_rows),
            "weight": np.ones(n_rows),
        }
        for name, values in given.items():
            if name in columns:
                columns[name] = values
            else:
                columns["x"][:, NAMES.index(name)] = values
        return Snapshots(**columns)

    return make
