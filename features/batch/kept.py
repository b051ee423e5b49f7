"""What an earlier run left: signals of tasks that have not changed since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.batch.columnar import SIGNALS_SCHEMA
from features.batch.digests import SIZE
from features.batch.plan import Layout, Span, layout_of
from features.batch.table import EventsTableError, arrow, task_starts
from features.signals import NAMES, schema_digest

DIGEST = "task_digest"
_FORMAT = "escalon.signals/1"
# Unknown is NaN, never null: readers and writers need not look for it.
FILE_SCHEMA = pa.schema(
    [
        *(field.with_nullable(field.name not in NAMES) for field in SIGNALS_SCHEMA),
        pa.field(DIGEST, pa.binary(SIZE)),
    ],
    metadata={"format": _FORMAT, "signals": schema_digest()},
)


class StaleSignalsError(ValueError):
    """A signals table that a run cannot build on; says why."""


def layout_of_signals(path: Path) -> Layout:
    """Return the layout of the signals table at `path`.

    Raises
    ------
    StaleSignalsError
        If it is none, is of other signals, or its tasks stand in another order.
    """
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(FILE_SCHEMA, check_metadata=False):
                msg = "it holds other columns"
                raise StaleSignalsError(msg)
            held = file.schema_arrow.metadata or {}
            if held.get(b"signals") != schema_digest().encode():
                msg = "it holds signals of another schema"
                raise StaleSignalsError(msg)
            layout = layout_of(path, file)
    except (OSError, pa.ArrowInvalid) as error:
        msg = "it is no Parquet file"
        raise StaleSignalsError(msg) from error
    except EventsTableError as error:
        msg = "its tasks do not stand together"
        raise StaleSignalsError(msg) from error
    if not layout.is_ordered:
        msg = "its tasks stand in another order"
        raise StaleSignalsError(msg)
    return layout


def groups_between(spans: tuple[Span, ...], first: bytes, last: bytes) -> list[int]:
    """Return the row groups that may hold tasks from `first` to `last`."""
    met = (s for s in spans if s.last >= first and s.first <= last)
    return [group for span in met for group in span.groups]


class Kept:
    """Rows of some row groups of an earlier run, by task.

    Parameters
    ----------
    path : Path or None
        The signals table; None where there is nothing to build on.
    groups : sequence of int
        Its row groups that may hold the tasks asked for.
    """

    def __init__(self, path: Path | None, groups: tuple[int, ...]) -> None:
        self._path = path
        self._groups = groups
        self._table: pa.Table | None = None
        self._tasks: dict[str, tuple[bytes, int, int]] = {}
        if path is not None and groups:
            index = self._read(["task_id", DIGEST])
            starts = task_starts(index)
            at = arrow(starts)
            ends = np.append(starts[1:], index.num_rows).tolist()
            ids, digests = (index[c].take(at).to_pylist() for c in index.column_names)
            rows = zip(digests, starts.tolist(), ends, strict=True)
            self._tasks = dict(zip(ids, rows, strict=True))

    def _read(self, columns: list[str] | None = None) -> pa.Table:
        return pq.ParquetFile(self._path).read_row_groups(
            self._groups, columns=columns, use_threads=False
        )

    def rows_of(self, task_id: str, digest: bytes) -> tuple[int, int] | None:
        """Return where the task's rows begin and end, None if it has changed."""
        found = self._tasks.get(task_id)
        return found[1:] if found is not None and found[0] == digest else None

    @property
    def table(self) -> pa.Table:
        """All rows, read when first asked for."""
        if self._table is None:
            self._table = self._read()
        return self._table
