"""Parquet as it is written here: whole or not at all, by one process or by many."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.batch.footer import Joined

_WHOLE = "whole.parquet"
_LOOKED_UP = ["task_id", "at"]


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target` that is gone afterwards, whatever happens."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}."
    ) as folder:
        yield Path(folder)


def write_part(
    tables: Iterable[pa.Table],
    path: Path,
    schema: pa.Schema,
    *,
    plain: Sequence[str] = (),
) -> int:
    """Write each table as row groups of one file; return the row count.

    Parameters
    ----------
    plain : sequence of str
        Columns of many different values: written as they are, without a dictionary.
    """
    rows = 0
    with pq.ParquetWriter(
        path,
        schema,
        compression="lz4" if plain else "zstd",
        use_dictionary=[name for name in schema.names if name not in set(plain)],
        # Those of a hundred columns fill the footer, and nobody looks rows up by them.
        write_statistics=_LOOKED_UP,
    ) as file:
        for table in tables:
            file.write_table(table, row_group_size=max(1, table.num_rows))
            rows += table.num_rows
    return rows


def join_parts(parts: Iterable[Path], target: Path, folder: Path) -> int:
    """Make one file of `parts`, in order, and put it at `target` in one step.

    Parts are removed as they are taken in. A crash leaves what stood there before.
    Returns the row count.
    """
    whole = folder / _WHOLE
    with whole.open("wb") as file:
        joined = Joined(file)
        for part in parts:
            joined.add(part)
            part.unlink()
        rows = joined.close()
        file.flush()
        os.fsync(file.fileno())
    whole.replace(target)
    return rows
