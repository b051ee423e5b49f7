"""Sections on the risk itself: its honesty, and how early it speaks up."""

from __future__ import annotations

from training.card.blocks import (
    Block,
    Cell,
    Chapter,
    Gap,
    Picture,
    Section,
    Table,
)
from training.card.pictures import span_of
from training.card.shown import Node, Phrase, Shown, say
from training.card.source import SCOPES, Source, cell, leaves, numbers_in
from training.card.values import count, estimate, number, word

_SCORES = (
    ("auroc", "AUROC", "chance that a task in need ranks above one that is not"),
    ("auprc", "Average precision", "precision averaged over the tasks in need"),
    ("log_loss", "Log-loss", "in nats; lower is better"),
    ("brier", "Brier score", "mean squared error of the risk; lower is better"),
    ("ece_debiased", "Calibration error", "debiased: zero is what chance explains"),
    ("smece", "Smooth calibration error", "without bins; holds chance as well"),
    ("calibration_slope", "Calibration slope", "one is right; below: too extreme"),
    ("calibration_intercept", "Calibration intercept", "zero is right; above: too low"),
)


# --- is the risk honest? -----------------------------------------------------


def honesty(source: Source) -> Section:
    """Return whether a risk means what it says, at every stage of a task."""
    report = source.report
    blocks: list[Block] = [_stages(source)] if report.get("by_stage") else []
    if not blocks or not report["by_stage"].value:
        blocks = [Gap(what="Reliability by stage", how=_NO_STAGES)]
    else:
        blocks.append(_stage_table(report["by_stage"]))
    curve = Picture(
        name="reliability",
        caption="Predicted risk against what happened, in bins of equal weight. On the "
        "dashed line risks are what they say. Below: how many tasks have such a risk; "
        "at every step each task is spread over its steps.",
        numbers=tuple(
            shown
            for scope in SCOPES
            for key in (
                "ece_debiased",
                "calibration_slope",
                "calibration_intercept",
                "brier",
            )
            for shown in leaves(report[scope][key], ("value",))
        ),
    )
    return Section(
        key="honesty",
        title="Is the risk honest?",
        chapter=Chapter.ANALYSES,
        answer=_honest(source),
        blocks=(*blocks, curve, _scores(report)),
    )


_NO_STAGES = (
    "the report is from an older release, or fewer than the least number of tasks were "
    "labelled; evaluate again with `escalon evaluate`"
)


def _honest(source: Source) -> Phrase:
    end = source.report["end_of_task"]["ece_debiased"]
    at_end = say("At the end of a task the risk is off by {e}", e=_error(end))
    worst = source.derived["worst_stage"]
    if not worst:
        return (*at_end, ".")
    if worst.value == "end":
        return (*at_end, "; no other stage is worse. ", _ZERO)
    error = source.report["by_stage"][worst.value]["scores"]["ece_debiased"]
    return (
        *at_end,
        *say(
            "; in the worst stage, {stage}, by {e}.", stage=word(worst), e=_error(error)
        ),
        " ",
        _ZERO,
    )


_ZERO = "Zero means that no error could be told from chance."


def _error(found: Node) -> Phrase:
    return estimate(found, as_percent=False)


def _stages(source: Source) -> Picture:
    stages = source.report["by_stage"]
    shown = [
        leaf
        for _, stage in stages.items()
        for leaf in (
            *leaves(stage["scores"]["ece_debiased"], ("value",)),
            *leaves(stage["first_step"]),
            *leaves(stage["last_step"]),
        )
    ]
    return Picture(
        name="stages",
        caption="The same for each stage by itself: thirds of the steps by how far the "
        "task had got, and its last step. A risk may be right on average and wrong "
        "while there is still time to act.",
        numbers=tuple(shown),
    )


def _stage_table(stages: Node) -> Table:
    rows = [
        (
            Cell(text=name, margin=_span(stage)),
            Cell(text=count(stage["n_tasks"])),
            *(
                cell(stage["scores"][key])
                for key in ("auroc", "log_loss", "ece_debiased", "calibration_slope")
            ),
        )
        for name, stage in stages.items()
    ]
    head = ("stage", "tasks", "AUROC", "log-loss", "calibration error", "slope")
    return Table(caption="Scores by stage of the task", head=head, rows=tuple(rows))


def _span(stage: Node) -> Phrase:
    """Return the steps of a stage with their numbers looked up."""
    words = span_of(stage.value)
    parts: list[str | Shown] = []
    for piece in words.split(" "):
        end = next(
            (
                stage[key]
                for key in ("first_step", "last_step")
                if piece == str(stage[key].value)
            ),
            None,
        )
        parts += [" "] if parts else []
        parts += [piece] if end is None else count(end)
    return tuple(parts)


def _scores(report: Node) -> Table:
    rows = [
        (
            Cell(text=(name,), margin=(says,)),
            *(cell(report[scope][key]) for scope in SCOPES),
        )
        for key, name, says in _SCORES
    ]
    within = tuple(cell(report["within_strata"][scope]) for scope in SCOPES)
    says = "only tasks of the same agent version and domain compared"
    rows.insert(1, (Cell(text=("AUROC within strata",), margin=(says,)), *within))
    return Table(
        caption="Every score, over all steps and at the last",
        head=("score", *SCOPES.values()),
        rows=tuple(rows),
    )


# --- how early? --------------------------------------------------------------


def earliness(source: Source) -> Section:
    """Return how much of the task is left when the alarm comes."""
    report = source.report
    blocks: list[Block] = []
    answer: Phrase = ("Without a threshold there is no alarm to be early.",)
    if source.has_threshold:
        lead, done = (
            report["lead_steps_median"],
            report["share_of_task_at_alarm_median"],
        )
        answer = say(
            "Where the alarm was right: steps left, {lead}; of the task done, {done} "
            "(medians).",
            lead=estimate(lead, as_percent=False, digits=0),
            done=estimate(done),
        )
        blocks.append(
            Picture(
                name="lead",
                caption="How early the alarm came in tasks that needed a human and "
                "were escalated. The last bar on the left holds all that lies beyond.",
                numbers=numbers_in(
                    number(lead.get("value"), 3), number(done.get("value"), 3)
                ),
            )
        )
    if report["at_steps"].value:
        blocks.append(_at_steps(report["at_steps"]))
    else:
        how = (
            "label longer tasks: too few got as far as the first step that is looked at"
        )
        blocks.append(Gap(what="Scores at absolute steps", how=how))
    return Section(
        key="early",
        title="How early is the alarm?",
        chapter=Chapter.ANALYSES,
        answer=answer,
        blocks=blocks,
    )


def _at_steps(at: Node) -> Table:
    rows = [
        (
            Cell(text=("step ", *step)),
            Cell(text=count(found["n_tasks"])),
            cell(found["base_rate"], as_percent=True),
            *(cell(found[key]) for key in ("auroc", "log_loss", "ece_debiased")),
        )
        for step, found in at.items()
    ]
    head = ("at", "tasks so long", "needed", "AUROC", "log-loss", "calibration error")
    caption = "Tasks that got at least that far, judged by the risk they had there"
    return Table(caption=caption, head=head, rows=tuple(rows))
