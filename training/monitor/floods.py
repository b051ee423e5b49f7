"""Floods: more handovers in one hour than all hours before let expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from scipy.stats import nbinom, poisson

HOUR = 3600.0
# Hours to have seen before one can be out of the ordinary.
_FEWEST_HOURS = 24
# Handovers in an hour that would not be news whatever the hours before.
_FEWEST_HANDOVERS = 20
_FLOOD = 3.0
# Of one hour: once in over a hundred years of hours.
FLOOD_LEVEL = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """More handovers in one hour than all hours before let expect.

    Attributes
    ----------
    hour : int
        Which one is being counted, since 1970; -1 before the first.
    counts : Mapping of str to int
        Handovers of that hour by where they come from.
    hours, total, squares : int
        Hours before, their handovers, and the sum of their squares.
    """

    hour: int = -1
    counts: Mapping[str, int] = field(default_factory=dict)
    hours: int = 0
    total: int = 0
    squares: int = 0

    def advance(self, at: float, source: str) -> tuple[Self, FloodFound | None]:
        """Return the state after a handover, and the hour before if it was a flood.

        Parameters
        ----------
        at : float
            When, s since 1970; not before an earlier one.
        source : str
            Agent version, or whatever may be at fault.
        """
        hour, found, state = int(at // HOUR), None, self
        if hour != self.hour:
            state, found = self._closed(hour)
        counts = {**state.counts, source: state.counts.get(source, 0) + 1}
        return replace(state, counts=counts), found

    def _closed(self, hour: int) -> tuple[Self, FloodFound | None]:
        """Return the state at the start of `hour`, and the last one if it flooded."""
        if self.hour < 0:
            return replace(self, hour=hour), None
        n = sum(self.counts.values())
        found = self._judged(n)
        # A flood teaches nothing of what is usual.
        n = 0 if found else n
        return replace(
            self,
            hour=hour,
            counts={},
            hours=self.hours + (hour - self.hour) - bool(found),
            total=self.total + n,
            squares=self.squares + n * n,
        ), found

    def _judged(self, n: int) -> FloodFound | None:
        if self.hours < _FEWEST_HOURS or n < _FEWEST_HANDOVERS:
            return None
        mean = max(self.total / self.hours, 1 / self.hours)
        p = self.tail(n, mean)
        if n < _FLOOD * mean or p > FLOOD_LEVEL:
            return None
        source, most = max(self.counts.items(), key=lambda item: (item[1], item[0]))
        return FloodFound(
            start=self.hour * HOUR, n=n, usual=mean, p=p, source=source, share=most / n
        )

    def tail(self, n: int, mean: float) -> float:
        """Return how probable an hour of `n` or more is, by the hours before.

        Negative binomial by their mean and variance: busy and quiet hours are in it.
        """
        variance = self.squares / self.hours - mean**2
        if variance <= mean:
            return float(poisson.sf(n - 1, mean))
        size = mean**2 / (variance - mean)
        return float(nbinom.sf(n - 1, size, size / (size + mean)))

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON can hold it."""
        names = ("hour", "counts", "hours", "total", "squares")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodFound:
    """An hour that was a flood.

    Attributes
    ----------
    start : float
        s since 1970.
    n : int
        Handovers in it.
    usual : float
        Handovers in an hour before.
    p : float
        Probability of as many.
    source : str
        Where most came from.
    share : float
        Of them.
    """

    start: float
    n: int
    usual: float
    p: float
    source: str
    share: float
