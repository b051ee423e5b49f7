"""Sections on what can go wrong once it is live: lies of the agent, and drift."""

from __future__ import annotations

from training.card.blocks import (
    Block,
    Cell,
    Chapter,
    Gap,
    Pairs,
    Section,
    Table,
)
from training.card.shown import Node, Phrase, say
from training.card.source import Source, cell
from training.card.values import (
    count,
    ends_in_points,
    estimate,
    moved_points,
    points,
    signed,
    word,
)

_NOT_MEASURED: Phrase = ("Not measured.",)


# --- gaming ------------------------------------------------------------------


def gaming(source: Source) -> Section:
    """Return what an agent could gain by lying about itself."""
    found, bound = source.facts["gaming"], source.facts["self_report_bound"]
    blocks: list[Block] = [
        Pairs(
            caption="Bound by construction",
            pairs=(("Self-reports can lower the score by at most", _bound(bound)),),
        )
        if bound
        else Gap(what="A bound on what self-reports can do", how=_NO_BOUND)
    ]
    if found:
        blocks.append(_attacks(found))
    else:
        blocks.append(Gap(what="The price of forged confidence", how=_NO_GAMING))
    return Section(
        key="gaming",
        title="Can the agent talk its risk down?",
        chapter=Chapter.ETHICS,
        answer=_price(found, source.derived["dearest"]) if found else _NOT_MEASURED,
        blocks=blocks,
    )


_NO_BOUND = (
    "this version was trained without one; a version trained now is bounded by "
    "construction"
)
_NO_GAMING = "it is measured at each training; train the version anew"


def _bound(bound: Node) -> Phrase:
    return say("{n} in log-odds, whatever the agent says", n=points(bound))


def _price(found: Node, dearest: Node) -> Phrase:
    worst = found["attacks"][dearest["place"].value]
    loss = worst[dearest["scope"].value]["lost"]
    lost = say(
        "The dearest lie, {name}, costs {auroc} of AUROC",
        name=word(worst["name"]),
        auroc=estimate(loss, as_percent=False),
    )
    if not worst["misses_gained"]:
        return (*lost, "; without a threshold there are no misses to count.")
    return (
        *lost,
        *say(
            " and raises the miss rate by {m} points.",
            m=moved_points(worst["misses_gained"]),
        ),
    )


def _attacks(found: Node) -> Table:
    rows = [
        (
            Cell(text=word(a["name"]), margin=word(a["says"])),
            cell(a["auroc_end"]["lost"]),
            cell(a["auroc_every_step"]["lost"]),
            cell(a["escalations_suppressed"], as_percent=True),
            _gained(a["misses_gained"]),
        )
        for a in found["attacks"]
    ]
    head = (
        "lie",
        "AUROC lost, end",
        "AUROC lost, every step",
        "needed escalations suppressed",
        "misses gained, points",
    )
    caption = (
        "What each lie buys, on tasks that needed a human and the model had not seen"
    )
    return Table(caption=caption, head=head, rows=tuple(rows))


def _gained(found: Node) -> Cell:
    return Cell(text=signed(found.get("value")), margin=ends_in_points(found))


# --- drift -------------------------------------------------------------------


def drift(source: Source) -> Section:
    """Return what live tasks are compared with, and which alarms there were."""
    found, window = source.facts["drift"], source.facts["window"]
    reference: Phrase = ("not recorded",)
    if window:
        first, last = window
        reference = say("{first} to {last}", first=word(first), last=word(last))
    blocks: list[Block] = [
        Pairs(caption="Reference", pairs=(("Training window", reference),))
    ]
    answer: Phrase = ("Not known: no monitor's result was given.",)
    if source.facts["live"]:
        blocks.append(_live(source.facts["live"]))
    if found:
        answer = _watched(found, source)
        blocks.append(_watch(found))
        blocks += [_alarms(found["alarms"])] if found["alarms"].value else []
    else:
        blocks.append(Gap(what="Drift and alarms since it went live", how=_NO_DRIFT))
    return Section(
        key="drift",
        title="Do its tasks still look like those it learned from?",
        chapter=Chapter.CAVEATS,
        answer=answer,
        blocks=blocks,
    )


_NO_DRIFT = (
    "a version that is not live has none; later: "
    "`escalon card VERSION --store var/escalon.db`"
)
_FIGURES = (
    ("escalation_rate", "Escalated", "of all tasks"),
    ("appropriateness", "Appropriate", "of those escalated that somebody judged"),
    ("miss_rate", "Missed", "of the tasks that needed a human, estimated"),
    ("miss_bound", "Missed at most", "bound from random audits"),
    ("context_sufficiency", "Context sufficient", "of the packages that were rated"),
    ("agreement", "Two reviewers agree", "on the same task"),
    ("kappa", "Kappa", "the same, beyond chance"),
)


def _live(live: Node) -> Table:
    rows = [
        (
            Cell(text=(name,), margin=(says,)),
            cell(live[key], as_percent=key != "kappa"),
            Cell(text=count(live[key]["n"])),
            Cell(text=word(live[key]["missing"]) if live[key]["missing"].value else ()),
        )
        for key, name, says in _FIGURES
    ]
    head = ("figure", "value", "rests on", "what it leaves out, or lacks")
    caption = "Since it went live"
    return Table(caption=caption, head=head, rows=tuple(rows), worded=True)


def _watched(found: Node, source: Source) -> Phrase:
    if not found["alarms"].value:
        return say("No alarm in {n} live tasks.", n=count(found["n_tasks"]))
    return say(
        "Alarms raised: {k}, in {n} live tasks.",
        k=count(source.derived["alarms"]),
        n=count(found["n_tasks"]),
    )


def _watch(found: Node) -> Pairs:
    return Pairs(
        caption="Watched",
        pairs=(
            ("From", word(found["since"])),
            ("To", word(found["until"])),
            ("Tasks", count(found["n_tasks"])),
            ("With a label", count(found["n_labelled"])),
        ),
    )


def _alarms(alarms: Node) -> Table:
    rows = [
        (
            Cell(text=word(a["kind"])),
            Cell(text=word(a["segment"]) if a["segment"].value else ("all tasks",)),
            Cell(text=word(a["raised"])),
            Cell(text=word(a["evidence"])),
            Cell(text=word(a["withdraws"]), flagged=bool(a["withdraws"].value)),
            Cell(text=word(a["cleared"]) if a["cleared"] else ("open",)),
        )
        for a in alarms
    ]
    head = ("alarm", "segment", "raised", "evidence", "withdraws", "cleared")
    return Table(caption="Alarms", head=head, rows=tuple(rows), worded=True)
