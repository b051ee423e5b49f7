"""Wording: what a detector found, as an alarm that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from training.monitor.alarm import Alarm, Code, Severity
from training.monitor.conduct import Promise
from training.monitor.detectors import MissDetector, Mixture
from training.monitor.drift import Kind, Shift
from training.monitor.floods import FloodFound
from training.monitor.martingale import Jumper

URGENCY = tuple(Severity)

_MOST_NAMED = 10
# Windows in a row in which a large shift stays one.
_PERSISTS = 3
_CODES = {
    Kind.PSI: Code.SIGNALS_SHIFTED,
    Kind.KS: Code.SIGNALS_SHIFTED,
    Kind.MISSING: Code.SIGNALS_MISSING,
    Kind.UNSEEN: Code.VALUES_UNSEEN,
}
_SHIFTED = {
    Code.SIGNALS_SHIFTED: "these signals are not distributed as in training",
    Code.SIGNALS_MISSING: "these signals are missing more, or less, than they were",
    Code.VALUES_UNSEEN: "these facts of tasks have values the model has never seen",
}
_CONDUCT = {
    Code.ESCALATIONS_UP: "more than {most_escalated:.1%} of its tasks are handed over",
    Code.ESCALATIONS_DOWN: "less than {least_escalated:.1%} of its tasks are handed "
    "over",
    Code.TRANSFERS_UP: "it asks for a human in more than {most_transferred:.1%} of its "
    "tasks: an escape hatch",
    Code.TRANSFERS_DOWN: "it asks for a human in less than {least_transferred:.1%} of "
    "its tasks: it may have learned not to",
    Code.CONFIDENCE_INFLATED: "its confidence exceeds the share of tasks that went "
    "well by more than {gap:.2f}",
}


def misses(segment: str, found: MissDetector) -> Alarm:
    """Return the alarm that a certificate does not hold."""
    where = f"the tasks of {segment}" if segment else "all tasks"
    return Alarm(
        code=Code.MISS_RATE,
        segment=segment,
        evidence={
            **_evidence(found.total, found),
            "alpha": found.alpha,
            "reported": found.reported,
            "drawn": found.drawn,
        },
        since=_since(found),
        severity=Severity.CRITICAL,
        withdraws=segment,
        says=(
            f"of {where} that need a human more than {found.alpha:.1%} are missed, "
            f"since about {_day(_since(found))} ({found.reported} misses known by "
            f"complaints, {found.drawn} by audits, in {found.n:,} tasks); their "
            "certificate is withdrawn"
        ),
    )


def calibration(code: Code, found: Mixture, slack: float) -> Alarm:
    """Return the alarm that risks are off, in the direction of `code`."""
    is_low = code is Code.RISK_TOO_LOW
    more, which = ("more", "below") if is_low else ("fewer", "above")
    return Alarm(
        code=code,
        segment="",
        evidence={**_evidence(found.total, found), "slack": slack},
        since=_since(found),
        severity=Severity.SERIOUS if is_low else Severity.NOTICE,
        withdraws=None,
        says=(
            f"{more} tasks need a human than their risks say, by over {slack:.0%}, "
            f"since about {_day(_since(found))}; thresholds by cost are {which} what "
            "they should be: calibrate anew"
        ),
    )


def scores(found: Jumper) -> Alarm:
    """Return the alarm that risks come from elsewhere than they did."""
    return Alarm(
        code=Code.SCORES_SHIFTED,
        segment="",
        evidence=_evidence(found.total, found),
        since=_since(found),
        severity=Severity.SERIOUS,
        withdraws=None,
        says=(
            "the risks of tasks are not distributed as they were, since about "
            f"{_day(_since(found))}; no label says yet whether that does harm: raise "
            "the audit rate until one does"
        ),
    )


def conduct(code: Code, version: str, found: Mixture, promise: Promise) -> Alarm:
    """Return the alarm about one agent version."""
    limits = {name: getattr(promise, name) for name in promise.__slots__}
    says = _CONDUCT[code].format(**limits)
    return Alarm(
        code=code,
        segment=f"agent_version={version}",
        evidence=_evidence(found.total, found),
        since=_since(found),
        severity=Severity.SERIOUS,
        withdraws=None,
        says=f"agent version {version}: {says}, since about {_day(_since(found))}",
    )


def shifted(
    found: Sequence[Shift],
    large: Mapping[tuple[str, str], int],
    window: tuple[float, float],
) -> Iterator[Alarm]:
    """Yield one alarm per kind of shift in the last window.

    Parameters
    ----------
    found : sequence of Shift
        The largest first.
    large : Mapping
        In how many windows in a row a shift was large, by kind and name.
    window : tuple of float
        Its first and last task, s since 1970.
    """
    for code, says in _SHIFTED.items():
        mine = [s for s in found if _CODES[s.kind] is code]
        if not mine:
            continue
        rows = max(large.get((str(s.kind), s.name), 0) for s in mine)
        told = ", ".join(dict.fromkeys(f"{s.name}" for s in mine[:_MOST_NAMED]))
        yield Alarm(
            code=code,
            segment="",
            evidence={
                "tasks": max(s.n for s in mine),
                "windows": rows,
                "shifts": [_shift(s) for s in mine[:_MOST_NAMED]],
                "until": window[1],
            },
            since=window[0],
            severity=Severity.SERIOUS if rows >= _PERSISTS else Severity.NOTICE,
            withdraws=None,
            says=f"{says}: {told}",
        )


def _shift(shift: Shift) -> dict[str, Any]:
    return {
        "kind": str(shift.kind),
        "name": shift.name,
        "value": shift.value,
        "p": shift.p,
        "large": shift.is_large,
    }


def flood(found: FloodFound) -> Alarm:
    """Return the alarm about an hour with too many handovers."""
    source = found.source or "no version named"
    return Alarm(
        code=Code.FLOOD,
        segment="",
        evidence={
            "handovers": found.n,
            "usual": found.usual,
            "p": found.p,
            "source": found.source,
            "share": found.share,
        },
        since=found.start,
        severity=Severity.SERIOUS,
        withdraws=None,
        says=(
            f"{found.n} handovers in one hour, where {found.usual:.1f} are usual; "
            f"{found.share:.0%} of them from agent version {source}"
        ),
    )


def _evidence(total: float, found: Any) -> dict[str, Any]:
    return {
        "total": total,
        "alarm_at": found.alarm_at,
        "tasks": found.n,
        "fired": found.fired,
    }


def _since(found: Any) -> float:
    start: float = found.change.start
    # A detector whose bets aim at the alarm can fire while its CUSUM is at rest.
    return found.fired if start != start else start  # noqa: PLR0124 (NaN)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
