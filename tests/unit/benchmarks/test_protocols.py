"""How the figures are measured: certified flags, baselines, splits and errors."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from features.signals import NAMES
from training.dataset import Snapshots

Import = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def protocols(benchmark: Import) -> ModuleType:
    """Return the protocols, with the loaders' module already found."""
    benchmark("_real_logs")
    return benchmark("_protocols")


def tasks(
    needed: np.ndarray, *, versions: np.ndarray, domains: np.ndarray, steps: int = 1
) -> Snapshots:
    """Return tasks of `steps` rows each."""
    n = len(needed)
    names = np.repeat(np.array([f"t{i:04}" for i in range(n)]), steps)
    return Snapshots(
        task_ids=names,
        groups=names,
        domain=np.repeat(domains, steps),
        agent_version=np.repeat(versions, steps),
        tier=np.full(n * steps, "?"),
        started=np.repeat(np.arange(n, dtype=float), steps),
        position=np.tile(np.arange(steps), n),
        x=np.zeros((n * steps, len(NAMES))),
        y=np.repeat(needed.astype(float), steps),
        weight=np.full(n * steps, 1 / steps),
    )


def test_false_alarms_stay_below_the_certified_rate(protocols: ModuleType) -> None:
    """In nine of ten replays at least, the true false-alarm rate is what was asked."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(1_000):
        highest, failed = rng.random(120), np.zeros(120, dtype=bool)
        calm = np.sort(highest)[::-1]
        allowed = protocols.most_false_alarms(120, 0.1)
        wrong += 1 - calm[allowed] > 0.1
        # A failing task above the threshold is flagged, one at it is not.
        test = np.array([calm[allowed], calm[allowed] + 1e-9])
        found = protocols.flagged(
            (highest, failed), (test, np.ones(2, dtype=bool)), 0.1
        )
        assert found == 0.5
    assert 50 < wrong < 125


@given(n=st.integers(1, 300), rate=st.sampled_from([0.05, 0.1, 0.2]))
def test_as_many_false_alarms_are_allowed_as_the_count_permits(
    protocols: ModuleType, n: int, rate: float
) -> None:
    """One more would not be certified, and this many are."""
    allowed = protocols.most_false_alarms(n, rate)
    assert allowed == -1 or binom.cdf(allowed, n, rate) <= 0.1
    assert binom.cdf(allowed + 1, n, rate) > 0.1


def test_too_few_successes_flag_nothing(protocols: ModuleType) -> None:
    """Where no threshold can be certified, none is used."""
    few = np.full(10, 0.1), np.zeros(10, dtype=bool)
    failing = np.ones(5), np.ones(5, dtype=bool)
    assert protocols.flagged(few, failing, 0.05) == 0.0


def test_table_knows_the_stratum_then_the_domain_then_all(
    protocols: ModuleType,
) -> None:
    """A version unknown in a domain has the domain's rate; an unknown both, the base."""
    versions = np.repeat(np.array(["a", "a", "b"]), 100)
    domains = np.repeat(np.array(["x", "y", "y"]), 100)
    needed = np.repeat(np.array([1, 0, 1]), 100)
    train = tasks(needed, versions=versions, domains=domains, steps=2)
    asked = tasks(
        np.zeros(4),
        versions=np.array(["a", "a", "new", "new"]),
        domains=np.array(["x", "y", "x", "new"]),
    )
    found = protocols.base_rate_table(train, asked, 0)
    assert found[0] > 0.97
    assert found[1] < 0.1
    assert found[2] == pytest.approx(0.97, abs=0.03)
    assert found[3] == pytest.approx(2 / 3)


def test_no_row_is_scored_by_what_saw_its_name(protocols: ModuleType) -> None:
    """Out of fold, the learned tasks and the scored ones share no name."""
    names = np.repeat(np.array([f"n{i}" for i in range(20)]), 5)
    data = tasks(np.arange(100) % 2, versions=names, domains=names)

    def risk(train: Snapshots, test: Snapshots, seed: int) -> np.ndarray:
        assert set(train.agent_version).isdisjoint(test.agent_version)
        return np.full(len(test), float(seed))

    found = protocols.out_of_fold(data, names, risk, k=4, seed=7)
    assert found.tolist() == [7.0] * 100


def test_parts_are_whole_tasks_in_the_shares_asked_for(protocols: ModuleType) -> None:
    """Every task is in one part, with all its rows, and no seed gives the same parts."""
    same = np.full(500, "v")
    data = tasks(np.arange(500) % 2, versions=same, domains=same, steps=3)
    masks = list(protocols.parted(data, (0.4, 0.2, 0.4), 1))
    assert np.array_equal(np.sum(masks, axis=0), np.ones(1500))
    assert [m.sum() for m in masks] == [600, 300, 600]
    assert all((m.reshape(500, 3).sum(1) % 3 == 0).all() for m in masks)
    assert not np.array_equal(masks[0], next(protocols.parted(data, (0.4, 0.6), 2)))


def test_errors_are_told_apart_by_stage(
    protocols: ModuleType, benchmark: Import
) -> None:
    """A risk that is wrong early, and right at the end, is so told."""
    rng, n = np.random.default_rng(0), 4_000
    same = np.full(n, "v")
    needed = rng.random(n) < 0.5
    data = tasks(needed, versions=same, domains=same, steps=2)
    real = benchmark("_real").Real(
        name="made", rows=data, step=data.position + 1, known=data.started
    )
    risk = np.where(data.position == 0, 0.8, 0.5)
    found = protocols.errors(real, risk)
    assert found.end < 0.03
    assert found.worst_stage == pytest.approx(0.3, abs=0.02)
    assert found.every_step == pytest.approx(0.3 / np.sqrt(2), abs=0.02)
