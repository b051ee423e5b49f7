"""Tests of the four KPIs, their trend, and their breakdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from training.monitor.agreement import Pair
from training.monitor.kpis import DAY, FIGURES, By, Kpis, Seen, kpis
from training.monitor.outcome import Outcomes, TaskOutcome
from training.monitor.service import Handled, Rated, service

# A Wednesday at noon.
NOON = 1_795_608_000.0


def task(n: int, **known: Any) -> TaskOutcome:
    """Return a task of a customer of its own."""
    plain: dict[str, Any] = {
        "group": f"c{n}",
        "at": NOON,
        "escalated": False,
        "risk": 0.2,
    }
    return TaskOutcome(task_id=f"t{n}", **{**plain, **known})


def handled(n: int, **known: Any) -> Handled:
    """Return a handoff of a customer of its own."""
    return Handled(**{"handoff_id": f"h{n}", "group": f"c{n}", "queued": NOON, **known})


def figures(
    tasks: Sequence[TaskOutcome],
    handoffs: Sequence[Handled] = (),
    pairs: Sequence[Pair] = (),
    by: By | None = None,
) -> Kpis:
    """Return the figures a week later."""
    seen = Seen(
        outcomes=Outcomes.of(tasks),
        handled=tuple(handoffs),
        pairs=tuple(pairs),
        now=NOON + 7 * DAY,
    )
    return kpis(seen, by=by)


def escalated(n: int, needed: bool | None, **known: Any) -> TaskOutcome:  # noqa: FBT001
    """Return a task that was handed over."""
    matured = float("nan") if needed is None else NOON + 3_600
    return task(n, escalated=True, needed=needed, matured=matured, **known)


def audited(n: int, needed: bool | None, **known: Any) -> TaskOutcome:  # noqa: FBT001
    """Return a task that was drawn with one chance in two."""
    matured = float("nan") if needed is None else NOON + 3_600
    return task(n, q_uniform=0.5, uniform=True, needed=needed, matured=matured, **known)


def silent(n: int, **known: Any) -> TaskOutcome:
    """Return a task that was not drawn."""
    return task(n, q_uniform=0.5, **known)


def test_escalation_rate_counts_all_tasks() -> None:
    """Handed over, of all that were decided on, labelled or not."""
    found = figures([escalated(0, None), *(silent(n) for n in range(1, 10))])
    rate = found.overall.escalation_rate
    assert (rate.value, rate.n) == (0.1, 10)


def test_appropriateness_counts_verdicts_on_handovers_alone() -> None:
    """Of four handed over three were judged; audits of others do not count."""
    tasks = [
        escalated(0, True),
        escalated(1, True),
        escalated(2, False),
        escalated(3, None),
        audited(4, True),
    ]
    right = figures(tasks).overall.appropriateness
    assert (right.value, right.n) == (pytest.approx(2 / 3), 3)


def test_the_miss_rate_weighs_audits() -> None:
    """One audited miss with one chance in two stands for two; two were caught."""
    tasks = [escalated(0, True), escalated(1, True), audited(2, True), silent(3)]
    missed = figures(tasks).overall.miss_rate
    assert missed.value is not None
    assert missed.value == pytest.approx(0.5, abs=0.05)
    assert missed.n == 3
    assert missed.low is not None
    assert missed.high is not None
    assert missed.low < 0.1 < missed.value <= missed.high


def test_sufficiency_counts_ratings() -> None:
    """Unrated packages say nothing."""
    enough = [
        handled(0, ratings=(Rated(True),)),
        handled(1, ratings=(Rated(False),)),
        handled(2),
    ]
    found = figures([silent(0)], enough).overall.context_sufficiency
    assert (found.value, found.n) == (0.5, 2)


def test_each_person_who_rated_a_package_counts_once() -> None:
    """Two receivers of one package are two ratings of one customer's task."""
    both = handled(0, ratings=(Rated(True), Rated(False, ("why",))))
    found = figures([silent(0)], [both]).overall.context_sufficiency
    assert (found.value, found.n) == (0.5, 2)


def test_the_parts_missed_most_often_come_first() -> None:
    """Each has its share of all ratings, with an interval; one that nobody misses has none."""
    rated = [
        handled(0, ratings=(Rated(False, ("why", "attempts")),)),
        handled(1, ratings=(Rated(False, ("why",)),)),
        handled(2, ratings=(Rated(True),)),
        handled(3, ratings=(Rated(True),)),
    ]
    found = figures([silent(0)], rated).missing_parts
    assert {part: one.value for part, one in found.items()} == {
        "why": 0.5,
        "attempts": 0.25,
    }
    assert list(found) == ["why", "attempts"]
    assert found["why"].n == 4
    assert found["why"].low is not None
    assert found["why"].low < 0.5
    assert figures([silent(0)], rated).to_json()["missing_parts"]["why"]["value"] == 0.5
    assert figures([silent(0)]).missing_parts == {}


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_known_names_what_is_missing(name: str) -> None:
    """No figure is made of nothing."""
    found = getattr(figures([]).overall, name)
    assert found.value is None
    assert found.missing


def test_no_complaint_is_not_a_verdict() -> None:
    """Silent tasks of which nobody spoke leave the miss rate unknown, not at zero."""
    found = figures([escalated(0, True), *(silent(n) for n in range(1, 50))])
    assert found.overall.miss_rate.value is None
    assert "verdicts" in found.overall.miss_rate.missing
    complained = task(99, q_uniform=0.5, needed=True, complained=True, matured=NOON)
    told = figures([escalated(0, True), complained, *(silent(n) for n in range(1, 50))])
    assert told.overall.miss_rate.value is None


def test_drawn_tasks_without_a_verdict_are_counted_in_what_is_missing() -> None:
    """It says how many wait for a reviewer."""
    found = figures([escalated(0, True), audited(1, None), audited(2, None)])
    assert "none of 2 drawn" in found.overall.miss_rate.missing


def test_the_trend_is_by_day_and_by_week_where_it_is_long() -> None:
    """Days of the calendar in UTC; weeks begin on Monday."""
    days = [silent(n, at=NOON + n * DAY) for n in range(3)]
    names = [row.name for row in figures(days).trend]
    assert names == ["2026-11-25", "2026-11-26", "2026-11-27"]
    long = [silent(0), silent(1, at=NOON + 5 * DAY), silent(2, at=NOON + 60 * DAY)]
    assert [row.name for row in figures(long).trend] == [
        "2026-11-23",
        "2026-11-30",
        "2027-01-18",
    ]


def test_a_period_has_the_handoffs_that_were_queued_in_it() -> None:
    """Ratings count to the day of the handover."""
    days = [silent(0), silent(1, at=NOON + DAY)]
    rated = [
        handled(0, ratings=(Rated(True),)),
        handled(1, ratings=(Rated(False),), queued=NOON + DAY),
    ]
    values = [row.context_sufficiency.value for row in figures(days, rated).trend]
    assert values == [1.0, 0.0]


@pytest.mark.parametrize("by", [By.DOMAIN, By.AGENT_VERSION, By.TIER, By.MODEL_VERSION])
def test_segments_part_the_tasks_the_largest_first(by: By) -> None:
    """Each task counts in the segment it was in, and so does its handoff."""
    tasks = [
        escalated(0, True, **{by: "a"}),
        silent(1, **{by: "b"}),
        silent(2, **{by: "b"}),
    ]
    rated = [handled(0, ratings=(Rated(True),), **{by: "a"})]
    rows = figures(tasks, rated, by=by).segments
    assert [(row.name, row.escalation_rate.n) for row in rows] == [("b", 2), ("a", 1)]
    assert rows[1].escalation_rate.value == 1.0
    assert rows[1].context_sufficiency.value == 1.0
    assert rows[0].context_sufficiency.value is None


def test_by_trigger_shares_are_of_all_tasks_and_nothing_is_missed_by_one() -> None:
    """Shares of the triggers add up to the escalation rate."""
    tasks = [
        escalated(0, True, trigger="loop"),
        escalated(1, False, trigger="loop"),
        escalated(2, True, trigger="learned"),
        *(silent(n) for n in range(3, 10)),
    ]
    found = figures(tasks, by=By.TRIGGER)
    shares = {row.name: row.escalation_rate.value for row in found.segments}
    assert shares == {"loop": 0.2, "learned": 0.1}
    assert found.segments[0].appropriateness.value == 0.5
    assert all(row.miss_rate.value is None for row in found.segments)


def test_a_trigger_that_took_no_effect_is_no_escalation() -> None:
    """In shadow mode a trigger fires and nothing is handed over."""
    tasks = [task(0, trigger="loop"), escalated(1, True, trigger="loop")]
    (row,) = figures(tasks, by=By.TRIGGER).segments
    assert row.escalation_rate.value == 0.5


def test_json_has_every_figure_with_its_interval() -> None:
    """What the surface answers is what is shown."""
    told = figures([escalated(0, True), silent(1)], by=By.DOMAIN).to_json()
    for name in (*FIGURES, "miss_bound", "agreement", "kappa"):
        assert set(told[name]) == {"value", "low", "high", "n", "method", "missing"}
    assert told["at"] == "2026-12-02T12:00:00Z"
    assert told["by"] == "domain"
    assert (told["from"], told["until"]) == (None, None)


# --- how the desks keep up ----------------------------------------------------------


def test_time_to_claim_counts_what_still_waits() -> None:
    """Leaving out who waits would make a desk look the faster the more it drops."""
    quick = [handled(n, claimed=NOON + 60.0) for n in range(5)]
    slow = [handled(n, queued=NOON - 9_000.0) for n in range(5, 9)]
    found = service([*quick, *slow], NOON + 600.0)["time_to_claim_s"]
    assert found.value == 60.0
    assert found.n == 9
    assert found.high is None
    unknown = service([*quick[:3], *slow], NOON + 600.0)["time_to_claim_s"]
    assert unknown.value is None
    assert "fewer than half" in unknown.missing


def test_the_interval_of_the_median_is_that_of_the_order_statistics() -> None:
    """Of a hundred the 40th and the 61st hold the median in 95 of 100 cases."""
    claims = [handled(n, claimed=NOON + n + 1.0) for n in range(100)]
    found = service(claims, NOON + 1e6)["time_to_claim_s"]
    assert found.value == 50.0
    assert (found.low, found.high) == (40.0, 61.0)


def test_the_oldest_that_waits_is_the_oldest_unclaimed() -> None:
    """Claimed and closed handoffs do not wait."""
    some = [
        handled(0, queued=NOON - 900, claimed=NOON),
        handled(1, queued=NOON - 600),
        handled(2, queued=NOON - 300),
    ]
    found = service(some, NOON)["oldest_waiting_s"]
    assert (found.value, found.n) == (600.0, 2)
    assert service(some[:1], NOON)["oldest_waiting_s"].missing == "nothing waits"


def test_the_drain_rate_is_the_share_closed() -> None:
    """With its interval; a queue that does not drain shows."""
    some = [handled(n, closed=NOON + 1 if n < 3 else None) for n in range(4)]
    found = service(some, NOON + 2)["drain_rate"]
    assert (found.value, found.n) == (0.75, 4)
    assert service([], NOON)["drain_rate"].value is None


def test_the_share_that_had_to_ask_again_is_of_all_handoffs() -> None:
    """A user who writes again while waiting has not been told enough."""
    some = [handled(n, asked_again=n == 0) for n in range(4)]
    found = service(some, NOON)["asked_again"]
    assert (found.value, found.n) == (0.25, 4)


def test_transfers_that_were_announced_must_have_been_recorded() -> None:
    """Of two tasks in which the agent promised a person one got one."""
    tasks = [escalated(0, True, transferred=True), task(1, transferred=True), silent(2)]
    found = figures(tasks).service["announced_recorded"]
    assert (found.value, found.n) == (0.5, 2)
    assert figures([silent(0)]).service["announced_recorded"].value is None


def test_how_far_tasks_were_is_the_median_of_their_events() -> None:
    """Live, it is all that is seen of how early a handover came."""
    some = [handled(n, before=n) for n in range(1, 4)]
    assert service(some, NOON)["events_before_handover"].value == 2.0


def test_labels_do_not_depend_on_the_order_of_the_tasks() -> None:
    """Figures are of sets of tasks."""
    tasks = [escalated(0, True), audited(1, True), audited(2, False), silent(3)]
    later = [replace(one, at=one.at + n) for n, one in enumerate(reversed(tasks))]
    assert figures(tasks).overall == figures(list(reversed(tasks))).overall
    assert (
        figures(later).overall.escalation_rate == figures(tasks).overall.escalation_rate
    )
