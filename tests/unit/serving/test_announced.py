"""Tests of announced handovers: a word that was given is kept, or it is on record."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from serving.engine.announced import GRACE, RULE
from serving.policy.document import Waiver
from serving.policy.rules import Mode, Policy
from serving.policy.trigger import canary_of
from serving.store.verify import verify_store

WORDS = "I am transferring you to a colleague now."
LATER = GRACE + timedelta(seconds=1)
KIND = "violation.handover_not_recorded"


def without_rule(**changes: object) -> Policy:
    """Return the default policy without the rule that hears it at the step."""
    policy = Policy.default()
    rules = tuple(rule for rule in policy.rules if rule.name != RULE)
    return policy.model_copy(update={"rules": rules, **changes})


def waived() -> Policy:
    """Return the default policy with that rule waived."""
    policy = Policy.default()
    waiver = Waiver(by="a lead", why="a trial", until=date(2027, 1, 1))
    rules = tuple(
        rule.model_copy(update={"waived": waiver}) if rule.name == RULE else rule
        for rule in policy.rules
    )
    return policy.model_copy(update={"rules": rules})


def announce(desk: Any, task_id: str = "t", *, by_tool: bool = False) -> dict[str, Any]:
    """Begin a task in which the agent announces a transfer."""
    desk.begin(task_id)
    event = (
        desk.event("tool_call", tool="transfer_to_human_agents", call_id="c")
        if by_tool
        else desk.event("agent_message", text=WORDS)
    )
    answer: dict[str, Any] = desk.engine.observe(task_id, [event])
    return answer


def broken(desk: Any) -> list[dict[str, Any]]:
    """Return the records of broken words."""
    return [record for record in desk.records() if record["type"] == KIND]


def audit(desk: Any) -> None:
    """Let the time pass that an agent is given, and have the auditor look."""
    desk.clock.turn(LATER)
    desk.engine.auditor.run()


@pytest.mark.parametrize("by_tool", [False, True])
@pytest.mark.parametrize(
    "policy", [without_rule(), waived()], ids=["no rule", "waived"]
)
def test_an_announced_transfer_becomes_true(
    make_desk: Any, policy: Policy, *, by_tool: bool
) -> None:
    """Nothing was decided of it at the step; then it is recorded and handed over."""
    desk = make_desk(policy)
    told = announce(desk, by_tool=by_tool)
    assert (told["decision"]["action"], told["handoff"]) == ("CONTINUE", None)
    audit(desk)
    record = broken(desk)[0]
    counted = {"promises": int(not by_tool), "calls": int(by_tool)}
    assert (record["task"], record["announced"]) == ("t", counted)
    assert (record["decision"]["id"], record["hands_over"]) == (
        told["decision"]["decision_id"],
        True,
    )
    assert desk.engine.task("t")["owner"]["kind"] == "queue"
    handoff = desk.engine.handoff(desk.engine.task("t")["handoff_id"])
    assert [one["trigger"] for one in handoff["triggers"]] == [RULE]


def test_a_word_is_recorded_once(make_desk: Any) -> None:
    """However often the auditor looks, and in however many processes: one record."""
    desk = make_desk(without_rule(mode=Mode.SHADOW))
    announce(desk)
    for _ in range(3):
        audit(desk)
        desk.say("hello?")
    desk.close()
    desk.open()
    audit(desk)
    assert len(broken(desk)) == 1
    assert desk.count("announcement") == 1


def test_in_shadow_it_is_recorded_and_nothing_moves(make_desk: Any) -> None:
    """A policy that does not act does not act here either; the evidence is kept."""
    desk = make_desk(without_rule(mode=Mode.SHADOW))
    announce(desk)
    audit(desk)
    assert [(r["mode"], r["hands_over"]) for r in broken(desk)] == [("shadow", False)]
    assert desk.engine.task("t")["owner"]["kind"] == "agent"
    assert desk.engine.task("t")["handoff_id"] is None
    listed = desk.engine.monitors.listed(is_open=True)["alarms"]
    assert [alarm["code"] for alarm in listed] == ["handovers_not_recorded"]


def test_a_canary_acts_on_its_share(make_desk: Any) -> None:
    """A task that the canary acts on is handed over, another only recorded."""
    desk = make_desk(without_rule(mode=Mode.CANARY, canary_share=0.5))
    names = [f"t{n}" for n in range(8)]
    for name in names:
        announce(desk, name)
    audit(desk)
    assert {r["task"]: r["hands_over"] for r in broken(desk)} == {
        name: canary_of(name) < 0.5 for name in names
    }
    for name in names:
        owner = desk.engine.task(name)["owner"]["kind"]
        assert owner == ("queue" if canary_of(name) < 0.5 else "agent")


def test_an_agent_has_time_to_ask_for_it(make_desk: Any) -> None:
    """It says so first and asks in its next call: that is no broken word."""
    desk = make_desk(without_rule())
    announce(desk)
    desk.engine.auditor.run()
    assert broken(desk) == []
    desk.engine.escalate("t", by="agent", reason="as announced")
    audit(desk)
    assert broken(desk) == []


def test_what_the_rule_heard_is_no_broken_word(desk: Any) -> None:
    """Under the default policy the step itself hands over, and nothing is found."""
    assert announce(desk)["handoff"] is not None
    audit(desk)
    assert broken(desk) == []


def test_a_new_word_after_the_return_counts_anew(make_desk: Any) -> None:
    """What led to the first handover is settled; what is said after it is not."""
    desk = make_desk(without_rule())
    announce(desk)
    audit(desk)
    task = desk.engine.task("t")
    members = {q.name: q.members for q in desk.policy.queues}
    member = members[task["owner"]["id"]][0]
    desk.engine.claim(task["handoff_id"], by=member)
    desk.engine.return_(task["handoff_id"], by=member, guidance="go on")
    desk.say("hello again")
    audit(desk)
    assert len(broken(desk)) == 1
    epoch = desk.engine.task("t")["epoch"]
    desk.engine.observe("t", [desk.event("agent_message", text=WORDS)], epoch=epoch)
    audit(desk)
    assert [record["epoch"] for record in broken(desk)] == [1, epoch]
    assert desk.engine.task("t")["owner"]["kind"] == "queue"


def test_the_share_of_kept_words_is_a_kpi(make_desk: Any) -> None:
    """Recorded in enforce, the word was kept; in shadow it was not."""
    for mode, kept in ((Mode.ENFORCE, 1.0), (Mode.SHADOW, 0.0)):
        desk = make_desk(without_rule(mode=mode))
        announce(desk)
        audit(desk)
        figure = desk.engine.oversight.kpis()["service"]["announced_recorded"]
        assert (figure["value"], figure["n"]) == (kept, 1)


def test_a_broken_word_is_as_the_log_says(make_desk: Any) -> None:
    """The audit of the store passes, and finds a row that somebody changed."""
    desk = make_desk(without_rule(mode=Mode.SHADOW))
    announce(desk)
    audit(desk)
    assert verify_store(desk.path).problems == ()

    def forge(tx: Any) -> None:
        tx.run("DROP TRIGGER announcement_kept")
        tx.run("UPDATE announcement SET promises = 0, calls = 9")

    desk.store.submit(forge).result()
    assert "broken word in task 't'" in verify_store(desk.path).problems[0]


def test_a_broken_word_that_vanished_is_missed(make_desk: Any) -> None:
    """The log goes on speaking of a row that was taken away."""
    desk = make_desk(without_rule(mode=Mode.SHADOW))
    announce(desk)
    audit(desk)

    def forge(tx: Any) -> None:
        tx.run("DROP TRIGGER announcement_stays")
        tx.run("DELETE FROM announcement")

    desk.store.submit(forge).result()
    assert any("not its table" in says for says in verify_store(desk.path).problems)
