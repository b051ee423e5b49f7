from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.batch import (
    SCHEMA,
    EventsTableError,
    columnar,
    events_table,
    log_events,
    read_events,
    signal_matrix,
    signals_table,
    starts_of,
    without_outcomes,
    write_events,
)
from features.batch.records import task_key
from features.events import AgentEvent, EventKind
from features.signals import NAMES
from features.sources import SOURCES

T0 = datetime(2026, 1, 31, 9, tzinfo=UTC)


def event(
    task_id: str, event_id: str, kind: str = "user_message", **body: Any
) -> AgentEvent:
    """Return an event; its time runs with its id where that is a number."""
    after = timedelta(seconds=int(event_id) if event_id.isdecimal() else 0)
    return AgentEvent(
        task_id=task_id, event_id=event_id, at=T0 + after, kind=kind, body=body
    )


LOG = [
    event("b", "0", text="hello there"),
    event("a", "0", "task_started", text="cancel it", own={"x": [1, None]}),
    event("b", "1", "agent_message", text="hm", confidence={"value": 0.5}),
    event("a", "1", EventKind.VERDICT, needed="yes"),
    event("b", "2", "robot_moved"),
    event("a", "2", "tool_call", tool="cancel", is_write=True),
    event("a", "3", EventKind.COMPLETED),
]


def in_file_order(event: AgentEvent) -> bytes:
    """Return by what a file orders the tasks."""
    return task_key(event.task_id)


def test_tasks_stand_together_in_log_order() -> None:
    """Interleaved tasks are parted, each in its log's order, first come first."""
    table = events_table(iter(LOG))
    assert table["task_id"].to_pylist() == ["b"] * 3 + ["a"] * 4
    assert table["event_id"].to_pylist() == ["0", "1", "2", "0", "1", "2", "3"]
    assert table.schema.equals(SCHEMA, check_metadata=True)


def test_log_order_wins_over_time() -> None:
    """Events keep the log's order even where their times run backward."""
    late, early = event("t", "9"), event("t", "1")
    assert events_table([late, early])["event_id"].to_pylist() == ["9", "1"]


def test_what_an_event_gives_is_a_column() -> None:
    """Each source has a column, null where the event gives nothing."""
    table = events_table(LOG)
    assert {f"source.{name}" for name in SOURCES} <= set(table.column_names)
    confidence = table["source.confidence"].to_pylist()
    assert confidence == [None, 0.5, None, None, None, None, None]
    assert table["source.step"].to_pylist() == [1, 1, None, 1, None, 1, None]


def test_a_task_sent_in_two_parts_is_read_as_one() -> None:
    """What a later event refers to is remembered across other tasks' events."""
    table = events_table(
        [
            event("a", "0", text="yes, go on"),
            event("b", "0", text="no"),
            event("a", "1", "tool_call", tool="cancel", is_write=True),
        ]
    )
    assert table["source.unconfirmed_write"].to_pylist() == [None, 0.0, None]


def test_nobody_is_an_empty_table() -> None:
    """Without events there is a table without rows, and signals without rows."""
    table = events_table([])
    assert table.num_rows == 0
    signals = signals_table(table)
    assert signals.num_rows == 0
    assert signals.column_names[5:] == list(NAMES)
    assert signal_matrix(table).shape == (0, len(NAMES))


def test_outcomes_alone_give_no_signals() -> None:
    """A task of which only outcomes are known has no row of signals."""
    table = events_table([event("t", "0", EventKind.VERDICT, needed="no")])
    assert signals_table(table).num_rows == 0


def test_signals_have_a_row_for_each_event_that_is_no_outcome() -> None:
    """Rows follow the log without outcomes, with their place in their task."""
    signals = signals_table(events_table(LOG))
    assert signals.column_names == [
        *("task_id", "event_id", "at", "kind", "position"),
        *NAMES,
    ]
    assert signals["task_id"].to_pylist() == ["b", "b", "b", "a", "a"]
    assert signals["event_id"].to_pylist() == ["0", "1", "2", "0", "2"]
    assert signals["position"].to_pylist() == [0, 1, 2, 0, 1]
    assert signals["steps"].to_pylist() == [1, 2, 2, 1, 2]
    assert {str(signals.schema.field(name).type) for name in NAMES} == {"double"}
    assert np.isnan(signals["confidence_last"].to_numpy()[[0, 3]]).all()


def test_without_outcomes_drops_all_of_them_and_nothing_else() -> None:
    """Every outcome kind goes, every other kind, known or not, stays."""
    kinds = [*EventKind, "own"]
    log = [event("t", str(i), kind, tool="f") for i, kind in enumerate(kinds)]
    kept = without_outcomes(events_table(log))["kind"].to_pylist()
    assert kept == [e.kind for e in log if not e.is_outcome]


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_memory_bounds_change_no_number(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """In however small blocks it is computed, the table is the same to the bit."""
    rng = np.random.default_rng(0)
    kinds = ["user_message", "agent_message", "tool_result", "verifier", "plan"]
    log = [
        event(f"t{task}", str(i), str(kind), text="I think not", score=float(score))
        for task in range(9)
        for i, (kind, score) in enumerate(
            zip(rng.choice(kinds, 1 + task), rng.random(1 + task), strict=True)
        )
    ]
    table = events_table(log)
    whole = signal_matrix(table)
    monkeypatch.setattr(columnar, "ROWS_AT_ONCE", rows)
    np.testing.assert_array_equal(signal_matrix(table), whole)


@given(st.lists(st.integers(1, 4), max_size=8))
def test_starts_are_where_runs_begin(lengths: list[int]) -> None:
    """The first row of each run of equal ids, none for no rows."""
    ids = np.repeat(
        np.array([f"t{i}" for i in range(len(lengths))], dtype=str), lengths
    )
    expected = np.cumsum([0, *lengths])[:-1]
    np.testing.assert_array_equal(starts_of(ids), expected)


# --- the file ----------------------------------------------------------------


def test_a_file_holds_the_log_again(tmp_path: Path) -> None:
    """Events written and read back are the events, bodies and times included."""
    path = tmp_path / "new" / "events.parquet"
    assert write_events(LOG, path) == len(LOG)
    again = list(log_events(read_events(path)))
    assert sorted(again, key=lambda e: (e.task_id, e.event_id)) == sorted(
        LOG, key=lambda e: (e.task_id, e.event_id)
    )
    assert all(e.at.utcoffset() == timedelta(0) for e in again)
    assert read_events(path).equals(events_table(sorted(LOG, key=in_file_order)))


def test_times_of_any_zone_and_microsecond_survive(tmp_path: Path) -> None:
    """A time is the same instant after the file, to the microsecond."""
    at = datetime.fromisoformat("2026-01-31T23:30:00.123456-05:00")
    sent = AgentEvent(task_id="t", event_id="e", at=at, kind="plan")
    write_events([sent], tmp_path / "e.parquet")
    (again,) = log_events(read_events(tmp_path / "e.parquet"))
    assert again.at == at


def test_columns_that_others_added_are_left_out(tmp_path: Path) -> None:
    """A table with columns of somebody's own is read without them."""
    path = tmp_path / "e.parquet"
    table = events_table(LOG)
    pq.write_table(table.append_column("mine", pa.array([1] * len(LOG))), path)
    assert read_events(path).column_names == SCHEMA.names


def test_a_table_of_another_version_is_refused(tmp_path: Path) -> None:
    """A table that lacks a source is refused, naming what it lacks."""
    path = tmp_path / "e.parquet"
    pq.write_table(events_table(LOG).drop_columns(["source.step"]), path)
    with pytest.raises(
        EventsTableError, match=r"lacks \['source.step'\].*escalon ingest"
    ):
        read_events(path)


def test_a_table_with_columns_of_another_type_is_refused(tmp_path: Path) -> None:
    """A column that cannot be what it must be is refused with both types."""
    path = tmp_path / "e.parquet"
    table = events_table(LOG)
    index = table.column_names.index("source.step")
    text = pa.array(["many"] * len(LOG))
    pq.write_table(table.set_column(index, "source.step", text), path)
    with pytest.raises(
        EventsTableError, match=r"source\.step must be double, found string"
    ):
        read_events(path)


def test_types_that_other_writers_choose_are_read(tmp_path: Path) -> None:
    """Large strings, nanoseconds and whole numbers are read as declared."""
    path = tmp_path / "e.parquet"
    table = events_table(LOG)
    others = {
        "task_id": pa.large_string(),
        "at": pa.timestamp("ns", tz="UTC"),
        "source.step": pa.int64(),
    }
    fields = [pa.field(f.name, others.get(f.name, f.type)) for f in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), path)
    assert read_events(path).equals(table)


@pytest.mark.parametrize("make", ["nothing", "directory", "text"])
def test_what_is_no_table_is_refused_with_advice(tmp_path: Path, make: str) -> None:
    """A missing file, a directory or another format is refused, saying what to do."""
    path = tmp_path / "events.parquet"
    if make == "directory":
        path.mkdir()
    if make == "text":
        path.write_text("a,b\n1,2\n")
    with pytest.raises(EventsTableError, match="escalon ingest") as caught:
        read_events(path)
    assert str(path) in str(caught.value)
