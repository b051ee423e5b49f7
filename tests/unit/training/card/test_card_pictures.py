"""Pictures: what they mark, and how they come into the page."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest

from training.card import source_of
from training.card.facts import CardFacts
from training.card.figures import bars, figures, frontier
from training.card.pictures import desks, forest, span_of, stages
from training.card.svg import inline_svg

Json = dict[str, Any]


def test_figures_mark_the_current_threshold(report: Json) -> None:
    """Pictures over thresholds have a line at the bundle's."""
    drawn = figures(report)
    assert set(drawn) == {
        "reliability",
        "cost",
        "workload",
        "frontier",
        "precision_recall",
        "roc_pr",
        "lead",
    }
    for name in ("cost", "workload", "precision_recall"):
        for axes in drawn[name].axes:
            upright = [
                line for line in axes.lines if list(line.get_xdata()) == [0.4, 0.4]
            ]
            assert len(upright) == 1
            assert upright[0].get_label() == "current threshold 0.40"


def test_figures_can_be_saved_as_pictures(report: Json) -> None:
    """A figure renders to PNG without a display, as MLflow wants it."""
    buffer = BytesIO()
    figures(report)["lead"].savefig(buffer, format="png", dpi=40)
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_cheapest_threshold_is_the_lowest_point(report: Json, facts: CardFacts) -> None:
    """The green mark of the cost curve lies at its minimum, and the card says so."""
    axes = figures(report)["cost"].axes[0]
    lowest = min(
        p["cost_per_task"]["value"] for p in report["curves"]["thresholds"][:-1]
    )
    marks = [line for line in axes.lines if line.get_marker() == "v"]
    assert list(marks[0].get_ydata()) == [pytest.approx(lowest)]
    told = source_of(report, facts).derived["cheapest"]["cost_per_task"].value
    assert told == pytest.approx(lowest)


def test_each_stage_has_its_own_reliability(report: Json) -> None:
    """Four panels in order, each named with its steps, on the diagonal's square."""
    figure = stages(report)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    spans = [f"{name}: {span_of(s)}" for name, s in report["by_stage"].items()]
    assert titles == spans
    assert titles[-1] == "end: the last step"
    drawn = [len(axes.containers[0].lines[0].get_xdata()) for axes in figure.axes]
    assert drawn == [len(s["reliability"]) for s in report["by_stage"].values()]


def test_three_stages_leave_the_fourth_place_empty(report: Json) -> None:
    """A stage that too few tasks reached is left out, and nothing stands in for it."""
    kept = {k: v for k, v in report["by_stage"].items() if k != "late"}
    figure = stages({**report, "by_stage": kept})
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (1, 1, "step 1"),
        (2, 4, "steps 2 to 4"),
        (5, None, "from step 5"),
        (None, None, "the last step"),
    ],
)
def test_stages_are_named_by_their_steps(
    first: int | None, last: int | None, words: str
) -> None:
    """Absolute steps, counted from 1."""
    assert span_of({"first_step": first, "last_step": last}) == words


def test_forest_has_a_row_for_each_slice_and_the_tolerated_misses(
    report: Json,
) -> None:
    """Every shown slice is a row with its tasks; a green line marks what is tolerated."""
    figure = forest(report)
    ranking, missed, off = figure.axes
    rows = [tick.get_text() for tick in ranking.get_yticklabels()]
    assert rows == [
        "domain",
        "<b>&| (100)",
        "retail (100)",
        "agent version",
        "v1 (190)",
    ]
    assert [100 * report["alpha"]] * 2 in [
        list(line.get_xdata()) for line in missed.lines
    ]
    assert [0, 0] in [list(line.get_xdata()) for line in off.lines]
    shown = report["by_group"]["domain"]["retail"]["auroc"]["value"]
    points = [line for line in ranking.lines if line.get_marker() == "o"]
    assert shown in points[0].get_xdata()


def test_forest_of_a_refused_version_has_no_misses(make_report: Any) -> None:
    """Without a threshold there is no miss rate to draw."""
    labels = [axes.get_xlabel() for axes in forest(make_report(None)).axes]
    assert labels == ["AUROC", "risk off, points"]


def test_frontier_marks_what_is_promised_for_which_workload(
    report: Json, full_facts: CardFacts
) -> None:
    """Certified bounds stand at (escalated, missed at most); refused ones do not."""
    facts = source_of(report, full_facts).facts.value
    bounds = [facts["certificate"], *facts["frontier"]]
    axes = frontier(report, bounds).axes[0]
    marks = next(line for line in axes.lines if line.get_marker() == "D")
    assert list(marks.get_xdata()) == pytest.approx([38, 71, 55])
    assert list(marks.get_ydata()) == pytest.approx([40, 10, 20])
    notes = {text.get_text() for text in axes.texts}
    assert {"10 %", "20 %", "40 %"} <= notes


def test_desks_shows_each_bound_once_and_marks_those_beyond_capacity(
    report: Json, full_facts: CardFacts
) -> None:
    """Bars rise with the strictness of the bound; the line is what people can take."""
    source = source_of(report, full_facts)
    facts, work = source.facts.value, source.derived["work"].value
    bounds = [facts["certificate"], *facts["frontier"]]
    axes = desks(work, bounds).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [f"at most {a} % missed" for a in (10, 20, 40)]
    line = next(line for line in axes.lines if line.get_label().startswith("all desks"))
    assert list(line.get_xdata()) == [pytest.approx(work["capacity"])] * 2
    over = {bar.get_facecolor() for bar in axes.patches if bar.get_width() > 428}
    under = {bar.get_facecolor() for bar in axes.patches if bar.get_width() < 428}
    assert over
    assert not over & under


def test_svg_takes_colours_from_the_page_and_keeps_numbers() -> None:
    """Colours become variables with a fallback; text stays text, in full."""
    text = inline_svg(
        bars([("errors", 12.345, 1)], x="% of all"), name="p1", says='a < "b"'
    )
    assert text.startswith('<svg role="img" aria-label="a &lt; &quot;b&quot;"')
    assert "var(--orange, #" in text
    assert ">errors</text>" in text
    assert ">12.3</text>" in text
    assert 'id="p1-' in text
    assert "<metadata" not in text


def test_a_picture_without_an_interval_is_still_drawn(report: Json) -> None:
    """A slice whose interval is not defined is a point without a line."""
    slice_ = {**report["by_group"]["domain"]["retail"]}
    slice_["auroc"] = {"value": 0.7, "low": None, "high": None}
    changed = {**report, "by_group": {"domain": {"retail": slice_}}}
    points = forest(changed).axes[0].lines[0]
    assert np.nanmax(points.get_xdata()) == pytest.approx(0.7)
