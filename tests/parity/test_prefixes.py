"""Point-in-time truth: a row of a signals table knows what was known at its event."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from features import batch, ingest
from features.batch.records import task_key
from features.events import AgentEvent
from features.online import TaskState
from features.signals import NAMES, SIGNALS
from training.simulate import World

COUNTS = np.array([signal.unit == "count" for signal in SIGNALS])


def as_of(past: Sequence[AgentEvent]) -> NDArray[np.float64]:
    """Return the signals after `past`, folded online from nothing else."""
    state = TaskState()
    for event in past:
        state.advance(event)
    return state.read()


def check(
    log: Iterable[AgentEvent],
    folder: Path,
    *,
    n: int,
    online: Callable[[Sequence[AgentEvent]], NDArray[np.float64]] = as_of,
) -> None:
    """Hold `n` random prefixes of the log's tasks equal to the rows of batch."""
    tasks: dict[str, list[AgentEvent]] = defaultdict(list)
    for event in log:
        tasks[event.task_id].append(event)
    draw = random.Random(0)  # noqa: S311 - which prefixes, nothing secret
    write(tasks, draw, folder)
    signals = pq.read_table(folder / "signals.parquet")
    matrix = np.column_stack([signals[name].to_numpy() for name in NAMES])
    head = signals.select(["task_id", "event_id", "at", "position"]).to_pylist()
    rows = {(row["task_id"], row["event_id"]): place for place, row in enumerate(head)}
    names = sorted(tasks)
    for _ in range(n):
        task = tasks[draw.choice(names)]
        past = task[: draw.randrange(len(task)) + 1]
        seen = [event for event in past if not event.is_outcome]
        row = rows[seen[-1].task_id, seen[-1].event_id]
        assert head[row]["position"] == len(seen) - 1
        assert head[row]["at"] == seen[-1].at
        now = online(past)
        np.testing.assert_array_equal(matrix[row, COUNTS], now[COUNTS])
        np.testing.assert_allclose(matrix[row], now, rtol=1e-9, atol=0)


def write(
    tasks: dict[str, list[AgentEvent]], draw: random.Random, folder: Path
) -> None:
    """Write events and signals of a log: tasks mixed, each in its own order."""
    turns = [task_id for task_id, events in tasks.items() for _ in events]
    draw.shuffle(turns)
    left = {task_id: iter(events) for task_id, events in tasks.items()}
    log = (next(left[task_id]) for task_id in turns)
    batch.write_events(log, folder / "events.parquet")
    batch.extract(folder / "events.parquet", folder / "signals.parquet")


def test_ten_thousand_prefixes_of_a_simulated_world(tmp_path: Path) -> None:
    """Replayed online, each prefix has the row of the event it ends with."""
    check(World(seed=5).log(600), tmp_path, n=10_000)


def test_prefixes_of_real_runs(tmp_path: Path, shared_data: Path) -> None:
    """The same holds for real runs, whose texts are long and strange."""
    refused: list[ingest.Refusal] = []
    source = shared_data / "tau_runs.jsonl.gz"
    events = ingest.read("tau", [source], on_refused=refused.append)
    some = {"0", "7"}  # of the hexadecimal digits a task's hash may begin with
    log = [e for e in events if task_key(e.task_id).hex()[0] in some]
    assert len(log) > 1000
    check(log, tmp_path, n=2_000)


def test_the_check_sees_what_one_event_more_would_change(tmp_path: Path) -> None:
    """Folded one event short, prefixes no longer have the rows of batch."""
    with pytest.raises(AssertionError):
        check(
            World(seed=6).log(20),
            tmp_path,
            n=50,
            online=lambda past: as_of(past[:-1]),
        )
