"""Tests of the reference a training leaves: tasks as they end in production."""

from __future__ import annotations

import numpy as np
import pytest

from features.batch import events_table
from features.signals import NAMES
from training.dataset import Snapshots, snapshots
from training.labels import labels_of
from training.simulate import World
from training.usual import reference_for


@pytest.fixture(scope="module")
def data() -> Snapshots:
    """Return the snapshots of a simulated log."""
    log = events_table(World(seed=3).log(200))
    return snapshots(log, labels_of(log))


def test_every_task_counts_once(data: Snapshots) -> None:
    """Each at one step, with its risk, signals and facts."""
    risk = np.linspace(0, 1, len(data))
    made = reference_for(data, risk, None, np.zeros(len(data), dtype=bool))
    assert made.is_complete
    assert set(made.signals) == set(NAMES)
    assert {h.total for h in made.signals.values()} == {data.n_tasks}
    assert made.risk.known == made.rates.tasks == data.n_tasks
    assert made.rates.escalated == 0
    assert sum(made.categories["domain"].values()) == data.n_tasks


def test_a_task_ends_where_it_would_be_handed_over(data: Snapshots) -> None:
    """What came after the threshold, or after a rule, was never seen in production."""
    steps = NAMES.index("steps")
    never = np.zeros(len(data), dtype=bool)
    everywhere = reference_for(data, np.ones(len(data)), 0.5, never)
    by_rule = reference_for(data, np.zeros(len(data)), None, ~never)
    for made in (everywhere, by_rule):
        assert made.rates.escalated == data.n_tasks
        first = np.unique(data.x[data.starts, steps])
        assert len(made.signals["steps"].edges) <= max(len(first) - 1, 0)


def test_the_risk_is_the_highest_until_then(data: Snapshots) -> None:
    """Not the highest of the whole task."""
    risk = np.linspace(0, 0.9, len(data))
    never = np.zeros(len(data), dtype=bool)
    made = reference_for(data, risk, 0.0, never)
    assert made.expected(risk[data.starts]).shape == (data.n_tasks,)
    ended = reference_for(data, risk, None, never)
    assert max(made.risk.edges) < max(ended.risk.edges)


def test_what_a_highest_risk_stands_for_is_learned(data: Snapshots) -> None:
    """Where all tasks above a half needed a human, they stand for that."""
    risk = np.where(data.y == 1, 0.8, 0.1)
    made = reference_for(data, risk, None, np.zeros(len(data), dtype=bool))
    low, high = made.expected(np.array([0.1, 0.8]))
    assert low < 0.1
    assert high > 0.9
