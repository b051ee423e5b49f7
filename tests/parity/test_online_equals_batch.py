"""Training and serving see the same numbers: the two forms of every signal agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features import aggregates, batch, events, online, signals
from features.events import OUTCOME_KINDS, AgentEvent, EventKind
from features.past import Past

T0 = datetime(2026, 1, 1, tzinfo=UTC)

LEAVES = [
    aggregates.Last("x"),
    aggregates.First("x"),
    aggregates.Count("x"),
    aggregates.Sum("x"),
    aggregates.Mean("x"),
    aggregates.Min("x"),
    aggregates.Max("x"),
    aggregates.TailMean("x", 1),
    aggregates.TailMean("x", 3),
    aggregates.Recent("x", 1),
    aggregates.Recent("x", 3),
    aggregates.Slope("x"),
    aggregates.Streak("x"),
    aggregates.SinceLast("x"),
    aggregates.Distinct("x"),
    aggregates.Repeats("x"),
]

numbers = st.one_of(
    st.just(float("nan")),
    st.sampled_from([0.0, 1.0, 2.0]),
    st.floats(-1e6, 1e6, allow_nan=False),
)
# Few tasks are followed one by one, many together, and the last ones one by one again.
tasks = st.lists(st.lists(numbers, min_size=1, max_size=7), min_size=1, max_size=24)


def fold(leaf: aggregates.Leaf, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the leaf read after each value, folded one by one."""
    state, read = leaf.start(), []
    for position, value in enumerate(values):
        if not np.isnan(value):
            state = leaf.advance(state, float(value), position)
        read.append(leaf.read(state, position + 1))
    return np.array(read)


@pytest.mark.parametrize("leaf", LEAVES, ids=repr)
@given(logs=tasks)
def test_both_forms_of_an_aggregate_agree_to_the_bit(
    leaf: aggregates.Leaf, logs: list[list[float]]
) -> None:
    """The columnar form gives, for each prefix, what the online fold gives."""
    values = np.concatenate(logs)
    if isinstance(leaf, aggregates.Repeats | aggregates.Distinct):
        values = np.abs(values)  # keys are hashes, never negative
    lengths = np.array([len(log) for log in logs])
    pasts = Past.of(lengths, values)
    window = pasts.by_row(leaf.window(pasts))
    parts = np.split(values, np.cumsum(lengths)[:-1])
    expected = np.concatenate([fold(leaf, part) for part in parts])
    np.testing.assert_array_equal(window, expected)


words = st.sampled_from(
    [
        "",
        "yes please",
        "I want to talk to a human!",
        "This is ridiculous, still not working.",
        "I think it has been cancelled",
        "Order #W123, or if not, #W124?",
        "ok",
    ]
)
arguments = st.sampled_from(
    ["W123", {"order_id": "#W124"}, {"a": [1, {"b": "W9"}]}, None]
)
unit = st.floats(0, 1)


def body_of(kind: str) -> st.SearchStrategy[dict[str, object]]:
    """Return bodies of one kind, now full, now bare."""
    fields: dict[str, st.SearchStrategy[object]] = {"text": words}
    required: dict[str, st.SearchStrategy[object]] = {}
    match kind:
        case EventKind.TASK_STARTED:
            fields["account"] = st.fixed_dictionaries({"value": st.floats(0, 1e6)})
        case EventKind.AGENT_MESSAGE:
            fields["confidence"] = st.fixed_dictionaries({"value": unit})
            fields["interpretations"] = st.integers(0, 4)
        case EventKind.TOOL_CALL:
            required["tool"] = st.sampled_from(
                ["get_order", "cancel", "transfer_to_human"]
            )
            fields |= {"arguments": arguments, "is_write": st.booleans()}
            fields["call_id"] = st.sampled_from(["c1", "c2"])
        case EventKind.TOOL_RESULT:
            fields |= {"error": st.booleans(), "latency_ms": st.floats(0, 9e3)}
            fields["call_id"] = st.sampled_from(["c1", "c2"])
        case EventKind.VERIFIER:
            fields |= {"score": unit, "agree": st.booleans()}
        case EventKind.USAGE:
            fields |= {"tokens_in": st.integers(0, 9), "cost": unit}
        case EventKind.VERDICT:
            required["needed"] = st.sampled_from(["yes", "no"])
        case _:
            pass
    return st.fixed_dictionaries(required, optional=fields)


@st.composite
def task_log(draw: st.DrawFn, task_id: str = "t") -> list[AgentEvent]:
    """Return one task's log, outcome events strewn in."""
    kinds = draw(st.lists(st.sampled_from([*EventKind, "own_kind"]), max_size=14))
    at, log = T0, []
    for index, kind in enumerate(kinds):
        at += timedelta(seconds=draw(st.integers(0, 600)))
        line = {"task_id": task_id, "event_id": str(index), "kind": str(kind)}
        body = draw(body_of(kind))
        if kind == EventKind.AUDIT_VERDICT:
            body |= {"needed": "no", "propensity": 0.5}
        log.append(events.parse(line | body | {"at": at.isoformat()}))
    return log


def online_rows(log: list[AgentEvent]) -> NDArray[np.float64]:
    """Return the signals after each non-outcome event, folded online."""
    state, rows = online.TaskState(), []
    for event in log:
        state.advance(event)
        if not event.is_outcome:
            rows.append(state.read())
    return np.array(rows).reshape(-1, len(signals.SIGNALS))


@settings(max_examples=60)
@given(st.tuples(task_log("a"), task_log("b"), task_log("c")))
def test_every_prefix_of_every_task_has_the_batch_row(
    logs: tuple[list[AgentEvent], ...],
) -> None:
    """Folding online up to any event gives the row that batch gives for it."""
    table = batch.signals_table(batch.events_table([e for log in logs for e in log]))
    matrix = np.column_stack([table[name].to_numpy() for name in signals.NAMES])
    expected = np.vstack([online_rows(log) for log in logs])
    np.testing.assert_array_equal(matrix, expected)


@settings(max_examples=60)
@given(task_log())
def test_outcomes_never_reach_a_signal(log: list[AgentEvent]) -> None:
    """Dropping every outcome event changes no signal of the events that remain."""
    kept = [event for event in log if event.kind not in OUTCOME_KINDS]
    np.testing.assert_array_equal(online_rows(log), online_rows(kept))


@settings(max_examples=60)
@given(task_log(), task_log())
def test_nothing_after_the_prefix_reaches_a_signal(
    past: list[AgentEvent], other: list[AgentEvent]
) -> None:
    """Whatever follows, the rows of a prefix stay what they were."""
    future = [
        events.parse(e.to_json() | {"event_id": f"later-{e.event_id}"}) for e in other
    ]
    table = batch.signals_table(batch.events_table([*past, *future]))
    matrix = np.column_stack([table[name].to_numpy() for name in signals.NAMES])
    before = online_rows(past)
    np.testing.assert_array_equal(matrix[: len(before)], before)


def test_an_event_sent_twice_counts_once() -> None:
    """The events table keeps the first of two events with one id."""
    log = [
        events.parse(
            {"task_id": "t", "event_id": "1", "at": T0.isoformat(), "kind": kind}
        )
        for kind in ("user_message", "agent_message")
    ]
    assert batch.events_table(log)["kind"].to_pylist() == ["user_message"]


def test_the_events_table_survives_the_disk(tmp_path: Path) -> None:
    """Events read back from Parquet equal those written, and signal the same."""
    log = [
        events.parse(
            {
                "task_id": t,
                "event_id": str(i),
                "at": T0.isoformat(),
                "kind": "user_message",
                "text": f"w {i}",
                "own": {"x": [1]},
            }
        )
        for i in range(3)
        for t in ("a", "b")
    ]
    path = tmp_path / "deep" / "events.parquet"
    assert batch.write_events(log, path) == 6
    table = batch.read_events(path)
    assert sorted(table["task_id"].to_pylist()) == ["a"] * 3 + ["b"] * 3
    assert sorted(batch.log_events(table), key=log.index) == log


def test_another_file_is_refused_with_advice(tmp_path: Path) -> None:
    """A file that is no events table is refused, saying how to make one."""
    path = tmp_path / "x.parquet"
    path.write_text("nope")
    with pytest.raises(batch.EventsTableError, match="escalon ingest"):
        batch.read_events(path)
