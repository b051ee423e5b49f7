"""Tests of the alarms: each names segment, evidence, and what it withdraws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.monitor.alarm import Alarm, Code, Severity
from training.monitor.alarms import Watch, alarms_of
from training.monitor.outcome import Outcomes, TaskOutcome
from training.monitor.reference import Rates, reference_of
from training.monitor.watching import Watched, in_segment

HOUR = 3600.0
NOON = 1_780_000_000.0
WATCHED = Watched(
    promised={"": 0.3, "domain=retail": 0.3}, model_version="7", window=500
)


def world(
    seed: int,
    n: int,
    *,
    start: float = NOON,
    silent: float = 0.0,
    version: str = "1",
    transfers: float = 0.05,
    lower: float = 0.0,
) -> Outcomes:
    """Return tasks of a calibrated model, of which some fail without a sign."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        risk = float(rng.beta(0.3, 4))
        needed = rng.random() < risk
        caught = risk >= 0.1
        needed = needed or (not caught and rng.random() < silent)
        drawn = rng.random() < 0.1
        told = needed and not caught and rng.random() < 0.25
        made.append(
            TaskOutcome(
                task_id=f"{seed}-{i:06}",
                group=f"c{i % 50}",
                at=start + i * 60.0,
                escalated=caught,
                risk=risk * (1 - lower),
                threshold=0.1 * (1 - lower),
                q_uniform=0.1,
                uniform=drawn,
                needed=bool(needed) if caught or drawn or told else None,
                complained=bool(told),
                domain=("retail", "travel")[i % 2],
                agent_version=version,
                model_version="7",
                transferred=bool(rng.random() < transfers),
            )
        )
    return Outcomes.of(made)


def signals_of(outcomes: Outcomes, *, by: float = 0.0) -> dict[str, np.ndarray]:
    """Return two signals; the first is moved by so much."""
    rng = np.random.default_rng(len(outcomes))
    n = len(outcomes)
    return {"steps": rng.poisson(5, n) + by, "cost": rng.exponential(1, n)}


QUIET = world(1, 3_000)


def after(outcomes: Outcomes, *, by: float = 0.0) -> list[Alarm]:
    """Return what stands once `outcomes` have followed three thousand quiet tasks."""
    watch = Watch(WATCHED)
    watch.take(QUIET, signals_of(QUIET))
    later = replace(outcomes, at=outcomes.at + 3_000 * 60.0)
    watch.take(later, signals_of(outcomes, by=by))
    return watch.alarms()


def codes(alarms: list[Alarm]) -> set[Code]:
    """Return what the alarms are about."""
    return {alarm.code for alarm in alarms}


def test_a_quiet_world_raises_no_alarm() -> None:
    """Nothing is withdrawn because of chance."""
    assert after(world(2, 4_000)) == []


def test_misses_withdraw_the_certificates_they_break() -> None:
    """Of all tasks and of the segment, each by itself, with evidence and a time."""
    found = [a for a in after(world(3, 4_000, silent=0.1)) if a.code is Code.MISS_RATE]
    assert {a.withdraws for a in found} == {"", "domain=retail"}
    for alarm in found:
        assert alarm.segment == alarm.withdraws
        assert alarm.severity is Severity.CRITICAL
        assert alarm.evidence["total"] >= alarm.evidence["alarm_at"] == 200_000
        assert alarm.evidence["reported"] + alarm.evidence["drawn"] > 0
        assert NOON + 2_800 * 60 < alarm.since < NOON + 4_500 * 60
        assert "30.0%" in alarm.says


def test_misses_elsewhere_do_not_touch_a_segment() -> None:
    """Only the travel tasks go wrong."""
    bad = world(4, 4_000, silent=0.15)
    spared = np.flatnonzero((bad.domain == "travel") | bad.escalated)
    found = [a for a in after(bad.where(spared)) if a.code is Code.MISS_RATE]
    assert {a.withdraws for a in found} == {""}


def test_a_refused_certificate_is_not_watched() -> None:
    """What was never promised cannot be broken."""
    bad = world(5, 6_000, silent=0.2)
    found = alarms_of(bad, signals_of(bad), replace(WATCHED, promised={}))
    assert Code.MISS_RATE not in codes(found)


def test_another_model_is_not_blamed() -> None:
    """Its tasks count for the conduct of agents alone."""
    bad = world(6, 6_000, silent=0.2)
    found = alarms_of(bad, signals_of(bad), replace(WATCHED, model_version="8"))
    assert not codes(found) & {Code.MISS_RATE, Code.RISK_TOO_LOW}


def test_risks_that_are_too_low_are_found() -> None:
    """Ranks are as good as ever, and the certificate stands."""
    found = after(world(7, 4_000, lower=0.6))
    assert Code.RISK_TOO_LOW in codes(found)
    assert Code.MISS_RATE not in codes(found)
    (low,) = (a for a in found if a.code is Code.RISK_TOO_LOW)
    assert low.withdraws is None
    assert low.severity is Severity.SERIOUS


def test_scores_that_move_are_found_without_a_label() -> None:
    """And nothing is withdrawn because of it."""
    found = [
        a for a in after(world(8, 3_000, lower=0.6)) if a.code is Code.SCORES_SHIFTED
    ]
    assert [a.withdraws for a in found] == [None]


def test_a_shifted_signal_is_named_and_grows_serious() -> None:
    """A note at first, serious once it has stayed for three windows."""
    brief, long = after(world(9, 500), by=3.0), after(world(9, 1_500), by=3.0)
    assert [a.code for a in brief] == [a.code for a in long] == [Code.SIGNALS_SHIFTED]
    assert brief[0].severity is Severity.NOTICE
    assert long[0].severity is Severity.SERIOUS
    assert long[0].evidence["shifts"][0]["name"] == "steps"
    assert "steps" in long[0].says


def test_a_shift_that_has_passed_stands_no_more() -> None:
    """What a later window no longer shows is over."""
    watch = Watch(WATCHED)
    for tasks, by in ((QUIET, 0.0), (world(10, 500), 3.0), (world(11, 500), 0.0)):
        watch.take(tasks, signals_of(tasks, by=by))
    assert watch.alarms() == []


def test_a_new_agent_version_that_always_transfers_is_found() -> None:
    """By its conduct, and as a version the model has not met."""
    found = after(world(12, 1_000, version="2", transfers=0.95))
    assert codes(found) == {Code.TRANSFERS_UP, Code.VALUES_UNSEEN}
    (hatch,) = (a for a in found if a.code is Code.TRANSFERS_UP)
    assert hatch.segment == "agent_version=2"


def test_a_cleared_alarm_starts_from_nothing() -> None:
    """Tasks a person has answered for are not held against the model again."""
    bad = world(13, 4_000, silent=0.15)
    cleared = {(Code.MISS_RATE, ""): float(bad.at[-1])}
    found = alarms_of(bad, signals_of(bad), replace(WATCHED, cleared=cleared))
    assert [a.segment for a in found if a.code is Code.MISS_RATE] == ["domain=retail"]


def test_a_reference_of_the_bundle_is_used_from_the_first_task() -> None:
    """No window is spent on learning what was usual."""
    reference = reference_of(
        np.stack(list(signals_of(QUIET).values()), axis=1),
        list(signals_of(QUIET)),
        risk=QUIET.risk,
        categories={"domain": QUIET.domain},
        rates=Rates(tasks=3_000, escalated=int(QUIET.escalated.sum()), transferred=150),
    )
    first = world(14, 500)
    assert alarms_of(first, signals_of(first, by=3.0), WATCHED) == []
    found = alarms_of(first, signals_of(first, by=3.0), WATCHED, reference)
    assert codes(found) == {Code.SIGNALS_SHIFTED}


@given(cuts=st.lists(st.integers(1, 2_199), max_size=6, unique=True))
@settings(max_examples=12, deadline=None)
def test_alarms_do_not_depend_on_how_tasks_are_cut(cuts: list[int]) -> None:
    """Slice by slice and all at once find the same, to the last digit."""
    tasks = world(15, 2_200, silent=0.3, transfers=0.4)
    signals = signals_of(tasks)
    watch, start = Watch(WATCHED), 0
    for end in [*sorted(cuts), len(tasks)]:
        rows = np.arange(start, end)
        watch.take(tasks.where(rows), {n: v[rows] for n, v in signals.items()})
        start = end
    once = alarms_of(tasks, signals, WATCHED)
    assert watch.alarms() == once
    assert Code.MISS_RATE in codes(once)
    assert watch.n == len(tasks)


def test_alarms_stand_in_the_order_of_their_urgency() -> None:
    """What withdraws a certificate is read first."""
    found = after(world(16, 4_000, silent=0.15, version="2", transfers=0.9), by=3.0)
    ranks = [list(Severity).index(a.severity) for a in found]
    assert ranks == sorted(ranks)
    assert found[0].code is Code.MISS_RATE


def test_alarms_are_stored_whole() -> None:
    """Through JSON and back they are equal."""
    for alarm in after(
        world(17, 4_000, silent=0.15, version="2", transfers=0.9), by=3.0
    ):
        assert Alarm.from_json(orjson.loads(orjson.dumps(alarm.to_json()))) == alarm


def flood(n: int) -> Outcomes:
    """Return two quiet days of handovers, then an hour with `n`."""
    at = [NOON + h * HOUR + i for h in range(48) for i in range(3)]
    at += [NOON + 48 * HOUR + i for i in range(n)] + [NOON + 49 * HOUR]
    return Outcomes.of(
        TaskOutcome(
            task_id=f"{i:06}", group="g", at=when, escalated=True, agent_version="9"
        )
        for i, when in enumerate(at)
    )


@pytest.mark.parametrize(("n", "expected"), [(4, set()), (90, {Code.FLOOD})])
def test_a_flood_is_found_with_its_source(n: int, expected: set[Code]) -> None:
    """Ninety handovers where three are usual, all of one version."""
    watched = Watched(window=50)
    found = [a for a in alarms_of(flood(n), {}, watched) if a.code is Code.FLOOD]
    assert codes(found) == expected
    for alarm in found:
        assert alarm.evidence["source"] == "9"
        assert alarm.since == NOON // HOUR * HOUR + 48 * HOUR


Pick = Callable[[Outcomes], Any]


@pytest.mark.parametrize(
    ("segment", "pick"),
    [
        ("domain=retail", lambda o: o.domain == "retail"),
        ("agent_version=1", lambda o: o.agent_version == "1"),
        ("", lambda o: np.ones(len(o), dtype=bool)),
    ],
)
def test_a_segment_names_its_tasks(segment: str, pick: Pick) -> None:
    """By one fact and its value; nothing names all."""
    expected = QUIET.where(pick(QUIET)).task_id.tolist()
    assert in_segment(QUIET, segment).task_id.tolist() == expected
