"""Opening hours: when somebody is there, on the queue's own clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from serving.policy.part import Part

_ON_THE_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")


def _on_the_clock(value: object) -> object:
    """Return `value` if it is a time of the clock, with no zone: the queue has one.

    A number would be taken for seconds after midnight, UTC.
    """
    if isinstance(value, str) and _ON_THE_CLOCK.fullmatch(value):
        return value
    if isinstance(value, time) and value.tzinfo is None:
        return value
    msg = 'expected a time of the queue\'s own clock, such as "09:00"'
    raise ValueError(msg)


Clock = Annotated[
    time,
    BeforeValidator(_on_the_clock),
    WithJsonSchema({"type": "string", "pattern": f"^{_ON_THE_CLOCK.pattern}$"}),
]
Weekday = Annotated[int, Field(ge=0, le=6)]
Weekdays = Annotated[tuple[Weekday, ...], Field(min_length=1)]
Span = tuple[datetime, datetime]

_DAY = timedelta(days=1)
_ALL_WEEK = (0, 1, 2, 3, 4, 5, 6)
# A queue can be closed for a long holiday, but not for ever.
HORIZON = timedelta(days=370)


class Shift(Part):
    """Times of the day at which somebody is there.

    Attributes
    ----------
    days : tuple of int
        Weekdays it begins on, Monday is 0.
    opens, closes : time
        Local. The same time twice is round the clock; `closes` before `opens` is the
        next day's morning, and belongs to the day it opened on.
    """

    days: Weekdays = _ALL_WEEK
    opens: Clock = time(0, 0)
    closes: Clock = time(0, 0)

    def on(self, day: date, zone: ZoneInfo) -> Span | None:
        """Return begin and end (UTC) of the shift that opens on `day`, if there is one.

        The wall clock is turned to UTC at both ends, so a shift over a change of the
        clocks is an hour longer or shorter, as it is for those who work it.
        """
        if day.weekday() not in self.days:
            return None
        last = day if self.closes > self.opens else day + _DAY
        begin = datetime.combine(day, self.opens, zone).astimezone(UTC)
        end = datetime.combine(last, self.closes, zone).astimezone(UTC)
        # A short shift can fall into the hour that a change of the clocks leaves out.
        return (begin, end) if begin < end else None


class Hours(Shift):
    """When a queue is staffed, on its own clock.

    Attributes
    ----------
    also : tuple of Shift
        More shifts, such as the afternoon after a break at noon.
    closed_on : tuple of date
        Holidays, by the day it would have opened on.
    """

    timezone: str = "UTC"
    also: tuple[Shift, ...] = ()
    closed_on: tuple[date, ...] = ()

    @model_validator(mode="after")
    def _zone_exists(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            msg = (
                f"timezone {self.timezone!r} is unknown; use a name like Europe/Berlin"
            )
            raise ValueError(msg) from None
        return self

    def local(self, at: datetime) -> datetime:
        """Return `at` (timezone-aware) on the queue's own clock."""
        return at.astimezone(ZoneInfo(self.timezone))

    def _on(self, day: date) -> list[Span]:
        """Return the shifts that open on `day`, in order."""
        if day in self.closed_on:
            return []
        zone = ZoneInfo(self.timezone)
        shifts = (shift.on(day, zone) for shift in (self, *self.also))
        return sorted(span for span in shifts if span is not None)

    def spans(self, start: datetime) -> Iterator[Span]:
        """Yield begin and end (UTC) of each shift that ends after `start`, in order.

        They may overlap. The last one begins within a year of `start` (`HORIZON`).
        """
        # What opened yesterday may still be open.
        first = self.local(start).date() - _DAY
        for n in range(HORIZON // _DAY):
            yield from (s for s in self._on(first + n * _DAY) if s[1] > start)

    def is_open(self, at: datetime) -> bool:
        """Whether somebody is there at `at` (timezone-aware)."""
        today = self.local(at).date()
        days = (today, today - _DAY)
        return any(begin <= at < end for day in days for begin, end in self._on(day))

    def next_opening(self, at: datetime) -> datetime | None:
        """Return when somebody is there, from `at` on, in UTC; None: not in a year."""
        begin = next((begin for begin, _ in self.spans(at)), None)
        return None if begin is None else max(begin, at.astimezone(UTC))

    def open_until(self, at: datetime, limit: datetime) -> datetime:
        """Return when nobody is there any more, from `at` on; `limit` if that is later.

        Closed at `at`, it is `at` itself.
        """
        gap = first_gap([self], at, limit)
        return limit.astimezone(UTC) if gap is None else gap[0]


def first_gap(together: Iterable[Hours], start: datetime, end: datetime) -> Span | None:
    """Return the first time between `start` and `end` in which all are closed; or None.

    Exact: from the end of one shift to the begin of the next, in UTC. `end` ends the
    search as well as the gap.
    """
    begun, until = start.astimezone(UTC), end.astimezone(UTC)
    for begin, stop in sorted(_within(together, begun, until)):
        if begin > begun:
            return begun, begin
        begun = max(begun, stop)
    return (begun, until) if begun < until else None


def _within(
    together: Iterable[Hours], start: datetime, end: datetime
) -> Iterator[Span]:
    for hours in together:
        for span in hours.spans(start):
            if span[0] >= end:
                break
            yield span
