"""Rounds: work that is done again and again, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from serving.safely import Failure, attempt

_log = logging.getLogger(__name__)


class Rounds:
    """Does one piece of work every so often, until closed. A failure is logged.

    Parameters
    ----------
    name : str
        Of the work: of its thread, and in the log.
    work : callable
        One round. What it raises never ends the rounds.
    every : float
        Time between two rounds, in s.
    clock : callable
        Returns the time, timezone-aware.
    at_once : bool
        Whether the first round comes at once, or after one interval.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        *,
        every: float,
        clock: Callable[[], datetime],
        at_once: bool = False,
    ) -> None:
        self.name = name
        self.every = every
        self.last_good: datetime | None = None
        self._work = work
        self._clock = clock
        self._at_once = at_once
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._go, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Have the next round come now."""
        self._wake.set()

    def close(self) -> None:
        """Stop, after the round that is under way. Closing twice is harmless."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _go(self) -> None:
        if not self._at_once:
            self._wake.wait(self.every)
        while not self._stop.is_set():
            self._wake.clear()
            done = attempt(self._work)
            if isinstance(done, Failure):
                said = {"action": f"{self.name}_failed", "fault": done.name}
                _log.error("%s failed: %s", self.name, done.name, extra=said)
            else:
                self.last_good = self._clock()
            self._wake.wait(self.every)


def last_good(rounds: tuple[Rounds, ...]) -> Mapping[str, datetime | None]:
    """Return when each of `rounds` last ended well; None: not yet."""
    return {one.name: one.last_good for one in rounds}
