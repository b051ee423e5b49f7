"""What the card concludes from its figures, section by section."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from training.bundle import Certificate
from training.card import source_of, view
from training.card.blocks import Block, Pairs, Points, Section, Table, Tiles
from training.card.evidence import Alarm, Drift, Staffing
from training.card.facts import CardFacts
from training.card.shown import UNKNOWN, Phrase, flat
from training.card.verdict import State, Verdict, verdict

Json = dict[str, Any]


def judged(report: Json, facts: CardFacts) -> Verdict:
    """Return the verdict on a version."""
    return verdict(source_of(report, facts))


def section(report: Json, facts: CardFacts, key: str) -> Section:
    """Return a section of the card of a version."""
    shown = view(source_of(report, facts))
    return next(s for s in shown.sections if s.key == key)


def texts(block: Block) -> str:
    """Return everything a block says."""
    found: list[str | Phrase] = []
    match block:
        case Table():
            cells = [cell for row in block.rows for cell in row]
            found = [p for cell in cells for p in (cell.text, cell.margin)]
        case Pairs():
            found = [text for pair in block.pairs for text in pair]
        case Points():
            found = list(block.points)
        case _:
            found = [getattr(block, "text", ())]
    return " ".join(p if isinstance(p, str) else flat(p) for p in found)


def everything_in(part: Section) -> str:
    """Return the answer of a section and everything below it."""
    return " ".join([flat(part.answer), *(texts(block) for block in part.blocks)])


def rows_of(part: Section, caption: str) -> dict[str, tuple[Any, ...]]:
    """Return the rows of a table by their name."""
    table = next(
        b for b in part.blocks if isinstance(b, Table) and b.caption.startswith(caption)
    )
    return {flat(row[0].text): row for row in table.rows}


# --- verdict -----------------------------------------------------------------


def test_a_version_that_is_certified_passed_and_approved_may_go_live(
    report: Json, full_facts: CardFacts
) -> None:
    """The answer names threshold, promise, confidence and price, in one sentence."""
    found = judged(report, full_facts)
    assert found.state is State.YES
    assert flat(found.headline) == (
        "Yes: escalating at a risk of 0.400 or more misses at most 40 % of the tasks "
        "that need a human, with confidence 90 %, and costs escalating 38 % of all "
        "tasks."
    )
    assert found.against == ()


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ({"gates": None}, "The release gates were not run on it."),
        ({"owner": ""}, "Nobody owns it"),
        ({"approved_by": ""}, "Nobody has approved it."),
        ({"expires": None}, "No day is set on which it must be looked at again."),
    ],
)
def test_a_version_with_something_open_may_not_go_live_yet(
    report: Json, full_facts: CardFacts, lacking: Json, words: str
) -> None:
    """The verdict names what is open, and nothing else."""
    found = judged(report, replace(full_facts, **lacking))
    assert found.state is State.NOT_YET
    assert flat(found.headline).startswith("Not yet: ")
    (line,) = (flat(p) for p in found.against)
    assert words in line


def test_a_broken_promise_forbids_a_release(
    make_report: Any, full_facts: CardFacts
) -> None:
    """Where more is missed than promised, beyond chance, the answer is no."""
    promise = replace(full_facts.certificate, alpha=0.05, threshold=0.9)
    found = judged(make_report(0.9), replace(full_facts, certificate=promise))
    assert found.state is State.NO
    assert flat(found.headline) == "No, it must not go live."
    assert "than was promised, beyond chance" in flat(found.against[0])


def test_a_red_gate_that_blocks_forbids_a_release(
    report: Json, full_facts: CardFacts
) -> None:
    """A gate that only warns does not; the one that blocks does."""
    assert full_facts.gates is not None
    first, second = full_facts.gates["gates"]
    failed = {**full_facts.gates, "gates": [{**first, "passed": False}, second]}
    found = judged(report, replace(full_facts, gates=failed))
    assert found.state is State.NO
    assert flat(found.against[0]) == "Red gates that stop a release: 1."


def test_an_alarm_that_withdraws_the_certificate_forbids_a_release(
    report: Json, full_facts: CardFacts
) -> None:
    """What was promised no longer holds, and the alarm's evidence says why."""
    alarm = Alarm(
        kind="misses",
        segment="",
        raised=date(2026, 11, 20),
        evidence="19 misses in 211 audits",
        withdraws="certificate",
    )
    drift = Drift(
        since=date(2026, 11, 1),
        until=date(2026, 11, 20),
        n_tasks=5000,
        n_labelled=211,
        alarms=(alarm,),
    )
    found = judged(report, replace(full_facts, drift=drift))
    assert found.state is State.NO
    assert "withdraws the certificate: 19 misses in 211" in flat(found.against[0])


def test_a_refusal_leaves_the_trigger_off(
    make_report: Any, full_facts: CardFacts, refusal: Certificate
) -> None:
    """Without a threshold the answer says why, and shows figures that need none."""
    refused = replace(full_facts, certificate=refusal)
    found = judged(make_report(None), refused)
    assert found.state is State.OFF
    assert "have 14 of 22" in flat(found.against[0])
    assert found.tiles[0].label == "AUROC, end of task"
    people = section(make_report(None), refused, "people")
    assert not any(isinstance(b, Tiles) for b in people.blocks)
    assert "How many people it takes cannot be said yet." in flat(people.answer)


def test_a_promise_that_the_desks_cannot_keep_is_open(
    report: Json, full_facts: CardFacts
) -> None:
    """More escalations than people can take is said first, unless nobody knows them."""
    few = replace(full_facts.staffing, tasks_a_day=3000)
    found = judged(report, replace(full_facts, staffing=few))
    assert found.state is State.NOT_YET
    load = 3000 * 0.38 / (2 * 24 * 60 / 8 + 2 * 7.1 * 60 / 12.5)
    assert f"more than the desks can take: {100 * load:.0f} %" in flat(found.against[0])
    example = replace(few, is_example=True)
    assert judged(report, replace(full_facts, staffing=example)).state is State.YES


def test_the_three_figures_are_those_of_the_report_with_intervals(
    report: Json, full_facts: CardFacts
) -> None:
    """Missed, escalated and precision, each with what it is held against."""
    missed, escalated, precision = judged(report, full_facts).tiles
    found = report["miss_rate"]
    assert flat(missed.text) == f"{100 * found['value']:.1f} %"
    assert flat(missed.margin) == (
        f"{100 * found['low']:.1f} to {100 * found['high']:.1f}"
    )
    assert flat(missed.note) == "promised: at most 40 %"
    assert flat(escalated.text) == f"{100 * report['escalation_rate']['value']:.1f} %"
    assert flat(precision.text) == f"{100 * report['precision']['value']:.1f} %"


# --- figures -----------------------------------------------------------------


def test_the_worst_stage_is_named_with_its_error(
    report: Json, full_facts: CardFacts
) -> None:
    """An average over all steps does not hide the stage that is off the most."""
    errors = {
        name: stage["scores"]["ece_debiased"]["value"]
        for name, stage in report["by_stage"].items()
    }
    worst = max(errors, key=lambda name: errors[name])
    answer = flat(section(report, full_facts, "honesty").answer)
    assert worst != "end"
    assert f"in the worst stage, {worst}, by {errors[worst]:.3f} (" in answer
    only = {"end": report["by_stage"]["end"]}
    level = section({**report, "by_stage": only}, full_facts, "honesty")
    assert "; no other stage is worse." in flat(level.answer)


def test_a_report_without_stages_says_how_to_get_them(
    report: Json, full_facts: CardFacts
) -> None:
    """An older report still makes a card."""
    old = {name: value for name, value in report.items() if name != "by_stage"}
    found = section(old, full_facts, "honesty")
    assert [gap.what for gap in found.gaps] == ["Reliability by stage"]
    assert "worst stage" not in flat(found.answer)


def test_what_becomes_of_a_thousand_tasks_adds_up(
    report: Json, full_facts: CardFacts
) -> None:
    """The four outcomes add up to 1,000, and agree with the rates."""
    found = source_of(report, full_facts).derived["per_thousand"].value
    assert sum(found.values()) == pytest.approx(1000, abs=2)
    missed = 1000 * report["base_rate"] * report["miss_rate"]["value"]
    assert found["missed"] == round(missed)


def test_the_frontier_has_each_bound_once_with_its_price(
    report: Json, full_facts: CardFacts
) -> None:
    """Rungs rise; refusals say what is wanted; the version's own is marked."""
    again = replace(full_facts, frontier=(*full_facts.frontier, full_facts.certificate))
    rows = rows_of(section(report, again, "frontier"), "Each bound")
    assert list(rows) == ["5 %", "10 %", "20 %", "40 %"]
    assert flat(rows["40 %"][0].margin) == "this version"
    assert flat(rows["5 %"][1].margin) == "8 labelled tasks short"
    assert flat(rows["10 %"][3].text) == f"{730 * 0.71:.0f}"


def test_the_load_is_escalations_over_what_all_desks_can_take(
    report: Json, full_facts: CardFacts
) -> None:
    """730 tasks, 38 % escalated; desks of 2 people for 24 h and for 7.1 h."""
    capacity = 2 * 24 * 60 / 8 + 2 * 7.1 * 60 / 12.5
    work = source_of(report, full_facts).derived["work"].value
    assert work["capacity"] == pytest.approx(capacity)
    mine = work["bounds"][0]
    assert mine["escalations_a_day"] == pytest.approx(730 * 0.38)
    assert mine["of_capacity"] == pytest.approx(730 * 0.38 / capacity)
    spent = mine["hours_a_day"] / work["staff_hours"]
    assert spent == pytest.approx(mine["of_capacity"])


def test_tasks_a_day_are_those_of_the_training_window_unless_given(
    report: Json, facts: CardFacts
) -> None:
    """2,000 tasks in 184 days; an example of staffing says that it is one."""
    work = source_of(report, facts).derived["work"].value
    assert work["tasks_a_day"] == pytest.approx(2000 / 184)
    found = section(report, facts, "people")
    assert "an example, because no policy was given" in everything_in(found)
    assert "Your own desks" in {gap.what for gap in found.gaps}
    undated = replace(facts, window=None)
    assert "Escalations per day" in {
        gap.what for gap in section(report, undated, "people").gaps
    }


def test_desks_that_nobody_staffs_take_nothing(
    report: Json, full_facts: CardFacts
) -> None:
    """A staffing of no people gives a load that is not defined, and no error."""
    (desk, _) = full_facts.staffing.desks
    empty = Staffing(desks=(replace(desk, people=0),), source="nobody", tasks_a_day=10)
    found = section(report, replace(full_facts, staffing=empty), "people")
    assert flat(found.answer) == "How many people it takes cannot be said yet."


def test_slices_that_are_off_are_flagged_in_table_and_words(
    make_report: Any, facts: CardFacts
) -> None:
    """A domain whose risk is too low by 20 points is marked, and is a limitation."""
    report = make_report(0.4, shift=0.3)
    found = section(report, facts, "slices")
    rows = rows_of(found, "By domain")
    assert rows["retail"][-1].flagged
    assert not rows["<b>&|"][-1].flagged
    words = r"The risk is off, beyond chance, in: domain retail \(-\d+ points\)"
    assert re.search(words, flat(found.answer))
    assert re.search(words, everything_in(section(report, facts, "limits")))
    assert "Too few tasks, by agent version: v2 (10)." in everything_in(found)


def test_the_base_rate_table_is_beaten_or_is_not(
    report: Json, facts: CardFacts
) -> None:
    """The comparison that counts is said in words, with its paired interval."""
    assert "It beats a table of base rates" in flat(
        section(report, facts, "simpler").answer
    )
    even = {"value": 0.01, "low": -0.02, "high": 0.04}
    table = report["baselines"]["base_rate_table"]
    same = {**table["model_minus_baseline"]["end_of_task"], "auroc": even}
    gained = {**table["model_minus_baseline"], "end_of_task": same}
    baselines = {
        **report["baselines"],
        "base_rate_table": {**table, "model_minus_baseline": gained},
    }
    level = section({**report, "baselines": baselines}, facts, "simpler")
    assert "It does not clearly beat" in flat(level.answer)


def test_a_score_that_rests_on_self_report_is_a_limitation(
    report: Json, facts: CardFacts
) -> None:
    """Seventy percent of the score from the agent's own word is named."""
    found = everything_in(section(report, facts, "limits"))
    assert "70 % of the score rests on what the agent says of itself" in found
    observed = replace(facts, signals=facts.signals[1:])
    assert "says of itself" not in everything_in(section(report, observed, "limits"))


# --- process -----------------------------------------------------------------


def test_the_price_of_a_lie_is_the_dearest_one(
    report: Json, full_facts: CardFacts
) -> None:
    """Ranking lost and misses gained, with intervals, and the bound by construction."""
    found = section(report, full_facts, "gaming")
    assert flat(found.answer) == (
        "The dearest lie, everything, costs 0.007 (0.005 to 0.009) of AUROC and raises "
        "the miss rate by +0.8 (+0.4 to +1.2) points."
    )
    assert "0.5 in log-odds" in everything_in(found)


def test_a_lie_without_a_threshold_has_no_misses_to_count(
    report: Json, full_facts: CardFacts
) -> None:
    """A refused version still has a ranking to lose."""
    assert full_facts.gaming is not None
    attacks = [{**a, "misses_gained": None} for a in full_facts.gaming["attacks"]]
    gaming = {**full_facts.gaming, "attacks": attacks}
    found = section(report, replace(full_facts, gaming=gaming), "gaming")
    assert "without a threshold there are no misses to count" in flat(found.answer)


def test_the_label_mix_is_shown_in_shares(report: Json, full_facts: CardFacts) -> None:
    """Sources come with count and share, the largest first, and what had no label."""
    found = section(report, full_facts, "labels")
    rows = rows_of(found, "Where the labels are from")
    assert list(rows) == ["audit verdict", "verdict"]
    assert flat(rows["audit verdict"][1].text) == "1,200"
    assert flat(rows["audit verdict"][2].text) == "67 %"
    said = everything_in(found)
    assert "200 tasks (10 %)" in said
    assert "0.770 (0.660 to 0.870), on 141 tasks" in said


def test_gates_and_alarms_are_listed(report: Json, full_facts: CardFacts) -> None:
    """Red ones are marked, and whether they stop a release stands beside them."""
    rows = rows_of(section(report, full_facts, "gates"), "Release gates")
    assert rows["ESC009"][1].flagged
    assert flat(rows["ESC009"][3].text) == "warns"
    assert not rows["ESC001"][1].flagged
    drift = everything_in(section(report, full_facts, "drift"))
    assert "Alarms raised: 1, in 5,432 live tasks." in drift
    assert "PSI 0.31" in drift


def test_a_promotion_against_the_gates_says_who_and_why(
    report: Json, full_facts: CardFacts
) -> None:
    """An override is part of the card."""
    assert full_facts.gates is not None
    override = {"by": "risk-lead", "reason": "an outage of the champion"}
    facts = replace(full_facts, gates={**full_facts.gates, "override": override})
    found = everything_in(section(report, facts, "gates"))
    assert "risk-lead" in found
    assert "an outage of the champion" in found


def test_a_paired_difference_is_shown_before_a_plain_one(
    report: Json, full_facts: CardFacts
) -> None:
    """On the same tasks with its interval; else the plain one and a warning."""
    found = section(report, full_facts, "change")
    row = rows_of(found, "Measures")["AUROC, end of task"]
    assert flat(row[3].text) == "0.023"
    assert flat(row[3].margin) == "0.004 to 0.042"
    assert full_facts.change is not None
    alone = section(report, replace(full_facts, comparison=None), "change")
    assert "the champion, on the same 613 tasks" in flat(alone.answer)
    delta = replace(full_facts.change.deltas[0], difference=None)
    apart = replace(full_facts.change, deltas=(delta,), same_tasks=None)
    found = section(
        report, replace(full_facts, change=apart, comparison=None), "change"
    )
    assert flat(rows_of(found, "Measures")["AUROC, end of task"][3].text) == "+0.023"
    assert "each on the tasks set aside for it" in flat(found.answer)


def test_a_comparison_on_the_same_tasks_says_what_comes_and_goes(
    report: Json, full_facts: CardFacts
) -> None:
    """Escalations added and removed, what was needed of them, and paired moves."""
    found = section(report, full_facts, "change")
    assert flat(found.answer) == (
        "In the place of models:/escalon/6 it escalates 83 tasks more and 117 less of "
        "the same 2,411; the miss rate moves by -1.2 (-2.9 to +0.5) points."
    )
    rows = rows_of(found, "Both versions")
    assert [flat(cell.text) for cell in rows["miss rate"][1:]] == [
        "12.1 %",
        "10.9 %",
        "-1.2",
    ]
    assert flat(rows["lead steps median"][3].text) == UNKNOWN
    said = everything_in(found)
    assert "83 tasks, 14 with a label; needed a human: 37.8 % (26.8 to 48.8)" in said
    assert f"117 tasks, 0 with a label; needed a human: {UNKNOWN}" in said


def test_figures_of_live_tasks_say_what_they_rest_on(
    report: Json, full_facts: CardFacts
) -> None:
    """A KPI comes with its count; one that is not known says what it would take."""
    rows = rows_of(section(report, full_facts, "drift"), "Since it went live")
    assert [flat(cell.text) for cell in rows["Missed"][1:3]] == ["11.8 %", "211"]
    assert [flat(cell.text) for cell in rows["Kappa"][1:]] == [
        UNKNOWN,
        "0",
        "no task was judged by two",
    ]


def test_refused_segments_are_shown_and_are_a_limitation(
    report: Json, full_facts: CardFacts
) -> None:
    """A segment without a promise of its own is in the table and among the limits."""
    rows = rows_of(section(report, full_facts, "certificates"), "Of parts")
    assert rows["domain=<b>&|"][2].flagged
    assert not rows["domain=retail"][2].flagged
    limits = everything_in(section(report, full_facts, "limits"))
    assert "Nothing is promised by itself of: domain=<b>&|." in limits


def test_sign_off_has_a_blank_for_each_role(report: Json, facts: CardFacts) -> None:
    """Four roles, each with what it confirms; the card says that not all have signed."""
    found = section(report, facts, "signoff")
    rows = rows_of(found, "Sign-off")
    assert list(rows) == [s.role for s in facts.signoff]
    assert all(flat(row[2].text) == "" for row in rows.values())
    assert "Not signed by all" in flat(found.answer)
    signed = tuple(replace(s, name="x", on=date(2026, 12, 1)) for s in facts.signoff)
    done = section(report, replace(facts, signoff=signed), "signoff")
    assert flat(done.answer) == "Signed by all."
