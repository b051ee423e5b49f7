"""Tests of what is drawn at random, and of what the log must not know."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.deciding import draw_of
from serving.policy.decision import Decision
from serving.policy.trigger import replay

CANARY = "Zaphod-4711"
ANA = "general-1"


def test_no_word_of_a_person_reaches_the_audit_log(desk: Any) -> None:
    """Texts, notes, reasons, account ids and guidance stay out of every record."""
    started = desk.event(
        "task_started",
        text=CANARY,
        account={"id": CANARY, "tier": CANARY, "value": 1.0},
        group=CANARY,
    )
    events = [
        started,
        desk.event(text=f"My name is {CANARY}"),
        desk.event("tool_call", tool=CANARY, arguments={"name": CANARY}),
        desk.event("agent_message", text=CANARY),
    ]
    desk.engine.observe("t", events)
    for end in ("resolve", "return_"):
        answer = desk.engine.escalate("t", by=CANARY, reason=CANARY)
        handoff = answer["handoff"]["handoff_id"]
        desk.engine.claim(handoff, by=ANA)
        desk.engine.rate(handoff, by=ANA, sufficient=False, note=CANARY)
        said = (
            {"needed": "yes", "note": CANARY}
            if end == "resolve"
            else {"guidance": CANARY}
        )
        getattr(desk.engine, end)(handoff, by=ANA, **said)
    desk.engine.outcomes([desk.event("complaint", task_id="t", text=CANARY)])
    assert CANARY in str(desk.engine.handoff(handoff))
    assert CANARY not in str(desk.records())


def test_equal_events_have_unequal_commitments(desk: Any) -> None:
    """Without the salt nobody can tell that two tasks heard the same words."""
    for task_id in ("t", "u"):
        desk.sent = 0
        desk.say("The very same words", task_id)
    steps = [r for r in desk.records() if r["type"] == "step.scored"]
    assert steps[0]["events"]["commit"] != steps[1]["events"]["commit"]


def test_a_stored_decision_can_be_replayed(desk: Any) -> None:
    """What was decided is decided again from what is stored, to the last bit."""
    desk.begin()
    desk.model.value = 0.7
    desk.say("I want a human agent now")
    with desk.store.reading() as reader:
        bodies = [row["body"] for row in reader.all("SELECT body FROM decision")]
    stored = [Decision.from_json(orjson.loads(body)) for body in bodies]
    assert [str(decision.action) for decision in stored] == ["CONTINUE", "ESCALATE"]
    assert all(replay(decision, desk.policy) == decision for decision in stored)


@given(st.text(min_size=1), st.binary(min_size=16, max_size=48))
def test_a_draw_is_one_place_per_task_and_secret(task_id: str, secret: bytes) -> None:
    """The same again for the same; two numbers in [0, 1) that are not the same one."""
    draw = draw_of(secret, task_id)
    assert draw == draw_of(secret, task_id)
    assert 0 <= draw.uniform < 1
    assert 0 <= draw.targeted < 1
    assert draw.uniform != draw.targeted
    other = draw_of(secret + b"x", task_id)
    assert (draw.uniform, draw.targeted) != (other.uniform, other.targeted)


def test_draws_are_uniform_and_independent() -> None:
    """Of 20,000 tasks the shares under 2 % and 3 %, and under both, are as they must."""
    n = 20_000
    draws = [draw_of(b"secret", f"task-{i}") for i in range(n)]
    uniform = sum(draw.uniform < 0.02 for draw in draws)
    targeted = sum(draw.targeted < 0.03 for draw in draws)
    halves = sum((d.uniform < 0.5) == (d.targeted < 0.5) for d in draws)
    # Six standard deviations of the binomial: 119, 145 and 424.
    assert abs(uniform - 0.02 * n) < 119
    assert abs(targeted - 0.03 * n) < 145
    assert abs(halves - 0.5 * n) < 424


def test_the_draw_of_a_task_is_recorded_at_each_decision(desk: Any) -> None:
    """All steps of a task have one draw, in the log and out of the agent's sight."""
    answers = [desk.begin(), desk.say("one"), desk.say("two")]
    assert all(a["decision"]["audit"].keys() == {"propensity"} for a in answers)
    steps = [r["decision"] for r in desk.records() if r["type"] == "step.scored"]
    assert len({tuple(step["draw_ppm"]) for step in steps}) == 1
    assert all(step["propensity_ppm"] > 0 for step in steps)
