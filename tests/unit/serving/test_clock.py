"""Tests of the steady clock, held against a machine's clock that misbehaves."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.clock import MOST_AHEAD, SteadyClock

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


class Machine:
    """A machine whose clock can be set, beside a monotonic one that cannot."""

    def __init__(self) -> None:
        self.says = START
        self.ran = 100.0

    def now(self) -> datetime:
        """Return what the clock on the wall says."""
        return self.says

    def elapsed(self) -> float:
        """Return for how long the machine has run, in s."""
        return self.ran

    def run(self, span: timedelta) -> None:
        """Let `span` pass on both clocks."""
        self.says += span
        self.ran += span.total_seconds()


@pytest.fixture
def machine() -> Machine:
    """Make a machine at noon."""
    return Machine()


def steady(machine: Machine, since: datetime | None = None) -> SteadyClock:
    """Return a steady clock on `machine`."""
    return SteadyClock(since, now=machine.now, elapsed=machine.elapsed)


def test_a_sound_clock_is_followed(machine: Machine) -> None:
    """Nothing is added to, or taken from, a clock that runs as it should."""
    clock = steady(machine)
    for _ in range(5):
        machine.run(SECOND)
        assert clock() == machine.says


def test_a_jump_ahead_is_followed_at_once(machine: Machine) -> None:
    """What is due by the machine's clock is due."""
    clock = steady(machine)
    machine.says += HOUR
    assert clock() == START + HOUR


def test_time_goes_on_after_a_jump_back_and_comes_right(machine: Machine) -> None:
    """Behind by an hour, time runs at half its pace for two hours, and is right."""
    clock = steady(machine)
    machine.run(SECOND)
    last = clock()
    machine.says -= HOUR
    assert clock() == last
    machine.run(HOUR)
    assert clock() == last + HOUR / 2
    machine.run(HOUR)
    assert clock() == last + HOUR == machine.says
    machine.run(SECOND)
    assert clock() == machine.says


@given(st.lists(st.floats(-7_200, 7_200), max_size=40), st.floats(0, 30))
def test_time_never_goes_back(jumps: list[float], between: float) -> None:
    """However the machine's clock jumps, no time is earlier than the one before."""
    machine = Machine()
    clock = steady(machine)
    given = [clock()]
    for jump in jumps:
        machine.run(timedelta(seconds=between))
        machine.says += timedelta(seconds=jump)
        given.append(clock())
    assert all(before <= after for before, after in pairwise(given))


def test_a_step_back_is_said_once(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says by how much; another that the clock is right again."""
    caplog.set_level(logging.INFO, logger="serving.clock")
    clock = steady(machine)
    machine.says -= 5 * SECOND
    for _ in range(15):
        clock()
        machine.run(SECOND)
    said = [
        (record.action, getattr(record, "seconds", None)) for record in caplog.records
    ]  # type: ignore[attr-defined]
    assert said == [("clock_went_back", 5.0), ("clock_caught_up", None)]


def test_small_corrections_are_not_said(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """What a time server corrects all day is no news."""
    clock = steady(machine)
    machine.says -= 0.5 * SECOND
    clock()
    assert not caplog.records


def test_a_service_begins_where_its_store_ended(machine: Machine) -> None:
    """A clock set back while the service was down gives no earlier record."""
    clock = steady(machine, START + HOUR)
    assert clock() == START + HOUR


def test_a_store_of_the_far_future_is_not_followed(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """It was written under a wrong clock; that is said, and time goes on."""
    clock = steady(machine, START + MOST_AHEAD + SECOND)
    assert clock() == START
    assert [record.action for record in caplog.records] == ["store_ahead"]  # type: ignore[attr-defined]
