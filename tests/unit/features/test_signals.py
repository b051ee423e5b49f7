from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from features import signals
from features.aggregates import Count, Gap, Last, Mean, Ratio, leaves
from features.events import parse
from features.online import TaskState
from features.signals import (
    NAMES,
    SIGNALS,
    Group,
    Signal,
    schema_digest,
    schema_lines,
)
from features.sources import AGENT_WORDS, SELF_REPORTED, SOURCES


def test_the_catalogue_is_large_enough() -> None:
    """There are at least forty signals, each with a name of its own."""
    assert len(SIGNALS) >= 40
    assert len(set(NAMES)) == len(NAMES) == len(SIGNALS)
    assert [signal.name for signal in SIGNALS] == list(NAMES)


def test_no_signal_is_declared_twice_under_two_names() -> None:
    """No two signals are computed the same way."""
    assert len({signal.aggregate for signal in SIGNALS}) == len(SIGNALS)


def test_every_group_has_signals() -> None:
    """Signals speak of every group of the design."""
    groups = {
        "confidence",
        "verifier",
        "retries and loops",
        "words against acts",
        "unresolved asks",
        "silent failure",
        "ambiguity",
        "sentiment",
        "sensitivity",
        "account",
        "effort",
        "agent",
        "outcome history",
    }
    assert {str(group) for group in Group} == groups
    assert {str(signal.group) for signal in SIGNALS} == groups


@pytest.mark.parametrize("signal", SIGNALS, ids=NAMES)
def test_a_signal_is_declared_in_full(signal: Signal) -> None:
    """A signal has a plain name, a unit, a line of words and known sources."""
    assert signal.name.isidentifier()
    assert signal.name == signal.name.lower()
    assert signal.unit.strip()
    assert signal.doc.strip() == signal.doc != ""
    assert "\n" not in signal.doc
    assert signal.direction in (-1, 0, 1)
    used = {leaf.source for leaf in leaves(signal.aggregate)}
    assert used
    assert used <= SOURCES.keys()


# How far a signal is trusted is what bounds the agent: no signal changes sides unseen.
SAID_OF_ITSELF = {
    "confidence_last",
    "confidence_mean",
    "confidence_min",
    "confidence_slope",
    "confidence_gap",
    "interpretations_max",
    "interpretations_last",
}
IN_ITS_WORDS = {
    "agent_repeats",
    "idle_turns",
    "untold_writes_mean",
    "untold_writes_last",
    "claims_done",
    "empty_claims",
    "unkept_promises",
    "claims_after_failure",
    "failures_passed_over",
    "failures_passed_over_now",
    "idle_promises",
    "agent_questions",
    "agent_words_mean",
    "agent_words_last",
    "agent_words_max",
    "agent_words_first",
    "agent_words_slope",
    "agent_numbers_mean",
    "agent_numbers_max",
    "hedges",
    "hedges_mean",
    "plan_hedges",
    "apologies",
    "refusals",
    "refusals_last",
    "refusals_mean",
    "troubles",
    "troubles_last",
    "closings",
    "offers",
    "transfer_promises",
    "agent_echo_max",
    "agent_echo_last",
    "agent_news_mean",
    "agent_identifiers_mean",
    "agent_identifiers_last",
    "refusals_now",
    "hedges_now",
    "agent_questions_now",
    "agent_words_trend",
}


def test_trust_follows_from_what_a_signal_is_made_of() -> None:
    """The agent's word for itself, its choice of words, and what others see it do."""
    by_trust = {
        trust: {s.name for s in SIGNALS if s.trust == trust}
        for trust in ("self_reported", "agent_words", "observed")
    }
    assert by_trust["self_reported"] == SAID_OF_ITSELF
    assert by_trust["agent_words"] == IN_ITS_WORDS
    assert set().union(*by_trust.values()) == set(NAMES)


@pytest.mark.parametrize("signal", SIGNALS, ids=NAMES)
def test_the_least_trusted_source_decides(signal: Signal) -> None:
    """One source that the agent can talk up is enough to distrust a signal."""
    used = {leaf.source for leaf in leaves(signal.aggregate)}
    if used & SELF_REPORTED:
        assert signal.trust == "self_reported"
    elif used & AGENT_WORDS:
        assert signal.trust == "agent_words"
    else:
        assert signal.trust == "observed"


def test_a_doubted_source_taints_whatever_it_is_combined_with() -> None:
    """A gap of an observed value and the agent's word is the agent's word."""
    plain = SIGNALS[NAMES.index("steps")]
    observed, worded, told = Last("verifier"), Last("agent_words"), Last("confidence")
    for aggregate, trust in (
        (observed, "observed"),
        (Gap(observed, worded), "agent_words"),
        (Gap(worded, told), "self_reported"),
        (Ratio(told, observed), "self_reported"),
    ):
        assert replace(plain, aggregate=aggregate).trust == trust


# A direction is a promise to whoever reads a reason: none is made or dropped unseen.
LOWERS = {
    "confidence_last",
    "confidence_mean",
    "confidence_min",
    "confidence_slope",
    "verifier_last",
    "verifier_mean",
    "verifier_min",
    "verifier_now",
}
RAISES = {
    "interpretations_last",
    "interpretations_max",
    "call_repeats",
    "agent_repeats",
    "tool_errors",
    "tool_error_streak",
    "frustration",
    "asks_for_human",
    "safety_topic",
    "regulated_topic",
    "refusals",
    "transfer_promises",
    "transfer_calls",
    "history_domain_rate",
    "history_version_rate",
    "history_cell_rate",
    "history_expected_rate",
    "history_type_rate",
    "history_type_excess",
    "history_pair_rate",
}


def test_directions_follow_the_meaning() -> None:
    """Sureness and agreement never raise the risk, failures and asks never lower it."""
    assert {s.name for s in SIGNALS if s.direction == -1} == LOWERS
    assert {s.name for s in SIGNALS if s.direction == 1} == RAISES


# --- the schema --------------------------------------------------------------


def test_the_schema_is_a_line_per_signal() -> None:
    """The schema names every signal once, in order, and its digest is a SHA-256."""
    lines = schema_lines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert len(bytes.fromhex(schema_digest())) == 32
    assert schema_digest() == schema_digest()


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"direction": 1}, True),
        ({"name": "other"}, True),
        ({"unit": "hours"}, True),
        ({"aggregate": Count("confidence")}, True),
        ({"aggregate": Mean("step")}, True),
        ({"aggregate": Last("latency")}, True),
        ({"doc": "In other words"}, False),
        ({"group": Group.AGENT}, False),
    ],
    ids=str,
)
def test_the_schema_changes_with_what_a_model_learns_from(
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    matters: bool,  # noqa: FBT001
) -> None:
    """Whatever changes a signal's values or constraint changes the schema."""
    before, index = schema_digest(), NAMES.index("steps")
    changed = (
        *SIGNALS[:index],
        replace(SIGNALS[index], **change),
        *SIGNALS[index + 1 :],
    )
    monkeypatch.setattr(signals, "SIGNALS", changed)
    assert (schema_digest() != before) is matters


def test_the_schema_changes_with_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model knows signals by their place, so another order is another schema."""
    before = schema_digest()
    monkeypatch.setattr(signals, "SIGNALS", SIGNALS[::-1])
    assert schema_digest() != before


# --- values, worked out by hand ----------------------------------------------

LOG: list[dict[str, Any]] = [
    {"kind": "task_started", "text": "Cancel order 77", "account": {"value": 900}},
    {"kind": "user_message", "text": "cancel order 77"},
    {
        "kind": "agent_message",
        "text": "I think so.",
        "confidence": {"value": 0.9},
        "interpretations": 3,
    },
    {"kind": "tool_call", "tool": "get", "arguments": {"id": 77}, "call_id": "a"},
    {"kind": "tool_result", "call_id": "a", "text": "", "latency_ms": 10},
    {"kind": "tool_call", "tool": "get", "arguments": {"id": 77}, "call_id": "b"},
    {"kind": "tool_result", "call_id": "b", "error": True, "latency_ms": 20},
    {"kind": "verifier", "score": 0.4},
    {"kind": "verdict", "needed": "yes"},
    {"kind": "agent_message", "text": "I think so.", "confidence": {"value": 0.5}},
    {"kind": "user_message", "text": "I want a human"},
    {"kind": "tool_call", "tool": "cut", "arguments": {"id": 8}, "is_write": True},
    {"kind": "tool_result", "error": True, "latency_ms": 60},
    {"kind": "agent_message", "text": "All done", "interpretations": 1},
]
# By signal: its value after the whole log.
AFTER = {
    "confidence_last": 0.5,
    "confidence_mean": 0.7,
    "confidence_min": 0.5,
    "confidence_slope": -0.4,
    "confidence_gap": 0.1,
    "interpretations_max": 3,
    "interpretations_last": 1,
    "verifier_last": 0.4,
    "verifier_now": 0.4,
    "verifier_drop": 0,
    "call_repeats": 1,
    "write_repeats": 0,
    "agent_repeats": 1,
    "tool_errors": 2,
    "tool_error_rate": 2 / 3,
    "tool_error_streak": 2,
    "since_tool_error": 1,
    "write_errors": 1,
    "empty_results": 1,
    "distinct_calls": 2,
    "distinct_calls_share": 2 / 3,
    "request_words": 3,
    "user_words_last": 4,
    "asks_for_human": 1,
    "account_value": 900,
    "steps": 13,
    "elapsed": 13 * 60,
    "user_messages": 2,
    "tool_calls": 3,
    "distinct_tools": 2,
    "calls_in_turn_max": 2,
    "calls_in_turn_mean": 4 / 3,
    "calls_per_user_message": 1.5,
    "writes": 1,
    "since_write": 2,
    "write_last": 1,
    "unconfirmed_writes": 1,
    "confirms_beyond_writes": -1,
    "latency_worst": 30,
    "hedges": 2,
    "hedges_mean": 2 / 3,
    "agent_words_first": 3,
    "agent_words_slope": -0.5,
    "empty_claims": 1,
    "unseen_arguments_last": 1,
    "unseen_arguments_worst": 1 / 3,
    "transfer_promises": 0,
    "unkept_promises": 0,
    "calls_again": 1,
    "calls_again_now": 1 / 3,
    "same_tool_streak": 0,
    "tool_errors_now": 2 / 3,
    "unseen_arguments_mean": 1 / 3,
    "wishes": 1,
    "open_wishes": 1,
    "open_failures": 1,
    "open_anger": 0,
    "claims_after_failure": 1,
    "failures_passed_over": 2,
    "failures_passed_over_now": 2 / 3,
    "idle_promises": 0,
    "idle_turns": 0,
    "agent_echo_max": 1,
    "agent_echo_last": 0,
    "tokens": 0,
}
# Never told in this log, so unknown: not zero.
UNKNOWN = {"result_news_last", "since_user_closes"}


def fold(lines: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Return all signals after each event, a minute apart."""
    state, after = TaskState(), []
    for minute, line in enumerate(lines):
        head = {"task_id": "t", "event_id": str(minute)}
        at = {"at": f"2026-01-31T09:{minute:02}:00Z"}
        state.advance(parse(head | at | line))
        after.append(dict(zip(NAMES, state.read(), strict=True)))
    return after


def test_signals_are_what_their_words_say() -> None:
    """Over a short log, signals have the values a person works out."""
    after = fold(LOG)[-1]
    assert {name: after[name] for name in AFTER} == pytest.approx(AFTER)
    assert {name for name in UNKNOWN if np.isnan(after[name])} == UNKNOWN


def test_nothing_is_known_before_it_is_told() -> None:
    """A fresh task has counts of zero, and everything else is unknown."""
    fresh = dict(zip(NAMES, TaskState().read(), strict=True))
    assert fresh["steps"] == fresh["tool_errors"] == fresh["call_repeats"] == 0
    for name in ("confidence_last", "elapsed", "tool_error_rate", "account_value"):
        assert np.isnan(fresh[name])


def test_reading_changes_nothing() -> None:
    """Reading the signals twice gives them twice."""
    state = TaskState()
    state.advance(
        parse(LOG[0] | {"task_id": "t", "event_id": "0", "at": "2026-01-31T09:00:00Z"})
    )
    np.testing.assert_array_equal(state.read(), state.read())


def test_an_outcome_changes_no_signal() -> None:
    """The verdict in the middle of the log leaves every signal as it was."""
    before, after = fold(LOG)[7:9]
    assert {n: v for n, v in before.items() if v == v} == {  # noqa: PLR0124 - not NaN
        n: v
        for n, v in after.items()
        if v == v  # noqa: PLR0124
    }


def test_a_stamp_tells_the_history_and_nothing_else() -> None:
    """What is stamped into a log is read as it stands, and is no step of the agent."""
    stamp = {"kind": "history", "type_rate": 0.3, "type_excess": -0.1, "cell_n": 12}
    before, after = fold([*LOG[:2], stamp])[1:]
    told = {name: v for name, v in after.items() if name.startswith("history_")}
    assert {name: v for name, v in told.items() if not np.isnan(v)} == {
        "history_type_rate": 0.3,
        "history_type_excess": -0.1,
        "history_cell_n": 12,
    }
    for name in set(NAMES) - told.keys():
        np.testing.assert_equal(after[name], before[name])


def test_counts_never_fall() -> None:
    """Signals that count or total never go down as the task goes on."""
    rising = ["steps", "tool_errors", "hedges", "asks_for_human", "call_repeats"]
    for earlier, later in pairwise(fold(LOG)):
        assert all(earlier[name] <= later[name] for name in rising)
