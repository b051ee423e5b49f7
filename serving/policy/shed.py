"""Shed: that a handoff did not go where it would have gone, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Shed:
    """Which queue a handoff did not go to because that had more work than people.

    Attributes
    ----------
    queue : str
        Where it would have gone.
    waiting : int
        How many waited there.
    wait : timedelta
        How long it would have waited there.
    """

    queue: str
    waiting: int
    wait: timedelta

    @property
    def says(self) -> str:
        """The same in words."""
        minutes = math.ceil(self.wait / timedelta(minutes=1))
        # Minutes up to two hours, which are still counted in them; then hours.
        is_long = self.wait >= timedelta(hours=2)
        wait = f"{math.ceil(minutes / 60)} h" if is_long else f"{minutes} min"
        return f"shed from {self.queue}: {self.waiting} waiting, about {wait}"

    def to_json(self) -> dict[str, Any]:
        """Return what is stored and audited: whole numbers, the wait in s."""
        wait = round(self.wait.total_seconds())
        return {"queue": self.queue, "waiting": self.waiting, "wait_s": wait}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return what was stored."""
        return cls(
            queue=stored["queue"],
            waiting=stored["waiting"],
            wait=timedelta(seconds=stored["wait_s"]),
        )
