"""KPIs: the four figures a risk owner asks for, each with what it rests on.

Escalation rate, appropriateness, miss rate and context sufficiency; how they go over
time and by segment; and whether people get round to what is handed to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.monitor.agreement import Pair, agreed, kappa
from training.monitor.estimate import Estimate, Floats, share
from training.monitor.missrate import miss_rate, upper_bound
from training.monitor.outcome import Outcomes
from training.monitor.ratings import context_sufficiency, missing_parts
from training.monitor.service import Handled, service

Mask = NDArray[np.bool_]

DAY = 86_400.0
_WEEK = 7 * DAY
# A Monday, so that weeks begin where people begin them.
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC).timestamp()
_LONGEST_BY_DAY = 28 * DAY


class By(StrEnum):
    """What the figures can be broken down by."""

    TRIGGER = "trigger"
    DOMAIN = "domain"
    AGENT_VERSION = "agent_version"
    TIER = "tier"
    MODEL_VERSION = "model_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that KPIs are made from, of one window.

    Attributes
    ----------
    outcomes : Outcomes
        The tasks whose last decision fell into it.
    handled : tuple of Handled
        The handoffs queued in it.
    pairs : tuple of Pair
        Tasks judged by two reviewers.
    since, until : float, optional
        The window, s since 1970; None: open.
    now : float
        When this is asked, s since 1970.
    """

    outcomes: Outcomes
    handled: tuple[Handled, ...]
    pairs: tuple[Pair, ...]
    now: float
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The four figures of one period or of one segment."""

    name: str
    escalation_rate: Estimate
    appropriateness: Estimate
    miss_rate: Estimate
    context_sufficiency: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain JSON data."""
        return {"name": self.name} | {f: getattr(self, f).to_json() for f in FIGURES}


FIGURES = (
    "escalation_rate",
    "appropriateness",
    "miss_rate",
    "context_sufficiency",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpis:
    """The figures of a window.

    Attributes
    ----------
    overall : Row
        All tasks.
    miss_bound : Estimate
        Above the miss rate of these tasks with 95 % confidence, from uniform audits.
    agreement, kappa : Estimate
        Of two reviewers of one task.
    service : Mapping of str to Estimate
        Time to claim, what waits, what was drained.
    missing_parts : Mapping of str to Estimate
        Part of a package: share of the ratings that name it as missing, the one named
        most often first; those that nobody named are left out.
    trend : tuple of Row
        By day, or by week where the window is longer than four.
    by : By or None
        What `segments` break the figures down by.
    """

    since: float | None
    until: float | None
    now: float
    overall: Row
    miss_bound: Estimate
    agreement: Estimate
    kappa: Estimate
    service: dict[str, Estimate]
    missing_parts: dict[str, Estimate]
    trend: tuple[Row, ...]
    by: By | None = None
    segments: tuple[Row, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain JSON data."""
        more = {"miss_bound": self.miss_bound, "agreement": self.agreement}
        return {
            "from": _rfc3339(self.since),
            "until": _rfc3339(self.until),
            "at": _rfc3339(self.now),
            **{name: getattr(self.overall, name).to_json() for name in FIGURES},
            **{name: one.to_json() for name, one in more.items()},
            "kappa": self.kappa.to_json(),
            "service": _each(self.service),
            "missing_parts": _each(self.missing_parts),
            "trend": [row.to_json() for row in self.trend],
            "by": None if self.by is None else str(self.by),
            "segments": [row.to_json() for row in self.segments],
        }


def kpis(seen: Seen, *, by: By | None = None) -> Kpis:
    """Return the figures of a window, their trend, and a breakdown if asked `by`."""
    return Kpis(
        since=seen.since,
        until=seen.until,
        now=seen.now,
        overall=_row("all", seen.outcomes, seen.handled, seen.now),
        miss_bound=upper_bound(seen.outcomes, now=seen.now),
        agreement=agreed(seen.pairs),
        kappa=kappa(seen.pairs),
        service={
            **service(seen.handled, seen.now),
            "announced_recorded": announced_recorded(seen.outcomes),
        },
        missing_parts=missing_parts(seen.handled),
        trend=tuple(_trend(seen)),
        by=by,
        segments=() if by is None else tuple(_segments(seen, by)),
    )


# --- the four ---------------------------------------------------------------------


def _row(name: str, outcomes: Outcomes, handled: Sequence[Handled], now: float) -> Row:
    return Row(
        name=name,
        escalation_rate=escalation_rate(outcomes),
        appropriateness=appropriateness(outcomes),
        miss_rate=miss_rate(outcomes, now=now),
        context_sufficiency=context_sufficiency(handled),
    )


def escalation_rate(outcomes: Outcomes) -> Estimate:
    """Return the share of the tasks that were handed over; `n` counts tasks."""
    return share(
        outcomes.escalated,
        _codes(outcomes.group),
        missing="tasks that were decided on",
    )


def appropriateness(outcomes: Outcomes) -> Estimate:
    """Return the share of handed-over tasks that needed it; `n` counts verdicts."""
    judged = outcomes.where(outcomes.escalated & outcomes.labelled)
    n = int(outcomes.escalated.sum())
    missing = (
        f"verdicts on handed-over tasks: none of {n} has one"
        if n
        else "tasks that were handed over"
    )
    return share(judged.needed > 0, _codes(judged.group), missing=missing)


def announced_recorded(outcomes: Outcomes) -> Estimate:
    """Return the share of announced transfers that are handovers; `n` counts tasks."""
    announced = outcomes.where(outcomes.transferred)
    return share(
        announced.escalated,
        _codes(announced.group),
        missing="tasks in which the agent announced a transfer",
    )


def _codes(groups: NDArray[np.str_]) -> NDArray[np.int64]:
    return np.asarray(np.unique(groups, return_inverse=True)[1])


# --- over time, and by segment ----------------------------------------------------


def _trend(seen: Seen) -> Iterator[Row]:
    at = seen.outcomes.at
    if not len(at):
        return
    by_day = at.max() - at.min() <= _LONGEST_BY_DAY
    begins = _day if by_day else _week
    for start in np.unique(begins(at)):
        handled = [
            one for one in seen.handled if begins(np.array([one.queued]))[0] == start
        ]
        name = datetime.fromtimestamp(start, UTC).date().isoformat()
        tasks = seen.outcomes.where(begins(at) == start)
        yield _row(name, tasks, handled, seen.now)


def _day(at: Floats) -> Floats:
    return np.asarray(np.floor(at / DAY) * DAY)


def _week(at: Floats) -> Floats:
    return np.asarray(np.floor((at - _MONDAY) / _WEEK) * _WEEK + _MONDAY)


def _segments(seen: Seen, by: By) -> Iterator[Row]:
    """Yield the figures of each segment, the one with the most tasks first.

    By trigger the escalation rate is the share of all tasks handed over for it; what
    was missed had no trigger.
    """
    names: NDArray[np.str_] = getattr(seen.outcomes, by)
    read: Callable[[Handled], str] = lambda one: getattr(one, by)  # noqa: E731
    found, counts = np.unique(names, return_counts=True)
    for name in found[np.argsort(-counts, kind="stable")]:
        if by is By.TRIGGER and not name:
            continue
        inside = names == name
        handled = [one for one in seen.handled if read(one) == name]
        row = _row(str(name), seen.outcomes.where(inside), handled, seen.now)
        yield _of_trigger(seen, row, inside) if by is By.TRIGGER else row


def _of_trigger(seen: Seen, row: Row, inside: Mask) -> Row:
    return Row(
        name=row.name,
        escalation_rate=share(
            inside & seen.outcomes.escalated,
            _codes(seen.outcomes.group),
            missing="tasks that were decided on",
        ),
        appropriateness=row.appropriateness,
        miss_rate=Estimate.unknown("a missed task has no trigger"),
        context_sufficiency=row.context_sufficiency,
    )


def _each(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: one.to_json() for name, one in estimates.items()}


def _rfc3339(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
