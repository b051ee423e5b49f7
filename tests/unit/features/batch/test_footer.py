from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.batch.footer import Joined, JoinError

SCHEMA = pa.schema(
    [
        ("s", pa.string()),
        ("f", pa.float64()),
        ("n", pa.list_(pa.field("element", pa.int32()))),
        ("b", pa.bool_()),
        ("t", pa.timestamp("us", tz="UTC")),
        ("d", pa.binary(4)),
    ],
    metadata={"own": "ä" * 200},
)
rows = st.fixed_dictionaries(
    {
        "s": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        "f": st.none() | st.floats(allow_nan=False),
        "n": st.none() | st.lists(st.integers(-9, 9), max_size=3),
        "b": st.none() | st.booleans(),
        "t": st.none() | st.integers(0, 2**50),
        "d": st.none() | st.binary(min_size=4, max_size=4),
    }
)
options = st.fixed_dictionaries(
    {},
    optional={
        "compression": st.sampled_from(["zstd", "lz4", "none"]),
        "use_dictionary": st.booleans(),
        "write_statistics": st.booleans(),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "row_group_size": st.integers(1, 4),
        "write_page_index": st.booleans(),
    },
)


@given(
    parts=st.lists(
        st.tuples(st.lists(rows, max_size=9), options), min_size=1, max_size=5
    )
)
def test_joined_files_hold_the_rows_of_all_in_order(
    parts: list[tuple[list[dict[str, Any]], dict[str, Any]]],
) -> None:
    """However each was written, the whole is their concatenation, metadata included."""
    tables = [pa.Table.from_pylist(rows, SCHEMA) for rows, _ in parts]
    out = io.BytesIO()
    joined = Joined(out)
    with tempfile.TemporaryDirectory() as folder:
        for number, (table, (_, how)) in enumerate(zip(tables, parts, strict=True)):
            pq.write_table(table, Path(folder) / str(number), **how)
            assert joined.add(Path(folder) / str(number)) == table.num_rows
        n = joined.close()
    expected = pa.concat_tables(tables)
    assert n == expected.num_rows
    found = pq.ParquetFile(io.BytesIO(out.getvalue()))
    assert found.read().equals(expected, check_metadata=True)
    assert [
        found.read_row_group(number).num_rows for number in range(found.num_row_groups)
    ] == [found.metadata.row_group(n).num_rows for n in range(found.num_row_groups)]


def test_another_reader_understands_the_whole(tmp_path: Path) -> None:
    """DuckDB reads many joined row groups as Arrow does."""
    n = 40
    with (tmp_path / "all.parquet").open("wb") as out:
        joined = Joined(out)
        for number in range(n):
            part = pa.table({"k": [f"a{number}"] * 3, "x": [number, 0.5, None]})
            pq.write_table(part, tmp_path / "part")
            joined.add(tmp_path / "part")
        joined.close()
    found = duckdb.sql(
        f"select count(*), count(distinct k), sum(x) from '{tmp_path}/all.parquet'"  # noqa: S608
    ).fetchall()
    assert found == [(3 * n, n, sum(range(n)) + 0.5 * n)]


def test_other_columns_are_refused(tmp_path: Path) -> None:
    """A file with other columns than the first does not become part of the whole."""
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a")
    pq.write_table(pa.table({"b": [1]}), tmp_path / "b")
    joined = Joined(io.BytesIO())
    joined.add(tmp_path / "a")
    with pytest.raises(JoinError, match="other columns"):
        joined.add(tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"nothing of the kind"])
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file without the mark at its end is refused by its name."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(JoinError, match="x is no Parquet file"):
        Joined(io.BytesIO()).add(tmp_path / "x")


def test_nothing_joined_is_no_file() -> None:
    """Without a file there is no schema, and so no whole."""
    with pytest.raises(JoinError, match="schema"):
        Joined(io.BytesIO()).close()
