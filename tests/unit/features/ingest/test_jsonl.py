from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from features.events import AgentEvent, EventKind
from features.ingest import jsonl
from features.ingest._files.intake import Intake, Refusal
from features.ingest._files.sources import Source

HEAD = {"task_id", "event_id", "at", "kind"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts.filter(bool)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=8,
)
zones = st.integers(-23, 23).map(lambda h: timezone(timedelta(hours=h)))
own_kinds = names.filter(lambda kind: kind not in set(EventKind))
bodies = st.dictionaries(texts.filter(lambda k: k not in HEAD), values, max_size=4)
known = st.builds(
    AgentEvent,
    task_id=names,
    event_id=names,
    at=st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=zones),
    kind=st.just(EventKind.TOOL_CALL),
    body=st.fixed_dictionaries({"tool": names, "arguments": values}),
)
others = st.builds(
    AgentEvent,
    task_id=names,
    event_id=names,
    at=st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=zones),
    kind=own_kinds,
    body=bodies,
)


@given(st.lists(known | others, max_size=5))
def test_what_was_written_is_read_back(events: list[AgentEvent]) -> None:
    """The wire form, a line each, gives back equal events and digests in order."""
    log = b"\n".join(orjson.dumps(event.to_json()) for event in events)
    refused: list[Refusal] = []
    source = Source(Path("log"), io.BytesIO(log))
    source.begin()
    back = list(jsonl.events(Intake(source=source, on_refused=refused.append)))
    assert refused == []
    assert back == events
    assert [e.digest() for e in back] == [e.digest() for e in events]


def line(task: str, event_id: str) -> dict[str, str]:
    return {
        "task_id": task,
        "event_id": event_id,
        "at": "2026-01-01T00:00:00Z",
        "kind": "k",
    }


def test_interleaved_tasks_come_in_file_order(take: Callable[..., Any]) -> None:
    """The file's order is kept; grouping by task is left to who stores the events."""
    landed = take("jsonl", line("a", "1"), line("b", "1"), line("a", "2"))
    assert [(e.task_id, e.event_id) for e in landed.events] == [
        ("a", "1"),
        ("b", "1"),
        ("a", "2"),
    ]
    assert landed.events[0].at == datetime(2026, 1, 1, tzinfo=UTC)


def test_refusal_names_the_event_and_the_field(take: Callable[..., Any]) -> None:
    """A broken contract is told with event, field, expectation and what was found."""
    bad = line("a", "7") | {"kind": "verifier", "score": 2}
    (refusal,) = take("jsonl", bad).refusals
    assert refusal.event_id == "7"
    assert refusal.error == "event '7': `score` must be a number in [0, 1], found 2"
