"""Events table in, signals table out: the columnar form of the catalogue.

The events table is laid out by task, in log order, and carries one column per source,
so the batch needs neither a sort nor a second reading of any text.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.aggregates import combined, leaves
from features.batch.table import (
    ROWS_AT_ONCE,
    SOURCE_PREFIX,
    arrow,
    numbers,
    pieces,
    task_starts,
    visible_rows,
)
from features.past import Cells, Column, Given, Layout, Past
from features.signals import NAMES, SIGNALS

_LEAVES = tuple(
    dict.fromkeys(leaf for signal in SIGNALS for leaf in leaves(signal.aggregate))
)
SOURCES_USED = tuple(dict.fromkeys(leaf.source for leaf in _LEAVES))
SIGNAL_HEAD = (
    pa.field("task_id", pa.string()),
    pa.field("event_id", pa.string()),
    pa.field("at", pa.timestamp("us", tz="UTC")),
    pa.field("kind", pa.string()),
    pa.field("position", pa.int64()),
)


def source_columns(events: pa.Table) -> dict[str, Column]:
    """Return the sources that signals use, NaN where an event gives none."""
    return {name: numbers(events[SOURCE_PREFIX + name]) for name in SOURCES_USED}


def _pasts(sources: dict[str, Column], layout: Layout, rows: Cells) -> dict[str, Past]:
    """Return the past of each source; those that give together share the work."""
    shared: dict[bytes, Given] = {}
    pasts = {}
    cells = rows[layout.rows]
    for name, column in sources.items():
        values = column[cells]
        mask = ~np.isnan(values)
        given = shared.setdefault(mask.tobytes(), Given(layout, mask))
        pasts[name] = Past(layout, values, given)
    return pasts


def _signals(sources: dict[str, Column], layout: Layout, rows: Cells) -> list[Column]:
    """Return each signal, shape (n_rows,), after the events in `rows` of the table."""
    pasts = _pasts(sources, layout, rows)
    values = {leaf: leaf.window(pasts[leaf.source]) for leaf in _LEAVES}
    return [combined(signal.aggregate, values)[layout.cells] for signal in SIGNALS]


def _blocks(lengths: NDArray[np.int64], rows: Cells) -> Iterator[tuple[Layout, Cells]]:
    """Yield tasks, as many as fit the cache, and their rows of the table."""
    starts = np.cumsum(lengths) - lengths
    for begin, end in pieces(starts, len(rows), ROWS_AT_ONCE):
        tasks = slice(*np.searchsorted(starts, [begin, end]))
        yield Layout(lengths[tasks]), rows[begin:end]


def signal_matrix(events: pa.Table) -> NDArray[np.float64]:
    """Return the signals after each event, shape (n_events, n_signals).

    Parameters
    ----------
    events : Table
        An events table without outcome events, grouped by task.
    """
    sources = source_columns(events)
    matrix = np.empty((events.num_rows, len(SIGNALS)))
    lengths = np.diff(np.append(task_starts(events), events.num_rows))
    for layout, rows in _blocks(lengths, np.arange(events.num_rows)):
        block = matrix[rows[0] : rows[-1] + 1]
        np.stack(_signals(sources, layout, rows), axis=1, out=block)
    return matrix


def signals_table(events: pa.Table) -> pa.Table:
    """Return the signals after each event of the log.

    Returns
    -------
    Table
        Columns task_id, event_id, at, kind, position (0, 1, … in the task), then one
        float64 per signal, NaN where unknown; a row per non-outcome event, in order.
    """
    rows = visible_rows(events)
    head = events.select(HEAD_COLUMNS).take(arrow(rows))
    lengths = np.diff(np.append(task_starts(head), len(rows)))
    return signals_of(source_columns(events), head, lengths, rows)


def signals_of(
    sources: dict[str, Column],
    head: pa.Table,
    lengths: NDArray[np.int64],
    rows: Cells,
) -> pa.Table:
    """Return the signals table of some whole tasks of a log.

    Parameters
    ----------
    sources : dict
        The columns of the log that signals are computed from, see `source_columns`.
    head : Table
        The columns that both tables share, of the rows asked for.
    lengths : ndarray of int, shape (n_tasks,)
        How many of these rows each task has.
    rows : ndarray of int, shape (n_rows,)
        Where in the log they stand; tasks stand together, outcomes are left out.
    """
    blocks, begin = [], 0
    for layout, block in _blocks(lengths, rows):
        position = layout.position[layout.cells]
        signals = [position, *_signals(sources, layout, block)]
        columns = [*head.slice(begin, len(block)).columns, *map(arrow, signals)]
        blocks.append(pa.table(columns, schema=SIGNALS_SCHEMA))
        begin += len(block)
    return pa.concat_tables(blocks) if blocks else SIGNALS_SCHEMA.empty_table()


HEAD_COLUMNS = [field.name for field in SIGNAL_HEAD[:-1]]
SIGNALS_SCHEMA = pa.schema(
    [*SIGNAL_HEAD, *(pa.field(name, pa.float64()) for name in NAMES)]
)
