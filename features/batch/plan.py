"""Which row groups belong together, and whether a table is laid out by task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

from features.batch.records import task_key
from features.batch.table import EventsTableError, arrow, task_starts


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring row groups that hold whole tasks.

    Attributes
    ----------
    groups : tuple of int
        Their numbers in the file.
    rows : int
        Rows they hold.
    first, last : bytes
        Places of their first and last task, see `records.task_key`.
    """

    groups: tuple[int, ...]
    rows: int
    first: bytes
    last: bytes

    def with_next(self, other: Span) -> Span:
        """Return this span and the one after it as one."""
        groups = self.groups + other.groups
        return Span(groups, self.rows + other.rows, self.first, other.last)


@dataclass(frozen=True, slots=True)
class Layout:
    """The spans of a table, and whether its tasks stand in the order of their keys."""

    spans: tuple[Span, ...]
    is_ordered: bool

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return sum(span.rows for span in self.spans)


def layout_of(path: Path, file: pq.ParquetFile) -> Layout:
    """Return how the table `file` is laid out.

    A table in our own order is checked in memory that does not grow with it; of another
    order, the ids of all tasks are held once.

    Raises
    ------
    EventsTableError
        If rows of one task stand apart: names the task and says what to do.
    """
    spans: list[Span] = []
    is_ordered = True
    for number, keys in enumerate(_keys(file)):
        if not keys:
            continue
        rows = file.metadata.row_group(number).num_rows
        span = Span((number,), rows, keys[0], keys[-1])
        is_ordered &= all(a < b for a, b in pairwise(keys))
        if spans and spans[-1].last == span.first:
            spans[-1] = spans[-1].with_next(span)
            continue
        is_ordered &= not spans or spans[-1].last < span.first
        spans.append(span)
    if not is_ordered:
        _check_whole(path, file)
    return Layout(tuple(spans), is_ordered)


def _keys(file: pq.ParquetFile) -> Iterator[list[bytes]]:
    """Yield the key of each run of rows of one task, by row group."""
    for number in range(file.num_row_groups):
        ids = file.read_row_group(number, columns=["task_id"], use_threads=False)
        runs = ids["task_id"].take(arrow(task_starts(ids)))
        yield [task_key(task_id) for task_id in runs.to_pylist()]


def _check_whole(path: Path, file: pq.ParquetFile) -> None:
    seen: set[bytes] = set()
    last = None
    for keys in _keys(file):
        for key in keys:
            if key in seen and key != last:
                task_id = key[8:].decode(errors="replace")
                msg = (
                    f"{path}: rows of task {task_id!r} stand apart; rows of one task "
                    "must follow each other in log order; make it anew with "
                    "`escalon ingest`"
                )
                raise EventsTableError(msg)
            seen.add(key)
            last = key


def packed(spans: Iterable[Span], most: int) -> Iterator[Span]:
    """Yield neighbouring spans as one, as long as they hold about `most` rows."""
    held: Span | None = None
    for span in spans:
        if held is None:
            held = span
        elif held.rows + span.rows <= most:
            held = held.with_next(span)
        else:
            yield held
            held = span
    if held is not None:
        yield held
