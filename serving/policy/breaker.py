"""Breaker: of a channel that is down one question is asked at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from serving.policy.audit import rfc3339
from serving.policy.delivery import held

FAILURES_TO_OPEN = 5
PROBE_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """How a channel does: whether it is worth trying, and how hard.

    Attributes
    ----------
    failures : int
        Failed attempts in a row.
    open_until : datetime, optional
        No attempt before that.
    recovered_at : datetime, optional
        When it last came back: what failed earlier is due at once.
    """

    failures: int = 0
    open_until: datetime | None = None
    recovered_at: datetime | None = None

    @property
    def is_down(self) -> bool:
        """Whether only one attempt at a time is made, to see if it has come back."""
        return self.failures >= FAILURES_TO_OPEN

    def is_shut(self, now: datetime) -> bool:
        """Whether no attempt at all may be made."""
        return self.open_until is not None and now < self.open_until

    def probing(self, now: datetime) -> Breaker:
        """Return it with one attempt under way that shows how the channel does."""
        return replace(self, open_until=now + PROBE_EVERY)

    def failed(self, now: datetime, pause: timedelta | None) -> Breaker:
        """Return it after a failed attempt; `pause` is what the channel asks for."""
        failures = self.failures + 1
        rest = PROBE_EVERY if failures >= FAILURES_TO_OPEN else timedelta(0)
        pause = max(held(pause), rest)
        if not pause:
            return replace(self, failures=failures)
        until = max(now + pause, self.open_until or now)
        return replace(self, failures=failures, open_until=until)

    def answered(self, now: datetime) -> Breaker:
        """Return it after the channel has answered: all is well again."""
        return Breaker(recovered_at=now if self.is_down else self.recovered_at)

    def to_json(self) -> Mapping[str, Any]:
        """Return it as lists of deliveries show it."""
        until = self.open_until
        return {
            "failures": self.failures,
            "is_down": self.is_down,
            "open_until": None if until is None else rfc3339(until),
        }
