"""Clock: the time, which never goes back, whatever the machine's clock does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_log = logging.getLogger(__name__)

# Beyond this a step back is worth a line in the log: NTP makes smaller ones all day.
_WORTH_SAYING = timedelta(seconds=1)
# A store that is further ahead than this was written under a wrong clock.
MOST_AHEAD = timedelta(days=1)


def wall() -> datetime:
    """Return what the machine's clock says, in UTC."""
    return datetime.now(UTC)


class SteadyClock:
    """The machine's clock, made steady: records never go back in time.

    While the machine's clock is behind what was given already, time goes on from there
    at half its pace, by the monotonic clock, until the machine's clock has caught up.
    So deadlines still pass, and a clock that was ahead by an hour is right again two
    hours after it was set right. A jump ahead is followed at once: what is due by the
    machine's clock is due.

    Parameters
    ----------
    since : datetime, optional
        Of the last record in the store: the first time given is no earlier. Ignored
        where it is more than `MOST_AHEAD` ahead: then the store was written under a
        clock that was wrong, and to follow it would stop time for days.
    now : callable
        The machine's clock, timezone-aware.
    elapsed : callable
        Monotonic time, in s.
    """

    def __init__(
        self,
        since: datetime | None = None,
        *,
        now: Callable[[], datetime] = wall,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._elapsed = elapsed
        self._gate = threading.Lock()
        self._is_behind = False
        first = now()
        if since is not None and since - first > MOST_AHEAD:
            ahead = {
                "action": "store_ahead",
                "seconds": (since - first).total_seconds(),
            }
            _log.error("the store is ahead of the clock; check the clock", extra=ahead)
            since = None
        self._last = first if since is None else max(first, since)
        self._read_at = elapsed()

    def __call__(self) -> datetime:
        """Return the time, in UTC: never earlier than any that was returned."""
        with self._gate:
            now, at = self._now(), self._elapsed()
            passed = timedelta(seconds=(at - self._read_at) / 2)
            self._say(now)
            self._last, self._read_at = max(now, self._last + passed), at
            return self._last

    def _say(self, now: datetime) -> None:
        """Log it once when the machine's clock falls behind, and when it is back."""
        behind = self._last - now
        if behind > _WORTH_SAYING and not self._is_behind:
            self._is_behind = True
            said = {"action": "clock_went_back", "seconds": behind.total_seconds()}
            _log.warning("the machine's clock went back", extra=said)
        elif behind <= timedelta(0) and self._is_behind:
            self._is_behind = False
            _log.info("the clock is right again", extra={"action": "clock_caught_up"})
