"""Signals of a log of any size: planned by row groups, computed on all cores.

A run over a log that has grown computes the tasks that changed and takes the others
from the signals table that is there. Tasks stand in both tables in the order of a hash
of their id, so that old and new meet without an index of all tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from features.batch.files import join_parts, workspace
from features.batch.kept import StaleSignalsError, groups_between, layout_of_signals
from features.batch.part import Done, Job, extract_part
from features.batch.plan import Layout, Span, layout_of, packed
from features.batch.table import ROWS_OF_A_PART, open_events
from features.batch.workers import Pool
from features.batch.write import Progress

# How jobs are run: here, in several processes, in a cluster.
Engine = Callable[[Callable[[Job], Done], list[Job]], Iterable[Done]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What a run did.

    Attributes
    ----------
    rows : int
        Rows of the signals table.
    computed, kept : int
        Tasks computed, and tasks taken from the table that was there.
    anew : str or None
        Why an earlier table was not built on.
    """

    rows: int
    computed: int
    kept: int
    anew: str | None


@contextmanager
def local(processes: int) -> Iterator[Engine]:
    """Yield the engine that works in so many processes of this machine."""
    with Pool(processes) as pool:
        yield pool.run


def extract(
    events: Path,
    target: Path,
    *,
    engine: Engine | None = None,
    full: bool = False,
    progress: Progress | None = None,
) -> Extraction:
    """Write the signals after each event of the events table at `events` to `target`.

    The file is replaced in one step. Beside the columns of `signals_table` it has
    `task_digest`, by which the next run tells what has changed.

    Parameters
    ----------
    engine : Engine, optional
        Where the work is done; here, in this process, by default.
    full : bool
        Whether to compute every task, whatever is at `target`.
    progress : Callable[[int, int or None], None], optional
        Told how many events are done, and of how many.

    Raises
    ------
    EventsTableError
        If `events` is no events table, or rows of one task stand apart in it.
    """
    with open_events(events) as file:
        layout = layout_of(events, file)
    earlier, anew = _earlier(target, layout, full=full)
    with workspace(target) as folder:
        jobs = list(_jobs(events, layout, folder, target, earlier))
        run = engine or Pool(1).run
        done = _Counted(run(extract_part, jobs), layout.rows, progress)
        rows = join_parts(done.parts(), target, folder)
    return Extraction(rows=rows, computed=done.computed, kept=done.kept, anew=anew)


def _earlier(
    target: Path, layout: Layout, *, full: bool
) -> tuple[tuple[Span, ...], str | None]:
    """Return the spans of an earlier run to build on, and why there are none."""
    if full or not target.exists():
        return (), None
    if not layout.is_ordered:
        return (), "the events table is not in the order that `escalon ingest` writes"
    try:
        return layout_of_signals(target).spans, None
    except StaleSignalsError as error:
        return (), f"{target}: {error}"


def _jobs(
    events: Path,
    layout: Layout,
    folder: Path,
    target: Path,
    earlier: tuple[Span, ...],
) -> Iterator[Job]:
    # An empty log has a table too: with its columns, and no row.
    spans = list(packed(layout.spans, ROWS_OF_A_PART)) or [Span((), 0, b"", b"")]
    for number, span in enumerate(spans):
        groups = groups_between(earlier, span.first, span.last)
        yield Job(
            events=events.absolute(),
            groups=span.groups,
            target=(folder / f"part-{number:06}").absolute(),
            earlier=target.absolute() if groups else None,
            earlier_groups=tuple(groups),
        )


class _Counted:
    """Jobs as they are done, and what they add up to."""

    def __init__(self, done: Iterable[Done], n: int, progress: Progress | None) -> None:
        self._done = done
        self._n = n
        self._tell = progress or (lambda _, __: None)
        self.computed = self.kept = self.events = 0

    def parts(self) -> Iterator[Path]:
        for done in self._done:
            self.events += done.events
            self.computed += done.computed
            self.kept += done.kept
            self._tell(self.events, self._n)
            yield done.target
