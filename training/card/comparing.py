"""Sections on what the model adds: to simpler rules, and signal by signal."""

from __future__ import annotations

from training.card.blocks import (
    Block,
    Cell,
    Chapter,
    Gap,
    Picture,
    Points,
    Section,
    Table,
    Words,
    worded,
)
from training.card.shown import Node, Phrase, say
from training.card.source import SCOPES, Source, cell, leaves, numbers_in
from training.card.values import estimate, number, percent, whole, word

_TOP = 15


# --- better than something simpler? ------------------------------------------

_TABLE = "base_rate_table"


def simpler(source: Source) -> Section:
    """Return the model beside every baseline, pooled and within strata."""
    report = source.report
    named = [
        (*name, ": ", *word(found["says"]), ".")
        for name, found in report["baselines"].items()
    ]
    return Section(
        key="simpler",
        title="Is it better than something simpler?",
        chapter=Chapter.ANALYSES,
        answer=_beats(report),
        blocks=(
            _baselines(report),
            Points(points=tuple(named)),
            _differences(report),
            _within(source),
            Picture(
                name="roc_pr",
                caption="Ranking of steps and of finished tasks. Dotted: no knowledge.",
                numbers=tuple(
                    leaf
                    for scope in SCOPES
                    for key in ("auroc", "auprc")
                    for leaf in leaves(report[scope][key], ("value",))
                ),
            ),
        ),
    )


def _beats(report: Node) -> Phrase:
    if _TABLE not in report["baselines"].value:
        return ("No table of base rates was measured beside it.",)
    gain = report["baselines"][_TABLE]["model_minus_baseline"]["end_of_task"]["auroc"]
    if not gain:
        return (
            "Whether it beats a table of base rates is not defined on these tasks.",
        )
    low, high = gain.get("low").value, gain.get("high").value
    verdict = "does not clearly beat"
    if low is not None and low > 0:
        verdict = "beats"
    elif high is not None and high < 0:
        verdict = "is beaten by"
    return say(
        f"It {verdict} a table of base rates by agent version and domain: AUROC at the "
        "end differs by {gain}.",
        gain=estimate(gain, as_percent=False),
    )


def _baselines(report: Node) -> Table:
    named: list[tuple[Phrase, Node]] = [(("this model",), report)]
    named += report["baselines"].items()
    rows = [
        (
            Cell(text=name),
            cell(rule["every_step"]["auroc"]),
            cell(rule["end_of_task"]["auroc"]),
            cell(rule["every_step"]["log_loss"]),
            cell(rule["escalation_rate"], as_percent=True),
            cell(rule["miss_rate"], as_percent=True),
            cell(rule["precision"], as_percent=True),
            cell(rule["cost_per_task"], digits=2),
        )
        for name, rule in named
    ]
    head = (
        "rule",
        "AUROC, every step",
        "AUROC, end",
        "log-loss, every step",
        "escalated",
        "missed",
        "precision",
        "cost per task",
    )
    return Table(caption="This model and simpler rules", head=head, rows=tuple(rows))


def _differences(report: Node) -> Table:
    rows = [
        (
            Cell(text=name),
            *(
                cell(rule["model_minus_baseline"][scope][key])
                for scope in SCOPES
                for key in ("auroc", "log_loss")
            ),
        )
        for name, rule in report["baselines"].items()
    ]
    head = (
        "rule",
        *(f"{k}, {s}" for s in SCOPES.values() for k in ("AUROC", "log-loss")),
    )
    caption = "The model minus each rule, on the same draws of tasks"
    return Table(caption=caption, head=head, rows=tuple(rows))


def _within(source: Source) -> Words:
    return Words(
        text=say(
            "Among tasks of the same agent version and domain a table of base rates "
            "knows nothing (AUROC {half}, as it gives them all the same risk). There "
            "the model has {every} at every step and {end} at the end.",
            half=number(source.derived["chance"], 1),
            every=estimate(
                source.report["within_strata"]["every_step"], as_percent=False
            ),
            end=estimate(
                source.report["within_strata"]["end_of_task"], as_percent=False
            ),
        )
    )


# --- what moves the risk? ----------------------------------------------------


def movers(source: Source) -> Section:
    """Return the signals that move the score most, with direction and trust."""
    signals = source.facts["signals"]
    blocks: tuple[Block, ...] = (Gap(what="Shares of the signals", how=_NO_SIGNALS),)
    answer: Phrase = ("Not measured.",)
    if signals.value:
        top = list(signals)[:_TOP]
        answer = say(
            "Most by {first} ({share}). What the agent says of itself makes up {told}, "
            "what rests on its choice of words {words}.",
            first=word(top[0]["name"]),
            share=whole(top[0]["share"]),
            told=whole(source.derived["self_reported"]),
            words=whole(source.derived["agent_words"]),
        )
        picture = Picture(
            name="signals",
            caption="Share of the average absolute contribution to the score. Orange: "
            "more of it never lowers the risk. Blue: more of it never raises it. Grey: "
            "free.",
            numbers=numbers_in(
                *(percent(s["share"]) for s in top), *(word(s["name"]) for s in top)
            ),
        )
        blocks = (picture, _signals(top))
    return Section(
        key="signals",
        title="What moves the risk?",
        chapter=Chapter.FACTORS,
        answer=answer,
        blocks=blocks,
    )


_NO_SIGNALS = "contributions are measured when a model is trained; train it anew"


def _signals(top: list[Node]) -> Table:
    words = {1: "never lowers it", -1: "never raises it", 0: "either way"}
    rows = [
        worded(
            word(s["name"]),
            word(s["doc"]),
            percent(s["share"]),
            words[s["direction"].value],
            s["trust"].value.replace("_", " "),
        )
        for s in top
    ]
    head = ("signal", "what it is", "share", "more of it and the risk", "trust")
    caption = "The signals that move the score most"
    return Table(caption=caption, head=head, rows=tuple(rows), worded=True)
