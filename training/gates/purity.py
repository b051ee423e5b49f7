"""Gates on what a model was made of: leaks, the future, and who was on both sides."""

from __future__ import annotations

import numpy as np

from features.signals import NAMES
from training.evaluate.metrics import Floats, auroc
from training.gates.evidence import Evidence
from training.gates.gate import Gate, Limits, Severity

_SHOWN = 5
_EXPLAINED = 500


def no_label_proxy(evidence: Evidence, limits: Limits) -> Gate:
    """Return whether a single signal ranks the outcomes too well to be honest."""
    alone, told = _alone(evidence), _shares(evidence)
    best = sorted(alone.items(), key=lambda item: -item[1])[:_SHOWN]
    largest = sorted(told.items(), key=lambda item: -item[1])[:_SHOWN]
    worst, value = best[0]
    first, share = largest[0]
    passed = value < limits.signal_auroc and share <= limits.signal_share
    return Gate(
        code="ESC001",
        title="No signal stands in for the label",
        severity=Severity.BLOCK,
        passed=passed,
        says=(
            f"alone, {worst} ranks best of all signals, AUROC {value:.3f} (limit "
            f"{limits.signal_auroc:g}); {first} adds the most to the score, "
            f"{share:.0%} (limit {limits.signal_share:.0%})"
        ),
        evidence={
            "auroc_of_one_signal": dict(best),
            "share_of_score": dict(largest),
            "limits": {"auroc": limits.signal_auroc, "share": limits.signal_share},
        },
    )


def _alone(evidence: Evidence) -> dict[str, float]:
    """Return how well each signal ranks by itself at the end, either way round."""
    rows = evidence.view.rows
    x = evidence.data.x[rows.order][rows.last]
    y, weight = rows.y[rows.last], rows.task_weight
    return {
        # The unknown counts as lowest, so that being known at all is seen too.
        name: _either(y, np.nan_to_num(x[:, i], nan=_below(x[:, i])), weight)
        for i, name in enumerate(NAMES)
    }


def _below(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.min()) - 1.0 if len(known) else 0.0


def _either(y: Floats, values: Floats, weight: Floats) -> float:
    found = float(auroc(y, values, weight))
    return max(found, 1.0 - found)


def _shares(evidence: Evidence) -> dict[str, float]:
    """Return what each signal adds to the score, as a share of what all add."""
    rows = np.linspace(0, len(evidence.data) - 1, _EXPLAINED).astype(int)
    added = np.abs(evidence.bundle.contributions(evidence.data.x[rows])).mean(axis=0)
    total = float(added.sum())
    return {
        name: float(part) / total if total else 0.0
        for name, part in zip(NAMES, added, strict=True)
    }


def outcomes_feed_nothing(evidence: Evidence, _: Limits) -> Gate:
    """Return whether signals stay as they are when outcome events are left out."""
    leaks = evidence.leaks
    named = ", ".join(leaks[:_SHOWN])
    return Gate(
        code="ESC002",
        title="Outcomes feed no signal",
        severity=Severity.BLOCK,
        passed=not leaks,
        says=(
            f"{len(leaks)} signals change when outcome events are left out: {named}"
            if leaks
            else "every signal is the same with and without the log's outcome events"
        ),
        evidence={"signals": list(leaks)},
    )


def nothing_from_the_future(evidence: Evidence, _: Limits) -> Gate:
    """Return whether each label was known when it was learned, and after its task."""
    early = _before_their_task(evidence)
    made = str(evidence.bundle.facts.get("made_at", ""))
    parts = evidence.parts
    late = parts is None or parts.learned.matured[1] > _seconds(made)
    if parts is None:
        says = "from which labels it learned was not recorded; train it anew"
    elif late:
        says = "it learned from labels that were not known when it was made"
    elif early:
        says = f"{early} labels are older than their tasks; the log's clock is wrong"
    else:
        says = "every label it learned from was known before it was made"
    return Gate(
        code="ESC003",
        title="Nothing was learned from the future",
        severity=Severity.BLOCK,
        passed=not late and not early,
        says=says,
        evidence={
            "made_at": made,
            "newest_label_learned": _day(parts.learned.matured[1]) if parts else None,
            "labels_older_than_their_task": early,
        },
    )


def _before_their_task(evidence: Evidence) -> int:
    data, first = evidence.data, evidence.data.starts
    known = [
        evidence.labels[str(t)].matured_at.timestamp() for t in data.task_ids[first]
    ]
    return int((np.array(known) < data.started[first]).sum())


def _seconds(made: str) -> float:
    return float(np.datetime64(made.removesuffix("Z"), "s").astype(np.int64))


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


def nobody_on_both_sides(evidence: Evidence, _: Limits) -> Gate:
    """Return whether no customer was both learned from and judged on."""
    parts, data = evidence.parts, evidence.data
    first = data.starts
    nameless = float((data.groups[first] == data.task_ids[first]).mean())
    shared = {}
    if parts is not None:
        learned = parts.learned.customers
        shared = {
            "learned and certified": len(learned & parts.certified.customers),
            "learned and tested": len(learned & parts.tested.customers),
            "learned and judged here": len(
                np.unique(data.groups[parts.learned.holds(data)])
            ),
        }
    both = sum(shared.values())
    if parts is None:
        says = "from whom it learned was not recorded; train it anew"
    elif both:
        says = f"{both} customers were learned from and judged on"
    else:
        says = "no customer was learned from and judged on"
    if nameless:
        says += f"; of {nameless:.0%} of the tasks the log names no customer"
    return Gate(
        code="ESC004",
        title="Nobody stands on both sides",
        severity=Severity.BLOCK,
        passed=parts is not None and not both,
        says=says,
        evidence={
            "customers_shared": shared,
            "tasks_without_customer": nameless,
            "certified_and_tested_are_the_same": parts is not None
            and parts.certified.customers == parts.tested.customers,
        },
    )
