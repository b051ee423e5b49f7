"""Opening hours: when somebody is there, on the queue's own clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, WithJsonSchema, model_validator

from serving.policy.part import Part

Clock = Annotated[
    time,
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:\d\d)?$"}),
]
Weekday = Annotated[int, Field(ge=0, le=6)]

_DAY = timedelta(days=1)
# A queue can be closed for a long holiday, but not for ever.
_HORIZON = 370


class Hours(Part):
    """When a queue is staffed, on its own clock.

    Attributes
    ----------
    days : tuple of int
        Weekdays it opens on, Monday is 0.
    opens, closes : time
        Local. The same time twice is round the clock; `closes` before `opens` is the
        next day's morning, and belongs to the day it opened on.
    closed_on : tuple of date
        Holidays, by the day it would have opened on.
    """

    timezone: str = "UTC"
    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = (0, 1, 2, 3, 4, 5, 6)
    opens: Clock = time(0, 0)
    closes: Clock = time(0, 0)
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

    def _shift(self, day: date) -> tuple[datetime, datetime] | None:
        """Return begin and end (UTC) of the shift that opens on `day`, if there is one.

        The wall clock is turned to UTC at both ends, so a shift over a change of the
        clocks is an hour longer or shorter, as it is for those who work it.
        """
        if day.weekday() not in self.days or day in self.closed_on:
            return None
        zone = ZoneInfo(self.timezone)
        last = day if self.closes > self.opens else day + _DAY
        begin = datetime.combine(day, self.opens, zone).astimezone(UTC)
        end = datetime.combine(last, self.closes, zone).astimezone(UTC)
        # A short shift can fall into the hour that a change of the clocks leaves out.
        return (begin, end) if begin < end else None

    def is_open(self, at: datetime) -> bool:
        """Whether somebody is there at `at` (timezone-aware)."""
        today = at.astimezone(ZoneInfo(self.timezone)).date()
        shifts = (self._shift(day) for day in (today, today - _DAY))
        return any(s is not None and s[0] <= at < s[1] for s in shifts)

    def next_opening(self, at: datetime) -> datetime | None:
        """Return when somebody is there, from `at` on, in UTC; None: not in a year."""
        if self.is_open(at):
            return at.astimezone(UTC)
        today = at.astimezone(ZoneInfo(self.timezone)).date()
        days = (today + n * _DAY for n in range(_HORIZON))
        shifts = (self._shift(day) for day in days)
        return next((s[0] for s in shifts if s is not None and s[0] >= at), None)
