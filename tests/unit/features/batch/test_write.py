from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.batch import events_table, read_events, write, write_events
from features.batch.records import encoded, task_key
from features.batch.spill import lines_of, spill
from features.events import AgentEvent

T0 = datetime(2026, 3, 1, 8, tzinfo=UTC)
KINDS = ("user_message", "agent_message", "tool_call", "tool_result", "verdict")


@pytest.fixture(autouse=True)
def _tiny() -> Iterator[None]:
    """Spill what a test writes, into parts of about a kilobyte."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "_SMALL", 400)
        patch.setattr(write, "_AT_ONCE", 1200)
        yield


def event(task: int, number: int, kind: str = "plan", text: str = "") -> AgentEvent:
    """Return an event with a text."""
    return AgentEvent(
        task_id=f"t{task}",
        event_id=str(number),
        at=T0,
        kind=kind,
        body={"text": text, "tool": "f"},
    )


def simple(log: Sequence[AgentEvent]) -> pa.Table:
    """Return the table of a log by its definition: all at once, in memory."""
    return events_table(sorted(log, key=lambda event: task_key(event.task_id)))


def interleaved(n_tasks: int, n_events: int) -> Iterator[AgentEvent]:
    """Yield the events of many tasks, one of each in turn."""
    for number in range(n_events):
        for task in range(n_tasks):
            yield event(task, number, KINDS[number % 5], f"number {number}, please")


logs = st.lists(
    st.builds(
        event,
        st.integers(0, 12),
        st.integers(0, 9),
        st.sampled_from(KINDS),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    ),
    max_size=80,
)


@given(log=logs)
def test_any_interleaving_gives_the_table_of_the_definition(
    log: list[AgentEvent],
) -> None:
    """Spilled and parted or not, the file holds what grouping in memory gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        expected = simple(log)
        assert write_events(iter(log), path) == expected.num_rows
        assert read_events(path).equals(expected)
        assert [p.name for p in Path(folder).iterdir()] == [path.name]


def test_of_two_events_with_one_id_the_first_is_kept(tmp_path: Path) -> None:
    """A repeated event is left out, however far apart the two were sent."""
    first, again = event(1, 1, text="first"), event(1, 1, text="again")
    between = [event(task, 5, text="x" * 100) for task in range(2, 60)]
    path = tmp_path / "e.parquet"
    assert write_events([first, *between, again], path) == 59
    bodies = read_events(path)["body"].to_pylist()
    assert any("first" in body for body in bodies)
    assert not any("again" in body for body in bodies)


def test_a_row_group_never_parts_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task is inside one row group, though there are many; a long one too."""
    monkeypatch.setattr(write, "ROWS_AT_ONCE", 10)
    path = tmp_path / "e.parquet"
    log = [*interleaved(30, 4), *(event(99, n) for n in range(50))]
    write_events(log, path)
    with pq.ParquetFile(path) as file:
        groups = [
            set(file.read_row_group(n)["task_id"].to_pylist())
            for n in range(file.num_row_groups)
        ]
    assert len(groups) > 5
    assert sum(map(len, groups)) == len(set().union(*groups)) == 31
    assert {"t99"} in groups


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_no_bucket_is_too_large_unless_it_is_one_task(sizes: list[int]) -> None:
    """What one process holds is bounded, and every line is in one bucket."""
    log = [
        event(t, n, text="word") for t, size in enumerate(sizes) for n in range(size)
    ]
    lines = [encoded(e) for e in log]
    most = 500
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for bucket in spill(iter(lines), Path(folder), most=most):
            found += lines_of(bucket.path)
            assert bucket.size == bucket.path.stat().st_size
            assert bucket.size <= most or not bucket.is_mixed
            bucket.path.unlink()
    assert sorted(found) == sorted(lines)


def test_several_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """The file does not tell how many processes made it."""
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    write_events(interleaved(60, 4), one)
    write_events(interleaved(60, 4), two, processes=2)
    assert one.read_bytes() == two.read_bytes()


class BrokenLogError(Exception):
    """A log that cannot be read to its end."""


def test_a_log_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    """The file there is untouched, and no temporary file remains."""
    path = tmp_path / "e.parquet"
    write_events(interleaved(3, 3), path)
    before = path.read_bytes()

    def breaking() -> Iterator[AgentEvent]:
        yield from interleaved(50, 3)
        raise BrokenLogError

    with pytest.raises(BrokenLogError):
        write_events(breaking(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_dies_leaves_the_old_file(tmp_path: Path) -> None:
    """Ended in the middle of the writing, the old table is still there and whole."""
    path = tmp_path / "e.parquet"
    write_events(interleaved(3, 3), path)
    before = path.read_bytes()
    code = (
        "import os, pathlib, sys\n"
        "from features import batch\n"
        "events = batch.log_events(batch.read_events(pathlib.Path(sys.argv[1])))\n"
        "def dying():\n"
        "    yield next(events)\n"
        "    os._exit(9)\n"
        "batch.write_events(dying(), pathlib.Path(sys.argv[1]))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert ended.returncode == 9
    assert path.read_bytes() == before
    assert read_events(path).num_rows == 9


def test_progress_tells_rows_and_once_known_of_how_many(tmp_path: Path) -> None:
    """Every row is told, the last time with the total."""
    told: list[tuple[int, int | None]] = []
    n = write_events(
        interleaved(40, 5),
        tmp_path / "e.parquet",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (n, n)
    counts = [done for done, total in told if total is not None]
    assert counts == sorted(counts)
    assert len(counts) > 2
