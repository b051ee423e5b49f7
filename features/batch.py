"""Events table in, signals table out: the columnar form of the catalogue.

The events table is laid out by task, in log order, and carries one column per source,
so the batch needs neither a sort nor a second reading of any text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.aggregates import combined, leaves
from features.events import OUTCOME_KINDS, AgentEvent
from features.signals import NAMES, SIGNALS
from features.sources import SOURCES, Reader

_FORMAT = "escalon.events/1"
_HEAD = (
    pa.field("task_id", pa.string()),
    pa.field("event_id", pa.string()),
    pa.field("at", pa.timestamp("us", tz="UTC")),
    pa.field("kind", pa.string()),
    pa.field("body", pa.string()),
)
# A source may be called like a column of the log itself ("at"), hence the prefix.
_SOURCE_PREFIX = "source."
SCHEMA = pa.schema(
    [*_HEAD, *(pa.field(_SOURCE_PREFIX + name, pa.float64()) for name in SOURCES)],
    metadata={"format": _FORMAT},
)
_CELLS_AT_ONCE = 1_000_000  # cells of one padded matrix: bounds memory, not results


class EventsTableError(ValueError):
    """A file that is not an events table of this version."""


def _by_task(events: Iterable[AgentEvent]) -> dict[str, list[AgentEvent]]:
    tasks: dict[str, list[AgentEvent]] = {}
    for event in events:
        tasks.setdefault(event.task_id, []).append(event)
    return tasks


def _task_columns(tasks: Iterable[list[AgentEvent]]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for task in tasks:
        reader = Reader()
        for event in task:
            values = reader.read(event)
            columns["task_id"].append(event.task_id)
            columns["event_id"].append(event.event_id)
            columns["at"].append(event.at)
            columns["kind"].append(str(event.kind))
            columns["body"].append(orjson.dumps(event.body, default=str).decode())
            for name in SOURCES:
                columns[_SOURCE_PREFIX + name].append(values.get(name))
    return columns


def events_table(events: Iterable[AgentEvent]) -> pa.Table:
    """Return `events` as an events table: grouped by task, in log order.

    An event whose id its task already has is left out: sending twice changes nothing.
    """
    tasks = (
        list({event.event_id: event for event in reversed(task)}.values())[::-1]
        for task in _by_task(events).values()
    )
    return pa.table(_task_columns(tasks), schema=SCHEMA)


def write_events(events: Iterable[AgentEvent], path: Path) -> int:
    """Write `events` as an events table (Parquet) to `path`; return the row count."""
    table = events_table(events)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    return int(table.num_rows)


def read_events(path: Path) -> pa.Table:
    """Return the events table at `path`.

    Raises
    ------
    EventsTableError
        If the file is missing or not an events table; says how to make one.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        msg = (
            f"{path} cannot be read as an events table ({error}); "
            "make one with `escalon ingest --out events.parquet`"
        )
        raise EventsTableError(msg) from error
    absent = [name for name in SCHEMA.names if name not in table.column_names]
    if absent:
        msg = (
            f"{path} is not an events table of this version: it lacks {absent[:5]}; "
            "make it anew with `escalon ingest`"
        )
        raise EventsTableError(msg)
    return _as_declared(path, table.select(SCHEMA.names))


def _as_declared(path: Path, table: pa.Table) -> pa.Table:
    """Return `table` with the types of the schema; other writers choose their own."""
    for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True):
        try:
            table[name].cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            msg = (
                f"{path}: column {name} must be {kind}, found {table[name].type}; "
                "make it anew with `escalon ingest`"
            )
            raise EventsTableError(msg) from error
    return table.cast(SCHEMA)


def log_events(table: pa.Table) -> Iterator[AgentEvent]:
    """Yield the events that an events table holds, in its order."""
    for row in table.select([f.name for f in _HEAD]).to_pylist():
        yield AgentEvent(
            task_id=row["task_id"],
            event_id=row["event_id"],
            at=row["at"],
            kind=row["kind"],
            body=orjson.loads(row["body"]),
        )


def starts_of(task_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each run of equal ids begins, shape (n_tasks,)."""
    changed = task_ids[1:] != task_ids[:-1]
    return (
        np.flatnonzero(np.concatenate([[True], changed]))
        if len(task_ids)
        else (np.empty(0, dtype=np.int64))
    )


def _blocks(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield indices of tasks of like length, so that padding stays small."""
    order = np.argsort(lengths, kind="stable")[::-1]
    begin = 0
    while begin < len(order):
        rows = max(1, _CELLS_AT_ONCE // max(1, int(lengths[order[begin]])))
        yield order[begin : begin + rows]
        begin += rows


def _signals_of_block(
    sources: dict[str, NDArray[np.float64]],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows of the table and their signals, (n_rows,) and (n_rows, n_signals)."""
    columns = np.arange(lengths.max())
    inside = columns < lengths[:, None]
    rows = np.where(inside, starts[:, None] + columns, 0)
    values = {}
    for leaf in {leaf for s in SIGNALS for leaf in leaves(s.aggregate)}:
        padded = np.where(inside, sources[leaf.source][rows], np.nan)
        values[leaf] = leaf.window(padded)
    result = np.empty((int(inside.sum()), len(SIGNALS)))
    for index, signal in enumerate(SIGNALS):
        result[:, index] = combined(signal.aggregate, values, columns=True)[inside]
    return rows[inside], result


def signal_matrix(events: pa.Table) -> NDArray[np.float64]:
    """Return the signals after each event, shape (n_events, n_signals).

    Parameters
    ----------
    events : Table
        An events table without outcome events, grouped by task.
    """
    task_ids = events["task_id"].to_numpy(zero_copy_only=False)
    starts = starts_of(task_ids)
    lengths = np.diff(np.append(starts, len(task_ids)))
    sources = {
        name: events[_SOURCE_PREFIX + name].to_numpy(zero_copy_only=False)
        for name in SOURCES
    }
    matrix = np.empty((len(task_ids), len(SIGNALS)))
    for block in _blocks(lengths):
        rows, values = _signals_of_block(sources, starts[block], lengths[block])
        matrix[rows] = values
    return matrix


def without_outcomes(events: pa.Table) -> pa.Table:
    """Return the rows that a signal may see."""
    outcomes = pa.array([str(kind) for kind in OUTCOME_KINDS])
    return events.filter(pc.invert(pc.is_in(events["kind"], outcomes)))


def signals_table(events: pa.Table) -> pa.Table:
    """Return the signals after each event of the log.

    Returns
    -------
    Table
        Columns task_id, event_id, at, kind, position (0, 1, … in the task), then one
        float64 per signal, NaN where unknown; a row per non-outcome event, in order.
    """
    events = without_outcomes(events)
    task_ids = events["task_id"].to_numpy(zero_copy_only=False)
    starts = starts_of(task_ids)
    lengths = np.diff(np.append(starts, len(task_ids)))
    position = np.arange(len(task_ids)) - np.repeat(starts, lengths)
    matrix = signal_matrix(events)
    table = events.select(["task_id", "event_id", "at", "kind"])
    table = table.append_column("position", pa.array(position))
    for index, name in enumerate(NAMES):
        table = table.append_column(name, pa.array(matrix[:, index]))
    return table
