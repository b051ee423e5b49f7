"""Section on what the threshold costs, and on the people it asks for."""

from __future__ import annotations

from training.card.blocks import (
    Block,
    Cell,
    Chapter,
    Gap,
    Pairs,
    Picture,
    Section,
    Table,
    Tile,
    Tiles,
)
from training.card.shown import Node, Phrase, say
from training.card.source import Source, cell, numbers_in
from training.card.values import amount, count, estimate, number, points, whole, word

_DECISIONS = (
    ("escalation_rate", "Escalated", "of all tasks"),
    ("miss_rate", "Missed", "of the tasks that needed a human"),
    ("precision", "Precision", "of those escalated, how many needed it"),
    ("false_alarm_rate", "False alarms", "of the tasks that did not need a human"),
    ("share_of_task_at_alarm_median", "Task done at the alarm", "median, tasks caught"),
)


def people(source: Source) -> Section:
    """Return what the threshold costs, and whether there are people to pay it."""
    work = source.derived["work"]
    blocks: list[Block] = []
    if source.derived["per_thousand"]:
        blocks += [_thousand(source), _decided(source.report)]
    if work["tasks_a_day"] and work["bounds"][0]["escalations_a_day"]:
        blocks.append(_desk_picture(source))
    else:
        blocks.append(Gap(what="Escalations per day", how=_NO_TASKS))
    blocks += [_staffing(source), _cost(source)]
    if source.facts["staffing"]["is_example"].value:
        blocks.append(Gap(what="Your own desks", how=_NO_POLICY))
    return Section(
        key="people",
        title="What does it cost, and are there people for it?",
        chapter=Chapter.ANALYSES,
        answer=_load(source),
        blocks=blocks,
    )


_NO_TASKS = (
    "it takes a certified threshold and the number of tasks a day; give the latter in "
    "`Staffing.tasks_a_day`, or train on a log with dates"
)
_NO_POLICY = (
    "give the policy whose queues take the handoffs: "
    "`escalon card VERSION --policy FILE`"
)


def _load(source: Source) -> Phrase:
    asked = source.derived["work"]["bounds"][0]
    if not asked["of_capacity"]:
        return ("How many people it takes cannot be said yet.",)
    return say(
        "The learned trigger asks for {n} escalations a day, {hours} hours of work: "
        "{load} of what the desks can take at full occupancy.",
        n=amount(asked["escalations_a_day"]),
        hours=amount(asked["hours_a_day"]),
        load=whole(asked["of_capacity"]),
    )


def _thousand(source: Source) -> Tiles:
    found = source.derived["per_thousand"]
    tiles = tuple(Tile(label=name, text=count(n)) for name, n in found.items())
    return Tiles(caption="Of a thousand tasks at this threshold", tiles=tiles)


def _decided(report: Node) -> Table:
    rows = [
        (Cell(text=(name,), margin=(says,)), cell(report[key], as_percent=True))
        for key, name, says in _DECISIONS
    ]
    for key, name, says, digits in (
        ("lead_steps_median", "Lead", "median steps left at the alarm", 0),
        ("cost_per_task", "Cost per task", "reviews and misses", 2),
    ):
        found = cell(report[key], digits=digits)
        rows.append((Cell(text=(name,), margin=(says,)), found))
    head = ("measure", say("at threshold {t}", t=number(report["threshold"])))
    caption = "What the threshold does, on tasks it has not learned from"
    return Table(caption=caption, head=head, rows=tuple(rows))


def _desk_picture(source: Source) -> Picture:
    facts, work = source.facts, source.derived["work"]
    return Picture(
        name="desks",
        caption="Escalations per day under each bound, against what the desks can take "
        "with every minute filled. Waits grow long well before that; hard rules and "
        "audits come on top.",
        numbers=numbers_in(
            *(whole(c["alpha"]) for c in (facts["certificate"], *facts["frontier"])),
            *(amount(b["escalations_a_day"]) for b in work["bounds"]),
            amount(work["capacity"]),
        ),
    )


def _staffing(source: Source) -> Pairs:
    work, staffing = source.derived["work"], source.facts["staffing"]
    desks = [
        (
            word(desk["name"]),
            say(
                "{people} at a time, {hours} hours a day, {minutes} minutes a handoff",
                people=points(desk["people"]),
                hours=points(desk["hours_a_day"]),
                minutes=points(desk["minutes_per_handoff"]),
            ),
        )
        for desk in staffing["desks"]
    ]
    return Pairs(
        caption="Who takes over",
        pairs=(
            ("Numbers from", word(staffing["source"])),
            ("Tasks a day", _tasks(source)),
            *desks,
            (
                "All desks",
                say(
                    "{n} handoffs a day, {hours} hours of work",
                    n=amount(work["capacity"]),
                    hours=amount(work["staff_hours"]),
                ),
            ),
            ("Random audits a day", _audits(source)),
            ("Hard rules alone escalate", _rules(source.report)),
        ),
    )


def _tasks(source: Source) -> Phrase:
    tasks = source.derived["work"]["tasks_a_day"]
    if not tasks:
        return ("not known",)
    given = source.facts["staffing"]["tasks_a_day"]
    where = "as given" if given else "as in the training data"
    return say(f"{{n}}, {where}", n=amount(tasks))


def _audits(source: Source) -> Phrase:
    audits = source.derived["work"]["audits_a_day"]
    if not audits.value:
        return ("none in these numbers",)
    share = source.facts["staffing"]["audit_share"]
    return say(
        "{n}: {share} of the tasks left alone", n=amount(audits), share=whole(share)
    )


def _rules(report: Node) -> Phrase:
    rules = report["baselines"].get("rules_only").get("escalation_rate")
    return (*estimate(rules), " of tasks") if rules else ("not measured",)


def _cost(source: Source) -> Picture:
    report, best = source.report, source.derived["cheapest"]
    ends = (0, len(report["curves"]["thresholds"].value) - 1)
    levels = [
        number(report["curves"]["thresholds"][i]["cost_per_task"]["value"], 2)
        for i in ends
    ]
    prices = report["costs"]
    return Picture(
        name="cost",
        caption="Expected cost per task if the threshold were moved, at the prices in "
        "the policy. The green mark is where it is lowest. A threshold above the "
        "certified one would break the promise, however cheap.",
        numbers=numbers_in(
            *levels,
            number(best["cost_per_task"], 2),
            number(best["threshold"], 2),
            points(report["threshold"]),
            *(points(prices[k]) for k in ("review", "miss", "fixable")),
        ),
    )
