"""Stamps put into logs that have none: no label is used before it was known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import batch
from features.events import AgentEvent, EventKind
from training.history import stamped
from training.labels import labels_of

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def log_of(
    spans: list[tuple[int, int, bool]], *, made_up: bool = False
) -> list[AgentEvent]:
    """Return tasks as (minute of the start, minutes until its verdict, needed)."""
    log = []
    for i, (start, wait, needed) in enumerate(spans):
        at = DAY + timedelta(minutes=start)
        extra: dict[str, Any] = {"at_synthetic": True} if made_up else {}
        answer = "yes" if needed else "no"
        parts = [
            ("task_started", at, {"task_type": "refund", "domain": "d"} | extra),
            ("user_message", at + timedelta(seconds=1), {"text": "hi"} | extra),
            ("verdict", at + timedelta(minutes=wait), {"needed": answer, "by": "r"}),
        ]
        log += [
            AgentEvent(task_id=f"t{i}", event_id=kind, at=when, kind=kind, body=body)
            for kind, when, body in parts
        ]
    return log


@pytest.fixture(autouse=True)
def _settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rates be known from the first label on: what is asked here is when."""
    monkeypatch.setattr("features.history._SETTLED", 0.0)


def counts(table: pa.Table) -> dict[str, float]:
    """Return how many labels of its type each task was stamped with."""
    return {
        e.task_id: e.body["type_n"]
        for e in batch.log_events(table)
        if e.kind == EventKind.HISTORY
    }


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 60), st.booleans()),
        min_size=1,
        max_size=12,
        unique_by=lambda span: span[0],
    )
)
def test_a_task_knows_the_labels_known_when_it_began_and_no_others(
    spans: list[tuple[int, int, bool]],
) -> None:
    """Whatever the order of beginnings and verdicts."""
    events = batch.events_table(log_of(spans))
    found = counts(stamped(events, labels_of(events)))
    for i, (start, _, _) in enumerate(spans):
        known = sum(s + wait <= start for s, wait, _ in spans)
        assert found[f"t{i}"] == pytest.approx(known)


def test_without_times_a_label_is_known_after_so_many_tasks() -> None:
    """A log of made-up times is taken in its order, with a delay in tasks."""
    spans = [(0, 1, True)] * 10
    events = batch.events_table(log_of(spans, made_up=True))
    found = counts(stamped(events, labels_of(events), delay=3))
    assert list(found.values()) == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]


def test_a_given_order_is_followed() -> None:
    """Streaming evaluation draws the order of tasks anew."""
    events = batch.events_table(log_of([(i, 1, True) for i in range(4)]))
    order = ["t3", "t1", "t0", "t2"]
    found = counts(stamped(events, labels_of(events), order=order, delay=1))
    assert [found[task] for task in order] == [0, 0, 1, 2]


def test_every_other_event_stays_where_it_was() -> None:
    """Stamps come in; nothing goes and nothing moves."""
    events = batch.events_table(log_of([(5, 9, True), (0, 2, False)]))
    table = stamped(events, labels_of(events))
    kept = [e for e in batch.log_events(table) if e.kind != EventKind.HISTORY]
    assert kept == list(batch.log_events(events))
