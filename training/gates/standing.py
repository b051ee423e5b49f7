"""Gates on what a model stands on: labels, tasks, signals, and being made again."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from training.gates.evidence import Evidence
from training.gates.gate import Gate, Limits, Severity

_DAY = 86_400.0
_SHOWN = 5


def lies_buy_little(evidence: Evidence, limits: Limits) -> Gate:
    """Return whether forged self-reports cost little ranking and few misses."""
    worst: dict[str, Any] = dict((evidence.gaming or {}).get("worst") or {})
    lost, gained = _value(worst, "auroc_lost"), _value(worst, "misses_gained")
    if lost is None:
        says = "the price of forged self-reports was not measured; train it anew"
    else:
        misses = (
            "no threshold to miss at" if gained is None else f"{gained:+.3f} misses"
        )
        says = (
            f"forged self-reports buy {lost:.3f} AUROC and {misses}; at most "
            f"{limits.gaming_auroc:g} and {limits.gaming_misses:g} are aimed at, "
            f"{limits.gaming_auroc_most:g} and {limits.gaming_misses_most:g} let pass"
        )
    aimed = _within(lost, gained, limits.gaming_auroc, limits.gaming_misses)
    most = _within(lost, gained, limits.gaming_auroc_most, limits.gaming_misses_most)
    return Gate(
        code="ESC009",
        title="A lie about itself buys the agent little",
        severity=Severity.WARN if most and not aimed else Severity.BLOCK,
        passed=aimed,
        says=says,
        evidence={
            "worst": worst,
            "aimed_at": [limits.gaming_auroc, limits.gaming_misses],
            "most": [limits.gaming_auroc_most, limits.gaming_misses_most],
        },
    )


def _within(
    lost: float | None, gained: float | None, auroc: float, misses: float
) -> bool:
    return lost is not None and lost <= auroc and (gained is None or gained <= misses)


def _value(worst: dict[str, Any], name: str) -> float | None:
    estimate = worst.get(name)
    return None if estimate is None else float(estimate["value"])


def same_signals(evidence: Evidence, _: Limits) -> Gate:
    """Return whether it reads the very signals that this version computes."""
    lines, here = list(evidence.bundle.signals), list(evidence.here)
    changed = [
        line for line in difflib.ndiff(lines, here) if line.startswith(("- ", "+ "))
    ]
    return Gate(
        code="ESC010",
        title="It reads the signals that are served",
        severity=Severity.BLOCK,
        passed=lines == here,
        says=(
            f"{len(changed)} lines of the two schemas differ: {changed[:_SHOWN]}"
            if changed
            else f"all {len(here)} signals are those that this version computes"
        ),
        evidence={"differs": changed, "n_signals": len(here)},
    )


def labels_are_of_age(evidence: Evidence, limits: Limits) -> Gate:
    """Return whether labels are neither stale nor too young to be final."""
    data, now = evidence.data, evidence.now.timestamp()
    first = data.starts
    known = np.array(
        [evidence.labels[str(t)].matured_at.timestamp() for t in data.task_ids[first]]
    )
    newest, oldest = (now - known.max()) / _DAY, (now - known.min()) / _DAY
    old_enough = float((now - data.started[first] > limits.young_days * _DAY).mean())
    stale, young = newest > limits.label_days, old_enough < limits.matured_share
    says = (
        f"labels are {newest:.0f} to {oldest:.0f} days old; {old_enough:.0%} belong to "
        f"tasks older than {limits.young_days:g} days"
    )
    if stale:
        says += f": the newest is older than {limits.label_days:g} days"
    if young:
        says += ": most may yet be overturned by a complaint"
    return Gate(
        code="ESC011",
        title="Its labels are neither stale nor unripe",
        severity=Severity.WARN,
        passed=not stale and not young,
        says=says,
        evidence={
            "newest_days": float(newest),
            "oldest_days": float(oldest),
            "share_matured": old_enough,
            "limits": {
                "newest_days": limits.label_days,
                "share_matured": limits.matured_share,
            },
        },
    )


def enough_tasks(evidence: Evidence, limits: Limits) -> Gate:
    """Return whether the figures of the other gates rest on enough."""
    data = evidence.data
    held = {
        "tasks": (data.n_tasks, limits.least_tasks),
        "tasks that needed a human": (data.n_needed, limits.least_needed),
        "tasks that did not": (data.n_tasks - data.n_needed, limits.least_needed),
        "customers": (len(np.unique(data.groups)), limits.least_customers),
    }
    short = [
        f"{have} of {least:g} {what}"
        for what, (have, least) in held.items()
        if have < least
    ]
    return Gate(
        code="ESC013",
        title="It was judged on enough tasks",
        severity=Severity.BLOCK,
        passed=not short,
        says="; ".join(short)
        or f"judged on {data.n_tasks} tasks, {data.n_needed} of which needed a human",
        evidence={
            "have": {what: have for what, (have, _) in held.items()},
            "least": {what: least for what, (_, least) in held.items()},
        },
    )


def made_again(evidence: Evidence, _: Limits) -> Gate:
    """Return whether the same data and seed gave the same model again."""
    says = {
        True: "grown again from the same data and seed, it is the same to the bit",
        False: "grown again from the same data and seed, it is another model",
        None: "it was not grown again: the tasks it learned from were not given, or "
        "--no-refit",
    }
    return Gate(
        code="ESC014",
        title="It can be made again",
        severity=Severity.WARN if evidence.refit is None else Severity.BLOCK,
        passed=evidence.refit is True,
        says=says[evidence.refit],
        evidence={
            "refit": evidence.refit,
            "fingerprint": str(evidence.bundle.facts.get("fingerprint", "")),
        },
    )
