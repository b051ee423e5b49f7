"""Logs to measure on: of any size, and of every format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features import batch
from features.batch.records import task_key
from features.batch.table import SCHEMA, arrow, task_starts

_ROWS = 1 << 16


def grown(source: Path, target: Path, n_events: int) -> int:
    """Write a log of about `n_events`: tasks of `source` again and again, renamed.

    Tasks stand as `write_events` lays them out, so that copies of one task are far
    apart. Returns the row count.
    """
    table = batch.read_events(source)
    starts = task_starts(table)
    lengths = np.diff(np.append(starts, table.num_rows))
    ids = table["task_id"].take(arrow(starts)).to_pylist()
    copies = n_events / table.num_rows
    tasks = [
        (task_key(name), name, task)
        for copy in range(int(copies) + 1)
        for task, name in enumerate(f"{task_id}-{copy}" for task_id in ids)
        if copy < int(copies) or task < (copies % 1) * len(ids)
    ]
    tasks.sort()
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as file:
        rows = 0
        for group in _groups(tasks, lengths):
            places = np.concatenate(
                [np.arange(starts[t], starts[t] + lengths[t]) for _, t in group]
            )
            names = [name for name, t in group for _ in range(lengths[t])]
            copied = table.take(arrow(places)).set_column(
                0, SCHEMA.field(0), pa.array(names, pa.string())
            )
            file.write_table(copied, row_group_size=len(places))
            rows += len(places)
    return rows


def _groups(
    tasks: list[tuple[bytes, str, int]], lengths: Any
) -> Iterator[list[tuple[str, int]]]:
    """Yield whole tasks, about a row group of them at a time."""
    group: list[tuple[str, int]] = []
    rows = 0
    for _, name, task in tasks:
        if group and rows + lengths[task] > _ROWS:
            yield group
            group, rows = [], 0
        group.append((name, task))
        rows += int(lengths[task])
    yield group
