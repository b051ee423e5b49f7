"""The signals of one part of a log: what one process computes at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.batch.columnar import HEAD_COLUMNS, signals_of, source_columns
from features.batch.digests import task_digests
from features.batch.files import write_part
from features.batch.kept import DIGEST, FILE_SCHEMA, Kept
from features.batch.table import (
    COMPUTED_FROM,
    ROWS_AT_ONCE,
    ROWS_OF_A_PART,
    arrow,
    as_declared,
    open_events,
    task_starts,
    visible_rows,
)
from features.signals import NAMES


@dataclass(frozen=True, slots=True)
class Job:
    """A part of a log, and what an earlier run may have left of it.

    Attributes
    ----------
    events : Path
        The events table.
    groups : tuple of int
        Its row groups to read; they hold whole tasks.
    target : Path
        The file to write.
    earlier : Path or None
        An earlier signals table.
    earlier_groups : tuple of int
        Its row groups that may hold these tasks.
    """

    events: Path
    groups: tuple[int, ...]
    target: Path
    earlier: Path | None = None
    earlier_groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a job: its file, and how many tasks it computed and kept."""

    target: Path
    events: int
    computed: int
    kept: int


def extract_part(job: Job) -> Done:
    """Write the signals of one part of a log to its file."""
    kept = Kept(job.earlier, job.earlier_groups)
    work = _Part(kept)
    with open_events(job.events) as file:
        batches = file.iter_batches(
            ROWS_AT_ONCE,
            row_groups=job.groups,
            columns=COMPUTED_FROM,
            use_threads=False,
        )
        tables = (
            work.signals(as_declared(job.events, table))
            for table in whole_tasks(batches, ROWS_OF_A_PART)
        )
        write_part(tables, job.target, FILE_SCHEMA, plain=NAMES)
    return Done(job.target, work.events, work.computed, work.kept)


def whole_tasks(batches: Iterable[pa.RecordBatch], most: int) -> Iterator[pa.Table]:
    """Yield the rows of `batches` as tables of whole tasks, of about `most` rows."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if 2 * sum(b.num_rows for b in held) < most:
            continue
        table = pa.Table.from_batches(held)
        # The last task may go on in the next batch.
        end = int(task_starts(table)[-1])
        if end:
            yield table.slice(0, end)
            held = table.slice(end).to_batches()
    if held:
        yield pa.Table.from_batches(held)


class _Part:
    """Computes signals, or takes them from an earlier run, and counts."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.events = self.computed = self.kept = 0

    def signals(self, events: pa.Table) -> pa.Table:
        """Return the rows of the signals table for whole tasks of a log."""
        self.events += events.num_rows
        sources, rows = source_columns(events), visible_rows(events)
        head = events.select(HEAD_COLUMNS).take(arrow(rows))
        starts = task_starts(head)
        lengths = np.diff(np.append(starts, len(rows)))
        digests = task_digests(sources, head, lengths, rows)
        ids = head["task_id"].take(arrow(starts)).to_pylist()
        found = [self._kept.rows_of(*task) for task in zip(ids, digests, strict=True)]
        is_kept = np.array([place is not None for place in found], dtype=bool)
        self.kept += int(is_kept.sum())
        self.computed += int((~is_kept).sum())
        fresh = np.flatnonzero(np.repeat(~is_kept, lengths))
        some = head if len(fresh) == len(rows) else head.take(arrow(fresh))
        computed = signals_of(sources, some, lengths[~is_kept], rows[fresh])
        computed = _with_digests(
            computed, list(compress(digests, ~is_kept)), lengths[~is_kept]
        )
        if not is_kept.any():
            return computed
        # Rows of both, in the order of the log.
        begins = np.cumsum(np.where(is_kept, 0, lengths)) - lengths
        begins[is_kept] = [computed.num_rows + place[0] for place in found if place]
        both = pa.concat_tables([computed, self._kept.table])
        return both.take(arrow(_ranges(begins, lengths)))


def _ranges(begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all numbers of ranges, one range after the other."""
    ends = np.cumsum(lengths)
    return np.arange(lengths.sum()) + np.repeat(begins - ends + lengths, lengths)


def _with_digests(
    signals: pa.Table, digests: list[bytes], lengths: NDArray[np.int64]
) -> pa.Table:
    field = FILE_SCHEMA.field(DIGEST)
    data = pa.py_buffer(b"".join(digests))
    values = pa.Array.from_buffers(field.type, len(digests), [None, data])
    column = values.take(arrow(np.repeat(np.arange(len(lengths)), lengths)))
    return signals.append_column(field, column).cast(FILE_SCHEMA)
