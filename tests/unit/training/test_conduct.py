"""Tests of the watch on agents: gaming in either direction, and floods."""

from __future__ import annotations

import numpy as np
import pytest

from training.monitor.conduct import Conduct, Promise, by_version, rates_of
from training.monitor.floods import HOUR, Flood, FloodFound
from training.monitor.outcome import Outcomes, TaskOutcome
from training.monitor.reference import Rates

RATES = Rates(tasks=5_000, escalated=1_000, transferred=400, labelled=5_000, gap=0.05)
ALARM_AT = 1_000_000.0


def tasks(
    seed: int,
    n: int,
    *,
    escalates: float = 0.2,
    transfers: float = 0.08,
    gap: float = 0.05,
    audits: float = 0.02,
    ok: float = 0.85,
    threshold: float = 0.5,
) -> Outcomes:
    """Return tasks of one agent version that conducts itself as said."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        escalated, drawn = rng.random() < escalates, rng.random() < audits
        went_well = rng.random() < ok
        made.append(
            TaskOutcome(
                task_id=f"{i:06}",
                group="g",
                at=float(i),
                escalated=escalated,
                needed=not went_well if escalated or drawn else None,
                uniform=drawn,
                q_uniform=audits,
                threshold=threshold,
                agent_version="2",
                confidence=float(np.clip(ok + gap + rng.normal(0, 0.05), 0, 1)),
                transferred=bool(rng.random() < transfers),
            )
        )
    return Outcomes.of(made)


def fired(outcomes: Outcomes, rates: Rates = RATES) -> set[str]:
    """Return what is found of `outcomes`."""
    state = Conduct.begin(Promise.of(rates, 0.02), ALARM_AT).advance(outcomes)
    return {name for name, d in state.detectors.items() if d.has_fired}


def test_an_agent_that_conducts_itself_as_before_is_let_alone() -> None:
    """Over twenty thousand tasks nothing is found."""
    assert fired(tasks(1, 20_000)) == set()


def test_half_as_much_again_is_no_news() -> None:
    """Rates move with the season."""
    assert fired(tasks(2, 10_000, escalates=0.28, transfers=0.1)) == set()


def test_a_spike_of_handovers_is_found() -> None:
    """The rate has doubled."""
    assert fired(tasks(3, 1_500, escalates=0.4)) == {"escalations_up"}


def test_a_drop_of_handovers_is_found() -> None:
    """A quarter of the rate is left."""
    assert fired(tasks(4, 1_500, escalates=0.05)) == {"escalations_down"}


def test_an_escape_hatch_is_found() -> None:
    """The agent always asks for a human."""
    assert fired(tasks(5, 60, transfers=1.0)) == {"transfers_up"}


def test_suppression_is_found() -> None:
    """The agent never asks for a human any more."""
    assert fired(tasks(6, 1_500, transfers=0.0)) == {"transfers_down"}


@pytest.mark.parametrize("seed", range(5))
def test_inflation_of_a_tenth_is_found_within_500_audits(seed: int) -> None:
    """The agent's word is worth a tenth less than in the reference."""
    inflated = tasks(10 + seed, 40_000, gap=0.15, audits=0.02)
    state = Conduct.begin(Promise.of(RATES, 0.02), ALARM_AT).advance(inflated)
    found = state.detectors["confidence_inflated"]
    assert found.has_fired
    audited = (inflated.uniform & ~inflated.escalated)[: int(found.fired)].sum()
    assert audited <= 500


def test_a_withdrawn_certificate_is_no_spike() -> None:
    """All tasks go to humans because the policy says so, not the agent."""
    assert fired(tasks(7, 2_000, escalates=1.0, threshold=0.0)) == set()


def test_without_rates_there_is_nothing_to_hold_against() -> None:
    """A bundle that knows none, and a log too short to tell."""
    assert not Conduct.begin(Promise.of(Rates(), 0.02), ALARM_AT).detectors


def test_rates_that_rest_on_little_leave_more_room() -> None:
    """Noise of the reference must not become an alarm."""
    few = Rates(tasks=50, escalated=10, transferred=4, labelled=50, gap=0.05)
    wide, narrow = Promise.of(few, 0.02), Promise.of(RATES, 0.02)
    assert wide.most_escalated > narrow.most_escalated
    assert wide.least_escalated < narrow.least_escalated
    assert wide.gap > narrow.gap


def test_rates_are_read_off_tasks() -> None:
    """With labels weighed by how they came."""
    rates = rates_of(tasks(8, 20_000, gap=0.1))
    assert rates.escalated / rates.tasks == pytest.approx(0.2, abs=0.02)
    assert rates.transferred / rates.tasks == pytest.approx(0.08, abs=0.01)
    assert rates.gap == pytest.approx(0.1, abs=0.06)
    assert 0 < rates.labelled < 5_000


def test_a_cleared_detector_passes_over_what_came_before() -> None:
    """What a person has answered is not raised again."""
    spiked = tasks(9, 1_500, escalates=0.4)
    state = Conduct.begin(Promise.of(RATES, 0.02), ALARM_AT)
    after = state.advance(spiked, {"escalations_up": 2_000.0})
    assert not after.detectors["escalations_up"].has_fired


def test_versions_are_told_apart() -> None:
    """Tasks without one belong to none."""
    mixed = Outcomes.of(
        [
            TaskOutcome(task_id=v, group="g", at=0.0, escalated=False, agent_version=v)
            for v in ("", "1", "2")
        ]
    )
    assert [version for version, _ in by_version(mixed)] == ["1", "2"]


# --- floods ------------------------------------------------------------------


def hours(counts: list[int], source: str = "2") -> tuple[Flood, list[FloodFound]]:
    """Return what is found over hours with so many handovers."""
    flood, found = Flood(), []
    for hour, count in enumerate([*counts, 1]):
        for n in range(count):
            flood, one = flood.advance(hour * HOUR + n, source)
            found += [] if one is None else [one]
    return flood, found


def test_an_hour_far_above_all_before_is_a_flood() -> None:
    """It is told with where it came from."""
    _, found = hours([10, 12, 8, 11] * 10 + [80])
    (flood,) = found
    assert (flood.start, flood.n, flood.source) == (40 * HOUR, 80, "2")
    assert flood.usual == pytest.approx(10.25)


def test_busy_and_quiet_hours_are_no_floods() -> None:
    """A day that is busy at noon is so every day."""
    day = [0] * 8 + [20, 40, 60, 80, 60, 40, 20] + [0] * 9
    assert not hours(day * 5)[1]


def test_ordinary_hours_are_no_floods() -> None:
    """A year of them, Poisson."""
    counts = np.random.default_rng(0).poisson(12, 24 * 60).tolist()
    assert not hours(counts)[1]


def test_a_first_day_is_no_flood() -> None:
    """Nothing is known yet of what is usual."""
    assert not hours([2] * 10 + [90])[1]


def test_a_flood_does_not_become_usual() -> None:
    """The next one is told as well."""
    assert len(hours([5] * 30 + [60] + [5] * 3 + [60])[1]) == 2


def test_hours_without_a_handover_count() -> None:
    """They are part of what is usual."""
    flood, _ = hours([1] + [0] * 30)
    assert (flood.hours, flood.total) == (31, 1)
    assert flood.to_json()["hours"] == 31
