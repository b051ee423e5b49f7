"""Sections on what it learned from, who labelled it, and what it was judged on."""

from __future__ import annotations

from training.card.blocks import (
    Block,
    Chapter,
    Gap,
    Pairs,
    Points,
    Section,
    Table,
    worded,
)
from training.card.shown import Node, Phrase, say
from training.card.source import Source
from training.card.values import count, estimate, number, whole, word


def learned_from(source: Source) -> Section:
    """Return which tasks it learned from, and how their labels came about."""
    facts, process = source.facts, source.facts["labels"]
    blocks: list[Block] = [_data(source)]
    if source.derived["labels"]["shares"].value:
        blocks.append(_sources(source))
    else:
        blocks.append(Gap(what="Where labels are from", how=_NO_SOURCES))
    if process:
        blocks.append(_process(process))
        blocks += _unmeasured(process)
    else:
        blocks.append(
            Gap(what="Propensities and delays of the labels", how=_NO_PROCESS)
        )
    blocks.append(Points(points=tuple((line,) for line in _BIASES)))
    return Section(
        key="labels",
        title="What did it learn from, and who said so?",
        chapter=Chapter.TRAINING,
        answer=say(
            "From {n} labelled tasks; {rest} more had no label and were left out.",
            n=count(facts["n_tasks"]),
            rest=count(facts["n_unlabelled"]),
        ),
        blocks=blocks,
    )


_NO_SOURCES = "the training did not record them; train the version anew"
_NO_PROCESS = (
    "they are in the log's verdicts; `LabelProcess.of` reads them off the labels when "
    "the version is trained"
)
_BIASES = (
    (
        "Labels are not a random sample: a handover, a complaint or a reopened task "
        "is looked at because something had gone wrong. Such tasks teach, but neither "
        "report nor certificate rests on them."
    ),
    (
        "Silence is no label. A task nobody complained about may have needed a human; "
        "random audits are what tells."
    ),
    (
        "Those who resolve a handover see the risk and its reasons, and may agree too "
        "easily."
    ),
)


def _data(source: Source) -> Pairs:
    facts = source.facts
    window: Phrase = ("not recorded",)
    if facts["window"]:
        first, last = facts["window"]
        window = say("{first} to {last}", first=word(first), last=word(last))
    rest: Phrase = say("{n} tasks", n=count(facts["n_unlabelled"]))
    if source.derived["labels"]["unlabelled"]:
        rest = (*rest, " (", *whole(source.derived["labels"]["unlabelled"]), ")")
    return Pairs(
        caption="Tasks",
        pairs=(
            ("Learned from", say("{n} labelled tasks", n=count(facts["n_tasks"]))),
            ("Window", window),
            ("Left out, no label", rest),
            ("Fingerprint of the data", word(facts["fingerprint"])),
        ),
    )


def evaluated_on(source: Source) -> Section:
    """Return which tasks the figures are from."""
    report, facts = source.report, source.facts
    pairs = (
        (
            "Tasks",
            say(
                "{n} of {customers} customers, {rows} steps",
                n=count(report["n_tasks"]),
                customers=count(report["setting"]["n_clusters"]),
                rows=count(report["n_rows"]),
            ),
        ),
        ("Needed a human", estimate(report["base_rate_interval"])),
        ("Intervals", word(report["setting"]["interval"])),
        (
            "Replicates, seed",
            say(
                "{n}, {seed}",
                n=count(report["setting"]["replicates"]),
                seed=count(report["setting"]["seed"]),
            ),
        ),
        ("Weights", word(report["setting"]["weighting"])),
        ("Evaluation (digest)", word(source.derived["report_sha256"])),
    )
    return Section(
        key="evaluation",
        title="Where are the figures from?",
        chapter=Chapter.EVALUATION,
        answer=("From these tasks: ", *word(facts["evaluated_on"]), "."),
        blocks=(Pairs(caption="Evaluation", pairs=pairs),),
    )


def _sources(source: Source) -> Table:
    shares, counts = source.derived["labels"]["shares"], source.facts["label_sources"]
    rows = [
        worded(name, count(counts[key]), whole(shares[key]))
        for key, (name, _) in zip(shares.value, shares.items(), strict=True)
    ]
    head = ("evidence, and who said so", "tasks", "share")
    return Table(caption="Where the labels are from", head=head, rows=tuple(rows))


def _process(process: Node) -> Pairs:
    low, high = process["propensity_low"], process["propensity_high"]
    pairs: list[tuple[str | Phrase, Phrase]] = [
        (
            "Chance of being labelled",
            say("{low} to {high}", low=whole(low), high=whole(high)),
        ),
        ("Worth, in equally weighted tasks", number(process["effective"], 0)),
        (
            "Labelled because of how they went",
            say("{n} tasks; learned from only", n=count(process["selected"])),
        ),
    ]
    if process["delay_days_median"]:
        delays = say(
            "median {half}, nine of ten within {most}",
            half=number(process["delay_days_median"], 1),
            most=number(process["delay_days_p90"], 1),
        )
        pairs.append(("Days from task to label", delays))
    if process["audited"]:
        pairs.append(
            ("Share of tasks left alone that was audited", estimate(process["audited"]))
        )
    if process["kappa"]:
        kappa = say(
            "{k}, on {n} tasks",
            k=estimate(process["kappa"], as_percent=False),
            n=count(process["n_double"]),
        )
        pairs.append(("Agreement of two raters (kappa)", kappa))
    if process["n_uncertain"]:
        pairs.append(("Verdicts “uncertain”, no label", count(process["n_uncertain"])))
    if process["rubric"].value:
        pairs.append(("Rubric", word(process["rubric"])))
    return Pairs(caption="How labels came about", pairs=tuple(pairs))


_UNMEASURED = (
    (
        "delay_days_median",
        "Days from task to label",
        "`LabelProcess.of(labels, ended)`",
    ),
    ("audited", "Share of tasks left alone that was audited", "`escalon kpis`"),
    (
        "kappa",
        "Agreement of two raters",
        "let the label desk give a share to two people",
    ),
)


def _unmeasured(process: Node) -> list[Gap]:
    return [
        Gap(what=what, how=how) for key, what, how in _UNMEASURED if not process[key]
    ]
