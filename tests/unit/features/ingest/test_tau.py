from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Take = Callable[..., Any]

ENDING = {
    "reward": 0.25,
    "success": False,
    "termination_reason": "user_stop",
    "expected_actions_include_transfer": True,
    "agent_transferred": True,
}


def message(role: str, content: str | None = None, **rest: Any) -> dict[str, Any]:
    empty = {"tool_calls": None, "tool_name": None, "error": None, "timestamp": None}
    return {"role": role, "content": content} | empty | rest


def run(*messages: Any, **beside: Any) -> dict[str, Any]:
    return {
        "run_id": "r1",
        "group_key": "retail:ann",
        "benchmark": "tau2-bench",
        "domain": "retail",
        "task_id": "17",
        "trial": 0,
        "agent_model": "m-1",
        "user_model": None,
        "source": "a/b",
        "licence": "MIT",
        "need_human": True,
        "messages": list(messages),
        **ENDING,
        **beside,
    }


def test_run_becomes_a_task_with_its_verdict_last(take: Take) -> None:
    """Facts come first, messages in order, what became of it at the end."""
    landed = take(
        "auto",
        run(
            message("assistant", "Hi!"),
            message("user", "Cancel it."),
            message(
                "assistant",
                tool_calls=[{"name": "cancel_order", "arguments": {"n": 1}}],
            ),
            message("tool", "Error: no", tool_name="cancel_order", error=True),
        ),
    )
    assert landed.refusals == []
    assert [e.event_id for e in landed.events] == [
        "start", "m0", "m1", "m2.call0", "m3", "completed", "verdict",
    ]  # fmt: skip
    assert {e.task_id for e in landed.events} == {"r1"}
    assert landed.body("start") == {
        "domain": "retail",
        "channel": "chat",
        "task_type": "tau2-bench 17",
        "agent_version": "m-1",
        "model": "m-1",
        "group": "retail:ann",
        "text": "Cancel it.",
        "extra": {
            "benchmark": "tau2-bench",
            "task_id": "17",
            "trial": 0,
            "source": "a/b",
            "licence": "MIT",
        },
    }
    assert landed.body("m3") == {
        "call_id": "m2.call0",
        "tool": "cancel_order",
        "text": "Error: no",
        "error": True,
    }
    assert landed.body("completed") == ENDING
    assert landed.body("verdict") == {
        "needed": "yes",
        "by": "benchmark",
        "source": "benchmark",
        "propensity": 1.0,
    }


def test_what_became_of_a_run_is_in_outcome_events_alone(take: Take) -> None:
    """No field of the ending, nor one we do not know, stands in another event."""
    landed = take("tau", run(message("user", "hi"), later="hindsight"))
    for event in landed.events:
        told = {*ENDING, "need_human", "later"} & {
            *event.body,
            *event.body.get("extra", {}),
        }
        assert not told or event.is_outcome
    assert landed.body("completed")["extra"] == {"later": "hindsight"}
    assert [e.event_id for e in landed.events if e.is_outcome] == [
        "completed",
        "verdict",
    ]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("Thanks, bye! ###STOP###", "Thanks, bye!"),
        ("###TRANSFER###", ""),
        ("a ###OUT-OF-SCOPE### b\n\n###STOP###", "a \n b"),
    ],
)
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_markers_of_the_simulated_user_are_cut(
    take: Take, role: str, said: str, text: str
) -> None:
    """Signals read the text without them; the original stands beside it."""
    body = take("tau", run(message(role, said))).body("m0")
    assert body["text"] == text
    assert body["verbatim"] == said


def test_markers_are_cut_from_the_request(take: Take) -> None:
    """The request in task_started is cut as its message is."""
    body = take("tau", run(message("user", "never mind ###STOP###"))).body("start")
    assert (body["text"], body["verbatim"]) == ("never mind", "never mind ###STOP###")


@pytest.mark.parametrize("said", ["### Order #W1", "#W123", "##STOP##", "###stop###"])
def test_other_hashes_stay(take: Take, said: str) -> None:
    """Headings and order numbers are the user's own words."""
    assert take("tau", run(message("user", said))).body("m0") == {"text": said}


def test_tool_of_the_simulated_user_feeds_no_signal(take: Take) -> None:
    """Calls and results of check_for_stop have a kind of their own; device tools not."""
    calls = [{"name": "check_for_stop", "arguments": {}}, {"name": "reboot_device"}]
    landed = take(
        "tau",
        run(
            message("user", tool_calls=calls),
            message(
                "tool",
                "Verify",
                tool_name="check_for_stop",
                requestor="user",
                error=False,
            ),
            message(
                "tool", "ok", tool_name="reboot_device", requestor="user", error=False
            ),
        ),
    )
    assert landed.kinds()[1:5] == ["harness", "tool_call", "harness", "tool_result"]
    assert all(e.body["requestor"] == "user" for e in landed.events[1:5])


@pytest.mark.parametrize("role", ["subtask_checker", "subtask_creator"])
def test_subtasks_are_plans_of_their_author(take: Take, role: str) -> None:
    """The further roles of some agents are what it intends."""
    landed = take("tau", run(message(role, "Subtasks: ['a']")))
    assert landed["m0"].kind == "plan"
    assert landed.body("m0") == {"author": role, "text": "Subtasks: ['a']"}


def test_any_other_role_is_kept_without_a_meaning(take: Take) -> None:
    """A role of no known meaning is no plan."""
    assert take("tau", run(message("judge", "x")))["m0"].kind == "message"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('# var_0 = "Error: user not found"', True),
        ('# var_12 = "error"', True),
        ('# var_1 = "mia_garcia"', False),
        ('print("# var_0 = "Error")', False),
    ],
)
def test_error_in_an_assignment_is_an_error(
    *, take: Take, content: str, error: bool
) -> None:
    """Answers in the form of an assignment are read for their value."""
    landed = take("tau", run(message("tool", content, error=False)))
    assert landed.body("m0")["error"] is error


def test_timestamps_without_a_zone_are_utc(take: Take) -> None:
    """Times of the run are kept and not marked as made up."""
    landed = take("tau", run(message("user", "hi", timestamp="2025-07-01T10:00:00.5")))
    assert landed["m0"].to_json()["at"] == "2025-07-01T10:00:00.500000Z"
    assert "at_synthetic" not in landed["m0"].body
    assert "at_synthetic" not in landed["start"].body


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("7", "an object with `run_id` and a list of `messages`, found int"),
        ('{"messages": []}', "found dict with ['messages']"),
        ('{"run_id": "x", "messages": 7}', "found dict"),
        ("{", "one JSON value"),
    ],
)
def test_malformed_run_is_refused(take: Take, bad: str, says: str) -> None:
    """The line is told, and the next run lands."""
    landed = take("tau", bad, run(message("user", "hi")))
    assert [e.task_id for e in landed.events] == ["r1"] * 4
    (refusal,) = landed.refusals
    assert refusal.line == 1
    assert says in refusal.error


@pytest.mark.parametrize("needed", [None, "perhaps", [], 1])
def test_run_without_a_verdict_lands_unlabelled(take: Take, needed: Any) -> None:
    """A label that is not true or false is refused, and the task is kept."""
    landed = take("tau", run(message("user", "hi"), need_human=needed))
    assert landed.kinds() == ["task_started", "user_message", "completed"]
    assert [r.event_id for r in landed.refusals] == ["verdict"]
