"""The events table: its schema, how it is read, and which events it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.events import OUTCOME_KINDS, AgentEvent
from features.sources import SOURCES

_FORMAT = "escalon.events/1"
HEAD = (
    pa.field("task_id", pa.string()),
    pa.field("event_id", pa.string()),
    pa.field("at", pa.timestamp("us", tz="UTC")),
    pa.field("kind", pa.string()),
    pa.field("body", pa.string()),
)
# A source may be called like a column of the log itself ("at"), hence the prefix.
SOURCE_PREFIX = "source."
SCHEMA = pa.schema(
    [*HEAD, *(pa.field(SOURCE_PREFIX + name, pa.float64()) for name in SOURCES)],
    metadata={"format": _FORMAT},
)


# What signals are computed from: all but the bodies, whose text was read at ingest.
COMPUTED_FROM = [name for name in SCHEMA.names if name != "body"]
ROWS_AT_ONCE = 1 << 15  # columns of this length fit the cache; changes no result
ROWS_OF_A_PART = 1 << 17  # what one process works on before it writes


class EventsTableError(ValueError):
    """A file that is not an events table of this version."""


def open_events(path: Path) -> pq.ParquetFile:
    """Return the events table at `path`, opened and its columns' names checked.

    Raises
    ------
    EventsTableError
        If the file is missing or not an events table; says how to make one.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        msg = (
            f"{path} cannot be read as an events table ({error}); "
            "make one with `escalon ingest --out events.parquet`"
        )
        raise EventsTableError(msg) from error
    held = set(file.schema_arrow.names)
    absent = [name for name in SCHEMA.names if name not in held]
    if absent:
        msg = (
            f"{path} is not an events table of this version: it lacks {absent[:5]}; "
            "make it anew with `escalon ingest`"
        )
        raise EventsTableError(msg)
    return file


def read_events(path: Path) -> pa.Table:
    """Return the events table at `path`.

    Raises
    ------
    EventsTableError
        If the file is missing or not an events table; says how to make one.
    """
    with open_events(path) as file:
        return as_declared(path, file.read(SCHEMA.names))


def as_declared(path: Path, table: pa.Table) -> pa.Table:
    """Return `table` with the types of the schema; other writers choose their own.

    Raises
    ------
    EventsTableError
        If a column cannot have the type it must have; names both types.
    """
    columns = []
    for name in table.column_names:
        kind = SCHEMA.field(name).type
        try:
            columns.append(table[name].cast(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            msg = (
                f"{path}: column {name} must be {kind}, found {table[name].type}; "
                "make it anew with `escalon ingest`"
            )
            raise EventsTableError(msg) from error
    fields = [SCHEMA.field(name) for name in table.column_names]
    return pa.table(columns, schema=pa.schema(fields, SCHEMA.metadata))


def log_events(table: pa.Table) -> Iterator[AgentEvent]:
    """Yield the events that an events table holds, in its order."""
    for row in table.select([f.name for f in HEAD]).to_pylist():
        yield AgentEvent(
            task_id=row["task_id"],
            event_id=row["event_id"],
            at=row["at"],
            kind=row["kind"],
            body=orjson.loads(row["body"]),
        )


_NUMPY = {pa.float64(): np.float64, pa.int64(): np.int64, pa.uint8(): np.uint8}


def arrow(values: NDArray[Any]) -> pa.Array:
    """Return numbers as an Arrow array that shares their memory."""
    data = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(data.dtype)
    return pa.Array.from_buffers(kind, len(data), [None, pa.py_buffer(data)])


def numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column of numbers, NaN where it is null; the converse of `arrow`."""
    array = column.combine_chunks()
    if array.null_count:
        array = pc.fill_null(array, np.nan)
    data = np.frombuffer(array.buffers()[1] or b"", _NUMPY[array.type])
    return data[array.offset : array.offset + len(array)]


def starts_of(task_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each run of equal ids begins, shape (n_tasks,)."""
    changed = task_ids[1:] != task_ids[:-1]
    return np.flatnonzero(np.concatenate([[len(task_ids) > 0], changed]))


def task_starts(table: pa.Table) -> NDArray[np.int64]:
    """Return where each task of a table begins, shape (n_tasks,)."""
    ids = table["task_id"].combine_chunks()
    if len(ids) == 0:
        return np.empty(0, dtype=np.int64)
    changed = pa.chunked_array([pc.not_equal(ids[1:], ids[:-1]).cast(pa.uint8())])
    return np.flatnonzero(np.concatenate([[1], numbers(changed)]))


def pieces(starts: NDArray[np.int64], n_rows: int, most: int) -> list[tuple[int, int]]:
    """Return ranges of whole tasks, of about `most` rows or of one longer task."""
    edges = np.append(starts, n_rows)
    found, begin = [], 0
    while begin < len(starts):
        end = int(np.searchsorted(edges, edges[begin] + most, side="right")) - 1
        end = max(end, begin + 1)
        found.append((int(edges[begin]), int(edges[end])))
        begin = end
    return found


def visible_rows(events: pa.Table) -> NDArray[np.int64]:
    """Return the rows that a signal may see: those of no outcome event."""
    outcomes = pa.array([str(kind) for kind in OUTCOME_KINDS])
    is_outcome = pc.is_in(events["kind"], outcomes).cast(pa.uint8())
    return np.flatnonzero(numbers(is_outcome) == 0)


def without_outcomes(events: pa.Table) -> pa.Table:
    """Return the table of the rows that a signal may see."""
    return events.take(arrow(visible_rows(events)))
