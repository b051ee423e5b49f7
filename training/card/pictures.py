"""Pictures that only the card has: stages, slices, and what each bound asks of people.

Drawn from the card's data, like those of `training.card.figures` from a report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.card import values
from training.card.drawing import (
    BLUE,
    DASHED,
    GREEN,
    GRID,
    INK,
    MUTED,
    ORANGE,
    PARTS,
    beside,
    blank,
    column,
    dress,
    legend,
    mark_points,
)
from training.card.shown import Node, flat
from training.evaluate.metrics import Floats

Json = Mapping[str, Any]

MOST_SLICES = 12  # of one grouping, in a picture
_PANELS = (("auroc", "AUROC", 1), ("miss_rate", "missed, %", 100))


def stages(report: Json) -> Figure:
    """Return observed against predicted risk for each stage of the task."""
    found = report["by_stage"]
    figure, grid = blank((len(found) + 1) // 2, 2, height=2.9 * ((len(found) + 1) // 2))
    places = [axes for row in grid for axes in row]
    for (name, stage), axes in zip(found.items(), places, strict=False):
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=DASHED)
        mark_points(axes, stage["reliability"])
        error = stage["scores"]["ece_debiased"]
        if error:
            off = f"off by {error['value']:.3f}"
            axes.text(0.04, 0.96, off, va="top", fontsize=9, color=INK)
        dress(axes, title=f"{name}: {span_of(stage)}", x="predicted risk")
        axes.set(xlim=(0, 1), ylim=(0, 1))
    for axes in places[len(found) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("share that needed a human", color=INK, fontsize=9)
    return figure


def span_of(stage: Json) -> str:
    """Return the steps of a stage in words."""
    first, last = stage["first_step"], stage["last_step"]
    if first is None:
        return "the last step"
    if last is None:
        return f"from step {first}"
    return f"step {first}" if first == last else f"steps {first} to {last}"


def forest(report: Json) -> Figure:
    """Return AUROC, misses and the error of the risk per slice, with intervals."""
    rows = list(_slices(report))
    panels = [p for p in _PANELS if any(found and found[p[0]] for _, found in rows)]
    figure, (grid,) = blank(1, len(panels) + 1, height=0.9 + 0.27 * len(rows))
    place = np.arange(len(rows), dtype=np.float64)[::-1]
    for axes, (key, title, scale) in zip(grid, panels, strict=False):
        _intervals(axes, rows, key, scale=scale, place=place)
        dress(axes, x=title)
    _intervals(grid[-1], rows, "calibration_gap", scale=100, place=place)
    grid[-1].axvline(0, color=MUTED, lw=1.2, ls=DASHED)
    dress(grid[-1], x="risk off, points")
    if ("miss_rate", "missed, %", 100) in panels:
        at = 100 * report["alpha"]
        tolerated = grid[len(panels) - 1]
        tolerated.axvline(at, color=GREEN, lw=1.2, ls=DASHED)
        tolerated.set_xlim(0, None)
    _names(grid, rows, place)
    return figure


def _slices(report: Json) -> Iterator[tuple[str, Json | None]]:
    """Yield a heading per grouping, without figures, and then its slices."""
    for name, kinds in report["by_group"].items():
        shown = [(k, v) for k, v in kinds.items() if not v["suppressed"]]
        if shown:
            yield name.replace("_", " "), None
            yield from shown[:MOST_SLICES]


def _intervals(
    axes: Axes,
    rows: Sequence[tuple[str, Json | None]],
    key: str,
    *,
    scale: float,
    place: Floats,
) -> None:
    points = [{key: None} if found is None else found for _, found in rows]
    value, low, high = (scale * column(points, key, p) for p in PARTS)
    axes.hlines(place, low, high, color=BLUE, lw=1.6)
    axes.plot(value, place, "o", color=BLUE, ms=4.5)


def _names(
    grid: Sequence[Axes], rows: Sequence[tuple[str, Json | None]], place: Floats
) -> None:
    labels = [
        name if found is None else f"{name} ({found['n']:,})" for name, found in rows
    ]
    for axes in grid:
        axes.set_yticks(place, [""] * len(rows))
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        for at, (_, found) in zip(place, rows, strict=True):
            if found is None:
                axes.axhspan(at - 0.5, at + 0.5, color=GRID, alpha=0.5, lw=0)
    grid[0].set_yticks(place, labels)
    for tick, (_, found) in zip(grid[0].get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if found is None else "normal")


def told(amount: float) -> str:
    """Return how many things there are as `training.card.values.amount` writes it."""
    return flat(values.amount(Node("", amount)))


def desks(work: Json, promises: Sequence[Json]) -> Figure:
    """Return escalations per day that each certified bound asks for, and capacity.

    Parameters
    ----------
    work : mapping
        From `training.card.derived.work`.
    promises : sequence of mapping
        Certificates in the order of its `bounds`; the bundle's own comes first.
    """
    rows = [
        (promise["alpha"], found["escalations_a_day"], i == 0)
        for i, (promise, found) in enumerate(zip(promises, work["bounds"], strict=True))
        if found["escalations_a_day"] is not None
    ]
    # The bundle's own bound is one rung of the ladder: it is shown once.
    own = {alpha for alpha, _, mine in rows if mine}
    rows = sorted(row for row in rows if row[2] or row[0] not in own)
    figure, ((axes,),) = blank(1, 1, height=1.1 + 0.34 * len(rows))
    place = np.arange(len(rows), dtype=np.float64)[::-1]
    for at, (_, a_day, mine) in zip(place, rows, strict=True):
        over = a_day > work["capacity"]
        axes.barh(at, a_day, 0.68, color=ORANGE if over else BLUE, alpha=0.9)
        beside(axes, a_day, at, f"{told(a_day)}{', this version' if mine else ''}")
    label = f"all desks at full occupancy: {told(work['capacity'])}"
    axes.axvline(work["capacity"], color=INK, lw=1.4, ls=DASHED, label=label)
    dress(axes, x="escalations by the learned trigger per day")
    axes.set_yticks(place, [f"at most {100 * a:g} % missed" for a, _, _ in rows])
    axes.grid(visible=False, axis="y")
    most = max([work["capacity"], *(a_day for _, a_day, _ in rows)])
    axes.set(xlim=(0, 1.25 * most), ylim=(-0.6, len(rows) + 0.3))
    legend(axes, loc="upper right")
    return figure
