"""Palette and parts that the pictures of `training.card.figures` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluate.metrics import Floats

# Told apart by colour-blind readers and in grey print. `training.card.svg` turns each
# into a CSS variable, so that a page in dark mode can lighten them.
INK, MUTED, GRID = "#1d2733", "#5b6672", "#dde2e8"
BLUE, ORANGE, GREEN, PAPER = "#1f6fb2", "#b94a08", "#2a7d55", "#fefefe"
DOTTED, DASHED, LONG = (0, (1, 1.5)), (0, (4, 2)), (0, (6, 2))
WIDTH = 7.2  # inches

Point = Mapping[str, Any]


def blank(
    n_rows: int, n_columns: int, *, height: float, ratios: Sequence[float] | None = None
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of `height` inches and its axes as rows of columns.

    It belongs to no pyplot state: nothing has to be closed.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=PAPER)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, height_ratios=ratios)
    return figure, [list(row) for row in axes]


def dress(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Label the axes and take away what carries no information."""
    axes.set_facecolor(PAPER)
    axes.set_xlabel(x, color=INK, fontsize=9)
    axes.set_ylabel(y, color=INK, fontsize=9)
    axes.set_title(title, color=INK, fontsize=9.5, loc="left")
    axes.tick_params(labelcolor=INK, labelsize=8, length=3, color=MUTED)
    axes.grid(visible=True, color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(MUTED)


def legend(
    axes: Axes, *, loc: Literal["best", "upper right", "lower right"] = "best"
) -> None:
    """Add a legend that lines do not shine through."""
    axes.legend(
        loc=loc,
        fontsize=8,
        facecolor=PAPER,
        edgecolor=PAPER,
        framealpha=0.9,
        labelcolor=INK,
    )


def curve(
    axes: Axes,
    points: Sequence[Point],
    key: str,
    *,
    colour: str,
    label: str,
    scale: float = 1.0,
) -> tuple[Floats, Floats]:
    """Draw a column of the thresholds with its band; return its x and y.

    The last point, which escalates nothing, has no place on the axis.
    """
    finite = points[:-1]
    x = np.array([p["threshold"] for p in finite])
    y, low, high = (scale * column(finite, key, part) for part in PARTS)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
    axes.plot(x, y, color=colour, lw=2, label=label)
    return x, y


PARTS = ("value", "low", "high")


def mark_threshold(
    axes: Axes, threshold: float | None, line: tuple[Floats, Floats] | None = None
) -> None:
    """Mark the bundle's threshold, if there is one, and where it meets a line."""
    if threshold is None:
        return
    label = f"current threshold {threshold:.2f}"
    axes.axvline(threshold, color=INK, lw=1.2, ls=DASHED, label=label)
    if line is not None:
        axes.plot(threshold, np.interp(threshold, *line), "o", color=INK, ms=6)


def mark_tolerated(axes: Axes, alpha: float) -> None:
    """Mark the tolerated miss rate on an axis in percent."""
    label = f"tolerated: {100 * alpha:g} %"
    axes.axhline(100 * alpha, color=GREEN, lw=1.2, ls=DOTTED, label=label)


def beside(axes: Axes, x: float, y: float, words: str) -> None:
    """Write to the right of the end of a bar."""
    axes.annotate(
        words,
        (x, y),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=INK,
    )


def mark_points(axes: Axes, points: Sequence[Point]) -> None:
    """Draw what happened against the risk, with intervals."""
    x = np.array([p["risk"] for p in points])
    value, low, high = (column(points, "observed", part) for part in PARTS)
    around = np.abs(np.stack([value - low, high - value]))
    axes.errorbar(x, value, around, fmt="o", ms=4, lw=1.2, color=BLUE)


def column(points: Sequence[Point], key: str, part: str = "value") -> Floats:
    """Return one number of an estimate from every point; NaN where undefined."""
    return floats([(p[key] or {}).get(part) for p in points])


def floats(values: Sequence[float | None]) -> Floats:
    """Return JSON numbers as an array; null is NaN."""
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
