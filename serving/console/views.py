"""What a page shows of an answer of the engine: numbers as words and lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serving.console.words import say, span

Answer = Mapping[str, Any]
_URGENCY = ("urgent", "high", "normal")
_OPEN = ("QUEUED", "CLAIMED")
_SHOWN_BARS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A deadline against a clock."""

    at: str
    says: str
    late: bool


def due(item: Answer, now: datetime) -> Due:
    """Return the deadline that counts next for a handoff, as seen at `now`."""
    waits = item["status"] == "QUEUED"
    at = item["acknowledge_by"] if waits else item["resolve_by"]
    left = datetime.fromisoformat(at) - now
    if item["status"] not in _OPEN:
        return Due(at=at, says=say("on_time"), late=False)
    late = left.total_seconds() < 0
    says = say("late_by" if late else "due_in", span=span(left))
    return Due(at=at, says=says, late=late)


def waited(item: Answer, now: datetime) -> str:
    """Return how long the user has been waiting, in words."""
    return span(now - datetime.fromisoformat(item["queued_at"]))


def by_urgency(items: Sequence[Answer]) -> list[Answer]:
    """Return `items` by priority, then deadline, then wait."""
    return sorted(
        items,
        key=lambda i: (
            _URGENCY.index(i["priority"]),
            datetime.fromisoformat(i["acknowledge_by"]),
            datetime.fromisoformat(i["queued_at"]),
        ),
    )


# --- pictures ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A signal's part in the score as a bar left or right of the middle.

    Attributes
    ----------
    x, width : float
        In percent of the picture; the middle is 50.
    amount : str
        The contribution, signed, log-odds.
    """

    signal: str
    says: str
    x: float
    width: float
    amount: str
    raises: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """The contributions of a decision: the largest as bars, the rest as one line."""

    shown: tuple[Bar, ...]
    folded: tuple[Bar, ...]
    folded_total: str
    start: str | None
    score: str | None

    @classmethod
    def of(cls, package: Answer) -> Bars:
        """Return the bars of `package`, the longest half as wide as the picture."""
        reasons = sorted(
            (r for r in package["reasons"] if r["contribution"] != 0),
            key=lambda r: -abs(r["contribution"]),
        )
        most = max((abs(r["contribution"]) for r in reasons), default=1.0)
        bars = tuple(_bar(reason, most) for reason in reasons)
        rest = math.fsum(r["contribution"] for r in reasons[_SHOWN_BARS:])
        return cls(
            shown=bars[:_SHOWN_BARS],
            folded=bars[_SHOWN_BARS:],
            folded_total=signed(rest),
            start=None if package["base"] is None else signed(package["base"]),
            score=None if package["score"] is None else signed(package["score"]),
        )


def _bar(reason: Answer, most: float) -> Bar:
    amount = reason["contribution"]
    width = 50 * abs(amount) / most
    return Bar(
        signal=reason["signal"],
        says=reason["says"].rpartition(";")[0] or reason["says"],
        x=round(50 if amount > 0 else 50 - width, 2),
        width=round(width, 2),
        amount=signed(amount),
        raises=amount > 0,
    )


def signed(value: float) -> str:
    """Return `value` with its sign and two decimals, with a true minus.

    Examples
    --------
    >>> signed(-0.256), signed(1)
    ('\u22120.26', '+1.00')
    """
    return f"{value:+.2f}".replace("-", "\u2212")


def percent(share: float | None) -> str:
    """Return `share` in percent, with a decimal where a whole number would mislead.

    Examples
    --------
    >>> percent(0.123), percent(0.004), percent(0.999), percent(None)
    ('12%', '0.4%', '99.9%', '')
    """
    if share is None:
        return ""
    near_the_edge = 0 < share < 0.01 or 0.99 < share < 1  # noqa: PLR2004 - 1 percent
    return f"{share:.1%}" if near_the_edge else f"{share:.0%}"
