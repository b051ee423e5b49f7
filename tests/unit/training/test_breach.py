"""Tests of the simulated breach: what the drift benchmark measures."""

from __future__ import annotations

import pytest

from training.simulate.breach import Delays, World, measure_delays


@pytest.fixture(scope="module")
def measured() -> Delays:
    """Measure two small worlds once."""
    return measure_delays(World(before=8_000, after=12_000), seeds=2, rows=30)


def test_the_world_is_what_the_goal_speaks_of(measured: Delays) -> None:
    """A learned score, a miss rate within the limit, then three times the limit."""
    assert 0.7 < measured.auroc < 0.9
    assert measured.miss_rate < 0.1
    assert measured.miss_rate_after == pytest.approx(0.3, abs=0.02)


def test_a_threefold_breach_is_found_in_time(measured: Delays) -> None:
    """In the median within 5,000 tasks and what few replicates allow for."""
    assert 1_000 < measured.tasks_to_alarm.value < 6_500


def test_false_alarms_are_rarer_than_promised(measured: Delays) -> None:
    """At most one in 200,000 tasks, as far as few replicates can tell."""
    assert measured.false_alarms.low <= 1.0


def test_no_breach_is_no_alarm() -> None:
    """What stays within the limit is let alone, whatever happens beside it."""
    still = measure_delays(
        World(before=4_000, after=4_000, breach=0.9), seeds=1, rows=40
    )
    assert still.tasks_to_alarm.value > 4_000
