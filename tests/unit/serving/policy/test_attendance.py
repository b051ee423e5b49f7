"""Tests of the proof that somebody is there at every moment of the next 14 days."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.policy.attendance import attended, first_absence, next_absences
from serving.policy.hours import Hours, Shift, first_gap
from serving.policy.rules import Policy, PolicyError, check

PolicyOf = Callable[..., Policy]

TODAY = date(2026, 11, 24)
# Nightly runs ask for more.
EXAMPLES = int(os.environ.get("ESCALON_SCHEDULES", "200"))
MINUTE = timedelta(minutes=1)


def queue(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "owner": "lead", "members": ["ana", "ben"], **more}


def gaps(policy: Policy, today: date = TODAY) -> str:
    with pytest.raises(PolicyError) as caught:
        attended(policy, today)
    return str(caught.value)


# --- against an oracle that looks at each minute ------------------------------------

_ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]
# Nights in which the clocks change, here or there, and some others.
_DAYS = [
    date(2026, 3, 3),
    date(2026, 3, 23),
    date(2026, 10, 20),
    date(2026, 10, 30),
    date(2027, 2, 20),
    date(2026, 7, 1),
]
_minutes = st.builds(time, st.integers(0, 23), st.sampled_from([0, 30, 59]))
_shifts = st.builds(
    Shift,
    days=st.sets(st.integers(0, 6), min_size=1).map(lambda d: tuple(sorted(d))),
    opens=_minutes,
    closes=_minutes,
)


@st.composite
def hours(draw: st.DrawFn) -> Hours:
    """Draw opening hours of up to three shifts, with holidays, in any zone."""
    first, *also = draw(st.lists(_shifts, min_size=1, max_size=3))
    start = draw(st.sampled_from(_DAYS))
    holidays = draw(st.sets(st.integers(0, 15), max_size=3))
    return Hours(
        **first.model_dump(),
        timezone=draw(st.sampled_from(_ZONES)),
        also=tuple(also),
        closed_on=tuple(start + timedelta(days=n) for n in sorted(holidays)),
    )


def is_open_by_the_clock(shop: Hours, at: datetime) -> bool:
    """Return whether `shop` is open at `at`, by comparing moments alone.

    Written without the code under test: it turns each wall-clock time to a moment by
    way of an offset, and looks at every day around.
    """
    for n in range(-3, 4):
        day = at.date() + timedelta(days=n)
        for shift in (shop, *shop.also):
            if day.weekday() not in shift.days or day in shop.closed_on:
                continue
            ends = day if shift.closes > shift.opens else day + timedelta(days=1)
            begin, end = (
                moment(shop, day, shift.opens),
                moment(shop, ends, shift.closes),
            )
            if begin <= at < end:
                return True
    return False


def moment(shop: Hours, day: date, clock: time) -> datetime:
    """Return the moment at which the clock of `shop` shows this, the first of two."""
    naive = datetime.combine(day, clock)
    offset = shop.local(naive.replace(tzinfo=UTC)).replace(tzinfo=None) - naive
    # Two offsets come into question near a change; the one before it is meant.
    before = shop.local(naive.replace(tzinfo=UTC) - timedelta(days=1))
    earlier = before.replace(tzinfo=None) - before.astimezone(UTC).replace(tzinfo=None)
    for candidate in (earlier, offset):
        at = naive.replace(tzinfo=UTC) - candidate
        if shop.local(at).replace(tzinfo=None) == naive:
            return at
    return naive.replace(tzinfo=UTC) - earlier  # in the hour that is left out


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    together=st.lists(hours(), min_size=1, max_size=3),
    today=st.sampled_from(_DAYS),
    days=st.integers(1, 14),
)
def test_the_first_gap_is_that_of_an_oracle_that_looks_at_each_minute(
    together: list[Hours], today: date, days: int
) -> None:
    """Exact over shift boundaries, zones, holidays and changes of the clocks."""
    start = datetime.combine(today, time(0), UTC)
    end = start + timedelta(days=days)

    def is_covered(at: datetime) -> bool:
        return any(is_open_by_the_clock(shop, at) for shop in together)

    found = first_gap(together, start, end)
    stop = end if found is None else min(found[0] + timedelta(hours=4), end)
    # A minute at a time near the gap; a quarter of an hour at a time before it.
    at = start
    while at < stop:
        is_in_gap = found is not None and found[0] <= at < found[1]
        past_gap = found is not None and at >= found[1]
        if not past_gap:
            assert is_covered(at) is not is_in_gap, at
        near = found is not None and at > found[0] - timedelta(minutes=32)
        at += MINUTE if near else 15 * MINUTE
    if found is not None and found[1] < end:
        assert is_covered(found[1])


@settings(max_examples=EXAMPLES, deadline=None)
@given(shop=hours(), today=st.sampled_from(_DAYS), minute=st.integers(0, 20_000))
def test_open_until_is_the_last_moment_somebody_is_there(
    shop: Hours, today: date, minute: int
) -> None:
    """Between now and then it is open; then it is not, or the limit is reached."""
    at = datetime.combine(today, time(0), UTC) + minute * MINUTE
    limit = at + timedelta(days=2)
    until = shop.open_until(at, limit)
    assert (until > at) is shop.is_open(at)
    assert until == limit or not shop.is_open(until)
    span = until - at
    assert all(shop.is_open(at + span * k / 50) for k in range(50) if span)


@settings(max_examples=EXAMPLES, deadline=None)
@given(shop=hours(), today=st.sampled_from(_DAYS), minute=st.integers(0, 20_000))
def test_is_open_is_what_the_clock_on_the_wall_says(
    shop: Hours, today: date, minute: int
) -> None:
    """The same as the oracle's, at any minute."""
    at = datetime.combine(today, time(0), UTC) + minute * MINUTE
    assert shop.is_open(at) is is_open_by_the_clock(shop, at)


# --- what a policy is told -----------------------------------------------------------


def test_the_policy_of_the_package_is_attended() -> None:
    """On every day of a year: its duty desk is there day and night."""
    policy = Policy.default()
    for n in range(0, 366, 7):
        day = TODAY + timedelta(days=n)
        assert attended(policy, day) is policy
        assert check(policy, today=min(day, policy.review_by)) == ()


def test_a_gap_is_named_in_local_time_with_what_to_do(policy_of: PolicyOf) -> None:
    """The first one: at which queue, from when to when, on whose clock."""
    office = {"timezone": "Europe/Berlin", "opens": "09:00", "closes": "17:00"}
    policy = policy_of(
        queues=[
            queue("general", hours={"opens": "16:00", "closes": "07:30"}),
            queue("billing", hours=office, chain=["general"]),
        ]
    )
    told = gaps(policy)
    assert told.count("\n- ") == 2
    assert (
        "queue 'billing': nobody is there from Tue 2026-11-24 08:30 to Tue 2026-11-24 "
        "09:00 (Europe/Berlin), neither at it nor at what takes over (general)"
    ) in told
    assert "queue 'general': nobody is there from Tue 2026-11-24 07:30" in told
    assert "`fallback_queue`" in told
    assert "`unattended: true`" in told


def test_a_minute_is_a_gap(policy_of: PolicyOf) -> None:
    """Between two shifts that do not meet somebody is missing; where they meet, not."""
    early = {"opens": "00:00", "closes": "12:00", "also": [{"opens": "12:01"}]}
    late = {"opens": "00:00", "closes": "12:01", "also": [{"opens": "12:00"}]}
    told = gaps(policy_of(queues=[queue("general", hours=early), queue("billing")]))
    assert "12:00 to Tue 2026-11-24 12:01 (UTC)" in told
    policy = policy_of(queues=[queue("general", hours=late), queue("billing")])
    assert attended(policy, TODAY) is policy


def test_the_night_the_clocks_go_back_has_an_hour_more(policy_of: PolicyOf) -> None:
    """Ten to two in Berlin and two to ten in UTC terms leave the doubled hour open."""
    policy = policy_of(
        queues=[
            queue(
                "general",
                hours={
                    "timezone": "Europe/Berlin",
                    "opens": "10:00",
                    "closes": "02:30",
                },
            ),
            queue("billing", hours={"opens": "00:30", "closes": "09:00"}),
        ],
        routes=[{"queue": "general"}],
    ).model_copy(
        update={
            "queues": [
                queue(
                    "general",
                    hours={
                        "timezone": "Europe/Berlin",
                        "opens": "10:00",
                        "closes": "02:30",
                    },
                    chain=["billing"],
                ),
                queue("billing", hours={"opens": "01:30", "closes": "09:00"}),
            ]
        }
    )
    # In winter 02:30 is 01:30 UTC; in the night of the change it comes an hour early.
    winter = datetime(2026, 11, 1, tzinfo=UTC)
    assert first_absence(policy, "general", winter) is None
    gap = first_absence(policy, "general", datetime(2026, 10, 24, 23, tzinfo=UTC))
    assert gap is not None
    assert gap == (
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    )


def test_a_policy_runs_out_when_a_holiday_comes_near(policy_of: PolicyOf) -> None:
    """Good today, it is refused once the holiday lies within 14 days."""
    day = date(2026, 12, 25)
    policy = policy_of(
        queues=[queue("general", hours={"closed_on": [str(day)]}), queue("billing")],
        routes=[{"queue": "general"}],
    )
    assert attended(policy, day - timedelta(days=14)) is policy
    assert "Fri 2026-12-25 00:00" in gaps(policy, day - timedelta(days=13))
    start = datetime.combine(day, time(0), UTC) - timedelta(days=2)
    assert next_absences(policy, start) == {
        "general": datetime(2026, 12, 25, tzinfo=UTC),
        "billing": None,
    }


def test_a_fallback_queue_fills_every_gap(policy_of: PolicyOf) -> None:
    """Who is last for all is there for all."""
    day = {"opens": "09:00", "closes": "17:00"}
    queues = [queue("general", hours=day), queue("billing", hours=day), queue("duty")]
    assert "general" in gaps(policy_of(queues=queues))
    policy = policy_of(queues=queues, fallback_queue="duty")
    assert attended(policy, TODAY) is policy


def test_a_queue_no_route_leads_to_needs_nobody(policy_of: PolicyOf) -> None:
    """What nobody is sent to leaves nobody waiting."""
    closed = queue("billing", hours={"opens": "09:00", "closes": "10:00"})
    policy = policy_of(queues=[queue("general"), closed], routes=[{"queue": "general"}])
    assert attended(policy, TODAY) is policy


def test_an_unattended_queue_is_declared_and_told(policy_of: PolicyOf) -> None:
    """It may go live; its owner is told when users are next left with nobody."""
    day = {"opens": "09:00", "closes": "17:00"}
    policy = policy_of(
        queues=[queue("general"), queue("billing", hours=day, unattended=True)]
    )
    assert attended(policy, TODAY) is policy
    (told,) = check(policy, today=TODAY)
    assert "'billing' is declared unattended: nobody is there from Tue" in told
    always = policy_of(queues=[queue("general", unattended=True), queue("billing")])
    assert check(always, today=TODAY) == (
        "queue 'general' is declared unattended, and somebody is always there",
    )
