"""Section on slices: for whom is the model worse, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from training.card.blocks import (
    Block,
    Cell,
    Chapter,
    Gap,
    Picture,
    Section,
    Table,
    Words,
)
from training.card.shown import Node, Phrase, flat, joined, say
from training.card.source import Source, cell, leaves, numbers_in
from training.card.values import count, estimate, in_points, signed

_MOST = 20
_HEAD = (
    "slice",
    "tasks",
    "needed",
    "AUROC",
    "Brier",
    "escalated",
    "missed",
    "risk off, points",
)
_WANTED = ("language", "channel")
_NO_GROUPING = (
    "the evaluation was not given it; pass each task's to "
    "`training.evaluate.evaluate(by=…)`"
)


def groups(source: Source) -> Section:
    """Return a table per grouping, and the picture of them all."""
    by = source.report["by_group"]
    blocks: list[Block] = [Words(text=_how_marked(source))]
    if any(_shown(values) for _, values in by.items()):
        blocks.append(_picture(by))
    for name, values in by.items():
        blocks += _of_grouping(name, values, source)
    missing = [f"by {name}" for name in _WANTED if name not in by.value]
    if missing:
        what = f"Slices {' and '.join(missing)}"
        blocks.append(Gap(what=what, how=_NO_GROUPING))
    found = flags(source)
    quiet: Phrase = ("Nowhere by more than is tolerated and chance does not explain.",)
    return Section(
        key="slices",
        title="For whom is it worse?",
        chapter=Chapter.FACTORS,
        answer=joined(found, " ") if found else quiet,
        blocks=blocks,
    )


def _shown(values: Node) -> list[tuple[Phrase, Node]]:
    """Return the slices that are large enough to be shown."""
    return [(kind, v) for kind, v in values.items() if not v["suppressed"].value]


def _how_marked(source: Source) -> Phrase:
    return say(
        "At the end of the task. Marked with ! are miss rates above what is tolerated, "
        "and risks that are off by {gap} points or more, where chance does not explain "
        "it. Of many slices a few are marked all the same.",
        gap=in_points(source.derived["gap"]),
    )


def _picture(by: Node) -> Picture:
    names = [kind for _, values in by.items() for kind, _ in _shown(values)]
    sizes = [
        leaf
        for _, values in by.items()
        for _, found in _shown(values)
        for leaf in leaves(found["n"])
    ]
    return Picture(
        name="forest",
        caption="Every slice with its interval; in brackets its tasks. Green: what is "
        "tolerated. Right of the grey line the model sees too much risk, left of it "
        "too little.",
        numbers=(*numbers_in(*names), *sizes),
    )


def _of_grouping(name: Phrase, values: Node, source: Source) -> Iterator[Block]:
    shown = _shown(values)
    if shown:
        alpha, gap = source.report["alpha"].value, source.derived["gap"].value
        rows = tuple(_row(kind, v, alpha, gap) for kind, v in shown[:_MOST])
        yield Table(caption=f"By {flat(name)}", head=_HEAD, rows=rows)
    hidden = [
        say("{kind} ({n})", kind=kind, n=count(v["n"]))
        for kind, v in values.items()
        if v["suppressed"].value
    ]
    if hidden:
        yield Words(
            text=(*say("Too few tasks, by {by}: ", by=name), *joined(hidden), ".")
        )
    if len(shown) > _MOST:
        yield Words(text=("Slices with fewer tasks than these are in the report.",))


def _row(kind: Phrase, found: Node, alpha: float, gap: float) -> tuple[Cell, ...]:
    return (
        Cell(text=kind),
        Cell(text=count(found["n"])),
        cell(found["base_rate"], as_percent=True),
        cell(found["auroc"]),
        cell(found["brier"]),
        cell(found["escalation_rate"], as_percent=True),
        cell(found["miss_rate"], as_percent=True, flagged=_missed(found, alpha)),
        _gap(found, gap),
    )


def _gap(found: Node, gap: float) -> Cell:
    """Return mean risk minus base rate in points, with its sign."""
    off = found["calibration_gap"]
    low, high = signed(off.get("low")), signed(off.get("high"))
    return Cell(
        text=signed(off.get("value")),
        margin=say("{low} to {high}", low=low, high=high) if off.get("low") else (),
        flagged=_off(found, gap),
    )


def _missed(found: Node, alpha: float) -> bool:
    """Whether more is missed than tolerated, beyond chance."""
    low = found["miss_rate"].get("low").value
    return low is not None and low > alpha


def _off(found: Node, gap: float) -> bool:
    """Whether the risk is off by as much as `gap`, beyond chance."""
    off = found["calibration_gap"].value
    if not off or off["low"] is None or off["high"] is None:
        return False
    return bool(abs(off["value"]) >= gap and off["low"] * off["high"] > 0)


def flags(source: Source) -> list[Phrase]:
    """Return in words what is flagged in the slices."""
    alpha, gap = source.report["alpha"].value, source.derived["gap"].value
    off = _listed(
        source,
        lambda found: _off(found, gap),
        lambda found: (*signed(found["calibration_gap"]["value"], 0), " points"),
    )
    missed = _listed(
        source,
        lambda found: _missed(found, alpha),
        lambda found: estimate(found["miss_rate"]),
    )
    return [
        (words, ": ", *joined(kinds), ".")
        for words, kinds in (
            ("The risk is off, beyond chance, in", off),
            ("More is missed than tolerated, beyond chance, in", missed),
        )
        if kinds
    ]


def _listed(
    source: Source, flagged: Callable[[Node], bool], says: Callable[[Node], Phrase]
) -> list[Phrase]:
    return [
        say("{by} {kind} ({why})", by=name, kind=kind, why=says(found))
        for name, values in source.report["by_group"].items()
        for kind, found in _shown(values)
        if flagged(found)
    ]
