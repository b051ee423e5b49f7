from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import (
    EventsTableError,
    events_table,
    extract,
    kept,
    local,
    part,
    read_events,
    signals_table,
    table,
    write_events,
)
from features.events import OUTCOME_KINDS, AgentEvent
from features.signals import NAMES

T0 = datetime(2026, 3, 1, 8, tzinfo=UTC)
KINDS = ("user_message", "agent_message", "tool_call", "verifier", "verdict", "own")


def event(task: int, number: int, kind: str = "plan", score: float = 0.5) -> AgentEvent:
    """Return an event; its time runs with its number."""
    return AgentEvent(
        task_id=f"t{task}",
        event_id=str(number),
        at=T0 + timedelta(seconds=number),
        kind=kind,
        body={"text": "no, I think not", "tool": "f", "score": score},
    )


def log_of(n_tasks: int, n_events: int = 6) -> list[AgentEvent]:
    """Return a log of tasks whose events interleave."""
    return [
        event(task, number, KINDS[(task + number) % len(KINDS)], number / 10)
        for number in range(n_events)
        for task in range(n_tasks)
    ]


def rows_of(path: Path) -> pa.Table:
    """Return the signals table at `path`, with the columns of `signals_table`."""
    found = pq.read_table(path)
    return found.drop_columns(["task_digest"])


def assert_same(found: pa.Table, expected: pa.Table) -> None:
    """Hold two signals tables equal, row for row and to the bit."""
    assert found.column_names == expected.column_names
    for name in expected.column_names:
        if name in NAMES:
            np.testing.assert_array_equal(
                found[name].to_numpy(), expected[name].to_numpy(), err_msg=name
            )
        else:
            assert found[name].to_pylist() == expected[name].to_pylist(), name


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("rows", [1, 20, 10_000])
def test_the_file_holds_the_signals_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, rows: int
) -> None:
    """In however many parts and processes, the rows are those made in memory."""
    monkeypatch.setattr("features.batch.extraction.ROWS_OF_A_PART", rows)
    monkeypatch.setattr("features.batch.write.ROWS_AT_ONCE", rows)
    source, target = tmp_path / "e.parquet", tmp_path / "new" / "s.parquet"
    write_events(log_of(30), source)
    with local(processes) as engine:
        done = extract(source, target, engine=engine)
    expected = signals_table(read_events(source))
    assert_same(rows_of(target), expected)
    assert (done.rows, done.computed, done.kept) == (expected.num_rows, 30, 0)
    assert [p.name for p in target.parent.iterdir()] == ["s.parquet"]


def test_an_empty_log_has_a_table_of_no_rows(tmp_path: Path) -> None:
    """Nothing in, nothing out, and the columns are all there; twice as well."""
    write_events([], tmp_path / "e.parquet")
    for _ in range(2):
        done = extract(tmp_path / "e.parquet", tmp_path / "s.parquet")
        assert (done.rows, done.computed, done.kept) == (0, 0, 0)
    assert rows_of(tmp_path / "s.parquet").column_names[5:] == list(NAMES)


changes = st.lists(
    st.tuples(
        st.integers(0, 14), st.integers(0, 7), st.sampled_from(KINDS), st.floats(0, 1)
    ),
    max_size=12,
)


def with_changes(
    log: Sequence[AgentEvent], found: list[tuple[int, int, str, float]]
) -> list[AgentEvent]:
    """Return `log` with events changed, or added where there was none."""
    by_id = {(e.task_id, e.event_id): e for e in log}
    for change in found:
        changed = event(*change)
        by_id[changed.task_id, changed.event_id] = changed
    return list(by_id.values())


def visible(log: Sequence[AgentEvent]) -> dict[str, list[AgentEvent]]:
    """Return what signals may see, by task."""
    tasks: dict[str, list[AgentEvent]] = {}
    for e in log:
        if e.kind not in OUTCOME_KINDS:
            tasks.setdefault(e.task_id, []).append(e)
    return tasks


@settings(max_examples=25)
@given(first=changes, later=changes, rows=st.sampled_from([9, 1000]))
def test_a_grown_log_gives_what_a_full_run_gives(
    first: list[tuple[int, int, str, float]],
    later: list[tuple[int, int, str, float]],
    rows: int,
) -> None:
    """Only tasks whose visible events changed are computed; the table is the same."""
    before = with_changes(log_of(8, 4), first)
    after = with_changes(before, later)
    old, new = visible(before), visible(after)
    unchanged = sum(old.get(task) == events for task, events in new.items())
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("features.batch.extraction.ROWS_OF_A_PART", rows)
        patch.setattr("features.batch.write.ROWS_AT_ONCE", rows)
        source, target = Path(name) / "e.parquet", Path(name) / "s.parquet"
        write_events(before, source)
        extract(source, target)
        write_events(after, source)
        done = extract(source, target)
        assert done.anew is None
        # A score changes nothing but in a verifier's event: then no signal does.
        assert done.kept >= unchanged
        assert done.kept + done.computed == len(new)
        again = pq.read_table(target)
        full = extract(source, Path(name) / "full.parquet", full=True)
        assert (full.kept, full.computed) == (0, len(new))
        assert_same(rows_of(target), signals_table(read_events(source)))
        assert again["task_digest"].equals(
            pq.read_table(Path(name) / "full.parquet")["task_digest"]
        )


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": "other"},
        {"at": T0 + timedelta(days=1)},
        {"kind": "user_message"},
        {"body": {"score": 0.25}},
    ],
    ids=str,
)
def test_whatever_of_an_event_changes_its_task_is_computed(
    tmp_path: Path, change: dict[str, object]
) -> None:
    """Id, time, kind or a source: each alone is a change, of that task alone."""
    source, target = tmp_path / "e.parquet", tmp_path / "s.parquet"
    # Times that a log did not tell are no source, but they stand in the row.
    log = [
        replace(event(task, number, "verifier"), body={"at_synthetic": True})
        for task in range(5)
        for number in range(3)
    ]
    write_events(log, source)
    extract(source, target)
    log[4] = replace(log[4], **change)
    write_events(log, source)
    done = extract(source, target)
    assert (done.computed, done.kept) == (1, 4)
    assert_same(rows_of(target), signals_table(read_events(source)))


def test_full_computes_every_task(tmp_path: Path) -> None:
    """Asked for all, nothing is kept."""
    write_events(log_of(5), tmp_path / "e.parquet")
    extract(tmp_path / "e.parquet", tmp_path / "s.parquet")
    done = extract(tmp_path / "e.parquet", tmp_path / "s.parquet", full=True)
    assert (done.computed, done.kept, done.anew) == (5, 0, None)


def _of_another_schema(path: Path) -> None:
    found = pq.read_table(path)
    other = kept.FILE_SCHEMA.metadata | {b"signals": b"0" * 64}
    pq.write_table(found.replace_schema_metadata(other), path)


def _of_other_columns(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns([NAMES[0]]), path)


def _in_another_order(path: Path) -> None:
    found = pq.read_table(path)
    pq.write_table(found.take(list(range(found.num_rows))[::-1]), path)


def _mixed_up(path: Path) -> None:
    found = pq.read_table(path)
    n = found.num_rows
    pq.write_table(found.take([*range(0, n, 2), *range(1, n, 2)]), path)


def _no_table(path: Path) -> None:
    path.write_text("a,b")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_of_another_schema, "another schema"),
        (_of_other_columns, "other columns"),
        (_in_another_order, "another order"),
        (_mixed_up, "do not stand together"),
        (_no_table, "no Parquet file"),
    ],
)
def test_a_table_that_cannot_be_built_on_is_made_anew(
    tmp_path: Path, spoil: object, says: str
) -> None:
    """Of other signals, order or form: all is computed, and it is said why."""
    source, target = tmp_path / "e.parquet", tmp_path / "s.parquet"
    write_events(log_of(9), source)
    extract(source, target)
    assert callable(spoil)
    spoil(target)
    done = extract(source, target)
    assert (done.computed, done.kept) == (9, 0)
    assert says in str(done.anew)
    assert_same(rows_of(target), signals_table(read_events(source)))
    assert extract(source, target).kept == 9


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_tables_that_others_wrote_are_read_whatever_their_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Row groups that part tasks, and tasks in another order, change no number."""
    monkeypatch.setattr(part, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(part, "ROWS_OF_A_PART", 4)
    events = events_table(log_of(12))
    source, target = tmp_path / "e.parquet", tmp_path / "s.parquet"
    pq.write_table(events, source, row_group_size=size)
    extract(source, target)
    assert_same(rows_of(target), signals_table(events))
    assert "order" in str(extract(source, target).anew)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_table_whose_tasks_stand_apart_is_refused(tmp_path: Path, size: int) -> None:
    """Rows of one task in two places are refused by its name; nothing is written."""
    found = events_table(log_of(4)).sort_by("event_id")
    source, target = tmp_path / "e.parquet", tmp_path / "s.parquet"
    pq.write_table(found, source, row_group_size=size)
    with pytest.raises(EventsTableError, match=r"task 't\d' stand apart.*ingest"):
        extract(source, target)
    assert not target.exists()


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    """A type that cannot be read stops the run by the column's name."""
    found = events_table(log_of(3))
    index = found.column_names.index("source.step")
    found = found.set_column(index, "source.step", pa.array(["x"] * found.num_rows))
    pq.write_table(found, tmp_path / "e.parquet")
    with pytest.raises(EventsTableError, match=r"source\.step must be double"):
        extract(tmp_path / "e.parquet", tmp_path / "s.parquet")


def test_an_error_in_a_process_is_the_error_of_the_run(tmp_path: Path) -> None:
    """What goes wrong in another process is raised here, and leaves nothing."""
    found = events_table(log_of(6))
    index = found.column_names.index("source.step")
    found = found.set_column(index, "source.step", pa.array(["x"] * found.num_rows))
    pq.write_table(found, tmp_path / "e.parquet", row_group_size=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("features.batch.extraction.ROWS_OF_A_PART", 6)
        with (
            pytest.raises(EventsTableError, match=r"source\.step must be double"),
            local(2) as engine,
        ):
            extract(tmp_path / "e.parquet", tmp_path / "s.parquet", engine=engine)
    assert [p.name for p in tmp_path.iterdir()] == ["e.parquet"]


def test_progress_reaches_the_number_of_events(tmp_path: Path) -> None:
    """Events are told as they are done, of how many."""
    n = write_events(log_of(20), tmp_path / "e.parquet")
    told: list[tuple[int, int | None]] = []
    extract(
        tmp_path / "e.parquet",
        tmp_path / "s.parquet",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (n, n)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=9), size=st.integers(1, 7)
)
def test_whole_tasks_are_cut_from_batches_of_any_size(
    lengths: list[int], size: int
) -> None:
    """Each table holds whole tasks, and together they are what came."""
    ids = np.repeat([f"t{n}" for n in range(len(lengths))], lengths).tolist()
    rows = pa.table({"task_id": ids, "x": list(range(len(ids)))})
    found = list(part.whole_tasks(rows.to_batches(max_chunksize=size), 6))
    assert pa.concat_tables(found).to_pydict() == rows.to_pydict()
    held = [set(t["task_id"].to_pylist()) for t in found]
    assert sum(map(len, held)) == len(set().union(*held))
    assert table.starts_of(np.array(ids)).tolist() == table.task_starts(rows).tolist()
