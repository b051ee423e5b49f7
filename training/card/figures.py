"""Pictures of a report: drawn from its JSON form, for MLflow and for the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.card.drawing import (
    BLUE,
    DASHED,
    DOTTED,
    GREEN,
    INK,
    LONG,
    MUTED,
    ORANGE,
    PARTS,
    beside,
    blank,
    column,
    curve,
    dress,
    floats,
    legend,
    mark_points,
    mark_threshold,
    mark_tolerated,
)

SCOPES = {"every_step": "every step", "end_of_task": "end of task"}

ReportJson = Mapping[str, Any]


def figures(report: ReportJson) -> dict[str, Figure]:
    """Return the pictures of a report by name.

    Parameters
    ----------
    report : mapping
        ``Report.to_json()``, or report.json read back.

    Returns
    -------
    dict of str to Figure
        reliability, cost, workload, frontier, precision_recall, roc_pr; and lead where
        the model has a threshold.
    """
    drawings: dict[str, Callable[[ReportJson], Figure]] = {
        "reliability": reliability,
        "cost": cost,
        "workload": workload,
        "frontier": frontier,
        "precision_recall": precision_recall,
        "roc_pr": roc_pr,
    }
    if report["threshold"] is not None:
        drawings["lead"] = lead
    return {name: draw(report) for name, draw in drawings.items()}


def reliability(report: ReportJson) -> Figure:
    """Return observed against predicted risk, above how many tasks lie where."""
    figure, grid = blank(2, 2, height=5.0, ratios=(3.2, 1))
    for (scope, title), top, bottom in zip(SCOPES.items(), *grid, strict=True):
        top.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=DASHED)
        mark_points(top, report["curves"]["reliability"][scope])
        top.text(0.04, 0.95, _honesty(report[scope]), va="top", fontsize=8, color=INK)
        dress(top, title=title)
        top.set(xlim=(0, 1), ylim=(0, 1))
        _mass(bottom, report["curves"]["histogram"][scope])
        dress(bottom, x="predicted risk")
        bottom.set(xlim=(0, 1))
    grid[0][0].set_ylabel("share that needed a human", color=INK, fontsize=9)
    grid[1][0].set_ylabel("tasks", color=INK, fontsize=9)
    legend(grid[1][0], loc="upper right")
    return figure


def _honesty(scores: Mapping[str, Any]) -> str:
    rows = (
        ("ECE, debiased", "ece_debiased"),
        ("slope", "calibration_slope"),
        ("intercept", "calibration_intercept"),
        ("Brier", "brier"),
    )
    return "\n".join(
        f"{label}  {scores[key]['value']:.3f}" for label, key in rows if scores[key]
    )


def _mass(axes: Axes, histogram: Mapping[str, Sequence[float]]) -> None:
    edges = np.array(histogram["edges"])
    needed = np.array(histogram["needed"])
    rest = np.array(histogram["not_needed"])
    width = np.diff(edges) * 0.9
    middle = (edges[1:] + edges[:-1]) / 2
    axes.bar(middle, rest, width, color=MUTED, alpha=0.55, label="did not need a human")
    axes.bar(middle, needed, width, bottom=rest, color=ORANGE, label="needed a human")
    axes.set_ylim(0, 1.3 * max((rest + needed).max(), 1.0))


def cost(report: ReportJson) -> Figure:
    """Return the expected cost per task against the threshold, with its marks."""
    figure, ((axes,),) = blank(1, 1, height=3.4)
    points = report["curves"]["thresholds"]
    x, y = curve(axes, points, "cost_per_task", colour=BLUE, label="this model")
    for name, point, style in (
        ("escalate always", points[0], DOTTED),
        ("escalate never", points[-1], LONG),
    ):
        level = point["cost_per_task"]["value"]
        label = f"{name}: {level:.2f}"
        axes.axhline(level, color=MUTED, lw=1.2, ls=style, label=label)
    best = int(np.argmin(y))
    label = f"cheapest: {y[best]:.2f} at {x[best]:.2f}"
    axes.plot(x[best], y[best], "v", color=GREEN, ms=8, label=label)
    mark_threshold(axes, report["threshold"], (x, y))
    prices = report["costs"]
    title = (
        f"review {prices['review']:g}, miss {prices['miss']:g}, "
        f"{100 * prices['fixable']:.0f} % of misses fixable"
    )
    dress(axes, x="threshold", y="expected cost per task", title=title)
    axes.set(xlim=(0, 1), ylim=(0, None))
    legend(axes)
    return figure


def workload(report: ReportJson) -> Figure:
    """Return what a threshold asks of people, above what it lets through."""
    figure, ((top,), (bottom,)) = blank(2, 1, height=4.8)
    points = report["curves"]["thresholds"]
    line = curve(
        top, points, "escalation_rate", colour=BLUE, label="escalated", scale=100
    )
    mark_threshold(top, report["threshold"], line)
    dress(top, y="escalated, % of tasks")
    line = curve(bottom, points, "miss_rate", colour=ORANGE, label="missed", scale=100)
    bound = 100 * floats([p["miss_bound"] for p in points[:-1]])
    doubt = f"{100 * (1 - report['delta']):.0f} % upper bound at any one threshold"
    bottom.plot(line[0], bound, color=ORANGE, lw=1.2, ls=DASHED, label=doubt)
    mark_tolerated(bottom, report["alpha"])
    mark_threshold(bottom, report["threshold"], line)
    dress(bottom, x="threshold", y="missed, % of needed")
    for axes in (top, bottom):
        axes.set(xlim=(0, 1), ylim=(0, 102))
        legend(axes)
    return figure


def frontier(report: ReportJson, bounds: Sequence[Mapping[str, Any]] = ()) -> Figure:
    """Return misses against workload: what each escalation buys, for each rule.

    Parameters
    ----------
    bounds : sequence of mapping
        Certificates: the bound on misses that each promises, where it stands.
    """
    figure, ((axes,),) = blank(1, 1, height=4.2)
    points = report["curves"]["thresholds"]
    x = 100 * column(points, "escalation_rate")
    y, low, high = (100 * column(points, "miss_rate", part) for part in PARTS)
    axes.plot([0, 100], [100, 0], color=MUTED, lw=1, ls=DOTTED, label="at random")
    axes.fill_between(x, low, high, color=BLUE, alpha=0.18, lw=0)
    axes.plot(x, y, color=BLUE, lw=2, label="this model, every threshold")
    mark_tolerated(axes, report["alpha"])
    _certified(axes, bounds)
    for (name, rule), shape in zip(
        report["baselines"].items(), "^v<>sphd", strict=False
    ):
        _rule(axes, rule, shape, ORANGE, name.replace("_", " "))
    _rule(axes, report, "o", INK, "current threshold, as observed")
    dress(axes, x="escalated, % of tasks", y="missed, % of needed")
    axes.set(xlim=(0, 100), ylim=(0, 100))
    legend(axes, loc="upper right")
    return figure


def _certified(axes: Axes, bounds: Sequence[Mapping[str, Any]]) -> None:
    """Mark which bound is promised for which workload."""
    held = {c["alpha"]: c for c in bounds if c["escalation_rate"] is not None}
    if not held:
        return
    x = [100 * c["escalation_rate"] for c in held.values()]
    y = [100 * alpha for alpha in held]
    axes.plot(x, y, "D", color=GREEN, ms=6, label="certified: missed at most")
    for right, up in zip(x, y, strict=True):
        beside(axes, right, up, f"{up:g} %")


def _rule(
    axes: Axes, rule: Mapping[str, Any], shape: str, colour: str, label: str
) -> None:
    """Mark what one rule does, if it is known."""
    rate, miss = rule["escalation_rate"], rule["miss_rate"]
    if rate and miss:
        place = 100 * rate["value"], 100 * miss["value"]
        axes.plot(*place, shape, color=colour, ms=7, clip_on=False, label=label)


def precision_recall(report: ReportJson) -> Figure:
    """Return precision and recall of tasks against the threshold."""
    figure, ((axes,),) = blank(1, 1, height=3.4)
    points = report["curves"]["thresholds"]
    x, _ = curve(axes, points, "precision", colour=BLUE, label="precision")
    recall = 1 - column(points[:-1], "miss_rate")
    axes.plot(x, recall, color=ORANGE, lw=2, ls=LONG, label="recall")
    held = floats([p["miss_bound"] for p in points[:-1]]) <= report["alpha"]
    if held.any():
        label = f"recall ≥ {100 * (1 - report['alpha']):.0f} % even at its bound"
        axes.axvspan(0, x[held].max(), color=GREEN, alpha=0.12, lw=0, label=label)
    mark_threshold(axes, report["threshold"])
    dress(axes, x="threshold", y="share of tasks")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    legend(axes)
    return figure


def roc_pr(report: ReportJson) -> Figure:
    """Return the ROC and the precision-recall curve over rows, for both scopes."""
    figure, ((left, right),) = blank(1, 2, height=3.6)
    styles = zip(SCOPES.items(), (BLUE, ORANGE), ("-", LONG), strict=True)
    for (scope, name), colour, style in styles:
        found = report["curves"]["operating_points"][scope]
        recall = floats(found["recall"])
        for axes, across, up, metric in (
            (left, floats(found["false_alarm_rate"]), recall, "auroc"),
            (right, recall, floats(found["precision"]), "auprc"),
        ):
            known = report[scope][metric]
            area = f"{known['value']:.3f}" if known else "undefined"
            axes.plot(across, up, color=colour, lw=2, ls=style, label=f"{name}: {area}")
    left.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=DOTTED)
    right.axhline(report["base_rate"], color=MUTED, lw=1, ls=DOTTED)
    dress(left, x="false alarm rate", y="recall", title="ROC, area under it")
    dress(right, x="recall", y="precision", title="PR, average precision")
    for axes in (left, right):
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        legend(axes, loc="lower right")
    return figure


def lead(report: ReportJson) -> Figure:
    """Return how early the caught tasks were caught, in steps and as a share."""
    figure, ((left, right),) = blank(1, 2, height=2.9)
    steps = np.array(report["curves"]["lead"]["steps"])
    left.bar(np.arange(len(steps)), steps, 0.9, color=BLUE)
    dress(left, x="steps left at the alarm (last bar: or more)", y="tasks caught")
    share = np.array(report["curves"]["lead"]["share"])
    right.bar(100 * (np.arange(len(share)) + 0.5) / len(share), share, 9, color=BLUE)
    dress(right, x="% of the task done at the alarm")
    right.set_xlim(0, 100)
    for axes, key, scale in (
        (left, "lead_steps_median", 1),
        (right, "share_of_task_at_alarm_median", 100),
    ):
        if report[key]:
            at = scale * report[key]["value"]
            axes.axvline(at, color=INK, lw=1.2, ls=DASHED, label=f"median {at:.3g}")
            legend(axes)
    return figure


def bars(rows: Sequence[tuple[str, float, int]], *, x: str) -> Figure:
    """Return labelled horizontal bars, longest first.

    Parameters
    ----------
    rows : sequence of (name, value, direction)
        Direction -1, 0 or 1 gives the colour.
    x : str
        What the bars measure.
    """
    figure, ((axes,),) = blank(1, 1, height=0.7 + 0.26 * len(rows))
    colours = {1: ORANGE, -1: BLUE, 0: MUTED}
    names, values, directions = zip(*rows, strict=True)
    place = np.arange(len(rows))[::-1]
    axes.barh(place, values, 0.72, color=[colours[d] for d in directions])
    for at, value in zip(place, values, strict=True):
        beside(axes, value, at, f"{value:.1f}")
    dress(axes, x=x)
    axes.set_yticks(place, names)
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, 1.1 * max(values)), ylim=(-0.6, len(rows) - 0.4))
    return figure
