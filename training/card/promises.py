"""Sections on the promise: what it says exactly, and what others would cost."""

from __future__ import annotations

from training.card.blocks import (
    Block,
    Cell,
    Chapter,
    Gap,
    Pairs,
    Picture,
    Points,
    Section,
    Table,
)
from training.card.shown import UNKNOWN, Node, Phrase, say
from training.card.source import Source, numbers_in
from training.card.values import amount, count, number, points, whole, word

# --- frontier ----------------------------------------------------------------


def frontier(source: Source) -> Section:
    """Return the bound on misses against the escalations that it costs."""
    ladder = source.facts["frontier"]
    blocks: list[Block] = [_frontier_picture(source)]
    if ladder.value:
        blocks.append(_ladder(source))
    else:
        blocks.append(Gap(what="What other bounds would cost", how=_NO_LADDER))
    blocks += [_curves(source), _precision(source)]
    return Section(
        key="frontier",
        title="What does a stricter or looser promise cost?",
        chapter=Chapter.ANALYSES,
        answer=_operating_point(source),
        blocks=blocks,
    )


_NO_LADDER = "`escalon train` certifies a ladder of bounds; train the version anew"


def _operating_point(source: Source) -> Phrase:
    promise = source.facts["certificate"]
    if not source.has_threshold:
        return ("There is no operating point: no threshold was certified.",)
    return say(
        "This version stands where at most {alpha} are missed, for escalating {rate} "
        "of all tasks.",
        alpha=whole(promise["alpha"]),
        rate=whole(promise["escalation_rate"]),
    )


def _frontier_picture(source: Source) -> Picture:
    report, facts = source.report, source.facts
    alphas = [c["alpha"] for c in (facts["certificate"], *facts["frontier"])]
    return Picture(
        name="frontier",
        caption="Misses bought off by escalations. Left and down is better; a rule on "
        "the dotted diagonal knows nothing. Green: what can be promised, and for "
        "which workload; the distance to the curve is the price of being sure.",
        numbers=numbers_in(whole(report["alpha"]), *(points(a) for a in alphas)),
    )


def _ladder(source: Source) -> Table:
    facts, asked = source.facts, list(source.derived["work"]["bounds"])
    mine = facts["certificate"]
    together = facts["frontier_together"].value
    rungs = [
        (promise, work)
        for promise, work in zip(facts["frontier"], asked[1:], strict=True)
        # Taken alone it is the very certificate of this version.
        if together or promise["alpha"].value != mine["alpha"].value
    ]
    rows = [
        _rung(promise, work, mine=promise is mine)
        for promise, work in sorted(
            [(mine, asked[0]), *rungs], key=lambda rung: rung[0]["alpha"].value
        )
    ]
    head = (
        "missed at most",
        "threshold",
        "escalated",
        "escalations a day",
        "of what desks can take",
    )
    caption = _TOGETHER if together else _ALONE
    return Table(caption=caption, head=head, rows=tuple(rows))


_TOGETHER = "All bounds hold at once: one may be chosen by looking at its price"
_ALONE = (
    "Each bound holds taken alone; that of this version was asked for before the data "
    "were seen"
)


def _rung(promise: Node, asked: Node, *, mine: bool) -> tuple[Cell, ...]:
    name = Cell(text=whole(promise["alpha"]), margin=("this version",) if mine else ())
    if promise["threshold"].value is None:
        return (
            name,
            Cell(text=("refused",), margin=_wanted(promise)),
            *[Cell(text=(UNKNOWN,))] * 3,
        )
    return (
        name,
        Cell(text=number(promise["threshold"])),
        Cell(text=whole(promise["escalation_rate"])),
        Cell(text=amount(asked["escalations_a_day"])),
        Cell(text=whole(asked["of_capacity"])),
    )


def _wanted(promise: Node) -> Phrase:
    """Return what a refusal still needs, in a few words."""
    short = promise.get("still_needed")
    kind = promise.get("refusal")
    if short.value:
        return say("{n} labelled tasks short", n=count(short))
    return (kind.value,) if kind else ()


def _curves(source: Source) -> Picture:
    report = source.report
    return Picture(
        name="workload",
        caption="What a threshold asks of people (above) and what it lets through "
        "(below). The dashed bound holds at any one threshold chosen beforehand, not "
        "at one chosen by looking.",
        numbers=numbers_in(
            points(report["alpha"]),
            whole(source.derived["confidence"]),
            points(report["threshold"]),
        ),
    )


def _precision(source: Source) -> Picture:
    return Picture(
        name="precision_recall",
        caption="Of those escalated, how many needed it; of those who needed it, how "
        "many are escalated. A task counts once, by its highest risk.",
        numbers=numbers_in(
            points(source.report["threshold"]), whole(source.derived["recall"])
        ),
    )


# --- certificates ------------------------------------------------------------


def certificates(source: Source) -> Section:
    """Return what is promised, of all tasks and of parts, and how to read it."""
    segments = source.facts["segments"]
    blocks: list[Block] = [_promise(source)]
    if segments.value:
        blocks.append(_segments(segments))
    else:
        blocks.append(Gap(what="Certificates per segment", how=_NO_SEGMENTS))
    blocks.append(Points(points=tuple(_reading(source))))
    return Section(
        key="certificates",
        title="What exactly is promised?",
        chapter=Chapter.METRICS,
        answer=("In short: ", *word(source.facts["certificate"]["reason"]), "."),
        blocks=blocks,
    )


_NO_SEGMENTS = (
    "the promise is about all tasks on average; ask for one per domain or agent "
    "version with `escalon certify`"
)


def _promise(source: Source) -> Pairs:
    promise = source.facts["certificate"]
    return Pairs(
        caption="Of all tasks",
        pairs=(
            ("Tolerated miss rate", whole(promise["alpha"])),
            ("Confidence", whole(source.derived["confidence"])),
            ("Threshold", number(promise["threshold"])),
            ("Escalated", whole(promise["escalation_rate"])),
            (
                "Made from",
                say(
                    "{tasks} tasks, {needed} independent ones that needed a human",
                    tasks=count(promise["n_tasks"]),
                    needed=count(promise["n_needed"]),
                ),
            ),
            ("Misses allowed", count(promise["misses_allowed"])),
            ("Method", word(promise["method"])),
        ),
    )


def _segments(segments: Node) -> Table:
    rows = [
        (
            Cell(text=word(c["segment"])),
            Cell(text=whole(c["alpha"])),
            Cell(text=number(c["threshold"]), flagged=c["threshold"].value is None),
            Cell(text=whole(c["escalation_rate"])),
            Cell(text=count(c["n_needed"])),
            Cell(text=word(c["reason"])),
        )
        for c in segments
    ]
    head = ("segment", "missed at most", "threshold", "escalated", "needed", "in words")
    caption = "Of parts of the tasks; a dash is a refusal"
    return Table(caption=caption, head=head, rows=tuple(rows), worded=True)


def _reading(source: Source) -> list[Phrase]:
    promise = source.facts["certificate"]
    about = say(
        "The promise is about the miss rate: of the tasks that need a human, at most "
        "{alpha} are never escalated. It says nothing of how many escalations are "
        "needless; that is the precision.",
        alpha=whole(promise["alpha"]),
    )
    doubt = say(
        "Its confidence of {sure} is over the draw of the tasks it was made from: of "
        "ten such certificates up to {wrong} may be wrong, and nobody can say which.",
        sure=whole(source.derived["confidence"]),
        wrong=points(source.derived["wrong_of_ten"]),
    )
    return [about, doubt, *((line,) for line in _HOLDS)]


_HOLDS = (
    (
        "It holds for tasks that come as those came, on average over them: not for "
        "each domain, customer or agent version, and not after the agent has changed."
    ),
    (
        "It counts a task as escalated if its risk reaches the threshold at any step, "
        "however late. How much time is left then is the lead."
    ),
)
