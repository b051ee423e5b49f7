"""Tests of acts: what counts as done after a handover, and what was in flight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import AgentEvent, EventKind
from serving.policy.acts import TOLERANCE, Lost, acted, has_effect, is_of_the_agent

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)


def event(kind: str = "tool_call", *, at: datetime = AT, **body: Any) -> AgentEvent:
    """Return an event of the agent."""
    return AgentEvent(task_id="t", event_id="e", at=at, kind=kind, body=body)


@pytest.mark.parametrize(
    ("kind", "body", "effect"),
    [
        ("tool_call", {"tool": "refund", "is_write": True}, True),
        ("tool_call", {"tool": "refund"}, True),
        ("tool_call", {"tool": "look_up", "is_write": False}, False),
        ("tool_result", {"text": "done"}, True),
        ("agent_message", {"text": "I refunded it"}, True),
        ("plan", {"text": "refund it"}, False),
        ("usage", {"tokens_in": 3}, False),
    ],
)
def test_an_act_has_an_effect(kind: str, body: dict[str, Any], effect: bool) -> None:  # noqa: FBT001
    """Tools that may change something, and words to the user; not thoughts."""
    assert has_effect(event(kind, **body)) is effect
    late = event(kind, at=AT + timedelta(minutes=1), **body)
    assert acted(late, Lost(at=AT), AT + timedelta(minutes=1)) is effect


@pytest.mark.parametrize(
    ("after", "expected"),
    [(-MOMENT, False), (TOLERANCE, False), (TOLERANCE + MOMENT, True)],
)
def test_what_was_under_way_is_no_act(after: timedelta, expected: bool) -> None:  # noqa: FBT001
    """By its own clock, and as far as two clocks may differ, it was before."""
    arrived = AT + timedelta(hours=1)
    assert acted(event(at=AT + after), Lost(at=AT), arrived) is expected


@pytest.mark.parametrize(
    ("after", "expected"), [(TOLERANCE, False), (TOLERANCE + MOMENT, True)]
)
def test_whoever_was_told_has_no_excuse(after: timedelta, expected: bool) -> None:  # noqa: FBT001
    """What comes in later than a call is under way counts, whatever its clock says."""
    told_at = AT + timedelta(seconds=30)
    lost = Lost(at=AT, told_at=told_at)
    assert acted(event(at=AT - timedelta(days=1)), lost, told_at + after) is expected


@given(st.timedeltas(min_value=-timedelta(days=9), max_value=timedelta(seconds=2)))
def test_an_agent_that_cannot_know_is_not_blamed(before: timedelta) -> None:
    """Never told, whatever it did up to the handover is no act, however late it comes."""
    assert not acted(event(at=AT + before), Lost(at=AT), AT + timedelta(days=9))


@pytest.mark.parametrize("kind", list(EventKind))
def test_only_what_the_agent_did_is_its_own(kind: EventKind) -> None:
    """What users, people and systems of record say is nobody's act."""
    ours = {
        *("agent_message", "plan", "tool_call", "tool_result", "verifier", "retrieval"),
        *("artifact", "usage"),
    }
    assert is_of_the_agent(event(kind)) is (kind in ours)
