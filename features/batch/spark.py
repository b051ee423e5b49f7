"""The same columnar code inside Spark: the only module that knows it.

Executors read the row groups of their part and write it beside the result; what goes
through Spark is which row groups, and the counts. So files must lie where driver and
executors see them under one path.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from features.batch.extraction import Engine
from features.batch.part import Done, Job, extract_part
from features.batch.table import EventsTableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MASTER = "local[*]"
_JOB = (
    "number int, events string, groups array<int>, target string, earlier string, "
    "earlier_groups array<int>"
)
_DONE = "number int, events long, computed long, kept long, refused string"


class SparkMissingError(RuntimeError):
    """Spark cannot be started here; says what to install."""


@contextmanager
def spark(master: str = MASTER) -> Iterator[Engine]:
    """Yield an engine that works in a Spark of its own, ended afterwards.

    Parameters
    ----------
    master : str
        Where Spark runs: ``"local[*]"``, ``"spark://host:7077"``, ``"yarn"``, …

    Raises
    ------
    SparkMissingError
        If pyspark or Java is not installed.
    """
    session = _session(master)
    try:
        yield partial(_run, session)
    finally:
        _stop(session)


def _session(master: str) -> SparkSession:
    try:
        from pyspark.errors import PySparkRuntimeError  # noqa: PLC0415 - an extra
        from pyspark.sql import SparkSession  # noqa: PLC0415
    except ImportError as error:
        msg = "`--engine spark` needs pyspark: pip install 'escalon[spark]'"
        raise SparkMissingError(msg) from error
    home = os.environ.get("JAVA_HOME")
    no_java = (
        "`--engine spark` needs Java 17: install a Java 17 runtime and point JAVA_HOME "
        "to it, or use `--engine local`"
    )
    if shutil.which("java", path=f"{home}/bin" if home else None) is None:
        raise SparkMissingError(no_java)
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master(master).appName("escalon features")
    for name, value in _configuration(master).items():
        builder = builder.config(name, value)
    try:
        with _quiet():
            return builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise SparkMissingError(no_java) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user what concerns pandas, which is not used here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support")
        yield


def _configuration(master: str) -> dict[str, str]:
    found = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        # Two attempts at one part would write one file.
        "spark.speculation": "false",
    }
    if master.startswith("local"):
        found["spark.driver.bindAddress"] = "127.0.0.1"
        found["spark.driver.host"] = "127.0.0.1"
    return found


def _stop(session: SparkSession) -> None:
    """End Spark and the Java process that was started for it."""
    gateway: Any = session.sparkContext._gateway  # noqa: SLF001 - no public way
    session.stop()
    process = getattr(gateway, "proc", None)
    gateway.shutdown()
    if process is not None:
        process.stdin.close()  # by which it is told to end
        process.wait()
    from pyspark import SparkContext  # noqa: PLC0415

    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001


def _run(
    session: SparkSession, work: Callable[[Job], Done], jobs: list[Job]
) -> Iterator[Done]:
    if work is not extract_part:
        msg = f"Spark runs extract_part, found {work}"
        raise TypeError(msg)
    rows = [(number, *_plain(job)) for number, job in enumerate(jobs)]
    # One job in a partition: so many are retried, and counted, alone.
    slices = session.sparkContext.parallelize(rows, len(rows))
    with _quiet():
        frame = session.createDataFrame(slices, _JOB)
        found = frame.mapInArrow(_work, _DONE).collect()
    for row in sorted(found, key=lambda row: row.number):
        if row.refused is not None:
            raise EventsTableError(row.refused)
        yield Done(jobs[row.number].target, row.events, row.computed, row.kept)


def _plain(job: Job) -> tuple[str | list[int] | None, ...]:
    earlier = None if job.earlier is None else str(job.earlier)
    groups, earlier_groups = list(job.groups), list(job.earlier_groups)
    return str(job.events), groups, str(job.target), earlier, earlier_groups


def _work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Do the jobs of a partition, in an executor."""
    for batch in batches:
        rows = [_done(**row) for row in batch.to_pylist()]
        columns = zip(*rows, strict=True)
        yield pa.RecordBatch.from_pydict(
            dict(zip(_DONE_SCHEMA.names, map(list, columns), strict=True)), _DONE_SCHEMA
        )


_DONE_SCHEMA = pa.schema(
    [
        ("number", pa.int32()),
        ("events", pa.int64()),
        ("computed", pa.int64()),
        ("kept", pa.int64()),
        ("refused", pa.string()),
    ]
)


def _done(number: int, **job: Any) -> tuple[int, int, int, int, str | None]:
    earlier = job["earlier"]
    try:
        done = extract_part(
            Job(
                events=Path(job["events"]),
                groups=tuple(job["groups"]),
                target=Path(job["target"]),
                earlier=None if earlier is None else Path(earlier),
                earlier_groups=tuple(job["earlier_groups"]),
            )
        )
    except EventsTableError as error:
        return number, 0, 0, 0, str(error)
    return number, done.events, done.computed, done.kept, None
