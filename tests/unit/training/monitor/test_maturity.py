"""Tests of what share of the labels has come by an age."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.monitor.maturity import Delays, Maturity

TASKS = st.lists(
    st.tuples(st.floats(0, 100), st.none() | st.floats(0, 100)), min_size=1, max_size=60
)


def test_delays_that_are_cut_off_do_not_look_short() -> None:
    """With half of the tasks too young, the median delay is still found."""
    rng = np.random.default_rng(1)
    delay, age = rng.exponential(10.0, 4_000), rng.uniform(0, 20, 4_000)
    curve = Delays.seen(age, np.where(delay <= age, delay, np.nan))
    median = curve.times[np.argmax(curve.come >= 0.5)]
    assert median == pytest.approx(10 * np.log(2), rel=0.1)
    assert np.median(delay[delay <= age]) < 5.0


def test_labels_that_never_come_leave_the_curve_below_one() -> None:
    """A third that is never labelled is a third."""
    age = np.full(300, 50.0)
    delay = np.where(np.arange(300) % 3 == 0, np.nan, 5.0)
    assert Delays.seen(age, delay).ever == pytest.approx(2 / 3)


def test_the_share_labelled_at_an_age_is_what_is_seen_there() -> None:
    """Old tasks all have one, young ones none: no delay is assumed."""
    age = np.arange(100.0)
    curve = Maturity.seen(age, age >= 60)
    assert curve.by(np.array([10.0, 59.0, 60.0, 99.0, 500.0])).tolist() == [
        0,
        0,
        1,
        1,
        1,
    ]
    assert curve.ever == 1.0


@given(TASKS)
def test_the_share_never_falls_with_age(
    tasks: list[tuple[float, float | None]],
) -> None:
    """Both curves rise, between 0 and 1, and end at what ever comes."""
    age = np.array([a for a, _ in tasks])
    delay = np.array([np.nan if d is None else d for _, d in tasks])
    at = np.linspace(0, 120, 50)
    for curve in (Delays.seen(age, delay), Maturity.seen(age, ~np.isnan(delay))):
        come = curve.by(at)
        assert (np.diff(come) >= 0).all()
        assert (come >= 0).all()
        assert (come <= curve.ever + 1e-12).all()
        assert curve.ever <= 1 + 1e-12


def test_nothing_seen_is_nothing_known() -> None:
    """Without a task no label has come."""
    empty = np.zeros(0)
    for curve in (Delays.seen(empty, empty), Maturity.seen(empty, empty.astype(bool))):
        assert curve.ever == 0.0
        assert curve.by(np.array([5.0])).tolist() == [0.0]


def test_below_the_youngest_that_was_seen_nothing_else_is_assumed() -> None:
    """Where no task is, none is left out either."""
    curve = Maturity.seen(np.array([5.0, 6.0]), np.array([True, True]))
    assert curve.by(np.array([1.0])).tolist() == [1.0]


def test_every_label_of_a_task_of_its_age_is_possible() -> None:
    """Who has a label is never said to have had no chance of one."""
    rng = np.random.default_rng(0)
    age = rng.uniform(0, 10, 200)
    labelled = rng.random(200) < age / 10
    assert (Maturity.seen(age, labelled).by(age[labelled]) > 0).all()
