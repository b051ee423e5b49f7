"""Parquet as it is written here: whole or not at all, by one process or by many."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.batch.footer import Joined

_WHOLE = "whole.parquet"


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target` that is gone afterwards, whatever happens."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}."
    ) as folder:
        yield Path(folder)


def write_part(tables: Iterable[pa.Table], path: Path, schema: pa.Schema) -> int:
    """Write each table as row groups of one file; return the row count."""
    rows = 0
    with pq.ParquetWriter(path, schema, **_options(schema)) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            rows += table.num_rows
    return rows


def _options(schema: pa.Schema) -> dict[str, Any]:
    del schema
    return {"compression": "zstd"}


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
