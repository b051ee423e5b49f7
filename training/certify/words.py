"""What certificates and refusals say, in sentences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from training.bundle.certificate import Refusal
from training.certify.basis import Floats


def promise(alpha: float, delta: float) -> str:
    """Return the promise without what it is made of."""
    return (
        f"at most {100 * alpha:g}% of the tasks that need a human are missed, with "
        f"confidence {100 * (1 - delta):g}%"
    )


def counted(alpha: float, delta: float, rate: float) -> str:
    """Return what a certificate by counting says."""
    return (
        f"{promise(alpha, delta)} and each customer counted once; it costs escalating "
        f"{rate:.0%} of all tasks"
    )


def uneven() -> dict[str, Any]:
    """Return the refusal of labels that cannot be counted."""
    return {
        "refusal": Refusal.UNEQUAL_LABELS,
        "reason": (
            "the labels were chosen with unequal chances, and the exact count needs "
            "equal ones: a log labelled throughout, or uniform audits alone"
        ),
    }


def too_few(n: int, least: int, alpha: float, delta: float) -> dict[str, Any]:
    """Return the refusal where `n` needed tasks are known and it takes `least`."""
    return {
        "refusal": Refusal.TOO_FEW_LABELS,
        "still_needed": least - n,
        "reason": (
            f"too few labels: have {n} of {least} independent tasks that needed a "
            f"human; {least - n} more are needed to certify a miss rate <= {alpha:g} "
            f"with confidence {1 - delta:g}"
        ),
    }


def escalates_all(alpha: float, delta: float) -> dict[str, Any]:
    """Return the refusal where only escalating everything keeps the bound."""
    return {
        "refusal": Refusal.NO_SUCH_THRESHOLD,
        "reason": (
            f"no such threshold: a miss rate <= {alpha:g} with confidence "
            f"{1 - delta:g} would take escalating every task, for tasks of the lowest "
            "risk needed a human too; tolerate more misses, or give the model signals "
            "that tell these tasks apart"
        ),
    }


def whose(at: Floats, *, ahead: bool) -> str:
    """Return which tasks audits vouch for, decided at `at` (s since 1970)."""
    if ahead:
        return "for tasks to come, if they are like these and independent of each other"
    return f"for the {len(at):,} tasks decided from {_day(at[0])} to {_day(at[-1])}"


def audited(of: str, n: int, pending: int, rate: float) -> str:
    """Return what a certificate by `n` audits says, after the promise."""
    return (
        f"{of}; known by {n:,} uniform audits{_open(pending)}; it costs escalating "
        f"{rate:.0%} of all tasks"
    )


def uneven_audits(never: int) -> dict[str, Any]:
    """Return the refusal where tasks were not drawn with one probability."""
    why = (
        f"{never:,} tasks could not be drawn for an audit (propensity 0)"
        if never
        else "tasks were drawn with several propensities and the draws are not known"
    )
    return {
        "refusal": Refusal.UNEQUAL_LABELS,
        "reason": f"{why}; take a window in which the uniform audit rate stood still",
    }


def too_few_audits(
    n: int, more: int, pending: int, alpha: float, delta: float
) -> dict[str, Any]:
    """Return the refusal where audits are too few, with how many more it takes."""
    return {
        "refusal": Refusal.TOO_FEW_LABELS,
        "still_needed": more,
        "reason": (
            f"too few labels: have {n:,} uniform audits{_open(pending)}; {more:,} more "
            f"that find no further miss are needed to certify a miss rate <= {alpha:g} "
            f"with confidence {1 - delta:g}"
        ),
    }


def unfinished(pending: int, alpha: float, delta: float) -> dict[str, Any]:
    """Return the refusal where audits without a verdict stand in the way."""
    return {
        "refusal": Refusal.TOO_FEW_LABELS,
        "still_needed": pending,
        "reason": (
            f"too few labels: {pending:,} uniform audits have no verdict yet, or an "
            "uncertain one, and count as misses; finish them to certify a miss rate "
            f"<= {alpha:g} with confidence {1 - delta:g}"
        ),
    }


def too_many_known(alpha: float, caught: int, known: int) -> dict[str, Any]:
    """Return the refusal where the misses that are known are too many already."""
    return {
        "refusal": Refusal.NO_SUCH_THRESHOLD,
        "reason": (
            f"no such threshold: {known:,} misses are known beside {caught:,} caught "
            f"tasks, too many for a miss rate <= {alpha:g} at any threshold that "
            "leaves some task alone; tolerate more misses, or train anew"
        ),
    }


def _open(pending: int) -> str:
    return (
        f" ({pending:,} of them without a verdict, counted as misses)"
        if pending
        else ""
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).date().isoformat()
