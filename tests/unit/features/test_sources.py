from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import OUTCOME_KINDS, EventKind, parse
from features.sources import SOURCES, Reader, key

AT = "2026-01-31T09:00:00Z"


def read(*lines: dict[str, Any]) -> list[dict[str, float]]:
    """Return what one reader gives for each of a task's events."""
    reader = Reader()
    head = {"task_id": "t", "at": AT}
    return [
        reader.read(parse(head | {"event_id": str(i)} | line))
        for i, line in enumerate(lines)
    ]


def started(**body: Any) -> dict[str, Any]:
    """Return a task's first event."""
    return {"kind": "task_started"} | body


def user(text: str, **body: Any) -> dict[str, Any]:
    """Return a user's message."""
    return {"kind": "user_message", "text": text} | body


def agent(text: str = "", **body: Any) -> dict[str, Any]:
    """Return an agent's message."""
    return {"kind": "agent_message", "text": text} | body


def call(tool: str = "look", arguments: Any = None, **body: Any) -> dict[str, Any]:
    """Return a tool call."""
    return {"kind": "tool_call", "tool": tool, "arguments": arguments} | body


def result(text: str | None = "ok", **body: Any) -> dict[str, Any]:
    """Return a tool's result."""
    return {"kind": "tool_result", "text": text} | body


# --- what every event gives --------------------------------------------------


RATES = tuple(
    name.removeprefix("history_") for name in SOURCES if name.startswith("history_")
)


def test_sources_are_those_declared() -> None:
    """Between them the events of a full task give every declared source, no other."""
    log = [
        started(text="cancel W1", account={"value": 5}),
        user("yes, do it"),
        {"kind": "plan", "text": "maybe"},
        call(arguments={"id": "W12", "n": 5, "x": "a"}, is_write=True, call_id="c"),
        result(call_id="c", latency_ms=3),
        call(arguments={"id": "W13"}),
        {"kind": "verifier", "score": 0.5},
        {"kind": "retrieval", "documents": []},
        {"kind": "usage", "tokens_in": 1, "cost": 1},
        {"kind": "history"} | dict.fromkeys(RATES, 0.5),
        agent("It is done: 12", confidence={"value": 0.5}, interpretations=2),
        user("actually, no"),
    ]
    given_by_all = {source for values in read(*log) for source in values}
    assert given_by_all == set(SOURCES)
    assert all(doc.strip() for doc in SOURCES.values())


@pytest.mark.parametrize("kind", [str(kind) for kind in OUTCOME_KINDS])
def test_outcomes_give_nothing(kind: str) -> None:
    """An event that tells how a task went gives no source a value."""
    body = {"needed": "yes", "propensity": 1, "text": "I want a human", "tool": "x"}
    assert read({"kind": kind} | body) == [{}]


def test_unknown_kinds_give_nothing() -> None:
    """An event of a kind that is not known is no step."""
    assert read({"kind": "robot_moved", "text": "I want a human"}) == [{}]


def test_a_step_and_its_time() -> None:
    """Each known event is a step at a time, unless the log had no times."""
    stamp = datetime(2026, 1, 31, 9, tzinfo=UTC).timestamp()
    first, second = read({"kind": "plan"}, {"kind": "plan", "at_synthetic": True})
    assert first["step"] == second["step"] == 1
    assert first["at"] == stamp
    assert "at" not in second


@pytest.mark.parametrize(
    "line",
    [call("cancel", {"id": 9}, is_write=True), result("failed", error=True)],
    ids=["call", "result"],
)
def test_what_the_users_device_does_is_not_the_agents(line: dict[str, Any]) -> None:
    """Calls and results of the user's own side are steps and nothing else."""
    assert read(line | {"requestor": "user"})[0].keys() == {"step", "at"}
    assert len(read(line)[0]) > 2


def test_the_users_device_writes_nothing_for_the_agent() -> None:
    """A write on the user's side makes no claim of the agent true."""
    theirs = {"requestor": "user"}
    log = [call("reset", is_write=True) | theirs, result() | theirs, agent("All done")]
    assert read(*log)[-1]["empty_claim"] == 1


# --- the user ----------------------------------------------------------------


def test_a_request_stated_twice_is_read_once() -> None:
    """The request in the task's head and again as first message is read once."""
    once = read(started(text="Cancel my  ORDER"), user("cancel my order "))
    assert once[0]["user_words"] == 3
    assert once[1].keys() == {"step", "at", "user_message"}


def test_only_the_first_message_can_be_the_request() -> None:
    """The same words once more are the user repeating themselves."""
    log = read(started(text="cancel it"), user("cancel it"), user("cancel it"))
    assert log[2]["user_words"] == 2


def test_a_first_message_of_its_own_is_read() -> None:
    """A first message that is not the request is read beside it."""
    log = read(started(text="cancel it"), user("I want a human"))
    assert log[1]["user_asks_human"] == 1
    assert log[0]["user_asks_human"] == 0


def test_a_task_without_request_says_nothing_at_its_start() -> None:
    """A head without text gives no reading of words that nobody said."""
    assert read(started())[0].keys() == {"step", "at"}
    assert read(started(), user(""))[1]["user_words"] == 0


@pytest.mark.parametrize(
    ("text", "source", "value"),
    [
        ("one two three", "user_words", 3),
        ("why? how?", "user_questions", 2),
        ("12 and 3.5", "user_numbers", 2),
        ("NEVER again", "user_shouting", 1),
        ("this is ridiculous and useless", "user_frustration", 2),
        ("actually, that's wrong", "user_corrections", 2),
        ("also another", "user_additions", 2),
        ("yes yes", "user_confirms", 1),
        ("that's all, bye", "user_closes", 1),
        ("please check again, why not", "user_pleads", 2),
        ("a human! I want a human!", "user_asks_human", 1),
        ("emergency, emergency", "safety", 1),
        ("my lawyer and the court case", "regulated", 1),
    ],
)
def test_readings_of_a_users_message(text: str, source: str, value: float) -> None:
    """Each reading of a user's words is a count, or 0 or 1 where it says so."""
    assert read(user(text))[0][source] == value
    assert read(started(text=text))[0][source] == value


def test_displeasure_is_sentiment_turned_round() -> None:
    """Angry words are above zero, kind words below."""
    angry, kind = read(user("this is awful and I hate it"), user("great, thank you!"))
    assert angry["user_displeasure"] > 0 > kind["user_displeasure"]


def test_the_value_of_an_account_is_known_or_absent() -> None:
    """An account without a value gives none; zero is a value."""
    assert "account_value" not in read(started(account={"id": "a"}))[0]
    assert "account_value" not in read(started(account=None))[0]
    assert read(started(account={"value": 0}))[0]["account_value"] == 0


# --- the agent ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source", "value"),
    [
        ("one two", "agent_words", 2),
        ("which? when?", "agent_questions", 2),
        ("7 of 8", "agent_numbers", 2),
        ("I think perhaps", "agent_hedges", 2),
        ("Sorry, my apologies", "agent_apologies", 2),
        ("unfortunately I cannot", "agent_refusals", 2),
        ("it failed, try again", "agent_troubles", 2),
        ("anything else? feel free to ask", "agent_closes", 1),
        ("Would you like it? Shall I?", "agent_offers", 2),
        ("done, all set", "agent_claims_done", 1),
        ("I will connect you with a specialist", "transfer_promise", 1),
    ],
)
def test_readings_of_an_agents_message(text: str, source: str, value: float) -> None:
    """Each reading of an agent's words is a count, or 0 or 1 where it says so."""
    assert read(agent(text))[0][source] == value
    assert read(agent("plain"))[0][source] == float(source == "agent_words")


def test_the_agents_word_for_itself() -> None:
    """Confidence and readings of the request are given where the agent gives them."""
    bare, sure, listed, none = read(
        agent(),
        agent(confidence={"value": 0.25, "source": "logprob"}, interpretations=3),
        agent(interpretations=["a", "b"]),
        agent(confidence={"source": "logprob"}, interpretations=[]),
    )
    assert "confidence" not in bare
    assert "interpretations" not in bare
    assert (sure["confidence"], sure["interpretations"]) == (0.25, 3)
    assert listed["interpretations"] == 2
    assert "confidence" not in none
    assert none["interpretations"] == 0


def test_repetition_is_told_by_words_alone() -> None:
    """A message is the same if its words are, up to case and spaces."""
    first, same, other = read(agent("Please WAIT"), agent(" please  wait"), agent("no"))
    assert first["agent_key"] == same["agent_key"] != other["agent_key"]


def test_plans_hedge_too() -> None:
    """A plan is counted, with its hedging words."""
    assert read({"kind": "plan", "text": "maybe this, perhaps that"})[0].items() >= {
        ("plan", 1.0),
        ("plan_hedges", 2.0),
    }


def test_documents_mention_what_they_hold() -> None:
    """What a retrieved document says, somebody has mentioned."""
    log = read(
        {"kind": "retrieval", "documents": [{"body": ["fee is P120"]}]},
        call(arguments={"fee": "P120"}),
        agent("It is X99."),
        {"kind": "artifact", "text": "page X99"},
        call(arguments={"page": "X99"}),
    )
    assert log[1]["unseen_identifiers"] == 0
    assert log[4]["unseen_identifiers"] == 1  # an agent is no witness of its own


# --- claims and writes -------------------------------------------------------

CLAIM = agent("Your order has been cancelled")


@pytest.mark.parametrize(
    ("log", "empty"),
    [
        ([user("cancel"), CLAIM], 1),
        ([user("cancel"), call(is_write=True), result(), CLAIM], 0),
        ([user("cancel"), call(is_write=True), CLAIM], 1),
        ([user("cancel"), call(is_write=False), result(), CLAIM], 1),
        ([user("cancel"), call(), result(), CLAIM], 1),
        ([user("cancel"), call(is_write=True), result(error=True), CLAIM], 1),
        ([call(is_write=True), result(), user("and this?"), CLAIM], 1),
        ([user("cancel"), call(is_write=True), result(), agent("Let me see")], 0),
    ],
    ids=[
        "nothing was called",
        "a write went well",
        "no result yet",
        "only read",
        "nobody said it writes",
        "the write failed",
        "written before the user spoke",
        "no claim",
    ],
)
def test_an_empty_claim_is_one_without_a_write(
    log: list[dict[str, Any]], empty: float
) -> None:
    """Saying done is empty unless a write went well since the user last spoke."""
    assert read(*log)[-1]["empty_claim"] == empty


def test_results_find_their_call_by_its_id() -> None:
    """A result belongs to the call it names, else to the latest."""
    log = read(
        call("cancel", is_write=True, call_id="w"),
        call("look", is_write=False, call_id="r"),
        result(call_id="r", error=True),
        result(call_id="w", error=True),
        call("cancel", is_write=True),
        result(error={"type": "timeout"}),
        call("look"),
        result(error=True),
    )
    assert "write_error" not in log[2]
    assert log[3]["write_error"] == 1
    assert log[5]["write_error"] == 1
    assert "write_error" not in log[7]


@pytest.mark.parametrize(
    ("error", "failed"),
    [(None, 0), (False, 0), (True, 1), ({"type": "x"}, 1)],
)
def test_a_result_is_an_error_if_it_says_so(error: Any, failed: float) -> None:
    """True or an error object is an error; false or nothing is none."""
    assert read(result(error=error))[0]["tool_error"] == failed


@pytest.mark.parametrize("said", ["", "[]", " null ", "No results", "{}"])
def test_a_result_may_hold_nothing(said: str) -> None:
    """A result with nothing in it is empty, unless it is an error."""
    assert read(result(said))[0]["empty_result"] == 1
    assert read(result(said, error=True))[0]["empty_result"] == 0


@pytest.mark.parametrize("line", [result("x"), result(None), {"kind": "tool_result"}])
def test_a_result_whose_text_is_elsewhere_is_not_empty(line: dict[str, Any]) -> None:
    """Without a text in the log nobody knows that the result held nothing."""
    assert read(line)[0]["empty_result"] == 0


def test_length_and_latency_of_a_result() -> None:
    """A result has a length in characters and, where it says so, a latency in ms."""
    timed, untimed = read(result("abc", latency_ms=7), result("abc"))
    assert (timed["result_length"], timed["latency"]) == (3, 7)
    assert "latency" not in untimed


@pytest.mark.parametrize("is_write", [True, False, None])
def test_a_write_is_what_the_log_calls_one(is_write: bool | None) -> None:  # noqa: FBT001
    """A call writes if the log says so, and has a write key only then."""
    values = read(call("cancel", {"id": 1}, is_write=is_write))[0]
    assert values["write"] == float(is_write is True)
    assert values.get("write_key") == (values["call_key"] if is_write else None)
    assert ("unconfirmed_write" in values) == bool(is_write)


@pytest.mark.parametrize(
    ("log", "unconfirmed"),
    [
        ([user("Shall we?")], 1),
        ([user("yes, go ahead")], 0),
        ([user("yes"), agent("ok"), call(), result()], 0),
        ([user("yes"), user("wait")], 1),
        ([user("no, that's not correct")], 1),
        ([started(text="Yes, cancel it")], 0),
        ([started(text="cancel it"), user("cancel it")], 1),
        ([], 1),
    ],
)
def test_a_write_is_confirmed_by_the_users_latest_words(
    log: list[dict[str, Any]], unconfirmed: float
) -> None:
    """A write is unconfirmed unless the user's latest message confirms."""
    assert read(*log, call(is_write=True))[-1]["unconfirmed_write"] == unconfirmed


def test_arguments_that_nobody_mentioned() -> None:
    """Of a call's arguments, those no user, tool or document has said count."""
    log = read(
        user("Order #W123, for jo@x.org"),
        call(arguments={"id": "W123", "to": ["jo@x.org", {"n": 5}], "ok": True}),
        result("5 items, SKU-9"),
        call(arguments={"sku": "sku-9", "n": 5}),
        call(arguments=[]),
        call(),
    )
    assert log[1]["unseen_arguments"] == pytest.approx(1 / 3)
    assert log[3]["unseen_arguments"] == 0
    assert "unseen_arguments" not in log[4]
    assert "unseen_arguments" not in log[5]


def test_an_argument_of_many_words_counts_word_by_word() -> None:
    """Free text in an argument is unseen as far as its words are."""
    log = read(user("leave it"), call(arguments={"note": "leave at door"}))
    assert log[1]["unseen_arguments"] == pytest.approx(2 / 3)


def test_calls_are_told_apart_by_tool_and_arguments() -> None:
    """A call is the same if tool and arguments are, in whatever order of keys."""
    one, same, other, tool = read(
        call("f", {"a": 1, "b": 2}),
        call("f", {"b": 2, "a": 1}),
        call("f", {"a": 1, "b": 3}),
        call("g", {"a": 1, "b": 2}),
    )
    assert one["call_key"] == same["call_key"]
    assert len({one["call_key"], other["call_key"], tool["call_key"]}) == 3
    assert one["tool_key"] == other["tool_key"] != tool["tool_key"]


def test_calls_are_counted_since_the_user_spoke() -> None:
    """A call has its place in the turn, 1, 2 …, until the user speaks."""
    log = read(call(), call(), agent("hm"), call(), user("so?"), call())
    assert [log[i]["calls_in_turn"] for i in (0, 1, 3, 5)] == [1, 2, 3, 1]


@pytest.mark.parametrize(
    "tool",
    [
        "transfer_to_human_agents",
        "transferToHuman",
        "transfer",
        "escalate",
        "escalate_ticket",
        "handoff",
        "hand_over_task",
        "hand-off",
        "ask_human_agent",
    ],
)
def test_a_transfer_call_hands_the_task_over(tool: str) -> None:
    """A call of a handover tool, by its usual names, is a transfer call."""
    assert read(call(tool))[0]["transfer_call"] == 1


@pytest.mark.parametrize(
    "tool",
    ["get_order", "transfer_money", "transferFunds", "transfer_points", "handle_order"],
)
def test_other_calls_hand_nothing_over(tool: str) -> None:
    """A call that moves money or looks things up is no transfer call."""
    assert read(call(tool))[0]["transfer_call"] == 0


# --- the others --------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ({"score": 0.25}, 0.25),
        ({"agree": True}, 1),
        ({"agree": False}, 0),
        ({"score": 0.25, "agree": True}, 0.25),
        ({"score": 0, "agree": True}, 0),
        ({"text": "hm"}, None),
    ],
)
def test_a_verifier_scores_or_agrees(body: dict[str, Any], value: float | None) -> None:
    """A score is taken as it is, else agreement is 1 or 0, else nothing is known."""
    assert read({"kind": "verifier"} | body)[0].get("verifier") == value


@pytest.mark.parametrize(
    ("body", "tokens", "cost"),
    [
        ({"tokens_in": 3, "tokens_out": 4, "cost": 0.5}, 7, 0.5),
        ({"tokens_out": 4}, 4, None),
        ({"cost": 0}, None, 0),
        ({}, None, None),
    ],
)
def test_usage_is_known_as_far_as_it_is_told(
    body: dict[str, Any], tokens: float | None, cost: float | None
) -> None:
    """Tokens in and out add up; what is not told is not zero."""
    values = read({"kind": "usage"} | body)[0]
    assert values.get("tokens") == tokens
    assert values.get("cost") == cost


def test_documents_are_counted_where_they_are_listed() -> None:
    """A retrieval without a list says nothing of how many there were."""
    none, two, untold = read(
        {"kind": "retrieval", "documents": []},
        {"kind": "retrieval", "documents": [{}, {}]},
        {"kind": "retrieval"},
    )
    assert (none["documents"], two["documents"]) == (0, 2)
    assert "documents" not in untold


def test_deep_arguments_are_read_as_far_as_identifiers_go() -> None:
    """Nesting beyond twenty levels is hashed but not searched."""
    deep: Any = "W9"
    for _ in range(100):
        deep = {"a": deep}
    values = read(call(arguments=deep))[0]
    assert "unseen_arguments" not in values
    assert values["call_key"] != read(call(arguments={"a": deep}))[0]["call_key"]


@given(st.recursive(st.none() | st.integers(-9, 9) | st.text(max_size=3), st.lists))
def test_keys_are_whole_numbers_that_a_float_holds(value: Any) -> None:
    """A key is a whole number >= 0 below 2**52, and the same each time."""
    found = key("tool", value)
    assert found == int(found) == key("tool", value)
    assert 0 <= found < 2**52


def test_kinds_that_say_nothing_of_a_task_are_read_all_the_same() -> None:
    """Every kind that is no outcome is read by itself without harm."""
    for kind in set(EventKind) - OUTCOME_KINDS - {EventKind.HISTORY}:
        assert read({"kind": str(kind), "tool": "x"})[0]["step"] == 1
