"""The feature pipeline: how fast, beside what, and in how much memory.

The columnar run goes from file to file on two cores: it reads the events table,
computes every signal after every event and writes the signals table. The online fold
takes `TaskState.advance` and `read` for each event, in one process, nothing read from
or written to a file: once over sources read before, once from the texts on.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import _packages_first  # noqa: F401 - `features` is the package, not this file
import duckdb
import numpy as np
from _formats import SAMPLES
from _logs import grown
from _memory import peak_mib
from harness import Measure, main

from features import batch, ingest
from features.batch.spark import SparkMissingError, spark
from features.events import AgentEvent
from features.online import TaskState
from features.sources import Reader
from training.simulate import World

CORES = 2
_REPEATS = 3


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _repeated(work: Callable[[], object], times: int = _REPEATS) -> list[float]:
    return [_seconds(work) for _ in range(times)]


def _ratio(
    name: str, above: Sequence[float], below: Sequence[float], **told: object
) -> Measure:
    """Return the ratio of medians, with the range over all pairs of repeats."""
    pairs = [a / b for a, b in product(above, below)]
    return Measure(
        name=name,
        value=statistics.median(above) / statistics.median(below),
        low=min(pairs),
        high=max(pairs),
        unit="1",
        **told,  # type: ignore[arg-type]
    )


def _log(name: str) -> None:
    print(f"  {name}", file=sys.stderr)


# --- online ------------------------------------------------------------------


class _Given:
    """A reader that was there before: gives the sources of the next event."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def read(self, _: AgentEvent) -> dict[str, float]:
        return self.values


def _folded(log: Sequence[tuple[AgentEvent, dict[str, float]]]) -> None:
    states: dict[str, tuple[TaskState, _Given]] = {}
    for event, values in log:
        if event.task_id not in states:
            given = _Given()
            states[event.task_id] = (TaskState(reader=given), given)
        state, given = states[event.task_id]
        given.values = values
        state.advance(event)
        state.read()


def _stepped(log: Sequence[AgentEvent]) -> list[float]:
    """Return what each event took, advanced and all signals read, µs."""
    states: dict[str, TaskState] = {}
    took = []
    for event in log:
        state = states.setdefault(event.task_id, TaskState())
        began = time.perf_counter()
        state.advance(event)
        state.read()
        took.append(1e6 * (time.perf_counter() - began))
    return took


def _with_sources(
    log: Sequence[AgentEvent],
) -> list[tuple[AgentEvent, dict[str, float]]]:
    readers: dict[str, Reader] = {}
    return [
        (event, readers.setdefault(event.task_id, Reader()).read(event))
        for event in log
    ]


def _real_log() -> tuple[str, list[AgentEvent]]:
    """Return texts that people and agents wrote, or else simulated ones."""
    path = _real_runs()
    if path is None:
        return "a simulated world", list(World(seed=3).log(1000))
    return "real tau runs", list(ingest.read("tau", [path], on_refused=lambda _: None))


def _real_runs() -> Path | None:
    """Return where the real runs lie, if they do."""
    shared = Path(os.environ.get("ESCALON_SHARED", "../shared"))
    path = shared / "data" / "tau_runs.jsonl.gz"
    return path if path.exists() else None


def _online(n: int) -> Iterator[Measure]:
    source, log = _real_log()
    runs = [_stepped(log[start : start + n]) for start in range(0, 3 * n, n)]
    medians = [statistics.median(run) for run in runs]
    yield Measure(
        name="online_step_us",
        value=statistics.median([t for run in runs for t in run]),
        low=min(medians),
        high=max(medians),
        unit="µs",
        goal=100,
        note=f"median event of {source}, text read, all signals read",
    )
    yield Measure(
        name="online_step_us.p99",
        value=float(np.quantile([t for run in runs for t in run], 0.99)),
        unit="µs",
        note=f"the same, of which one in a hundred takes longer ({source})",
    )


# --- columnar ----------------------------------------------------------------


def _sorted_copy(source: Path, target: Path) -> None:
    """Sort the table by task and log order with DuckDB, and write it."""
    with duckdb.connect() as db:
        db.execute(f"SET threads = {CORES}")
        db.execute(
            "COPY (SELECT * EXCLUDE file_row_number FROM "  # noqa: S608 - our own paths
            f"read_parquet('{source}', file_row_number = true) "
            f"ORDER BY task_id, file_row_number) TO '{target}' (FORMAT parquet)"
        )


def _timed(
    source: Path, target: Path, engine: batch.Engine, *, full: bool = True
) -> list[float]:
    """Return the seconds of some runs; processes are started before."""
    batch.extract(source, target, engine=engine, full=True)
    return _repeated(lambda: batch.extract(source, target, engine=engine, full=full))


def _columnar(source: Path, n: int, folder: Path) -> Iterator[Measure]:
    target = folder / "signals.parquet"
    with batch.local(CORES) as engine:
        ours = _timed(source, target, engine)
        again = _timed(source, target, engine, full=False)
    _log(f"columnar: {statistics.median(ours):.1f} s")
    log = list(World(seed=3).log(1000))
    given = _with_sources(log)
    fold = [s / len(log) for s in _repeated(lambda: _folded(given), 5)]
    text = [statistics.fmean(_stepped(log)) / 1e6 for _ in range(_REPEATS)]
    rate = [s / n for s in ours]
    on = f"{n:,} events, file to file on {CORES} cores; "
    yield _ratio(
        "columnar_over_online",
        fold,
        rate,
        goal=8,
        better="higher",
        note=on + "fold over sources read before, one process",
    )
    yield _ratio(
        "columnar_over_online.with_text",
        text,
        rate,
        better="higher",
        note=on + "fold that reads the texts, one process",
    )
    copy = _repeated(lambda: _sorted_copy(source, folder / "sorted.parquet"))
    _log(f"sorted copy: {statistics.median(copy):.1f} s")
    yield _ratio(
        "columnar_over_sorted_copy",
        ours,
        copy,
        goal=5,
        note=f"{n:,} events; seconds over DuckDB's COPY … ORDER BY of the same file",
    )
    yield Measure(
        name="columnar_events_per_s",
        value=n / statistics.median(ours),
        low=n / max(ours),
        high=n / min(ours),
        unit="1/s",
        better="higher",
        note=on + "all signals after every event",
    )
    yield _ratio(
        "unchanged_over_full",
        again,
        ours,
        note="a second run over the same log, every task kept",
    )


def _spark(sizes: Sequence[tuple[int, Path]], folder: Path) -> Iterator[Measure]:
    target = folder / "spark.parquet"
    with batch.local(CORES) as engine:
        local = [_timed(source, target, engine) for _, source in sizes]
    began = time.perf_counter()
    try:
        with spark(f"local[{CORES}]") as engine:
            batch.extract(sizes[0][1], target, engine=engine, full=True)
            start = time.perf_counter() - began
            took = [_timed(source, target, engine) for _, source in sizes]
    except SparkMissingError as error:
        _log(f"Spark is left out: {error}")
        return
    (small, _), (large, _) = sizes
    on = f"local[{CORES}], JVM and Python started before"
    yield _ratio(
        "spark_over_local", took[1], local[1], goal=5, note=f"{large:,} events; {on}"
    )
    yield _ratio(
        "spark_over_local.half", took[0], local[0], note=f"{small:,} events; {on}"
    )
    yield _ratio(
        "spark_growth",
        took[1],
        took[0],
        note=f"seconds of {large:,} events over those of {small:,}: 2 is linear",
    )
    yield Measure(
        name="spark_start_s",
        value=start,
        unit="s",
        note=f"JVM, Python processes and a first run over {small:,} events",
    )


# --- memory and ingest -------------------------------------------------------


def _features_process(source: Path, target: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "escalon", "features", str(source)]
    options = ["--out", str(target), "--jobs", str(CORES), "--full"]
    return subprocess.Popen(  # noqa: S603
        [*command, *options], stdout=sys.stderr, stderr=subprocess.DEVNULL
    )


def _ingest_process(source: Path, target: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "escalon", "ingest", str(source)]
    return subprocess.Popen(  # noqa: S603
        [*command, "--out", str(target)], stdout=sys.stderr, stderr=subprocess.DEVNULL
    )


def _memory(source: Path, n: int, folder: Path, n_tasks: int) -> Iterator[Measure]:
    peaks = [
        peak_mib(_features_process(source, folder / "peak.parquet")) for _ in range(2)
    ]
    yield Measure(
        name="peak_mib",
        value=max(peaks),
        low=min(peaks),
        high=max(peaks),
        unit="MiB",
        goal=2048,
        note=f"`escalon features` over {n:,} events, all its processes together",
    )
    log = folder / "log.jsonl"
    SAMPLES["jsonl"](log, n_tasks)
    yield Measure(
        name="peak_mib.ingest",
        value=peak_mib(_ingest_process(log, folder / "ingested.parquet")),
        unit="MiB",
        goal=2048,
        note=f"`escalon ingest` of a log of {log.stat().st_size >> 20} MiB",
    )


def _ingest(folder: Path, n_tasks: int) -> Iterator[Measure]:
    for form in ingest.FORMATS:
        if form not in SAMPLES:
            _log(f"no sample is made for {form}: its rate is left out")
            continue
        path = folder / f"sample-{form}"
        SAMPLES[form](path, n_tasks)
        size = path.stat().st_size / 2**20
        rates = [size / s for s in _repeated(lambda p=path, f=form: _read(p, f))]
        yield Measure(
            name=f"ingest_mib_per_s.{form}",
            value=statistics.median(rates),
            low=min(rates),
            high=max(rates),
            unit="MiB/s",
            better="higher",
            note=f"{size:.1f} MiB to events, one process",
        )


def _read(path: Path, form: str) -> None:
    refused: list[ingest.Refusal] = []
    deque(ingest.read(form, [path], on_refused=refused.append), maxlen=0)
    if refused:
        msg = f"the sample of {form} is refused: {refused[0].error}"
        raise ValueError(msg)


def measures(quick: bool) -> list[Measure]:  # noqa: FBT001 - the harness's one flag
    """Return every measure of the feature pipeline."""
    n, base = (600_000, 2_500) if quick else (5_000_000, 20_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _log("making the logs")
        half, whole = folder / "half.parquet", folder / "whole.parquet"
        world = folder / "world.parquet"
        batch.write_events(World(seed=1).log(base), world, processes=CORES)
        n_half, n_whole = grown(world, half, n // 2), grown(world, whole, n)
        return [
            *_columnar(whole, n_whole, folder),
            *_spark([(n_half, half), (n_whole, whole)], folder),
            *_online(2_000 if quick else 20_000),
            *_memory(whole, n_whole, folder, base),
            *_ingest(folder, 200 if quick else 2_000),
        ]


if __name__ == "__main__":
    main("features", measures)
