"""Whatever words an agent chooses, only what is not trusted changes with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import AgentEvent, EventKind, parse
from features.online import TaskState
from features.signals import NAMES, SIGNALS
from features.sources import AGENT_WORDS, SELF_REPORTED, SOURCES, Reader

DOUBTED = AGENT_WORDS | SELF_REPORTED
_SPEAKS = (EventKind.AGENT_MESSAGE, EventKind.PLAN)


def agent(text: str, **body: Any) -> dict[str, Any]:
    """Return an agent's message."""
    return {"kind": "agent_message", "text": text} | body


# A task in which much is said and done: identifiers are named by the user, by tools and
# by the agent, changes succeed, fail and are made again, and some turns stay idle.
LOG: tuple[dict[str, Any], ...] = (
    {
        "kind": "task_started",
        "text": "Cancel order W2213 and refund it",
        "account": {"value": 700},
        "domain": "retail",
    },
    {"kind": "history", "domain_rate": 0.2, "type_rate": 0.4, "type_excess": 0.1},
    {"kind": "user_message", "text": "Cancel order W2213 and refund it, please!"},
    {"kind": "plan", "text": "Look the order up, then cancel"},
    agent("One moment, I will look it up.", confidence={"value": 0.7}),
    {"kind": "user_message", "text": "This is taking too long, I am really upset"},
    {
        "kind": "tool_call",
        "tool": "find_order",
        "arguments": {"order": "W2213", "note": "customer in a hurry"},
        "call_id": "a",
    },
    {
        "kind": "tool_result",
        "call_id": "a",
        "text": '{"order": "W2213", "item": "lamp-441", "total": 129.5}',
        "latency_ms": 120,
    },
    {"kind": "verifier", "score": 0.8},
    agent(
        "I found order W2213 with lamp-441. Shall I cancel it?",
        confidence={"value": 0.9},
        interpretations=2,
    ),
    {"kind": "user_message", "text": "Yes, go ahead. My address is 77 Elm Street."},
    {
        "kind": "tool_call",
        "tool": "cancel_order",
        "arguments": {"order": "W2213", "refund_to": "card-9917"},
        "call_id": "b",
        "is_write": True,
    },
    {
        "kind": "tool_result",
        "call_id": "b",
        "text": "error: card-9917 unknown",
        "error": True,
        "latency_ms": 800,
    },
    agent("Your order is cancelled.", confidence={"value": 0.95}, interpretations=1),
    {
        "kind": "tool_call",
        "tool": "cancel_order",
        "arguments": {"order": "W2213", "refund_to": "lamp-441"},
        "call_id": "c",
        "is_write": True,
    },
    {"kind": "tool_result", "call_id": "c", "text": ""},
    agent("Done. I will transfer you to a colleague if you like."),
    {"kind": "user_message", "text": "No, that's wrong, I want a human"},
    agent("Sorry, I cannot do that.", interpretations=[]),
    {"kind": "usage", "tokens_in": 900, "tokens_out": 80, "cost": 0.02},
    {"kind": "user_message", "text": "Then let me speak to a manager."},
    {
        "kind": "tool_call",
        "tool": "transfer_to_human_agents",
        "arguments": {"summary": "refund of W2213 to card-9917"},
        "call_id": "d",
    },
    {"kind": "tool_result", "call_id": "d", "text": "transferred"},
    agent("You are being transferred."),
    {"kind": "user_message", "text": "Thanks, that is all."},
)
PLACES = [i for i, line in enumerate(LOG) if line["kind"] in _SPEAKS]
MESSAGES = [i for i in PLACES if LOG[i]["kind"] == EventKind.AGENT_MESSAGE]

# What an agent might say to look well, among words that mean nothing to anyone.
PHRASES = (
    "I am certain. Everything is done and confirmed.",
    "I have cancelled W2213 and refunded card-9917 and lamp-441.",
    "I think it might perhaps be possible, I am not sure.",
    "I will transfer you to a human agent right away.",
    "One moment please, let me check that for you.",
    "I'm sorry, I cannot do that. Is there anything else? Goodbye!",
    "There is a technical problem, the system is not available.",
    "77 Elm Street, 129.50, 12345, W2213",
    "Would you like me to proceed (yes/no)?",
    "",
    " ",
)
words = st.lists(st.sampled_from(PHRASES) | st.text(max_size=30), max_size=4).map(
    " ".join
)
bodies = st.fixed_dictionaries(
    {"text": words},
    optional={
        "confidence": st.none()
        | st.fixed_dictionaries({"value": st.floats(0, 1) | st.none()}),
        "interpretations": st.integers(0, 9)
        | st.lists(st.text(max_size=5), max_size=5)
        | st.none(),
    },
)
speeches = st.fixed_dictionaries(dict.fromkeys(PLACES, bodies))


def events(speech: Mapping[int, Mapping[str, Any]]) -> list[AgentEvent]:
    """Return the task's events with the agent's words replaced by `speech`."""
    head = {"task_id": "t"}
    said = [
        {"kind": line["kind"], **speech[i]} if i in speech else line
        for i, line in enumerate(LOG)
    ]
    return [
        parse(head | {"event_id": str(i), "at": f"2026-01-31T09:{i:02}:00Z"} | line)
        for i, line in enumerate(said)
    ]


def sources(speech: Mapping[int, Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return what a reader gives for each event."""
    reader = Reader()
    return [reader.read(event) for event in events(speech)]


def changed(speech: Mapping[int, Mapping[str, Any]]) -> set[str]:
    """Return the sources that differ anywhere from those of the honest log."""
    found = set()
    for before, after in zip(HONEST, sources(speech), strict=True):
        every = before.keys() | after.keys()
        found |= {name for name in every if before.get(name) != after.get(name)}
    return found


def signals(speech: Mapping[int, Mapping[str, Any]]) -> list[list[float]]:
    """Return all signals after each event."""
    state, rows = TaskState(), []
    for event in events(speech):
        state.advance(event)
        rows.append(state.read().tolist())
    return rows


HONEST = sources({})
HONEST_SIGNALS = np.array(signals({}))
OBSERVED = [i for i, signal in enumerate(SIGNALS) if signal.trust == "observed"]


@given(speeches)
def test_words_change_only_sources_that_depend_on_words(
    speech: dict[int, dict[str, Any]],
) -> None:
    """Whatever the agent says, thinks or reports of itself, no other source moves."""
    assert changed(speech) <= DOUBTED


@given(speeches)
def test_words_change_no_observed_signal(speech: dict[int, dict[str, Any]]) -> None:
    """After any event, signals that are called observed are those of the honest log."""
    told = np.array(signals(speech))
    np.testing.assert_array_equal(told[:, OBSERVED], HONEST_SIGNALS[:, OBSERVED])


@given(speeches)
def test_what_an_agent_does_is_seen_whatever_it_says(
    speech: dict[int, dict[str, Any]],
) -> None:
    """The same events give the same sources by kind: silence hides no message."""
    for before, after in zip(HONEST, sources(speech), strict=True):
        assert before.keys() - DOUBTED == after.keys() - DOUBTED


# --- nothing is doubted without need -----------------------------------------

MUTE = {i: {"text": ""} for i in PLACES}
FIRST = MESSAGES[0]
# By source: words, at all places or at one, that move it away from the honest log.
MOVED: dict[str, Mapping[int, Mapping[str, Any]]] = {
    "confidence": {FIRST: {"confidence": {"value": 0.1}}},
    "interpretations": {MESSAGES[1]: {"interpretations": 7}},
    "agent_words": MUTE,
    "agent_questions": MUTE,
    "agent_numbers": MUTE,
    "agent_hedges": {FIRST: {"text": "I think so, maybe"}},
    "agent_apologies": MUTE,
    "agent_refusals": MUTE,
    "agent_troubles": {FIRST: {"text": "There is a technical problem, an error"}},
    "agent_closes": {FIRST: {"text": "Have a nice day, goodbye!"}},
    "agent_offers": {FIRST: {"text": "Would you like me to proceed? (yes/no)"}},
    "agent_identifiers": MUTE,
    "agent_echo": {MESSAGES[1]: LOG[FIRST]},
    "agent_news": MUTE,
    "agent_claims_done": {FIRST: {"text": "All done"}},
    "agent_key": MUTE,
    "empty_claim": {FIRST: {"text": "All done"}},
    "claim_after_failure": {MESSAGES[2]: {"text": "All done"}},
    "transfer_promise": {FIRST: {"text": "I will transfer you to a human agent"}},
    "idle_turn": MUTE,
    "idle_promise": {FIRST: {"text": "I like it here."}},
    "untold_write": {MESSAGES[1]: {"text": "I will refund it to card-9917"}},
    "plan_hedges": {PLACES[0]: {"text": "maybe, perhaps"}},
}


@pytest.mark.parametrize("source", MOVED)
def test_each_doubted_source_can_be_moved_by_words(source: str) -> None:
    """No source is distrusted for nothing: some choice of words moves each of them."""
    assert source in changed(MOVED[source])
    assert changed(MOVED[source]) <= DOUBTED


def test_speaking_on_a_failure_is_doubted_though_words_do_not_move_it() -> None:
    """Whether it speaks at all after a failure is the agent's choice, so it counts."""
    assert {"failure_passed_over"} == DOUBTED - MOVED.keys()
    assert "failure_passed_over" not in changed(MUTE)
    assert HONEST[MESSAGES[2]]["failure_passed_over"] == 1


def test_the_log_gives_nearly_every_source_something_to_change() -> None:
    """The log is rich: what it does not move, words could not be seen to move."""
    missing = SOURCES.keys() - {name for values in HONEST for name in values}
    # A service's own stamp is none of the agent's words.
    of_stamp = {name for name in SOURCES if name.startswith("history_")}
    assert missing - of_stamp == {"documents"}
    assert len(OBSERVED) > 60
    assert len(NAMES) > len(OBSERVED)
