"""The tables of a card, made from a report's JSON form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.card.facts import CardFacts
from training.card.figures import SCOPES, ReportJson
from training.card.text import Interval, estimate, margin, value

# A risk that is off by this much in a slice is worth a flag, if it is not chance.
_GAP = 0.05
_MOST_SLICES = 20
_TOP = 15

_SCORES = (
    ("auroc", "AUROC", "chance that a task in need ranks above one that is not"),
    ("auprc", "Average precision", "precision averaged over the tasks in need"),
    ("log_loss", "Log-loss", "in nats; lower is better"),
    ("brier", "Brier score", "mean squared error of the risk; lower is better"),
    ("ece_debiased", "Calibration error", "debiased: 0 is what chance explains"),
    ("smece", "Smooth calibration error", "without bins; holds chance as well"),
    ("calibration_slope", "Calibration slope", "1 is right; below 1: too extreme"),
    ("calibration_intercept", "Calibration intercept", "0 is right; above: too low"),
)
_DECISIONS = (
    ("escalation_rate", "Escalated", "of all tasks"),
    ("miss_rate", "Missed", "of the tasks that needed a human"),
    ("precision", "Precision", "of those escalated, how many needed it"),
    ("false_alarm_rate", "False alarms", "of the tasks that did not need a human"),
    ("share_of_task_at_alarm_median", "Task done at the alarm", "median, tasks caught"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: what it says, its interval, and whether it calls for a look."""

    text: str
    margin: str = ""
    flagged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text; the first column names the row."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def _cell(
    found: Interval, *, percent: bool = False, digits: int = 3, flagged: bool = False
) -> Cell:
    return Cell(
        text=value(found, percent=percent, digits=digits),
        margin=margin(found, percent=percent, digits=digits),
        flagged=flagged,
    )


def scores(report: ReportJson) -> Table:
    """Return every score at both scopes, and AUROC inside strata."""
    rows = [
        (Cell(text=name, margin=says), *(_cell(report[scope][key]) for scope in SCOPES))
        for key, name, says in _SCORES
    ]
    within = tuple(_cell(report["within_strata"][scope]) for scope in SCOPES)
    says = "only tasks of the same agent version and domain compared"
    rows.insert(1, (Cell(text="AUROC within strata", margin=says), *within))
    return Table(head=("", *SCOPES.values()), rows=tuple(rows))


def at_steps(report: ReportJson) -> Table:
    """Return scores at absolute steps: what is known so early."""
    rows = [
        (
            Cell(text=f"step {step}"),
            Cell(text=f"{found['n_tasks']:,}"),
            _cell(found["base_rate"], percent=True),
            *(_cell(found[key]) for key in ("auroc", "log_loss", "ece_debiased")),
        )
        for step, found in report["at_steps"].items()
    ]
    head = ("", "tasks so long", "needed", "AUROC", "log-loss", "calibration error")
    return Table(head=head, rows=tuple(rows))


def decisions(report: ReportJson) -> Table:
    """Return what the threshold does; no row where there is none."""
    if report["threshold"] is None:
        return Table(head=("", ""), rows=())
    rows = [
        (Cell(text=name, margin=says), _cell(report[key], percent=True))
        for key, name, says in _DECISIONS
    ]
    for key, name, says, digits in (
        ("lead_steps_median", "Lead", "median steps left at the alarm", 0),
        ("cost_per_task", "Cost per task", "reviews and misses", 2),
    ):
        cell = _cell(report[key], digits=digits)
        rows.append((Cell(text=name, margin=says), cell))
    return Table(head=("", f"at threshold {report['threshold']:.3f}"), rows=tuple(rows))


def per_thousand(report: ReportJson) -> dict[str, int]:
    """Return what becomes of 1,000 tasks; empty where there is no threshold."""
    rate, miss, base = (
        report["escalation_rate"],
        report["miss_rate"],
        report["base_rate"],
    )
    if not (rate and miss):
        return {}
    missed = base * miss["value"]
    caught = base - missed
    return {
        "escalated, and needed it": round(1000 * caught),
        "escalated for nothing": round(1000 * (rate["value"] - caught)),
        "missed": round(1000 * missed),
        "left alone, rightly": round(1000 * (1 - rate["value"] - missed)),
    }


def baselines(report: ReportJson) -> Table:
    """Return the model beside every baseline."""
    rules = {"this model": report, **report["baselines"]}
    rows = [
        (
            Cell(text=name.replace("_", " ")),
            _cell(rule["every_step"]["auroc"]),
            _cell(rule["end_of_task"]["auroc"]),
            _cell(rule["every_step"]["log_loss"]),
            _cell(rule["escalation_rate"], percent=True),
            _cell(rule["miss_rate"], percent=True),
            _cell(rule["precision"], percent=True),
            _cell(rule["cost_per_task"], digits=2),
        )
        for name, rule in rules.items()
    ]
    head = (
        "",
        "AUROC, every step",
        "AUROC, end",
        "log-loss, every step",
        "escalated",
        "missed",
        "precision",
        "cost per task",
    )
    return Table(head=head, rows=tuple(rows))


def slices(report: ReportJson) -> dict[str, dict[str, Any]]:
    """Return one table per grouping, and which values are not in it."""
    head = (
        "",
        "tasks",
        "needed",
        "AUROC",
        "Brier",
        "escalated",
        "missed",
        "risk off, points",
    )
    found = {}
    for name, values in report["by_group"].items():
        shown = {k: v for k, v in values.items() if not v["suppressed"]}
        rows = [
            _slice(kind, figures, report["alpha"])
            for kind, figures in list(shown.items())[:_MOST_SLICES]
        ]
        found[name.replace("_", " ")] = {
            "table": Table(head=head, rows=tuple(rows)),
            "suppressed": [
                f"{kind} ({v['n']})" for kind, v in values.items() if v["suppressed"]
            ],
            "n_more": max(0, len(shown) - _MOST_SLICES),
        }
    return found


def _slice(kind: str, found: Mapping[str, Any], alpha: float) -> tuple[Cell, ...]:
    return (
        Cell(text=kind),
        Cell(text=f"{found['n']:,}"),
        _cell(found["base_rate"], percent=True),
        _cell(found["auroc"]),
        _cell(found["brier"]),
        _cell(found["escalation_rate"], percent=True),
        _cell(found["miss_rate"], percent=True, flagged=_missed(found, alpha)),
        _gap(found),
    )


def _gap(found: Mapping[str, Any]) -> Cell:
    """Return mean risk minus base rate in points, with its sign."""
    value, low, high = (
        f"{100 * (found['calibration_gap'] or {}).get(part, math.nan):+z.1f}"
        for part in ("value", "low", "high")
    )
    return Cell(text=value, margin=f"{low} to {high}", flagged=_off(found))


def _missed(found: Mapping[str, Any], alpha: float) -> bool:
    """Whether more is missed than tolerated, beyond chance."""
    miss = found["miss_rate"]
    return bool(miss and miss["low"] is not None and miss["low"] > alpha)


def _off(found: Mapping[str, Any]) -> bool:
    """Whether the risk is off by five points or more, beyond chance."""
    gap = found["calibration_gap"]
    if not gap or gap["low"] is None or gap["high"] is None:
        return False
    return bool(abs(gap["value"]) >= _GAP and gap["low"] * gap["high"] > 0)


def flags(report: ReportJson) -> list[str]:
    """Return in words what is flagged in the slices."""
    off, missed = [], []
    for name, values in report["by_group"].items():
        for kind, found in values.items():
            if found["suppressed"]:
                continue
            label = f"{name.replace('_', ' ')} {kind}"
            if _off(found):
                off.append(
                    f"{label} ({100 * found['calibration_gap']['value']:+.0f} points)"
                )
            if _missed(found, report["alpha"]):
                missed.append(f"{label} ({estimate(found['miss_rate'])})")
    return [
        f"{words}: {', '.join(kinds)}."
        for words, kinds in (
            ("The risk is off, beyond chance, in", off),
            ("More is missed than tolerated, beyond chance, in", missed),
        )
        if kinds
    ]


def signals(facts: CardFacts) -> Table:
    """Return the signals that move the score most, with direction and trust."""
    words = {1: "never lowers it", -1: "never raises it", 0: "either way"}
    rows = [
        (
            Cell(text=s.name),
            Cell(text=s.doc),
            Cell(text=f"{100 * s.share:.1f} %"),
            Cell(text=words[s.direction]),
            Cell(text=s.trust.replace("_", " ")),
        )
        for s in facts.signals[:_TOP]
    ]
    head = ("signal", "what it is", "share", "more of it and the risk", "trust")
    return Table(head=head, rows=tuple(rows))
