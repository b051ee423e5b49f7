"""A minute of each fault run, on both stores; `benchmarks/faults.py` has the long ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from _faults_actions import raced
from _faults_outage import outage
from _faults_packages import packages
from _faults_schedules import schedules

from serving import crash

pytestmark = pytest.mark.slow

KILLER = Path(__file__).parents[2] / "benchmarks" / "_faults_kills.py"
Where = tuple[str, str]


def test_no_kill_loses_doubles_or_tears_anything(where: Where) -> None:
    """Processes that serve are killed again and again; what they answered is true."""
    kind, server = where
    command = [sys.executable, str(KILLER), kind, "--server", server, "--kills", "25"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300)
    found = orjson.loads(done.stdout)
    assert found["kills"] >= 25
    assert found["by_themselves"] > 0
    assert found["handovers"] > 25
    assert (found["lost"], found["doubled"], found["torn"]) == ([], [], [])


def test_no_raced_action_is_executed_under_an_old_epoch(where: Where) -> None:
    """Agents act while people take their tasks away: the log has every act before."""
    found = raced(*where, 400)
    assert found.raced == 400
    assert found.refused > 0
    assert found.moves > 20
    assert found.old == []


def test_an_outage_of_a_day_loses_nothing(where: Where) -> None:
    """A channel is away for a day: another is told in time, and it is told later."""
    found = outage(*where, 60)
    assert (found.lost, found.doubled) == ([], [])
    assert found.visible <= 2
    assert 0 < found.fallback <= 120
    assert found.drain <= 600


def test_no_schedule_leaves_a_handoff_without_a_deadline(where: Where) -> None:
    """Random hours, zones, chains and people: something is always still to happen."""
    found = schedules(*where, 25)
    assert found.deadlines > 25
    assert found.stuck == []


def test_packages_leave_byte_for_byte_as_they_are_stored(where: Where) -> None:
    """Random packages through API, console, webhook and file are the stored bytes."""
    found = packages(*where, 15)
    assert found.bytes > 0
    assert found.changed == []


def test_crash_point_that_is_none_is_refused() -> None:
    """A misspelt place is refused with those there are, not taken for no crash."""
    with pytest.raises(crash.CrashPointError, match=r"before_commit.*'befor_commit'"):
        crash.arm({crash.VARIABLE: "befor_commit"})


@pytest.mark.parametrize("nth", [1, 3])
def test_crash_point_ends_the_process_at_the_nth_time(nth: int) -> None:
    """A process ends at the place it was told, as often passed as it was told."""
    words = (
        "from serving.crash import CrashPoint, passing\n"
        f"for n in range(1, {nth}): passing(CrashPoint.AFTER_SEND)\n"
        "print('still there', flush=True)\n"
        "passing(CrashPoint.AFTER_COMMIT); passing(CrashPoint.AFTER_SEND)\n"
        "print('not there')"
    )
    done = subprocess.run(
        [sys.executable, "-c", words],
        env={crash.VARIABLE: f"after_send:{nth}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (crash.EXIT_STATUS, "still there\n")
