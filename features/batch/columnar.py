"""Events table in, signals table out: the columnar form of the catalogue.

The events table is laid out by task, in log order, and carries one column per source,
so the batch needs neither a sort nor a second reading of any text.
"""

from __future__ import annotations

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
    without_outcomes,
)
from features.past import Column, Given, Layout, Past
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


def _pasts(events: pa.Table, layout: Layout) -> dict[str, Past]:
    """Return the past of each source; those that give together share the work."""
    shared: dict[bytes, Given] = {}
    pasts = {}
    for name in SOURCES_USED:
        values = np.take(numbers(events[SOURCE_PREFIX + name]), layout.rows)
        mask = ~np.isnan(values)
        given = shared.setdefault(mask.tobytes(), Given(layout, mask))
        pasts[name] = Past(layout, values, given)
    return pasts


def _signals_of_block(events: pa.Table, layout: Layout) -> list[Column]:
    """Return each signal, shape (n_rows,), in the order of the rows."""
    pasts = _pasts(events, layout)
    values = {leaf: leaf.window(pasts[leaf.source]) for leaf in _LEAVES}
    return [
        np.take(combined(signal.aggregate, values, columns=True), layout.cells)
        for signal in SIGNALS
    ]


def _blocks(events: pa.Table) -> list[tuple[pa.Table, Layout]]:
    starts = task_starts(events)
    lengths = np.diff(np.append(starts, events.num_rows))
    found = []
    for begin, end in pieces(starts, events.num_rows, ROWS_AT_ONCE):
        tasks = slice(*np.searchsorted(starts, [begin, end]))
        block = events.slice(begin, end - begin)
        found.append((block, Layout(lengths[tasks])))
    return found


def signal_matrix(events: pa.Table) -> NDArray[np.float64]:
    """Return the signals after each event, shape (n_events, n_signals).

    Parameters
    ----------
    events : Table
        An events table without outcome events, grouped by task.
    """
    matrix = np.empty((events.num_rows, len(SIGNALS)))
    begin = 0
    for block, layout in _blocks(events):
        end = begin + block.num_rows
        np.stack(_signals_of_block(block, layout), axis=1, out=matrix[begin:end])
        begin = end
    return matrix


def signals_table(events: pa.Table) -> pa.Table:
    """Return the signals after each event of the log.

    Returns
    -------
    Table
        Columns task_id, event_id, at, kind, position (0, 1, … in the task), then one
        float64 per signal, NaN where unknown; a row per non-outcome event, in order.
    """
    blocks = [
        _table_of_block(block, layout)
        for block, layout in _blocks(without_outcomes(events))
    ]
    return pa.concat_tables(blocks) if blocks else SIGNALS_SCHEMA.empty_table()


SIGNALS_SCHEMA = pa.schema(
    [*SIGNAL_HEAD, *(pa.field(name, pa.float64()) for name in NAMES)]
)


def _table_of_block(events: pa.Table, layout: Layout) -> pa.Table:
    head = [events[field.name] for field in SIGNAL_HEAD[:-1]]
    position = arrow(np.take(layout.position, layout.cells))
    signals = [arrow(column) for column in _signals_of_block(events, layout)]
    return pa.table([*head, position, *signals], schema=SIGNALS_SCHEMA)
