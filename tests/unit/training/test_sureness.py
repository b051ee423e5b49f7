from __future__ import annotations

import warnings
from dataclasses import asdict, replace

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from training.bundle import Sureness
from training.calibrate import Sample, sureness

Floats = NDArray[np.float64]


def sample_of(score: Floats, y: Floats, *, weight: Floats | None = None) -> Sample:
    """Return out-of-fold scores, a customer each."""
    n = len(score)
    return Sample(
        score=score,
        steps=np.ones(n),
        y=y,
        weight=np.ones(n) if weight is None else weight,
        expected=np.full(n, np.nan),
        spoke=np.zeros(n, dtype=bool),
        groups=np.arange(n).astype(str),
    )


def drawn(n: int, seed: int) -> Sample:
    """Return scores that are calibrated, with labels drawn by them."""
    rng = np.random.default_rng(seed)
    score = rng.normal(-1, 1.5, n)
    return sample_of(score, (rng.random(n) < expit(score)).astype(np.float64))


def alone(sample: Sample, seed: int = 0) -> Sureness:
    """Return the sureness of tasks of a row each."""
    tasks = np.array([f"t{i}" for i in range(len(sample.y))])
    return sureness(sample, tasks, seed=seed)


# --- an oracle ---------------------------------------------------------------


def oracle(sample: Sample, edges: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return both risks of each bin by the library's inductive Venn-Abers predictor."""
    bins = np.searchsorted(edges, sample.score, side="right").astype(np.float64)
    every = np.arange(len(edges) + 1.0)
    # The library divides by zero on its way, and turns numpy's warnings off for all.
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        from venn_abers import (  # type: ignore[import-untyped]  # noqa: PLC0415
            VennAbers,
        )

        fitted = VennAbers()
        fitted.fit(np.column_stack([-bins, bins]), sample.y)
        _, both = fitted.predict_proba(np.column_stack([-every, every]))
    return both[:, 0], both[:, 1]


@pytest.mark.parametrize("n", [25, 60, 400, 3000])
@pytest.mark.parametrize("seed", range(4))
def test_both_risks_are_those_of_the_library(n: int, seed: int) -> None:
    """On the same bins the library finds the same risks, with one label and another."""
    sample = drawn(n, seed)
    found = alone(sample)
    low, high = oracle(sample, found.edges)
    np.testing.assert_allclose(found.low, low, atol=1e-6)
    np.testing.assert_allclose(found.high, high, atol=1e-6)
    assert len(found.low) == min(100, n)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=20, max_size=200))
def test_the_library_agrees_whatever_the_labels(rows: list[tuple[int, bool]]) -> None:
    """Few different scores, ties at the lowest, labels against the scores: the same."""
    score, y = (
        np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)
    )
    sample = sample_of(score, y)
    found = alone(sample)
    low, high = oracle(sample, found.edges)
    is_taken = np.isin(
        np.arange(len(low)), np.searchsorted(found.edges, score, side="right")
    )
    np.testing.assert_allclose(np.array(found.low)[is_taken], low[is_taken], atol=1e-6)
    np.testing.assert_allclose(
        np.array(found.high)[is_taken], high[is_taken], atol=1e-6
    )


# --- what it says ------------------------------------------------------------


@given(st.integers(1, 300), st.integers(0, 50))
def test_risks_rise_with_the_score_and_keep_their_order(n: int, seed: int) -> None:
    """Low is never above high, and neither falls where the score rises."""
    found = alone(drawn(n, seed))
    grid = np.linspace(-12, 12, 200)
    low, high = found.between(grid)
    assert ((low >= 0) & (low <= high) & (high <= 1)).all()
    assert (np.diff(low) >= -1e-9).all()
    assert (np.diff(high) >= -1e-9).all()


def test_few_labels_leave_a_wide_gap_and_many_a_narrow_one() -> None:
    """The gap shrinks with the number of labels."""
    widths = []
    for n in (30, 300, 3_000):
        low, high = alone(drawn(n, 1)).between(np.linspace(-3, 1, 50))
        widths.append(float((high - low).mean()))
    assert widths[0] > 2 * widths[1] > 4 * widths[2]
    assert widths[0] > 0.1
    assert widths[2] < 0.02


def test_it_is_wide_where_labels_are_few() -> None:
    """Of one sample, scores that a single task has are open and crowded ones are not."""
    rng = np.random.default_rng(2)
    score = np.concatenate([rng.normal(-2, 0.2, 2_000), [0.0], rng.normal(2, 0.2, 39)])
    y = (rng.random(len(score)) < expit(score)).astype(np.float64)
    low, high = alone(sample_of(score, y)).between(np.array([-2.0, 2.0]))
    assert high[0] - low[0] < 0.03
    assert high[1] - low[1] > 2 * (high[0] - low[0])


def test_a_single_task_leaves_nearly_all_open() -> None:
    """From one label nobody knows much, and no label at all is never seen."""
    found = alone(sample_of(np.zeros(1), np.ones(1)))
    assert (found.low, found.high) == ((0.5,), (1.0,))


def test_the_truth_is_mostly_between() -> None:
    """Where scores are calibrated, the true risk is near both risks."""
    truth = np.linspace(-3, 1, 40)
    low, high = alone(drawn(20_000, 3)).between(truth)
    assert np.abs((low + high) / 2 - expit(truth)).mean() < 0.03


def test_one_row_of_each_task_counts() -> None:
    """A task's steps repeat its label, so twenty of them are no surer than one."""
    one = drawn(100, 4)
    rows = np.repeat(np.arange(100), 20)
    many = replace(
        one.where(np.ones(100, dtype=bool)),
        **{
            name: getattr(one, name)[rows]
            for name in ("score", "steps", "y", "expected", "spoke", "groups")
        },
        weight=np.full(2000, 1 / 20),
    )
    tasks = np.array([f"t{i:03}" for i in range(100)])
    assert sureness(many, tasks[rows]) == sureness(one, tasks)


def test_weights_undo_a_selection() -> None:
    """Labels seen with unequal chances teach the risk of all tasks."""
    whole = drawn(30_000, 5)
    propensity = np.where(whole.y > 0, 1.0, 0.2)
    seen = np.random.default_rng(6).random(30_000) < propensity
    part = replace(whole.where(seen), weight=1 / propensity[seen])
    grid = np.linspace(-3, 1, 30)
    low, high = alone(part).between(grid)
    assert np.abs((low + high) / 2 - expit(grid)).mean() < 0.05
    naive = alone(replace(part, weight=np.ones(seen.sum()))).between(grid)[0]
    assert np.mean(naive - expit(grid)) > 0.15


def test_the_row_of_a_task_is_drawn_by_the_seed() -> None:
    """The same seed gives the same value to the bit, another one other rows."""
    rng = np.random.default_rng(7)
    score = rng.normal(size=600)
    sample = sample_of(score, (rng.random(600) < expit(score)).astype(np.float64))
    tasks = np.repeat([f"t{i}" for i in range(200)], 3)
    assert sureness(sample, tasks, seed=1) == sureness(sample, tasks, seed=1)
    assert sureness(sample, tasks, seed=1) != sureness(sample, tasks, seed=2)


# --- the value ---------------------------------------------------------------


def test_an_edge_begins_its_bin() -> None:
    """A score at an edge belongs to the bin above it; beyond the last, to the last."""
    found = Sureness(edges=(0.0, 1.0), low=(0.1, 0.2, 0.3), high=(0.4, 0.5, 0.6))
    low, high = found.between(np.array([-9.0, -1e-9, 0.0, 0.99, 1.0, 99.0]))
    assert low.tolist() == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert high.tolist() == [0.4, 0.4, 0.5, 0.5, 0.6, 0.6]


def test_it_is_the_same_after_json() -> None:
    """Written as JSON and read again, it is the same to the bit."""
    found = alone(drawn(500, 8))
    assert Sureness.of(orjson.loads(orjson.dumps(asdict(found)))) == found
