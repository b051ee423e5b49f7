"""What a reader tells of progress: loops, kept words, open wishes, silent failure."""

from __future__ import annotations

from typing import Any

import pytest

from features.events import parse
from features.sources import Reader

AT = "2026-01-31T09:00:00Z"


def read(*lines: dict[str, Any]) -> list[dict[str, float]]:
    """Return what one reader gives for each of a task's events."""
    reader = Reader()
    head = {"task_id": "t", "at": AT}
    return [
        reader.read(parse(head | {"event_id": str(i)} | line))
        for i, line in enumerate(lines)
    ]


def user(text: str) -> dict[str, Any]:
    """Return a user's message."""
    return {"kind": "user_message", "text": text}


def agent(text: str) -> dict[str, Any]:
    """Return an agent's message."""
    return {"kind": "agent_message", "text": text}


def call(tool: str = "look", arguments: Any = None, **body: Any) -> dict[str, Any]:
    """Return a tool call."""
    return {"kind": "tool_call", "tool": tool, "arguments": arguments} | body


def write(tool: str = "cancel_order", *ids: str, **body: Any) -> dict[str, Any]:
    """Return a call that changes something."""
    return call(tool, {"ids": list(ids)}, is_write=True, **body)


def result(text: str | None = "ok", **body: Any) -> dict[str, Any]:
    """Return a tool's result."""
    return {"kind": "tool_result", "text": text} | body


def given(log: list[dict[str, float]], source: str) -> list[float]:
    """Return the values that `source` gave, in order."""
    return [values[source] for values in log if source in values]


# --- loops and news ----------------------------------------------------------


def test_a_call_made_before_comes_again() -> None:
    """A call comes again if tool and arguments did, however long ago."""
    log = read(call("a"), call("b"), call("a"), call("a", {"n": 1}), call("a"))
    assert given(log, "call_again") == [0, 0, 1, 0, 1]


def test_going_back_is_to_the_last_but_one() -> None:
    """A, B, A goes back; A, A and A, B, C do not."""
    log = read(*map(call, "ababbccc"))
    assert given(log, "call_back") == [0, 0, 1, 1, 0, 0, 0, 0]


def test_a_near_call_shares_most_words_with_its_tools_last() -> None:
    """Half the words of a call of the same tool make a new call nearly the same."""
    words = {"city": "Denver", "street": "Elm 12"}
    log = read(
        call("move", words),
        call("move", words | {"street": "Elm 14"}),
        call("move", {"city": "Oslo"}),
        call("move", {"city": "Oslo"}),
        call("look", {"city": "Oslo"}),
    )
    assert given(log, "near_call") == [1, 0, 0]


def test_a_tool_is_the_same_as_the_call_before() -> None:
    """Only the call just before counts."""
    log = read(call("a"), call("a"), result(), call("a"), call("b"), call("a"))
    assert given(log, "same_tool") == [0, 1, 1, 0, 0]


def test_news_is_what_nobody_had_mentioned() -> None:
    """Words of a result are news until the user or a result has said them."""
    log = read(user("order W1"), result("W1 paid"), result("paid W1 late"), result(""))
    assert given(log, "result_news") == [0.5, pytest.approx(1 / 3)]


# --- arguments ---------------------------------------------------------------


def test_arguments_are_told_apart_by_kind() -> None:
    """Identifiers and words, but not amounts, are each held against what was said."""
    log = read(
        user("refund W123 please, damaged"),
        call(
            "f", {"id": "W123", "to": "P9876", "sum": 12.5, "why": "damaged wrapping"}
        ),
    )
    assert log[1]["unseen_identifiers"] == pytest.approx(2 / 3)
    assert log[1]["named_identifiers"] == pytest.approx(1 / 3)
    assert log[1]["unseen_words"] == 0.5


def test_what_is_told_to_a_colleague_is_no_argument() -> None:
    """The summary of a handover is not held against what was said."""
    log = read(call("transfer_to_human", {"summary": "user wants W1 refunded"}))
    assert log[0]["transfer_call"] == 1
    assert not any(name.startswith("unseen") for name in log[0])


def test_an_identifier_is_fresh_once() -> None:
    """A call that names what calls named before goes over known ground."""
    log = read(*(call("f", {"id": i}) for i in ("W1x", "W2x", "W1x")))
    assert given(log, "fresh_identifiers") == [1, 1, 0]


def test_a_change_is_untold_as_far_as_nobody_talked_of_it() -> None:
    """What only a tool has said, neither user nor agent can have agreed on."""
    log = read(
        user("cancel W123"),
        result("W123 W456 W789"),
        agent("That is W123 and W456."),
        write("cancel_order", "W123", "W456", "W789", "W999"),
    )
    assert log[3]["untold_write"] == 0.5
    assert log[3]["unseen_identifiers"] == 0.25


# --- writes ------------------------------------------------------------------


def test_an_object_is_written_again_only_after_a_change_went_well() -> None:
    """A failed change changed nothing, so trying again is no second change."""
    log = read(
        write("f", "W123"),
        result(error=True),
        write("f", "W123"),
        result(),
        write("g", "W123"),
        result(),
        write("g", "W999"),
    )
    assert given(log, "rewrite") == [0, 0, 1, 0]
    assert given(log, "open_failures") == [1, 0, 0]


def test_failures_stay_open_by_tool() -> None:
    """A tool's failed change is open until a change of that tool goes well."""
    log = read(
        write("f", call_id="a"),
        write("g", call_id="b"),
        result(error=True, call_id="a"),
        result(error=True, call_id="b"),
        write("g", call_id="c"),
        result(call_id="c"),
    )
    assert given(log, "open_failures") == [1, 2, 1]


# --- what the user wants -----------------------------------------------------


def test_wishes_are_open_until_a_change_carries_them_out() -> None:
    """A wish is a kind of action; a change of that kind by its tool's name meets it."""
    log = read(
        user("Please cancel W1 and refund W2."),
        write("cancel_pending_order", "W1"),
        result(),
        user("And the refund?"),
        write("returnItems", "W2"),
        result(error=True),
        user("Well?"),
    )
    assert given(log, "wishes") == [2, 2, 2]
    assert given(log, "open_wishes") == [2, 1, 1, 1, 1]


def test_corrections_are_late_once_something_was_changed() -> None:
    """Before any change went well, a correction is in time."""
    log = read(
        user("actually, cancel the other one"),
        write(),
        result(),
        user("no wait, the other one"),
        user("ok"),
    )
    assert given(log, "late_correction") == [1, 0]


# --- mood --------------------------------------------------------------------


def test_anger_is_taken_back_by_thanks() -> None:
    """Angry messages are open until a kind one thanks: then all are taken back."""
    log = read(
        user("this is ridiculous"),
        user("still not working, useless"),
        user("ok"),
        user("great, thank you so much!"),
        user("thanks"),
    )
    assert given(log, "open_anger") == [1, 2, 2, 0, 0]


def test_angry_thanks_take_nothing_back() -> None:
    """Thanks in an angry message are no peace."""
    log = read(user("useless"), user("thanks for nothing, this is ridiculous"))
    assert log[1]["open_anger"] == 2


# --- promises and silent failure ---------------------------------------------


@pytest.mark.parametrize(
    ("log", "idle", "promise"),
    [
        ([agent("I will check that."), user("ok")], 1, 1),
        ([agent("I will check that."), call(), result(), user("ok")], 0, 0),
        ([call(), result(), agent("Let me look."), user("ok")], 0, 0),
        ([agent("Which order?"), user("W1")], 1, 0),
        ([agent("Let me look."), user("ok"), agent("Well."), user("so?")], 1, 0),
        ([agent("Let me look."), user("ok"), user("so?")], 1, 0),
    ],
)
def test_a_promise_is_idle_without_a_call(
    log: list[dict[str, Any]], idle: float, promise: float
) -> None:
    """A promise to act is idle if no call was made before the user spoke again."""
    last = read(*log)[-1]
    assert (last["idle_turn"], last["idle_promise"]) == (idle, promise)


def test_a_first_message_ends_no_turn() -> None:
    """Before the agent has done anything there is no turn to judge."""
    assert "idle_turn" not in read(user("hi"))[0]


@pytest.mark.parametrize(
    ("last", "claim", "passed_over"),
    [
        (result("", error=False), 1, 1),
        (result("x", error=True), 1, 1),
        (result("W1"), 0, 0),
        (result(None), 0, 0),
    ],
    ids=["empty", "failed", "well", "unknown"],
)
def test_success_is_claimed_on_a_failure(
    last: dict[str, Any], claim: float, passed_over: float
) -> None:
    """Saying done, or saying anything, on a failed or empty result is told."""
    log = read(user("cancel"), write(), last, agent("Your order has been cancelled."))
    assert log[-1]["claim_after_failure"] == claim
    assert log[-1]["failure_passed_over"] == passed_over
    assert read(last, agent("Which order?"))[-1]["claim_after_failure"] == 0


def test_an_agent_that_repeats_itself_echoes() -> None:
    """An echo is likeness to the message before; news is against all before."""
    log = read(
        agent("please give order number"),
        agent("please give order number"),
        agent("thanks, checking now"),
        agent("please give order number"),
    )
    assert given(log, "agent_echo") == [0, 1, 0, 0]
    assert given(log, "agent_news") == [1, 0, 1, 0]


def test_words_that_stand_in_any_message_make_no_echo() -> None:
    """Messages are compared by their longer words."""
    log = read(agent("it is in my van"), agent("it is in my van"))
    assert given(log, "agent_echo") == [0, 0]
    assert given(log, "agent_news") == []
