from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.policy.hours import Hours

BERLIN = {"timezone": "Europe/Berlin", "opens": "09:00", "closes": "17:00"}
WEEKDAYS = (0, 1, 2, 3, 4)


def hours(**changes: Any) -> Hours:
    return Hours.model_validate(changes)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_hours_are_on_the_queues_own_clock() -> None:
    """Nine in Berlin is eight UTC in winter and seven in summer."""
    berlin = hours(**BERLIN)
    assert not berlin.is_open(utc(2026, 1, 15, 7, 59))
    assert berlin.is_open(utc(2026, 1, 15, 8, 0))
    assert berlin.is_open(utc(2026, 7, 15, 7, 0))
    assert not berlin.is_open(utc(2026, 7, 15, 15, 0))


def test_the_zone_of_the_question_does_not_matter() -> None:
    """The same moment in another zone has the same answer."""
    at = datetime(2026, 1, 15, 17, 30, tzinfo=timezone(timedelta(hours=9)))
    assert hours(**BERLIN).is_open(at)


def test_a_night_shift_belongs_to_the_day_it_began_on() -> None:
    """A shift over midnight is open on the morning after its day, and only then."""
    night = hours(opens="22:00", closes="06:00", days=[4])
    friday, saturday = utc(2026, 11, 27), utc(2026, 11, 28)
    assert not night.is_open(friday + timedelta(hours=3))
    assert night.is_open(friday + timedelta(hours=23))
    assert night.is_open(saturday + timedelta(hours=5, minutes=59))
    assert not night.is_open(saturday + timedelta(hours=6))
    assert not night.is_open(saturday + timedelta(hours=23))


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
def test_the_same_time_twice_is_round_the_clock(at: datetime) -> None:
    """By default a queue is open at every moment, changes of the clocks included."""
    assert hours(timezone="Europe/Berlin").is_open(at.replace(tzinfo=UTC))


def test_a_holiday_is_closed() -> None:
    """On a day it is closed on, nobody is there."""
    berlin = hours(**BERLIN, closed_on=["2026-12-25"])
    assert not berlin.is_open(utc(2026, 12, 25, 10))
    assert berlin.is_open(utc(2026, 12, 26, 10))


def test_the_next_opening_skips_weekend_and_holiday() -> None:
    """After Thursday before Christmas comes Monday."""
    berlin = hours(**BERLIN, days=WEEKDAYS, closed_on=["2026-12-25"])
    assert berlin.next_opening(utc(2026, 12, 24, 20)) == utc(2026, 12, 28, 8)


def test_the_next_opening_of_an_open_queue_is_now() -> None:
    """Nobody waits for an opening that has been."""
    at = utc(2026, 11, 24, 12)
    assert hours(**BERLIN).next_opening(at) == at


def test_the_morning_after_the_clocks_change_is_an_hour_earlier() -> None:
    """The wait over the night of a change is counted in true hours."""
    berlin = hours(**BERLIN)
    evening = utc(2026, 3, 28, 17)  # Saturday 18:00, clocks go forward at 02:00
    assert berlin.next_opening(evening) == utc(2026, 3, 29, 7)


def test_a_shift_inside_the_hour_that_is_left_out_does_not_take_place() -> None:
    """A shift from 02:30 to 03:00 does not exist in the night the clocks go forward."""
    early = hours(timezone="America/New_York", opens="02:30", closes="03:00")
    assert early.next_opening(utc(2026, 3, 8, 0)) == utc(2026, 3, 8, 0) + timedelta(
        days=1, hours=6, minutes=30
    )


def test_a_queue_closed_for_a_year_has_no_next_opening() -> None:
    """A list of holidays that leaves nothing leaves no opening."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    closed = [f"{start + timedelta(days=n):%Y-%m-%d}" for n in range(800)]
    assert hours(**BERLIN, closed_on=closed).next_opening(utc(2026, 3, 1)) is None


@given(
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    opens=st.times().map(lambda t: t.replace(microsecond=0)),
    closes=st.times().map(lambda t: t.replace(microsecond=0)),
    days=st.sets(st.integers(0, 6), min_size=1).map(sorted).map(tuple),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
def test_it_is_open_at_its_next_opening_and_closed_until_then(
    at: datetime, opens: Any, closes: Any, days: tuple[int, ...], zone: str
) -> None:
    """Between now and the next opening there is no open moment; at it there is."""
    shop = Hours(opens=opens, closes=closes, days=days, timezone=zone)
    now = at.replace(tzinfo=UTC)
    then = shop.next_opening(now)
    assert then is not None
    assert shop.is_open(then)
    if then > now:
        assert not any(shop.is_open(now + (then - now) * k / 8) for k in range(8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timezone": "Europe/Berlim"}, "use a name like Europe/Berlin"),
        ({"timezone": "../etc"}, "use a name like Europe/Berlin"),
        ({"days": []}, "at least 1"),
        ({"days": [7]}, "less than or equal to 6"),
        ({"opens": 480}, "the queue's own clock"),
        ({"opens": "08:00Z"}, "the queue's own clock"),
        ({"closes": "25:00"}, "the queue's own clock"),
    ],
)
def test_hours_that_cannot_be_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    """An unknown zone, no day, a day that no week has, a time that no clock shows."""
    with pytest.raises(ValidationError, match=message):
        hours(**changes)
