"""Writing the events table: any log, interleaved as it comes, in bounded memory.

Events are spilled to buckets by a hash of their task. A bucket that is still too large
is parted again, so that one bucket fits the memory; only a single huge task does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from features.batch.files import join_parts, workspace, write_part
from features.batch.records import encoded, table_of, task_key, tasks_of
from features.batch.spill import Bucket, lines_of, spill
from features.batch.table import ROWS_AT_ONCE, SCHEMA, pieces
from features.batch.workers import Pool
from features.events import AgentEvent

Progress = Callable[[int, int | None], None]

_SMALL = 4 << 20  # bytes of log below which nothing is spilled and no process started
_AT_ONCE = 24 << 20  # bytes of log that one process holds
_EVERY = 20_000


@dataclass(frozen=True, slots=True)
class _Job:
    """Buckets, or lines of a log that is small, that become one part of the file."""

    sources: tuple[Path, ...]
    lines: tuple[bytes, ...]
    target: Path


def write_events(
    events: Iterable[AgentEvent],
    path: Path,
    *,
    processes: int = 1,
    progress: Progress | None = None,
) -> int:
    """Write `events` as an events table (Parquet) to `path`; return the row count.

    Tasks may interleave. In the table each task's rows stand together, in log order and
    inside one row group, and tasks stand in the order of a hash of their id. An event
    whose id its task already has is left out. The file is replaced in one step.

    Parameters
    ----------
    processes : int
        How many read the events' texts. They are started for large logs only; a script
        that asks for several must guard its `__main__`, as `multiprocessing` says.
    progress : Callable[[int, int or None], None], optional
        Told how many events are done and, once it is known, of how many.
    """
    tell = progress or (lambda _, __: None)
    with workspace(path) as folder, Pool(processes) as pool:
        lines = _Counted(map(encoded, events), tell)
        jobs = list(_jobs(lines, folder, processes))
        done = pool.run(_write_part, jobs)
        return join_parts(_told(done, lines, tell), path, folder)


class _Counted:
    """Lines as they are read, and how many there were."""

    def __init__(self, lines: Iterator[bytes], tell: Progress) -> None:
        self._lines = lines
        self._tell = tell
        self.n = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.n += 1
            if self.n % _EVERY == 0:
                self._tell(self.n, None)
            yield line


def _told(
    done: Iterable[tuple[Path, int]], lines: _Counted, tell: Progress
) -> Iterator[Path]:
    rows = 0
    for part, n in done:
        rows += n
        tell(rows, lines.n)
        yield part
    tell(rows, rows)


def _jobs(lines: Iterable[bytes], folder: Path, processes: int) -> Iterable[_Job]:
    """Return the parts of the log, in the order of the table."""
    rest = iter(lines)
    held, size = [], 0
    for line in rest:
        held.append(line)
        size += len(line)
        if size > _SMALL:
            break
    else:
        return [_Job((), tuple(held), folder / "part")]
    buckets = list(spill(chain(held, rest), folder, most=_AT_ONCE))
    total = sum(bucket.size for bucket in buckets)
    # Each process gets several jobs, so that none waits long for the last one.
    most = min(_AT_ONCE, max(_SMALL // 4, total // (4 * processes)))
    return _packed(buckets, most, folder)


def _packed(buckets: Iterable[Bucket], most: int, folder: Path) -> Iterator[_Job]:
    """Yield jobs of neighbouring buckets, of about `most` bytes."""
    taken: list[Bucket] = []
    for number, bucket in enumerate(buckets):
        if taken and sum(b.size for b in taken) + bucket.size > most:
            yield _Job(tuple(b.path for b in taken), (), folder / f"part-{number}")
            taken = []
        taken.append(bucket)
    yield _Job(tuple(b.path for b in taken), (), folder / "part")


def _write_part(job: _Job) -> tuple[Path, int]:
    """Write the part of one job; return its file and its row count."""
    lines = chain(job.lines, *map(lines_of, job.sources))
    tasks = sorted(tasks_of(lines), key=lambda task: task_key(task[0].task_id))
    lengths = np.array([len(task) for task in tasks], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    parts = pieces(starts, int(lengths.sum()), ROWS_AT_ONCE)
    ranges = (np.searchsorted(starts, part).tolist() for part in parts)
    tables = (table_of(tasks[begin:end]) for begin, end in ranges)
    rows = write_part(tables, job.target, SCHEMA)
    for source in job.sources:
        source.unlink()
    return job.target, rows
