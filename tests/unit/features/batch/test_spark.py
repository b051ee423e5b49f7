from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.batch import extract, write_events
from features.batch.spark import SparkMissingError, spark
from training.simulate import World

# Run in a process of its own: Spark sets what a process cannot take back.
CLUSTER = """
import sys
from pathlib import Path
from pyspark import SparkContext
from features import batch
from features.batch import extraction
from features.batch.spark import spark

extraction.ROWS_OF_A_PART = 2000
folder = Path(sys.argv[1])
with spark("local-cluster[2,1,1024]") as engine:
    java = SparkContext._gateway.proc.pid
    done = batch.extract(folder / "events.parquet", folder / "spark.parquet", engine=engine)
    again = batch.extract(folder / "events.parquet", folder / "spark.parquet", engine=engine)
    status = SparkContext._active_spark_context._jsc.sc().getExecutorMemoryStatus()
    workers = status.size() - 1  # the driver is in it too
    try:
        batch.extract(folder / "bad.parquet", folder / "none.parquet", engine=engine)
    except batch.EventsTableError as error:
        print("refused", error)
print("counts", workers, done.computed, done.kept, again.computed, again.kept)
print("java", java)
"""


def _has_java() -> bool:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin" if home else None) is not None


@pytest.mark.slow
@pytest.mark.skipif(not _has_java(), reason="no Java: Spark needs a Java 17 runtime")
def test_a_cluster_of_two_workers_writes_what_one_process_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte the same file, kept tasks too; and Java is gone afterwards."""
    monkeypatch.setattr("features.batch.write.ROWS_AT_ONCE", 700)
    monkeypatch.setattr("features.batch.extraction.ROWS_OF_A_PART", 2000)
    source = tmp_path / "events.parquet"
    write_events(World(seed=2).log(400), source)
    expected = extract(source, tmp_path / "local.parquet")
    found = pq.read_table(source)
    text = pa.array(["x"] * found.num_rows)
    index = found.column_names.index("source.step")
    pq.write_table(
        found.set_column(index, "source.step", text), tmp_path / "bad.parquet"
    )

    run = subprocess.run(
        [sys.executable, "-c", CLUSTER, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    n = expected.computed
    assert f"counts 2 {n} 0 0 {n}" in lines, run.stdout + run.stderr
    assert any(
        line.startswith("refused") and "source.step must be double" in line
        for line in lines
    )
    assert not (tmp_path / "none.parquet").exists()
    java = int(lines[-1].split()[1])
    assert not Path(f"/proc/{java}").exists()
    local_bytes = (tmp_path / "local.parquet").read_bytes()
    assert (tmp_path / "spark.parquet").read_bytes() == local_bytes


def test_without_pyspark_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line names the extra."""
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with (
        pytest.raises(SparkMissingError, match=r"pip install 'escalon\[spark\]'"),
        spark(),
    ):
        pass


def test_without_java_it_is_said_which_one_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names Java 17, found neither at JAVA_HOME nor on the path."""
    pytest.importorskip("pyspark")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SparkMissingError, match="Java 17"), spark():
        pass
