"""Service: whether people get round to what is handed to them, and how soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from training.monitor.estimate import LEVEL, Estimate, Floats, wilson
from training.monitor.maturity import Delays


@dataclass(frozen=True, slots=True)
class Rated:
    """What one person said of a package: whether it was enough, and what it lacked."""

    sufficient: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """One handoff: when it came, and what people did with it.

    Attributes
    ----------
    queued, claimed, closed : float
        s since 1970; None: not yet, or never.
    ratings : tuple of Rated
        The latest of each person who rated its package.
    asked_again : bool
        Whether the user wrote again while it waited.
    before : int
        Events of the task up to the decision that handed it over.
    domain, agent_version, tier, trigger, model_version : str
        As in `TaskOutcome`.
    """

    handoff_id: str
    group: str
    queued: float
    claimed: float | None = None
    closed: float | None = None
    ratings: tuple[Rated, ...] = ()
    asked_again: bool = False
    before: int = 0
    domain: str = ""
    agent_version: str = ""
    tier: str = ""
    trigger: str = ""
    model_version: str = ""


def service(handled: Sequence[Handled], now: float) -> dict[str, Estimate]:
    """Return how the desks keep up, by name of the figure; spans are in s.

    Parameters
    ----------
    handled : sequence of Handled
        Of a window.
    now : float
        s since 1970.
    """
    return {
        "time_to_claim_s": time_to_claim(handled, now),
        "oldest_waiting_s": oldest_waiting(handled, now),
        "drain_rate": _rate([one.closed is not None for one in handled]),
        "asked_again": _rate([one.asked_again for one in handled]),
        "events_before_handover": events_before(handled),
    }


def time_to_claim(handled: Sequence[Handled], now: float) -> Estimate:
    """Return the median time from queue to claim; what still waits counts too.

    Median of the Kaplan-Meier curve; the interval is that of the order statistics.
    """
    method = "median, Kaplan-Meier"
    age = np.array([max(now - one.queued, 0.0) for one in handled])
    delay = np.array(
        [
            np.nan if one.claimed is None else max(one.claimed - one.queued, 0.0)
            for one in handled
        ]
    )
    curve = Delays.seen(age, delay)
    if curve.ever < 0.5:  # noqa: PLR2004 (a half makes a median)
        n = len(handled)
        lacking = f"claims: fewer than half of {n} handoffs were claimed yet"
        return Estimate.unknown(lacking if n else "handoffs", n=n, method=method)
    value = float(curve.times[np.argmax(curve.come >= 0.5)])  # noqa: PLR2004
    low, high = _median_interval(np.where(np.isnan(delay), np.inf, delay))
    return Estimate(value=value, low=low, high=high, n=len(handled), method=method)


def oldest_waiting(handled: Sequence[Handled], now: float) -> Estimate:
    """Return the age of the oldest handoff nobody has claimed; `n` counts those."""
    ages = [now - one.queued for one in handled if not (one.claimed or one.closed)]
    if not ages:
        return Estimate.unknown("nothing waits")
    oldest = max(ages)
    return Estimate(
        value=oldest, low=oldest, high=oldest, n=len(ages), method="counted"
    )


def _rate(hits: Sequence[bool]) -> Estimate:
    """Return a share of the handoffs; `n` counts handoffs."""
    n = len(hits)
    if not n:
        return Estimate.unknown("handoffs")
    low, high = wilson(sum(hits), n)
    return Estimate(value=sum(hits) / n, low=low, high=high, n=n, method="Wilson")


def events_before(handled: Sequence[Handled]) -> Estimate:
    """Return the median number of events that a task had when it was handed over.

    How many steps a handover came ahead of trouble is seen only where a task goes on:
    in a replay, or in shadow mode. This is what is seen of it live.
    """
    if not handled:
        return Estimate.unknown("handoffs")
    counts = np.array([float(one.before) for one in handled])
    low, high = _median_interval(counts)
    return Estimate(
        value=float(np.median(counts)),
        low=low,
        high=high,
        n=len(counts),
        method="median, order statistics",
    )


def _median_interval(values: Floats) -> tuple[float, float | None]:
    """Return the order statistics that hold the median; None: nobody knows how high."""
    ordered, n = np.sort(values), len(values)
    tail = int(binom.ppf((1 - LEVEL) / 2, n, 0.5))
    low, high = ordered[max(tail - 1, 0)], ordered[min(n - tail, n - 1)]
    return float(low), float(high) if np.isfinite(high) else None
