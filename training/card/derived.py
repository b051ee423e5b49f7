"""What a card says that follows from its report and facts by arithmetic.

Kept in card.json beside them, so that every number of a card can be looked up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from training.bundle import Certificate
from training.card.evidence import Staffing
from training.card.facts import CardFacts

Json = Mapping[str, Any]

# A risk that is off by this much in a slice is worth a flag, if it is not chance.
GAP = 0.05
_THOUSAND = 1000


def derive(report: Json, facts: CardFacts) -> dict[str, Any]:
    """Return the numbers that follow from a report and facts, as plain JSON data.

    Parameters
    ----------
    report : mapping
        ``Report.to_json()``, or report.json read back.
    facts : CardFacts
        The rest of what the card says.
    """
    return {
        "report_sha256": _fingerprint(report),
        "confidence": _rest(facts.certificate.delta),
        "recall": _rest(report["alpha"]),
        "wrong_of_ten": 10 * facts.certificate.delta,
        "gap": GAP,
        "chance": 0.5,
        "per_thousand": _per_thousand(report),
        "cheapest": _cheapest(report),
        "labels": _labels(facts),
        "self_reported": _trusted(facts, "self_reported"),
        "agent_words": _trusted(facts, "agent_words"),
        "worst_stage": _worst_stage(report),
        "dearest": _dearest(facts.gaming),
        "gates": _gates(facts.gates),
        "alarms": len(facts.drift.alarms) if facts.drift else None,
        "work": work(report, facts),
        "changes": _changes(facts),
    }


def _trusted(facts: CardFacts, trust: str) -> float:
    return float(sum(s.share for s in facts.signals if s.trust == trust))


def _fingerprint(report: Json) -> str:
    canonical = orjson.dumps(dict(report), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _rest(share: float) -> float:
    return round(1 - share, 12)


def _per_thousand(report: Json) -> dict[str, int] | None:
    """Return what becomes of 1,000 tasks; None where there is no threshold."""
    rate, miss = report["escalation_rate"], report["miss_rate"]
    if not (rate and miss):
        return None
    missed = report["base_rate"] * miss["value"]
    caught = report["base_rate"] - missed
    return {
        "escalated, and needed it": round(_THOUSAND * caught),
        "escalated for nothing": round(_THOUSAND * (rate["value"] - caught)),
        "missed": round(_THOUSAND * missed),
        "left alone, rightly": round(_THOUSAND * (1 - rate["value"] - missed)),
    }


def _cheapest(report: Json) -> dict[str, float]:
    """Return the threshold with the lowest expected cost, and what it costs."""
    points = report["curves"]["thresholds"][:-1]
    best = min(points, key=lambda p: p["cost_per_task"]["value"])
    return {
        "threshold": best["threshold"],
        "cost_per_task": best["cost_per_task"]["value"],
        "escalation_rate": best["escalation_rate"]["value"],
        "miss_rate": (best["miss_rate"] or {}).get("value"),
    }


def _labels(facts: CardFacts) -> dict[str, Any]:
    n = sum(facts.label_sources.values())
    seen = facts.n_tasks + facts.n_unlabelled
    rows = sorted(facts.label_sources.items(), key=lambda item: (-item[1], item[0]))
    return {
        "n_seen": seen,
        "unlabelled": facts.n_unlabelled / seen if seen else None,
        "shares": {name: k / n for name, k in rows if n},
    }


def _worst_stage(report: Json) -> str | None:
    """Return the stage with the largest calibration error; None: none was measured."""
    stages = {
        name: found["scores"]["ece_debiased"]["value"]
        for name, found in (report.get("by_stage") or {}).items()
        if found["scores"]["ece_debiased"]
    }
    return max(stages, key=lambda name: stages[name]) if stages else None


def _dearest(gaming: Json | None) -> dict[str, Any] | None:
    """Return which lie costs most of the ranking, by its place, and in which scope."""
    lost = {
        (place, scope): attack[scope]["lost"]["value"]
        for place, attack in enumerate(gaming["attacks"] if gaming else ())
        for scope in ("auroc_end", "auroc_every_step")
        if attack[scope]["lost"]
    }
    if not lost:
        return None
    place, scope = max(lost, key=lambda key: lost[key])
    return {"place": place, "scope": scope}


def _gates(gates: Json | None) -> dict[str, Any] | None:
    """Return how many gates are green, red, and red ones that block."""
    if gates is None:
        return None
    red = [gate for gate in gates["gates"] if not gate["passed"]]
    return {
        "n": len(gates["gates"]),
        "passed": len(gates["gates"]) - len(red),
        "failed": len(red),
        "blocking": sum(gate["severity"] == "block" for gate in red),
    }


def work(report: Json, facts: CardFacts) -> dict[str, Any]:
    """Return escalations per day against what people can take on.

    Returns
    -------
    dict
        `tasks_a_day`: expected, or as in the training data; null where neither is
        known. `capacity`: handoffs per day that fill every minute of every desk.
        `minutes`: of one person's time per handoff, on average over them. `bounds`:
        per certified threshold, the bundle's own first, what it asks of people.
    """
    staffing = facts.staffing
    tasks = staffing.tasks_a_day or _tasks_a_day(facts)
    capacity, minutes = _capacity(staffing)
    promises = (facts.certificate, *facts.frontier)
    return {
        "tasks_a_day": tasks,
        "capacity": capacity,
        "minutes": minutes,
        "staff_hours": capacity * minutes / 60,
        "audits_a_day": _audits(report, staffing, tasks),
        "bounds": [_asked(c, tasks, capacity, minutes) for c in promises],
    }


def _tasks_a_day(facts: CardFacts) -> float | None:
    if facts.window is None:
        return None
    first, last = facts.window
    return (facts.n_tasks + facts.n_unlabelled) / ((last - first).days + 1)


def _capacity(staffing: Staffing) -> tuple[float, float]:
    """Return handoffs per day at full occupancy, and minutes for each."""
    minutes = np.array([60 * d.people * d.hours_a_day for d in staffing.desks])
    handoffs = minutes / [d.minutes_per_handoff for d in staffing.desks]
    total = float(handoffs.sum())
    return total, float(minutes.sum()) / total if total else 0.0


def _audits(report: Json, staffing: Staffing, tasks: float | None) -> float | None:
    rate = report["escalation_rate"]
    if tasks is None or not rate:
        return None
    return float(tasks * (1 - rate["value"]) * staffing.audit_share)


def _asked(
    promise: Certificate, tasks: float | None, capacity: float, minutes: float
) -> dict[str, float | None]:
    if tasks is None or promise.escalation_rate is None:
        return dict.fromkeys(("escalations_a_day", "hours_a_day", "of_capacity"))
    escalations = tasks * promise.escalation_rate
    return {
        "escalations_a_day": escalations,
        "hours_a_day": escalations * minutes / 60,
        "of_capacity": escalations / capacity if capacity else None,
    }


def _changes(facts: CardFacts) -> list[float | None]:
    """Return now minus before for each measure that has no paired difference."""
    deltas = facts.change.deltas if facts.change else ()
    return [
        None if d.before is None or d.now is None else d.now.value - d.before.value
        for d in deltas
    ]
