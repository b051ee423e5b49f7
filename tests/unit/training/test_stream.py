"""Streaming evaluation: what is foretold of a task, and from whose labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.signals import NAMES
from training.dataset import Snapshots
from training.evaluate.rows import EvaluationError
from training.evaluate.stream import Predict, Refit, Timeline, stream, tabulated
from training.evaluate.streamed import at_stream_steps

N_STEPS = 3


def tasks(needed: list[int] | np.ndarray, *, steps: int = N_STEPS) -> Snapshots:
    """Return tasks of `steps` rows each; a version and a domain by turns of two."""
    n = len(needed)
    names = np.array([f"t{i:04}" for i in range(n)])
    x = np.zeros((n * steps, len(NAMES)))
    x[:, 0] = np.repeat(np.arange(n), steps)
    return Snapshots(
        task_ids=np.repeat(names, steps),
        groups=np.repeat(names, steps),
        domain=np.repeat(np.array(["d0", "d1"])[np.arange(n) % 2], steps),
        agent_version=np.repeat(np.array(["v0", "v1"])[np.arange(n) // 2 % 2], steps),
        tier=np.full(n * steps, "?"),
        started=np.repeat(np.arange(n, dtype=float), steps),
        position=np.tile(np.arange(steps), n),
        x=x,
        y=np.repeat(np.asarray(needed, dtype=float), steps),
        weight=np.full(n * steps, 1 / steps),
    )


def mean_of_known(known: Snapshots) -> Predict:
    """Return a model that says of every row how often the known tasks needed one."""
    rate = float(np.average(known.y, weights=known.weight))
    return lambda rows: np.full(len(rows), rate)


def noting(seen: list[set[str]]) -> Callable[[Snapshots], Predict]:
    """Return `mean_of_known`, noting which tasks each model learned from."""

    def fit(known: Snapshots) -> Predict:
        seen.append(set(known.task_ids.tolist()))
        return mean_of_known(known)

    return fit


def in_turn(n: int, *, delay: int) -> Timeline:
    return Timeline.by_count(np.arange(n), delay=delay)


def changed(data: Snapshots, flipped: np.ndarray) -> Snapshots:
    """Return the same tasks, with the labels of some turned round."""
    rows = np.repeat(flipped, N_STEPS)
    fields = {f: getattr(data, f) for f in Snapshots.__dataclass_fields__}
    return Snapshots(**{**fields, "y": np.where(rows, 1 - data.y, data.y)})


@given(
    needed=st.lists(st.integers(0, 1), min_size=12, max_size=40),
    delay=st.integers(0, 5),
    every=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_no_label_is_used_before_it_was_known(
    needed: list[int], delay: int, every: int, seed: int
) -> None:
    """Turning round what is not yet known changes nothing that was foretold by then."""
    data, n = tasks(needed), len(needed)
    order = np.random.default_rng(seed).permutation(n)
    timeline = Timeline.by_count(order, delay=delay)
    model = Refit(fit=mean_of_known, every=every)
    told = stream(data, timeline, model)
    moment = float(np.random.default_rng(seed + 1).integers(0, n))
    unknown = timeline.known > moment
    again = stream(changed(data, unknown), timeline, model)
    began = np.repeat(timeline.began, N_STEPS)
    by_then = began[np.isin(data.task_ids, told.rows.task_ids)] <= moment
    assert np.array_equal(told.risk[by_then], again.risk[by_then])
    assert np.array_equal(told.table[by_then], again.table[by_then])


@given(
    needed=st.lists(st.integers(0, 1), min_size=12, max_size=40),
    delay=st.integers(0, 4),
)
def test_a_label_counts_from_the_moment_it_is_known(
    needed: list[int], delay: int
) -> None:
    """Each model has learned from exactly the tasks whose delay had passed."""
    seen: list[set[str]] = []
    data, n = tasks(needed), len(needed)
    timeline = in_turn(n, delay=delay)
    stream(data, timeline, Refit(fit=noting(seen), every=1))
    first = n - max(1, round(0.5 * n))
    names = data.task_ids[data.starts]
    assert seen == [set(names[: i - delay].tolist()) for i in range(first, n)]


def test_a_model_without_refits_is_grown_once() -> None:
    """All tasks that are scored have the model of the first one."""
    seen: list[set[str]] = []
    data = tasks([0, 1] * 10)
    told = stream(data, in_turn(20, delay=2), Refit(fit=noting(seen)))
    assert (told.models, len(seen)) == (1, 1)
    assert told.rows.n_tasks == 10
    assert len(np.unique(told.risk)) == 1


def test_a_given_model_learns_nothing() -> None:
    """A model as it is scores the later tasks, and no label is asked for."""
    data = tasks([0, 1] * 10)
    told = stream(data, in_turn(20, delay=1_000), lambda rows: rows.x[:, 0] / 100)
    assert told.models == 0
    assert np.array_equal(told.risk, np.repeat(np.arange(10, 20), N_STEPS) / 100)


def test_tasks_too_young_to_be_like_the_rest_are_not_learned_from() -> None:
    """With `ripe` a task counts only so long after it began, known or not."""
    seen: list[set[str]] = []
    data = tasks([0, 1] * 10)
    grow = Refit(fit=noting(seen), ripe=4.0)
    stream(data, in_turn(20, delay=0), grow)
    assert seen == [{f"t{i:04}" for i in range(7)}]


def test_delay_longer_than_the_tasks_before_is_refused() -> None:
    """Where no label is known in time, what to do about it is said."""
    data = tasks([0, 1] * 10)
    with pytest.raises(EvaluationError, match="shorten it"):
        stream(data, in_turn(20, delay=15), Refit(fit=mean_of_known))


def test_timeline_of_other_tasks_is_refused() -> None:
    """A timeline has one entry per task."""
    with pytest.raises(EvaluationError, match="one entry per task, 20, found 19"):
        stream(tasks([0, 1] * 10), in_turn(19, delay=1), lambda rows: rows.y)


@given(needed=st.lists(st.integers(0, 1), min_size=4, max_size=30))
def test_table_is_the_rate_of_what_was_known(needed: list[int]) -> None:
    """Stratum drawn to domain drawn to all by ten tasks each, counted task by task."""
    data, n = tasks(needed), len(needed)
    timeline = in_turn(n, delay=1)
    found = tabulated(data, timeline)
    y = np.array(needed, dtype=float)
    domain, version = np.arange(n) % 2, np.arange(n) // 2 % 2
    for i in range(n):
        known = np.arange(n) < i - 1
        rate = 0.5
        for same in (np.ones(n, dtype=bool), domain == domain[i]):
            rate = (y[known & same].sum() + 10 * rate) / ((known & same).sum() + 10)
        cell = known & (domain == domain[i]) & (version == version[i])
        rate = (y[cell].sum() + 10 * rate) / (cell.sum() + 10)
        assert found[i] == pytest.approx(rate)


def test_figures_stand_at_absolute_steps_of_tasks_that_got_there() -> None:
    """A risk that tells only from step 2 on ranks at step 2 and not at step 1."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    data = tasks(y, steps=4)
    # Every other task ended after its first step.
    data = data.where((data.position == 0) | (data.x[:, 0] % 2 == 0))
    timeline = Timeline.by_count(rng.permutation(200), delay=3)
    told = stream(
        data, timeline, lambda rows: np.where(rows.position >= 1, rows.y, 0.5), share=1
    )
    found = at_stream_steps(told, steps=(1, 2, 9), replicates=20)
    assert {k: f.n_tasks for k, f in found.items()} == {"1": 200, "2": 100, "end": 200}
    assert found["1"].model.auroc.value == 0.5
    assert found["2"].model.auroc.value == 1.0
    assert found["2"].within_strata.value == 1.0
    assert found["2"].model_minus_table.auroc.value > 0.3
    assert found["2"].to_json()["model"]["auroc"]["value"] == 1.0


def test_steps_may_be_those_of_the_log() -> None:
    """Where steps are given, the last row up to a step stands for it."""
    data = tasks([0, 1] * 30)
    told = stream(
        data, in_turn(60, delay=1), lambda rows: (rows.position + 1) / 10, share=1
    )
    steps = np.tile(np.array([0, 5, 9]), 60)
    found = at_stream_steps(told, steps=(4, 8), step=steps, replicates=5)
    assert found["4"].model.brier.value == pytest.approx((0.1**2 + 0.9**2) / 2)
    assert found["8"].model.brier.value == pytest.approx((0.2**2 + 0.8**2) / 2)
